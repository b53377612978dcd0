"""D8: residual and dense connections."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)
    width, depth = 16, 30

    # what they are: a block whose weights are zero leaves x as it is, and its Jacobian is I + f′
    x, layer = rng.normal(size=(1, width)), nn.init_linear(width, width, seed=0)
    f = lambda x: nn.tanh(nn.linear(x, **layer))
    nothing = lambda x: nn.linear(x, np.zeros((width, width)), np.zeros(width))
    untouched = np.max(np.abs(nn.residual(nothing, x) - x))
    jacobian = lambda f: dk.jacobian(lambda x: f(x[None])[0])(x[0])
    identity = np.max(np.abs(jacobian(lambda x: nn.residual(f, x)) - np.eye(width) - jacobian(f)))

    # dense: each layer sees all before it, so channels add up, and the first is handed to the last as it is
    growth, count = 4, 5
    layers = [nn.init_linear(width + growth * k, growth, seed=k) for k in range(count)]
    blocks = [lambda x, layer=layer: nn.tanh(nn.linear(x, **layer)) for layer in layers]
    dense = nn.dense_block(blocks, x)
    by_hand = x
    for block in blocks:
        by_hand = np.concatenate([by_hand, block(by_hand)], axis=1)
    twelve = lambda x: nn.relu(nn.conv2d(x, **nn.init_conv2d(x.shape[1], 12, 3, seed=0), padding=1))
    images = nn.dense_block([twelve] * 3, np.ones((2, 24, 8, 8)))

    # two curves, learnt by 30 layers in three ways; plain and residual start from the same weights
    angle = rng.uniform(-3, 3, size=(256, 1))
    data = angle / 3, np.concatenate([np.sin(2 * angle), angle * np.cos(angle)], axis=1)
    stack = nn.init_mlp([width] * (depth + 1), seed=1, weight=lambda s, **k: nn.init_xavier_normal(s, gain=0.5, **k))
    ends = [nn.init_linear(1, width, seed=2), nn.init_linear(width, 2, seed=3)]
    thin = [nn.init_linear(4 + 4 * k, 4, seed=10 + k) for k in range(depth)]
    thin_ends = [nn.init_linear(1, 4, seed=2), nn.init_linear(4 + 4 * depth, 2, seed=3)]

    def model(params, x, kind):
        x = nn.linear(x, **params["ends"][0])
        run = [lambda x, layer=layer: nn.tanh(nn.linear(x, **layer)) for layer in params["layers"]]
        if kind == "dense":
            x = nn.dense_block(run, x)
        else:
            for block in run:
                x = nn.residual(block, x) if kind == "residual" else block(x)
        return nn.linear(x, **params["ends"][1])

    curves, arriving = {}, {}
    for kind in ("plain", "residual", "dense"):
        params = {"ends": thin_ends, "layers": thin} if kind == "dense" else {"ends": ends, "layers": stack}
        loss = lambda params, batch, kind=kind: np.mean((model(params, batch[0], kind) - batch[1]) ** 2)
        slopes = dk.grad(loss)(params, data)["layers"]
        arriving[kind] = np.array([np.linalg.norm(g["weight"]) for g in slopes])
        how = {"optimizer": dk.optim.Adam(2e-3), "batch_size": 64, "epochs": 60, "clip_norm": 1.0, "progress": False}
        fit = dk.optim.fit(loss, params, data, **how)
        curves[kind] = fit.history["epoch_loss"]
    return {
        "untouched": untouched,
        "identity": identity,
        "channels": (x.shape[1], growth, count, dense.shape[1]),
        "dense": np.max(np.abs(dense - by_hand)),
        "images": images.shape,
        "first": bool((dense[:, :width] == x).all()),
        "curves": curves,
        "arriving": arriving,
        "depth": depth,
        "spread": np.mean(np.var(data[1], axis=0)),
    }


def claims(r: dict) -> list[Claim]:
    start, growth, count, channels = r["channels"]
    arrives = {k: float(g[0]) for k, g in r["arriving"].items()}
    last = {k: float(c[-1]) for k, c in r["curves"].items()}
    return [
        Claim(
            f"A residual block with zero weights does nothing (to {r['untouched']:.0e}), and the Jacobian of any is I + f′, to "
            f"{r['identity']:.0e}: the gradient has a way past.",
            bool(r["untouched"] == 0 and r["identity"] < 1e-14),
            {"Jacobian": float(r["identity"])},
        ),
        Claim(
            f"A dense block of {count} layers that give {growth} each makes {start} + {count}·{growth} = {channels} channels (of "
            f"images, {r['images'][1]} = 24 + 3·12), the first {start} untouched; it is the loop of concatenations, to "
            f"{r['dense']:.0e}.",
            channels == start + count * growth
            and r["images"] == (2, 60, 8, 8)
            and r["first"]
            and bool(r["dense"] < 1e-14),
            {"channels": channels},
        ),
        Claim(
            f"Through {r['depth']} layers with small weights signal and gradient both die: the first layer's weights get a "
            f"gradient of {arrives['plain']:.0e}; with skips {arrives['residual']:.2g}, "
            f"with dense connections {arrives['dense']:.2g}.",
            arrives["plain"] < 1e-6 and min(arrives["residual"], arrives["dense"]) > 1e-2,
            arrives,
        ),
        Claim(
            f"So it can be trained: after 60 epochs the loss is {last['plain']:.2g} plain, {last['residual']:.2g} residual (the "
            f"same weights at the start), {last['dense']:.2g} dense; answering with the mean costs {r['spread']:.2g}.",
            max(last["residual"], last["dense"]) < 0.2 * last["plain"],
            last,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    layers = np.arange(1, r["depth"] + 1)
    return [
        Chart(
            "Gradient of each layer's weights, before training",
            "layer",
            "norm",
            [Line(layers, g, k, "both") for k, g in r["arriving"].items()],
            "y",
            "30 tanh layers: 16 units, or 4 each where they are joined.",
        ),
        Chart(
            "Training",
            "epoch",
            "mean loss",
            [Line(np.arange(1, len(c) + 1), c, k) for k, c in r["curves"].items()],
            "y",
            "Two curves to learn from 256 points; Adam, rate 0.002.",
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [k, f"{r['arriving'][k][0]:.1e}", f"{r['arriving'][k][-1]:.1e}", f"{c[-1]:.2g}"] for k, c in r["curves"].items()
    ]
    return [Table("30 layers", ["", "gradient, first layer", "gradient, last layer", "loss after 60 epochs"], rows)]


ROW = Row(
    id="D8",
    title="Residual and dense connections",
    says="Paths past the layers: a residual block adds its input to what it makes, a dense block keeps all that was made and "
    "hands it on.",
    formulas=(
        r"\text{residual: } h' = h + f(h) \;\Rightarrow\; \frac{\partial h'}{\partial h} = I + f'(h)",
        r"\text{dense: } h_{k+1} = [\,h_0, h_1, \ldots, h_k, f_k(h_0, \ldots, h_k)\,]",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="R7; He et al. 2016, Huang et al. 2017",
)
