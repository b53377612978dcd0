"""Random expressions from the op table: engines agree, ways of calling agree, and every other form of the same function agrees."""

import numpy as np
import pytest
from helpers import NUMPY, engine_or_skip, run
from helpers_random import expressions, given_to, numeric_ops, points
from hypothesis import assume, given, settings

import diffkit as dk
from diffkit.engines.rounding import rounding_bound
from diffkit.errors import UnsupportedError
from diffkit.tape import expressions as tape_expressions
from diffkit.tape import load_tape, record

#: NumPy warns where generated source divides by zero, and so on; the answers are compared
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def value_and_bar(f, at):
    tape = record(f)
    values = given_to(f, at)
    (value,), (bar,) = run(tape, *values), rounding_bound(tape, values).entries
    return np.broadcast_to(value, (3,)), np.broadcast_to(bar, (3,))


def gradient_and_bars(f, at, engine):
    program = engine_or_skip(engine).program(record(f), range(len(f.variables)))
    _, (blocks,) = program.on(NUMPY)(given_to(f, at))
    return blocks, program.bars(NUMPY, given_to(f, at))[0]


def agree(one, other, allowed):
    """Where both are finite (overflow on the way is no disagreement), within what both allow."""
    good = np.isfinite(one) & np.isfinite(other) & np.isfinite(allowed)
    assert np.all(np.abs(one - other)[good] <= allowed[good]), (one, other, allowed)
    return good.any()


@given(expressions(), points())
@settings(max_examples=250)
def test_forward_and_reverse_agree_within_their_bars(f, at):
    assume(f.variables and np.isfinite(value_and_bar(f, at)[0]).all())
    for d, e, a, b in zip(*gradient_and_bars(f, at, "forward"), *gradient_and_bars(f, at, "reverse"), strict=True):
        agree(d, a, e + b)


@pytest.mark.parametrize("engine", ["symbolic", "finite"])
@given(f=expressions(most=5), at=points())
@settings(max_examples=60)
def test_the_other_engines_agree_with_reverse(engine, f, at):
    assume(f.variables and np.isfinite(value_and_bar(f, at)[0]).all())
    try:
        found, bars = gradient_and_bars(f, at, engine)
    except UnsupportedError as reason:
        assert str(reason)
        return
    for d, e, a, b in zip(found, bars, *gradient_and_bars(f, at, "reverse"), strict=True):
        agree(d, a, e + b)


@given(expressions(), points())
@settings(max_examples=100)
def test_one_point_and_many_agree(f, at):
    assume(f.variables)
    many, bar = value_and_bar(f, at)
    slopes, slope_bars = gradient_and_bars(f, at, "reverse")
    for k in range(3):
        alone = {name: values[k] for name, values in at.items()}
        agree(np.asarray(f(given_by_name(f, alone), machine="numpy")), many[k], bar[k])
        one = dk.grad(f, machine="numpy")(given_by_name(f, alone))
        for name, d, e in zip(f.variables, slopes, slope_bars, strict=True):
            agree(np.asarray(one[name]), np.broadcast_to(d, (3,))[k], 2 * np.broadcast_to(e, (3,))[k])


def given_by_name(f, at):
    return {name: at[name] for name in f.variables}


@given(expressions(most=12))
@settings(max_examples=250)
def test_text_reads_back_to_the_same_object(f):
    assert dk.parse(f.to_text()) is f


@given(expressions(most=6), points())
@settings(max_examples=60)
def test_sympy_and_back_keeps_values(f, at):
    value, bar = value_and_bar(f, at)
    assume(np.isfinite(value).all())
    try:
        back = dk.from_sympy(f.to_sympy())
    except UnsupportedError as reason:
        assert str(reason)
        return
    agree(value, *_plus(value_and_bar(back, at), bar))
    # SymPy multiplies a rational into a sum when it is given one: 180·(1 + x) is 180 + 180·x the next time, and stays so
    again = dk.from_sympy(back.to_sympy())
    agree(value, *_plus(value_and_bar(again, at), bar))
    assert dk.from_sympy(again.to_sympy()) is again


def _plus(pair, bar):
    return pair[0], pair[1] + bar


@given(expressions(), points())
@settings(max_examples=60)
def test_a_saved_tape_runs_the_same(tmp_path_factory, f, at):
    path = tmp_path_factory.mktemp("tapes") / "tape.json"
    tape = dk.tape(f, engine="reverse") if f.variables else record(f)
    tape.save(path)
    for a, b in zip(run(tape, *given_to(f, at)), run(load_tape(path), *given_to(f, at)), strict=True):
        np.testing.assert_array_equal(a, b)


@given(expressions(), points())
@settings(max_examples=100)
def test_a_tape_read_back_as_an_expression_has_the_same_values(f, at):
    (back,) = tape_expressions(record(f))
    values = {name: at[name] for name in f.variables}
    agree(value_and_bar(f, at)[0], *value_and_bar(back, {**at, **values}))
    assert tape_expressions(record(f, as_written=True))[0] is f


@given(expressions(most=6), points())
@settings(max_examples=60)
def test_generated_source_has_the_same_values(f, at):
    namespace: dict = {}
    exec(f.to_source("numpy"), namespace)
    value, bar = value_and_bar(f, at)
    agree(np.asarray(namespace["f"](*given_to(f, at)), float) + np.zeros(3), value, 2 * bar)


@given(expressions(most=5), points())
@settings(max_examples=40)
def test_second_derivatives_agree(f, at):
    assume(f.variables and np.isfinite(value_and_bar(f, at)[0]).all())
    name = f.variables[0]
    values = given_by_name(f, at)
    one, other = (dk.hessian(f, wrt=name, engine=e, machine="numpy")(values) for e in ("forward", "reverse"))
    slope = dk.derivative(f, name)
    if name not in slope.variables:
        np.testing.assert_array_equal(one, 0.0)
        return
    (bar,) = gradient_and_bars(slope, at, "forward")[1][slope.variables.index(name)][None]
    agree(np.broadcast_to(one, (3,)), np.broadcast_to(other, (3,)), 20 * np.broadcast_to(bar, (3,)))


def test_the_strategy_covers_the_table():
    """Every operation that the table has, and makes a number of scalars, is drawn from."""
    names = {op.name for op in numeric_ops()}
    assert {"where", "polygamma", "arctan2", "clip", "power", "sigmoid"} <= names and len(names) > 50
