"""Tapes: how they print, count, share, fold, get registers, are lowered, saved and loaded."""

import base64
import json
import os
import stat

import numpy as np
import pytest
from helpers import NUMPY, cases, each, run
from helpers_arrays import array_cases

import diffkit as dk
from diffkit.engines.engine import float_dtype
from diffkit.errors import ArgumentError, DataError
from diffkit.expr.node import constant, variable
from diffkit.ops import CONSTANT, TABLE
from diffkit.tape import Builder, expressions, load_tape, record
from diffkit.tape.lower import lower

pytestmark = pytest.mark.filterwarnings("error")

x, y = dk.symbols("x y")
LECTURE = dk.parse("(exp(x1/x2) + x1/x2) * (x1/x2 - log(x2))")


# ---- as text ------------------------------------------------------------------------------------------------------
LECTURE_VALUE = """\
v0 = input x1
v1 = input x2
v2 = v0 / v1
v3 = exp(v2)
v4 = v3 + v2
v5 = log(v1)
v6 = v2 - v5
v7 = v4 * v6
value -> v7
6 instructions: 1 div, 2 elementary, 2 add, 1 mul"""

LECTURE_REVERSE = """\
 v0 = input x1
 v1 = input x2
 v2 = v0 / v1
 v3 = exp(v2)
 v4 = v3 + v2
 v5 = log(v1)
 v6 = v2 - v5
 v7 = v4 * v6
 v8 = -v4
 v9 = v8 / v1
v10 = v4 + v6
v11 = v6 * v3
v12 = v10 + v11
v13 = v12 / v1
v14 = v13 * v2
v15 = v9 - v14
value -> v7
d/dx1 -> v13
d/dx2 -> v15
14 instructions: 3 div, 2 elementary, 6 add, 3 mul"""


def test_the_lectures_example_prints():
    assert str(dk.tape(LECTURE)) == LECTURE_VALUE
    assert str(dk.tape(LECTURE, engine="reverse")) == LECTURE_REVERSE
    assert repr(dk.tape(LECTURE)) == "<Tape of 6 instructions: x1, x2 -> value>"


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_the_lectures_numbers(engine):
    t = dk.tape(LECTURE, engine=engine)
    value, by_x1, by_x2 = (v.item() for v in run(t, 0.5, 1.0))
    r = 0.5
    assert value == pytest.approx((np.exp(r) + r) * r, rel=1e-15)
    assert by_x1 == pytest.approx((np.exp(r) + 1) * r + np.exp(r) + r, rel=1e-15)
    assert by_x2 == pytest.approx(-r * by_x1 - (np.exp(r) + r), rel=1e-15)
    assert [round(v, 5) for v in (value, by_x1, by_x2)] == [1.07436, 3.47308, -3.88526]


def test_the_tape_of_a_scalar_gradient_is_scalar():
    """A seed of one scalar direction is the number 1, and folds away."""
    for engine in ("forward", "reverse"):
        t = dk.tape(LECTURE, engine=engine)
        assert all(k.shape == () for k in t.kinds), engine
        assert t.counts()["total"] < 25


def test_printing_of_arrays_constants_and_parameters():
    W, v = dk.symbol("W", (2, 3)), dk.symbol("v", 3, "float32")
    shown = str(dk.tape(dk.sum(dk.step(W @ np.ones(3), 0.5, at=0.0)) + v[1] ** 3))
    for line in (
        "= input W    float64[2, 3]",
        "= input v    float32[3]",
        "array[3, 1]",
        ", 0.5, at=0.0)    float64[2]",
        "** 3",
        "value -> ",
    ):
        assert line in shown
    assert str(record(constant(2.5))) == "value -> 2.5\n0 instructions"
    assert "index=…" in str(record(W[np.zeros(40, int)]))


def test_long_tapes_are_cut_in_the_middle():
    f = x
    for k in range(1000):
        f = dk.sin(f) + k
    shown = str(record(f)).splitlines()
    assert len(shown) < 450 and any("more lines" in line for line in shown)


# ---- counting -----------------------------------------------------------------------------------------------------
def test_counts_by_class_count_elements():
    X, Y = dk.symbol("X", (3, 4)), dk.symbol("Y", (4, 2))
    assert dk.tape(LECTURE).counts() == {"div": 1, "elementary": 2, "add": 2, "mul": 1, "total": 6}
    assert record(X * 2 + X).counts() == {"mul": 12, "add": 12, "total": 24}
    assert record(X.T).counts() == {"move": 12, "total": 0}
    assert record(dk.tanh(X @ Y)).counts() == {"matmul": 6, "elementary": 6, "total": 12}
    assert record(x).counts() == {"total": 0} and len(record(x)) == 0


def test_equal_instructions_are_written_once():
    f = dk.sin(x * y) + dk.sin(x * y) ** 2
    assert len(record(f)) == 4
    builder = Builder()
    a = builder.input("a", (), "float64")
    assert builder.emit(TABLE["sin"], (), (a,)) == builder.emit(TABLE["sin"], (), (a,))
    assert builder.input("a", (), "float64") == a != builder.input("a", (), "float32")


# ---- folding ------------------------------------------------------------------------------------------------------
def _one():
    return variable("x")


FOLDS = [
    (lambda x: x * 1, 0), (lambda x: 1.0 * x, 0), (lambda x: x / 1, 0), (lambda x: x - 0, 0), (lambda x: x**1, 0),
    (lambda x: dk.negative(-x), 0),
    (lambda x: dk.where(True, x, 3.0), 0), (lambda x: dk.where(False, 3.0, x), 0), (lambda x: dk.where(x > 0, x, x), 0),
    (lambda x: (constant(2) + 3) * x, 1), (lambda x: dk.exp(constant(1.0)) * x, 1), (lambda x: x * -1, 1),
]  # fmt: skip
STAYS = [
    (lambda x: 0 * x, 1), (lambda x: x + 0, 1), (lambda x: x - (-0.0), 1), (lambda x: x * 0.0 + 1, 2),
    (lambda x: x - x, 1), (lambda x: x / x, 1),
    (lambda x: x * (constant(1.0) / 0), 3), (lambda x: x + dk.log(constant(-1.0)), 3), (lambda x: x**0, 1), (lambda x: 0 / x, 1),
]  # fmt: skip


@pytest.mark.parametrize(("build", "instructions"), [*FOLDS, *STAYS])
def test_folding_keeps_every_value(build, instructions):
    """As written and as recorded: the same bits at every special value; and as many instructions as the rules leave."""
    f, special = build(x), np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 5e-324, 1e308])
    folded, written = record(f, [x]), record(f, [x], as_written=True)
    assert len(folded) == instructions
    (a,), (b,) = run(folded, special), run(written, special)
    np.testing.assert_array_equal(a, b)
    numbers = ~np.isnan(a)
    np.testing.assert_array_equal(np.signbit(a[numbers]), np.signbit(b[numbers]))


def test_x_times_minus_one_is_a_negation_and_a_stretching_one_is_not_dropped():
    assert [k.op.name for k in record(x * -1).kinds] == ["variable", "negative"]
    f = x * np.ones(3)
    assert f.shape == (3,) and run(record(f), 2.0)[0].shape == (3,)


def test_constants_that_are_not_finite_stay_instructions():
    t = record(constant(1) / 0 + x)
    assert [k.op.name for k in t.kinds if k.op is not CONSTANT] == ["variable", "divide", "cast", "add"]
    assert record(constant(2) / 4 + x).counts() == {"add": 1, "total": 1}


def test_large_constant_arrays_are_not_folded():
    small, large = constant(np.ones(8)), constant(np.ones(1000))
    assert len(record(small * 2 + x)) == 1
    assert len(record(large * 2 + x)) == 2


def test_as_written_keeps_every_node():
    assert len(record((x * 1) + (constant(2) * 3), as_written=True)) == 3


def test_operands_are_brought_to_one_dtype():
    s, i = variable("s", (), "float32"), variable("i", (), "int64")
    for f in (s * x, s + i, i * x, dk.where(s > 0, s, x), dk.maximum(s, np.float64(2)), s < x):
        t = record(f)
        for k, kind in enumerate(t.kinds):
            if kind.op.family == "elementwise" and kind.op.name != "cast":
                numbers = t.args[k][1:] if kind.op.name == "where" else t.args[k]
                assert len({t.kinds[a].dtype for a in numbers} - {"weak"}) == 1, str(t)


# ---- record and expressions ---------------------------------------------------------------------------------------
def test_inputs_keep_the_order_given_used_or_not():
    z = dk.symbol("z")
    t = record(y * 2, [z, x, y], ["twice"])
    assert t.names == ("z", "x", "y") and t.labels == ("twice",)
    np.testing.assert_array_equal(run(t, 0.0, 0.0, 3.0)[0], 6.0)
    with pytest.raises(ArgumentError, match=r"'y'.*inputs"):
        record(x * y, [x])


def test_several_outputs_share_their_parts():
    t = record([dk.sin(x), dk.sin(x) * y, x])
    assert len(t) == 2 and len(t.outputs) == 3
    assert [v.item() for v in run(t, 0.5, 2.0)] == [np.sin(0.5), 2 * np.sin(0.5), 0.5]


@each(cases())
def test_expressions_of_a_recorded_operation_are_the_expression(case):
    f = case.expression()
    (back,) = expressions(record(f, case.variables("float64"), as_written=True))
    assert back is f


@pytest.mark.parametrize("case", array_cases(), ids=lambda c: c.id)
def test_expressions_of_a_recorded_array_operation_are_the_expression(case):
    f = case.build(*case.inputs("float64"))
    assert expressions(record(f, case.inputs("float64"), as_written=True))[0] is f


def test_expressions_with_other_inputs():
    t = record(dk.sin(x) * y)
    assert expressions(t, [y, x])[0] is dk.sin(y) * x
    assert expressions(t, {t.inputs[0]: x + 1})[0] is dk.sin(x + 1) * y


# ---- identities ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "written, simplified",
    [(x / 4, x * 0.25), (x / -0.5, x * -2), (x + -y, x - y), (-x + y, y - x), (x - -y, x + y), (-x * -y, x * y), (-x * 3, x * -3),
     (2.5 * -y, -2.5 * y)],
    ids=str,
)  # fmt: skip
def test_identities_keep_every_bit(written, simplified):
    made, plain = record(written, [x, y]), record(simplified, [x, y])
    assert made.kinds == plain.kinds and made.args == plain.args
    special = [0.0, -0.0, 1.5, -3.0, 5e-324, 1e308, np.inf, -np.inf, np.nan]
    xs, ys = (np.array(v) for v in zip(*[(p, q) for p in special for q in special], strict=True))
    with np.errstate(all="ignore"):
        one, other = run(record(written, [x, y], as_written=True), xs, ys)[0], run(made, xs, ys)[0]
    same = (one == other) & (np.signbit(one) == np.signbit(other)) | np.isnan(one) & np.isnan(other)
    assert same.all()


@pytest.mark.parametrize("kept", [x / 3, x / 5e-324, 0 * x, x + 0, -(x - y), -x * y], ids=str)
def test_what_would_change_a_bit_is_kept(kept):
    assert len(record(kept)) == len(record(kept, as_written=True))


# ---- lowering -----------------------------------------------------------------------------------------------------
@each([c for c in cases() if c.op.lower is not None])
def test_lowering_ends_in_primitives(case):
    """Nothing is left that has another lowered form: lowering again changes nothing."""
    once = lower(case.tape("float64"))
    twice = lower(once)
    assert list(once.kinds) == list(twice.kinds) and once.args == twice.args
    assert once.names == case.tape("float64").names and once.outputs != ()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@each([c for c in cases() if c.op.lower is not None])
def test_lowering_keeps_shape_and_dtype(case, dtype):
    tape = case.tape(dtype)
    lowered = lower(tape)
    (before,), (after,) = ([t.kinds[o] for o in t.outputs] for t in (tape, lowered))
    assert (float_dtype(after), after.shape) == (before.dtype, before.shape)


def test_lowering_only_what_is_needed():
    tape = record(dk.sigmoid(x) + dk.softplus(x))
    partly = lower(tape, lambda kind: kind.op.name == "sigmoid")
    names = {k.op.name for k in partly.kinds}
    assert "softplus" in names and "sigmoid" not in names
    assert lower(record(x + y)).kinds == record(x + y).kinds


def test_lowering_keeps_labels_and_order():
    tape = dk.tape("sigmoid(x)*y", engine="reverse")
    lowered = lower(tape)
    assert lowered.labels == tape.labels and lowered.names == tape.names
    np.testing.assert_allclose(run(lowered, 0.3, 2.0), run(tape, 0.3, 2.0), rtol=1e-15)


# ---- files --------------------------------------------------------------------------------------------------------
SAVED = [
    dk.tape(LECTURE), dk.tape(LECTURE, engine="reverse"), record(constant([0.1, -0.0, np.nan, np.inf]) * x),
    record(x**0.1 + 1e-300),
    record(dk.symbol("W", (3, 4), "float32")[..., [0, 2]].sum(axis=0) * dk.step(x, 0, at=0.25)),
    dk.tape(dk.sum(dk.tanh(dk.symbol("A", (3, 2)) @ np.ones(2))), engine="reverse"), record([x, y * True, dk.where(x > 0, x, y)]),
    record(dk.symbol("λ̄ \n\"quoted\"") * 2), record(constant(3.5)),
]  # fmt: skip


@pytest.mark.parametrize("tape", SAVED, ids=range(len(SAVED)))
def test_a_saved_tape_comes_back_the_same(tape, tmp_path):
    path = tmp_path / "tape.json"
    tape.save(path)
    back = dk.load_tape(path)
    assert list(back.kinds) == list(tape.kinds) and list(back.args) == list(tape.args)  # the very same kinds
    assert (back.inputs, back.outputs, back.labels, str(back)) == (tape.inputs, tape.outputs, tape.labels, str(tape))
    values = [
        np.random.default_rng(0).uniform(0.5, 1, tape.kinds[i].shape).astype(tape.kinds[i].dtype) for i in tape.inputs
    ]
    for a, b in zip(run(back, *values), run(tape, *values), strict=True):
        assert a.tobytes() == b.tobytes()


def _damaged(edit):
    """The file of the lecture's reverse tape after an edit of its data."""

    def write(path):
        dk.tape(LECTURE + dk.symbol("u", 2)[0] ** 0.5, engine="reverse").save(path)
        data = json.loads(path.read_text())
        edit(data)
        path.write_text(json.dumps(data))

    return write


def _named(data, name):
    return next(row for row in data["kinds"] if row[0] == name)


def _drop(key):
    return lambda data: data.pop(key)


def _set(key, value):
    return lambda data: data.__setitem__(key, value)


def _constant(value):
    def edit(data):
        data["kinds"].append(["constant", [["value", value]], [], "float64"])
        data["values"].append([len(data["kinds"]) - 1])
        data["outputs"].append(len(data["values"]) - 1)

    return edit


DAMAGE = {
    "empty": lambda p: p.write_text(""),
    "not JSON": lambda p: p.write_text("v0 = input x"),
    "cut off": lambda p: (dk.tape(LECTURE).save(p), p.write_text(p.read_text()[:-40])),
    "binary": lambda p: p.write_bytes(b"\x00\xff\xfe" * 100),
    "another thing": lambda p: p.write_text("[1, 2, 3]"),
    "another format": lambda p: p.write_text('{"format": "recipe", "version": 1}'),
    "too deep": lambda p: p.write_text("[" * 200_000),
    "a folder": lambda p: p.mkdir(),
    "missing": lambda p: None,
    "another version": _damaged(_set("version", 99)),
    **{f"no {key}": _damaged(_drop(key)) for key in ("kinds", "values", "inputs", "outputs", "labels")},
    **{f"{key} is a number": _damaged(_set(key, 3)) for key in ("kinds", "values", "inputs", "outputs", "labels")},
    "unknown operation": _damaged(lambda d: _named(d, "exp").__setitem__(0, "no_such")),
    "unknown dtype": _damaged(lambda d: _named(d, "exp").__setitem__(3, "float128")),
    "wrong dtype": _damaged(lambda d: _named(d, "exp").__setitem__(3, "float32")),
    "wrong shape": _damaged(lambda d: _named(d, "exp").__setitem__(2, [3])),
    "negative shape": _damaged(lambda d: _named(d, "variable").__setitem__(2, [-3])),
    "forward reference": _damaged(lambda d: d["values"][3].__setitem__(1, 9)),
    "reference to itself": _damaged(lambda d: d["values"][3].__setitem__(1, 3)),
    "negative reference": _damaged(lambda d: d["values"][3].__setitem__(1, -1)),
    "fractional reference": _damaged(lambda d: d["values"][3].__setitem__(1, 1.5)),
    "kind out of range": _damaged(lambda d: d["values"][3].__setitem__(0, 999)),
    "kind by a negative number": _damaged(lambda d: d["values"][-1].__setitem__(0, -1)),
    "too few operands": _damaged(lambda d: next(v for v in d["values"] if len(v) == 3).pop()),
    "too many operands": _damaged(lambda d: next(v for v in d["values"] if len(v) == 3).append(0)),
    "no operands": _damaged(lambda d: d["values"].__setitem__(3, d["values"][3][:1])),
    "operands of a leaf": _damaged(lambda d: d["values"].insert(2, [0, 1])),
    "input out of range": _damaged(_set("inputs", [0, 1, 999])),
    "input is no number": _damaged(_set("inputs", [0, 1, "x"])),
    "input is not a variable": _damaged(_set("inputs", [0, 1, 2, 5])),
    "an input is missing": _damaged(_set("inputs", [0])),
    "output is a fraction": _damaged(_set("outputs", [1.5])),
    "output is negative": _damaged(_set("outputs", [-1])),
    "unknown parameter": _damaged(lambda d: _named(d, "exp")[1].append(["q", 1])),
    "missing parameter": _damaged(lambda d: _named(d, "pow").__setitem__(1, [])),
    "parameter of a wrong type": _damaged(lambda d: _named(d, "pow").__setitem__(1, [["p", "two"]])),
    "name is no text": _damaged(lambda d: _named(d, "variable").__setitem__(1, [["name", 3], ["uid", 0]])),
    "constant is text": _damaged(_constant("two")),
    "constant overflows": _damaged(_constant({"f": "0x1p+5000"})),
    "constant of a wrong size": _damaged(
        _constant({"t": ["array", {"t": [3]}, {"b": base64.b64encode(b"1234").decode()}]})
    ),
    "constant in bad base64": _damaged(_constant({"b": "%%%"})),
    "constant of an unknown tag": _damaged(_constant({"z": 1})),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_a_data_error(kind, tmp_path):
    path = tmp_path / "tape.json"
    DAMAGE[kind](path)
    with pytest.raises(DataError, match=r"tape\.json"):
        load_tape(path)


def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "folder" / "tape.json"
    dk.tape(LECTURE).save(path)
    before = path.read_text()

    def broken(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        dk.tape("x*y").save(path)
    assert path.read_text() == before and list(path.parent.iterdir()) == [path]


def test_a_saved_file_has_ordinary_permissions(tmp_path):
    path, plain = tmp_path / "tape.json", tmp_path / "plain"
    dk.tape(LECTURE).save(str(path))
    plain.write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_deep_tape_is_saved_and_loaded(tmp_path):
    f = x
    for _ in range(20_000):
        f = dk.sin(f)
    record(f).save(tmp_path / "deep.json")
    assert len(load_tape(tmp_path / "deep.json")) == 20_000


def test_the_numpy_machine_is_named():
    assert NUMPY.name == "numpy" and NUMPY.compile(record(x)).register_bytes >= 8
