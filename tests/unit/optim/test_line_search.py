"""The strong Wolfe search on functions of one step, smooth, noisy, undefined and endless."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffkit.optim.second_order.line_search import Trial, armijo, cubic, strong_wolfe


def along(f, df):
    return lambda a: Trial(a, f(a), df(a))


#: Moré and Thuente's functions (ACM Trans. Math. Softw. 20, 1994, section 5), with their derivatives
FUNCTIONS = {
    "5.1": (lambda a: -a / (a * a + 2), lambda a: (a * a - 2) / (a * a + 2) ** 2),
    "5.2": (
        lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,
        lambda a: 5 * (a + 0.004) ** 4 - 8 * (a + 0.004) ** 3,
    ),
    "quartic": (lambda a: (a - 3) ** 4, lambda a: 4 * (a - 3) ** 3),
    "barrier": (
        lambda a: a - 5 - 5 * math.log(1 - a / 7) - 10 * a if a < 7 else math.nan,
        lambda a: -9 + 5 / (7 - a) if a < 7 else math.nan,
    ),
    "overflow": (
        lambda a: math.exp(a) - 3 * a if a < 700 else math.inf,
        lambda a: math.exp(a) - 3 if a < 700 else math.inf,
    ),
}


@pytest.mark.parametrize("first", [1e-3, 1e-1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("c2", [0.1, 0.9])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_conditions_hold(name, c2, first):
    f, df = FUNCTIONS[name]
    trial = along(f, df)
    start = trial(0.0)
    found = strong_wolfe(trial, start, first, c2=c2)
    assert found.found and found.evaluations <= 20, found
    t = found.best
    assert t.value <= start.value + 1e-4 * t.step * start.slope
    assert abs(t.slope) <= c2 * abs(start.slope)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=3), st.floats(-5, -0.1), st.floats(0.01, 100))
def test_quartics(lower, slope, first):
    """0.1 a⁴ and a random polynomial of lower degree, falling at 0."""
    p = np.polynomial.Polynomial([lower[0], slope, *lower[1:], *[0.0] * (3 - len(lower)), 0.1])
    d = p.deriv()
    found = strong_wolfe(along(lambda a: float(p(a)), lambda a: float(d(a))), Trial(0.0, p(0.0), slope), first)
    assert found.found
    assert found.best.value <= p(0.0) + 1e-4 * found.best.step * slope
    assert abs(found.best.slope) <= 0.9 * abs(slope)


def test_cubic_is_exact_on_cubics():
    f, df = (lambda a: a**3 - 3 * a), (lambda a: 3 * a * a - 3)
    a, b = Trial(0.5, f(0.5), df(0.5)), Trial(2.5, f(2.5), df(2.5))
    assert cubic(a, b) == pytest.approx((1 - 0.5) / 2, abs=1e-14)
    assert math.isnan(cubic(Trial(0.0, 0.0, 1.0), Trial(1.0, 1.0, 1.0)))  # a straight line


def test_values_below_their_noise_are_judged_by_slopes():
    """A parabola on a plateau of 1e8: the decrease is far below an ulp of the value."""
    f, df = (lambda a: 1e8 + 1e-12 * (a - 1) ** 2), (lambda a: 2e-12 * (a - 1))
    trial = along(f, df)
    found = strong_wolfe(trial, trial(0.0), 5.0, c2=0.1, noise=1e-7)
    assert found.found and found.best.step == pytest.approx(1.0, abs=0.11)
    back = armijo(trial, trial(0.0), 64.0, noise=1e-7)
    assert back.found and abs(back.best.slope) <= abs(df(0.0))


def test_minus_infinity_ends_the_search_at_once():
    trial = along(lambda a: -math.inf if a > 1 else -a, lambda a: -1.0)
    found = strong_wolfe(trial, trial(0.0), 0.5)
    assert found.best.value == -math.inf and found.evaluations == 2


def test_an_endless_descent_is_told():
    trial = along(lambda a: -a, lambda a: -1.0)
    found = strong_wolfe(trial, trial(0.0), 1.0)
    assert not found.found and found.endless and found.best.step > 1e15


def test_the_budget_is_kept_and_the_best_step_given():
    trial = along(lambda a: -a, lambda a: -1.0)
    found = strong_wolfe(trial, trial(0.0), 1.0, max_nfev=3)
    assert found.evaluations == 3 and not found.found and not found.endless and found.best.step == 111.0


def test_a_wrong_slope_moves_nowhere():
    """The function grows where the slope says that it falls."""
    trial = along(lambda a: a, lambda a: -1.0)
    found = strong_wolfe(trial, trial(0.0), 1.0)
    assert not found.found and found.best.step == 0.0
    assert armijo(trial, trial(0.0), 1.0).best.step == 0.0


def test_nan_everywhere_but_at_the_start():
    trial = along(lambda a: math.nan if a else 0.0, lambda a: math.nan if a else -1.0)
    found = strong_wolfe(trial, trial(0.0), 1.0)
    assert not found.found and found.best.step == 0.0
