"""Every kernel of the op table against Arb: within 2 ulp or the bound that its record states, special values to the bit."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from diffkit.ops import TABLE

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import accuracy
from benchmarks.accuracy_points import Sampler, near_multiples

DTYPES = ("float64", "float32")
dtypes = pytest.mark.parametrize("dtype", DTYPES)
ROUNDING = [op.name for op in accuracy.measured()]
#: operations that only select, compare or move to a neighbouring integer
EXACT = [op.name for op in TABLE.values() if op.kernel and op.name not in ROUNDING]

POINTS = 2500
BOUND = 2.0


@cache
def compiled(name, dtype):
    return accuracy.compile_op(TABLE[name], dtype)


@dtypes
@pytest.mark.parametrize("name", ROUNDING)
def test_error(name, dtype):
    op = TABLE[name]
    args, plain, bounded = accuracy.errors(op, dtype, POINTS, compiled(name, dtype), seed=1)
    judged = plain if op.magnitude is None else bounded
    worst = int(np.argmax(judged))
    assert judged[worst] <= BOUND, (
        f"{name}({', '.join(repr(a[worst]) for a in args)}) is off by {judged[worst]:.2f} ulp"
    )


@dtypes
@pytest.mark.parametrize("name", EXACT)
def test_exact(name, dtype):
    op = TABLE[name]
    rng = np.random.default_rng(1)
    points = Sampler(TABLE["add"], dtype, seed=1).arguments(POINTS)
    conditions = [rng.random(points[0].size) < 0.5 for _ in range(op.conditions)]
    args = [*conditions, *points][: op.arity]
    with np.errstate(all="ignore"):
        expected = np.asarray(op.numpy(*args))
    computed = compiled(name, dtype)(*args)
    assert computed.dtype == expected.dtype
    np.testing.assert_array_equal(computed, expected)
    if expected.dtype.kind == "f" and name not in ("maximum", "minimum", "relu", "sign"):  # free in the sign of a zero
        np.testing.assert_array_equal(np.signbit(computed[expected == 0]), np.signbit(expected[expected == 0]))


@dtypes
@pytest.mark.parametrize("name", ROUNDING)
def test_no_lane_depends_on_another(name, dtype):
    """Equal bits at every place in a vector, whatever stands beside it, in whole vectors and in what is left over."""
    op = TABLE[name]
    run = compiled(name, dtype)
    args = Sampler(op, dtype, seed=2).arguments(300)
    whole = run(*args)
    order = np.random.default_rng(0).permutation(whole.size)
    shuffled = np.empty_like(whole)
    shuffled[order] = run(*(a[order] for a in args))
    assert whole.tobytes() == shuffled.tobytes()
    for start in range(5):
        assert run(*(a[start : start + 7] for a in args)).tobytes() == whole[start : start + 7].tobytes()


# ---- the measuring itself -------------------------------------------------------------------------------------------
def _ulps(name, dtype, x, computed):
    x = np.asarray(x, dtype)
    return accuracy.Truth.of(TABLE[name], [x]).ulps(np.asarray(computed, dtype))


def test_unit_is_the_ulp_of_the_truth():
    one = np.exp(np.float64(0.0))
    assert _ulps("exp", "float64", [0.0], [one]) == 0
    assert _ulps("sqrt", "float64", [4.0], [np.nextafter(2.0, 3)]) == 1
    assert _ulps("sqrt", "float64", [4.0], [np.nextafter(2.0, 1)]) == 0.5  # spaced more closely below a power of two
    assert _ulps("sqrt", "float32", [4.0], [np.nextafter(np.float32(2), np.float32(3))]) == 1


def test_ends_of_the_range():
    assert _ulps("exp", "float64", [1000.0, -1000.0], [np.inf, 0.0]).max() < 0.5
    assert _ulps("exp", "float64", [1000.0], [np.finfo(float).max]) >= 1  # where infinity is due
    assert _ulps("exp", "float64", [709.0], [np.inf]) > 1e15
    assert np.isinf(_ulps("exp", "float64", [-1000.0], [-0.0]))
    assert 0.4 < _ulps("exp", "float64", [-745.0], [0.0]) < 1.1
    assert np.isinf(_ulps("sin", "float64", [-0.0], [0.0]))
    assert np.isinf(_ulps("log", "float64", [-1.0], [1.0]))
    assert _ulps("log", "float64", [-1.0], [np.nan]) == 0
    assert np.isinf(_ulps("log", "float64", [2.0], [np.nan]))


def test_worst_cases_of_pi():
    points = near_multiples(np.random.default_rng(0), 53, 1024, 5000)
    truth = accuracy.Truth.of(TABLE["cos"], [points])
    assert truth.settled.all()
    assert truth.exponent.min() < -59
