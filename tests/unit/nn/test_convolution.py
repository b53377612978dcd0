"""Convolution and pooling as layers, and LeNet-5."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError

nn = dk.nn
RNG = np.random.default_rng(0)


def count(params):
    return sum(v.size for layer in params.values() for v in layer.values())


def test_six_filters_on_an_image_of_three_channels():
    params = nn.init_conv2d(3, 6, 5, seed=0)
    assert nn.conv2d(RNG.normal(size=(1, 3, 32, 32)), **params).shape == (1, 6, 28, 28)
    assert params["weight"].size + params["bias"].size == 6 * (5 * 5 * 3 + 1)


def test_first_values_of_a_convolution():
    params = nn.init_conv2d(4, 6, (3, 2), seed=1, groups=2, dtype=np.float32)
    assert params["weight"].shape == (6, 2, 3, 2) and params["weight"].dtype == np.float32
    assert np.abs(params["weight"]).max() <= 1 / np.sqrt(12) and np.ptp(params["bias"]) > 0
    assert nn.conv2d(np.ones((1, 4, 5, 5), np.float32), **params, groups=2).dtype == np.float32
    made = nn.init_conv2d(3, 200, 5, seed=1, weight=nn.init_kaiming_normal)
    assert abs(made["weight"].std() / np.sqrt(2 / 75) - 1) < 0.02 and not made["bias"].any()
    with pytest.raises(ArgumentError, match="do not divide into 2 groups"):
        nn.init_conv2d(3, 6, 5, seed=0, groups=2)
    with pytest.raises(ArgumentError, match="height, width"):
        nn.init_conv2d(3, 6, (5,), seed=0)
    for size in (0, 2.5):
        with pytest.raises(ArgumentError, match="an integer of at least 1"):
            nn.init_conv2d(3, 6, size, seed=0)


def test_lenet5():
    params = nn.init_lenet5(seed=0)
    assert count(params) == 61706
    small, large = RNG.normal(size=(2, 1, 28, 28)), RNG.normal(size=(2, 1, 32, 32))
    assert nn.lenet5(params, small).shape == (2, 10)
    padded = np.pad(small, ((0, 0), (0, 0), (2, 2), (2, 2)))
    np.testing.assert_allclose(nn.lenet5(params, padded), nn.lenet5(params, small), rtol=1e-12)
    colours = nn.init_lenet5(seed=0, channels=3, classes=4, weight=nn.init_kaiming_normal, dtype=np.float32)
    images = RNG.normal(size=(2, 3, 32, 32)).astype(np.float32)
    logits = nn.lenet5(colours, images, activation=nn.relu, pool=nn.max_pool2d)
    assert logits.shape == (2, 4) and logits.dtype == np.float32
    again = nn.init_lenet5(seed=0)
    assert all(np.array_equal(params[k][n], again[k][n]) for k in params for n in params[k])
    loss = lambda p: nn.softmax_cross_entropy(nn.lenet5(p, large), np.array([3, 7]))
    result = dk.check_gradient(loss, (params,), dk.grad(loss))
    assert result, str(result)
    assert nn.lenet5(params, small[:0]).shape == (0, 10)
    with pytest.raises(ShapeError, match="3 channels"):
        nn.lenet5(params, np.ones((2, 3, 28, 28)))
    with pytest.raises(ShapeError, match="28, 28"):
        nn.lenet5(params, np.ones((2, 1, 8, 8)))


@pytest.mark.parametrize("what", ["activation", "pool"])
def test_functions_of_lenet5_by_name(what):
    with pytest.raises(ArgumentError, match=f"lenet5: {what} is a function"):
        nn.lenet5(nn.init_lenet5(seed=0), np.zeros((1, 1, 28, 28)), **{what: "tanh"})
