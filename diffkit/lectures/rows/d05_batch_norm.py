"""D5: batch normalisation, in training and in test."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)

    # training: the batch's own statistics; γ and β can undo it
    x, eps = rng.normal(3, 5, size=(20, 4)), 1e-5
    params, state = nn.init_batch_norm(4)
    y, after = nn.batch_norm(x, params, state, training=True)
    mean, var = x.mean(0), x.var(0)
    undone = nn.batch_norm(x, {"weight": np.sqrt(var + eps), "bias": mean}, state, training=True)[0]
    lecture = nn.batch_norm(x, params, state, training=True, flavor="lecture")[1]
    stored = {"torch": after["var"], "lecture": lecture["var"], "biased": var, "unbiased": x.var(0, ddof=1)}

    # backwards: the engine against the closed form
    g = rng.normal(size=x.shape)
    slope = dk.grad(lambda x: np.sum(g * nn.batch_norm(x, params, state, training=True)[0]))(x)
    closed = (g - g.mean(0) - y * (g * y).mean(0)) / np.sqrt(var + eps)

    # whose company an example is in matters in training, and not in test
    company = {}
    for training in (True, False):
        alone, other = (nn.batch_norm(b, params, after, training=training)[0][0] for b in (x, np.r_[x[:1], 2 * x[1:]]))
        company[training] = np.max(np.abs(alone - other))

    # test: a linear function, which the layer before can do
    params = {"weight": rng.normal(size=4), "bias": rng.normal(size=4)}
    state = {"mean": rng.normal(size=4), "var": rng.random(4) + 0.5}
    images, rows = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(50, 7))
    fused = {}
    for name, layer, apply, given in (
        ("linear", nn.init_linear(7, 4, seed=0), nn.linear, rows),
        ("convolution", nn.init_conv2d(3, 4, 3, seed=0), nn.conv2d, images),
    ):
        two = nn.batch_norm(apply(given, **layer), params, state, training=False)[0]
        fused[name] = np.max(np.abs(apply(given, **nn.fuse_batch_norm(layer, params, state)) - two))

    # training a deep network from weights of any size, at any rate; ten classes
    centres = rng.normal(size=(10, 20))
    labels = rng.integers(0, 10, 500)
    data = centres[labels] + 0.5 * rng.normal(size=(500, 20)), labels

    def logits(params, x):
        for k, layer in enumerate(params["layers"]):
            x = nn.linear(x, **layer)
            if k < 4:
                if "norms" in params:
                    x, _ = nn.batch_norm(x, params["norms"][k], nn.init_batch_norm(24)[1], training=True)
                x = nn.relu(x)
        return x

    loss = lambda params, batch: nn.softmax_cross_entropy(logits(params, batch[0]), batch[1])
    # Kaiming's size is √(2/fan in), 0.29 for 24 units
    normal = lambda std: lambda shape, **how: nn.init_normal(shape, std=std, **how)
    sizes = {"0.01": normal(0.01), "0.1": normal(0.1), "Kaiming's": nn.init_kaiming_normal, "1": normal(1.0)}
    rates, losses = (0.01, 0.1, 0.3, 1.0), {}
    for size, weight in sizes.items():
        plain = {"layers": nn.init_mlp([20, 24, 24, 24, 24, 10], seed=0, weight=weight)}
        normed = {**plain, "norms": [nn.init_norm(24) for _ in range(4)]}
        for rate in rates:
            how = {
                "optimizer": dk.optim.SGD(rate),
                "batch_size": 50,
                "epochs": 12,
                "clip_value": 1e3,
                "progress": False,
            }
            for name, start in (("plain", plain), ("batch norm", normed)):
                losses[name, size, rate] = dk.optim.fit(loss, start, data, **how).history["epoch_loss"]
    return {
        "x": x,
        "y": y,
        "undone": undone,
        "stored": stored,
        "gradient": (slope, closed),
        "company": company,
        "fused": fused,
        "losses": losses,
        "grid": (list(sizes), rates),
    }


def claims(r: dict) -> list[Claim]:
    y, stored = r["y"], r["stored"]
    off = float(max(np.abs(y.mean(0)).max(), np.abs(y.var(0) - 1).max()))
    undone = float(np.abs(r["undone"] - r["x"]).max())
    unbiased = float(np.abs(stored["torch"] - (0.9 + 0.1 * stored["unbiased"])).max())
    biased = float(np.abs(stored["lecture"] - (0.9 + 0.1 * stored["biased"])).max())
    apart = float(np.max(stored["torch"] / stored["lecture"] - 1))
    slope, closed = r["gradient"]
    gradient = float(np.max(np.abs(slope - closed)) / np.max(np.abs(closed)))
    fused = {k: float(v) for k, v in r["fused"].items()}
    final = {key: float(v[-1]) for key, v in r["losses"].items()}
    learnt = {name: [k for k, v in final.items() if k[0] == name and v < 1] for name in ("plain", "batch norm")}
    sizes, rates = r["grid"]
    better = sum(final["batch norm", s, rate] < final["plain", s, rate] for s in sizes for rate in rates)
    best = {key: min(final[(*key, rate)] for rate in rates) for key in ((n, s) for n in learnt for s in sizes)}
    at_best = max(best["batch norm", s] for s in sizes)
    with_it = max(final["batch norm", s, 1.0] for s in sizes)
    without = min(final["plain", s, 1.0] for s in sizes)
    kaiming, normed = best["plain", "Kaiming's"], min(best["batch norm", s] for s in sizes)
    return [
        Claim(
            f"In training each column comes out with mean 0 and variance 1, to {off:.0e} (ε = 1e-5 takes that much).",
            off < 1e-5,
            {"largest difference": off},
        ),
        Claim(
            f"γ = √(σ² + ε), β = μ gives the input back, to {undone:.0e}: the identity is among what can be learnt.",
            undone < 1e-12,
            {"largest difference": undone},
        ),
        Claim(
            f"Into the running variance goes the batch's biased variance, as in R7 (to {biased:.0e}), or the unbiased one, as in "
            f"PyTorch (to {unbiased:.0e}); after one batch of 20 the two differ by {apart:.1%}.",
            max(unbiased, biased) < 1e-13 and apart > 0.01,
            {"apart": apart},
        ),
        Claim(
            f"Its gradient, g − mean g − x̂·mean(g∘x̂) over √(σ² + ε), is what reverse mode gives, to {gradient:.0e}.",
            gradient < 1e-13,
            {"relative difference": gradient},
        ),
        Claim(
            "The same first example, with other examples in its batch: in training its result changes by up to "
            f"{r['company'][True]:.2f}, in test by {r['company'][False]:g}.",
            bool(r["company"][True] > 0.1 and r["company"][False] == 0),
            {"training": float(r["company"][True]), "test": float(r["company"][False])},
        ),
        Claim(
            f"Fused into the layer before it, test costs nothing: outputs agree to {fused['linear']:.0e} (linear) and "
            f"{fused['convolution']:.0e} (convolution).",
            max(fused.values()) < 1e-13,
            fused,
        ),
        Claim(
            f"Robust to initialisation and learning rate: of {len(sizes) * len(rates)} settings {len(learnt['batch norm'])} get "
            f"below a loss of 1 with it, all whose rate is above 0.01, and {len(learnt['plain'])} without; it is lower in "
            f"{better}. Each size of weights has a rate that brings it to {_up(at_best)} or less with it; without, weights of size "
            f"0.01 stay at {_down(best['plain', '0.01'])} or more at every rate, where guessing costs ln 10 = 2.30.",
            all(final["batch norm", s, rate] < 1 for s in sizes for rate in rates[1:])
            and len(learnt["plain"]) <= 8
            and better > 8
            and at_best < 0.1
            and best["plain", "0.01"] > 2,
            {"with": len(learnt["batch norm"]), "without": len(learnt["plain"]), "lower": better},
        ),
        Claim(
            f"Higher rates: at 1 weights of each size get to a loss of {_up(with_it)} or less with it, and to no less than "
            f"{_down(without)} without.",
            2 * with_it < without,
            {"with, at most": with_it, "without, at least": without},
        ),
        Claim(
            f"Not better at its best: a plain network with Kaiming's weights and a rate that suits it gets to {kaiming:.2g}, the "
            f"best of all with batch norm to {normed:.2g}. What is gained is that size and rate need not be found first.",
            kaiming < 2 * normed,
            {"plain, Kaiming's": kaiming, "batch norm": normed},
        ),
    ]


def _down(x: float) -> str:
    """With two digits, rounded down, for what is said to be a lower bound."""
    unit = 10.0 ** (np.floor(np.log10(x)) - 1)
    return f"{np.floor(x / unit) * unit:.2g}"


def _up(x: float) -> str:
    unit = 10.0 ** (np.floor(np.log10(x)) - 1)
    return f"{np.ceil(x / unit) * unit:.2g}"


def charts(r: dict) -> list[Chart]:
    sizes, _ = r["grid"]
    found = []
    for name, kinds in (("plain", ("dots", "both", "both", "dashed")), ("batch norm", ("both",) * 4)):
        curves = [r["losses"][name, size, 1.0] for size in sizes]
        lines = [
            Line(
                np.arange(1, len(c) + 1), c, f"weights of size {size}" if size != "Kaiming's" else "Kaiming's", kind, k
            )
            for k, (size, c, kind) in enumerate(zip(sizes, curves, kinds, strict=True))
        ]
        together = "Dots and dashes lie on one another at ln 10, guessing; size 1 starts far above the axes. "
        found.append(
            Chart(
                f"Learning rate 1, {name}",
                "epoch",
                "mean training loss",
                lines,
                "y",
                (together if name == "plain" else "")
                + "Five layers, ten classes, batches of 50; the size of weights is their standard deviation.",
                y_range=(1e-3, 10),
            )
        )
    return found


def tables(r: dict) -> list[Table]:
    sizes, rates = r["grid"]
    rows = [
        [f"{size}, {rate:g}", *(f"{r['losses'][name, size, rate][-1]:.3g}" for name in ("plain", "batch norm"))]
        for size in sizes
        for rate in rates
    ]
    return [Table("Training loss after 12 epochs", ["size of weights, learning rate", "plain", "batch norm"], rows)]


ROW = Row(
    id="D5",
    title="Batch normalisation",
    says="Each unit's inputs are brought to mean 0 and variance 1, by the statistics of the batch in training and by running "
    "averages of them in test; then a learnt scale and shift follow.",
    formulas=(
        r"\hat{x}_{ij} = \frac{x_{ij} - \mu_j}{\sqrt{\sigma_j^2 + \varepsilon}} \qquad y_{ij} = \gamma_j \hat{x}_{ij} + \beta_j",
        r"\bar\mu \leftarrow \alpha\,\mu + (1 - \alpha)\,\bar\mu \qquad "
        r"\bar\sigma^2 \leftarrow \alpha\,\sigma^2 + (1 - \alpha)\,\bar\sigma^2",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=(
        "R7 divides by √σ² without an ε: a unit that is the same for the whole batch would give NaN. Here ε is added, as in the "
        "paper.",
    ),
    sources="R7, C6; Ioffe and Szegedy 2015",
)
