"""The certified truth against mpmath, at kinks, outside domains, and against itself when something is made wrong."""

import csv
import math
import os
import re
from collections import Counter
from pathlib import Path

import helpers
import helpers_arrays
import numpy as np
import pytest
import sympy
from helpers import each
from helpers_oracles import TRUST
from mpmath import mp, mpf

import diffkit as dk
from diffkit.errors import ArgumentError, UnsupportedError
from diffkit.expr.node import free_variables, make
from diffkit.ops import TABLE, define
from diffkit.ops.kinks import kinks
from diffkit.truth import certify, derivative, differences, truth

LEAST = np.finfo(np.float64).smallest_normal
#: relative error of a truth, as it is promised
WANTED = mpf(2) ** -differences.WANTED
x, y = dk.symbols("x y")


def exactly(high, low):
    with mp.workdps(60):
        return mpf(float(high)) + mpf(float(low))


# ---- every operation --------------------------------------------------------------------------------------------------
@each(helpers.differentiable_cases())
def test_derivatives_are_those_of_mpmath(case):
    names = [f"x{k}" for k in range(case.op.arity)]
    columns = case.columns("float64")
    found = certify(case.expression(), [names[k] for k in case.numeric], dict(zip(names, columns, strict=True)))
    judged = 0
    for k in case.numeric:
        if names[k] not in case.expression().variables:
            continue
        for p, slope in enumerate(case.slopes("float64", k)):
            if slope is None or not found.ok[p]:
                continue
            judged += 1
            given = exactly(found.gradient[names[k]][p], found.gradient_rest[names[k]][p])
            assert abs(given - slope) <= abs(slope) * (TRUST + WANTED) + LEAST * 2.0**-50, (
                names[k],
                [c[p] for c in columns],
            )
    assert judged >= 10


@each(helpers.differentiable_cases())
def test_values_are_those_of_mpmath(case):
    names = [f"x{k}" for k in range(case.op.arity)]
    columns = case.columns("float64")
    found = certify(
        case.expression(), [names[k] for k in case.numeric], dict(zip(names, columns, strict=True)), cross_check=0
    )
    for p, value in enumerate(case.truths("float64")):
        if value is not None and found.ok[p]:
            given = exactly(found.value[p], found.value_rest[p])
            # the oracle works with 60 digits, and where it cancels has no more than that absolutely
            assert abs(given - value) <= abs(value) * WANTED + mpf(10) ** -57, [c[p] for c in columns]


@each(helpers.differentiable_cases())
def test_inside_the_domain_and_off_kinks_nothing_is_left_undecided(case):
    names = [f"x{k}" for k in range(case.op.arity)]
    intervals = case.op.intervals or ((-math.inf, math.inf),) * case.op.arity
    rng = np.random.default_rng(5)
    drawn = [rng.uniform(max(low, -30), min(high, 30), 50) for low, high in intervals]
    points = {n: v > 0 if k in case.conditions else v for k, (n, v) in enumerate(zip(names, drawn, strict=True))}
    found = certify(case.expression(), [names[k] for k in case.numeric], points, cross_check=True)
    assert Counter(found.outcome) == {"ok": 50}, set(found.why)
    assert found.checked == 50 and found.method == "sympy"


@pytest.mark.slow
@pytest.mark.parametrize("case", helpers_arrays.array_cases(), ids=lambda c: c.id)
def test_array_operations(case):
    inputs = case.inputs("float64")
    values = case.values(loop=(2,))
    try:
        found = certify(
            case.build(*inputs), inputs, {v.name: a for v, a in zip(inputs, values, strict=True)}, cross_check=True
        )
    except UnsupportedError as reason:
        pytest.skip(str(reason))
    assert found.ok.all(), found.why
    for v in inputs:
        assert found.gradient[v.name].shape == (2, *case.build(*inputs).shape, *v.shape)


# ---- single functions -------------------------------------------------------------------------------------------------
def at(f, points, name="x", **options):
    return certify(f, [name], {name: points} if isinstance(points, list) else points, **options)


def test_the_lecture_example():
    f = (dk.exp(x / y) + x / y) * (x / y - dk.log(y))
    found = certify(f, ["x", "y"], {"x": [0.5], "y": [1.0]}, cross_check=True)
    with mp.workdps(40):
        e = mp.exp(mpf("0.5"))
        along = (e + 1) / 2 + e + mpf("0.5")
        assert exactly(found.gradient["x"][0], found.gradient_rest["x"][0]) == pytest.approx(along, rel=1e-30)
        assert exactly(found.gradient["y"][0], found.gradient_rest["y"][0]) == pytest.approx(
            -along / 2 - e - mpf("0.5"), rel=1e-30
        )
    assert found.gradient["x"][0] == float(along)


DOMAINS = [
    (lambda: dk.log(x), [-1.0, 0.0, 2.0], "nonfinite nonfinite ok", "logarithm"),
    (lambda: dk.sqrt(x) ** 2, [-1.0, 4.0], "nonfinite ok", "square root of a negative"),
    (lambda: x / x, [0.0, 3.0], "nonfinite ok", "division by zero"),
    (lambda: dk.log(dk.exp(x)) + dk.log(x * x) - 2 * dk.log(x), [-1.0, 2.0], "nonfinite ok", "logarithm"),
    (lambda: dk.sqrt(x), [0.0, 1.0], "nonfinite ok", "division by zero"),
    (lambda: dk.arcsin(x), [-1.0, 0.5, 1.5], "nonfinite ok nonfinite", "division by zero"),
    (lambda: dk.arccosh(x), [0.5, 2.0], "nonfinite ok", "below 1"),
    (lambda: dk.arctanh(x), [1.0, 0.5], "nonfinite ok", "not within"),
    (lambda: x**0.3, [-2.0, 2.0], "nonfinite ok", "negative number"),
    (lambda: x**x, [-0.5, 2.0], "nonfinite ok", "negative number"),
    (lambda: x**-2.0, [0.0, -2.0], "nonfinite ok", "division by zero"),
    (lambda: dk.lgamma(x), [-3.0, -2.5, 0.0], "nonfinite ok nonfinite", "pole"),
    (lambda: dk.exp(x), [800.0, -800.0], "nonfinite ok", "larger than any double"),
    (lambda: dk.exp(dk.exp(dk.exp(x))), [50.0, 1.0], "nonfinite ok", "overflow"),
    (lambda: dk.where(x > 0, x, math.nan), [-1.0, 1.0], "nonfinite ok", "nan"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "points", "outcomes", "why"), DOMAINS, ids=lambda a: a if isinstance(a, str) else "")
def test_outside_the_domain(build, points, outcomes, why):
    found = at(build(), points, cross_check=True)
    assert " ".join(found.outcome) == outcomes
    assert why in found.why[outcomes.split().index("nonfinite")]
    assert np.isnan(found.gradient["x"][~found.ok]).all() and np.isfinite(found.gradient["x"][found.ok]).all()
    assert all(w == "" for w, good in zip(found.why, found.ok, strict=True) if good)


KINKS = [
    (lambda: abs(x), [0.0, -2.0], 0.0),
    (lambda: dk.relu(x), [0.0, 1.0], 0.0),
    (lambda: dk.maximum(x, x * x), [1.0, 0.5], 1.0),
    (lambda: dk.minimum(x, 2.0), [2.0, 0.5], 2.0),
    (lambda: dk.clip(x, -1, 1), [-1.0, 0.5], -1.0),
    (lambda: dk.floor(x), [3.0, 3.5], 3.0),
    (lambda: dk.ceil(x), [3.0, 3.5], 3.0),
    (lambda: dk.round(x), [2.5, 2.6], 2.0),
    (lambda: dk.trunc(x), [-1.0, -0.5], -1.0),
    (lambda: dk.sign(x), [0.0, 1.0], 0.0),
    (lambda: dk.where(x < 1, x, 1 / x), [1.0, 2.0], 1.0),
    (lambda: dk.hypot(x, 0 * x), [0.0, 3.0], 0.0),
    (lambda: dk.where(dk.equal(x, 0), 1.0, dk.sin(x) / x), [0.0, 1.0], 1.0),
    (lambda: dk.arctan2(x, -1.0), [0.0, 1.0], math.pi),
    (lambda: dk.max(dk.stack([x, dk.sin(x), x * x])), [0.0, 0.5], 0.0),
    (lambda: abs(x - 0.1), [0.1, 0.2], 0.0),
    (lambda: dk.arctan2(0 * x, x), [0.0, 1.0], 0.0),
    (lambda: abs(dk.sin(x) * 0), [1.0, 2.0], 0.0),
]


@pytest.mark.parametrize(("build", "points", "value"), KINKS)
def test_at_a_kink_there_is_a_value_and_no_derivative(build, points, value):
    found = at(build(), points)
    assert found.outcome[0] == "kink" and found.why[0]
    assert found.value[0] == value and np.isnan(found.gradient["x"][0])


def test_kinks_of_branches_not_taken_do_not_matter():
    f = dk.where(x > 1, dk.log(x), dk.where(x < -1, abs(x + 5), x))
    found = at(f, [-5.0, 0.0, 1e3])
    assert list(found.outcome) == ["kink", "ok", "ok"]
    np.testing.assert_array_equal(found.gradient["x"][1:], [1.0, 1e-3])
    both = dk.where(dk.logical_and(x < 0, y < 0), 1.0, x * y)
    assert list(certify(both, ["x"], {"x": [1.0, -1.0], "y": [0.0, 0.0]}).outcome) == ["ok", "kink"]


def test_a_branch_is_not_chosen_by_rounding():
    # sin(x)² + cos(x)² − 1 is exactly 0, which no precision shows: undecided, so a kink; and 1 + 1e-40 > 1 is decided
    zero = dk.square(dk.sin(x)) + dk.square(dk.cos(x)) - 1
    found = at(dk.where(zero > 0, x, -x), [0.7])
    assert found.outcome[0] == "kink" and "4,096 bits" in found.why[0] and found.bits == 4096
    close = at(dk.where((1 + x) - 1 > 0, x * 2, x * 3), [1e-40, -1e-40])
    np.testing.assert_array_equal(close.gradient["x"], [2.0, 3.0])


def test_a_zero_that_no_precision_shows_is_zero():
    found = at(dk.square(dk.sin(x)) + dk.square(dk.cos(x)), [0.7, 1.3])
    assert found.ok.all() and not found.gradient["x"].any()


def test_cancellation_raises_the_precision():
    f = (1 - dk.cos(x)) / dk.square(x)
    found = at(f, [1e-30, 1e-100], cross_check=True)
    np.testing.assert_allclose(found.gradient["x"], [-1e-30 / 12, -1e-100 / 12], rtol=1e-15)
    assert found.bits > 128


def test_huge_arguments():
    found = at(dk.sin(x), [1e300, 1e22], cross_check=True)
    with mp.workdps(400):
        assert found.gradient["x"].tolist() == [float(mp.cos(mpf(1e300))), float(mp.cos(mpf(1e22)))]


# ---- errors below an ulp ----------------------------------------------------------------------------------------------
def test_errors_are_right_far_below_an_ulp():
    points = np.random.default_rng(0).uniform(0.1, 3, 50)
    found = at(dk.exp(x) * dk.sin(x), {"x": points})
    computed = np.exp(points) * (np.sin(points) + np.cos(points))
    with mp.workdps(60):
        for k, p in enumerate(points.tolist()):
            exact = mp.exp(mpf(p)) * (mp.sin(mpf(p)) + mp.cos(mpf(p)))
            assert found.error("x", computed)[k] == pytest.approx(float(mpf(float(computed[k])) - exact), rel=1e-9)
            assert found.gradient["x"][k] == float(exact)
    assert np.abs(found.value_error(found.value)).max() <= np.spacing(found.value).max()


def test_constants_are_exact():
    found = at(0.1 * dk.sin(math.pi * x), [1.0])
    with mp.workdps(40):
        assert exactly(found.gradient["x"][0], found.gradient_rest["x"][0]) == pytest.approx(
            -mpf(0.1) * mp.pi, rel=1e-30
        )
    assert found.value[0] == 0.0


# ---- an oracle that notices ---------------------------------------------------------------------------------------------
def test_a_wrong_derivative_is_noticed(monkeypatch):
    from diffkit.expr.sympy_functions import CubeRoot

    monkeypatch.setattr(CubeRoot, "fdiff", lambda self, argindex=1: 1 / (3 * self**2) * (1 + sympy.Rational(1, 10**9)))
    found = at(dk.cbrt(x * 1.25), [2.0, 3.0], cross_check=True)
    assert list(found.outcome) == ["undecided", "undecided"] and "contradict" in found.why[0]


def test_only_as_many_points_are_cross_checked_as_asked():
    assert at(dk.sin(x), {"x": np.linspace(0, 1, 100)}, cross_check=7).checked == 7
    assert at(dk.sin(x), {"x": np.linspace(0, 1, 100)}, cross_check=True).checked == 100
    assert at(dk.sin(x), {"x": np.linspace(0, 1, 100)}, cross_check=False).checked == 0


# ---- without SymPy on the whole -----------------------------------------------------------------------------------------
def rich():
    a, b, c, d = dk.symbols("a b c d")
    f = (
        dk.where(a > 0, dk.log(abs(a) + 1), b**2.5) * dk.maximum(b, c)
        + dk.cbrt(d * a)
        + dk.max(dk.stack([a, b, c, d])) ** 0.1
    )
    f = (
        f
        + dk.lgamma(c + 3)
        + b**c
        + dk.round(d * 9) * a
        + dk.digamma(b + 1) * dk.minimum(c, d)
        + dk.clip(a, -0.5, 0.5) / (1 + d)
    )
    rng = np.random.default_rng(0)
    points = {n: rng.uniform(0.1, 1, 40) for n in "abcd"}
    return f, {**points, "a": rng.uniform(-1, 1, 40)}


@pytest.mark.parametrize(
    ("limits", "method"),
    [({"MAX_TREE": 0}, "sympy, function by function"), ({"MAX_TREE": 0, "MAX_ROWS": 0}, "differences")],
)
def test_three_ways_to_the_same_truth(limits, method, monkeypatch):
    from diffkit.truth import chain

    f, points = rich()
    whole = certify(f, list("abcd"), points, cross_check=True)
    for name, value in limits.items():
        monkeypatch.setattr(derivative, name, value)
        if hasattr(chain, name):
            monkeypatch.setattr(chain, name, value)
    other = certify(f, list("abcd"), points)
    assert (whole.method, other.method) == ("sympy", method) and other.reason
    assert whole.ok.all() and other.ok.all()
    for n in "abcd":
        np.testing.assert_array_equal(whole.gradient[n], other.gradient[n])
        np.testing.assert_allclose(whole.gradient_rest[n], other.gradient_rest[n], rtol=1e-3, atol=1e-36)


def test_deep_and_shared_expressions():
    f = x
    for _ in range(3000):
        f = dk.sin(f) + y
    g = x
    for _ in range(60):
        g = g * dk.cos(g)
    for h in (f, g):
        found = certify(h, ["x"], {"x": [0.3], "y": [0.4]})
        assert found.ok.all() and found.method == "sympy, function by function"


# ---- calling it ---------------------------------------------------------------------------------------------------------
def test_shapes_and_single_points():
    w, v = dk.symbol("W", (2, 3)), dk.symbol("v", (3,))
    found = certify(dk.tanh(w @ v), [w, "v"], {"W": np.ones((2, 3)) / 7, "v": np.arange(12.0).reshape(4, 3)})
    assert (
        found.value.shape == (4, 2)
        and found.gradient["W"].shape == (4, 2, 2, 3)
        and found.gradient["v"].shape == (4, 2, 3)
    )
    np.testing.assert_allclose(
        found.value, np.tanh(np.arange(12.0).reshape(4, 3).sum(1) / 7)[:, None] * np.ones(2), rtol=1e-14
    )
    assert certify(x * y, ["y"], {"x": 2.0, "y": [1.0, 5.0]}).gradient["y"].tolist() == [2.0, 2.0]


def test_a_variable_that_does_not_matter():
    z = dk.symbol("z")
    assert certify(x * x, [z, "x"], {"x": [3.0]}, cross_check=True).gradient["z"].tolist() == [0.0]


def test_float32_points_are_the_numbers_that_they_are():
    a = dk.symbol("a", dtype="float32")
    assert certify(a * a, ["a"], {"a": np.float32([0.1])}).gradient["a"][0] == 2 * float(np.float32(0.1))


def test_the_convention_in_force_does_not_touch_the_truth():
    with kinks("right"):
        found = at(abs(x), [0.0, -1.0])
    assert list(found.outcome) == ["kink", "ok"] and found.gradient["x"][1] == -1


def test_misuse_is_named():
    with pytest.raises(ArgumentError, match="no variable 'z'"):
        certify(x, ["z"], {"x": [1.0]})
    with pytest.raises(ArgumentError, match="no points are given for 'y'"):
        certify(x * y, ["x"], {"x": [1.0]})
    with pytest.raises(ArgumentError, match="different numbers of points"):
        certify(x * y, ["x"], {"x": [1.0, 2.0], "y": [1.0, 2.0, 3.0]})
    define("mystery_c", 1, "unknown", np.sin)
    try:
        with pytest.raises(UnsupportedError, match="mystery_c"):
            certify(make(TABLE["mystery_c"], (x,), {}), ["x"], {"x": [1.0]})
    finally:
        TABLE.remove("mystery_c")


# ---- real formulas ------------------------------------------------------------------------------------------------------
def test_published_formulas_are_certified_at_every_point():
    folder = os.environ.get("DIFFKIT_TEST_DATA")
    if not folder:
        pytest.skip("DIFFKIT_TEST_DATA is not set")
    rng = np.random.default_rng(0)
    with (Path(folder) / "feynman.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            f = dk.parse(row["formula"])
            ranges = {
                n: (float(a), float(b)) for n, a, b in re.findall(r"(\S+)=([-+\d.e]+):([-+\d.e]+)", row["variables"])
            }
            points = {v.name: rng.uniform(*ranges[v.name], 20) for v in free_variables(f)}
            found = certify(f, f.variables, points, cross_check=True)
            assert found.ok.all(), (row["name"], set(found.why))


def test_the_constants_stand_for_what_they_say():
    assert truth.BITS[0] * 2 ** (len(truth.BITS) - 1) == truth.BITS[-1] == 4096
    assert differences.WANTED > 70
