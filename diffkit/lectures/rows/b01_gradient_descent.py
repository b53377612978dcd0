"""B1: gradient descent and its bound."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line
from ..row import Claim, Row


def example() -> dict:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = np.where(X @ [1.0, -2.0, 0.5] + rng.normal(size=100) > 0, 1.0, -1.0)
    spread, lipschitz = np.geomspace(1e-5, 1, 300), float(np.linalg.norm(X, 2) ** 2 / 400)
    few = np.full(300, 0.1)

    # the worst of all: a parabola of width d with straight sides, which are flat enough for 1000 steps not to get down
    d = 1 / 2001
    worst = lambda x: np.sum(np.where(np.abs(x) < d, x**2 / 2, d * np.abs(x) - d**2 / 2))

    # convex functions: value, start, minimiser (None: by Newton's method), Lipschitz constant L of the gradient
    problems = {
        "logistic regression": (lambda w: np.mean(np.log1p(np.exp(-y * (X @ w)))), np.zeros(3), None, lipschitz),
        "flat in many directions": (lambda x: np.sum(spread * x**2) / 2, few, np.zeros(300), 1.0),
        "worst for 1000 steps": (worst, np.ones(1), np.zeros(1), 1.0),
    }
    curves = {}
    for name, (f, x, best, L) in problems.items():
        if best is None:
            best = dk.optim.minimize(f, x, method="newton", gtol=1e-12).x
        optimizer, slope = dk.optim.GradientDescent(learning_rate=1 / L), dk.value_and_grad(f)
        far, lowest, values = np.sum((x - best) ** 2), slope(best)[0], []
        state = optimizer.init(x)
        for _ in range(1001):
            value, g = slope(x)
            values.append(float(value - lowest))
            x, state = optimizer.update(g, state, x)
        n = np.arange(1, 1001)
        curves[name] = {"n": n, "excess": np.array(values[1:]), "bound": far * L / (2 * n)}

    # one function, L = 100, three learning rates
    f = lambda x: np.sum(np.array([1.0, 10.0, 100.0]) * x**2) / 2
    slope, rates = dk.value_and_grad(f), {"too small": 0.02 / 100, "right": 1 / 100, "too large": 2.02 / 100}
    runs = {}
    for name, rate in rates.items():
        optimizer = dk.optim.GradientDescent(learning_rate=rate)
        x, values = np.ones(3), []
        state = optimizer.init(x)
        for _ in range(201):
            value, g = slope(x)
            values.append(float(value))
            x, state = optimizer.update(g, state, x)
        runs[name] = np.array(values)
    return {"curves": curves, "runs": runs, "rates": rates}


def claims(r: dict) -> list[Claim]:
    # round-off of the values leaves a little above 0
    share = {name: float(np.max((c["excess"] - 1e-14) / c["bound"])) for name, c in r["curves"].items()}
    worst = r["curves"]["worst for 1000 steps"]
    last = float(worst["excess"][-1] / worst["bound"][-1])
    flat = r["curves"]["flat in many directions"]
    late = slice(9, 1000)
    power = float(np.polyfit(np.log(flat["n"][late]), np.log(flat["excess"][late]), 1)[0])
    runs = r["runs"]
    steps = sum(len(c["n"]) for c in r["curves"].values())
    return [
        Claim(
            f"The bound holds at each of {steps:,} steps on {len(share)} convex functions; the largest parts of it that "
            f"are reached are {', '.join(f'{v:.2g}' for v in share.values())}.",
            max(share.values()) <= 1,
            {f"largest excess/bound, {k}": v for k, v in share.items()},
        ),
        Claim(
            f"It cannot be better by more than a factor of two: on the worst function step n = 1000 is still at {last:.6f} "
            "of the bound, which is n/(2n + 1).",
            abs(last - 1000 / 2001) < 1e-9,
            {"excess/bound after 1000 steps": last},
        ),
        Claim(
            f"On one function with many flat directions the excess falls like the power {power:.2f} of n. That is "
            "sublinear: linear convergence would divide it by a fixed factor at every step.",
            -1.2 < power < -0.8,
            {"power of n": power},
        ),
        Claim(
            f"A quadratic that starts at {runs['right'][0]:.3g} is down to {runs['too small'][-1]:.2g} after 200 steps "
            f"of rate 0.02/L, and to {runs['right'][-1]:.2g} after as many of 1/L; with 2.02/L it has grown to "
            f"{runs['too large'][-1]:.2g}.",
            bool(runs["right"][-1] < runs["too small"][-1] < runs["too small"][0] < runs["too large"][-1]),
            {f"after 200 steps, {k}": float(v[-1]) for k, v in runs.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    lines = []
    for k, (name, c) in enumerate(r["curves"].items()):
        lines += [
            Line(c["n"], np.maximum(c["excess"], 1e-16), name, colour=k),
            Line(c["n"], c["bound"], f"{name}: bound", "dashed", k),
        ]
    rates = r["rates"]
    return [
        Chart(
            "The bound, beside the runs",
            "step n",
            "f(xₙ) − f*",
            lines,
            "xy",
            "Learning rate 1/L. Straight lines here are powers of n. The worst function meets half its bound at n = 1000.",
            y_range=(1e-9, 100),
        ),
        Chart(
            "Learning rate too small, right, too large",
            "step n",
            "f(xₙ)",
            [Line(np.arange(len(v)), v, f"{name}: α = {rates[name]:g}") for name, v in r["runs"].items()],
            "y",
            "f = ½(x² + 10y² + 100z²), so L = 100; beyond 2/L the steepest direction grows.",
        ),
    ]


ROW = Row(
    id="B1",
    title="Gradient descent",
    says="Go against the gradient. For a convex function with an L-Lipschitz gradient and a learning rate α of at most "
    "1/L there is a bound on how far above the minimum step n can be.",
    formulas=(
        r"x_{n+1} = x_n - \alpha \nabla f(x_n)",
        r"f(x_n) - f^\ast \le \frac{\|x_0 - x^\ast\|^2}{2 \alpha n} \qquad \alpha \le \frac{1}{L}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=("DS calls this convergence linear. It is O(1/n), which is sublinear: the third claim measures it.",),
    sources="L2, OT, C6, DS; the worst function is Drori and Teboulle's (2014)",
)
