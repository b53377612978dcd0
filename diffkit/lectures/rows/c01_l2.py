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
    lambdas = np.geomspace(1e-3, 100, 41)
    fits = {}
    for convention in ("half", "full", "norm"):
        start, fits[convention] = np.full(5, 1.0), []
        for lam in lambdas:
            penalised = lambda w: error(w) + dk.nn.l2(w, float(lam), convention=convention)
            if convention == "norm" and lam >= np.linalg.norm(dk.grad(error)(np.zeros(5))):
                fits[convention].append(np.zeros(5))  # the subgradients at 0 hold 0: nothing is lower
                continue
            fits[convention].append(dk.optim.minimize(penalised, start, method="newton").x)
    closed = [np.linalg.solve(2 * X.T @ X / 60 + lam * np.eye(5), 2 * X.T @ y / 60) for lam in lambdas]
    edge = np.linalg.norm(dk.grad(error)(np.zeros(5)))
    fits = {c: np.array(ws) for c, ws in fits.items()}
    return {
        "gradients": gradients,
        "at_zero": at_zero,
        "lambdas": lambdas,
        "fits": fits,
        "closed": np.array(closed),
        "edge": edge,
    }


def _vector(w: np.ndarray) -> str:
    return f"({', '.join(f'{v:g}' for v in w)})"


def claims(r: dict) -> list[Claim]:
    g, fits, lambdas = r["gradients"], r["fits"], r["lambdas"]
    wanted = {"half": 0.1 * np.array([3, 4]), "full": 0.2 * np.array([3, 4]), "norm": 0.1 * np.array([0.6, 0.8])}
    off = max(float(np.max(np.abs(g[c] - wanted[c]))) for c in wanted)
    closed = float(np.max(np.abs(fits["half"] - r["closed"])))
    # on this grid of 8 points a decade, a factor of 2 lies between two points: compare through the closed form
    norms = {c: np.linalg.norm(ws, axis=1) for c, ws in fits.items()}
    twice = np.exp(np.interp(np.log(2 * lambdas), np.log(lambdas), np.log(norms["half"])))
    inside = 2 * lambdas <= lambdas[-1]
    same = float(np.max(np.abs(norms["full"][inside] / twice[inside] - 1)))
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
            f"λ‖w‖² is the same at half the λ (to {same:.1%}, between points of the grid).",
            same < 0.01,
            {"largest relative difference": same},
        ),
        Claim(
            f"λ‖w‖, not squared, is another thing: from λ = {r['edge']:.2f} on, the size of the loss's "
            f"gradient at 0, all weights are exactly 0 (seen from {zeros[0]:.2f} on). The squares never get "
            f"there: ‖w‖ = {norms['full'][-1]:.3f} at λ = 100.",
            bool(zeros[0] >= r["edge"] and norms["full"][-1] > 0 and norms["norm"][lambdas < r["edge"]].min() > 0),
            {"edge": float(r["edge"])},
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
        r"\frac{\lambda}{2} \|w\|^2 \;\to\; \lambda w \qquad \lambda \|w\|^2 \;\to\; 2 \lambda w \qquad "
        r"\lambda \|w\|_2 \;\to\; \lambda \frac{w}{\|w\|}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2 (half), C6, R7, DS (full), OT (norm)",
)
