"""D2: saturation, dead units, and what the inputs' signs do."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn, rng = dk.nn, np.random.default_rng(0)

    # saturation: slopes at 0 and far from it
    points = np.array([-10.0, 0.0, 10.0])
    slopes = {
        n: dk.vmap(dk.grad(f))(points) for n, f in (("sigmoid", nn.sigmoid), ("tanh", nn.tanh), ("ReLU", nn.relu))
    }

    # dead at the start: units of ReLU that are 0 for all of 200 inputs, for smaller and smaller weights
    x = 1 + 0.3 * rng.normal(size=(200, 10))
    stds = np.geomspace(1e-4, 1, 25)
    drawn = rng.normal(size=(10, 2000))
    dead = {
        b: [np.mean((nn.relu(nn.linear(x, s * drawn, np.full(2000, b))) == 0).all(axis=0)) for s in stds]
        for b in (0, 0.01)
    }

    # dead by training: one step with a rate that is too large, and then 200 with a small one
    y = np.sin(3 * x[:, :1])
    start = nn.init_mlp((10, 100, 1), seed=1)
    killed = {}
    for name, act in (("ReLU", nn.relu), ("leaky ReLU", nn.leaky_relu)):
        slope = dk.grad(lambda p, act=act: nn.squared_error(nn.mlp(p, x, act), y))
        params, history = start, []
        for step in range(201):
            active = nn.linear(x, params[0]["weight"], params[0]["bias"]) > 0
            g = slope(params)
            still = (g[0]["weight"] == 0).all(axis=0)
            history.append([~active.any(axis=0), still])
            rate = 5.0 if step == 0 else 0.001
            params = [{k: layer[k] - rate * gk[k] for k in layer} for layer, gk in zip(params, g, strict=True)]
        killed[name] = np.array(history)  # (steps, below 0 for every example or without gradient, units)

    # signs: the gradient by the weights of one sigmoid unit, from one example
    unit = dk.grad(lambda w, x, t: nn.binary_cross_entropy_with_logits(x @ w, t))
    alike = {}
    for name, shift in (("positive inputs", 0.5), ("centred inputs", 0.0)):
        inputs = rng.uniform(-0.5, 0.5, size=(500, 5)) + shift
        signs = np.sign([unit(rng.normal(size=5), v, float(rng.random() < 0.5)) for v in inputs])
        alike[name] = float(np.mean(np.abs(signs.sum(axis=1)) == 5))

    # from (0, 0) towards (2, -2), one example at a time
    paths = {}
    for name, shift in (("positive inputs", 0.5), ("centred inputs", 0.0)):
        inputs, w = rng.uniform(-0.5, 0.5, size=(400, 2)) + shift, np.zeros(2)
        paths[name] = [w]
        for v in inputs:
            w = w - 2.0 * unit(w, v, float(nn.sigmoid(v @ np.array([2.0, -2.0]))))
            paths[name].append(w)

    # means and variances through 60 layers, from inputs that are off
    through = {}
    for name, act, init in (
        ("SELU", nn.selu, nn.init_lecun_normal),
        ("ReLU", nn.relu, nn.init_kaiming_normal),
        ("tanh", nn.tanh, nn.init_lecun_normal),
        ("sigmoid", nn.sigmoid, nn.init_lecun_normal),
    ):
        h, draw, moments = 0.3 + 1.2 * rng.normal(size=(300, 256)), np.random.default_rng(2), []
        for _ in range(61):
            moments.append([h.mean(), h.var(), h.var(axis=0).mean()])
            h = act(nn.linear(h, init((256, 256), seed=draw)))
        through[name] = np.array(moments)
    return {
        "slopes": slopes,
        "dead": (stds, {b: np.array(v) for b, v in dead.items()}),
        "killed": killed,
        "alike": alike,
        "paths": {n: np.array(p) for n, p in paths.items()},
        "through": through,
    }


def claims(r: dict) -> list[Claim]:
    sigmoid, tanh = r["slopes"]["sigmoid"], r["slopes"]["tanh"]
    stds, dead = r["dead"]
    small = stds < 1e-3
    relu, leaky = (r["killed"][n].mean(axis=2) for n in ("ReLU", "leaky ReLU"))
    dead_then = r["killed"]["ReLU"][1, 0]
    back = int((~r["killed"]["ReLU"][2:, 0, dead_then]).any(axis=0).sum())
    alike, through = r["alike"], r["through"]
    lengths = {n: float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum() / np.sqrt(8)) for n, p in r["paths"].items()}
    selu = through["SELU"]
    exact = np.exp(-10) / (1 + np.exp(-10)) ** 2
    return [
        Claim(
            f"The slope of the sigmoid is {sigmoid[1]:g} at 0 and {sigmoid[0]:.3g} at ±10; that of tanh {tanh[1]:g} and "
            f"{tanh[0]:.2g}: small, though not 0. Through ten sigmoids in a row a gradient keeps at most "
            f"{sigmoid[1] ** 10:.0e} of its size, weights apart.",
            bool(sigmoid[1] == 0.25 and abs(sigmoid[0] / exact - 1) < 1e-12 and abs(sigmoid[2] / exact - 1) < 1e-9),
            {"at 0": float(sigmoid[1]), "at −10": float(sigmoid[0]), "at 10": float(sigmoid[2])},
        ),
        Claim(
            f"On these inputs {dead[0][0]:.0%} of 2,000 ReLU units are dead from the start, 0 for every example, however "
            f"small their weights. With a bias of 0.01 none is for weights below 0.001, and {dead[0.01][-1]:.0%} are for "
            "weights of size 1: it helps small weights.",
            bool((dead[0] > 0.1).all() and (dead[0.01][small] == 0).all() and dead[0.01][-1] > 0.8 * dead[0][-1]),
            {"bias 0": float(dead[0][0]), "bias 0.01, large weights": float(dead[0.01][-1])},
        ),
        Claim(
            f"One step at too large a rate takes the dead units from {relu[0, 0]:.0%} to {relu[1, 0]:.0%}. Their gradient is "
            f"exactly 0: in 200 careful steps {back} of these {dead_then.sum()} come back, and {relu[-1, 0]:.0%} are dead in the "
            f"end. Of the leaky ReLU's units {leaky[-1, 0]:.0%} are below 0 for every example, and {leaky[:, 1].max():.0%} have no "
            "gradient.",
            bool(relu[1, 0] > relu[0, 0] and back == 0 and (relu[:, 1] >= relu[:, 0]).all() and leaky[:, 1].max() == 0),
            {"before": float(relu[0, 0]), "after the step": float(relu[1, 0]), "at the end": float(relu[-1, 0])},
        ),
        Claim(
            "One example, one unit, five weights: the gradient has one sign in "
            f"{alike['positive inputs']:.0%} of 500 draws if all inputs are positive, in {alike['centred inputs']:.0%} if "
            "they are centred (by chance in 1 of 16, 6 %).",
            alike["positive inputs"] == 1 and alike["centred inputs"] < 0.15,
            alike,
        ),
        Claim(
            f"To two weights of unlike sign such steps go in zigzags: {lengths['positive inputs']:.2f} times the straight "
            f"way, and {lengths['centred inputs']:.2f} times with centred inputs.",
            lengths["positive inputs"] > 1.3 * lengths["centred inputs"],
            lengths,
        ),
        Claim(
            f"SELU is drawn to mean 0 and variance 1: from {selu[0, 0]:.2f} and {selu[0, 1]:.2f} it has come to "
            f"{selu[-1, 0]:.2f} and {selu[-1, 1]:.2f} after 60 layers. With the same weights tanh has the variance "
            f"{through['tanh'][-1, 1]:.3f} left; and of the sigmoid's units each says the same of every example, but for a "
            f"variance of {through['sigmoid'][-1, 2]:.0e}, which is round-off.",
            bool(
                np.abs(selu[20:, 0]).max() < 0.15
                and np.abs(selu[20:, 1] - 1).max() < 0.3
                and through["tanh"][-1, 1] < 0.05
                and through["sigmoid"][-1, 2] < 1e-12
            ),
            {f"{n}: {w}": float(m[-1, k]) for n, m in through.items() for k, w in enumerate(("mean", "variance"))},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    stds, dead = r["dead"]
    layers = np.arange(61)
    return [
        Chart(
            "Dead at the start",
            "standard deviation of the weights",
            "share of dead units",
            [Line(stds, v, f"bias {b:g}", "both") for b, v in dead.items()],
            "x",
        ),
        Chart(
            "Dead by a large step",
            "step",
            "share of units",
            [
                Line(np.arange(201), r["killed"]["ReLU"].mean(axis=2)[:, 1], "ReLU: no gradient"),
                Line(np.arange(201), r["killed"]["leaky ReLU"].mean(axis=2)[:, 1], "leaky ReLU: no gradient"),
                Line(
                    np.arange(201),
                    r["killed"]["leaky ReLU"].mean(axis=2)[:, 0],
                    "leaky ReLU: below 0 for all",
                    "dashed",
                ),
            ],
        ),
        Chart(
            "All inputs positive: zigzags",
            "w₁",
            "w₂",
            [Line.through(p[:61], n, "both") for n, p in r["paths"].items()],
            caption="60 steps of one example each, from (0, 0) towards (2, −2).",
        ),
        Chart("Means through depth", "layer", "mean", [Line(layers, m[:, 0], n) for n, m in r["through"].items()]),
        Chart(
            "Variances through depth",
            "layer",
            "variance",
            [Line(layers, m[:, 1], n) for n, m in r["through"].items()],
            "y",
        ),
        Chart(
            "What still differs from example to example",
            "layer",
            "variance between examples",
            [Line(layers, np.maximum(m[:, 2], 1e-31), n) for n, m in r["through"].items()],
            "y",
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [[n, *(f"{v:.3g}" for v in s)] for n, s in r["slopes"].items()]
    return [Table("Slopes", ["activation", "x = −10", "x = 0", "x = 10"], rows)]


ROW = Row(
    id="D2",
    title="Saturation and dead units",
    says="Where an activation is flat no gradient passes. A sigmoid is nearly flat on both sides; a ReLU is flat below 0, "
    "and a unit that is there for every example never comes back.",
    formulas=(
        r"\sigma'(x) = \sigma(x)(1 - \sigma(x)) \le \tfrac{1}{4} \qquad \mathrm{ReLU}'(x) = 0 \quad (x < 0)",
        r"\frac{\partial L}{\partial w_i} = x_i \frac{\partial L}{\partial z} \qquad z = w^T x + b",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=("C6 sets σ′(±10) to 0. It is 4.5e-5, which is small and not nothing.",),
    sources="C6",
)
