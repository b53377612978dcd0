"""Initialisers: numbers that a seed fixes, the moments that they promise, fans, dtypes, bad input."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, DtypeError, ShapeError

nn = dk.nn
SHAPE = (300, 200)
#: initialiser, its variance for SHAPE, and whether it is bounded by √3 standard deviations
MOMENTS = {
    "normal": (partial(nn.init_normal, std=0.3), 0.09, False),
    "uniform": (partial(nn.init_uniform, low=-1.0), 1 / 3, True),
    "xavier_uniform": (partial(nn.init_xavier_uniform, gain=2.0), 8 / 500, True),
    "xavier_normal": (nn.init_xavier_normal, 2 / 500, False),
    "kaiming_uniform": (nn.init_kaiming_uniform, 2 / 300, True),
    "kaiming_normal": (nn.init_kaiming_normal, 2 / 300, False),
    "kaiming_tanh_out": (partial(nn.init_kaiming_normal, nonlinearity="tanh", mode="fan_out"), 25 / 9 / 200, False),
    "kaiming_leaky": (partial(nn.init_kaiming_uniform, nonlinearity="leaky_relu", a=0.5), 2 / 1.25 / 300, True),
    "lecun_normal": (nn.init_lecun_normal, 1 / 300, False),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    init, variance, bounded = MOMENTS[name]
    w = init(SHAPE, seed=1)
    assert w.shape == SHAPE and w.dtype == np.float64
    assert abs(np.mean(w)) < 5 * math.sqrt(variance / w.size)
    assert np.var(w) == pytest.approx(variance, rel=0.03)
    assert (np.abs(w).max() <= math.sqrt(3 * variance)) is np.bool_(bounded)


@pytest.mark.parametrize("init", [*(m[0] for m in MOMENTS.values()), nn.init_orthogonal])
def test_a_seed_fixes_the_numbers(init):
    w = init((3, 4), seed=7)
    assert np.array_equal(w, init((3, 4), seed=7)) and not np.array_equal(w, init((3, 4), seed=8))
    assert np.array_equal(w.astype(np.float32), init((3, 4), seed=7, dtype=np.float32))
    generator = np.random.Generator(np.random.PCG64(7))
    assert np.array_equal(w, init((3, 4), seed=generator))
    assert not np.array_equal(w, init((3, 4), seed=generator))  # which goes on


def test_the_numbers_are_the_same_everywhere():
    np.testing.assert_array_equal(nn.init_uniform(2, seed=0), [0.6369616873214543, 0.2697867137638703])
    np.testing.assert_allclose(nn.init_normal(2, seed=0), [0.1257302210933933, -0.1321048632913019], rtol=1e-15)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (3, 2, 2)])
def test_orthogonal(shape):
    w = nn.init_orthogonal(shape, seed=0, gain=2.0)
    assert w.shape == shape
    m = w.reshape(shape[0], -1) / 2
    gram = m.T @ m if m.shape[0] >= m.shape[1] else m @ m.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-14)


def test_fans_of_a_kernel():
    """(out, in, *window): 4·3·3 numbers go into an output."""
    w = nn.init_lecun_normal((200, 4, 3, 3), seed=0)
    assert np.var(w) == pytest.approx(1 / 36, rel=0.05)


def test_gains_are_torchs():
    assert nn.gain_of("linear") == nn.gain_of("sigmoid") == 1
    assert nn.gain_of("tanh") == 5 / 3 and nn.gain_of("relu") == math.sqrt(2) and nn.gain_of("selu") == 0.75
    assert nn.gain_of("leaky_relu", 0.2) == math.sqrt(2 / 1.04)


def test_layers():
    layer = nn.init_linear(400, 300, seed=0)
    assert layer["weight"].shape == (400, 300) and layer["bias"].shape == (300,)
    for part in layer.values():
        assert np.abs(part).max() <= 0.05 and np.var(part) == pytest.approx(0.05**2 / 3, rel=0.2)
    other = nn.init_linear(400, 300, seed=0, weight=nn.init_kaiming_normal, dtype=np.float32)
    assert other["weight"].dtype == other["bias"].dtype == np.float32 and not other["bias"].any()
    layers = nn.init_mlp([4, 8, 8, 3], seed=0)
    assert [p["weight"].shape for p in layers] == [(4, 8), (8, 8), (8, 3)]
    assert not np.array_equal(layers[0]["bias"], layers[1]["bias"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.init_xavier_normal(3, seed=0), ShapeError, "has no fans"),
        (lambda: nn.init_lecun_normal((0, 3), seed=0), ShapeError, "has no fans"),
        (lambda: nn.init_orthogonal((3,), seed=0), ShapeError, "fewer than two axes"),
        (lambda: nn.init_kaiming_normal((2, 2), seed=0, mode="fan"), ArgumentError, "choose 'fan_in' or 'fan_out'"),
        (lambda: nn.init_kaiming_normal((2, 2), seed=0, nonlinearity="sin"), ArgumentError, "choose one of linear"),
        (lambda: nn.init_normal(3, seed=-1), ArgumentError, "a seed is"),
        (lambda: nn.init_normal(3, seed=None), ArgumentError, "a seed is"),
        (lambda: nn.init_mlp([3], seed=0), ArgumentError, "name no layer"),
        (lambda: nn.init_mlp(3, seed=0), ArgumentError, "sizes=3 name no layer"),
        (lambda: nn.init_linear(3, -2, seed=0), ArgumentError, "whole numbers ≥ 0, not (3, -2)"),
        (lambda: nn.init_normal(2.5, seed=0), ArgumentError, "whole numbers ≥ 0, not 2.5"),
        (lambda: nn.init_normal(3, seed=0, std=-1), ArgumentError, "std=-1 is not a number ≥ 0"),
        (
            lambda: nn.init_linear(3, 2, seed=0, weight="xavier"),
            ArgumentError,
            "such as nn.init_xavier_uniform, not 'xavier'",
        ),
        (lambda: nn.init_linear(3, 2, seed=0, weight=np.ones((3, 2))), ArgumentError, "not an array"),
        (
            lambda: nn.init_conv2d(3, 2, 5, seed=0, weight="he"),
            ArgumentError,
            "such as nn.init_kaiming_normal, not 'he'",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "init",
    [
        lambda dtype: nn.init_zeros(3, dtype=dtype),
        lambda dtype: nn.init_uniform(3, seed=0, dtype=dtype),
        lambda dtype: nn.init_orthogonal((3, 3), seed=0, dtype=dtype),
        lambda dtype: nn.init_mlp([3, 2], seed=0, dtype=dtype),
        lambda dtype: nn.init_conv2d(3, 2, 5, seed=0, dtype=dtype),
        lambda dtype: nn.init_batch_norm(3, dtype=dtype),
        lambda dtype: nn.init_lstm(3, 2, seed=0, dtype=dtype),
    ],
)
def test_parameters_are_floating(init):
    """Integers would all be 0, and have no derivative."""
    init("float32")
    for dtype in (int, bool, complex):
        with pytest.raises(DtypeError, match="parameters are floating-point numbers"):
            init(dtype)
