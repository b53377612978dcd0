"""B6: AdaGrad."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, landscape
from ..row import Claim, Row


def example() -> dict:
    # noisy gradients that never get smaller: how long are the steps?
    rng = np.random.default_rng(0)
    optimizer = dk.optim.AdaGrad(learning_rate=0.1)
    x, lengths = np.zeros(5000), []
    state = optimizer.init(x)
    for _ in range(2000):
        new, state = optimizer.update(rng.normal(size=5000), state, x)
        lengths.append(np.sqrt(np.mean((new - x) ** 2)))
        x = new

    # a steep direction and a flat one
    f = lambda x: (x[0] ** 2 + 100 * x[1] ** 2) / 2
    slope, start = dk.grad(f), np.array([-4.0, 1.0])
    rates = {}
    paths = {}
    for name, optimizer in {
        "AdaGrad, α = 0.5": dk.optim.AdaGrad(learning_rate=0.5),
        "gradient descent, α = 0.015": dk.optim.GradientDescent(learning_rate=0.015),
    }.items():
        x, state = start, optimizer.init(start)
        path = [x]
        for step in range(100):
            g = slope(x)
            new, state = optimizer.update(g, state, x)
            if step == 0:
                rates[name] = (x - new) / g  # the learning rate that each direction gets
            x = new
            path.append(x)
        paths[name] = np.array(path)

    # epsilon inside the root (L2) and outside (C6): the first step, for gradients of all sizes
    gradients = np.geomspace(1e-12, 1, 121)
    first = {}
    for flavor in ("L2", "C6"):
        optimizer = dk.optim.AdaGrad(learning_rate=1.0, flavor=flavor)
        moved, _ = optimizer.update(gradients, optimizer.init(gradients), np.zeros(121))
        first[flavor] = -moved
    without_root = gradients / (gradients**2 + 1e-8)  # as R7 prints it
    found = {"lengths": np.array(lengths), "f": f, "paths": paths, "rates": rates}
    return {**found, "gradients": gradients, "first": first, "without_root": without_root}


def claims(r: dict) -> list[Claim]:
    n = np.arange(1, 2001)
    power = float(np.polyfit(np.log(n[100:]), np.log(r["lengths"][100:]), 1)[0])
    expected = 0.1 / np.sqrt(n)
    off = float(np.max(np.abs(r["lengths"][100:] / expected[100:] - 1)))
    ada, gd = r["rates"].values()
    end = {name: float(abs(p[-1][0])) for name, p in r["paths"].items()}
    g, small = r["gradients"], {k: float(np.interp(1e-6, r["gradients"], v)) for k, v in r["first"].items()}
    falls = float(r["without_root"][np.searchsorted(g, 1e-3)] / r["without_root"][-1])
    return [
        Claim(
            f"Steps decay to zero though gradients do not: they fall like the power {power:.3f} of n, and from step 100 "
            f"on they are α/√n to {off:.0%}.",
            abs(power + 0.5) < 0.02 and off < 0.1,
            {"power of n": power, "largest relative deviation": off},
        ),
        Claim(
            "The steep direction is damped and the flat one accelerated: at the first step the rate of the flat one is "
            f"{ada[0] / ada[1]:.0f} times that of the steep one (in gradient descent {gd[0] / gd[1]:.0f}). After 100 "
            f"steps AdaGrad has {end['AdaGrad, α = 0.5']:.1e} to go in the flat direction, gradient descent "
            f"{end['gradient descent, α = 0.015']:.1e}.",
            bool(abs(ada[0] / ada[1] - 25) < 1e-6 and end["AdaGrad, α = 0.5"] < end["gradient descent, α = 0.015"]),
            {"rate of flat/steep": float(ada[0] / ada[1])},
        ),
        Claim(
            f"Where ε stands matters for small gradients: at g = 1e-6 the first step is {small['L2']:.2g}·α "
            f"with 1e-8 inside the root, {small['C6']:.2g}·α with 1e-7 outside.",
            abs(small["L2"] - 1e-6 / np.sqrt(1e-12 + 1e-8)) < 1e-3 and abs(small["C6"] - 1 / 1.1) < 1e-3,
            small,
        ),
        Claim(
            f"Without the root, as R7 prints it, the step at g = 1e-3 would be {falls:.0f} times the one at g = 1.",
            falls > 100,
            {"ratio": falls},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n, g = np.arange(1, 2001), r["gradients"]
    land = landscape(r["f"], (-4.5, 1.5), (-1.2, 1.2))
    return [
        Chart(
            "Steps under gradients of one size",
            "step n",
            "length of the step, root mean square",
            [Line(n, r["lengths"], "AdaGrad, α = 0.1"), Line(n, 0.1 / np.sqrt(n), "α/√n", "theory")],
            "xy",
        ),
        Chart(
            "A steep and a flat direction",
            "x (flat)",
            "y (steep)",
            [Line.through(p, name, "both") for name, p in r["paths"].items()],
            landscape=land,
            caption="½(x² + 100y²), 100 steps.",
        ),
        Chart(
            "The first step, by the size of the gradient",
            "|g|",
            "step/α",
            [
                Line(g, r["first"]["L2"], "√(s + 1e-8), L2"),
                Line(g, r["first"]["C6"], "√s + 1e-7, C6"),
                Line(g, r["without_root"], "without the root (a slip)", "dashed"),
            ],
            "xy",
            y_range=(1e-8, 1e4),
        ),
    ]


ROW = Row(
    id="B6",
    title="AdaGrad",
    says="Each parameter's step is divided by the root of the sum of its squared gradients so far, so that "
    "every direction gets a rate of its own.",
    formulas=(
        r"s \leftarrow s + g^2",
        r"x \leftarrow x - \frac{\alpha g}{\sqrt{s + \varepsilon}} \quad \text{(L2)} \qquad x \leftarrow x - "
        r"\frac{\alpha g}{\sqrt{s} + \varepsilon} \quad \text{(C6)}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=(
        "R7 leaves the root out, here and in RMSProp and Adam: the step would be α·g/s and grow as gradients "
        "shrink (the dashed curve).",
    ),
    sources="L2, R7, C6",
)
