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
    def through_layers(activation, layers, branch):
        def loss(zeros):
            h = x
            for layer, zero in zip(layers, zeros, strict=True):
                block = lambda h: activation(nn.linear(h, **layer))
                h = (block(h) if branch is None else nn.residual(lambda h: branch * block(h), h)) + zero
            return np.mean(np.sum((h - target) ** 2, -1))

        return np.linalg.norm(dk.grad(loss)([np.zeros((16, width))] * depth), axis=(1, 2))

    stacks = {
        "sigmoid": (nn.sigmoid, nn.init_xavier_normal),
        "tanh": (nn.tanh, nn.init_xavier_normal),
        "ReLU": (nn.relu, nn.init_kaiming_normal),
        "ReLU, weights twice as large": (nn.relu, lambda shape, **how: 2 * nn.init_kaiming_normal(shape, **how)),
    }
    layers, weights = {}, {}
    for name, (activation, weight) in stacks.items():
        stack = nn.init_mlp([width] * (depth + 1), seed=1, weight=weight)
        weights[name] = np.array([np.linalg.norm(layer["weight"], 2) for layer in stack])
        for way, branch in (("", None), (", skips", 1), (", skips, branch/40", 1 / depth)):  # the same weights
            if "twice" not in name or not way:
                layers[name + way] = through_layers(activation, stack, branch)

    # the same through time: the state before every step, the loss after the last
    xs, goal = rng.normal(size=(steps, 8, n)) / 4, rng.normal(size=(8, n))

    def through_time(cell, state):
        def loss(zeros):
            step = lambda state, row: (cell(row[0], [s + z for s, z in zip(state, row[1], strict=True)]), 0.0)
            last = dk.scan(step, state, (xs, zeros))[0]
            return np.mean(np.sum((last[0] - goal) ** 2, -1))

        slopes = dk.grad(loss)([np.zeros((steps, *s.shape)) for s in state])
        return np.sqrt(sum(np.sum(g**2, axis=(1, 2)) for g in slopes))

    start, rotation = np.zeros((8, n)), nn.init_orthogonal((n, n), seed=3)
    plain, gates = nn.init_rnn(n, n, seed=2)[0], nn.init_lstm(n, n, seed=2)[0]
    open_gate = nn.init_lstm(n, n, seed=2, forget_bias=4)[0]
    gru = nn.init_gru(n, n, seed=2, variant="lecture")[0]
    keeping = {**gru, "bias": gru["bias"] - 4 * (np.arange(3 * n) // n == 1)}  # of the blocks r, u, new: u near 0

    def linear(size):
        params = {**plain, "weight_h": size * rotation, "bias": np.zeros(n)}
        return lambda x, s: [nn.rnn_cell(params, x, s[0], activation=nn.identity)]

    recurrent = {
        "RNN": (lambda x, s: [nn.rnn_cell(plain, x, s[0])], [start]),
        "LSTM as it starts": (lambda x, s: list(nn.lstm_cell(gates, x, s)), [start, start]),
        "LSTM, forget gate open": (lambda x, s: list(nn.lstm_cell(open_gate, x, s)), [start, start]),
        "GRU as it starts": (lambda x, s: [nn.gru_cell(gru, x, s[0], variant="lecture")], [start]),
        "GRU, update gate near 0": (lambda x, s: [nn.gru_cell(keeping, x, s[0], variant="lecture")], [start]),
    }
    for size in (0.9, 1.1):
        recurrent[f"linear, {size} × rotation"] = linear(size), [start]
    time = {name: through_time(cell, state) for name, (cell, state) in recurrent.items()}
    return {"layers": layers, "weights": weights, "time": time, "W_h": np.linalg.norm(plain["weight_h"], 2)}


STEEPEST = {"sigmoid": 0.25, "tanh": 1.0, "ReLU": 1.0, "ReLU, weights twice as large": 1.0}


def _per_layer(r: dict, way: str, name: str) -> np.ndarray:
    """What each layer does to the size of the gradient, as a share of the most that its Jacobian allows."""
    g, most = r["layers"][name + way], STEEPEST[name] * r["weights"][name][1:]
    return g[:-1] / g[1:] / (1 + most / 40 if way else most)


def claims(r: dict) -> list[Claim]:
    layers, time = r["layers"], r["time"]
    kept = {name: float(g[0] / g[-1]) for name, g in layers.items()}
    last = {name: float(g[0] / g[-1]) for name, g in time.items()}
    sigmoid, tanh, relu = (kept[f"{name}, skips"] for name in ("sigmoid", "tanh", "ReLU"))
    scaled = {name: kept[f"{name}, skips, branch/40"] for name in ("sigmoid", "tanh", "ReLU")}
    bound = max(float(_per_layer(r, "", name).max()) for name in STEEPEST)
    scaled_bound = max(float(_per_layer(r, ", skips, branch/40", name).max()) for name in scaled)
    grown = kept["ReLU, weights twice as large"] ** (1 / 39)
    exact = 0.0
    for s in (0.9, 1.1):
        g = time[f"linear, {s} × rotation"][::-1]
        exact = max(exact, float(np.max(np.abs(g / g[0] / s ** np.arange(60) - 1))))
    keeps = float(1 / (1 + np.exp(-4))) ** 59
    return [
        Claim(
            f"Through 40 sigmoid layers the gradient shrinks to {kept['sigmoid']:.0e}, by {kept['sigmoid'] ** (1 / 39):.2f} a "
            f"layer (σ′ is at most ¼); tanh leaves {kept['tanh']:.2g}, ReLU with Kaiming's weights {kept['ReLU']:.2g}.",
            kept["sigmoid"] < 1e-15 and 1e-2 < kept["tanh"] < 10 and 1e-2 < kept["ReLU"] < 100,
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
            f"{39 * len(STEEPEST)} steps back; the nearest comes to {bound:.2f} of it.",
            bound <= 1,
            {"largest share of the bound": bound},
        ),
        Claim(
            f"Skips past the same layers with the same weights keep it from vanishing: {sigmoid:.2g} for sigmoid. They do not keep "
            f"it from exploding: {tanh:.2g} for tanh and {relu:.0e} for ReLU, {relu ** (1 / 39):.2f} a layer, where without skips "
            f"there is {kept['ReLU']:.2g}. A branch adds to what the skip passes on.",
            0.5 < sigmoid < 3 and 5 < tanh < 100 and 1e7 < relu < 1e12,
            {"sigmoid, skips": sigmoid, "tanh, skips": tanh, "ReLU, skips": relu},
        ),
        Claim(
            f"One remedy is to scale the branch by 1/depth, h + φ(Wh)/40: {scaled['sigmoid']:.2f} (sigmoid), {scaled['tanh']:.2f} "
            f"(tanh) and {scaled['ReLU']:.2f} (ReLU) arrive. A layer then lets through at most 1 + max|φ′|·‖W‖₂/40, all of them "
            f"exp(max|φ′|·max‖W‖₂) together; the nearest of {39 * len(scaled)} steps comes to {scaled_bound:.2f} of it.",
            all(0.7 < v < 1.5 for v in scaled.values()) and scaled_bound <= 1,
            {f"{name}, branch/40": v for name, v in scaled.items()} | {"largest share of the bound": scaled_bound},
        ),
        Claim(
            f"Through 59 steps of a tanh RNN with ‖W‖₂ = {r['W_h']:.2f} the gradient shrinks to {last['RNN']:.0e}. Gates alone "
            f"do not help: with biases about 0 they are half open, and {last['LSTM as it starts']:.0e} is left in an LSTM, "
            f"{last['GRU as it starts']:.0e} in a GRU.",
            last["RNN"] < 1e-8 and last["LSTM as it starts"] < 1e-6 and last["GRU as it starts"] < 1e-6,
            {f"after 59 steps, {k}": v for k, v in last.items()},
        ),
        Claim(
            f"Gates that keep their state do: a bias of 4, or −4, passes on σ(4) = 0.98 a step, {keeps:.2f} in 59. A GRU whose "
            f"update gate is near 0 has {last['GRU, update gate near 0']:.2f}; an LSTM with its forget gate open "
            f"{last['LSTM, forget gate open']:.2g}, more than that, since its h adds to what goes back along c.",
            0.5 * keeps < last["GRU, update gate near 0"] < 2 * keeps < last["LSTM, forget gate open"] < 100,
            {k: last[k] for k in ("LSTM, forget gate open", "GRU, update gate near 0")} | {"σ(4)⁵⁹": keeps},
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
    names = list(STEEPEST)

    def through_depth(
        title: str, ways: dict[str, str], log: str, caption: str, left_out: tuple[str, ...] = ()
    ) -> Chart:
        lines = [
            Line(back, r["layers"][name + way] / r["layers"][name + way][-1], name + way, kind, colour)
            for way, kind in ways.items()
            for colour, name in enumerate(names)
            if name + way in r["layers"] and name + way not in left_out
        ]
        return Chart(
            title, "layers before the last", "size of the gradient, the last layer's as 1", lines, log, caption
        )

    return [
        through_depth("Without skips", {"": "line"}, "y", "Width 64, 16 examples."),
        through_depth(
            "With skips, the same weights",
            {", skips": "line", ", skips, branch/40": "dashed"},
            "y",
            "The dashed curves, whose branches are scaled by 1/40, lie on one another at this scale.",
        ),
        through_depth(
            "Those that keep it, from near by",
            {", skips": "line", ", skips, branch/40": "dashed"},
            "",
            "The same as beside, on a linear axis; tanh and ReLU with skips of full size are far above it.",
            ("tanh, skips", "ReLU, skips"),
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
    "many above 1 too much. Skips and open gates pass it on as it is; what the branch of a skip adds can still be too much.",
    formulas=(
        r"\frac{\partial J}{\partial h^{(1)}} = \left(\frac{\partial h^{(2)}}{\partial h^{(1)}}\right)^{\!T} \cdots "
        r"\left(\frac{\partial h^{(T)}}{\partial h^{(T-1)}}\right)^{\!T} \frac{\partial J}{\partial h^{(T)}}",
        r"h' = \varphi(W h) \;\Rightarrow\; \left\|\frac{\partial h'}{\partial h}\right\| \le \max|\varphi'| \, \|W\|_2",
        r"h' = h + \alpha\, \varphi(W h) \qquad \left\|\frac{\partial h'}{\partial h}\right\| \le "
        r"1 + \alpha \max|\varphi'| \, \|W\|_2 \qquad \alpha = 1 \text{ or } \tfrac{1}{40}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    sources="R7, DS",
)
