"""B8: RMSProp."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, landscape
from ..row import Claim, Row


def example() -> dict:
    optimizers = {
        "AdaGrad": dk.optim.AdaGrad(learning_rate=0.1),
        "RMSProp": dk.optim.RMSProp(learning_rate=0.01, alpha=0.9),
    }

    # gradients of size 100 for 50 steps, then of size 1: who forgets?
    lengths = {}
    for name, optimizer in optimizers.items():
        x, lengths[name] = np.array(0.0), []
        state = optimizer.init(x)
        for step in range(200):
            new, state = optimizer.update(np.array(100.0 if step < 50 else 1.0), state, x)
            lengths[name].append(abs(float(new - x)))
            x = new

    # a steep start and a long flat valley
    f = lambda x: np.exp(-3 * (x[0] + 2)) + 0.05 * (x[0] - 4) ** 2 + 5 * x[1] ** 2
    slope, start = dk.value_and_grad(f), np.array([-3.0, 1.0])
    paths, values = {}, {}
    for name, optimizer in optimizers.items():
        x, state = start, optimizer.init(start)
        paths[name], values[name] = [x], []
        for _ in range(600):
            value, g = slope(x)
            values[name].append(float(value))
            x, state = optimizer.update(g, state, x)
            paths[name].append(x)
        values[name].append(float(f(x)))

    # epsilon keeps a step finite where all gradients were tiny
    tiny = dk.optim.RMSProp(learning_rate=1.0, alpha=0.9)
    first, _ = tiny.update(np.array([1e-12, 1.0]), tiny.init(np.zeros(2)), np.zeros(2))
    return {
        "lengths": {k: np.array(v) for k, v in lengths.items()},
        "f": f,
        "paths": {k: np.array(p) for k, p in paths.items()},
        "values": {k: np.array(v) for k, v in values.items()},
        "first": -first,
    }


def claims(r: dict) -> list[Claim]:
    a, b = r["lengths"]["AdaGrad"], r["lengths"]["RMSProp"]
    recovered = int(np.argmax(b[50:] > 0.9 * 0.01))
    n = np.arange(1, 51)
    exact = 0.01 / np.sqrt(1 - 0.9**n)
    off = float(np.max(np.abs(b[:50] / exact - 1)))
    end = {k: float(v[-1]) for k, v in r["values"].items()}
    return [
        Claim(
            f"Under a constant gradient step n has the length α/√(1 − βⁿ), to {off:.0e}: {b[0] / 0.01:.3f}·α the first, "
            f"{b[49] / 0.01:.3f}·α the fiftieth.",
            off < 1e-8,
            {"largest relative deviation": off},
        ),
        Claim(
            f"It forgets: {recovered} steps after gradients fall from 100 to 1 its steps are back at 90% of α. AdaGrad's "
            f"are {a[-1] / a[0]:.1e} of its first even 150 steps after.",
            recovered < 150 and a[-1] < 0.01 * a[0],
            {"steps to recover": recovered},
        ),
        Claim(
            f"In a flat valley after a steep start it gets down to {end['RMSProp']:.2g} in 600 steps, AdaGrad, at ten "
            f"times the learning rate, to {end['AdaGrad']:.2g}.",
            end["RMSProp"] < end["AdaGrad"],
            end,
        ),
        Claim(
            f"Where gradients are as small as 1e-12, ε = 1e-8 makes the first step {r['first'][0]:.1e}·α "
            f"rather than {r['first'][1]:.2f}·α.",
            r["first"][0] < 1e-3,
            {"first step": float(r["first"][0])},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n = np.arange(1, 201)
    land = landscape(r["f"], (-3.2, 4.6), (-1.1, 1.1))
    return [
        Chart(
            "Gradients fall from 100 to 1 at step 50",
            "step",
            "length of the step",
            [Line(n, v, name) for name, v in r["lengths"].items()],
            "y",
        ),
        Chart(
            "A steep start, a flat valley",
            "x",
            "y",
            [Line.through(r["paths"][n][::6], n, "both", c) for c, n in ((1, "RMSProp"), (0, "AdaGrad"))],
            landscape=land,
            caption="Every sixth of 600 steps.",
        ),
        Chart("The value, on the way", "step", "f", [Line(np.arange(601), v, name) for name, v in r["values"].items()]),
    ]


ROW = Row(
    id="B8",
    title="RMSProp",
    says="AdaGrad with a memory that fades: a running mean of squared gradients in the place of their sum, "
    "so that steps do not die out.",
    formulas=(
        r"s \leftarrow \beta s + (1 - \beta) g^2 \qquad x \leftarrow x - \frac{\alpha g}{\sqrt{s} + \varepsilon}",
        r"g \text{ constant}: \quad \frac{|x_{n} - x_{n-1}|}{\alpha} = \frac{1}{\sqrt{1 - \beta^n}}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=("R7 leaves the root out; the step would then grow as gradients shrink.",),
    sources="L2, R7, C6",
)
