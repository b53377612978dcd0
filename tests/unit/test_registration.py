"""dk.register_op: one record, then it works in every engine, in text, on expressions and on arrays; nothing half-registered."""

import functools

import numpy as np
import pytest
from helpers import engine_or_skip

import diffkit as dk
from diffkit.errors import ArgumentError, OpError, UnsupportedError
from diffkit.expr import functions
from diffkit.ops import TABLE, Op

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("table")]

x, y = dk.symbols("x y")
ENGINES = ["forward", "reverse", "symbolic", "finite"]


def swish(o, x):
    return x * o.sigmoid(x)


def swish_slope(v):
    s = 1 / (1 + np.exp(-v))
    return s + v * s * (1 - s)


def test_lower_alone_is_enough():
    made = dk.register_op("swish", lower=swish, doc="x · sigmoid x")
    assert made(x) is dk.swish(x) is dk.parse("swish(x)") is x.swish()
    assert dk.parse(made(x).to_text()) is made(x)
    np.testing.assert_allclose(made(np.array([0.0, 1.0])), [0, 1 / (1 + np.exp(-1))], rtol=1e-15)
    assert made(x)(x=1.0, machine="numpy") == made(1.0)
    assert "x · sigmoid x" in made.__doc__


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fields", [{"lower": swish}, {"numpy": lambda x: x / (1 + np.exp(-x)), "partials": lambda o, out, x: (
    o.sigmoid(x) + out * o.sigmoid(-x),), "sympy": lambda s, x: x / (1 + s.exp(-x))}], ids=["lower", "partials"])  # fmt: skip
def test_every_engine_differentiates_it(fields, engine):
    engine_or_skip(engine)
    dk.register_op("swish", **fields)
    points = np.linspace(-3, 3, 7)
    found = dk.grad("swish(2*x)", wrt="x", engine=engine, machine="numpy")(x=points)
    np.testing.assert_allclose(found, 2 * swish_slope(2 * points), rtol=1e-14 if engine != "finite" else 1e-7)
    if engine != "finite":
        dk.hessian("swish(x)", wrt="x", engine=engine, machine="numpy")(x=0.3)


def test_an_operation_without_a_sympy_form_is_unsupported_by_the_symbolic_engine():
    engine_or_skip("symbolic")
    dk.register_op("mine", numpy=np.exp, arity=1, partials=lambda o, out, x: (out,))
    with pytest.raises(UnsupportedError, match="mine"):
        dk.grad("mine(x)", engine="symbolic", machine="numpy")(x=1.0)


@pytest.mark.parametrize("ufunc", [np.tanh, np.arctan2, np.hypot])
def test_a_ufunc_tells_its_own_number_of_arguments(ufunc):
    op = dk.register_op("mine", numpy=ufunc, partials=lambda o, out, *args: (out,) * len(args))
    assert TABLE["mine"].arity == ufunc.nin and callable(op)


def test_the_number_of_arguments_comes_from_the_rule():
    dk.register_op("three", lower=lambda o, a, b, c: a * b + c)
    dk.register_op("scaled", lower=lambda o, a, k: a * k, params={"k": 2.0})
    assert (TABLE["three"].arity, TABLE["scaled"].arity) == (3, 1)
    assert dk.grad("scaled(x, k=3) * x", wrt="x", machine="numpy")(x=2.0) == 12.0
    assert dk.scaled(x, k=5.0)(x=2.0, machine="numpy") == 10.0


def test_aliases_kinks_and_selects():
    dk.register_op(
        "leaky",
        aliases=("leaky_relu",),
        lower=lambda o, x: o.where(o.greater(x, 0), x, 0.1 * x),
        kinks=lambda o, x: (x,),
    )
    assert dk.leaky_relu(x) is dk.parse("leaky_relu(x)") is dk.leaky(x)
    np.testing.assert_array_equal(dk.grad("leaky(x)", wrt="x", machine="numpy")(x=np.array([-1.0, 2.0])), [0.1, 1.0])


INCOMPLETE = [
    (lambda: dk.register_op("not a name", lower=swish), r"identifier.*'not a name'"),
    (lambda: dk.register_op("mine"), r"mine: give lower=.*or numpy="),
    (lambda: dk.register_op("mine", numpy=np.exp, arity=1), r"mine: give partials="),
    (lambda: dk.register_op("exp", lower=swish), r"'exp' exists.*replace=True"),
    (lambda: dk.register_op("ln", lower=swish), r"'ln' exists"),
    (lambda: dk.register_op("mine", lower=swish, aliases=("sin",)), r"'sin' exists"),
    (lambda: dk.register_op("mine", lower=lambda o, x: o.no_such(x)), r"mine: lower fails on symbols.*no_such"),
    (lambda: dk.register_op("mine", lower=lambda o, x: float(x)), r"mine: lower fails on symbols.*float"),
    (lambda: dk.register_op("mine", lower=lambda o, x: "x"), r"mine: lower"),
    (lambda: dk.register_op("mine", lower=swish, partials=lambda o, out, x: (1, 2)), r"mine: partials must return a tuple of 1"),
    (lambda: dk.register_op("mine", lower=swish, partials=lambda o, out, x: x), r"mine: partials must return a tuple of 1"),
    (lambda: dk.register_op("mine", lower=swish, no_such_field=1), r"no_such_field"),
    (lambda: dk.register_op("mine", lower=swish, family="nonsense"), r"family"),
    (lambda: dk.register_op("mine", lower=swish, cost="nonsense"), r"cost"),
    *((lambda name=name: dk.register_op(name, lower=swish), name) for name in ("dot", "apply", "make", "np", "grad", "symbol")),
]  # fmt: skip


@pytest.mark.parametrize(("act", "message"), INCOMPLETE)
def test_what_is_incomplete_or_clashes_is_refused_and_leaves_no_trace(act, message):
    names, published = list(TABLE), dict(vars(functions))
    with pytest.raises(OpError, match=message):
        act()
    assert list(TABLE) == names
    assert dict(vars(functions)) == published


def test_replacing_replaces_everywhere():
    dk.register_op("mine", lower=lambda o, x: 2 * x)
    old = dk.mine(x)
    assert dk.parse("mine(x)") is old is functions.RULES.mine(x) is x.mine()
    dk.register_op("mine", lower=lambda o, x: 3 * x, replace=True)
    for made in (dk.mine(x), dk.parse("mine(x)"), functions.RULES.mine(x), x.mine(), functions.mine(x)):
        assert made is not old and made(x=1.0, machine="numpy") == 3.0
    assert dk.grad("mine(x)", wrt="x", machine="numpy")(x=1.0) == 3.0
    assert dk.mine(1.0) == 3.0


def test_replacing_with_something_wrong_keeps_the_old():
    dk.register_op("mine", lower=lambda o, x: 2 * x)
    with pytest.raises(OpError):
        dk.register_op("mine", lower=lambda o, x: o.no_such(x), replace=True)
    assert "mine" in TABLE and dk.parse("mine(x)")(x=1.0, machine="numpy") == 2.0


def test_replacing_by_an_alias_names_the_operation():
    with pytest.raises(OpError, match="log"):
        dk.register_op("ln", lower=lambda o, x: 2 * x, replace=True)
    assert dk.ln(x) is dk.log(x)


def test_a_removed_operation_is_unknown():
    dk.register_op("mine", lower=lambda o, x: 2 * x, aliases=("my_own",))
    TABLE.remove("mine")
    assert "mine" not in TABLE and "my_own" not in TABLE
    with pytest.raises(dk.ParseError, match="no function mine"):
        dk.parse("mine(x)")


def test_a_removed_name_is_free_again():
    dk.register_op("mine", lower=lambda o, x: 2 * x)
    TABLE.remove("mine")
    dk.register_op("mine", lower=lambda o, x: 3 * x)
    assert dk.mine(1.0) == 3.0 and dk.parse("mine(x)")(x=1.0, machine="numpy") == 3.0


def test_an_operation_without_a_rule_is_refused_when_differentiated():
    TABLE.add(Op(name="opaque", arity=1, doc="", numpy=np.abs))
    f = functions.RULES.opaque(x) * x
    assert f(x=-2.0, machine="numpy") == -4.0
    for engine in ("forward", "reverse"):
        with pytest.raises(UnsupportedError, match="'opaque' has no derivative rule"):
            dk.grad(f, engine=engine, machine="numpy")(x=1.0)


def test_a_wrong_number_of_arguments_is_named():
    dk.register_op("mine", lower=lambda o, a, b: a * b)
    with pytest.raises(ArgumentError, match=r"mine\(\) takes 2 arguments, 1 given"):
        dk.mine(x)
    with pytest.raises(dk.ParseError, match="mine takes 2 arguments"):
        dk.parse("mine(x)")


def test_a_rule_may_close_over_numpy_numbers():
    dk.register_op("mine", lower=functools.partial(lambda k, o, x: k * x, np.float64(2.0)))
    assert dk.grad("mine(x)", wrt="x", machine="numpy")(x=1.0) == 2.0
