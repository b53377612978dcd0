"""D6: normalisation over other axes."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)
    N, C, H, W = 6, 8, 5, 5
    x = 2 + rng.normal(size=(N, C, H, W)) * rng.uniform(0.5, 3, size=(N, C, 1, 1))
    batch = lambda x: nn.batch_norm(x, None, nn.init_batch_norm(C)[1], training=True, eps=0.0)[0]
    norms = {
        "batch": (batch, (0, 2, 3)),
        "layer": (lambda x: nn.layer_norm(x, axes=3, eps=0.0), (1, 2, 3)),
        "instance": (lambda x: nn.instance_norm(x, eps=0.0), (2, 3)),
        "group": (lambda x: nn.group_norm(x, groups=4, eps=0.0), (2, 3, 4)),
    }

    # what each gives, against one line of NumPy over its axes; how many means it takes; what backwards gives
    g = rng.normal(size=x.shape)
    found = {}
    for name, (norm, axes) in norms.items():
        split = lambda a: a.reshape(N, 4, 2, H, W) if name == "group" else a
        mean = split(x).mean(axes, keepdims=True)
        spread = split(x).std(axes, keepdims=True)
        y = (split(x) - mean) / spread
        v = split(g)
        slope = (v - v.mean(axes, keepdims=True) - y * (v * y).mean(axes, keepdims=True)) / spread
        found[name] = {
            "shape": mean.shape,
            "value": np.max(np.abs(norm(x) - y.reshape(x.shape))),
            "gradient": np.max(np.abs(dk.grad(lambda x: np.sum(g * norm(x)))(x) - slope.reshape(x.shape))),
        }

    # which pixels the first pixel's result depends on: where its gradient is not 0
    reach = {name: dk.grad(lambda x: norm(x)[0, 0, 0, 0])(x) != 0 for name, (norm, _) in norms.items()}
    counts = {k: (int(m.sum()), int(m.any((1, 2, 3)).sum()), int(m.any((0, 2, 3)).sum())) for k, m in reach.items()}

    # two of them are groups of another size; of (N, D) the layer's means are a column, the batch's a row
    same = {
        "one group, layer": np.max(np.abs(nn.group_norm(x, groups=1) - nn.layer_norm(x, axes=3))),
        "C groups, instance": np.max(np.abs(nn.group_norm(x, groups=C) - nn.instance_norm(x))),
    }
    flat = rng.normal(3, 2, size=(40, 7))
    of_row = nn.layer_norm(flat, eps=0.0)
    of_column = nn.batch_norm(flat, None, nn.init_batch_norm(7)[1], training=True, eps=0.0)[0]
    turned = np.max(np.abs(of_column.T - nn.layer_norm(flat.T, eps=0.0)))

    # images of another contrast; one image in the company of 40 batches
    contrast = {name: np.max(np.abs(norm(3 * x + 1) - norm(x))) for name, (norm, _) in norms.items()}
    noise = {name: [] for name in norms}
    many = rng.normal(size=(2000, C, H, W))
    batches = (2, 4, 8, 16, 32)
    for size in batches:
        for name, (norm, _) in norms.items():
            first = [norm(np.concatenate([many[-1:], many[k * size : k * size + size - 1]]))[0] for k in range(40)]
            noise[name].append(np.std(np.array(first) - first[0], axis=0).mean())
    return {
        "found": found,
        "reach": counts,
        "same": same,
        "means": (np.abs(of_row.mean(1)).max(), np.abs(of_column.mean(0)).max()),
        "turned": turned,
        "contrast": contrast,
        "noise": noise,
        "batches": batches,
    }


def claims(r: dict) -> list[Claim]:
    found, reach = r["found"], r["reach"]
    value = max(float(f["value"]) for f in found.values())
    gradient = max(float(f["gradient"]) for f in found.values())
    same, means = {k: float(v) for k, v in r["same"].items()}, max(map(float, r["means"]))
    contrast, noise = max(map(float, r["contrast"].values())), r["noise"]
    others = max(max(noise[k]) for k in ("layer", "instance", "group"))
    return [
        Claim(
            f"Each of the four is (x − μ)/σ over its own axes, to {value:.0e}; its gradient is the same closed form over those "
            f"axes, to {gradient:.0e}.",
            value < 1e-13 and gradient < 1e-12,
            {"value": value, "gradient": gradient},
        ),
        Claim(
            "The axes, seen from a result: the first pixel of the first of 6 images with 8 channels depends on "
            + ", ".join(
                f"{n} numbers, in {i} image{'s' * (i > 1)} and {c} channel{'s' * (c > 1)} ({name})"
                for name, (n, i, c) in reach.items()
            )
            + ".",
            reach == {"batch": (150, 6, 1), "layer": (200, 1, 8), "instance": (25, 1, 1), "group": (50, 1, 2)},
            {name: n for name, (n, _, _) in reach.items()},
        ),
        Claim(
            f"Group norm lies between: one group is layer norm over the whole image (to {same['one group, layer']:.0e}), a group "
            f"a channel is instance norm (to {same['C groups, instance']:.0e}).",
            max(same.values()) < 1e-13,
            same,
        ),
        Claim(
            f"Of a matrix N × D, layer norm is batch norm of the transpose, to {r['turned']:.0e}: rows with mean 0 rather than "
            f"columns (to {means:.0e}).",
            bool(r["turned"] < 1e-13 and means < 1e-13),
            {"largest difference": float(r["turned"])},
        ),
        Claim(
            f"3x + 1 gives what x gives, to {contrast:.0e}, in all four: brightness and contrast are gone.",
            contrast < 1e-12,
            {k: float(v) for k, v in r["contrast"].items()},
        ),
        Claim(
            "Layer, instance and group norm do the same in training and in test, for no image sees another (a result changes by "
            f"{others:g} with the rest of the batch); batch norm's changes with a mean standard deviation of "
            f"{noise['batch'][0]:.2f} in batches of {r['batches'][0]}, {noise['batch'][-1]:.2f} in batches of {r['batches'][-1]}.",
            bool(others < 1e-14 and noise["batch"][0] > 1.5 * noise["batch"][-1] > 1e-3),
            {f"batches of {n}": float(v) for n, v in zip(r["batches"], noise["batch"], strict=True)},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    return [
        Chart(
            "How much an image's result depends on the others in its batch",
            "images in the batch",
            "standard deviation of a result, mean",
            [
                Line(r["batches"], v, f"{name} norm", "both" if name == "batch" else "dashed")
                for name, v in r["noise"].items()
            ],
            "x",
            "One image in 40 batches of others. Three of the four lie on zero.",
        )
    ]


def tables(r: dict) -> list[Table]:
    over = {
        "batch": "images, pixels",
        "layer": "channels, pixels",
        "instance": "pixels",
        "group": "channels of a group, pixels",
    }
    rows = [
        [f"{name} norm", over[name], " × ".join(map(str, f["shape"])), r["reach"][name][0]]
        for name, f in r["found"].items()
    ]
    return [
        Table(
            "Images N × C × H × W = 6 × 8 × 5 × 5, four groups",
            ["", "a mean over", "shape of the means", "numbers in each"],
            rows,
            words=frozenset({0, 1, 2}),
        )
    ]


ROW = Row(
    id="D6",
    title="Layer, instance, group and spatial batch norm",
    says="The same formula with mean and variance over other axes. Only batch norm mixes examples; the others do the same in "
    "training and in test.",
    formulas=(
        r"y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta",
        r"\mu:\; 1{\times}C{\times}1{\times}1 \text{ (batch)} \quad N{\times}1 \text{ (layer)} \quad "
        r"N{\times}C{\times}1{\times}1 \text{ (instance)} \quad N{\times}G \text{ (group)}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="C6; Ba et al. 2016, Ulyanov et al. 2017, Wu and He 2018",
)
