"""Differences with error bars: the truth lies inside the bars, bars are narrow, and few calls are made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffkit.check.gradients.functions.numpy_functions import NumpyFunction
from diffkit.check.gradients.numeric import KINK, SMOOTH, STEP, Dense, Differences, Entries, scales, surroundings


def measured(f, x, g):
    function = NumpyFunction(f, x, g)
    at_x = function.start()
    scale = scales(function)
    near = surroundings(function, at_x, scale, 0)
    entries = Entries(function, np.arange(function.size), scale)
    found = Differences(function, entries, at_x, near.noise, near.variation(at_x))
    found.measure()
    return function, found, near, at_x


RANDOM = np.random.default_rng(3)
C = RANDOM.normal(size=8)
#: name -> (function, point, gradient)
SMOOTH_ONES = {
    "quadratic": (lambda x: np.sum(C * x**2), RANDOM.normal(size=8), lambda x: 2 * C * x),
    "sines": (lambda x: np.sum(C * np.sin(x)), RANDOM.normal(size=8), lambda x: C * np.cos(x)),
    "exponential": (lambda x: np.exp(x @ C), RANDOM.normal(size=8), lambda x: C * np.exp(x @ C)),
    "quotient": (lambda x: x[0] / (1 + x[1] ** 2), np.array([3.0, 0.5]), None),
    "logarithms": (lambda x: np.sum(np.log(x)), np.array([1e-9, 1.0, 1e9]), lambda x: 1 / x),
    "large value": (lambda x: 1e9 + np.sum(np.tanh(x)), RANDOM.normal(size=4), lambda x: 1 / np.cosh(x) ** 2),
    "steep": (lambda x: np.sum(np.exp(30 * x)), np.array([0.2, 0.9]), lambda x: 30 * np.exp(30 * x)),
    "fast": (lambda x: np.sum(np.sin(300 * x)), np.array([0.3, 1.7]), lambda x: 300 * np.cos(300 * x)),
}


@pytest.mark.parametrize("name", SMOOTH_ONES)
def test_the_truth_lies_inside_the_bars(name):
    f, x, g = SMOOTH_ONES[name]
    function, found, _, _ = measured(f, x, g)
    truth = function.gradient(function.point, None).T
    e = found.estimates
    assert (e.state == SMOOTH).all()
    assert (np.abs(e.value - truth) <= e.bar).all()
    assert (e.bar <= 1e-2 * np.abs(truth)).all()


@pytest.mark.parametrize("name", [n for n in SMOOTH_ONES if n not in ("fast", "large value", "steep")])
def test_calls_are_few(name):
    """Three times those of central differences, and thirty."""
    f, x, g = SMOOTH_ONES[name]
    function, *_ = measured(f, x, g)
    assert function.events.calls <= 6 * function.size + 30


@given(st.floats(-5, 5), st.floats(0.1, 3), st.integers(0, 4))
def test_bars_of_random_sums(x, a, k):
    """Mixtures of elementary functions at random points: the error is within the bar."""
    f = lambda v: float(np.exp(-a * v * v) + np.sin(k * v) + v**3 / 7)
    g = lambda v: float(-2 * a * v * np.exp(-a * v * v) + k * np.cos(k * v) + 3 * v * v / 7)
    function, found, _, _ = measured(f, x, g)
    e = found.estimates
    truth = function.gradient(function.point, None).T
    assert (np.abs(e.value - truth) <= e.bar + 1e-12)[e.state == SMOOTH].all()


def test_single_precision_is_measured_in_single_precision():
    x = RANDOM.normal(size=6).astype(np.float32)
    function, found, _, _ = measured(lambda x: np.sum(np.sin(x)), x, np.cos)
    assert function.roundoff == 2.0**-24
    e, truth = found.estimates, np.cos(x.astype(float))[:, None]
    assert (np.abs(e.value - truth) <= e.bar).all()
    assert (e.bar > 1e-9).all()


@pytest.mark.parametrize(
    ("f", "x", "state", "left", "right"),
    [
        (abs, 0.0, KINK, -1.0, 1.0),
        (lambda v: max(v - 2.0, 0.0), 2.0, KINK, 0.0, 1.0),
        (lambda v: float(np.round(v)), 1.2, STEP, 0.0, 0.0),
        (lambda v: v * abs(v), 0.0, SMOOTH, None, None),
    ],
)
def test_what_a_direction_is(f, x, state, left, right):
    _, found, _, _ = measured(f, x, lambda v: 0.0)
    found.examine(0)
    e = found.estimates
    assert e.state[0, 0] == state
    if state == KINK:
        assert abs(e.left[0, 0] - left) <= 1e-6
        assert abs(e.right[0, 0] - right) <= 1e-6


@pytest.mark.parametrize("size", [1e-12, 1e-8, 1e-4])
def test_noise_is_found(size):
    """Within a factor of ten, whether it repeats itself or not."""
    random = np.random.default_rng(5)
    for f in (
        lambda x: np.sum(x**2) + size * np.sin(1e10 * x.sum()) * np.sqrt(2),
        lambda x: np.sum(x**2) + size * random.normal(),
    ):
        _, _, near, _ = measured(f, np.array([1.2, 0.3, -2.0]), lambda x: 2 * x)
        assert size / 10 <= near.noise[0] <= 10 * size


def test_the_remainder_tells_right_from_wrong():
    f, g = (lambda x: np.sum(np.sin(x))), np.cos
    function, _, near, at_x = measured(f, np.array([0.3, 1.0, 2.0]), g)
    right = near.direction.dot(0, function.gradient(function.point, None))
    assert abs(near.order(at_x, right) - 2) < 0.1
    assert abs(near.order(at_x, 1.1 * right) - 1) < 0.1


def test_directions_are_made_again_from_their_seeds():
    function, *_ = measured(lambda x: np.sum(x), np.ones(50), np.ones_like)
    scale = scales(function)
    one, other = (Dense(function, [(0, 1), (0, 2)], [None, None], scale) for _ in range(2))
    for d in (0, 1, 0):
        np.testing.assert_array_equal(one.vector(d)[1], other.vector(d)[1])
    assert not np.array_equal(one.vector(0)[1], one.vector(1)[1])


def test_the_scale_of_a_zero_is_that_of_its_neighbours():
    function = NumpyFunction(lambda a, b: 0.0, (np.array([0.0, 2.0, 4.0]), np.zeros(2)), None)
    np.testing.assert_array_equal(scales(function), [3.0, 2.0, 4.0, 1.0, 1.0])
