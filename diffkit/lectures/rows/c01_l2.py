"""C1: L2 in three conventions."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    # what each convention adds to the gradient
    w = np.array([3.0, 4.0])
    gradients = {c: dk.grad(lambda w: dk.nn.l2(w, 0.1, convention=c))(w) for c in ("half", "full", "norm")}
    at_zero = dk.grad(lambda w: dk.nn.l2(w, 0.1, convention="norm"))(np.zeros(2))

    # what each does to a fit: ‖w‖ at the minimum, for more and more of it
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    y = X @ np.array([1.0, -2.0, 0.5, 0.0, 3.0]) + 0.5 * rng.normal(size=60)
    error = lambda w: np.mean((X @ w - y) ** 2)
    lambdas, slope = np.geomspace(1e-3, 100, 41), dk.grad(error)
    fits = {"half": [], "full": [], "norm": []}
    for lam in lambdas.tolist():
        for convention in ("half", "full"):
            penalised = lambda w: error(w) + dk.nn.l2(w, lam, convention=convention)
            fits[convention].append(dk.optim.minimize(penalised, np.ones(5), method="newton").x)
        w = np.ones(5)  # ‖w‖ has a kink: after each step down the error, w is made shorter by 0.3 λ, to 0 at most
        for _ in range(200):
            w = w - 0.3 * slope(w)
            w = w * max(0.0, 1 - 0.3 * lam / np.linalg.norm(w))
        fits["norm"].append(w)
    left = [  # of the gradient, where there is one
        np.abs(slope(w) + dk.grad(lambda w: dk.nn.l2(w, lam, convention="norm"))(w)).max()
        for lam, w in zip(lambdas.tolist(), fits["norm"], strict=True)
        if w.any()
    ]
    ridge = lambda lam: np.linalg.solve(2 * X.T @ X / 60 + lam * np.eye(5), 2 * X.T @ y / 60)
    closed = {"half": np.array([ridge(lam) for lam in lambdas]), "full": np.array([ridge(2 * lam) for lam in lambdas])}
    edge = np.linalg.norm(slope(np.zeros(5)))
    return {
        "gradients": gradients,
        "at_zero": at_zero,
        "lambdas": lambdas,
        "fits": {convention: np.array(ws) for convention, ws in fits.items()},
        "closed": closed,
        "edge": edge,
        "left": max(left),
    }


def _vector(w: np.ndarray) -> str:
    return f"({', '.join(f'{v:g}' for v in w)})"


def claims(r: dict) -> list[Claim]:
    g, fits, lambdas = r["gradients"], r["fits"], r["lambdas"]
    wanted = {"half": 0.1 * np.array([3, 4]), "full": 0.2 * np.array([3, 4]), "norm": 0.1 * np.array([0.6, 0.8])}
    off = max(float(np.max(np.abs(g[c] - wanted[c]))) for c in wanted)
    closed, doubled = (float(np.max(np.abs(fits[c] - ws))) for c, ws in r["closed"].items())
    norms = {c: np.linalg.norm(ws, axis=1) for c, ws in fits.items()}
    zeros = lambdas[norms["norm"] == 0]
    return [
        Claim(
            f"At w = (3, 4), λ = 0.1: λ/2·‖w‖² adds {_vector(g['half'])}, λ‖w‖² adds {_vector(g['full'])}, "
            f"λ‖w‖ adds {_vector(g['norm'])} to the gradient; by formula λw, 2λw and λw/‖w‖, to {off:.0e}.",
            off < 1e-15,
            {"largest difference": off},
        ),
        Claim(
            f"λ/2·‖w‖² is ridge regression: at all {len(lambdas)} strengths the minimum is that of the normal "
            f"equations, to {closed:.0e}.",
            closed < 1e-7,
            {"largest difference": closed},
        ),
        Claim(
            f"λ‖w‖² is the same with twice the λ: its minima are those of the normal equations with 2λ, to {doubled:.0e}.",
            doubled < 1e-7,
            {"largest difference": doubled},
        ),
        Claim(
            f"λ‖w‖, not squared, is another thing: from λ = {r['edge']:.2f} on, the size of the loss's "
            f"gradient at 0, all weights are exactly 0 (on this grid from {zeros[0]:.2f} on). Below that its gradient and the "
            f"loss's cancel, to {r['left']:.0e}. The squares never get there: ‖w‖ = {norms['full'][-1]:.3f} at λ = 100.",
            bool(
                ((norms["norm"] == 0) == (lambdas >= r["edge"])).all()
                and r["left"] < 1e-8
                and min(norms["half"].min(), norms["full"].min()) > 0
            ),
            {"edge": float(r["edge"]), "gradient left": float(r["left"])},
        ),
        Claim(
            f"At w = 0, where ‖w‖ has a kink, the gradient given is {_vector(r['at_zero'])}: one of the subgradients.",
            bool((r["at_zero"] == 0).all()),
            {},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    names = {"half": "λ/2·‖w‖² (L2)", "full": "λ‖w‖² (C6, R7, DS)", "norm": "λ‖w‖ (OT)"}
    lines = [Line(r["lambdas"], np.linalg.norm(r["fits"][c], axis=1), name) for c, name in names.items()]
    w = np.linspace(-2, 2, 201)
    shapes = {"half": w**2 / 2, "full": w**2, "norm": np.abs(w)}
    return [
        Chart("Size of the fitted weights", "λ", "‖w‖", lines, "x", "Linear regression with five weights."),
        Chart(
            "The penalties, λ = 1, one weight", "w", "penalty", [Line(w, shapes[c], name) for c, name in names.items()]
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [c, form, _vector(r["gradients"][c])] for c, form in (("half", "λ/2·‖w‖²"), ("full", "λ‖w‖²"), ("norm", "λ‖w‖"))
    ]
    return [Table("At w = (3, 4), λ = 0.1", ["dk.nn.l2's convention", "penalty", "its gradient"], rows)]


ROW = Row(
    id="C1",
    title="L2 in three conventions",
    says="A penalty on large weights. Three are called L2, which differ by a factor of 2 or by the square; "
    "each has a name here.",
    formulas=(
        r"\nabla\, \frac{\lambda}{2} \|w\|^2 = \lambda w \qquad "
        r"\nabla\, \lambda \|w\|^2 = 2 \lambda w \qquad "
        r"\nabla\, \lambda \|w\| = \lambda \frac{w}{\|w\|}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=("OT leaves the square out and calls it ridge regression; that has the square.",),
    sources="L2 (half), C6, R7, DS (full), OT (norm)",
)
