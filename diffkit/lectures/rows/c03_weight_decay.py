"""C3: weight decay beside L2."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Mark, landscape
from ..row import Claim, Row


def example() -> dict:
    f = lambda w: ((w[0] - 3) ** 2 + 20 * (w[1] - 1) ** 2) / 2
    slope, start, lam = dk.grad(f), np.array([-1.0, 3.0]), 0.3
    optimizers = {
        "plain SGD": (0.02, lambda l2: dk.optim.SGD(0.02, weight_decay=l2)),
        "momentum": (0.02, lambda l2: dk.optim.SGD(0.02, momentum=0.9, weight_decay=l2)),
        "Adam": (0.1, lambda l2: dk.optim.Adam(0.1, weight_decay=l2)),
    }
    paths = {}
    for name, (rate, make) in optimizers.items():
        # L2: λw is added to the gradient, and goes wherever the gradient goes
        optimizer, w = make(lam), start
        state, path = optimizer.init(w), [w]
        for _ in range(400):
            w, state = optimizer.update(slope(w), state, w)
            path.append(w)
        paths[name, "L2"] = np.array(path)

        # decay: the weights themselves shrink by the factor 1 − αλ
        optimizer, w = make(0.0), start
        state, path = optimizer.init(w), [w]
        for _ in range(400):
            g = slope(w)
            w, state = optimizer.update(g, state, (1 - rate * lam) * w)
            path.append(w)
        paths[name, "decay"] = np.array(path)

    # dk.optim.AdamW is Adam with decay
    optimizer, w = dk.optim.AdamW(0.1, weight_decay=lam), start
    state = optimizer.init(w)
    for _ in range(400):
        w, state = optimizer.update(slope(w), state, w)
    # the minimum of f + λ/2·‖w‖², and the one with (1 − μ)λ instead of λ
    ridge, weaker = (np.array([3 / (1 + c), 20 / (20 + c)]) for c in (lam, 0.1 * lam))
    return {"f": f, "paths": paths, "adamw": w, "ridge": ridge, "weaker": weaker}


def claims(r: dict) -> list[Claim]:
    apart = {
        n: np.max(np.abs(r["paths"][n, "L2"] - r["paths"][n, "decay"]), axis=1)
        for n in ("plain SGD", "momentum", "Adam")
    }
    largest = {n: float(v.max()) for n, v in apart.items()}
    ends = {n: float(v[-1]) for n, v in apart.items()}
    for way, minimum in (("L2", r["ridge"]), ("decay", r["weaker"])):
        ends[f"{way}, momentum"] = float(np.max(np.abs(r["paths"]["momentum", way][-1] - minimum)))
    adamw = float(np.max(np.abs(r["adamw"] - r["paths"]["Adam", "decay"][-1])))
    ridge = float(np.max(np.abs(r["paths"]["plain SGD", "L2"][-1] - r["ridge"])))
    return [
        Claim(
            f"For plain SGD they are the same: 400 steps stay within {largest['plain SGD']:.0e}, and end "
            f"{ridge:.0e} from the minimum of f + λ/2·‖w‖².",
            largest["plain SGD"] < 1e-13 and ridge < 2e-4,
            {"largest difference": largest["plain SGD"]},
        ),
        Claim(
            f"With momentum they differ, by up to {largest['momentum']:.2g}: L2 goes through the velocity, which makes it "
            f"1/(1 − μ) = 10 times as strong, decay does not. They end {ends['momentum']:.2g} apart: L2 at the same minimum, "
            f"to {ends['L2, momentum']:.0e}, decay at the one with λ/10, to {ends['decay, momentum']:.0e}.",
            ends["momentum"] > 0.1 and max(ends["L2, momentum"], ends["decay, momentum"]) < 1e-6,
            {"largest difference": largest["momentum"], "at the end": ends["momentum"]},
        ),
        Claim(
            f"With Adam they differ, by up to {largest['Adam']:.2g}, and end {ends['Adam']:.2g} apart.",
            largest["Adam"] > 0.01 and ends["Adam"] > 0.01,
            {"largest difference": largest["Adam"], "at the end": ends["Adam"]},
        ),
        Claim(
            f"AdamW is Adam with decay, to {adamw:.0e} after 400 steps.", adamw < 1e-12, {"largest difference": adamw}
        ),
    ]


def charts(r: dict) -> list[Chart]:
    land = landscape(r["f"], (-1.5, 4.2), (-1.0, 3.3))
    names = {"plain SGD": "Plain SGD: one path", "momentum": "Momentum: two", "Adam": "Adam: two"}
    return [
        Chart(
            title,
            "w₁",
            "w₂",
            [Line.through(r["paths"][n, "L2"], "L2"), Line.through(r["paths"][n, "decay"], "decay", "dashed")],
            landscape=land,
            marks=[Mark(3.0, 1.0, "min f"), Mark(r["ridge"][0], r["ridge"][1], "", "cross")],
            caption="The cross is the minimum with λ/2·‖w‖².",
        )
        for n, title in names.items()
    ] + [
        Chart(
            "How far apart",
            "step",
            "largest difference",
            [
                Line(
                    np.arange(401),
                    np.maximum(np.max(np.abs(r["paths"][n, "L2"] - r["paths"][n, "decay"]), axis=1), 1e-17),
                    n,
                )
                for n in names
            ],
            "y",
        )
    ]


ROW = Row(
    id="C3",
    title="Weight decay and L2",
    says="Shrinking the weights by a factor at each step (decay), or adding the penalty's gradient to the loss's (L2): one "
    "and the same for plain SGD only.",
    formulas=(
        r"g = \nabla f(w) \qquad w - \alpha (g + \lambda w) = (1 - \alpha\lambda) w - \alpha g",
        r"\text{L2: } v \leftarrow \mu v + g + \lambda w, \, w \leftarrow w - \alpha v",
        r"\text{decay: } v \leftarrow \mu v + g \qquad "
        r"w \leftarrow w - \alpha (v + \lambda w) = (1 - \alpha\lambda) w - \alpha v",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=(
        "C6 says that they are equivalent for SGD with momentum too; DS's footnote that momentum destroys "
        "the relation is right.",
    ),
    sources="L2, C6, DS",
)
