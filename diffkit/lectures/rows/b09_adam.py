"""B9: Adam, with and without bias correction."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line
from ..row import Claim, Row


def example() -> dict:
    optimizers = {
        "almost Adam": dk.optim.Adam(learning_rate=1e-3, bias_correction=False),
        "Adam": dk.optim.Adam(learning_rate=1e-3),
    }

    # a gradient that is always 1: the length of every step, in units of α
    lengths = {}
    for name, optimizer in optimizers.items():
        x, lengths[name] = np.array(0.0), []
        state = optimizer.init(x)
        for _ in range(2000):
            new, state = optimizer.update(np.array(1.0), state, x)
            lengths[name].append(abs(float(new - x)) / 1e-3)
            x = new

    # the first step, for gradients of all sizes
    gradients = np.geomspace(1e-6, 1e6, 25)
    first = {}
    for name, optimizer in optimizers.items():
        moved, _ = optimizer.update(gradients, optimizer.init(gradients), np.zeros(25))
        first[name] = -moved / 1e-3

    # a run on Rosenbrock's valley
    f = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    slope, values = dk.value_and_grad(f), {}
    for name, bias_correction in {"almost Adam": False, "Adam": True}.items():
        optimizer = dk.optim.Adam(learning_rate=0.02, bias_correction=bias_correction)
        x, values[name] = np.array([-1.0, 1.0]), []
        state = optimizer.init(x)
        for _ in range(2000):
            value, g = slope(x)
            values[name].append(float(value))
            x, state = optimizer.update(g, state, x)
    return {
        "lengths": {k: np.array(v) for k, v in lengths.items()},
        "gradients": gradients,
        "first": first,
        "values": values,
    }


def claims(r: dict) -> list[Claim]:
    almost, full = r["lengths"].values()
    n = np.arange(1, 2001)
    exact = (1 - 0.9**n) / np.sqrt(1 - 0.999**n)
    off, flat = float(np.max(np.abs(almost / exact - 1))), float(np.max(np.abs(full - 1)))
    spread = [float(v[4:].max() / v[4:].min() - 1) for v in r["first"].values()]  # where epsilon is small beside g
    values = {k: np.array(v) for k, v in r["values"].items()}
    there = {k: int(np.argmax(v < 1e-6)) for k, v in values.items() if v.min() < 1e-6}
    return [
        Claim(
            f"The first step without correction is {almost[0]:.4f}·α = 0.1/√0.001·α; with correction {full[0]:.6f}·α.",
            abs(almost[0] - 0.1 / np.sqrt(0.001)) < 1e-5 and abs(full[0] - 1) < 1e-6,
            {"almost Adam": float(almost[0]), "Adam": float(full[0])},
        ),
        Claim(
            f"Without correction step n of a constant gradient is (1 − 0.9ⁿ)/√(1 − 0.999ⁿ)·α (to {off:.0e}): "
            f"it peaks at {almost.max():.2f}·α in step {int(almost.argmax()) + 1} and is {almost[999]:.2f}·α "
            "in step 1000.",
            off < 1e-6,
            {"largest": float(almost.max()), "largest relative deviation": off},
        ),
        Claim(
            f"With correction every step of a constant gradient is α, to {flat:.0e}.",
            flat < 1e-6,
            {"largest deviation": flat},
        ),
        Claim(
            "The size of the gradient does not matter: over ten powers of ten the first step varies by "
            f"{max(spread):.1e}.",
            max(spread) < 1e-2,
            {"relative spread": max(spread)},
        ),
        Claim(
            f"In Rosenbrock's valley f is below 1e-6 in {there.get('Adam', 'over 2000')} steps with correction and in "
            f"{there.get('almost Adam', 'over 2000')} without.",
            len(there) == 2 and there["Adam"] < there["almost Adam"],
            {k: float(v) for k, v in there.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n = np.arange(1, 2001)
    lines = [
        Line(n, r["lengths"]["almost Adam"], "without correction"),
        Line(n, r["lengths"]["Adam"], "with correction"),
    ]
    return [
        Chart("Steps under a constant gradient", "step n", "step/α", lines, "x", "β₁ = 0.9, β₂ = 0.999."),
        Chart(
            "Rosenbrock's valley from (−1, 1)",
            "step",
            "f",
            [Line(np.arange(2000), v, k) for k, v in r["values"].items()],
            "y",
            f"α = 0.02. Where gradients fade, α/√v̂ grows past what the curvature bears: Adam jumps, here to "
            f"f = {np.max(r['values']['Adam'][1000:]):.2g}, and comes back.",
        ),
    ]


ROW = Row(
    id="B9",
    title="Adam",
    says="Running means of gradients and of their squares; the step is the first over the root of the second. Both start "
    "from 0, which the factors 1/(1 − βⁿ) make up for; without these factors C6 calls it almost Adam.",
    formulas=(
        r"m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2",
        r"\hat{m} = \frac{m}{1 - \beta_1^n} \qquad \hat{v} = \frac{v}{1 - \beta_2^n} \qquad "
        r"x \leftarrow x - \frac{\alpha \hat{m}}{\sqrt{\hat{v}} + \varepsilon}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=(
        "L2 swaps β₁ and β₂ in the running means.",
        "DS feeds the corrected means back into the averages, which corrects them again at every step.",
        "R7 leaves the root out.",
    ),
    sources="L2, R7, C6, DS",
)
