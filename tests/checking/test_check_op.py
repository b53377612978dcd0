"""dk.check_op: right records pass, and of a wrong one the field is named."""

import json

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, OpError, UnsupportedError
from diffkit.machines.numpy import laned_inputs, run
from diffkit.ops import TABLE, Op

pytestmark = pytest.mark.usefixtures("table")

ELEMENTWISE = [op for op in TABLE.values() if op.family == "elementwise"]


def swish(o, x):
    return x * o.sigmoid(x)


# ---- the table ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_elementwise_operation_of_the_table_is_right(op):
    dk.check_op(op).raise_if_failed()


def test_every_array_operation_of_the_table_is_right_with_the_first_arguments_of_its_cases():
    seen = _structured(first_only=True)
    assert {op.name for op in TABLE.values() if op.family not in ("elementwise", "leaf")} <= seen


@pytest.mark.slow
def test_every_array_operation_of_the_table_is_right_with_all_arguments_of_its_cases():
    _structured(first_only=False)


def _structured(first_only):
    """Every instruction of the cases of the rule tests, at the operands that it has there."""
    from helpers_arrays import array_cases

    seen, names = set(), set()
    for case in array_cases():
        tape = case.tape()
        computed = run(tape, laned_inputs(tape, case.values())[0])
        for kind, args in zip(tape.kinds, tape.args, strict=True):
            key = kind.op.name if first_only else (kind, *(tape.kinds[a] for a in args))
            if args and kind.op.family != "elementwise" and key not in seen:
                seen.add(key)
                names.add(kind.op.name)
                at = tuple(np.asarray(computed[a][0]) for a in args)
                dk.check_op(kind.op, params=kind.kwargs, at=at).raise_if_failed()
    return names


# ---- what is wrong is named ---------------------------------------------------------------------------------------
x2 = {"numpy": lambda x: x * np.exp(-x), "sympy": lambda s, x: x * s.exp(-x)}
#: fields of a record, with the field that is wrong, the arguments it is wrong by, and what the mistake looks like
WRONG = {
    "a factor": ({**x2, "partials": lambda o, out, x: (2 * (1 - x) * o.exp(-x),)}, "partials", {"x"}, "factor"),
    "a small factor": ({**x2, "partials": lambda o, out, x: (1.0005 * (1 - x) * o.exp(-x),)}, "partials", {"x"}, "factor"),
    "the sign": ({**x2, "partials": lambda o, out, x: ((x - 1) * o.exp(-x),)}, "partials", {"x"}, "sign"),
    "a missing term": ({**x2, "partials": lambda o, out, x: (o.exp(-x),)}, "partials", {"x"}, "missing-term"),
    "zero": ({**x2, "partials": lambda o, out, x: (0.0,)}, "partials", {"x"}, "zero"),
    "no derivative": ({**x2, "partials": lambda o, out, x: (None,)}, "partials", {"x"}, "zero"),
    "NaN": ({**x2, "partials": lambda o, out, x: ((1 - x) * o.exp(-x) * o.log(-o.square(x)),)}, "partials", {"x"}, "nan-origin"),
    "swapped": ({"numpy": lambda x, y: x * x * y, "partials": lambda o, out, x, y: (o.square(x), 2 * x * y)},
                "partials", {"x", "y"}, "permuted"),
    "the second alone": ({"numpy": lambda x, y: x * x * y, "partials": lambda o, out, x, y: (2 * x * y, -o.square(x))},
                         "partials", {"y"}, "sign"),
    "far digits": ({**x2, "partials": lambda o, out, x: ((1 - x) * o.exp(-x) * (1 + 1e-10),)}, "partials", {"x"}, ""),
    "the lowered form": ({"numpy": lambda x: x / (1 + np.exp(-x)), "lower": lambda o, x: 1.0005 * x * o.sigmoid(x),
                          "partials": lambda o, out, x: (o.sigmoid(x) + out * o.sigmoid(-x),)}, "lower", set(), ""),
    "the SymPy form": ({**x2, "sympy": lambda s, x: x * s.exp(-2 * x), "partials": lambda o, out, x: ((1 - x) * o.exp(-x),)},
                       "sympy", set(), ""),
    "the kernel": ({"numpy": lambda x: x**3, "kernel": lambda k, x: x * x * x * 1.001,
                    "partials": lambda o, out, x: (3 * o.square(x),)}, "kernel", set(), ""),
    "a kernel for large numbers": (
        {"numpy": lambda x: x**3, "kernel": lambda k, x: k.select(x > 100.0, x * x, x * x * x),
         "partials": lambda o, out, x: (3 * o.square(x),)}, "kernel", set(), ""),
    "the NumPy function": ({"numpy": lambda x: x / (1 + np.exp(-2 * x)), "lower": swish, "sympy": lambda s, x: x / (1 + s.exp(-x))},
                           "numpy", set(), ""),
    "detached, unsaid": ({"numpy": np.positive, "arity": 1, "partials": lambda o, out, x: (None,)}, "partials", {"x"}, "zero"),
    "beside a kink": ({"numpy": np.abs, "arity": 1, "partials": lambda o, out, x: (2 * o.sign(x),), "kinks": lambda o, x: (x,)},
                      "partials", {"x"}, "factor"),
    "on one side": ({"numpy": lambda x: np.maximum(x, 0.1 * x),
                     "partials": lambda o, out, x: (o.where(o.greater(x, 0), 1.0, 0.2),)}, "partials", {"x"}, "factor"),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_field_is_named(how):
    fields, field, arguments, code = WRONG[how]
    if "kernel" in field:
        pytest.importorskip("numba")
    f = dk.register_op("mine", **fields)
    r = dk.check_op(f)
    assert not r and not r.ok
    assert {fault.field for fault in r.faults} == {field}, str(r)
    assert {a for fault in r.faults for a in fault.arguments} == arguments, str(r)
    assert r.faults[0].code == code, str(r)
    assert field in str(r) and not json.dumps(r.to_dict()).count("NaN")


@pytest.mark.parametrize("rule", ["jvp", "vjp"])
def test_a_wrong_structured_rule_is_named(rule):
    right = TABLE["sum"]
    fields = {f: getattr(right, f) for f in ("numpy", "family", "params", "shape", "jvp", "vjp")}
    rules = {
        "jvp": lambda o, tangents, out, x, **p: 2 * o.sum(tangents[0], **p),
        "vjp": lambda o, adjoint, out, x, **p: tuple(2 * a for a in right.vjp(o, adjoint, out, x, **p)),
    }
    TABLE.add(Op(name="my_sum", arity=1, doc="", **{**fields, rule: rules[rule]}))
    r = dk.check_op("my_sum", params={"axes": (-1,), "keepdims": False}, shapes=[(3,)])
    assert not r and r.faults[0].field == rule and "factor" in {f.code for f in r.faults}, str(r)


# ---- what is right passes -----------------------------------------------------------------------------------------
RIGHT = {
    "by its lowered form": {"lower": swish},
    "by partials": {"numpy": lambda x: x / (1 + np.exp(-x)), "partials": lambda o, out, x: (o.sigmoid(x) + out * o.sigmoid(-x),)},
    "with a SymPy form": {**x2, "partials": lambda o, out, x: ((1 - x) * o.exp(-x),)},
    "with a kink": {"lower": lambda o, x: o.where(o.greater(x, 0), x, 0.1 * x), "kinks": lambda o, x: (x,)},
    "with a kink, unsaid": {"lower": lambda o, x: o.where(o.greater(x, 0), x, 0.1 * x)},
    "detached": {"numpy": np.positive, "arity": 1, "partials": lambda o, out, x: (None,), "detached": True},
    "on an interval": {"numpy": np.arctanh, "arity": 1, "partials": lambda o, out, x: (1 / (1 - o.square(x)),),
                       "intervals": ((-1.0, 1.0),)},
    "of three arguments": {"lower": lambda o, a, b, c: a * b + o.exp(c)},
    "with a parameter": {"lower": lambda o, a, k: a * k, "params": {"k": 2.0}},
    "with cancellation": {"numpy": lambda x: np.log(np.cosh(x)), "partials": lambda o, out, x: (o.tanh(x),),
                          "sympy": lambda s, x: s.log(s.cosh(x)), "intervals": ((-20.0, 20.0),)},
}  # fmt: skip


@pytest.mark.parametrize("how", RIGHT)
def test_a_right_record_passes(how):
    r = dk.check_op(dk.register_op("mine", **RIGHT[how]))
    assert r, str(r)
    said = {"detached": "decreed", "with a kink": "convention", "with a kink, unsaid": "state kinks="}
    assert said.get(how, "") in " ".join(r.notes)


def test_points_and_parameters_may_be_given():
    f = dk.register_op("scaled", lower=lambda o, a, k: a * k, params={"k": 2.0})
    r = dk.check_op(f, params={"k": 3.0}, at={"a": np.array([1.0, 2.0])})
    assert r and r.params["k"] == 3.0 and r.rows[1].points == 2
    assert dk.check_op("matmul", shapes=[(2, 3), (3, 1)])
    assert dk.check_op("solve", at=(np.eye(2) * 3, np.ones((2, 2))))


def test_a_wrong_rule_at_a_given_point_alone():
    f = dk.register_op(
        "mine", numpy=lambda x: x * x, partials=lambda o, out, x: (o.where(o.greater(x, 50.0), x, 2 * x),)
    )
    assert not dk.check_op(f, at=60.0) and dk.check_op(f, at=40.0)


# ---- errors -------------------------------------------------------------------------------------------------------
def test_errors_say_what_to_do():
    with pytest.raises(OpError, match="no operation 'expp'; there is exp"):
        dk.check_op("expp")
    with pytest.raises(OpError, match=r"softmax is written with other operations.*check_gradient"):
        dk.check_op("softmax")
    with pytest.raises(OpError, match="leaf"):
        dk.check_op("variable")
    with pytest.raises(OpError, match=r"unknown parameter 'q'"):
        dk.check_op("exp", params={"q": 1})
    with pytest.raises(OpError, match=r"scan cannot be run.*\n.*params="):
        dk.check_op("scan")
    with pytest.raises(ArgumentError, match="hypot has 2 arguments; at= gives 1"):
        dk.check_op("hypot", at=1.0)
    dk.register_op("mine", numpy=lambda x: np.sqrt(-1 - x * x), partials=lambda o, out, x: (-x / out,))
    with pytest.raises(OpError, match="state intervals="):
        dk.check_op("mine")


def test_an_operation_without_a_rule_is_refused():
    TABLE.add(Op(name="opaque", arity=1, doc="", numpy=np.abs))
    with pytest.raises(UnsupportedError, match="'opaque' has no derivative rule: give it partials="):
        dk.check_op("opaque")


def test_conditions_are_compared_by_value_alone():
    r = dk.check_op("less")
    assert r and "no derivative" in " ".join(r.notes)
