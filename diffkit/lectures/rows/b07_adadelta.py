"""B7: AdaDelta."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line
from ..row import Claim, Row


def example() -> dict:
    f = lambda x, scale: scale * np.sum(np.array([1.0, 30.0]) * x**2) / 2
    slope, start = dk.grad(f), np.array([1.0, 1.0])
    optimizers = {"AdaDelta": dk.optim.AdaDelta(flavor="paper"), "SGD": dk.optim.SGD(learning_rate=0.01)}

    # the same problem with its loss in other units: multiplied by 1, 10 and 1000
    runs = {}
    for name, optimizer in optimizers.items():
        for scale in (1.0, 10.0, 1000.0):
            x, state = start, optimizer.init(start)
            path = [x]
            for _ in range(400):
                x, state = optimizer.update(slope(x, scale), state, x)
                path.append(x)
            runs[name, scale] = np.array(path)

    # the rule by hand, Zeiler's algorithm 1
    rho, eps = 0.95, 1e-6
    x, s, u, by_hand = start, np.zeros(2), np.zeros(2), [start]
    for _ in range(400):
        g = slope(x, 1.0)
        s = rho * s + (1 - rho) * g**2
        d = np.sqrt(u + eps) / np.sqrt(s + eps) * g
        u = rho * u + (1 - rho) * d**2
        x = x - d
        by_hand.append(x)
    return {"runs": runs, "by_hand": np.array(by_hand), "first": np.sqrt(eps / (1 - rho))}


def claims(r: dict) -> list[Claim]:
    runs = r["runs"]
    off = float(np.max(np.abs(runs["AdaDelta", 1.0] - r["by_hand"])))
    change = float(np.max(np.abs(runs["AdaDelta", 1.0] - runs["AdaDelta", 1000.0])))
    step = np.abs(runs["AdaDelta", 1000.0][1] - 1.0)
    with np.errstate(all="ignore"):
        sgd = float(np.max(np.abs(runs["SGD", 1000.0][:20])))
    lengths = np.linalg.norm(np.diff(runs["AdaDelta", 1.0], axis=0), axis=1)
    return [
        Claim(f"400 steps agree with the rule written by hand to {off:.0e}.", off < 1e-13, {"largest difference": off}),
        Claim(
            f"There is no learning rate to tune: with the loss times 1000 the path changes by {change:.1e} at most, "
            f"while SGD at the rate 0.01 blows up, to {sgd:.0e} within 20 steps.",
            change < 0.05 and sgd > 1e6,
            {"largest change": change, "SGD": sgd},
        ),
        Claim(
            f"Epsilon sets the first step, √(ε/(1 − ρ)) = {r['first']:.2e} in every direction, however steep "
            f"(measured {step.min():.3e} and {step.max():.3e}); the longest of all steps is "
            f"{lengths.max():.2e}.",
            bool(np.max(np.abs(step / r["first"] - 1)) < 1e-3),
            {"first step": float(step.max()), "longest step": float(lengths.max())},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    runs, n = r["runs"], np.arange(401)
    lengths = np.abs(np.diff(runs["AdaDelta", 1.0], axis=0))
    shown = [("AdaDelta", 1.0), ("AdaDelta", 10.0), ("AdaDelta", 1000.0), ("SGD", 1.0), ("SGD", 10.0)]
    kinds = {1.0: "line", 10.0: "dashed", 1000.0: "dots"}
    lines = [
        Line(
            n[:: 8 if s == 1000 else 1],
            runs[name, s][:: 8 if s == 1000 else 1, 0],
            f"{name}, loss × {s:g}",
            kinds[s],
            0 if name == "AdaDelta" else 1,
        )
        for name, s in shown
    ]
    return [
        Chart(
            "The flat direction, with the loss in different units",
            "step",
            "x",
            lines,
            caption="SGD with the loss × 1000 leaves the picture at once, and is not drawn.",
            y_range=(-0.3, 1.1),
        ),
        Chart(
            "Lengths of AdaDelta's steps",
            "step",
            "|step|",
            [Line(n[1:], lengths[:, 0], "flat direction"), Line(n[1:], lengths[:, 1], "steep direction", "dashed")],
            "y",
            "The same in a direction thirty times as steep: the curves lie on each other.",
        ),
    ]


ROW = Row(
    id="B7",
    title="AdaDelta",
    says="The step is measured in units of the parameters: a running size of past steps over a running size "
    "of gradients, times the gradient. "
    "Whatever the units of the loss, the steps are the same, as long as gradients are large beside √ε.",
    formulas=(
        r"s \leftarrow \rho s + (1 - \rho) g^2",
        r"d = \frac{\sqrt{u + \varepsilon}}{\sqrt{s + \varepsilon}}\, g \qquad u \leftarrow \rho u + (1 - "
        r"\rho) d^2 \qquad x \leftarrow x - d",
    ),
    example=example,
    claims=claims,
    charts=charts,
    sources="R7 (by name; Zeiler 2012)",
)
