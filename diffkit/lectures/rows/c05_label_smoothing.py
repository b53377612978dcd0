"""C5: label smoothing."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    K, label, alphas = 10, 3, (0.0, 0.1, 0.3)
    one_hot = np.eye(K)[label]
    smoothed = {alpha: (1 - alpha) * one_hot + alpha / K for alpha in alphas}

    # the logits of one example, by gradient descent
    runs, gradients = {}, {}
    for alpha in alphas:
        slope = dk.grad(lambda z: dk.nn.softmax_cross_entropy(z, label, label_smoothing=alpha))
        z, gaps, pushes = np.zeros(K), [], []
        for _ in range(5001):
            g = slope(z)
            gaps.append(z[label] - z[0])
            pushes.append(-g[label])
            z = z - g
        runs[alpha] = np.array(gaps), np.array(pushes), np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        at = np.linspace(-1, 2, K)
        gradients[alpha] = slope(at) - (dk.nn.softmax(at) - smoothed[alpha])

    # a classifier of two overlapping classes, one in ten labels wrong
    rng = np.random.default_rng(0)

    def drawn(n, wrong):
        y = rng.integers(0, 2, n)
        x = rng.normal(size=(n, 10)) + 0.8 * (2 * y - 1)[:, None] * np.r_[1.0, 1.0, np.zeros(8)]
        return x, np.where(rng.random(n) < wrong, 1 - y, y)

    (x, y), (x_new, y_new) = drawn(60, 0.1), drawn(4000, 0.1)
    start, fits = dk.nn.init_mlp((10, 64, 2), seed=0), {}
    for alpha in (0.0, 0.1):
        loss = lambda p, b: dk.nn.softmax_cross_entropy(dk.nn.mlp(p, b[0]), b[1], label_smoothing=alpha)
        p = dk.optim.fit(
            loss, start, (x, y), optimizer=dk.optim.Adam(learning_rate=0.01), batch_size=60, epochs=300, progress=False
        ).params
        z = dk.nn.mlp(p, x_new)
        fits[alpha] = {
            "sure": float(dk.nn.softmax(z).max(axis=1).mean()),
            "right": float((z.argmax(axis=1) == y_new).mean()),
            "loss": float(dk.nn.softmax_cross_entropy(z, y_new)),
        }
    return {"smoothed": smoothed, "runs": runs, "gradients": gradients, "fits": fits, "label": label}


def _limit(alpha: float, K: int = 10) -> float:
    """The true logit above the others at the minimum, where the softmax is the smoothed label."""
    return float(np.log((1 - alpha + alpha / K) / (alpha / K)))


def claims(r: dict) -> list[Claim]:
    runs, fits = r["runs"], r["fits"]
    off = max(float(np.max(np.abs(g))) for g in r["gradients"].values())
    gaps, pushes, _ = runs[0.0]
    late = (gaps[5000] - gaps[500]) / np.log(10)
    ends = {alpha: abs(runs[alpha][0][-1] - _limit(alpha)) for alpha in (0.1, 0.3)}
    p = max(float(np.max(np.abs(runs[alpha][2] - r["smoothed"][alpha]))) for alpha in ends)
    plain, smooth = fits[0.0], fits[0.1]
    return [
        Claim(
            f"The gradient by the logits is softmax − ((1 − α)y + α/K), to {off:.0e}, for each α.",
            off < 1e-14,
            {"largest difference": off},
        ),
        Claim(
            f"Without smoothing the true logit is pushed up at each of {len(pushes):,} steps, by {pushes[-1]:.1e} at the "
            f"last. It is {gaps[-1]:.1f} above the others and rises like {late:.2f} ln n: it has no limit.",
            bool((pushes > 0).all() and 0.7 < late < 1.3),
            {"last push": float(pushes[-1]), "logit above the others": float(gaps[-1]), "of ln n": float(late)},
        ),
        Claim(
            "With it there is one: ln((1 − α + α/K)/(α/K)) = "
            + ", ".join(f"{_limit(alpha):.3f} for α = {alpha}" for alpha in ends)
            + f", reached to {max(ends.values()):.0e}. The softmax is the smoothed label then, to {p:.0e}.",
            max(ends.values()) < 1e-8 and p < 1e-8,
            {f"α = {alpha}": float(v) for alpha, v in ends.items()},
        ),
        Claim(
            f"A network on 60 examples with wrong labels among them: on new ones it is {plain['sure']:.0%} sure and "
            f"{plain['right']:.0%} right without smoothing, {smooth['sure']:.0%} and {smooth['right']:.0%} with α = 0.1: less "
            f"overconfident, {'and' if smooth['right'] > plain['right'] else 'though not'} more often right. Its "
            f"cross-entropy there is {plain['loss']:.2f} and {smooth['loss']:.2f}.",
            plain["sure"] - plain["right"] > smooth["sure"] - smooth["right"] and smooth["loss"] < plain["loss"],
            {f"{k}, α = {alpha}": v for alpha, f in fits.items() for k, v in f.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    classes, steps = np.arange(10), np.arange(1, 5002)
    return [
        Chart(
            "Labels",
            "class",
            "target",
            [Line(classes, v, f"α = {alpha:g}", "dots") for alpha, v in r["smoothed"].items()],
        ),
        Chart(
            "The true logit",
            "step",
            "above the others",
            [Line(steps, gaps, f"α = {alpha:g}") for alpha, (gaps, _, _) in r["runs"].items()]
            + [Line([1, 5001], [_limit(a)] * 2, f"limit, α = {a:g}", "theory") for a in (0.1, 0.3)],
            "x",
        ),
        Chart(
            "How hard it is pushed",
            "step",
            "−∂L/∂(true logit)",
            [
                Line(steps, np.where(pushes > 1e-17, pushes, np.nan), f"α = {alpha:g}")
                for alpha, (_, pushes, _) in r["runs"].items()
            ],
            "xy",
            y_range=(1e-9, 2),
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [f"{alpha:g}", f"{f['sure']:.1%}", f"{f['right']:.1%}", f"{f['loss']:.2f}"] for alpha, f in r["fits"].items()
    ]
    return [
        Table(
            "On 4,000 new examples, one label in ten wrong",
            ["α", "sure", "right", "cross-entropy"],
            rows,
            "Sure: the mean of the largest probability.",
        )
    ]


ROW = Row(
    id="C5",
    title="Label smoothing",
    says="A target of exactly 1 asks for an infinite logit. Targets that leave a little to every class are met by finite "
    "ones, and the model stays less sure of itself.",
    formulas=(
        r"\tilde{y} = (1 - \alpha) y + \frac{\alpha}{K} \qquad "
        r"\frac{\partial L}{\partial z} = \mathrm{softmax}(z) - \tilde{y}",
        r"z_y - z_j \;\to\; \ln \frac{1 - \alpha + \alpha/K}{\alpha/K}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="DS",
)
