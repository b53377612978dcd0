"""B10: AdamW beside Adam with L2."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line
from ..row import Claim, Row


def example() -> dict:
    # weights that the loss does not need: their gradients are noise, of size 10 for 200 of them and 0.1 for 200 others
    noise = np.random.default_rng(0).choice([-1.0, 1.0], size=(1000, 2, 200)) * np.array([[10.0], [0.1]])
    optimizers = {
        "Adam with L2": dk.optim.Adam(learning_rate=1e-3, weight_decay=0.3),
        "AdamW": dk.optim.AdamW(learning_rate=1e-3, weight_decay=0.3),
    }
    weights = {}
    for name, optimizer in optimizers.items():
        w = np.ones((2, 200))
        state, path = optimizer.init(w), [w.mean(axis=1)]
        for g in noise:
            w, state = optimizer.update(g, state, w)
            path.append(w.mean(axis=1))
        weights[name] = np.array(path)

    # where the learning rate stands: torch decays by lr·λ, the paper by η·λ with a schedule multiplier η
    torch = optimizers["AdamW"]
    paper = dk.optim.AdamW(learning_rate=1e-3, weight_decay=3e-4, flavor="paper")
    ends = []
    for optimizer in (torch, paper):
        w = np.ones((2, 200))
        state = optimizer.init(w)
        for g in noise:
            w, state = optimizer.update(g, state, w)
        ends.append(w)

    # the decay alone, under a schedule of multipliers: no gradient at all
    cosine = dk.optim.schedules.cosine(lr=1.0, T_max=1000)
    scheduled = dk.optim.AdamW(learning_rate=1e-3, weight_decay=3e-4, flavor="paper", eta=cosine)
    alone, state = np.array([1.0]), scheduled.init(np.array([1.0]))
    for _ in range(1000):
        alone, state = scheduled.update(np.zeros(1), state, alone)
    product = np.prod(1 - 3e-4 * cosine(np.arange(1000)))
    return {"weights": weights, "ends": ends, "alone": float(alone[0]), "product": float(product)}


def claims(r: dict) -> list[Claim]:
    l2, decoupled = (w[-1] for w in r["weights"].values())
    expected = (1 - 3e-4) ** 1000
    same = float(np.max(np.abs(r["ends"][0] / r["ends"][1] - 1)))
    return [
        Claim(
            "With L2 in the gradient, Adam divides the penalty by the size of the gradients: after 1000 steps from 1 weights "
            f"with large gradients are at {l2[0]:.3f} on average, those with small ones at {l2[1]:.3f}.",
            bool(l2[0] > 0.9 and l2[1] < 0.5),
            {"large gradients": float(l2[0]), "small gradients": float(l2[1])},
        ),
        Claim(
            f"AdamW shrinks all by the same factor: {decoupled[0]:.3f} and {decoupled[1]:.3f}, about (1 − "
            f"αλ)¹⁰⁰⁰ = {expected:.3f}.",
            bool(np.max(np.abs(decoupled - expected)) < 0.01),
            {"large gradients": float(decoupled[0]), "small gradients": float(decoupled[1])},
        ),
        Claim(
            f"torch's λ = 0.3 is the paper's λ = 0.3·α = 3e-4, to {same:.0e} after 1000 steps.",
            same < 1e-11,
            {"relative difference": same},
        ),
        Claim(
            f"With a schedule multiplier η and no gradient what is left is Π(1 − ηₙλ) = {r['product']:.6f}; "
            f"measured {r['alone']:.6f}.",
            abs(r["alone"] - r["product"]) < 1e-12,
            {"left": r["alone"]},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n = np.arange(1001)
    lines = []
    for k, (name, w) in enumerate(r["weights"].items()):
        lines += [
            Line(n, w[:, 0], f"{name}, large gradients", colour=k),
            Line(n, w[:, 1], f"{name}, small gradients", "dashed", k),
        ]
    return [
        Chart(
            "Weights that decay should remove",
            "step",
            "weight",
            [*lines, Line(n, (1 - 3e-4) ** n, "(1 − αλ)ⁿ", "theory")],
            caption="Means of 200 weights; α = 1e-3, λ = 0.3; gradients are ±10 and ±0.1 at random. AdamW's two curves lie on "
            "(1 − αλ)ⁿ.",
        )
    ]


ROW = Row(
    id="B10",
    title="AdamW",
    says="Weight decay is taken out of the gradient and applied to the weights themselves. In Adam with L2 the penalty is "
    "divided by the root of the second moment, like any gradient, and weights with large gradients hardly decay. Algorithm 2 "
    "prints both, in its lines 12 and 6: they are alternatives.",
    formulas=(
        r"x \leftarrow x - \eta \left( \frac{\alpha \hat{m}}{\sqrt{\hat{v}} + \varepsilon} + \lambda x "
        r"\right) \quad \text{(AdamW)}",
        r"g \leftarrow \nabla f(x) + \lambda x \quad \text{(Adam with L2)}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    sources="L2, C6 (Loshchilov and Hutter 2019, algorithm 2)",
)
