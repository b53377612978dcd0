"""Lint: each pattern fires on its own text, not on its rewrite, and the rewrite has the same value; and where NaNs come from."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.check import lint, nan_origin
from diffkit.check.linting.findings import CODES, SEVERITIES
from diffkit.check.linting.match import find
from diffkit.check.linting.patterns import PATTERNS
from diffkit.check.linting.ranges import Range, ranges
from diffkit.tape import record


def codes(f, at=None):
    return set(lint(f, at).codes)


# ---- patterns ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: row.pattern)
def test_pattern_fires(row):
    whole = dk.parse(row.pattern)
    hit = find(whole)
    assert hit is not None and hit.row is row, "an earlier row takes this one's text"
    (finding,) = [f for f in lint(whole).of(row.code) if f.place == str(whole)]
    assert finding.rewrite is None or dk.parse(finding.rewrite) is hit.rewrite
    assert finding.code in CODES and finding.severity in SEVERITIES


@pytest.mark.parametrize("row", [r for r in PATTERNS if r.rewrite], ids=lambda row: row.pattern)
def test_rewrite(row):
    assert row.code not in codes(row.rewrite)
    written, better = dk.parse(row.pattern), dk.parse(row.rewrite)
    rng = np.random.default_rng(1)
    points = {n: rng.uniform(-3, 3, 500) for n in written.variables}
    value = np.asarray(written(points))
    again = np.asarray(better({n: points[n] for n in better.variables}))
    both = np.isfinite(value) & np.isfinite(again)
    assert both.sum() > 50
    np.testing.assert_allclose(value[both], np.broadcast_to(again, value.shape)[both], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        ("-cos(2*y) + 1", "2*sin(2*y/2)**2"),
        ("-1 + exp(y*z)", "expm1(y*z)"),
        ("1/(exp(-3*y) + 1)", "sigmoid(3*y)"),
        ("1/(1 + exp(-y/z))", "sigmoid(y/z)"),
        ("log(exp(y) + 1)", "softplus(y)"),
        ("log(y**2 + 1)", "log1p(y**2)"),
        ("sqrt(1 + y) - sqrt(y)", "1/(sqrt(y + 1) + sqrt(y))"),
        ("sqrt(y*y + z**2)", "hypot(y, z)"),
        ("(y**2 + z**2)**0.5", "hypot(y, z)"),
        ("0.5*(exp(y) - exp(-y))", "sinh(y)"),
        ("log(y)*y", "where(y > 0, y*log(where(y > 0, y, 1)), 0)"),
    ],
)
def test_other_spellings(text, rewrite):
    assert rewrite in [f.rewrite for f in lint(text)]


@pytest.mark.parametrize(
    "text",
    [
        "x + y",
        "1 + cos(x)",
        "exp(x) - 2",
        "exp(2) - 1",
        "log1p(x)*expm1(x)",
        "log1p(exp(-x**2))",
        "sin(exp(y))/exp(y)",
        "exp(y)*log(exp(y) + 2)",
        "x/(1 + x**2)",
    ],
)
def test_nothing_to_say(text):
    assert not lint(text) and len(lint(text)) == 0 and "nothing found" in str(lint(text))


def test_covered_parts_are_not_reported_again():
    assert [f.rewrite for f in lint("log(1 - exp(x))").of("cancellation")] == ["log(-expm1(x))"]


# ---- where ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        ("where(x > 0, log(x), 0)", "where(x > 0, log(where(x > 0, x, 1)), 0)"),
        ("where(x < 1, x, sqrt(x - 1))", "where(x < 1, x, sqrt(where(x < 1, 1, x - 1)))"),
        ("where(x == 0, 1, sin(x)/x)", "where(x == 0, 1, sin(x)/where(x == 0, 1, x))"),
        ("where(abs(x) < 1, arcsin(x), 0)", "where(abs(x) < 1, arcsin(where(abs(x) < 1, x, 0)), 0)"),
        ("where(x > 0, 2*log(3*x) + x, x)", "where(x > 0, 2*log(where(x > 0, 3*x, 1)) + x, x)"),
    ],
)
def test_unsafe_where(text, rewrite):
    (finding,) = lint(text).of("unsafe-where")
    assert finding.rewrite == rewrite
    assert "unsafe-where" not in codes(rewrite)
    x = np.linspace(-3, 3, 101)
    np.testing.assert_array_equal(dk.parse(text)(x=x), dk.parse(rewrite)(x=x))
    np.testing.assert_array_equal(dk.grad(text, wrt="x")(x=x), dk.grad(rewrite, wrt="x")(x=x))


@pytest.mark.parametrize(
    "text",
    [
        "where(x > 0, log(x**2 + 1), 0)",
        "where(x > 0, log(maximum(x, 1e-9)), 0)",
        "where(x > 0, exp(x), x)",
        "where(y > 0, log(x), 0)",
        "where(x > 0, sqrt(exp(x)), 0)",
        "where(x > 0, 1/(1 + abs(x)), 0)",
        "log(where(x > 0, x, 1))",
        "where(x > 0, x**3, 0)",
    ],
)
def test_safe_where(text):
    assert "unsafe-where" not in codes(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("where(x > 0, x, 1)", "discontinuity"),
        ("where(x > 2*y, x, -x)", "discontinuity"),
        ("where(x > 0, x, -x)", "kink"),
        ("where(x > 0, x**2, -x**2)", None),
        ("where(x == 0, 1, x + 1)", None),
        ("(x > 0)*x", "discontinuity"),
        ("floor(x)", "discontinuity"),
        ("sign(x)", "discontinuity"),
        ("abs(x)", "kink"),
        ("maximum(x, y)", "kink"),
        ("relu(x)", "kink"),
        ("clip(x, -1, 1)", "kink"),
    ],
)
def test_kinks_and_jumps(text, code):
    assert codes(text) & {"kink", "discontinuity"} == ({code} if code else set())


def test_conventions_are_stated():
    (finding,) = lint("abs(x)")
    assert "0 at x = 0" in finding.message
    with dk.kinks("left"):
        assert 'dk.kinks("left")' in lint("abs(x)")[0].message


# ---- slopes that are 0·∞ ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text", ["sqrt(x**2 + y**4)", "sqrt(abs(x))", "cbrt(x**2)", "arccos(cos(x))", "(x**4 + y**4)**0.25"]
)
def test_infinite_slopes(text):
    findings = lint(text).of("zero-times-infinity")
    assert findings
    for f in findings:
        if f.rewrite:
            assert "zero-times-infinity" not in codes(f.rewrite)


@pytest.mark.parametrize("text", ["sqrt(x)", "sqrt(1 + x**2)", "sqrt(x - y)", "arcsin(x/2)", "cbrt(x + 1)"])
def test_no_infinite_slopes(text):
    assert "zero-times-infinity" not in codes(text)


# ---- at a point -------------------------------------------------------------------------------------------------------
def test_cancellation_at_a_point():
    (finding,) = lint("(1 - cos(x))/x**2", {"x": 1e-5}).of("cancellation")
    assert (
        "10.3 of 16 digits" in finding.message and finding.rewrite == "2*sin(x/2)**2" and finding.place == "1 - cos(x)"
    )
    assert lint("exp(x) + y", (1.0, -np.exp(1.0) * (1 - 1e-6))).of("cancellation")
    assert not lint("x - y", (1.0, 1.0 + 1e-9)), "inputs are exact"
    assert "all digits" in lint("1 - cos(x)", (1e-9,)).of("cancellation")[0].message


def test_overflow_at_a_point():
    report = lint("1/(1 + exp(-x)**2)", (-700.0,))
    assert any(f.place.startswith("exp(-x)") and f.severity == "warning" for f in report.of("overflow"))
    assert lint("exp(x)", (1000.0,))[0].code == "overflow" and lint("exp(x)", (1000.0,))[0].severity == "error"
    assert lint("exp(x) + 1", (-1000.0,)).of("overflow")[0].severity == "note"
    assert "overflow" not in codes("where(x > 0, 1, exp(-x))", (1000.0,))


def test_kink_at_a_point():
    assert lint("abs(x - y)", (1.0, 1.0)).of("kink")[0].severity == "warning"
    assert lint("maximum(x, y)", (1.0, 1.0 + 1e-10)).of("kink")[0].severity == "warning"
    assert lint("maximum(x, y)", (1.0, 1.1)).of("kink")[0].severity == "note"
    assert "x = 2" in lint("abs(x - 2)", ([1.0, 2.0, 3.0],)).of("kink")[0].message


def test_domain_at_a_point():
    first = lint("sqrt(x) + log(y)", (-1.0, 1.0))[0]
    assert (first.code, first.severity, first.place) == ("domain", "error", "sqrt(x)")
    assert "x ≥ 0" in first.message
    assert "domain" not in codes("where(x > 0, log(x), 0)", (-1.0,)), "diffkit itself is not touched"


def test_derivative_not_finite_at_a_point():
    first = lint("sqrt(x**2 + y**4)", (0.0, 0.0))[0]
    assert (first.code, first.severity) == ("zero-times-infinity", "error")
    assert (
        "the value is finite at x = 0, y = 0, but the derivative by x is nan" in first.message
        and "0.5/sqrt(x**2 + y**4)" in first.message
    )
    assert not lint("hypot(x, y)", (0.0, 0.0)).of("zero-times-infinity")


def test_arrays_and_batches():
    w, v = dk.symbol("w", (3, 4)), dk.symbol("v", (4,))
    f = dk.sum(dk.where(w @ v > 0, dk.log(w @ v), 0)) + dk.sqrt(dk.sum(v**2))
    assert {"unsafe-where", "zero-times-infinity"} <= codes(f)
    assert lint(f, {"w": np.ones((3, 4)), "v": np.zeros(4)})[0].severity == "error"
    assert all(finding.rewrite is None for finding in lint(f)), "text has scalars only"


def test_deep_graphs_do_not_recurse():
    x, y = dk.symbols("x y")
    f = x
    for _ in range(3000):
        f = dk.sin(f) * y + 1
    assert not lint(f) and not lint(f, (1.0, 2.0)).of("domain")


def test_report():
    report = lint("where(x > 0, log(x), 0) + 1 - cos(y)")
    assert (
        report and isinstance(report[0].rewrite, str) and report.codes == tuple(dict.fromkeys(f.code for f in report))
    )
    assert "write: where(x > 0, log(where(x > 0, x, 1)), 0)" in str(report)
    with pytest.raises(dk.ArgumentError, match="no value for 'y'"):
        lint("x + y", {"x": 1.0})
    assert dk.lint("1 - cos(x)")[0].rewrite == "2*sin(x/2)**2"


# ---- ranges -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x**2 + y**2", Range(0)),
        ("1 + exp(x)", Range(1, holes=frozenset({1.0}))),
        ("where(x > 0, x, 1)", Range(0, holes=frozenset({0.0}))),
        ("where(x != 0, x, 1)", Range(holes=frozenset({0.0}))),
        ("where(abs(x) > 1, x, 1)", Range(holes=frozenset({0.0}))),
        ("maximum(x, 3)", Range(3)),
        ("clip(x, -1, 2)", Range(-1, 2)),
        ("1/cosh(x)", Range(0, 1, frozenset({0.0}))),
        ("x*y", Range()),
        ("where(logical_not(x < 2), x, 5)", Range(2)),
        ("-abs(x)", Range(hi=0)),
        ("sqrt(4 + x*x)", Range(2)),
    ],
)
def test_ranges(text, expected):
    f = dk.parse(text)
    assert ranges(f)[id(f)] == expected


# ---- where a NaN came from ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("log(x)", [-1.0], "log(x) is nan at x = -1: log(x) is defined for x > 0"),
        ("sqrt(x) + 1", [-1.0], "sqrt(x) is nan at x = -1: sqrt(x) is defined for x ≥ 0"),
        ("1/x", [0.0], "1/x is inf at x = 0: divide(x, y) is defined for y ≠ 0"),
        ("x*(1/y)", [0.0, 0.0], "1/y is inf at y = 0: divide(x, y) is defined for y ≠ 0"),
        ("x*y", [0.0, np.inf], "x*y is nan at x = 0, y = inf: an indefinite form of infinities"),
        ("arcsin(2*x)", [1.0], "arcsin(2*x) is nan at 2*x = 2: arcsin(x) is defined for −1 ≤ x ≤ 1"),
        ("exp(x) - exp(x)", [1000.0], "exp(x) is inf at x = 1000: too large for floating point"),
        ("x + 1", [np.nan], "x is nan: it was given so"),
        (
            "log(x) + sqrt(y)",
            [[1.0, 2.0, -1.0], [1.0, -1.0, 1.0]],
            "sqrt(y) is nan at y = -1 (point 1 of 3): sqrt(x) is defined for x ≥ 0",
        ),
    ],
)
def test_nan_origin(text, values, expected):
    assert str(nan_origin(record(dk.parse(text)), values)) == expected


def test_nan_origin_blames_no_masked_branch():
    assert nan_origin(record(dk.parse("where(x > 0, log(x), 0)")), [-1.0]) is None
    origin = nan_origin(record(dk.parse("where(x > 0, log(x), sqrt(x))")), [-1.0])
    assert origin is not None and origin.op.name == "sqrt" and origin.operands == (-1.0,) and np.isnan(origin.result)


def test_nan_origin_in_a_derivative():
    tape = dk.tape("sqrt(x**2)", engine="reverse")
    origin = nan_origin(tape, [0.0])
    assert origin is not None and "0.5/sqrt(x**2) is inf" in str(origin)
