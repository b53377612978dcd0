"""A7: a ReLU network differentiated by hand, and the errors of classifiers."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    def loss(p, x, y):
        hidden = np.maximum(0.0, p["W1"] @ x + p["c1"])
        return np.sum((p["W2"] @ hidden + p["c2"] - y) ** 2)

    def by_hand(p, x, y):
        z = p["W1"] @ x + p["c1"]
        hidden = np.maximum(0.0, z)
        error = 2 * (p["W2"] @ hidden + p["c2"] - y)  # a column of 2
        back = (p["W2"].T @ error) * (z > 0)  # a column of 3
        return {"W1": np.outer(back, x), "c1": back, "W2": np.outer(error, hidden), "c2": error}

    rng = np.random.default_rng(1)
    sizes, engines = {"W1": (3, 3), "c1": (3,), "W2": (2, 3), "c2": (2,)}, ("symbolic", "forward", "reverse", "finite")
    p, x, y = {k: rng.normal(size=s) for k, s in sizes.items()}, rng.normal(size=3), rng.normal(size=2)
    p["c1"] = np.array([1.0, -1.0, 0.5]) - p["W1"] @ x  # z is (1, -1, 0.5): two units on, one off
    on = p["W1"] @ x + p["c1"] > 0
    hand = by_hand(p, x, y)
    found = {e: dk.grad(lambda p: loss(p, x, y), engine=e)(p) for e in engines}
    slope, worst = dk.grad(loss), 0.0
    joined = lambda g: np.concatenate([g[k].ravel() for k in sizes])
    for _ in range(500):
        q, u, v = {k: rng.normal(size=s) for k, s in sizes.items()}, rng.normal(size=3), rng.normal(size=2)
        a, b = joined(by_hand(q, u, v)), joined(slope(q, u, v))
        worst = max(worst, np.abs(a - b).max() / np.abs(a).max())

    # two classes: the derivative of cross-entropy by the logit is p - y, at any size of the logit
    logit = np.concatenate([np.linspace(-8, 8, 161), [-800.0, 800.0]])
    two = {}
    for label in (0.0, 1.0):
        entropy = lambda f, label=label: dk.nn.binary_cross_entropy_with_logits(
            f, np.full(f.shape, label), reduction="sum"
        )
        two[label] = {e: dk.grad(entropy, engine=e)(logit[:161]) for e in engines[1:]}
        two[label]["far"] = dk.grad(entropy)(logit[161:])
    sigmoid = np.where(logit > 0, 1 / (1 + np.exp(-np.abs(logit))), 1 - 1 / (1 + np.exp(-np.abs(logit))))

    # many classes: p - y again, with the softmax for p
    scores, target = rng.normal(size=(6, 4)), np.eye(4)[rng.integers(4, size=6)]
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    many = {e: dk.grad(lambda s: dk.nn.softmax_cross_entropy(s, target, "sum"), engine=e)(scores) for e in engines[1:]}
    result = {"on": on, "hand": hand, "found": found, "worst": worst, "logit": logit, "sigmoid": sigmoid, "two": two}
    return {**result, "many": {e: np.abs(g - (softmax - target)).max() for e, g in many.items()}}


def _apart(a: dict, b: dict) -> dict[str, float]:
    return {k: float(np.max(np.abs(a[k] - b[k])) / np.max(np.abs(b[k]))) for k in b}


def claims(r: dict) -> list[Claim]:
    off = {e: max(_apart(g, r["hand"]).values()) for e, g in r["found"].items()}
    count = sum(g.size for g in r["hand"].values())
    p = r["sigmoid"][:161]
    two = {
        e: max(float(np.max(np.abs(gs[e] - (p - y)))) for y, gs in r["two"].items())
        for e in ("forward", "reverse", "finite")
    }
    far = np.array([r["two"][y]["far"] for y in (0.0, 1.0)])
    many = max(float(v) for v in r["many"].values())
    return [
        Claim(
            f"With {r['on'].sum()} of 3 units on, the closed forms of all {count} parameters are what the engines give: "
            + ", ".join(f"{e} to {v:.0e}" for e, v in off.items())
            + ".",
            count == 20 and max(off.values()) < 1e-11 and 0 < r["on"].sum() < 3,
            off,
        ),
        Claim(
            "On 500 random networks, each with units of its own switched off, reverse mode and the formulas agree to "
            f"{r['worst']:.0e}.",
            r["worst"] < 1e-13,
            {"largest relative difference": float(r["worst"])},
        ),
        Claim(
            f"Sigmoid and cross-entropy: ∂l/∂f = p − y at 161 logits and both labels: forward to {two['forward']:.0e}, "
            f"reverse to {two['reverse']:.0e}, finite, from values of the sum, to {two['finite']:.0e}. At f = −800 and "
            f"800, where eᶠ or e⁻ᶠ overflows, it is {far[0, 0]:.0f} and {far[0, 1]:.0f} for y = 0, {far[1, 0]:.0f} and "
            f"{far[1, 1]:.0f} for y = 1.",
            max(two["forward"], two["reverse"]) < 1e-14
            and two["finite"] < 1e-9
            and np.array_equal(far, [[0, 1], [-1, 0]]),
            {f"largest difference, {e}": v for e, v in two.items()},
        ),
        Claim(
            f"Softmax and cross-entropy: ∂L/∂f = p − y to {many:.0e}, for 6 examples of 4 classes.",
            many < 1e-11,
            {"largest difference": many},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    f, p = r["logit"][:161], r["sigmoid"][:161]
    some = slice(None, None, 10)
    lines = []
    for k, y in enumerate((0.0, 1.0)):
        lines += [
            Line(f, p - y, f"p − y, y = {y:.0f}", colour=k),
            Line(f[some], r["two"][y]["reverse"][some], "reverse mode" if k == 0 else "", "dots", k),
        ]
    return [
        Chart(
            "The error of a classifier",
            "logit f",
            "∂l/∂f",
            lines,
            caption="Between −1 and 1, and 0 by rounding only: a right logit is still pushed on.",
        )
    ]


def tables(r: dict) -> list[Table]:
    formulas = {
        "W1": "(W2ᵀ·2(f − y) ⊙ [z > 0]) xᵀ",
        "c1": "W2ᵀ·2(f − y) ⊙ [z > 0]",
        "W2": "2(f − y) Hᵀ",
        "c2": "2(f − y)",
    }
    rows = [
        [
            f"∂/∂{k}",
            formulas[k],
            str(r["hand"][k].shape),
            *(f"{_apart(g, r['hand'])[k]:.0e}" for g in r["found"].values()),
        ]
        for k in formulas
    ]
    columns = ["derivative", "closed form", "shape", *r["found"]]
    return [Table("Relative difference to the closed forms", columns, rows, words=frozenset({1, 2}))]


ROW = Row(
    id="A7",
    title="By hand: a ReLU network",
    says="Three inputs, three ReLU units, two outputs and a squared loss: twenty parameters, four closed forms. For "
    "classifiers the "
    "derivative by the last layer's output is as simple: what was predicted less what is true. x, z, H and f are "
    "columns; [z > 0] is 1 where a unit is on, else 0.",
    formulas=(
        r"z = W_1 x + c_1 \qquad H = \max(0, z) \qquad f = W_2 H + c_2 \qquad \ell = \|f - y\|^2",
        r"\frac{\partial \ell}{\partial W_2} = 2 (f - y) H^T \qquad \frac{\partial \ell}{\partial c_2} = 2 (f - y)",
        r"\frac{\partial \ell}{\partial W_1} = \left( W_2^T\, 2 (f - y) \odot [z > 0] \right) x^T \qquad "
        r"\frac{\partial \ell}{\partial c_1} = W_2^T\, 2 (f - y) \odot [z > 0]",
        r"\frac{\partial \ell}{\partial f} = p - y \qquad p = \sigma(f) \quad \text{or} \quad p_k = "
        r"\frac{e^{f_k}}{\sum_j e^{f_j}}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=(
        "DS writes ∂/∂f as a row and multiplies it as a column: with x, H and f columns, 2(f − y)Hᵀ and (W2ᵀ·2(f − y) "
        "⊙ [z > 0]) xᵀ "
        "have the shapes of W2 and W1.",
    ),
    sources="DS",
)
