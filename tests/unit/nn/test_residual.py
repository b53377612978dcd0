"""Connections past layers."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError

nn = dk.nn
X = np.random.default_rng(0).normal(size=(3, 2))


def test_a_block_adds_to_what_passes_it():
    np.testing.assert_array_equal(nn.residual(lambda x: 0 * x, X), X)
    wide = np.ones((2, 5))
    found = nn.residual(lambda x: nn.tanh(x @ wide), X, lambda x: x @ wide)
    np.testing.assert_allclose(found, np.tanh(X @ wide) + X @ wide, rtol=1e-14)
    with pytest.raises(ShapeError, match="shortcut"):
        nn.residual(lambda x: x @ wide, X)
    with pytest.raises(ShapeError, match="shortcut"):
        nn.residual(lambda x: x[:1], X)  # which would broadcast in silence


def test_gradients_reach_through_deep_stacks():
    shrink = lambda x: 0.1 * nn.tanh(x)

    def deep(x, past):
        for _ in range(30):
            x = nn.residual(shrink, x) if past else shrink(x)
        return dk.sum(x)

    plain, skipping = (np.abs(dk.grad(lambda x, p=past: deep(x, p))(X)).max() for past in (False, True))
    assert plain < 1e-25 and skipping > 1


def test_a_dense_block_joins_all_that_came_before():
    double = lambda x: 2 * x
    first = lambda x: x[:, :1]
    np.testing.assert_array_equal(nn.dense_block([double, first], X), np.concatenate([X, 2 * X, X[:, :1]], 1))
    images = np.ones((2, 3, 4, 4))
    params = [nn.init_conv2d(3 + 2 * k, 2, 3, seed=k) for k in range(3)]
    grown = nn.dense_block([lambda x, p=p: nn.relu(nn.conv2d(x, **p, padding="same")) for p in params], images)
    assert grown.shape == (2, 9, 4, 4)
    with pytest.raises(ShapeError, match=r"layer 1 turns shape \(2, 5, 4, 4\) into \(2, 2, 2, 2\)"):
        nn.dense_block([lambda x: x[:, :2], lambda x: x[:, :2, :2, :2]], images)
    with pytest.raises(ArgumentError, match="no axis 4"):
        nn.dense_block([], images, axis=4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.dense_block(nn.relu, X), "for one layer it is [layer]"),
        (lambda: nn.dense_block([nn.relu, X], X), "layer 1 is a function"),
        (lambda: nn.residual("relu", X), "residual: f is a function"),
        (lambda: nn.residual(nn.relu, X, X), "residual: shortcut is a function"),
    ],
)
def test_layers_are_functions(call, message):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in str(caught.value)
