"""Activations: exact in their tails, one derivative from every engine, stated at kinks, at home in both dtypes."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError

nn = dk.nn
pytestmark = pytest.mark.filterwarnings("error")

TRUTH = {
    "identity": (nn.identity, lambda x: x),
    "sigmoid": (nn.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x))),
    "tanh": (nn.tanh, mpmath.tanh),
    "relu": (nn.relu, lambda x: max(x, mpmath.mpf(0))),
    "leaky_relu": (nn.leaky_relu, lambda x: x if x > 0 else mpmath.mpf(0.01) * x),
    "leaky_relu-2": (lambda x: nn.leaky_relu(x, 2.0), lambda x: x if x > 0 else 2 * x),  # above 1: no maximum
    "prelu": (lambda x: nn.prelu(x, 0.25), lambda x: x if x > 0 else x / 4),
    "elu": (nn.elu, lambda x: x if x > 0 else mpmath.expm1(x)),
    "elu-0.7": (lambda x: nn.elu(x, 0.7), lambda x: x if x > 0 else mpmath.mpf(0.7) * mpmath.expm1(x)),
    "selu": (
        nn.selu,
        lambda x: (
            mpmath.mpf("1.0507009873554804934193349852946")
            * (x if x > 0 else mpmath.mpf("1.6732632423543772848170429916717") * mpmath.expm1(x))
        ),
    ),
    "swish-1.5": (lambda x: nn.swish(x, 1.5), lambda x: x / (1 + mpmath.exp(-1.5 * x))),
    "silu": (nn.silu, lambda x: x / (1 + mpmath.exp(-x))),
    "gelu": (nn.gelu, lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
    "gelu-tanh": (
        lambda x: nn.gelu(x, "tanh"),
        lambda x: x / (1 + mpmath.exp(-2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
    ),
    "softplus": (nn.softplus, lambda x: mpmath.log1p(mpmath.exp(x))),
}
every_activation = pytest.mark.parametrize("name", TRUTH)
KINKED = {"relu", "leaky_relu", "leaky_relu-2", "prelu", "elu-0.7", "selu"}


@every_activation
def test_values_keep_their_digits(name):
    """Also where 1 + erf or 1 + tanh would have none left."""
    function, truth = TRUTH[name]
    x = np.array([-6.5, -4.0, -1.3, -1e-9, 0.0, 1e-9, 0.4, 2.0, 9.0])
    with mpmath.workdps(40):
        expected = np.array([float(truth(mpmath.mpf(v))) for v in x])
    # (an argument that is rounded before exp: relative errors of about |x|² ulp)
    np.testing.assert_allclose(function(x), expected, rtol=2e-14)
    np.testing.assert_allclose([function(v) for v in x], expected, rtol=2e-14)


@every_activation
def test_engines_agree(name):
    function, _ = TRUTH[name]
    points = np.array([-5.0, -0.8, -1e-3, 1e-3, 0.9, 6.0])
    compared = dk.compare(function(dk.symbols("x")), {"x": points}, machine="numpy", timing=False)
    assert compared.agree, str(compared)


@every_activation
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_far_out_and_not_a_number(name, engine):
    function, _ = TRUTH[name]
    x = np.array([-1e4, 1e4, np.nan])
    with np.errstate(invalid="ignore"):  # NumPy's logaddexp reports a NaN
        values, slopes = function(x), np.array([dk.grad(function, engine=engine, machine="numpy")(v) for v in x])
    for found in (values, slopes):
        assert np.isfinite(found[:2]).all() and np.isnan(found[2])


@pytest.mark.parametrize("engine", ["symbolic", "forward", "reverse"])
def test_derivative_at_the_kink_is_that_of_the_lower_side(engine):
    expected = {"relu": 0.0, "leaky_relu": 0.01, "leaky_relu-2": 2.0, "prelu": 0.25, "elu-0.7": 0.7}
    expected |= {"selu": 1.0507009873554804934 * 1.6732632423543772848, "elu": 1.0, "silu": 0.5, "gelu": 0.5}
    assert set(expected) >= KINKED
    for name, slope in expected.items():
        found = dk.grad(TRUTH[name][0], engine=engine, machine="numpy")(0.0)
        np.testing.assert_allclose(found, slope, rtol=1e-15, err_msg=name)


@every_activation
def test_float32_stays_float32(name):
    function, truth = TRUTH[name]
    x = np.array([-3.0, -0.5, 0.0, 0.5, 3.0], np.float32)
    value, slope = function(x), dk.grad(lambda x: dk.sum(function(x)), machine="numpy")(x)
    assert value.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(value, [float(truth(mpmath.mpf(float(v)))) for v in x], rtol=1e-6, atol=1e-7)


def test_prelu_learns_a_slope_for_each_column():
    x, slopes = np.array([[-1.0, 2.0, -3.0], [4.0, -5.0, 0.0]]), np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(nn.prelu(x, slopes), np.where(x > 0, x, slopes * x))
    gradient = dk.grad(lambda a: dk.sum(nn.prelu(x, a)), machine="numpy")(slopes)
    np.testing.assert_allclose(gradient, np.minimum(x, 0).sum(0))

    images = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    by_channel = nn.prelu(images, slopes[:, None, None])
    np.testing.assert_allclose(by_channel[:, 1], np.where(images[:, 1] > 0, images[:, 1], 0.2 * images[:, 1]))
    with pytest.raises(
        ShapeError, match=r"prelu: a weight of shape \(3, 2\) does not broadcast to x of shape \(2, 3\)"
    ):
        nn.prelu(x, slopes[:, None] * np.ones(2))


def test_lists_and_numbers_are_arrays():
    assert isinstance(nn.elu(1.0), (float, np.ndarray, np.floating))
    np.testing.assert_allclose(nn.leaky_relu([-1, 2]), [-0.01, 2])


def test_gelu_has_two_forms():
    with pytest.raises(ArgumentError, match="choose 'none' or 'tanh'"):
        nn.gelu(1.0, "sigmoid")
