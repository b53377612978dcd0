"""Linear layers and perceptrons."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, DtypeError, ShapeError

nn = dk.nn
RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 2)), RNG.normal(size=2)


@pytest.mark.parametrize("x", [X, X[0], X.reshape(5, 1, 3)], ids=["batch", "one", "stack"])
def test_linear_is_a_product(x):
    np.testing.assert_allclose(nn.linear(x, W, B), x @ W + B, rtol=1e-15)
    np.testing.assert_allclose(nn.linear(x, W), x @ W, rtol=1e-15)
    gradient = dk.grad(lambda w, b: dk.sum(nn.linear(x, w, b)), argnums=(0, 1), machine="numpy")(W, B)
    np.testing.assert_allclose(gradient[0], np.outer(x.reshape(-1, 3).sum(0), np.ones(2)), rtol=1e-13)
    np.testing.assert_allclose(gradient[1], np.full(2, x.size / 3))


def test_a_perceptron():
    params = nn.init_mlp([3, 4, 2], seed=0)
    first, last = params
    by_hand = np.tanh(X @ first["weight"] + first["bias"]) @ last["weight"] + last["bias"]
    np.testing.assert_allclose(nn.mlp(params, X, nn.tanh), by_hand, rtol=1e-14)
    labels = np.array([0, 1, 1, 0, 1])
    loss = lambda p: nn.softmax_cross_entropy(nn.mlp(p, X, nn.gelu), labels) + nn.l2(p, 0.01)
    gradients = [dk.grad(loss, engine=e, machine="numpy")(params) for e in ("forward", "reverse")]
    for a, b in zip(*gradients, strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-11, atol=1e-14)
    result = dk.check_gradient(loss, (params,), dk.grad(loss, machine="numpy"))
    assert result, str(result)


def test_layers_without_bias_and_float32():
    params = [{"weight": W.astype(np.float32)}, {"weight": np.ones((2, 1), np.float32)}]
    found = nn.mlp(params, X.astype(np.float32))
    assert found.shape == (5, 1) and found.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.linear(X, W.T, B), "transpose the weight"),
        (lambda: nn.linear(X, np.ones((4, 2))), "(5, 3) and weight of shape (4, 2)"),
        (lambda: nn.linear(X, np.ones(3)), "do not fit"),
        (lambda: nn.linear(1.0, W), "do not fit"),
        (lambda: nn.linear(X, W, np.ones(3)), "(2,) is needed"),
        (lambda: dk.grad(lambda w: dk.sum(nn.linear(X, w)))(W.T), "transpose the weight"),
    ],
)
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ShapeError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "as init_mlp makes it"),
        ({"weight": W}, "for one layer it is [params]"),
        ([{"w": W, "bias": B}], "no 'weight'; there are 'w', 'bias'"),
        ([{"weight": W, "b": B}], "the parameters have 'b', which it does not know; it knows 'weight', 'bias'"),
        (3, "as init_mlp makes it"),
        ([W], "are a dict, one of those that init_… makes, not ndarray"),
    ],
)
def test_what_is_no_list_of_layers(params, message):
    with pytest.raises(ArgumentError) as caught:
        nn.mlp(params, X)
    assert message in str(caught.value)


def test_an_activation_by_name():
    with pytest.raises(ArgumentError, match=r"activation is a function, such as nn\.relu, not 'relu'"):
        nn.mlp(nn.init_mlp([3, 2], seed=0), X, "relu")


def test_a_result_with_its_state_is_no_array():
    """Known and traced."""
    norm, state = nn.init_batch_norm(3)
    normed = lambda x: nn.batch_norm(x, norm, state, training=True)
    cell = nn.init_gru(3, 3, seed=0)
    for call in (
        lambda: nn.linear(normed(X), W),
        lambda: nn.linear(nn.gru(cell, X), W),
        lambda: dk.grad(lambda x: dk.sum(nn.linear(normed(x), W)))(X),
    ):
        with pytest.raises(ArgumentError, match="linear: x is an array, not a pair; batch_norm returns"):
            call()
    with pytest.raises(DtypeError, match="linear: weight is an array of numbers, not None"):
        nn.linear(X, None)
