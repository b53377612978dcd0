"""B3: gradients gathered over micro-batches."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(60, 8)), rng.normal(size=60), rng.normal(size=8)
    slope = dk.grad(lambda w, X, y: np.mean((X @ w - y) ** 2))  # a mean: over the large batch, or over a micro-batch
    large = slope(w, X, y)

    found = {}
    for name, sizes in {"4 equal pieces": [15, 15, 15, 15], "unequal pieces": [32, 17, 8, 3]}.items():
        ends = np.cumsum(sizes)[:-1]
        pieces = [slope(w, *piece) for piece in zip(np.split(X, ends), np.split(y, ends), strict=True)]
        ways = {
            "each times |Bₚ|/|B|": sum(n / 60 * g for n, g in zip(sizes, pieces, strict=True)),
            "each divided by their number": sum(pieces) / len(pieces),
            "summed": sum(pieces),
        }
        found[name] = {way: np.linalg.norm(g - large) / np.linalg.norm(large) for way, g in ways.items()}

    # training: Adam on batches of 60, and on four micro-batches of 15 that are gathered
    plain, gathered = (
        dk.optim.Adam(learning_rate=0.05),
        dk.optim.accumulated(dk.optim.Adam(learning_rate=0.05), every=4),
    )
    a = b = w
    state_a, state_b, apart = plain.init(a), gathered.init(b), []
    for _ in range(50):
        order = rng.permutation(60)
        a, state_a = plain.update(slope(a, X[order], y[order]), state_a, a)
        for part in np.split(order, 4):
            b, state_b = gathered.update(slope(b, X[part], y[part]), state_b, b)
        apart.append(np.max(np.abs(a - b) / np.abs(a)))
    return {"found": found, "apart": np.array(apart)}


def claims(r: dict) -> list[Claim]:
    weighted = max(f["each times |Bₚ|/|B|"] for f in r["found"].values())
    unequal, summed = (
        r["found"]["unequal pieces"]["each divided by their number"],
        r["found"]["4 equal pieces"]["summed"],
    )
    apart = float(r["apart"].max())
    return [
        Claim(
            f"With the factor |Bₚ|/|B| micro-gradients add up to the large batch's to {weighted:.0e}, also in "
            "unequal pieces.",
            weighted < 1e-14,
            {"relative difference": weighted},
        ),
        Claim(
            f"Dividing their sum by the number of pieces is right for equal pieces only: for unequal ones the gradient is "
            f"{unequal:.0%} off.",
            unequal > 0.05 and r["found"]["4 equal pieces"]["each divided by their number"] < 1e-14,
            {"relative difference": unequal},
        ),
        Claim(
            f"A mere sum of 4 means is 4 times the gradient: off by {summed:.3f} times its length.",
            abs(summed - 3) < 1e-12,
            {"relative difference": summed},
        ),
        Claim(
            f"{len(r['apart'])} updates of Adam, on the large batch and on gathered micro-batches, stay within "
            f"{apart:.0e} of each other.",
            apart < 1e-11,
            {"largest relative difference": apart},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    steps = np.arange(1, len(r["apart"]) + 1)
    return [
        Chart(
            "Adam on the large batch, and on four gathered micro-batches",
            "update",
            "largest relative difference",
            [Line(steps, np.maximum(r["apart"], 1e-17), "", "both")],
            "y",
            "Round-off: the order of sums differs.",
        )
    ]


def tables(r: dict) -> list[Table]:
    ways = list(next(iter(r["found"].values())))
    rows = [[way, *(f"{f[way]:.1e}" for f in r["found"].values())] for way in ways]
    return [Table("Relative difference to the large batch's gradient", ["micro-gradients", *r["found"]], rows)]


ROW = Row(
    id="B3",
    title="Gradient accumulation",
    says="A batch that does not fit into memory is worked through in micro-batches, and the parameters are updated once. "
    "Where the loss is a mean, each micro-gradient counts by its share of the batch.",
    formulas=(r"\nabla L_B = \sum_p \frac{|B_p|}{|B|} \nabla L_{B_p}",),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=("OT divides the sum by |B|/|Bₚ|, the number of pieces: right where all pieces are of one size.",),
    sources="OT",
)
