"""C2: L1 and elastic net."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line
from ..row import Claim, Row


def example() -> dict:
    # the kink: what the gradient of |w| is at 0
    penalty = lambda w: dk.nn.l1(w, 1.0)
    w = np.array([-2.0, 0.0, 3.0])
    slopes = {"as computed": dk.grad(penalty)(w)}
    for side in ("left", "right"):
        with dk.kinks(side):
            slopes[side] = dk.grad(penalty)(w)

    # a sparse truth: 5 of 40 weights; orthonormal columns, where the minimum has a closed form
    rng = np.random.default_rng(0)
    X, _ = np.linalg.qr(rng.normal(size=(80, 40)))
    truth = np.where(np.arange(40) < 5, np.array([3.0, -2.0, 1.5, 1.0, -4.0] + 35 * [0.0]), 0.0)
    y = X @ truth + 0.07 * rng.normal(size=80)
    fit, lam = X.T @ y, 0.3
    loss = lambda w: np.sum((X @ w - y) ** 2) / 2
    minima = {
        "no penalty": fit,
        "L1": np.sign(fit) * np.maximum(np.abs(fit) - lam, 0),
        "elastic net": np.sign(fit) * np.maximum(np.abs(fit) - lam, 0) / (1 + 2 * lam * 0.5),
        "L2": fit / (1 + lam),
    }
    penalties = {
        "no penalty": lambda w: 0.0,
        "L1": lambda w: dk.nn.l1(w, lam),
        "elastic net": lambda w: dk.nn.elastic_net(w, beta=0.5, lam=lam),
        "L2": lambda w: dk.nn.l2(w, lam),
    }
    # at a minimum no weight can go down on either side: left slope ≤ 0 ≤ right slope
    room = {}
    for name, penalty in penalties.items():
        sides = []
        for side in ("left", "right"):
            with dk.kinks(side):
                sides.append(dk.grad(lambda w: loss(w) + penalty(w))(minima[name]))
        room[name] = max(sides[0].max(), -sides[1].min())

    # one input given twice: gradient steps of 1/4 on the loss, then the penalty's own (soft thresholding, shrinking)
    twice, shared = dk.grad(lambda w: np.sum((X[:, 0] * (w[0] + w[1]) - y) ** 2) / 2), {}
    for name, beta in {"L1": 0.0, "elastic net": 0.5}.items():
        w = np.array([2.0, 0.0])
        for _ in range(500):
            w = w - twice(w) / 4
            w = np.sign(w) * np.maximum(np.abs(w) - lam / 4, 0) / (1 + 2 * beta * lam / 4)
        shared[name] = w

    # subgradient steps, which take 0 as the slope at 0, come near but seldom to 0 itself
    slope = dk.grad(lambda w: loss(w) + dk.nn.l1(w, lam))
    optimizer, v = dk.optim.SGD(learning_rate=dk.optim.schedules.polynomial(lr=0.5, power=0.75)), np.zeros(40)
    state = optimizer.init(v)
    for _ in range(2000):
        v, state = optimizer.update(slope(v), state, v)
    return {"slopes": slopes, "minima": minima, "room": room, "truth": truth, "shared": shared, "by_steps": v}


def _vector(w: np.ndarray) -> str:
    return f"({', '.join(f'{v:g}' for v in w)})"


def claims(r: dict) -> list[Claim]:
    s, m = r["slopes"], r["minima"]
    zeros = {k: int(np.sum(w == 0)) for k, w in m.items()}
    worst = max(float(v) for v in r["room"].values())
    near = float(np.max(np.abs(r["by_steps"] - m["L1"])))
    right = bool(((m["L1"] == 0) == (r["truth"] == 0)).all())
    one, two = r["shared"].values()
    return [
        Claim(
            f"The gradient of Σ|w| at (−2, 0, 3) is {_vector(s['as computed'])} as computed: 0 at the kink, "
            f"of the subgradients [−1, 1]. On request it is {_vector(s['left'])} from the left and "
            f"{_vector(s['right'])} from the right.",
            bool(
                (s["as computed"] == [-1, 0, 1]).all()
                and (s["left"] == [-1, -1, 1]).all()
                and (s["right"] == [-1, 1, 1]).all()
            ),
        ),
        Claim(
            f"At all four minima left slope ≤ 0 ≤ right slope holds for each of 40 weights, to {max(worst, 0):.0e}.",
            worst < 1e-13,
            {"largest violation": worst},
        ),
        Claim(
            f"L1 sets weights to 0: {zeros['L1']} of 40, the elastic net {zeros['elastic net']}, L2 {zeros['L2']}. They are "
            f"{'just' if right else 'not'} the 35 that are 0 in truth.",
            right and zeros["L2"] == 0 == zeros["no penalty"] and zeros["elastic net"] == zeros["L1"],
            {f"zeros, {k}": v for k, v in zeros.items()},
        ),
        Claim(
            f"Subgradient steps do not: after 2000 they are within {near:.1e} of the minimum, with "
            f"{int(np.sum(r['by_steps'] == 0))} exact zeros.",
            near < 0.02 and not (r["by_steps"] == 0).any(),
            {"largest difference": near},
        ),
        Claim(
            f"An input given twice: from (2, 0) L1 ends at ({one[0]:.2f}, {one[1]:.2f}), as any split of the sum costs the "
            f"same; the elastic net at ({two[0]:.2f}, {two[1]:.2f}), as halves have the smaller squares.",
            bool(abs(one[0] - one[1] - 2) < 1e-9 and abs(two[0] - two[1]) < 1e-9 < two[0]),
            {"difference, L1": float(one[0] - one[1]), "difference, elastic net": float(two[0] - two[1])},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    w, k = np.linspace(-2, 2, 401), np.arange(1, 41)
    left, right = w < 0, w > 0
    lines = []
    for colour, (name, slope) in enumerate({"L1": np.sign(w), "elastic net, β = ½": np.sign(w) + w, "L2": w}.items()):
        lines += [Line(w[left], slope[left], name, colour=colour), Line(w[right], slope[right], colour=colour)]
    bars = [Line(k, r["minima"][n], n, "dots") for n in ("no penalty", "L1", "elastic net")]
    return [
        Chart(
            "Slopes of the penalties, λ = 1",
            "w",
            "slope",
            [*lines, Line([0.0], [0.0], "as computed at 0", "dots", 3)],
            caption="At 0 the slope jumps; anything between is a subgradient.",
        ),
        Chart("The fitted weights", "weight", "value", bars, caption="Only the first five are not 0 in truth."),
    ]


ROW = Row(
    id="C2",
    title="L1 and elastic net",
    says="The sum of absolute values as a penalty sets weights to 0, as its slope does not fade near 0. The elastic net adds "
    "a square, which shares weight between inputs that say the same.",
    formulas=(
        r"\lambda \|w\|_1 = \lambda \sum_i \left| w_i \right| \qquad \lambda \left( \beta \|w\|^2 + \|w\|_1 \right)",
        r"\partial \left| w \right| = [-1, 1] \quad \text{at } w = 0",
        r"w_i = \mathrm{sign}(z_i) \max(\left| z_i \right| - \lambda, 0)",
        r"z = X^T y \quad \text{(where } X^T X = I)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    sources="DS, R7",
)
