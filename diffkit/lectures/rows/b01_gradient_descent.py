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

    # convex functions: value, start, minimiser (None: by Newton's method), Lipschitz constant L of the gradient
    problems = {
        "quadratic": (lambda x: np.sum(np.array([1.0, 10.0, 100.0]) * x**2) / 2, np.ones(3), np.zeros(3), 100.0),
        "logistic regression": (lambda w: np.mean(np.log1p(np.exp(-y * (X @ w)))), np.zeros(3), None, lipschitz),
        "flat in many directions": (lambda x: np.sum(spread * x**2) / 2, np.ones(300), np.zeros(300), 1.0),
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
    f = problems["quadratic"][0]
    slope, rates = dk.value_and_grad(f), {"too small": 0.02 / 100, "right": 1 / 100, "too large": 2.02 / 100}
    runs = {}
    for name, rate in rates.items():
        optimizer = dk.optim.GradientDescent(learning_rate=rate)
        x, values = np.ones(3), []
        state = optimizer.init(x)
        for _ in range(200):
            value, g = slope(x)
            values.append(float(value))
            x, state = optimizer.update(g, state, x)
        runs[name] = np.array(values)
    return {"curves": curves, "runs": runs, "rates": rates}


def claims(r: dict) -> list[Claim]:
    # round-off of the values leaves a little above 0
    worst = {name: float(np.max((c["excess"] - 1e-14) / c["bound"])) for name, c in r["curves"].items()}
    flat = r["curves"]["flat in many directions"]
    late = slice(9, 1000)
    power = float(np.polyfit(np.log(flat["n"][late]), np.log(flat["excess"][late]), 1)[0])
    runs = r["runs"]
    steps = sum(len(c["n"]) for c in r["curves"].values())
    return [
        Claim(
            f"The bound holds at each of {steps:,} steps on {len(worst)} convex functions; at most the excess "
            f"is {max(worst.values()):.2g} of it.",
            max(worst.values()) <= 1,
            {f"largest excess/bound, {k}": v for k, v in worst.items()},
        ),
        Claim(
            "Nothing faster than O(1/n) can be promised: on the function with many flat directions the "
            f"excess falls like the power {power:.2f} of n. "
            "That is sublinear; linear convergence would divide it by a fixed factor at every step.",
            -1.2 < power < -0.8,
            {"power of n": power},
        ),
        Claim(
            f"After 200 steps of the quadratic: rate 0.02/L leaves {runs['too small'][-1]:.2g}, 1/L leaves "
            f"{runs['right'][-1]:.2g}, "
            f"2.02/L has grown to {runs['too large'][-1]:.2g}.",
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
            "Learning rate 1/L. Straight lines here are powers of n.",
            y_range=(1e-12, 1e5),
        ),
        Chart(
            "Learning rate too small, right, too large",
            "step n",
            "f(xₙ)",
            [Line(np.arange(len(v)), v, f"{name}: {rates[name]:g}") for name, v in r["runs"].items()],
            "y",
            "f = ½(x² + 10y² + 100z²), so L = 100; beyond 2/L the steepest direction grows.",
        ),
    ]


ROW = Row(
    id="B1",
    title="Gradient descent",
    says="Go against the gradient. For a convex function with an L-Lipschitz gradient and a rate of at most "
    "1/L there is a bound on "
    "how far above the minimum step n can be.",
    formulas=(
        r"x_{n+1} = x_n - \alpha \nabla f(x_n)",
        r"f(x_n) - f^\ast \le \frac{\|x_0 - x^\ast\|^2}{2 \alpha n} \qquad \alpha \le \frac{1}{L}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=("DS calls this rate linear. It is O(1/n), which is sublinear: the second claim measures it.",),
    sources="L2, OT, C6, DS",
)
