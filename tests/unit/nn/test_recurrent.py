"""Recurrent nets: the lecture's formulas, variants, layers, lengths, sizes."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError

nn = dk.nn
RNG = np.random.default_rng(0)
INITS = {"rnn": nn.init_rnn, "lstm": nn.init_lstm, "gru": nn.init_gru}
X, H = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 4))
sigmoid = lambda z: 1 / (1 + np.exp(-z))


def count(layers):
    return sum(v.size for layer in layers for v in layer.values())


def test_the_lectures_lstm():
    (p,) = nn.init_lstm(3, 4, seed=0)
    c = RNG.normal(size=(2, 4))
    i, f, g, o = np.split(H @ p["weight_h"] + X @ p["weight_x"] + p["bias"], 4, -1)
    after = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h, found = nn.lstm_cell(p, X, (H, c))
    np.testing.assert_allclose(found, after, rtol=1e-13)
    np.testing.assert_allclose(h, sigmoid(o) * np.tanh(after), rtol=1e-13)


def test_the_lectures_gru():
    (p,) = nn.init_gru(3, 4, seed=0, variant="lecture")
    (w_r, w_u, w_h), (u_r, u_u, u_h), (b_r, b_u, b_h) = (
        np.split(p[n], 3, -1) for n in ("weight_h", "weight_x", "bias")
    )
    u, r = sigmoid(H @ w_u + X @ u_u + b_u), sigmoid(H @ w_r + X @ u_r + b_r)
    new = np.tanh((r * H) @ w_h + X @ u_h + b_h)
    np.testing.assert_allclose(nn.gru_cell(p, X, H, variant="lecture"), (1 - u) * H + u * new, rtol=1e-13)


def test_variants_of_the_gru_are_one_where_all_units_are_reset_alike():
    (p,) = nn.init_gru(3, 4, seed=0, variant="lecture")
    for name in ("weight_x", "weight_h", "bias"):
        p[name][..., :4] = 0
    turned = {name: np.concatenate([v[..., :4], -v[..., 4:8], v[..., 8:]], -1) for name, v in p.items()}
    turned["bias_h"] = np.zeros(12)
    lecture, torch = nn.gru_cell(p, X, H, variant="lecture"), nn.gru_cell(turned, X, H, variant="torch")
    np.testing.assert_allclose(lecture, torch, rtol=1e-13)
    (p,) = nn.init_gru(3, 4, seed=0, variant="lecture")
    torch = nn.gru_cell({**p, "bias_h": np.zeros(12)}, X, H, variant="torch")
    assert np.abs(nn.gru_cell(p, X, H, variant="lecture") - torch).max() > 1e-2


def test_an_update_gate_that_is_shut_keeps_the_state():
    for variant, sign in (("lecture", -1), ("torch", 1)):
        (p,) = nn.init_gru(3, 4, seed=0, variant=variant)
        p["bias"][4:8] = sign * 1e3
        np.testing.assert_array_equal(nn.gru_cell(p, X, H, variant=variant), H)


def test_a_gru_has_three_quarters_of_an_lstms_parameters():
    for layers in (1, 3):
        gru, lstm = (
            nn.init_gru(5, 7, seed=0, layers=layers, variant="lecture"),
            nn.init_lstm(5, 7, seed=0, layers=layers),
        )
        assert 4 * count(gru) == 3 * count(lstm)


@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 3), (1, 2, 3)], ids=["one", "batch", "one step"])
@pytest.mark.parametrize("name", INITS)
def test_a_net_is_its_cells_step_by_step(name, shape):
    layers, xs = INITS[name](3, 4, seed=0, layers=2), RNG.normal(size=shape)
    cell, pair = getattr(nn, f"{name}_cell"), name == "lstm"
    for reverse in (False, True):
        below = list(xs)[::-1] if reverse else list(xs)
        ends = []
        for layer in layers:
            h = np.zeros((*shape[1:-1], 4))
            state, hs = (h, h) if pair else h, []
            for x in below:
                state = cell(layer, x, state)
                hs.append(state[0] if pair else state)
            below = hs
            ends.append(state)
        found, last = getattr(nn, name)(layers, xs, reverse=reverse)
        np.testing.assert_allclose(found, below[::-1] if reverse else below, rtol=1e-12)
        np.testing.assert_allclose(np.asarray(last), np.asarray(ends), rtol=1e-12)
        top = ends[-1][0] if pair else ends[-1]
        encoded = nn.encode_sequence(layers, xs, getattr(nn, name), reverse=reverse)
        np.testing.assert_allclose(encoded, top, rtol=1e-12)


@pytest.mark.parametrize("name", INITS)
def test_a_state_handed_on_and_checkpoints(name):
    layers, xs = INITS[name](3, 4, seed=0, layers=2), RNG.normal(size=(6, 3))
    net = getattr(nn, name)
    whole, last = net(layers, xs)
    first, middle = net(layers, xs[:2])
    second, end = net(layers, xs[2:], middle)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(end), np.asarray(last), rtol=1e-12)
    loss = lambda p, k=None: dk.sum(dk.square(net(p, xs, checkpoints=k)[0]))
    kept, again = dk.grad(loss)(layers), dk.grad(lambda p: loss(p, 2))(layers)
    for a, b in zip(kept, again, strict=True):
        for key in a:
            np.testing.assert_allclose(a[key], b[key], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", INITS)
def test_a_net_without_biases_is_one_with_biases_of_zero(name):
    layers = INITS[name](3, 4, seed=0)
    without = [{what: v for what, v in layer.items() if what.startswith("weight")} for layer in layers]
    zeros = [{what: v if what.startswith("weight") else 0 * v for what, v in layer.items()} for layer in layers]
    net = getattr(nn, name)
    np.testing.assert_allclose(net(without, X)[0], net(zeros, X)[0], rtol=1e-14)


def test_first_values():
    layers = nn.init_lstm(3, 4, seed=0, layers=2, forget_bias=1.0, dtype=np.float32)
    plain = nn.init_lstm(3, 4, seed=0, layers=2, dtype=np.float32)
    assert [layer["weight_x"].shape for layer in layers] == [(3, 16), (4, 16)]
    for with_bias, layer in zip(layers, plain, strict=True):
        assert all(np.abs(v).max() <= 0.5 and v.dtype == np.float32 for v in layer.values())
        np.testing.assert_allclose(with_bias["bias"] - layer["bias"], np.repeat([0, 1, 0, 0], 4), atol=1e-6)
    hs, _ = nn.lstm(layers, np.ones((5, 2, 3), np.float32))
    assert hs.dtype == np.float32
    assert "bias_h" in nn.init_gru(3, 4, seed=0)[0]


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (ArgumentError, lambda: nn.gru_cell(nn.init_gru(3, 4, seed=0)[0], X, H, variant="keras"), "'lecture'"),
        (ArgumentError, lambda: nn.lstm(nn.init_lstm(3, 4, seed=0)[0], X), "[params]"),
        (ArgumentError, lambda: nn.rnn(nn.init_rnn(3, 4, seed=0), X, [H, H]), "1 layers and states for 2"),
        (ArgumentError, lambda: nn.lstm_cell(nn.init_lstm(3, 4, seed=0)[0], X, H), "pair (h, c)"),
        (ArgumentError, lambda: nn.rnn_cell(nn.init_rnn(3, 4, seed=0), X, H), "are a dict"),
        (ArgumentError, lambda: nn.rnn([{"weight_x": np.ones((3, 4))}], X), "no 'weight_h'; there are 'weight_x'"),
        (ArgumentError, lambda: nn.rnn(nn.init_rnn(3, 4, seed=0)[0]["bias"], X), "[params]"),
        (
            ArgumentError,
            lambda: nn.gru([{**nn.init_gru(3, 4, seed=0)[0], "bias_hh": H}], X),
            "have 'bias_hh', which it does not know; it knows 'weight_x', 'weight_h', 'bias', 'bias_h'",
        ),
        (ArgumentError, lambda: nn.gru(nn.init_gru(3, 4, seed=0, variant="lecture"), X), 'those of variant="lecture"'),
        (ArgumentError, lambda: nn.gru(nn.init_gru(3, 4, seed=0), X, variant="lecture"), 'those of variant="torch"'),
        (ArgumentError, lambda: nn.encode_sequence(nn.init_gru(3, 4, seed=0), X, "gru"), "such as nn.gru, not 'gru'"),
        (ArgumentError, lambda: nn.rnn(nn.init_rnn(3, 4, seed=0), X, activation="tanh"), "such as nn.tanh, not 'tanh'"),
        (ArgumentError, lambda: nn.init_lstm(3.0, 4, seed=0), "3.0 inputs, 4 units and 1 layers"),
        (ArgumentError, lambda: nn.init_rnn(3, 0, seed=0), "at least 1"),
        (ShapeError, lambda: nn.rnn(nn.init_rnn(3, 4, seed=0), np.ones(3)), "the steps first"),
        (ShapeError, lambda: nn.rnn(nn.init_lstm(3, 4, seed=0), X), "(n, 1·n)"),
        (ShapeError, lambda: nn.lstm(nn.init_lstm(5, 4, seed=0), X), "(2, 3)"),
    ],
)
def test_what_does_not_fit(error, call, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
