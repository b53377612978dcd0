"""C7: data augmentation."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn, rng = dk.nn, np.random.default_rng(0)

    # three shapes of 5 × 5 pixels in the middle of 11 × 11: a cross, a ring, a hook
    shapes = np.zeros((3, 11, 11))
    shapes[0, 5, 3:8] = shapes[0, 3:8, 5] = 1
    shapes[1, 3:8, 3:8], shapes[1, 4:7, 4:7] = 1, 0
    shapes[2, 3:8, 3] = shapes[2, 7, 3:8] = 1

    # what each change does to one image, 2,000 times
    many = np.broadcast_to(shapes[2], (2000, 11, 11))
    flipped, moved = nn.random_flip(many, rng), nn.random_shift(many, rng, 2)
    noisy = nn.random_noise(many, rng, 0.2)
    corner = np.array([np.argwhere(image)[0] for image in moved]) - [3, 3]
    again = nn.random_flip(nn.random_flip(many, rng, p=1.0), rng, p=1.0)
    test = [
        f(shapes, None)
        for f in (nn.random_flip, lambda x, r: nn.random_shift(x, r, 2), lambda x, r: nn.random_noise(x, r, 0.2))
    ]

    # few images, all in the middle; new ones are anywhere, and mirrored
    labels = np.repeat(np.arange(3), 10)
    data = shapes[labels] + 0.1 * rng.normal(size=(30, 11, 11)), labels
    new_labels = rng.integers(0, 3, 600)
    new = nn.random_shift(nn.random_flip(shapes[new_labels], rng), rng, 3) + 0.1 * rng.normal(size=(600, 11, 11))
    flat = lambda x: dk.reshape(x, (-1, 121))
    start, fits = nn.init_mlp((121, 48, 3), seed=0), {}

    def augmented(images, rng):
        return nn.random_noise(nn.random_shift(nn.random_flip(images, rng), rng, 3), rng, 0.1)

    for name, change in (("as they are", lambda images, rng: images), ("augmented", augmented)):

        def loss(params, batch, rng):
            return nn.softmax_cross_entropy(nn.mlp(params, flat(change(batch[0], rng))), batch[1])

        fit = dk.optim.fit(
            loss,
            start,
            data,
            optimizer=dk.optim.Adam(learning_rate=0.003),
            batch_size=30,
            epochs=600,
            seed=1,
            validation=(new, new_labels),
            validate_every=20,
            progress=False,
        )
        right = [
            float(np.mean(nn.mlp(fit.params, x.reshape(-1, 121)).argmax(axis=1) == y))
            for x, y in (data, (new, new_labels))
        ]
        fits[name] = {"train": fit.history["epoch_loss"], "new": fit.history["validation_loss"], "right": right}
    return {
        "mirrored": float(np.mean((flipped == many[:, :, ::-1]).all(axis=(1, 2)))),
        "whole": bool(((flipped == many).all(axis=(1, 2)) | (flipped == many[:, :, ::-1]).all(axis=(1, 2))).all()),
        "again": bool((again == many).all()),
        "corner": corner,
        "mass": (float(moved.sum(axis=(1, 2)).min()), float(shapes[2].sum())),
        "noise": (float((noisy - many).mean()), float((noisy - many).std())),
        "test": all((x == shapes).all() for x in test),
        "seen": {"the image": shapes[2], "mirrored": shapes[2, :, ::-1], "moved": moved[1]},
        "row": (shapes[2, 7], noisy[0, 7]),
        "fits": fits,
    }


def claims(r: dict) -> list[Claim]:
    corner, (least, mass), (mean, std) = r["corner"], r["mass"], r["noise"]
    places, counts = np.unique(corner, axis=0, return_counts=True)
    plain, more = r["fits"].values()
    return [
        Claim(
            f"Of 2,000 images {r['mirrored']:.1%} were mirrored with p = ½, the others left; mirrored twice each is what it "
            "was.",
            r["whole"] and r["again"] and 0.45 < r["mirrored"] < 0.55,
            {"mirrored": r["mirrored"]},
        ),
        Claim(
            f"Shifts of up to 2 pixels: all {len(places)} places occur, {counts.min()} to {counts.max()} times (80 on "
            f"average), none further away; no pixel of the shape is lost ({least:g} of {mass:g}).",
            len(places) == 25
            and np.abs(corner).max() == 2
            and counts.min() > 40
            and counts.max() < 130
            and least == mass,
            {"places": float(len(places)), "least": float(counts.min()), "most": float(counts.max())},
        ),
        Claim(
            f"Noise has the mean {mean:.4f} and the deviation {std:.4f}, of 0.2 that was asked for.",
            abs(mean) < 0.01 and abs(std - 0.2) < 0.005,
            {"mean": mean, "deviation": std},
        ),
        Claim("In test (rng=None) all 3 changes leave images as they are.", bool(r["test"]), {}),
        Claim(
            f"30 images, all in the middle: trained on them as they are, {plain['right'][0]:.0%} are right and "
            f"{plain['right'][1]:.0%} of 600 new ones that are elsewhere (guessing one of three gets 33%); augmented, "
            f"{more['right'][1]:.0%} of these.",
            bool(more["right"][1] > plain["right"][1] + 0.15 and plain["right"][0] == 1),
            {n: f["right"][1] for n, f in r["fits"].items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    found = []
    for title, image in r["seen"].items():
        rows, columns = np.nonzero(image)
        found.append(
            Chart(
                title.capitalize(),
                "column",
                "row, from below",
                [Line(columns, 10 - rows, "", "dots")],
                x_range=(-1, 11),
                y_range=(-1, 11),
            )
        )
    lines = []
    for k, (name, f) in enumerate(r["fits"].items()):
        lines += [
            Line(np.arange(1, len(f["train"]) + 1), f["train"], f"{name}: training", "dashed", k),
            Line(np.linspace(0, 600, len(f["new"]) + 1)[1:], f["new"], f"{name}: new images", colour=k),
        ]
    before, noisy = r["row"]
    columns = np.arange(11)
    return [
        *found,
        Chart(
            "Noisy: one row of pixels",
            "column",
            "brightness",
            [Line(columns, before, "as it is", "both"), Line(columns, noisy, "with noise of deviation 0.2", "both")],
        ),
        Chart("Training", "epoch", "cross-entropy", lines, "y", y_range=(1e-3, 20)),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [n, f"{f['train'][-1]:.2g}", f"{f['right'][0]:.0%}", f"{f['new'][-1]:.2g}", f"{f['right'][1]:.0%}"]
        for n, f in r["fits"].items()
    ]
    return [Table("Three shapes", ["trained on images", "loss", "right", "loss, new", "right, new"], rows)]


ROW = Row(
    id="C7",
    title="Data augmentation",
    says="A mirrored, shifted or noisy image shows the same thing. Changed at random in every step of training, a few images "
    "stand for many.",
    formulas=(
        r"\min_\theta\; \mathbb{E}_{T} \sum_i L(f_\theta(T(x_i)), y_i) \qquad "
        r"T \in \{\text{flip}, \text{shift}, \text{noise}\}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="R7, DS",
)
