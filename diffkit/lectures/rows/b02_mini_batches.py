"""B2: gradients of mini-batches."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line
from ..row import Claim, Row


def example() -> dict:
    rng = np.random.default_rng(0)
    N, d = 64, 5
    X, w = rng.normal(size=(N, d)), rng.normal(size=d)
    y = X @ rng.normal(size=d) + rng.normal(size=N)
    each = dk.jacobian(lambda w: (X @ w - y) ** 2)(w)  # (N, d): the gradient of every example's loss
    full = dk.grad(lambda w: np.mean((X @ w - y) ** 2))(w)

    # the spread of the mini-batch gradient around the full one, over many batches of each size
    sizes = [1, 2, 4, 8, 16, 32, 64]
    spread = {"with replacement": [], "by epochs": []}
    orders = rng.permuted(np.tile(np.arange(N), (4000, 1)), axis=1)  # an epoch: every example once, in a new order
    off = {}
    for B in sizes:
        drawn = each[rng.integers(N, size=(20_000, B))].mean(axis=1)
        epochs = each[orders].reshape(len(orders), N // B, B, d).mean(axis=2)  # ⌈N/B⌉ batches each
        spread["with replacement"].append(np.sum((drawn - full) ** 2, axis=1).mean())
        spread["by epochs"].append(np.sum((epochs - full) ** 2, axis=-1).mean())
        error = np.std(drawn, axis=0) / np.sqrt(len(drawn))  # of a mean of so many draws
        off[B] = np.max(np.abs(drawn.mean(axis=0) - full) / error), np.abs(epochs.mean(axis=1) - full).max()

    # what an epoch is: the gradient of this loss marks every example with 1/|its batch|
    epoch = dk.optim.fit(
        lambda w, rows: np.mean(rows @ w), np.zeros(N), np.eye(N), optimizer=dk.optim.SGD(1.0), epochs=1, batch_size=24
    )

    # one example at a time, learning rate 1, loss max(0, -y·w·x): the perceptron's rule
    points, direction = rng.normal(size=(300, 8)), rng.normal(size=8)
    points = points[np.abs(points @ direction) > 0.2]
    labels = np.sign(points @ direction)
    slope = dk.grad(lambda w, x, y: np.maximum(0.0, -y * (w @ x)))
    sgd = dk.optim.SGD(learning_rate=1.0)
    weights = by_rule = rng.normal(size=8)
    state, mistakes, same = sgd.init(weights), [], True
    for _ in range(30):
        mistakes.append(0)
        for k in rng.permutation(len(points)):
            x, label = points[k], labels[k]
            if label * (by_rule @ x) < 0:
                by_rule = by_rule + label * x  # the rule of 1958
                mistakes[-1] += 1
            weights, state = sgd.update(slope(weights, x, label), state, weights)
            same = same and np.array_equal(weights, by_rule)
        if not mistakes[-1]:
            break
    variance = np.sum((each - full) ** 2, axis=1).mean()
    unbiased, scale = np.abs(each.mean(axis=0) - full).max(), np.abs(full).max()
    marks = epoch.steps, np.round(-1 / epoch.params).astype(int)
    found = {"N": N, "marks": marks, "sizes": sizes, "spread": spread, "variance": variance, "off": off}
    return {**found, "unbiased": unbiased, "scale": scale, "mistakes": mistakes, "same": same}


def claims(r: dict) -> list[Claim]:
    B, N, v = np.array(r["sizes"]), r["N"], r["variance"]
    drawn, epochs = (np.array(s) for s in r["spread"].values())
    power = float(np.polyfit(np.log(B), np.log(drawn), 1)[0])
    expected = v / B * (N - B) / (N - 1)
    off_drawn, off_epochs = (
        float(np.max(np.abs(a[:-1] / b[:-1] - 1))) for a, b in ((drawn, v / B), (epochs, expected))
    )
    steps, of = r["marks"]
    sigmas, exact = max(s for s, _ in r["off"].values()), max(e for _, e in r["off"].values())
    return [
        Claim(
            "E g = ∇F: the mean over single examples is the full gradient to "
            f"{r['unbiased'] / r['scale']:.0e}, that over the equal batches of an epoch to {exact / r['scale']:.0e}, and "
            f"that over 20,000 random batches of each size to {sigmas:.1f} standard errors at most.",
            bool(r["unbiased"] < 1e-13 * r["scale"] * N and exact < 1e-12 * r["scale"] * N and sigmas < 5),
            {"standard errors": float(sigmas)},
        ),
        Claim(
            f"With replacement the variance falls like the power {power:.3f} of B, and is σ²/B to {off_drawn:.1%}.",
            abs(power + 1) < 0.03 and off_drawn < 0.05,
            {"power of B": power, "largest relative deviation": off_drawn},
        ),
        Claim(
            f"By epochs it is smaller by (N − B)/(N − 1), to {off_epochs:.1%}, and nothing is left at B = N: "
            f"{epochs[-1] / v:.0e} of σ².",
            off_epochs < 0.05 and bool(epochs[-1] < 1e-20 * v),
            {"largest relative deviation": off_epochs},
        ),
        Claim(
            f"An epoch of {N} examples in batches of 24 takes ⌈{N}/24⌉ = {steps} steps, and each example is in one batch: "
            f"{np.sum(of == 24)} in batches of 24, {np.sum(of == 16)} in one of 16.",
            steps == -(-N // 24) == 3 and np.sum(of == 24) == 48 and np.sum(of == 16) == 16,
            {"steps": steps},
        ),
        Claim(
            "B = 1 at rate 1 on max(0, −y·wᵀx) takes the perceptron's steps, bit by bit. Its mistakes, "
            "epoch by epoch: "
            f"{', '.join(map(str, r['mistakes']))}.",
            r["same"] and r["mistakes"][-1] == 0,
            {"epochs": len(r["mistakes"])},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    B, N, v = np.array(r["sizes"]), r["N"], r["variance"]
    rest = v / B * (N - B) / (N - 1)
    lines = [
        Line(B, r["spread"]["with replacement"], "drawn with replacement", "dots", 0),
        Line(B[:-1], r["spread"]["by epochs"][:-1], "by epochs, each example once", "dots", 1),
        Line(B, v / B, "σ²/B", "theory"),
        Line(B[:-1], rest[:-1], "σ²/B · (N − B)/(N − 1)", "dashed", 1),
    ]
    return [
        Chart(
            "Variance of the mini-batch gradient",
            "batch size B",
            "E‖g − ∇F‖²",
            lines,
            "xy",
            f"N = {N} examples. B = N by epochs is exact, and not on a logarithmic axis.",
        ),
        Chart(
            "The perceptron, as SGD with B = 1",
            "epoch",
            "mistakes",
            [Line(np.arange(1, len(r["mistakes"]) + 1), r["mistakes"], "", "both")],
            caption="Separable points in eight dimensions.",
        ),
    ]


ROW = Row(
    id="B2",
    title="Mini-batches",
    says="The gradient of a few examples is right on average. Its variance falls with the size of the batch, "
    "and faster where an epoch "
    "takes every example once, in ⌈N/B⌉ steps.",
    formulas=(
        r"g = \frac{1}{B} \sum_{i \in I} \nabla f_i(x) \qquad \mathbb{E}\, g = \nabla F(x)",
        r"\mathbb{E} \|g - \nabla F\|^2 = \frac{\sigma^2}{B} \quad \text{or, by epochs,} \quad "
        r"\frac{\sigma^2}{B} \cdot \frac{N - B}{N - 1}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=("DS prints the number of steps of an epoch as ⌈B/N⌉; it is ⌈N/B⌉.",),
    sources="L2, OT, DS",
)
