"""B13: BFGS and L-BFGS."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    # full batch: Rosenbrock's function in 20 dimensions
    valley = lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    start = np.tile([-1.2, 1.0], 10)
    full = {
        name: dk.optim.minimize(valley, start, method=method, keep_path=True, max_iter=500)
        for name, method in {"BFGS": "bfgs", "L-BFGS": "lbfgs", "gradient descent": "gd"}.items()
    }

    # what a rank-2 update does: the new matrix sends the change of gradients back to the step
    rng = np.random.default_rng(0)
    H, s = np.eye(5), rng.normal(size=5)
    y = s + 0.1 * rng.normal(size=5)
    rho = 1 / (y @ s)
    left = np.eye(5) - rho * np.outer(s, y)
    new = left @ H @ left.T + rho * np.outer(s, s)
    secant, rank = np.abs(new @ y - s).max(), np.linalg.matrix_rank(new - H, tol=1e-12)

    # mini-batches: logistic regression, 16 of 1000 examples a step
    X = rng.normal(size=(1000, 20)) * np.geomspace(1, 10, 20)
    labels = np.where(X @ rng.normal(size=20) / 10 + rng.normal(size=1000) > 0, 1.0, -1.0)
    loss = lambda w, X, t: np.mean(dk.softplus(-t * (X @ w))) + 0.005 * np.sum(w**2)
    slope, zero = dk.value_and_grad(loss), np.zeros(20)
    best = dk.optim.minimize(lambda w: loss(w, X, labels), zero, method="lbfgs", keep_path=True)
    optimizers = {
        "L-BFGS": dk.optim.LBFGS(history_size=10),
        "L-BFGS, steps × 0.1": dk.optim.LBFGS(learning_rate=0.1, history_size=10),
        "Adam": dk.optim.Adam(learning_rate=0.02),
        "SGD": dk.optim.SGD(learning_rate=0.002),
    }
    small = {}
    for name, optimizer in optimizers.items():
        draw = np.random.default_rng(1)
        w, state, small[name] = zero, optimizer.init(zero), []
        for _ in range(600):
            batch = draw.integers(1000, size=16)
            value, g = slope(w, X[batch], labels[batch])
            w, state = optimizer.update(g, state, w, value=float(value))
            small[name].append(loss(w, X, labels) - best.fun)
    return {
        "full": full,
        "secant": secant,
        "rank": int(rank),
        "best": best,
        "small": {k: np.array(v) for k, v in small.items()},
    }


def claims(r: dict) -> list[Claim]:
    full = r["full"]
    bfgs, lbfgs, gd = full.values()
    size = {name: float(np.abs(x.grad).max()) for name, x in full.items()}
    late = {k: float(np.median(v[-100:])) for k, v in r["small"].items()}
    others = max(late["Adam"], late["SGD"])
    lost = int(np.argmax(~(r["small"]["L-BFGS"] < 10 * r["small"]["L-BFGS"][0]))) + 1
    return [
        Claim(
            f"Full batch with a strong Wolfe line search: BFGS reaches a gradient of {size['BFGS']:.0e} in {bfgs.nit} steps, "
            f"L-BFGS one of {size['L-BFGS']:.0e} in {lbfgs.nit}; gradient descent has one of {size['gradient descent']:.1g} "
            f"after {gd.nit}.",
            bool(max(size["BFGS"], size["L-BFGS"]) < 1e-7 < 1e-2 < size["gradient descent"]),
            {k: v.nit for k, v in full.items()},
        ),
        Claim(
            f"An update is of rank {r['rank']} and fits the latest pair, H⁺y = s, to {r['secant']:.0e}.",
            r["rank"] == 2 and r["secant"] < 1e-13,
            {"H y − s": float(r["secant"])},
        ),
        Claim(
            f"On the whole of 1000 examples L-BFGS takes {r['best'].nit} steps to a gradient of "
            f"{np.abs(r['best'].grad).max():.0e}.",
            bool(r["best"].success),
            {"steps": r["best"].nit},
        ),
        Claim(
            "On mini-batches it does badly: differences of gradients of different batches are noise. At its own steps its "
            f"loss is ten times what it began with in step {lost}; with steps cut to a tenth it stays "
            f"{late['L-BFGS, steps × 0.1']:.2g} above the minimum, where Adam gets to {late['Adam']:.2g} and SGD to "
            f"{late['SGD']:.2g}.",
            bool(not late["L-BFGS"] < 10 * others and late["L-BFGS, steps × 0.1"] > others),
            {f"excess, {k}": v for k, v in late.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    steps = np.arange(1, 601)
    return [
        Chart(
            "Full batch: Rosenbrock in 20 dimensions",
            "iteration",
            "f",
            [Line(np.arange(len(x.path)), x.path.values, k) for k, x in r["full"].items()],
            "y",
            y_range=(1e-18, 1e4),
        ),
        Chart(
            "Mini-batches of 16 out of 1000",
            "step",
            "loss − minimum",
            [Line(steps, v, k) for k, v in r["small"].items()],
            "y",
            "Of all examples, after every step.",
            y_range=(1e-3, 1e3),
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [[k, str(x.nit), str(x.nfev), f"{x.fun:.1e}", f"{np.abs(x.grad).max():.1e}"] for k, x in r["full"].items()]
    return [
        Table(
            "Rosenbrock in 20 dimensions",
            ["method", "iterations", "evaluations", "f", "gradient"],
            rows,
            "Of the gradient: its largest entry.",
        )
    ]


ROW = Row(
    id="B13",
    title="BFGS and L-BFGS",
    says="The inverse Hessian is learned from steps and changes of the gradient, by rank-2 updates; L-BFGS "
    "keeps the latest pairs and never forms it.",
    formulas=(
        r"s = x_{n+1} - x_n \qquad y = \nabla f(x_{n+1}) - \nabla f(x_n) \qquad \rho = \frac{1}{y^T s}",
        r"H \leftarrow (I - \rho s y^T) H (I - \rho y s^T) + \rho s s^T \qquad x \leftarrow x - \alpha H \nabla f(x)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=("C6 speaks of rank-1 updates; those of BFGS are of rank 2.",),
    sources="C6",
)
