"""The finite engine: answers, bars, kinks and costs, against mpmath on the value alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import helpers_oracles as oracle
import numpy as np
import pytest
from mpmath import mpf

from diffkit.engines import engine, finite, study
from diffkit.engines.engine import gradient_only
from diffkit.engines.finite import ENGINE, Finite, second_program
from diffkit.errors import DtypeError, UnsupportedError
from diffkit.expr import functions as F  # noqa: N812
from diffkit.expr.functions import publish
from diffkit.expr.kind import constant_value
from diffkit.expr.node import variable
from diffkit.expr.text import parse
from diffkit.machines import machine
from diffkit.ops import CONSTANT, TABLE, define
from diffkit.tape import Tape, record

NUMPY = machine("numpy")


def examine(text: str, *values: Any, method: str = "auto") -> finite.Estimate:
    tape = record(parse(text))
    return Finite(method).program(tape, range(len(tape.inputs))).examine(NUMPY, [np.asarray(v) for v in values])


def one(text: str, values: Any, method: str = "auto") -> tuple[np.ndarray, ...]:
    """(derivative, bar, outcome, left slope, right slope) of a function of one variable."""
    found = examine(text, values, method=method)
    return tuple(b[0][0] for b in (found.blocks, found.bars, found.outcome, found.left, found.right))  # type: ignore[return-value]


def in_mpmath(tape: Tape) -> Callable[..., Any]:
    """The tape's value over mpmath numbers."""

    def function(*point: mpf) -> Any:
        given, values = dict(zip(tape.inputs, point, strict=True)), []
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if i in given:
                values.append(given[i])
            elif kind.op is CONSTANT:
                values.append(mpf(constant_value(kind).item()))
            else:
                values.append(oracle.ELEMENTWISE[kind.op.name](*(values[a] for a in args), **kind.kwargs))
        return values[tape.outputs[0]]

    return function


# ---- accuracy and bars ------------------------------------------------------------------------------------------------
#: formula and the range of each variable: cancellation, poles, stiffness, special functions, kinks, scales
FORMULAS = {
    "(exp(x1/x2)+x1/x2)*(x1/x2-log(x2))": [(0.1, 2), (0.5, 2)],
    "1-cos(x)": [(1e-5, 1)],
    "(exp(x)-1)/x": [(1e-6, 1)],
    "sqrt(x+1)-sqrt(x)": [(1, 1e4)],
    "1/(x-1)": [(1.0001, 1.1)],
    "exp(-1000*x)*sin(500*x)": [(1e-3, 1e-2)],
    "1/(1+exp(-100*(x-0.5)))": [(0, 1)],
    "sin(1/x)": [(0.01, 1)],
    "x**y": [(1, 100), (10, 50)],
    "x**7-3*x**5+x-1": [(-2, 2)],
    "erf(x)*lgamma(y)": [(-3, 3), (0.5, 20)],
    "log1p(x)*expm1(y)": [(1e-10, 1e-3), (-1, 1)],
    "sigmoid(x)*softplus(y)": [(-20, 20), (-20, 20)],
    "arctan2(x,y)*hypot(x,y)": [(-5, 5), (-5, 5)],
    "cbrt(x)": [(-5, 5)],
    "abs(x-0.3)+x**2": [(0.29, 0.31)],
    "where(x*y>1,x**2*y,x*y**2)": [(0.5, 1.5), (0.5, 1.5)],
    "maximum(x,y)*minimum(x,0.5)": [(0, 1), (0, 1)],
    "x-floor(x)": [(0, 10)],
    "2*h*v**3/(exp(h*v/(k*300))-1)": [(6.6e-34, 6.7e-34), (1e13, 1e15), (1.38e-23, 1.39e-23)],
    "x**2*y": [(1e140, 1e150), (1e-5, 1)],
    "exp(x/1e-150)": [(1e-151, 3e-150)],
    "cosh(x)/sinh(x)-1/x": [(1e-3, 1)],
}
POINTS = 12


@pytest.fixture(scope="module")
def cases() -> list[tuple[Tape, list[np.ndarray], list[list[mpf]], np.ndarray]]:
    """Tape, points, true derivatives and values."""
    made = []
    for k, (text, ranges) in enumerate(FORMULAS.items()):
        tape, rng = record(parse(text)), np.random.default_rng(k)
        points = [rng.uniform(lo, hi, POINTS) for lo, hi in ranges]
        f, unit = in_mpmath(tape), np.eye(len(ranges), dtype=int)
        truth = [
            [oracle.derivative(f, [float(p[i]) for p in points], unit[w]) for i in range(POINTS)]
            for w in range(len(ranges))
        ]
        made.append((tape, points, truth, NUMPY.compile(tape)(points)[0]))
    return made


@pytest.mark.parametrize("method", ["auto", "richardson"])
def test_bars_cover_the_truth_and_are_tight(cases: list, method: str) -> None:
    ratios, far, entries = [], 0, 0
    for tape, points, truth, value in cases:
        found = Finite(method).program(tape, range(len(points))).examine(NUMPY, points)
        for w, row in enumerate(truth):
            for i, t in enumerate(row):
                assert t is not None
                g, bar = found.blocks[0][w][i], found.bars[0][w][i]
                error = oracle.error(g, t)
                assert error <= bar, (tape, [p[i] for p in points], g, t, bar)
                assert found.outcome[0][w][i] == "ok"
                entries += 1
                far += error > 1e-7 * max(abs(t), abs(value[i] / points[w][i]))
                if error:
                    ratios.append(bar / error)
    assert np.median(ratios) <= 100
    assert far <= 0.01 * entries


@pytest.mark.parametrize(
    "name",
    [n for n, o in TABLE.items() if o.analytic and o.family == "elementwise" and o.arity == 1 and o.result != "bool"],
)
def test_complex_functions_are_accurate(name: str) -> None:
    """Every function used by the complex step, over its domain: the answer is right wherever it is taken."""
    op, x = TABLE[name], variable("x")
    lo, hi = op.intervals[0] if op.intervals else (-np.inf, np.inf)
    rng = np.random.default_rng(3)
    points = np.concatenate(
        [rng.normal(size=20), rng.uniform(-1, 1, 20), rng.uniform(1, 30, 20), 10.0 ** rng.uniform(-9, 2, 20)]
    )
    points = points[(points > lo) & (points < hi)]
    for params in [{"p": p} for p in (2.0, 3.0, 0.5, -1.5, 2.5, 33.0)] if name == "pow" else [{}]:
        f = getattr(F, name)(x, **params)
        at = np.abs(points) if params.get("p", 1.0) != int(params.get("p", 1.0)) else points
        found = ENGINE.program(record(f, [x]), [0]).examine(NUMPY, [at])
        for p, g, bar in zip(at, found.blocks[0][0], found.bars[0][0], strict=True):
            t = oracle.derivative(lambda v: oracle.ELEMENTWISE[name](v, **params), [float(p)], [1])
            if abs(t) < 1e-100:
                continue  # the imaginary part is subnormal; differences answer, less exactly
            assert oracle.error(g, t) <= min(bar, 1e-12 * abs(t) + 1e-300), (params, p)


def test_scales() -> None:
    for x in (0.0, 1e-150, -1e-8, 1e100):
        assert one("3*x+1", x)[0] == 3
        assert one("abs(3*x+x)", x or 1e-160)[0] == np.copysign(4, x)
    g, bar, outcome, *_ = one("exp(x/1e-150)", [0.0, 1e-150])
    assert np.all(np.abs(g / np.exp([0, 1]) / 1e150 - 1) < 1e-12) and set(outcome) == {"ok"}
    g, bar, *_ = one("exp(abs(x)/1e150)", [1e149, -1e150])
    assert np.all(np.abs(g / (np.exp([0.1, 1]) * [1, -1]) / 1e-150 - 1) < 1e-9)
    g, bar, *_ = one("sin(x)/x", 1e-8)  # the complex step loses half of the digits here; differences take over
    assert abs(g + 1e-8 / 3) <= bar < 1e-11
    g, *_ = one("erf(x)", [0.0, 1e-200, 1e-10])
    assert np.all(np.abs(g - 2 / np.sqrt(np.pi)) < 1e-12)
    assert np.isnan(one("sin(x)*abs(x)", 1e200)[0])  # no difference can resolve it, and none is made up


# ---- kinks, jumps, ends of the domain ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "x", "left", "right"),
    [
        ("abs(x)", 0.0, -1, 1),
        ("abs(x-0.3)", 0.3, -1, 1),
        ("maximum(x,0)", 0.0, 0, 1),
        ("where(x>1,2*x,x+1)", 1.0, 1, 2),
        ("clip(x,0,1)", 1.0, 1, 0),
        ("sqrt(x**2)", 0.0, -1, 1),
        ("abs(x)+exp(x)", 0.0, 0, 2),
        ("abs(x-1e-10)*1e10", 1e-10, -1e10, 1e10),
    ],
)
def test_a_kink_has_two_slopes(text: str, x: float, left: float, right: float) -> None:
    g, bar, outcome, low, high = one(text, x)
    assert outcome == "kink"
    assert low == pytest.approx(left, rel=1e-6, abs=1e-9) and high == pytest.approx(right, rel=1e-6, abs=1e-9)
    assert g == pytest.approx((left + right) / 2, rel=1e-6, abs=1e-9)
    assert g - bar <= min(left, right) and g + bar >= max(left, right)


@pytest.mark.parametrize(
    ("text", "x"), [("floor(x)", 2.0), ("sign(x)*x+sign(x)", 0.0), ("where(x>0,log(abs(x)),0)", 0.0)]
)
def test_a_jump_is_no_derivative(text: str, x: float) -> None:
    g, bar, outcome, *_ = one(text, x)
    assert outcome == "kink" and np.isnan(g) and bar == np.inf


@pytest.mark.parametrize(
    ("text", "x", "slope"),
    [
        ("sqrt(x)", 0.0, np.inf),
        ("cbrt(x)", 0.0, np.inf),
        ("arcsin(x)", 1.0, np.inf),
        ("arccos(x)", 1.0, -np.inf),
        ("log(x)", -1.0, np.nan),
        ("log(x)", 0.0, np.nan),
        ("1/x", 0.0, np.nan),
        ("sqrt(x)", -1.0, np.nan),
        ("abs(x)", np.nan, np.nan),
        ("arctan(x)*abs(x)", np.inf, np.nan),
        ("x**x", -2.0, np.nan),
    ],
)
def test_infinite_slopes_and_points_outside(text: str, x: float, slope: float) -> None:
    g, bar, outcome, *_ = one(text, x)
    assert outcome == "nonfinite" and bar == np.inf
    np.testing.assert_equal(g, slope)


def test_one_side_is_enough_at_the_end_of_a_domain() -> None:
    g, bar, outcome, left, _ = one("x**1.5", 0.0)
    assert abs(g) <= bar < 1e-15 and outcome == "ok" and np.isnan(left)
    g, bar, outcome, *_ = one("(1-x)**1.5+abs(x)", 1.0)
    assert abs(g - 1) <= bar < 1e-4 and outcome == "ok"


@pytest.mark.parametrize("method", ["auto", "richardson"])
@pytest.mark.parametrize(
    ("text", "slope"),
    [
        ("abs(x-0.3)", lambda x, s: s),
        ("abs(x-0.3)+x**2", lambda x, s: s + 2 * x),
        ("maximum(x,0.3)*x", lambda x, s: np.where(s > 0, 2 * x, 0.3)),
        ("where(x>0.3,x**2,0.09+x-0.3)", lambda x, s: np.where(s > 0, 2 * x, 1)),
        ("sign(x-0.3)*x", lambda x, s: s),
        ("relu(x-0.3)", lambda x, s: s > 0),
    ],
)
def test_beside_a_kink(text: str, slope: Callable, method: str) -> None:
    distance = 10.0 ** -np.arange(3, 13)
    x = 0.3 + np.concatenate([distance, -distance])
    g, bar, outcome, *_ = one(text, x, method)
    t = slope(x, np.sign(x - 0.3))
    promised = np.isfinite(bar)
    assert np.all(np.abs(g - t)[promised] <= bar[promised] + 1e-15)
    far = np.abs(x - 0.3) > 1e-9
    assert set(outcome[far]) == {"ok"} and np.all(np.abs(g - t)[far] <= 1e-5)


def test_one_sided_slopes_on_demand() -> None:
    tape = record(parse("exp(x)"))
    left, right, left_bars, right_bars = ENGINE.program(tape, [0]).one_sided(NUMPY, [0.0])
    assert abs(left[0][0] - 1) <= left_bars[0][0] < 1e-8 and abs(right[0][0] - 1) <= right_bars[0][0] < 1e-8


# ---- shapes -----------------------------------------------------------------------------------------------------------
def arrays() -> tuple[list, list, dict[str, Any]]:
    w, v, s = variable("W", (3, 4)), variable("v", (4,)), variable("s")
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.normal(size=(2, 1))]
    return [w, v, s], values, {
        "scalar": F.sum(F.tanh(w @ v)) + F.max(w) + F.logsumexp(v) + F.norm(v) + F.prod(v),
        "vector": F.sigmoid(w @ v) * s,
        "linear": w @ v,
        "analytic": F.prod(w, axis=0) * F.exp(v) + F.mean(w) * s,
        "matrix": F.maximum(w, s),
        "concatenated": F.concatenate([v, v * s]),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(arrays()[2]))
@pytest.mark.parametrize("batch", [study.BATCH, 1])
def test_shapes_and_loop_dims(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, values, made = arrays()
    if batch == 1:
        values = [values[0], values[1][:1], values[2]]
        monkeypatch.setattr(study, "BATCH", 2**14)
    tape = record(made[name], variables)
    (outputs, expected), found = (
        engine("reverse").program(tape, [0, 1, 2]).on(NUMPY)(values),
        ENGINE.program(tape, [0, 1, 2]).examine(NUMPY, values),
    )
    np.testing.assert_array_equal(outputs[0], found.outputs[0])
    for g, blocks in zip(expected[0], zip(found.blocks[0], found.bars[0], found.outcome[0], strict=True), strict=True):
        block, bar, outcome = blocks
        assert g.shape == block.shape == bar.shape == outcome.shape
        assert np.all(np.abs(g - block) <= bar + 1e-15 * np.abs(g))


def test_batches_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 50))
    whole = examine("abs(x)*sin(y)", x, y)
    monkeypatch.setattr(study, "BATCH", 2**10)
    parts = examine("abs(x)*sin(y)", x, y)
    for a, b in zip([*whole.blocks[0], *whole.bars[0]], [*parts.blocks[0], *parts.bars[0]], strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_outputs_and_no_points() -> None:
    y = variable("y")
    tape = record([y > 1, F.floor(y), F.exp(y), y * 0 + 2], [y], labels="abcd")
    found = ENGINE.program(tape, [0]).examine(NUMPY, [1.5])
    assert [float(b[0]) for b in found.blocks] == [0, 0, pytest.approx(np.exp(1.5), rel=1e-14), 0]
    found = ENGINE.program(tape, [0]).examine(NUMPY, [np.empty((0, 3))])
    assert found.blocks[2][0].shape == (0, 3)


def test_given_arrays_are_filled_and_inputs_kept() -> None:
    tape, x = record(parse("abs(x)*y")), np.array([1.0, -2.0])
    run = ENGINE.program(tape, [0, 1]).on(NUMPY)
    out = [np.empty(2) for _ in range(3)]
    x.flags.writeable = False
    outputs, blocks = run([x, 3.0], out)
    for buffer, result in zip(out, [*outputs, *blocks[0]], strict=True):
        np.testing.assert_array_equal(buffer, result)


def test_float32_is_differentiated_in_double() -> None:
    x = variable("x", (), "float32")
    tape, at = record(F.abs(F.sin(x * 3) * x), [x]), np.array([0.3, 0.5], np.float32)
    found, z = ENGINE.program(tape, [0]).examine(NUMPY, [at]), at.astype(float)
    g, bar, t = found.blocks[0][0], found.bars[0][0], np.sin(3 * z) + 3 * z * np.cos(3 * z)
    assert g.dtype == np.float32 and found.outputs[0].dtype == np.float32
    assert np.all(np.abs(g - t) <= bar) and np.all(bar < 1e-6)


def test_integers_take_part_but_are_not_differentiated_by() -> None:
    x, n = variable("x"), variable("n", (), "int64")
    tape = record(x * n, [x, n])
    assert ENGINE.program(tape, [0]).examine(NUMPY, [1.5, 3]).blocks[0][0] == 3
    with pytest.raises(DtypeError, match="'n' is int64"):
        ENGINE.program(tape, [1])


# ---- rules are not believed -------------------------------------------------------------------------------------------
@pytest.fixture
def temporary() -> Any:
    """Registers operations for one test."""
    names: list[str] = []

    def register(name: str, function: Callable, **fields: Any) -> Callable:
        publish(define(name, 1, name, function, **fields))
        names.append(name)
        return getattr(F, name)

    yield register
    for name in names:
        TABLE.remove(name)


@pytest.mark.parametrize("factor", [2.0, 1 + 1e-11, 0.0])
def test_a_wrong_rule_does_not_bend_the_answer(temporary: Callable, factor: float) -> None:
    for name, analytic in (("sine_wrong_a", True), ("sine_wrong_b", False)):
        wrong = temporary(name, np.sin, analytic=analytic, partials=lambda o, out, x: (factor * o.cos(x),))
        x, z = variable("x"), np.array([0.5, -1.0, 2.0, 0.3])
        found = ENGINE.program(record(wrong(x) * x, [x]), [0]).examine(NUMPY, [z])
        error = np.abs(found.blocks[0][0] - np.sin(z) - z * np.cos(z))
        assert np.all(error <= found.bars[0][0]) and np.all(found.bars[0][0] < 1e-11)


def test_no_rule_is_needed(temporary: Callable) -> None:
    bump = temporary("bump", lambda x: np.exp(-x * x) * np.sin(3 * x) + np.abs(x))
    x, z = variable("x"), np.array([0.5, -1.0, 2.0, 0.0])
    found = ENGINE.program(record(bump(x) * 2, [x]), [0]).examine(NUMPY, [z])
    t = 2 * (np.exp(-z * z) * (3 * np.cos(3 * z) - 2 * z * np.sin(3 * z)) + np.sign(z))
    assert np.all(np.abs(found.blocks[0][0] - t) <= found.bars[0][0]) and np.all(found.bars[0][0][:3] < 1e-9)
    assert list(found.outcome[0][0]) == ["ok", "ok", "ok", "kink"]


# ---- methods and costs ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "least", "most"),
    [("forward", 1e-12, 1e-6), ("central", 0, 1e-9), ("richardson", 0, 1e-12), ("complex", 0, 1e-15)],
)
def test_methods(method: str, least: float, most: float) -> None:
    g, bar, outcome, *_ = one("exp(sin(x))", [0.7, 1.1], method)
    x = np.array([0.7, 1.1])
    error = np.abs(g - np.exp(np.sin(x)) * np.cos(x))
    assert np.all(error <= bar) and np.all(error <= most) and np.all(error >= least)
    assert set(outcome) == {"ok"}


def test_a_method_is_chosen_where_it_applies() -> None:
    found = examine("abs(x)*exp(y)", 0.5, 0.7)
    assert [str(m) for m in found.method[0]] == ["richardson", "complex"]
    with pytest.raises(UnsupportedError, match="no complex step by 'x': abs"):
        Finite("complex").program(record(parse("abs(x)*exp(y)")), [0, 1])
    with pytest.raises(UnsupportedError, match="no method"):
        Finite("magic")
    with pytest.raises(UnsupportedError, match="chooses its own steps"):
        Finite("richardson", step=1e-3)


def test_a_given_step_is_taken() -> None:
    g, *_ = (Finite("central", step=0.1).program(record(parse("x**3")), [0]).on(NUMPY)([1.0])[1][0][0],)
    assert g == pytest.approx(3 + 0.01, rel=1e-12)


class Counting:
    """The numpy machine, counting points."""

    name = "counting"

    def __init__(self) -> None:
        self.points = 0

    def compile(self, tape: Tape) -> Callable:
        run = NUMPY.compile(tape)

        def counted(values: Sequence[Any], out: Any = None) -> list[np.ndarray]:
            outputs = run(values, out)
            self.points += outputs[0].size
            return outputs

        return counted


@pytest.mark.parametrize(
    ("text", "method"),
    [("abs(x)*y", "richardson"), ("sin(x)*y", "richardson"), ("sin(x)*y", "central"), ("sin(x)+y", "forward")],
)
def test_evaluations_are_counted(text: str, method: str) -> None:
    counting, tape = Counting(), record(parse(text))
    program = Finite(method).program(tape, [0, 1])
    expected = program.evaluations
    program.on(counting)([np.linspace(1, 2, 10), 3.0])  # type: ignore[arg-type]
    assert program.evaluations == counting.points / 10 >= expected - 1
    if method in ("forward", "central"):
        assert program.evaluations == expected == {"forward": 5, "central": 9}[method]


def test_the_complex_step_costs_one_evaluation_a_variable() -> None:
    assert examine("sin(x)*y*exp(z)", 0.1, 0.2, 0.3).evaluations == 4


# ---- second derivatives -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text", ["sin(x)*y**2+exp(x/y)", "x**2*y", "(1-x)**2+100*(y-x**2)**2", "erf(x*y)*log(x)", "x*y"]
)
def test_second_derivatives(text: str) -> None:
    tape, rng = record(parse(text)), np.random.default_rng(5)
    values = [rng.uniform(0.5, 2, 8) for _ in range(2)]
    exact = engine("forward").program(gradient_only(engine("reverse").program(tape, [0, 1])), [0, 1])
    (first, second), bars = exact.on(NUMPY)(values), exact.bars(NUMPY, values)
    found = second_program(tape, [0, 1]).examine(NUMPY, values)
    for i in range(2):
        np.testing.assert_allclose(found.outputs[i], first[i], rtol=1e-9)
        for j in range(2):
            error = np.abs(found.blocks[i][j] - second[i][j])
            assert np.all(error <= found.bars[i][j] + bars[i][j])
            assert np.all(error <= 1e-6 * np.maximum(np.abs(second[i][j]), np.abs(first[i] / values[j])))


def test_second_derivatives_of_arrays() -> None:
    w, s = variable("w", (3,)), variable("s")
    tape = record(F.sum(F.tanh(w * w)) * s, [w, s])
    values = [np.array([[0.1, 0.2, 0.3], [1, -1, 0.5]]), np.array([[2.0], [3.0], [4.0]])]
    found = second_program(tape, [0, 1]).examine(NUMPY, values)
    exact = (
        engine("forward").program(gradient_only(engine("reverse").program(tape, [0, 1])), [0, 1]).on(NUMPY)(values)[1]
    )
    for row, expected in zip(found.blocks, exact, strict=True):
        for block, g in zip(row, expected, strict=True):
            assert block.shape == g.shape
            np.testing.assert_allclose(block, g, atol=1e-10)
