"""minimize where doubles or derivatives end: kinks, gradients whose squares overflow, functions without a minimum."""

import math

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError
from diffkit.optim.minimizing.iterating import ROUND_OFF, UNBOUNDED, judged
from diffkit.optim.minimizing.minimize import METHODS
from diffkit.optim.objective import Objective, Scaled

minimize = dk.optim.minimize
START = np.array([-1.2, 1.0])


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


# ---- kinks ----
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [(-1.2, 1.0), (2.0, -1.0), (0.3, 0.4)])
@pytest.mark.parametrize("steepness", [1, 10, 100])
def test_a_kink_on_the_way_is_no_success(method, start, steepness):
    found = minimize(lambda x: steepness * np.abs(x[1] - x[0] ** 2) + (1 - x[0]) ** 2, np.array(start), method)
    if found.success:
        assert np.abs(found.jac).max() <= 1.5e-8 and found.fun < 1e-12
    elif found.status == ROUND_OFF:
        assert "looks like a kink" in found.message and "not differentiable" in found.message


@pytest.mark.parametrize("method", METHODS)
def test_kinks_of_maxima_and_differences(method):
    for f, start in (
        (lambda x: 5 * np.abs(x[0] - x[1]) + 0.1 * (x[0] + x[1]) ** 2, [3.0, 1.0]),
        (lambda x: np.maximum(3 * x[0] ** 2 + x[1], x[0] ** 2 - x[1]) + 0.01 * x[1] ** 2 + x[0], [1.0, 1.0]),
        (lambda x: np.maximum(3 * x[0] ** 2 + x[1], x[0] ** 2 - x[1]) + 0.01 * x[1] ** 2 + x[0], [-1.2, 1.0]),
        (lambda x: np.maximum(0, 1 - x).sum() + 0.1 * (x**2).sum(), [-3.0, 2.0]),
    ):
        found = minimize(f, np.array(start), method)
        assert not found.success or np.abs(found.jac).max() <= 1.5e-8, found.message


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_verdict_on_a_jump_and_on_round_off(dtype):
    def verdict(f, x):
        objective = Objective(f, np.array(x, dtype))
        at = objective.point(np.array(x, dtype).astype(np.float64))
        return judged(objective, at, at, 0, "")[0]

    edge = verdict(lambda x: np.abs(x - 0.5).sum(), [0.5 + (1e-7 if dtype is np.float32 else 1e-16), 0.5])
    assert not edge.success and "kink" in edge.message
    third = verdict(lambda x: ((x * 3 - 1) ** 2).sum(), [1 / 3, 1 / 3])
    assert third.success and "which is round-off" in third.message
    slope = verdict(lambda x: ((x * 3 - 1) ** 2).sum(), [0.4, 1 / 3])
    assert not slope.success and "more than round-off" in slope.message and "kink" not in slope.message


# ---- sizes ----
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_gradients_whose_squares_are_no_numbers(method, size):
    found = minimize(lambda x: size * ((x - 1) ** 2).sum(), np.array([3.0, -2.0]), method, gtol=1e-208)
    assert found.success, found.message
    assert np.abs(found.x - 1).max() < 1e-8 and found.fun <= 1e-16 * size
    down = minimize(lambda x: 1e200 * ((x**2).sum() - 2 * x.sum()), np.zeros(2), method)
    assert down.success and down.fun == pytest.approx(-2e200)


@pytest.mark.parametrize("method", METHODS)
def test_from_a_huge_value_to_a_small_one(method):
    found = minimize(lambda x: np.exp((x**2).sum()), np.array([14.0, 14.0]), method)
    assert found.success and found.fun == 1.0, found.message


def test_another_scale_is_the_same_function():
    objective = Objective(rosenbrock, START)
    scaled, x = Scaled(objective, 2.0**-9), np.array([0.3, 0.4])
    at = objective.point(x)
    assert scaled.value(x) == at.value / 512 and scaled.point(x).value == at.value / 512
    np.testing.assert_array_equal(scaled.point(x).gradient, at.gradient / 512)
    np.testing.assert_array_equal(scaled.hessian(x), objective.hessian(x) / 512)
    np.testing.assert_array_equal(scaled.product(x, START), objective.product(x, START) / 512)
    assert (objective.nfev, objective.nhev) == (4, 4)
    assert at.times(1.0) is at


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "f, start",
    [
        (lambda x: -x.sum(), [1.0]),
        (lambda x: -x.sum(), [1.0, 2.0]),
        (lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2, [1.0, 0.5]),
        (lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2, [0.1, -0.7]),
        (lambda x: -np.exp(x).sum(), [1.0, 2.0]),
        (lambda x: -np.exp(x).sum(), [1.0]),
    ],
)
def test_unbounded_functions_are_told(method, f, start):
    found = minimize(f, np.array(start), method)
    assert (found.status, found.success) == (UNBOUNDED, False) and "unbounded" in found.message, found.message


# ---- what is refused, and by what name ----
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: minimize(rosenbrock, START, bounds=[(math.nan, 1), (0, 1)]), r"a bound of x0\[0\] is NaN"),
        (lambda: minimize(rosenbrock, START, bounds=[(0, 1), (0, math.nan)]), r"a bound of x0\[1\] is NaN"),
        (lambda: minimize(rosenbrock, START, max_iter=2.5), "max_iter is a whole number, not 2.5"),
        (lambda: minimize(rosenbrock, START, max_nfev=2.5), "max_nfev is a whole number, not 2.5"),
        (lambda: minimize(rosenbrock, START, "scipy:BFGS", max_iter=2.5), "max_iter is a whole number"),
        (lambda: minimize(rosenbrock, START, max_iter=math.inf), "max_iter is a whole number"),
        (lambda: minimize(rosenbrock, START, max_iter=True), "max_iter must be 0 or more"),
        (
            lambda: minimize(rosenbrock, START, "scipy:BFGS", foo=1, bar=2),
            "SciPy's BFGS has no option .*foo.*show_options",
        ),
        (lambda: minimize(rosenbrock, START, "scipy:trust-ncg", foo=1), "SciPy's trust-ncg has no option foo"),
        (lambda: minimize(rosenbrock, START, "scipy:Nelder-Mead", foo=1), "SciPy's Nelder-Mead has no option foo"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_messages_name_the_callers_function():
    def height(x):
        return "high"

    def trial(x):
        return x.sum() if x[0] > 0 else 0.0

    for f in (height, trial):
        for method in ("lbfgs", "newton", "trust-ncg"):
            with pytest.raises(dk.errors.DiffkitError) as caught:
                minimize(f, START, method)
            assert "of_vector" not in str(caught.value)
    with pytest.raises(dk.errors.DiffkitError, match="height returned a str"):
        minimize(height, START)
