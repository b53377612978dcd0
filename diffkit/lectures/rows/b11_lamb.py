"""B11: LAMB."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(256, 10)), rng.normal(size=256)

    # two layers whose weights differ in size by a factor of 10,000
    params = {"large": 100 * rng.normal(size=(10, 10)), "small": 0.01 * rng.normal(size=10)}
    slope = dk.value_and_grad(lambda p: np.mean((np.tanh(X @ p["large"] / 100) @ p["small"] - y) ** 2))
    optimizers = {
        "LAMB": dk.optim.LAMB(learning_rate=0.01, weight_decay=0.0),
        "Adam": dk.optim.Adam(learning_rate=0.01),
    }
    relative, values = {}, {}
    for name, optimizer in optimizers.items():
        p, state = params, optimizer.init(params)
        relative[name], values[name] = {"large": [], "small": []}, []
        for _ in range(200):
            value, g = slope(p)
            values[name].append(float(value))
            new, state = optimizer.update(g, state, p)
            for layer in params:  # how far a step moves the layer, relative to its size
                relative[name][layer].append(np.linalg.norm(new[layer] - p[layer]) / np.linalg.norm(p[layer]))
            p = new

    # the trust ratio ‖x‖/‖r‖ of the first step, in which r = g/(|g| + ε)
    lamb, (_, g) = optimizers["LAMB"], slope(params)
    moved, _ = lamb.update(g, lamb.init(params), params)
    sizes, trust, seen = {}, {}, {}
    for layer, w in params.items():
        r = g[layer] / (np.abs(g[layer]) + 1e-6)
        sizes[layer] = np.linalg.norm(w)
        trust[layer] = sizes[layer] / np.linalg.norm(r)
        seen[layer] = np.linalg.norm(moved[layer] - w) / np.linalg.norm(0.01 * r)
    return {"relative": relative, "values": values, "trust": trust, "seen": seen, "sizes": sizes}


def claims(r: dict) -> list[Claim]:
    lamb = np.array(list(r["relative"]["LAMB"].values()))
    adam = np.array(list(r["relative"]["Adam"].values()))
    off = float(np.max(np.abs(lamb / 0.01 - 1)))
    ratio = float(adam[1, 0] / adam[0, 0])
    trust = float(max(abs(r["seen"][k] / r["trust"][k] - 1) for k in r["trust"]))
    return [
        Claim(
            f"Every step moves every layer by α of its own size: ‖Δx‖/‖x‖ = 0.01 in all 400 cases, to {off:.0e}.",
            off < 1e-10,
            {"largest relative deviation": off},
        ),
        Claim(
            f"Adam moves every weight by about α, so relative to its size the small layer moves {ratio:,.0f} "
            "times as far as the large one in the first step.",
            ratio > 5000,
            {"ratio": ratio},
        ),
        Claim(
            f"The trust ratios of the first step are {r['seen']['large']:.3g} and {r['seen']['small']:.3g}, "
            f"what ‖x‖/‖r‖ by hand gives to {trust:.0e}.",
            trust < 1e-8,
            {f"trust ratio, {k}": float(v) for k, v in r["seen"].items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n = np.arange(1, 201)
    lines = [
        Line(n, v, f"{name}, {layer} layer", "line" if layer == "large" else "dashed", k)
        for k, (name, layers) in enumerate(r["relative"].items())
        for layer, v in layers.items()
    ]
    return [
        Chart(
            "How far a step moves a layer",
            "step",
            "‖Δx‖/‖x‖",
            lines,
            "y",
            "α = 0.01. LAMB's two curves lie on each other.",
        ),
        Chart("The loss", "step", "loss", [Line(n, v, name) for name, v in r["values"].items()]),
    ]


def tables(r: dict) -> list[Table]:
    rows = [[k, f"{r['sizes'][k]:.4g}", f"{r['seen'][k]:.4g}", f"{r['trust'][k]:.4g}"] for k in r["sizes"]]
    return [Table("The first step", ["layer", "‖x‖", "trust ratio, measured", "‖x‖/‖r‖ by hand"], rows)]


ROW = Row(
    id="B11",
    title="LAMB",
    says="Adam's direction, scaled layer by layer so that each moves by a fixed part of its size: made for very large batches, "
    "with which its paper trains BERT in 76 minutes.",
    formulas=(
        r"r = \frac{\hat{m}}{\sqrt{\hat{v}} + \varepsilon} + \lambda x \qquad x \leftarrow x - \alpha "
        r"\frac{\|x\|}{\|r\|}\, r",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="DS (by name; You et al. 2019)",
)
