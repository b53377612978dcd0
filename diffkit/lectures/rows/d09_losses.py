"""D9: losses, and how to write them so that no digit is lost."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn, rng = dk.nn, np.random.default_rng(0)
    n, K = 6, 4
    prediction, target = rng.normal(size=n), rng.normal(size=n)
    truth, labels = rng.integers(0, 2, n).astype(float), rng.integers(0, K, n)
    scores = 2 * rng.normal(size=(n, K))

    # each loss, where it is evaluated, and the data
    losses = {
        "squared": (nn.squared_error, prediction, target),
        "binary, probabilities": (nn.binary_cross_entropy, nn.sigmoid(prediction), truth),
        "binary, logits": (nn.binary_cross_entropy_with_logits, prediction, truth),
        "softmax": (nn.softmax_cross_entropy, scores, labels),
        "hinge": (nn.multiclass_hinge, scores, labels),
    }
    found = {}
    for name, (loss, at, data) in losses.items():
        found[name] = {e: dk.grad(lambda x: loss(x, data), engine=e)(at) for e in ("symbolic", "forward", "reverse")}

    # logits of any size: the formula as it stands, probabilities by a sigmoid of their own, and from the logits
    z = np.linspace(-900, 60, 321)
    with np.errstate(all="ignore"):
        naive = -np.log(1 / (1 + np.exp(-z)))
    through = np.array([float(nn.binary_cross_entropy(nn.sigmoid(v), 1.0)) for v in z])
    stable = np.array([float(nn.binary_cross_entropy_with_logits(v, 1.0)) for v in z])
    slopes = dk.vmap(dk.grad(lambda v: nn.binary_cross_entropy_with_logits(v, 1.0)))(z)
    small_slope = dk.grad(lambda v: nn.binary_cross_entropy_with_logits(v, 1.0))(50.0)

    # the same with classes
    far = np.array([1000.0, 0.0, -1000.0])
    with np.errstate(all="ignore"):
        naive_far = -np.log(np.exp(far) / np.sum(np.exp(far)))
    stable_far = np.array([float(nn.softmax_cross_entropy(far, k)) for k in range(3)])
    two = np.stack([np.zeros(n), prediction], axis=1)
    binary = nn.binary_cross_entropy_with_logits(prediction, truth, "none")
    softmax = nn.softmax_cross_entropy(two, truth.astype(int), "none")

    # the slope by the right label's own score is p − 1: what is left of it where p is near 1?
    gaps = np.arange(0.0, 61.0)
    by_scores = {e: dk.grad(lambda s: nn.softmax_cross_entropy(s, 0), engine=e) for e in ("reverse", "forward")}
    own_slopes = {e: np.array([slope(np.array([gap, 0.0])) for gap in gaps]) for e, slope in by_scores.items()}

    # of the score of the label alone, beside one other class at 0
    margin = np.linspace(-4, 4, 201)
    pairs, own = np.stack([margin, np.zeros(201)], axis=1), np.zeros(201, int)
    shapes = {
        "squared, (s − 1)²": nn.squared_error(margin, np.ones(201), "none"),
        "softmax cross-entropy": nn.softmax_cross_entropy(pairs, own, "none"),
        "hinge": nn.multiclass_hinge(pairs, own, "none"),
    }
    slope_of = {
        "squared, (s − 1)²": dk.grad(lambda s: nn.squared_error(s, np.ones(201), "sum"))(margin),
        "softmax cross-entropy": dk.grad(lambda s: nn.softmax_cross_entropy(s, own, "sum"))(pairs)[:, 0],
        "hinge": dk.grad(lambda s: nn.multiclass_hinge(s, own, "sum"))(pairs)[:, 0],
    }
    return {
        "data": (prediction, target, truth, labels, scores),
        "found": found,
        "binary": (z, naive, through, stable, slopes, float(small_slope)),
        "far": (far, naive_far, stable_far),
        "own": (gaps, own_slopes),
        "two": float(np.max(np.abs(binary - softmax))),
        "margin": margin,
        "shapes": shapes,
        "slopes": slope_of,
        "small": (
            float(nn.multiclass_hinge(np.array([2.0, 1.5, -1.0]), 0)),
            float(nn.multiclass_hinge(np.array([2.0, 1.5, -1.0]), 1)),
        ),
    }


def _by_hand(r: dict) -> dict[str, np.ndarray]:
    prediction, target, truth, labels, scores = r["data"]
    n, K = scores.shape
    p, one_hot = 1 / (1 + np.exp(-prediction)), np.eye(K)[labels]
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    over = (scores - scores[np.arange(n), labels][:, None] + 1 > 0) & (one_hot == 0)
    return {
        "squared": 2 * (prediction - target) / n,
        "binary, probabilities": (p - truth) / (p * (1 - p)) / n,
        "binary, logits": (p - truth) / n,
        "softmax": (softmax - one_hot) / n,
        "hinge": (over - one_hot * over.sum(axis=1, keepdims=True)) / n,
    }


def claims(r: dict) -> list[Claim]:
    hand = _by_hand(r)
    off = {n: max(float(np.max(np.abs(g - hand[n]))) for g in found.values()) for n, found in r["found"].items()}
    z, naive, through, stable, slopes, small_slope = r["binary"]
    exact = np.logaddexp(0, -z)
    worst = float(np.max(np.abs(stable / exact - 1)))
    lost, zero = int(np.sum(~np.isfinite(naive))), int(np.sum(naive == 0))
    _, naive_far, stable_far = r["far"]
    ok, wrong = r["small"]
    gaps, own_slopes = r["own"]
    true = np.exp(-gaps) / (1 + np.exp(-gaps))
    own, digits = own_slopes["reverse"][:, 0], np.abs(own_slopes["reverse"][:, 0] / -true - 1)
    rounding = float(np.max(np.abs(own + true)))
    others = max(
        float(np.max(np.abs(own_slopes["reverse"][:, 1] / true - 1))),
        float(np.max(np.abs(own_slopes["forward"] / np.stack([-true, true], axis=1) - 1))),
    )
    return [
        Claim(
            "The gradients are those on paper, by symbolic, forward and reverse mode: "
            + ", ".join(f"{name} to {v:.0e}" for name, v in off.items())
            + ".",
            max(off.values()) < 1e-13,
            off,
        ),
        Claim(
            f"Of {len(z)} logits from {z[0]:g} to {z[-1]:g} the formula as it stands makes {lost} losses infinite and "
            f"{zero} exactly 0. Written with softplus all are right; their largest relative error is {worst:.0e}.",
            lost > 10 and zero > 1 and worst < 1e-14,
            {"infinite": lost, "zero": zero, "largest relative error": worst},
        ),
        Claim(
            f"Its slope is −1 where the answer is quite wrong (at z = {z[0]:g}: {slopes[0]:g}) and stays away from 0 "
            f"where it is right: {small_slope:.3g} at z = 50, which is −e⁻⁵⁰.",
            bool(slopes[0] == -1 and np.isfinite(slopes).all() and abs(small_slope / -np.exp(-50.0) - 1) < 1e-14),
            {"slope at the left": float(slopes[0]), "slope at 50": small_slope},
        ),
        Claim(
            f"Of probabilities the digits are gone before the loss sees them: it is at most {through.max():g}, and "
            f"exactly 0 from z = {z[through == 0].min():g} on.",
            bool(through.max() == 100 and (through[z > 38] == 0).all() and (stable > 0).all()),
            {"largest": float(through.max())},
        ),
        Claim(
            f"Logits 1000, 0, −1000: softmax as it stands gives {int(np.sum(~np.isfinite(naive_far)))} losses of 3 that "
            f"are infinite or no number; here they are {stable_far[0]:g}, {stable_far[1]:g}, {stable_far[2]:g}.",
            bool(not np.isfinite(naive_far).any() and np.array_equal(stable_far, [0, 1000, 2000])),
            {f"class {k}": float(v) for k, v in enumerate(stable_far)},
        ),
        Claim(
            f"Two classes with logits 0 and z: softmax is the binary loss of z, to {r['two']:.0e}.",
            r["two"] < 1e-14,
            {"largest difference": r["two"]},
        ),
        Claim(
            "One slope of the softmax loss does lose digits in reverse mode, as in PyTorch: that by the right label's score, "
            f"p − 1, where p is near 1. Ahead of one other class by 30 it is off by {digits[30]:.0e} of itself, by 40 it is "
            f"{abs(own[40]):g} instead of {-true[40]:.1e}. It is wrong by no more than the rounding of p: {rounding:.0e}. "
            f"The slope by the other class, and both in forward mode, are right to {others:.0e} of themselves.",
            bool(rounding < 3e-16 and digits[40] > 0.5 and others < 1e-13),
            {"by the right label, gap 40": float(own[40]), "relative, gap 30": float(digits[30]), "others": others},
        ),
        Claim(
            f"Hinge of scores 2, 1.5, −1: {ok:g} if the first is right, as one other comes nearer than 1; {wrong:g} if "
            "the second is. From a margin of 1 on it is 0, and so is its gradient; on paper cross-entropy never is.",
            bool(
                ok == 0.5
                and wrong == 1.5
                and (r["slopes"]["hinge"][r["margin"] > 1.01] == 0).all()
                and (r["slopes"]["softmax cross-entropy"] < 0).all()
            ),
            {"first right": ok, "second right": wrong},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    z, naive, through, stable, *_ = r["binary"]
    positive = lambda v: np.where(np.isfinite(v) & (v > 0), v, np.nan)
    return [
        Chart(
            "One label, one other class at 0",
            "score of the label",
            "loss",
            [Line(r["margin"], v, n) for n, v in r["shapes"].items()],
            y_range=(-0.2, 8),
            caption="The squared loss punishes what is too right as well.",
        ),
        Chart(
            "Their slopes",
            "score of the label",
            "derivative of the loss by it",
            [Line(r["margin"], v, n) for n, v in r["slopes"].items()],
            y_range=(-3, 3),
        ),
        *(
            Chart(
                title,
                "z",
                "loss",
                [
                    Line(z[part], stable[part], "from logits"),
                    Line(z[part], positive(through)[part], "from probabilities", "dashed"),
                    Line(z[part][::every], positive(naive)[part][::every], "as it stands", "dots"),
                ],
                log,
                caption,
            )
            for title, part, every, log, caption in (
                ("Label 1, and a logit that is quite wrong", z <= 0, 8, "", "Where the dots end the loss is infinite."),
                ("Label 1, and a logit that is right", z >= 0, 1, "y", "Where the curves end the loss is exactly 0."),
            )
        ),
    ]


def tables(r: dict) -> list[Table]:
    formulas = {
        "squared": ("(p − t)²", "2(p − t)/n"),
        "binary, probabilities": ("−t ln p − (1 − t) ln(1 − p)", "(p − t)/(p(1 − p))/n"),
        "binary, logits": ("t softplus(−z) + (1 − t) softplus(z)", "(σ(z) − t)/n"),
        "softmax": ("logsumexp(s) − s(y)", "(softmax(s) − y)/n"),
        "hinge": ("Σ max(0, s(j) − s(y) + 1), j ≠ y", "1/n for each j too near, −(how many)/n for y"),
    }
    hand = _by_hand(r)
    rows = [
        [name, *formulas[name], f"{max(float(np.max(np.abs(g - hand[name]))) for g in found.values()):.0e}"]
        for name, found in r["found"].items()
    ]
    columns = ["loss", "of one example", "gradient of the mean", "engines off by"]
    return [Table("Losses and their gradients", columns, rows, words=frozenset({1, 2}))]


ROW = Row(
    id="D9",
    title="Losses",
    says="What is to be made small: squared errors for numbers; cross-entropy, or the hinge, for classes. From logits "
    "cross-entropy has a gradient of prediction minus target, and can be written so that large logits cost no digits.",
    formulas=(
        r"(p - t)^2",
        r"-t \ln p - (1 - t) \ln(1 - p) = t\, \mathrm{softplus}(-z) + (1 - t)\, \mathrm{softplus}(z) \quad p = \sigma(z)",
        r"-\ln \frac{e^{s_y}}{\sum_j e^{s_j}} = \ln \sum_j e^{s_j - s_y} \qquad "
        r"\frac{\partial L}{\partial s} = \mathrm{softmax}(s) - y",
        r"\sum_{j \ne y} \max(0, s_j - s_y + 1)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2, R7, OT, DS",
)
