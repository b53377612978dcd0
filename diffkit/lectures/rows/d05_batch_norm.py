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
    stds, rates, losses = (0.01, 0.1, 1.0), (0.01, 0.1, 1.0), {}
    for std in stds:
        for rate in rates:
            weight = lambda shape, **how: nn.init_normal(shape, std=std, **how)
            plain = {"layers": nn.init_mlp([20, 24, 24, 24, 24, 10], seed=0, weight=weight)}
            normed = {**plain, "norms": [nn.init_norm(24) for _ in range(4)]}
            for name, start in (("plain", plain), ("batch norm", normed)):
                how = {"optimizer": dk.optim.SGD(rate), "batch_size": 50, "epochs": 12, "clip_value": 1e3}
                fit = dk.optim.fit(loss, start, data, progress=False, **how)
                losses[name, std, rate] = fit.history["epoch_loss"]
    return {
        "x": x,
        "y": y,
        "undone": undone,
        "stored": stored,
        "gradient": (slope, closed),
        "company": company,
        "fused": fused,
        "losses": losses,
        "stds": stds,
        "rates": rates,
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
    normed = [v for k, v in final.items() if k[0] == "batch norm"]
    plain = [v for k, v in final.items() if k[0] == "plain"]
    better = sum(n < p for n, p in zip(normed, plain, strict=True))
    best = {name: min(v for k, v in final.items() if k[0] == name) for name in ("plain", "batch norm")}
    with_it = max(final["batch norm", s, 1.0] for s in r["stds"])
    without = min(final["plain", s, 1.0] for s in r["stds"])
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
            f"Robust to initialisation and learning rate: of nine settings {len(learnt['batch norm'])} get below a loss of 1 "
            f"with it and {len(learnt['plain'])} without; it is lower in {better}. Guessing costs ln 10 = 2.30.",
            len(learnt["batch norm"]) >= len(learnt["plain"]) + 3 and better >= 7,
            {"with": len(learnt["batch norm"]), "without": len(learnt["plain"]), "lower": better},
        ),
        Claim(
            f"Higher rates: at 1.0 weights of each size get to a loss of at most {with_it:.2g} with it, and to no less than "
            f"{without:.2g} without. The best of all nine: {best['batch norm']:.2g} with, {best['plain']:.2g} without.",
            3 * with_it < without and best["batch norm"] < best["plain"],
            best,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    lines = []
    for k, std in enumerate(r["stds"]):
        for name, kind in (("plain", "dashed"), ("batch norm", "both")):
            curve = r["losses"][name, std, 1.0]
            lines.append(Line(np.arange(1, len(curve) + 1), curve, f"{name}, weights ~ {std:g}", kind, k))
    return [
        Chart(
            "Learning rate 1, from weights of three sizes",
            "epoch",
            "mean training loss",
            lines,
            "y",
            "Five layers, ten classes, batches of 50. Weights are normal with the standard deviation given. One plain network "
            "starts far above the axes.",
            y_range=(1e-3, 10),
        )
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [f"{std:g}, {rate:g}", *(f"{r['losses'][name, std, rate][-1]:.3g}" for name in ("plain", "batch norm"))]
        for std in r["stds"]
        for rate in r["rates"]
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
