"""D10: gradients that vanish and explode, through layers and through time."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    depth, width, steps, n = 40, 64, 60, 32
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(16, width)), rng.normal(size=(16, width))

    # a zero added to what each layer gives: the gradient for it is the one that arrives there
    def through_layers(activation, layers, skips):
        def loss(zeros):
            h = x
            for layer, zero in zip(layers, zeros, strict=True):
                block = lambda h: activation(nn.linear(h, **layer))
                h = (nn.residual(block, h) if skips else block(h)) + zero
            return np.mean(np.sum((h - target) ** 2, -1))

        return np.linalg.norm(dk.grad(loss)([np.zeros((16, width))] * depth), axis=(1, 2))

    stacks = {
        "sigmoid": (nn.sigmoid, nn.init_xavier_normal, False),
        "tanh": (nn.tanh, nn.init_xavier_normal, False),
        "ReLU": (nn.relu, nn.init_kaiming_normal, False),
        "ReLU, weights twice as large": (nn.relu, lambda s, **k: 2 * nn.init_kaiming_normal(s, **k), False),
        "sigmoid, skips": (nn.sigmoid, nn.init_xavier_normal, True),
        "tanh, skips": (nn.tanh, lambda s, **k: nn.init_xavier_normal(s, gain=0.3, **k), True),
    }
    layers, weights = {}, {}
    for name, (activation, weight, skips) in stacks.items():
        stack = nn.init_mlp([width] * (depth + 1), seed=1, weight=weight)
        layers[name] = through_layers(activation, stack, skips)
        weights[name] = np.array([np.linalg.norm(layer["weight"], 2) for layer in stack])

    # the same through time: the state before every step, the loss after the last
    xs, goal = rng.normal(size=(steps, 8, n)) / 4, rng.normal(size=(8, n))

    def through_time(cell, state):
        def loss(zeros):
            step = lambda state, row: (cell(row[0], [s + z for s, z in zip(state, row[1], strict=True)]), 0.0)
            last = dk.scan(step, state, (xs, zeros))[0]
            return np.mean(np.sum((last[0] - goal) ** 2, -1))

        slopes = dk.grad(loss)([np.zeros((steps, *s.shape)) for s in state])
        return np.sqrt(sum(np.sum(g**2, axis=(1, 2)) for g in slopes))

    start, plain, open_gate = (
        np.zeros((8, n)),
        nn.init_rnn(n, n, seed=2)[0],
        nn.init_lstm(n, n, seed=2, forget_bias=4)[0],
    )
    rotation = nn.init_orthogonal((n, n), seed=3)

    def linear(size):
        params = {**plain, "weight_h": size * rotation, "bias": np.zeros(n)}
        return lambda x, s: [nn.rnn_cell(params, x, s[0], activation=nn.identity)]

    gru = nn.init_gru(n, n, seed=2, variant="lecture")[0]
    gru["bias"][n : 2 * n] -= 4  # u near 0: the state is kept
    recurrent = {
        "RNN": (lambda x, s: [nn.rnn_cell(plain, x, s[0])], [start]),
        "LSTM": (lambda x, s: list(nn.lstm_cell(nn.init_lstm(n, n, seed=2)[0], x, s)), [start, start]),
        "LSTM, forget gate open": (lambda x, s: list(nn.lstm_cell(open_gate, x, s)), [start, start]),
        "GRU, update gate near 0": (lambda x, s: [nn.gru_cell(gru, x, s[0], variant="lecture")], [start]),
    }
    for size in (0.9, 1.1):
        recurrent[f"linear, {size} × rotation"] = linear(size), [start]
    time = {name: through_time(cell, state) for name, (cell, state) in recurrent.items()}
    return {"layers": layers, "weights": weights, "time": time, "W_h": np.linalg.norm(plain["weight_h"], 2)}


def claims(r: dict) -> list[Claim]:
    layers, time = r["layers"], r["time"]
    kept = {name: float(g[0] / g[-1]) for name, g in layers.items()}
    last = {name: float(g[0] / g[-1]) for name, g in time.items()}
    # what one layer lets through at most: the largest slope of its activation times the norm of its weights
    steepest = {"sigmoid": 0.25, "tanh": 1.0, "ReLU": 1.0, "ReLU, weights twice as large": 1.0}
    bound = max(
        float(np.max(layers[k][:-1] / layers[k][1:] / (slope * r["weights"][k][1:]))) for k, slope in steepest.items()
    )
    a_layer = kept["sigmoid"] ** (1 / 39)
    grown = kept["ReLU, weights twice as large"] ** (1 / 39)
    exact = max(
        float(
            np.max(
                np.abs(
                    time[f"linear, {s} × rotation"][::-1] / time[f"linear, {s} × rotation"][-1] / s ** np.arange(60) - 1
                )
            )
        )
        for s in (0.9, 1.1)
    )
    skips = [kept["sigmoid, skips"], kept["tanh, skips"]]
    gates = [last["LSTM, forget gate open"], last["GRU, update gate near 0"]]
    return [
        Claim(
            f"Through 40 sigmoid layers the gradient shrinks to {kept['sigmoid']:.0e}, by {a_layer:.2f} a layer (σ′ is at "
            f"most ¼); tanh leaves {kept['tanh']:.2g}, ReLU with Kaiming's weights {kept['ReLU']:.2g}.",
            kept["sigmoid"] < 1e-15 and kept["tanh"] > 1e-4 and 1e-2 < kept["ReLU"] < 100,
            {f"first/last layer, {k}": v for k, v in kept.items()},
        ),
        Claim(
            f"Weights twice as large, and it explodes: {kept['ReLU, weights twice as large']:.0e}, by {grown:.2f} a layer "
            "(ReLU without biases is homogeneous: twice the weights, twice what a layer passes back).",
            1.8 < grown < 2.2,
            {"growth a layer": grown},
        ),
        Claim(
            "A layer lets through at most (largest slope of φ)·‖W‖₂: the bound holds at each of "
            f"{39 * len(steepest)} steps back; the nearest comes to {bound:.2f} of it.",
            bound <= 1,
            {"largest share of the bound": bound},
        ),
        Claim(
            f"With skips the first layer gets {skips[0]:.2g} (sigmoid) and {skips[1]:.2g} (tanh) of what the last gets, "
            f"with the same sigmoid layers that passed {kept['sigmoid']:.0e} without.",
            min(skips) > 0.3,
            {"sigmoid, skips": skips[0], "tanh, skips": skips[1]},
        ),
        Claim(
            f"Through 60 steps of a tanh RNN with ‖W‖₂ = {r['W_h']:.2f} the gradient is {last['RNN']:.0e} times that at the last "
            f"step; {gates[0]:.2g} times in an LSTM with its forget gate open, {gates[1]:.2g} times in a GRU whose update gate is "
            f"near 0. Half open is not enough: an LSTM whose biases start at about 0 gives {last['LSTM']:.0e}.",
            last["RNN"] < 1e-8 and min(gates) > 1e-2 and last["LSTM"] < 1e-6,
            {f"after 60 steps, {k}": v for k, v in last.items()},
        ),
        Claim(
            f"A linear RNN whose matrix is s times a rotation multiplies the gradient by s at every step, to {exact:.0e}: "
            f"0.9 leaves {last['linear, 0.9 × rotation']:.1e} after 59 steps, 1.1 makes {last['linear, 1.1 × rotation']:.0f}.",
            exact < 1e-10,
            {"largest relative difference": exact},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    back = np.arange(39, -1, -1)
    ago = np.arange(59, -1, -1)
    return [
        Chart(
            "Through depth",
            "layers before the last",
            "size of the gradient, the last layer's as 1",
            [Line(back, g / g[-1], name, "dashed" if "skips" in name else "line") for name, g in r["layers"].items()],
            "y",
            "Width 64, 16 examples.",
        ),
        Chart(
            "Those that keep it",
            "layers before the last",
            "size of the gradient, the last layer's as 1",
            [
                Line(back, g / g[-1], name, "dashed" if "skips" in name else "line", k)
                for k, (name, g) in enumerate(r["layers"].items())
                if 1e-3 < g[0] / g[-1] < 1e3
            ],
            "y",
            "The same curves as beside, from near by.",
        ),
        Chart(
            "Through time",
            "steps before the last",
            "size of the gradient, the last step's as 1",
            [Line(ago, g / g[-1], name, "dashed" if "linear" in name else "line") for name, g in r["time"].items()],
            "y",
            "32 units; of an LSTM h and c together. The loss looks at the last h alone.",
        ),
    ]


ROW = Row(
    id="D10",
    title="Vanishing and exploding gradients",
    says="Going back, each layer or step multiplies the gradient by its own Jacobian. Many factors below 1 leave nothing of it, "
    "many above 1 too much; paths along which it is passed on as it is, skips and open gates, keep it.",
    formulas=(
        r"\frac{\partial J}{\partial h^{(1)}} = \left(\frac{\partial h^{(2)}}{\partial h^{(1)}}\right)^{\!T} \cdots "
        r"\left(\frac{\partial h^{(T)}}{\partial h^{(T-1)}}\right)^{\!T} \frac{\partial J}{\partial h^{(T)}}",
        r"h' = \varphi(W h) \;\Rightarrow\; \left\|\frac{\partial h'}{\partial h}\right\| \le \max|\varphi'| \, \|W\|_2 "
        r"\qquad h' = h + \varphi(W h) \;\Rightarrow\; \frac{\partial h'}{\partial h} = I + \cdots",
    ),
    example=example,
    claims=claims,
    charts=charts,
    sources="R7, DS",
)
