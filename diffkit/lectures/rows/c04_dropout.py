"""C4: dropout, plain and inverted."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    y, p = np.array([1.0, -2.0, 0.5, 3.0]), 0.3
    drop = lambda x, p, seed, **how: dk.nn.dropout(x, p, np.random.default_rng(seed), training=True, **how)

    # the mean of many masks, and what test does with the same numbers
    many = np.broadcast_to(y, (40_000, 4))
    shares = np.linspace(0, 0.9, 10)
    means = {
        flavor: np.array([[drop(many, q, 1, flavor=flavor).mean(axis=0)[3]] for q in shares])[:, 0]
        for flavor in ("plain", "inverted")
    }
    test = {f: np.array([dk.nn.dropout(y, q, training=False, flavor=f)[3] for q in shares]) for f in means}
    at = {f: drop(many, p, 2, flavor=f).mean(axis=0) for f in means}
    kept = float((drop(np.ones(40_000), p, 3, flavor="plain") != 0).mean())
    same = [drop(np.ones(40), p, seed).tolist() for seed in (5, 5, 6)]

    # the gradient of a network whose mask is fixed: a plain function of its parameters
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(8, 5)), rng.normal(size=(8, 1))
    params, mask = dk.nn.init_mlp((5, 16, 1), seed=0), rng.random((8, 16)) >= p

    def loss(params, flavor="inverted"):
        h = dk.nn.tanh(dk.nn.linear(x, params[0]["weight"], params[0]["bias"]))
        h = dk.nn.dropout(h, p, training=True, mask=mask, flavor=flavor)
        return dk.nn.squared_error(dk.nn.linear(h, params[1]["weight"], params[1]["bias"]), target)

    checked = {f: dk.check_gradient(lambda q, f=f: loss(q, f), params) for f in means}
    unmasked = dk.grad(lambda h: np.sum(dk.nn.dropout(h, p, training=True, mask=mask[0])))(np.ones(16))

    # a wide network on few noisy examples, trained with and without
    def drawn(n, noise):
        x = rng.uniform(-1, 1, size=(n, 10))
        return x, np.sin(3 * x[:, :1]) + x[:, 1:2] + noise * rng.normal(size=(n, 1))

    data, new, curves = drawn(60, 0.5), drawn(1000, 0.0), {}
    start = dk.nn.init_mlp((10, 128, 1), seed=3)

    def error(params, batch, rng, p):
        h = dk.nn.relu(dk.nn.linear(batch[0], params[0]["weight"], params[0]["bias"]))
        h = dk.nn.dropout(h, p, rng, training=rng is not None)
        return dk.nn.squared_error(dk.nn.linear(h, params[1]["weight"], params[1]["bias"]), batch[1])

    for q in (0.0, 0.5):
        fit = dk.optim.fit(
            lambda params, batch, rng: error(params, batch, rng, q),
            start,
            data,
            optimizer=dk.optim.Adam(learning_rate=0.01),
            batch_size=60,
            epochs=200,
            validation=new,  # there rng is None
            progress=False,
        )
        curves[q] = fit.history["epoch_loss"], fit.history["validation_loss"]
    return {
        "y": y,
        "shares": shares,
        "means": means,
        "test": test,
        "at": at,
        "kept": kept,
        "same": same,
        "checked": checked,
        "unmasked": (unmasked, mask[0]),
        "curves": curves,
    }


def claims(r: dict) -> list[Claim]:
    y, p, at = r["y"], 0.3, r["at"]
    plain, inverted = (float(np.max(np.abs(at[f] - m))) for f, m in (("plain", (1 - p) * y), ("inverted", y)))
    swing = max(float(np.max(np.abs(r["means"][f] - r["test"][f]))) for f in r["means"])
    one, two, other = r["same"]
    checked = r["checked"]
    unmasked, mask = r["unmasked"]
    (_, without), (_, with_it) = r["curves"].values()
    return [
        Claim(
            f"p = {p} is the probability of dropping: {r['kept']:.1%} of 40,000 numbers are kept.",
            abs(r["kept"] - 0.7) < 0.01,
            {"kept": r["kept"]},
        ),
        Claim(
            f"Over 40,000 masks the mean of plain dropout is (1 − p)y, to {plain:.3f}, and that of inverted dropout y, "
            f"to {inverted:.3f}. Test gives these numbers exactly; for ten values of p from 0 to 0.9 the means are within "
            f"{swing:.3f} of it.",
            plain < 0.05 and inverted < 0.05 and swing < 0.2,
            {"plain": plain, "inverted": inverted, "all p": swing},
        ),
        Claim(
            f"The mask comes from a seed: 5 and 5 give the same {len(one)} numbers, 5 and 6 do not.",
            one == two and one != other,
            {},
        ),
        Claim(
            "With the mask fixed a network with dropout is a plain function: differences of its values find "
            + " and ".join(f"{c.wrong} of {c.judged} derivatives off ({f})" for f, c in checked.items())
            + ".",
            all(bool(c) and c.judged > 90 for c in checked.values()),
            {f: float(c.wrong) for f, c in checked.items()},
        ),
        Claim(
            f"The derivative by what is dropped is 0, and by what is kept 1/(1 − p) = {unmasked.max():.4f}.",
            bool((unmasked[~mask] == 0).all() and np.abs(unmasked[mask] - 1 / 0.7).max() < 1e-15),
            {"kept": float(unmasked.max())},
        ),
        Claim(
            f"128 units, 60 noisy examples: after 200 epochs the loss on new examples is {without[-1]:.2f} without dropout "
            f"and {with_it[-1]:.2f} with p = ½; the least on the way was {without.min():.2f} and {with_it.min():.2f}.",
            bool(with_it[-1] < 0.95 * without[-1]),
            {"without": float(without[-1]), "p = 0.5": float(with_it[-1])},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    lines = []
    for k, f in enumerate(r["means"]):
        lines += [
            Line(r["shares"], r["means"][f], f"{f}: mean of 40,000 masks", "dots", k),
            Line(r["shares"], r["test"][f], f"{f}: in test", colour=k),
        ]
    curves = []
    for k, (q, (train, new)) in enumerate(r["curves"].items()):
        epochs, name = np.arange(1, len(train) + 1), f"p = {q:g}" if q else "no dropout"
        curves += [
            Line(epochs, train, f"{name}: training", "dashed", k),
            Line(epochs, new, f"{name}: new examples", colour=k),
        ]
    return [
        Chart("What dropout makes of the number 3", "probability of dropping", "mean", lines, y_range=(0, 3.6)),
        Chart("Training with dropout", "epoch", "mean squared error", curves, "y", y_range=(1e-3, 2)),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        ["plain", "m·y", "(1 − p)·y", ", ".join(f"{v:.3f}" for v in r["at"]["plain"])],
        ["inverted", "m·y/(1 − p)", "y", ", ".join(f"{v:.3f}" for v in r["at"]["inverted"])],
    ]
    columns = ["flavour", "in training", "in test", "mean over masks"]
    caption = "Means of 40,000 masks m, for y = (1, −2, 0.5, 3) and p = 0.3."
    return [Table("Two flavours", columns, rows, caption, words=frozenset({1, 2, 3}))]


ROW = Row(
    id="C4",
    title="Dropout",
    says="In training each number of a layer is set to 0 with probability p, so that none can rely on another: as if many "
    "smaller networks were trained at once. The sizes are put right in test (plain) or already in training (inverted).",
    formulas=(
        r"m_i \;\sim\; \mathrm{Bernoulli}(1 - p) \qquad \mathbb{E}\, m_i = 1 - p",
        r"\text{plain: } m_i y_i, \text{ in test } (1 - p) y_i \qquad "
        r"\text{inverted: } \frac{m_i y_i}{1 - p}, \text{ in test } y_i",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=(
        "L2 draws the mask from Bernoulli(p), where p is the probability of keeping, and gives it the mean (1 − p)y, where "
        "p is that of dropping. Here p drops.",
    ),
    sources="L2, OT, R7",
)
