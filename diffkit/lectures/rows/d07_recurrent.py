"""D7: recurrent networks."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)

    # one step of each cell, gate by gate; `row` is [h, x], `side` puts the two matrices one above the other
    n_in, n = 3, 5
    x, h, c = rng.normal(size=n_in), rng.normal(size=n), rng.normal(size=n)
    row, sigma = np.concatenate([h, x]), lambda v: 1 / (1 + np.exp(-v))
    side = lambda p, k: np.vstack([p["weight_h"], p["weight_x"]])[:, k * n : (k + 1) * n]
    gate = lambda p, k, row: row @ side(p, k) + p["bias"][k * n : (k + 1) * n]
    plain, memory = nn.init_rnn(n_in, n, seed=1)[0], nn.init_lstm(n_in, n, seed=1)[0]
    lecture, torch = (nn.init_gru(n_in, n, seed=1, variant=v)[0] for v in ("lecture", "torch"))
    kept = sigma(gate(memory, 1, row)) * c + sigma(gate(memory, 0, row)) * np.tanh(gate(memory, 2, row))
    r, u = sigma(gate(lecture, 0, row)), sigma(gate(lecture, 1, row))
    new = np.tanh(gate(lecture, 2, np.concatenate([r * h, x])))
    by_hand = {
        "RNN": np.tanh(gate(plain, 0, row)),
        "LSTM, h": sigma(gate(memory, 3, row)) * np.tanh(kept),
        "LSTM, c": kept,
        "GRU, lecture": (1 - u) * h + u * new,
    }
    r, z = sigma(gate(torch, 0, row) + torch["bias_h"][:n]), sigma(gate(torch, 1, row) + torch["bias_h"][n : 2 * n])
    inputs = x @ torch["weight_x"][:, 2 * n :] + torch["bias"][2 * n :]
    new = np.tanh(inputs + r * (h @ torch["weight_h"][:, 2 * n :] + torch["bias_h"][2 * n :]))
    by_hand["GRU, torch"] = (1 - z) * new + z * h
    after = nn.lstm_cell(memory, x, (h, c))
    cells = {
        "RNN": nn.rnn_cell(plain, x, h),
        "LSTM, h": after[0],
        "LSTM, c": after[1],
        "GRU, lecture": nn.gru_cell(lecture, x, h, variant="lecture"),
        "GRU, torch": nn.gru_cell(torch, x, h),
    }
    other = np.max(np.abs(nn.gru_cell(lecture, x, h, variant="torch") - cells["GRU, lecture"]))

    # sequences of any length become vectors of one length; layers lie above one another
    nets = {"rnn": (nn.rnn, nn.init_rnn), "lstm": (nn.lstm, nn.init_lstm)}
    nets["gru"] = (
        (lambda p, xs: nn.gru(p, xs, variant="lecture")),
        lambda *a, **k: nn.init_gru(*a, variant="lecture", **k),
    )
    encoder = nn.init_lstm(n_in, n, seed=1, layers=2)
    lengths = {T: nn.encode_sequence(encoder, rng.normal(size=(T, n_in))).shape for T in (1, 7, 100)}
    sizes = {name: sum(a.size for a in init(32, 64, seed=0)[0].values()) for name, (_, init) in nets.items()}

    # backwards through the loop, and as if each step had been written down
    xs, two = rng.normal(size=(6, n_in)), nn.init_lstm(n_in, n, seed=2, layers=2)

    def unrolled(params):
        rows = list(xs)
        for layer in params:
            state = np.zeros(n), np.zeros(n)
            for t, x in enumerate(rows):
                state = nn.lstm_cell(layer, x, state)
                rows[t] = state[0]
        return np.sum(rows[-1] ** 2)

    looped = lambda params: np.sum(nn.lstm(params, xs)[0][-1] ** 2)
    pairs = zip(dk.grad(looped)(two), dk.grad(unrolled)(two), strict=True)
    through_time = max(np.max(np.abs(a[k] - b[k])) for a, b in pairs for k in a)

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
            layers[0]["bias"][12:24] += {"rnn": 0.0, "lstm": 5, "gru": -5}[name]
            params = {"net": layers, "out": nn.init_linear(12, 1, seed=start)}
            curves[name].append(dk.optim.fit(loss, params, batches, **how).history["epoch_loss"])
    return {
        "cells": cells,
        "by_hand": by_hand,
        "other": other,
        "lengths": lengths,
        "sizes": sizes,
        "through_time": through_time,
        "curves": curves,
    }


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
            f"With 32 inputs and 64 units an LSTM has {sizes['lstm']:,} parameters and a GRU {sizes['gru']:,}: "
            f"{sizes['gru'] / sizes['lstm']:g} of it, three blocks for four.",
            4 * sizes["gru"] == 3 * sizes["lstm"] and sizes["lstm"] == 4 * (32 * 64 + 64 * 64 + 64),
            {k: float(v) for k, v in sizes.items()},
        ),
        Claim(
            f"A two-layer LSTM turns sequences of {', '.join(map(str, r['lengths']))} steps into vectors of 5 numbers.",
            set(r["lengths"].values()) == {(5,)},
        ),
        Claim(
            f"Backpropagation through time is reverse mode: through the loop and through all steps written down "
            f"the gradients agree to {r['through_time']:.0e}.",
            bool(r["through_time"] < 1e-14),
            {"largest difference": float(r["through_time"])},
        ),
        Claim(
            "Asked for the first of 60 numbers, nets whose gates keep their state at the start get to a loss of "
            f"{last['lstm']:.2f} (LSTM) and {last['gru']:.2f} (GRU) in 30 epochs, in the median of five starts; the plain RNN "
            f"is at {last['rnn']:.2f}, guessing at ln 2 = 0.69. Below 0.3 in the end: {_below(r, 'lstm')} LSTMs, "
            f"{_below(r, 'gru')} GRUs and {_below(r, 'rnn')} RNNs.",
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
    blocks = {"rnn": 1, "lstm": 4, "gru": 3}
    rows = [[name.upper(), blocks[name], f"{size:,}"] for name, size in r["sizes"].items()]
    return [Table("Parameters, 32 inputs and 64 units", ["cell", "blocks", "parameters"], rows)]


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
