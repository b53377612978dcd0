"""A6: a sigmoid network differentiated by hand."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    sigmoid = lambda z: 1 / (1 + np.exp(-z))

    def network(p, x):
        a = sigmoid(x @ p["W1"] + p["b1"])
        return a, sigmoid(a @ p["W2"] + p["b2"])

    def loss(p, x, y):
        h = network(p, x)[1]
        return -np.sum(y * np.log(h) + (1 - y) * np.log(1 - h))

    def by_hand(p, x, y):
        a, h = network(p, x)
        delta = h - y  # of the last layer, before its sigmoid
        back = (delta @ p["W2"].T) * a * (1 - a)
        return {"W1": x.T @ back, "b1": back.sum(axis=0), "W2": a.T @ delta, "b2": delta.sum(axis=0)}

    rng = np.random.default_rng(0)
    x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]])
    sizes = {"W1": (2, 4), "b1": (4,), "W2": (4, 1), "b2": (1,)}
    p = {name: rng.normal(size=size) for name, size in sizes.items()}

    # one example, as on the slide, by four engines; then a batch, judged by differences
    hand = by_hand(p, x[1:2], y[1:2])
    engines = ("symbolic", "forward", "reverse", "finite")
    found = {e: dk.grad(lambda p: loss(p, x[1:2], y[1:2]), engine=e)(p) for e in engines}
    checked = dk.check_gradient(lambda p: loss(p, x, y), p, lambda p: by_hand(p, x, y))

    # the transposes matter: the same product, the wrong way round, where the shapes happen to fit
    square = {
        "W1": rng.normal(size=(3, 3)),
        "b1": rng.normal(size=3),
        "W2": rng.normal(size=(3, 1)),
        "b2": rng.normal(size=1),
    }
    one, label = rng.normal(size=(1, 3)), np.ones((1, 1))
    turned = lambda p: {k: g.T if k == "W1" else g for k, g in by_hand(p, one, label).items()}
    slip = dk.check_gradient(lambda p: loss(p, one, label), square, turned)

    # learning exclusive or, by the formulas and by reverse mode
    slope = dk.value_and_grad(loss)
    ours, theirs, losses, apart = p, p, [], []
    for _ in range(2000):
        value, g = slope(theirs, x, y)
        losses.append(float(value))
        theirs = {k: theirs[k] - 0.5 * g[k] for k in g}
        hand_g = by_hand(ours, x, y)
        ours = {k: ours[k] - 0.5 * hand_g[k] for k in g}
        apart.append(max(np.abs(ours[k] - theirs[k]).max() / np.abs(theirs[k]).max() for k in g))
    answers = network(theirs, x)[1].ravel()
    result = {"hand": hand, "found": found, "checked": checked, "slip": slip}
    return {**result, "losses": np.array(losses), "apart": np.array(apart), "answers": answers}


def _apart(a: dict, b: dict) -> dict[str, float]:
    return {k: float(np.max(np.abs(a[k] - b[k])) / np.max(np.abs(b[k]))) for k in b}


def claims(r: dict) -> list[Claim]:
    off = {e: max(_apart(g, r["hand"]).values()) for e, g in r["found"].items()}
    checked, slip = r["checked"], r["slip"]
    apart, answers = r["apart"], r["answers"]
    return [
        Claim(
            "On one example the closed forms are what the engines give, all 17 derivatives: "
            + ", ".join(f"{e} to {v:.0e}" for e, v in off.items())
            + ".",
            max(off.values()) < 1e-12,
            off,
        ),
        Claim(
            f"On a batch of 4 a gradient check by differences finds {checked.wrong} of the {checked.judged} entries of "
            f"the closed forms off: {checked.verdict}.",
            bool(checked) and checked.judged == 17,
            {"entries judged": checked.judged, "entries off": checked.wrong},
        ),
        Claim(
            f"With ∂L/∂W1 the wrong way round (in a network of 3 inputs and 3 hidden units, where its shape fits) "
            f"{slip.wrong} of {slip.judged} entries are off, and the check says what it is: “{slip.suspects[0]}”.",
            not slip and slip.suspects[0].code == "transposed",
            {"entries off": slip.wrong},
        ),
        Claim(
            f"{len(apart):,} steps of gradient descent, by the formulas and by reverse mode, stay within "
            f"{apart.max():.0e} of each other, and learn exclusive or: h = {', '.join(f'{a:.3f}' for a in answers)} for "
            "y = 0, 1, 1, 0.",
            bool(apart.max() < 1e-9 and np.max(np.abs(answers - [0, 1, 1, 0])) < 0.1),
            {"largest relative difference": float(apart.max()), "loss": float(r["losses"][-1])},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    steps = np.arange(1, len(r["losses"]) + 1)
    return [
        Chart("Learning exclusive or", "step", "cross-entropy", [Line(steps, r["losses"])], "y"),
        Chart(
            "The formulas and reverse mode, trained side by side",
            "step",
            "largest relative difference of parameters",
            [Line(steps, np.maximum(r["apart"], 1e-17))],
            "y",
            "Round-off, which training carries along. A difference of 0 is drawn at 10⁻¹⁷.",
        ),
    ]


def tables(r: dict) -> list[Table]:
    formulas = {"W1": "xᵀ(δW2ᵀ ⊙ a(1 − a))", "b1": "δW2ᵀ ⊙ a(1 − a)", "W2": "aᵀδ", "b2": "δ"}
    rows = [
        [
            f"∂L/∂{k}",
            formulas[k],
            str(r["hand"][k].shape),
            *(f"{_apart(g, r['hand'])[k]:.0e}" for g in r["found"].values()),
        ]
        for k in formulas
    ]
    columns = ["derivative", "closed form", "shape", *r["found"]]
    return [Table("Relative difference to the closed forms", columns, rows, words=frozenset({1, 2}))]


ROW = Row(
    id="A6",
    title="By hand: a sigmoid network",
    says="A network of two sigmoid layers under cross-entropy is small enough for the chain rule on paper. The error δ "
    "of the last layer is simply h − y, because the slope of the sigmoid cancels. x is a row, and ⊙ multiplies entry by "
    "entry.",
    formulas=(
        r"a = \sigma(x W_1 + b_1) \qquad h = \sigma(a W_2 + b_2) \qquad L = -y \ln h - (1 - y) \ln(1 - h)",
        r"\delta = h - y \qquad \frac{\partial L}{\partial W_2} = a^T \delta \qquad \frac{\partial L}{\partial b_2} = "
        r"\delta \qquad "
        r"\frac{\partial L}{\partial W_1} = x^T (\delta W_2^T \odot a (1 - a)) \qquad "
        r"\frac{\partial L}{\partial b_1} = \delta W_2^T \odot a (1 - a)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=("OT multiplies by W2 where the shapes ask for its transpose: δ W2ᵀ.",),
    sources="OT, L2",
)
