"""D7: recurrent networks."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)

    # one step of each cell by hand; blocks of columns, side by side in the matrices, belong to the gates: the LSTM's to input,
    # forget, new and output, the GRU's to reset, update (u, or PyTorch's z) and new
    n_in, n = 3, 5
    x, h, c = rng.normal(size=n_in), rng.normal(size=n), rng.normal(size=n)
    row, sigma = np.concatenate([h, x]), lambda v: 1 / (1 + np.exp(-v))
    packed = lambda p, row: row @ np.vstack([p["weight_h"], p["weight_x"]]) + p["bias"]
    plain, memory = nn.init_rnn(n_in, n, seed=1)[0], nn.init_lstm(n_in, n, seed=1)[0]
    lecture, torch = (nn.init_gru(n_in, n, seed=1, variant=v)[0] for v in ("lecture", "torch"))
    i, f, g, o = np.split(packed(memory, row), 4)
    kept = sigma(f) * c + sigma(i) * np.tanh(g)
    by_hand = {"RNN": np.tanh(packed(plain, row)), "LSTM, h": sigma(o) * np.tanh(kept), "LSTM, c": kept}
    r, u, _ = np.split(sigma(packed(lecture, row)), 3)
    _, _, new = np.split(np.tanh(packed(lecture, np.concatenate([r * h, x]))), 3)
    by_hand["GRU, lecture"] = (1 - u) * h + u * new
    r_x, z_x, n_x = np.split(x @ torch["weight_x"] + torch["bias"], 3)
    r_h, z_h, n_h = np.split(h @ torch["weight_h"] + torch["bias_h"], 3)
    z = sigma(z_x + z_h)
    by_hand["GRU, torch"] = (1 - z) * np.tanh(n_x + sigma(r_x + r_h) * n_h) + z * h
    cells = {"RNN": nn.rnn_cell(plain, x, h)}
    cells["LSTM, h"], cells["LSTM, c"] = nn.lstm_cell(memory, x, (h, c))
    cells["GRU, lecture"] = nn.gru_cell(lecture, x, h, variant="lecture")
    cells["GRU, torch"] = nn.gru_cell(torch, x, h)
    same = lecture | {"bias_h": np.zeros(3 * n)}
    other = np.max(np.abs(nn.gru_cell(same, x, h) - cells["GRU, lecture"]))

    # sequences of any length become vectors of one length; layers lie above one another
    nets = {"rnn": (nn.rnn, nn.init_rnn), "lstm": (nn.lstm, nn.init_lstm)}
    lecture_gru = lambda params, xs: nn.gru(params, xs, variant="lecture")
    nets["gru"] = lecture_gru, lambda *sizes, **how: nn.init_gru(*sizes, variant="lecture", **how)
    lengths, through_time = {}, {}
    made = {name: init for name, (_, init) in nets.items()} | {"GRU, torch": nn.init_gru}
    sizes = {name: sum(a.size for a in init(32, 64, seed=0)[0].values()) for name, init in made.items()}
    for name, cell in (("lstm", nn.lstm_cell), ("gru", lambda *given: nn.gru_cell(*given, variant="lecture"))):
        net, init = nets[name]
        two, xs = init(n_in, n, seed=2, layers=2), rng.normal(size=(100, n_in))
        lengths |= {(name, T): nn.encode_sequence(two, xs[:T], net).shape for T in (1, 7, 100)}

        # backwards through the loop, and as if each step had been written down
        def unrolled(params, name=name, cell=cell, xs=xs):
            rows = list(xs[:6])
            for layer in params:
                state = (np.zeros(n), np.zeros(n)) if name == "lstm" else np.zeros(n)
                for t, x in enumerate(rows):
                    state = cell(layer, x, state)
                    rows[t] = state[0] if name == "lstm" else state
            return np.sum(rows[-1] ** 2)

        looped = lambda params, net=net, xs=xs: np.sum(net(params, xs[:6])[0][-1] ** 2)
        pairs = zip(dk.grad(looped)(two), dk.grad(unrolled)(two), strict=True)
        through_time[name] = float(max(np.max(np.abs(a[k] - b[k])) for a, b in pairs for k in a))

    # is the first number positive? The answer is asked for after 59 more, which are noise; biases make gates keep the state;
    # five starts each
    rng, T, count = np.random.default_rng(1), 60, 400
    seen = rng.normal(size=(T, count, 1))
    sign = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    seen[0, :, 0] = sign
    batches = np.moveaxis(seen, 1, 0), (sign > 0).astype(float)[:, None]
    curves = {}
    for name, (net, init) in nets.items():

        def loss(params, batch, net=net):
            code = nn.encode_sequence(params["net"], dk.moveaxis(batch[0], 0, 1), net)
            return nn.binary_cross_entropy_with_logits(nn.linear(code, **params["out"]), batch[1])

        how = {"optimizer": dk.optim.Adam(0.01), "batch_size": 50, "epochs": 30, "clip_norm": 1.0, "progress": False}
        curves[name] = []
        for start in range(5):
            layers = init(1, 12, seed=start)
            if name != "rnn":  # the second block of 12: the LSTM's forget gate open, the GRU's update gate near 0
                layers[0]["bias"][12:24] += 5 if name == "lstm" else -5
            params = {"net": layers, "out": nn.init_linear(12, 1, seed=start)}
            curves[name].append(dk.optim.fit(loss, params, batches, **how).history["epoch_loss"])
    told = {"cells": cells, "by_hand": by_hand, "other": other, "lengths": lengths, "sizes": sizes}
    return told | {"through_time": through_time, "curves": curves}


def _below(r: dict, name: str) -> int:
    return sum(bool(c[-1] < 0.3) for c in r["curves"][name])


def claims(r: dict) -> list[Claim]:
    apart = {name: float(np.max(np.abs(r["cells"][name] - r["by_hand"][name]))) for name in r["cells"]}
    sizes, last = r["sizes"], {name: float(np.median([c[-1] for c in found])) for name, found in r["curves"].items()}
    return [
        Claim(
            f"One step of each cell is its formulas, gate by gate, to {max(apart.values()):.0e}.",
            max(apart.values()) < 1e-14,
            apart,
        ),
        Claim(
            "The two GRUs are two functions: with the same matrices the lecture's, which resets before the matrix "
            f"and takes u of the new, and PyTorch's, which resets after it and keeps z of the old, differ by {r['other']:.2f}.",
            bool(r["other"] > 0.01),
            {"difference": float(r["other"])},
        ),
        Claim(
            f"With 32 inputs and 64 units an LSTM has {sizes['lstm']:,} parameters and the lecture's GRU {sizes['gru']:,}: "
            f"{sizes['gru'] / sizes['lstm']:g} of it, three blocks for four. PyTorch's GRU has a second bias, as the reset comes "
            f"between the two: {sizes['GRU, torch']:,}, {sizes['GRU, torch'] / sizes['lstm']:.3f} of it. (PyTorch keeps a second, "
            "idle bias in its LSTM as well, which makes its own ratio 0.75 again.)",
            4 * sizes["gru"] == 3 * sizes["lstm"]
            and sizes["lstm"] == 4 * (32 * 64 + 64 * 64 + 64)
            and sizes["GRU, torch"] == sizes["gru"] + 3 * 64,
            {k: float(v) for k, v in sizes.items()},
        ),
        Claim(
            "Two layers, the upper reading what the lower gives at each step, of LSTM or of GRU turn sequences of "
            f"{', '.join(str(T) for _, T in list(r['lengths'])[:3])} steps into vectors of 5 numbers.",
            len(r["lengths"]) == 6 and set(r["lengths"].values()) == {(5,)},
        ),
        Claim(
            "Backpropagation through time is reverse mode: through the loop and through all steps written down the gradients of "
            f"two layers agree to {r['through_time']['lstm']:.0e} (LSTM) and {r['through_time']['gru']:.0e} (GRU).",
            max(r["through_time"].values()) < 1e-14,
            {f"largest difference, {k}": v for k, v in r["through_time"].items()},
        ),
        Claim(
            "Asked for the first of 60 numbers, nets whose gates keep their state at the start get to a loss of "
            f"{last['lstm']:.2f} (LSTM) and {last['gru']:.2f} (GRU) in 30 epochs, in the median of five starts; the plain RNN "
            f"is at {last['rnn']:.2f}, guessing at ln 2 = 0.69. Below 0.3 in the end, of five each: LSTM {_below(r, 'lstm')}, "
            f"GRU {_below(r, 'gru')}, RNN {_below(r, 'rnn')}.",
            max(last["lstm"], last["gru"]) < 0.4 < 0.5 < last["rnn"],
            last,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    return [
        Chart(
            "What was the first number?",
            "epoch",
            "mean training loss",
            [
                Line(np.arange(1, len(c) + 1), c, "" if start else name.upper(), colour=k)
                for k, (name, found) in enumerate(r["curves"].items())
                for start, c in enumerate(found)
            ],
            "y",
            "Sequences of 60 numbers, 12 units, Adam with rate 0.01, the same data and batches; five starts of each.",
        )
    ]


def tables(r: dict) -> list[Table]:
    blocks = {"rnn": ("h", "RNN"), "lstm": ("i, f, c̃, o", "LSTM"), "gru": ("r, u, h̃", "GRU, lecture")}
    blocks["GRU, torch"] = "r, z, h̃", "GRU, PyTorch"
    rows = [[blocks[name][1], blocks[name][0], f"{size:,}"] for name, size in r["sizes"].items()]
    caption = (
        "Each block has weights for x and for h and a bias, PyTorch's GRU two biases. In diffkit's matrices and biases the blocks "
        "stand side by side in this order: of 12 units entries 12 to 23 of the bias are the forget gate's, or the update gate's."
    )
    columns = ["cell", "blocks, in order", "parameters"]
    return [Table("Parameters, 32 inputs and 64 units", columns, rows, caption, words=frozenset({1}))]


ROW = Row(
    id="D7",
    title="RNN, LSTM and GRU",
    says="A state goes from step to step of a sequence. Gates, numbers between 0 and 1, choose what of it is kept, what is "
    "written, and what is shown.",
    formulas=(
        r"\text{RNN: } h' = \tanh(W h + U x + b)",
        r"\text{LSTM: } f = \sigma(W_f h + U_f x + b_f) \qquad i, o \text{ likewise} \qquad "
        r"\tilde{c} = \tanh(W_c h + U_c x + b_c)",
        r"c' = f \circ c + i \circ \tilde{c} \qquad h' = o \circ \tanh c'",
        r"\text{GRU (R7): } r, u \text{ likewise} \qquad \tilde{h} = \tanh(W_h (r \circ h) + U_h x + b_h) \qquad "
        r"h' = (1 - u) \circ h + u \circ \tilde{h}",
        r"\text{GRU (PyTorch):} \qquad \tilde{h} = \tanh(r \circ (W_h h + d_h) + U_h x + b_h) \qquad "
        r"h' = (1 - z) \circ \tilde{h} + z \circ h",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="R7",
)
