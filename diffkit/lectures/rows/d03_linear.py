"""D3: linear layers and multilayer perceptrons."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Landscape, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn, rng = dk.nn, np.random.default_rng(0)

    # one layer: values by hand, and the gradients of a sum of its outputs weighted by u
    x, layer, u = rng.normal(size=(6, 4)), nn.init_linear(4, 3, seed=0), rng.normal(size=(6, 3))
    slope = dk.grad(lambda x, w, b: np.sum(u * nn.linear(x, w, b)), argnums=(0, 1, 2))
    W, b = layer["weight"], layer["bias"]
    value = np.array([[sum(x[n, i] * W[i, j] for i in range(4)) + b[j] for j in range(3)] for n in range(6)])
    gradients = dict(zip(("x", "weight", "bias"), slope(x, W, b), strict=True))
    by_hand = {"x": u @ W.T, "weight": x.T @ u, "bias": u.sum(axis=0)}

    # without an activation three layers are one
    deep = nn.init_mlp((4, 8, 8, 3), seed=1)
    product = deep[0]["weight"] @ deep[1]["weight"] @ deep[2]["weight"]
    shift = nn.mlp(deep, np.zeros(4), nn.identity)
    collapse = nn.mlp(deep, x, nn.identity) - (x @ product + shift)

    # a network on two interleaved spirals, and a linear model beside it
    t = rng.uniform(0.25, 1, 300)
    y = rng.integers(0, 2, 300)
    angle = 3 * np.pi * t + np.pi * y
    points = 3 * t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * rng.normal(size=(300, 2))
    train, test = (points[:200], y[:200]), (points[200:], y[200:])
    loss = lambda p, batch: nn.softmax_cross_entropy(nn.mlp(p, batch[0], nn.tanh), batch[1])
    fits = {}
    for name, sizes in (("linear", (2, 2)), ("one hidden layer of 32", (2, 32, 2)), ("two of 32", (2, 32, 32, 2))):
        start = nn.init_mlp(sizes, seed=2, weight=nn.init_xavier_uniform)
        fit = dk.optim.fit(
            loss, start, train, optimizer=dk.optim.Adam(learning_rate=0.02), batch_size=50, epochs=250, progress=False
        )
        right = [float(np.mean(nn.mlp(fit.params, a, nn.tanh).argmax(axis=1) == c)) for a, c in (train, test)]
        count = sum(v.size for layer in start for v in layer.values())
        fits[name] = {"losses": fit.history["epoch_loss"], "right": right, "parameters": count, "params": fit.params}
    checked = dk.check_gradient(lambda p: loss(p, train), nn.init_mlp((2, 8, 2), seed=3))

    # what the network says of the plane
    grid = np.stack(np.meshgrid(np.linspace(-3.3, 3.3, 67), np.linspace(-3.3, 3.3, 67)), axis=-1)
    z = nn.mlp(fits["two of 32"]["params"], grid, nn.tanh)
    return {
        "value": float(np.abs(value - nn.linear(x, W, b)).max()),
        "gradients": {k: float(np.abs(g - by_hand[k]).max()) for k, g in gradients.items()},
        "collapse": float(np.abs(collapse).max()),
        "fits": fits,
        "checked": checked,
        "train": train,
        "grid": (grid[0, :, 0], z[..., 1] - z[..., 0]),
    }


def claims(r: dict) -> list[Claim]:
    off, fits, checked = r["gradients"], r["fits"], r["checked"]
    deep, flat = fits["two of 32"], fits["linear"]
    wanted = {"linear": 6, "one hidden layer of 32": 162, "two of 32": 1218}
    return [
        Claim(
            f"xW + b is what loops over its sums give, to {r['value']:.0e}. Where u is the gradient by y, those by x, W and b are "
            f"uWᵀ, xᵀu and the sum of u over the examples, to {max(off.values()):.0e}.",
            r["value"] < 1e-13 and max(off.values()) < 1e-13,
            off,
        ),
        Claim(
            f"Without an activation three layers are one: x(W₁W₂W₃) + c, to {r['collapse']:.0e}.",
            r["collapse"] < 1e-13,
            {"largest difference": r["collapse"]},
        ),
        Claim(
            "Parameters, a layer's being (inputs + 1)·outputs: "
            + ", ".join(f"{f['parameters']:,} {n}" for n, f in fits.items())
            + ".",
            all(f["parameters"] == wanted[n] for n, f in fits.items()),
            {n: float(f["parameters"]) for n, f in fits.items()},
        ),
        Claim(
            f"The gradient of a small network's loss is right in {checked.judged - checked.wrong} of {checked.judged} "
            f"entries, by differences: {checked.verdict}.",
            bool(checked) and checked.judged == 42,
            {"entries off": float(checked.wrong)},
        ),
        Claim(
            f"Two spirals, 100 points that were not trained on: a linear model has {flat['right'][1]:.0%} right, two hidden "
            f"layers {deep['right'][1]:.0%}.",
            flat["right"][1] < 0.8 and deep["right"][1] > 0.9,
            {n: f["right"][1] for n, f in fits.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    points, y = r["train"]
    axis, z = r["grid"]
    land = Landscape(axis, axis, z, np.array([-4.0, -1.0, 0.0, 1.0, 4.0]))
    return [
        Chart(
            "Two spirals",
            "x₁",
            "x₂",
            [Line.through(points[y == k], f"class {k}", "dots") for k in range(2)],
            landscape=land,
            caption="Level lines: logit of class 1 less that of class 0, by two hidden layers.",
        ),
        Chart(
            "Training",
            "epoch",
            "cross-entropy",
            [Line(np.arange(1, len(f["losses"]) + 1), f["losses"], n) for n, f in r["fits"].items()],
            "y",
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [n, f["parameters"], f"{f['losses'][-1]:.2g}", *(f"{v:.0%}" for v in f["right"])] for n, f in r["fits"].items()
    ]
    return [Table("Two spirals", ["model", "parameters", "loss", "right, trained on", "right, new"], rows)]


ROW = Row(
    id="D3",
    title="Linear layers, multilayer perceptrons",
    says="A linear layer mixes all inputs into each output. Stacked with an activation between, such layers draw borders "
    "that no single one can; without it they are a single one.",
    formulas=(
        r"y = x W + b \qquad \frac{\partial L}{\partial x} = u W^T \quad \frac{\partial L}{\partial W} = x^T u \quad "
        r"\frac{\partial L}{\partial b} = \sum_n u_n \quad \text{for } u = \frac{\partial L}{\partial y}",
        r"\mathrm{mlp}(x) = \phi(\ldots \phi(x W_1 + b_1) \ldots) W_L + b_L",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="R7, C6, DS",
)
