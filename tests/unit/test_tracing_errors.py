"""What cannot be done with an expression is told in few lines: the place in the user's code, what is wrong, what to write."""

import math
import pickle

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.special
import scipy.stats

import diffkit as dk
from diffkit.errors import (
    ArgumentError,
    DtypeError,
    LocatedError,
    MissingAttributeError,
    OpError,
    ShapeError,
    TracingError,
    UnsupportedCallError,
)

SPD = 2 * np.eye(3)


class Thing:
    pass


def raised(function, error=LocatedError):
    """What differentiating a function of three numbers raises."""
    with pytest.raises(error) as info:
        dk.grad(function, machine="numpy")(np.array([1.0, 2.0, 3.0]))
    return info.value


def marked(problem):
    """The part of the user's line that the carets mark."""
    start, end = problem.where.columns
    return problem.where.source[start:end] or problem.where.source


# ---- writing into arrays of numbers ------------------------------------------------------------------------------------
def item(x):
    b = np.zeros(3)
    b[0] = x[0]
    return b.sum()


def all_items(x):
    b = np.zeros(3)
    b[:] = x
    return b.sum()


def one_more(x):
    b = np.zeros(3)
    b[1] += x[0]
    return b.sum()


def in_place(x):
    b = np.zeros(3)
    b += x
    return b.sum()


def in_a_step(x):
    def step(c, v):
        b = np.zeros(3)
        b[2] = v
        return c + b.sum(), None

    return dk.scan(step, 0.0, x)[0]


def in_a_checkpoint(x):
    @dk.checkpoint
    def f(v):
        b = np.zeros(3)
        b[2] = v[0]
        return b.sum()

    return f(x)


def in_a_branch(x):
    def f(v):
        b = np.zeros(3)
        b[2] = v[0]
        return b.sum()

    return dk.cond(x[0] > 0, f, np.sum, x)


def in_an_inner_gradient(x):
    return dk.grad(item)(x).sum()


def in_a_mapped_function(x):
    return dk.vmap(lambda row: item(row))(np.outer(x, x)).sum()


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (item, "b[0] = x[0]"),
        (all_items, "b[:] = x"),
        (one_more, "b[1] += x[0]"),
        (in_place, "b += x"),
        (in_a_step, "b[2] = v"),
        (in_a_checkpoint, "b[2] = v[0]"),
        (in_a_branch, "b[2] = v[0]"),
        (in_an_inner_gradient, "b[0] = x[0]"),
        (in_a_mapped_function, "b[0] = x[0]"),
    ],
)
def test_writing_into_an_array_names_the_line_that_writes(function, line):
    problem = raised(function, TracingError)
    assert problem.where.source == line and problem.where.file == __file__
    assert "np.stack" in str(problem) or "y = y + x" in str(problem)


def test_errors_of_the_users_own_pass_as_they_are():
    class MineError(ValueError):
        pass

    def f(x):
        raise MineError("mine")

    with pytest.raises(MineError, match=r"^mine$"):
        dk.grad(f)(np.ones(3))
    with pytest.raises(ValueError, match="setting an array element"):  # of numbers alone
        dk.grad(lambda x: np.sum(x * np.array([[1.0, 2.0], [3.0]])))(np.ones(3))
    with pytest.raises(np.linalg.LinAlgError):
        dk.grad(lambda x: np.sum(x @ np.linalg.inv(np.zeros((3, 3)))))(np.ones(3))
    with pytest.raises(ValueError, match=r"[Ii]ncompatible"):
        dk.grad(lambda x: np.sum(x * scipy.linalg.solve(SPD, np.ones(4))))(np.ones(3))


# ---- calls ---------------------------------------------------------------------------------------------------------------
CALLS = [
    # indices
    (lambda x: x[x[0]], "x[x[0]]", UnsupportedCallError, "int64"),
    (lambda x: x[x > 0].sum(), "x[x > 0]", UnsupportedCallError, "dk.where(mask, x, other)"),
    (lambda x: np.take(x, x), "np.take(x, x)", UnsupportedCallError, "take: an expression of dtype float64"),
    (lambda x: x["a"], 'x["a"]', DtypeError, "an index is made of integers"),
    (lambda x: x[7], "x[7]", ShapeError, "indexing x of core shape (3,): index 7 is out of bounds for axis 0"),
    (lambda x: x[0, 1], "x[0, 1]", ShapeError, "indexing x of core shape (3,): too many indices"),
    (lambda x: np.take(x, [9]), "np.take(x, [9])", ShapeError, "take: indexing x of core shape (3,): index 9"),
    # functions that there are not
    (lambda x: np.linalg.eig(np.outer(x, x)), "np.linalg.eig(np.outer(x, x))",
     UnsupportedCallError, "numpy.linalg.eig is not"),
    (lambda x: np.linalg.cond(np.outer(x, x)), "np.linalg.cond(np.outer(x, x))",
     UnsupportedCallError, "numpy.linalg.cond is not"),
    (lambda x: np.fft.fft(x), "np.fft.fft(x)", UnsupportedCallError, "numpy.fft.fft is not an operation"),
    (lambda x: np.unique(x), "np.unique(x)",
     UnsupportedCallError, "numpy.unique is not an operation of diffkit on expressions: the length"),
    (lambda x: np.fill_diagonal(np.outer(x, x), 1), "np.fill_diagonal(np.outer(x, x), 1)",
     UnsupportedCallError, "dk.scatter_add"),
    (lambda x: np.frexp(x), "np.frexp(x)", UnsupportedCallError, "numpy.frexp is not an operation"),
    (lambda x: np.add.accumulate(x), "np.add.accumulate(x)", UnsupportedCallError, "np.cumsum"),
    (lambda x: scipy.special.gammainc(2.0, x), "scipy.special.gammainc(2.0, x)",
     UnsupportedCallError, "scipy.special.gammainc is not"),
    # arguments that there are not
    (lambda x: np.exp(x, where=x > 0), "np.exp(x, where=x > 0)",
     UnsupportedCallError, "numpy.exp: the argument 'where' has no"),
    (lambda x: np.exp(x, dtype=np.float32), "np.exp(x, dtype=np.float32)", UnsupportedCallError, "'dtype'"),
    (lambda x: np.sum(x, dtype=float), "np.sum(x, dtype=float)",
     UnsupportedCallError, "sum: the argument 'dtype' has no meaning here"),
    (lambda x: np.concatenate([x, x], dtype=float), "np.concatenate([x, x], dtype=float)", UnsupportedCallError, "'dtype'"),
    (lambda x: np.sum(x, axis="a"), 'np.sum(x, axis="a")', ArgumentError, "sum: an axis is a whole number, not 'a'"),
    (lambda x: np.sum(x, axis=1.5), "np.sum(x, axis=1.5)", ArgumentError, "not 1.5"),
    (lambda x: dk.exp(x, foo=1), "dk.exp(x, foo=1)", ArgumentError, "unknown parameter 'foo'"),
    (lambda x: dk.exp(x, x), "dk.exp(x, x)", ArgumentError, "exp() takes 1 argument, 2 given"),
    (lambda x: np.quantile(x, 2.0), "np.quantile(x, 2.0)", ArgumentError, "quantile: q"),
    (lambda x: np.percentile(x, 101), "np.percentile(x, 101)",
     ArgumentError, "percentile: q is made of known numbers from 0 to 100"),
    (lambda x: x.astype("foo"), 'x.astype("foo")', DtypeError, "astype: a dtype is one of"),
    (lambda x: np.where(x > 0), "np.where(x > 0)", UnsupportedCallError, "numpy.where of a condition alone: the length"),
    (lambda x: np.linalg.eigh(np.outer(x, x), 3), "np.linalg.eigh(np.outer(x, x), 3)", UnsupportedCallError, "UPLO"),
    (lambda x: x[0.5:], "x[0.5:]", ArgumentError, "indexing: an end of a slice is a whole number, not 0.5"),
    (lambda x: x[: x[0]], "x[: x[0]]", TracingError, "Python int"),
    (lambda x: x[..., ...], "x[..., ...]", ShapeError, "only one ... can stand in an index"),
    (lambda x: np.reshape(x, (3.0, 1)), "np.reshape(x, (3.0, 1))", ArgumentError, "reshape: a length is a whole number, not 3.0"),
    (lambda x: np.transpose(x, (0.0,)), "np.transpose(x, (0.0,))", ArgumentError, "transpose: an axis is a whole number"),
    (lambda x: np.broadcast_to(x, (2.0, 3)), "np.broadcast_to(x, (2.0, 3))", ArgumentError, "broadcast_to: a length"),
    (lambda x: np.tile(x, 1.5), "np.tile(x, 1.5)", ArgumentError, "tile: a number of times"),
    (lambda x: np.split(x, 1.5), "np.split(x, 1.5)", ArgumentError, "split: the number of parts"),
    (lambda x: np.linalg.matrix_power(np.outer(x, x), 1.5), "np.linalg.matrix_power(np.outer(x, x), 1.5)", ArgumentError, "power"),
    # what is no number
    (lambda x: x % "a", 'x % "a"', DtypeError, "remainder: a str"),
    (lambda x: x + "a", 'x + "a"', DtypeError, "a str"),
    (lambda x: "a" * x, '"a" * x', DtypeError, "a str"),
    (lambda x: x + None, "x + None", DtypeError, "a NoneType"),
    (lambda x: x << 2, "x << 2", TracingError, "'Expr' and 'int'"),
    (lambda x: np.zeros(x[0]), "np.zeros(x[0])", TracingError, "Python int"),
    (lambda x: f"{x[0]:.3f}", "x[0]:.3f", TracingError, "The format '.3f' needs a number"),
    (lambda x: 1.0 if (x > 0).all() else x.sum(), "(x > 0).all()", TracingError, "dk.where"),
    (lambda x: len(x[0]), "len(x[0])", TracingError, "no length"),
    (lambda x: x.nbytes, "x.nbytes", MissingAttributeError, "no attribute 'nbytes'"),
    (lambda x: x.at[0].set(1.0), "x.at", MissingAttributeError, "dk.scatter_add"),
    # shapes
    (lambda x: np.outer(x, x) @ np.ones(4), "np.outer(x, x) @ np.ones(4)", ShapeError,
     "the last axis of the first has length 3, the only axis of the second 4. x.T and x.reshape(…) rearrange axes. The"),
    (lambda x: np.dot(x, np.ones(4)), "np.dot(x, np.ones(4))", ShapeError, "dot: core shapes (3,) and (4,) do not fit"),
    (lambda x: np.concatenate([np.outer(x, x), np.ones((2, 2))]), "np.concatenate([np.outer(x, x), np.ones((2, 2))])", ShapeError,
     "concatenate: core shapes (3, 3), (2, 2) differ beside axis 0"),
    (lambda x: np.hstack([x, np.ones((2, 2))]), "np.hstack([x, np.ones((2, 2))])",
     ShapeError, "hstack: core shapes (3,), (2, 2)"),
    (lambda x: np.split(x, 2), "np.split(x, 2)", ShapeError, "along axis 0"),
    (lambda x: np.repeat(x, [1, 2]), "np.repeat(x, [1, 2])", ShapeError, "axis 0"),
    (lambda x: np.median(x[:0]), "np.median(x[:0])", ShapeError, "median: core shape (0,) has no elements"),
    # SciPy's functions, which take numbers
    (lambda x: scipy.linalg.solve_triangular(SPD, x), "scipy.linalg.solve_triangular(SPD, x)", TracingError,
     "scipy.linalg.solve_triangular takes arrays of numbers, not expressions: write dk.solve_triangular"),
    (lambda x: scipy.linalg.cholesky(np.outer(x, x)), "scipy.linalg.cholesky(np.outer(x, x))",
     TracingError, "write dk.cholesky"),
    (lambda x: scipy.linalg.cho_solve((SPD, True), x), "scipy.linalg.cho_solve((SPD, True), x)",
     TracingError, "dk.solve_triangular"),
    (lambda x: scipy.special.logsumexp(x), "scipy.special.logsumexp(x)", TracingError, "write dk.logsumexp"),
    (lambda x: scipy.special.softmax(x), "scipy.special.softmax(x)", TracingError, "write dk.softmax"),
    (lambda x: scipy.stats.norm.logpdf(x), "scipy.stats.norm.logpdf(x)", TracingError, "logpdf takes arrays of numbers"),
    (lambda x: scipy.sparse.eye_array(3).tocsr() @ x, "scipy.sparse.eye_array(3).tocsr() @ x",
     TracingError, "A.toarray() @ x"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "call", "error", "words"), CALLS, ids=[c[1] for c in CALLS])
def test_a_call_names_its_line_and_what_to_write(function, call, error, words):
    problem = raised(function, error)
    assert words in str(problem), str(problem)
    assert marked(problem) == call or call in problem.where.source, str(problem)
    assert problem.where.file == __file__ and str(problem).count("  at ") == 1
    assert "PyTreeSpec" not in str(problem)


@pytest.mark.parametrize("name", ["eig", "eigvals", "cond"])
def test_outside_of_a_trace_too(name):
    with pytest.raises(UnsupportedCallError) as info:
        getattr(np.linalg, name)(dk.symbol("x", (2, 2)))
    assert info.value.where.function == "test_outside_of_a_trace_too"
    assert isinstance(info.value, dk.UnsupportedError)


# ---- loops and branches ----------------------------------------------------------------------------------------------------
def no_pair(c, v):
    return c + v


def nothing(c, v):
    pass


def doubled(c, v):
    return (c, c), None


def fewer(c, v):
    return {"a": c["a"]}, None


def of_things(c, v):
    return c, Thing()


LOOPS = [
    (lambda x: dk.scan(no_pair, x[0], x)[0],
     "no_pair", "must return a pair (carry, y), where y may be None; it returns an array"),
    (lambda x: dk.scan(nothing, x[0], x)[0], "nothing", "it returns None"),
    (lambda x: dk.scan(doubled, x[0], x)[0], "doubled", "it gets an array and returns (array, array)"),
    (lambda x: dk.scan(fewer, {"a": x[0], "b": 0.0}, x)[0]["a"],
     "fewer", "gets {'a': array, 'b': array} and returns {'a': array}"),
    (lambda x: dk.scan(of_things, x[0], x)[0], "of_things", "of_things returned a Thing"),
    (lambda x: dk.scan(lambda c: (c, None), x[0], x)[0], "<lambda>", "step(carry, x), and that fails"),
    (lambda x: dk.scan(3, x[0], x)[0], "<lambda>", "a function step(carry, x) -> (carry, y), not an array"),
    (lambda x: dk.scan(np.add, x[0])[0],
     "<lambda>", "Give xs, whose arrays have the steps along their first axis, or length="),
    (lambda x: dk.scan(no_pair, x[0], x, length=2.5)[0], "<lambda>", "length is a whole number, not 2.5"),
    (lambda x: dk.scan(lambda c, v: (c, v), x[0], x, checkpoints=0)[0], "<lambda>", "at least 1, not 0"),
    (lambda x: dk.cond(x[0] > 0, lambda: (x, x), lambda: x), "<lambda>", "one returns (array, array), the other an array"),
    (lambda x: dk.cond(x[0] > 0, lambda: x, lambda: None), "<lambda>", "one returns an array, the other None"),
    (lambda x: dk.cond(x[0] > 0, x, x), "<lambda>", "a branch is a function"),
    (lambda x: dk.cond(x[0] > 0, np.sum, lambda: x, x), "<lambda>", "cond calls both branches with 1 operand, and that fails"),
    (lambda x: dk.cond(x[0] > 0, lambda: x, lambda: "a"), "<lambda>", "returned a str"),
    (lambda x: Thing(), "<lambda>", "<lambda> returned a Thing"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "where", "words"), LOOPS)
def test_loops_and_branches_say_it_in_words_and_name_the_function(function, where, words):
    problem = raised(function)
    assert words in str(problem), str(problem)
    assert "PyTreeSpec" not in str(problem) and problem.where.file == __file__ and problem.where.function == where


def test_an_error_within_a_function_that_is_handed_on_keeps_its_line():
    def inner(v):
        return v + np.ones(7)

    problem = raised(lambda x: np.piecewise(x, [x > 0], [inner]).sum(), ShapeError)
    assert problem.where.function == "inner" and "add: core shapes" in str(problem)


# ---- the errors themselves --------------------------------------------------------------------------------------------------
def test_calls_of_transforms_and_records_are_located():
    with pytest.raises(ArgumentError) as info:
        dk.grad("x*y", wrt="x")(x=1.0)
    assert info.value.where.source == 'dk.grad("x*y", wrt="x")(x=1.0)'
    with pytest.raises(OpError) as info:
        dk.register_op("not an identifier", lower=lambda o, x: x)
    assert info.value.where.function == "test_calls_of_transforms_and_records_are_located"


def test_errors_survive_pickling():
    problem = raised(CALLS[0][0])
    again = pickle.loads(pickle.dumps(problem))
    assert again.where == problem.where and str(again) == str(problem)


def test_what_an_engine_cannot_do_names_no_line():
    found = dk.compare("x*stop_gradient(x)", at={"x": 2.0})["symbolic"]
    assert found.outcome == "unsupported" and "  at " not in str(found.reason)


def test_looking_for_an_attribute_is_no_error():
    x = dk.symbol("x", 3)
    assert not hasattr(x, "nbytes") and getattr(x, "foo", None) is None and not hasattr(x, "__cuda_array_interface__")


# ---- what works --------------------------------------------------------------------------------------------------------------
def test_text_without_a_format_shows_the_expression():
    x = dk.symbol("x")
    assert f"{x + 1}" == str(x + 1) == format(x + 1)


def test_stop_gradient_takes_nests():
    def f(p):
        q = dk.stop_gradient({"a": p["w"], "b": [p["w"], (2.0, None)]})
        return np.sum(p["w"] * q["a"]) + np.sum(q["b"][0]) + q["b"][1][0]

    w = np.array([1.0, -2.0])
    np.testing.assert_array_equal(dk.grad(f, machine="numpy")({"w": w})["w"], w)


def test_branches_of_python_ints_make_an_index():
    def f(x):
        return x[dk.cond(x[0] > 0, lambda: 1, lambda: 2)]

    x = np.array([1.0, 5.0, 7.0])
    for machine in ("numpy", "cpu"):
        np.testing.assert_array_equal(dk.grad(f, machine=machine)(x), [0, 1, 0])
        np.testing.assert_array_equal(dk.grad(f, machine=machine)(-x), [0, 0, 1])
    p = dk.symbol("p")
    assert dk.cond(p > 0, lambda: 1, lambda: 2).dtype == "int64"
    assert dk.cond(p > 0, lambda: 1, lambda: 2.5).dtype == "float64"
    assert dk.cond(p > 0, lambda: 1, lambda: dk.symbol("i", dtype="int64")).dtype == "int64"
    assert dk.cond(p > 0, lambda: 1.0, lambda: dk.symbol("y", dtype="float32")).dtype == "float32"


def test_numpys_arguments_count():
    """Each of these was once taken for another one."""
    x, X = dk.symbol("X", (2, 3)), np.arange(6.0).reshape(2, 3)

    def value(f):
        return f(X=X, machine="numpy")

    for order in ("C", "F", "A"):
        np.testing.assert_array_equal(value(np.reshape(x, (3, -1), order=order)), X.reshape(3, -1, order=order))
        np.testing.assert_array_equal(value(x.reshape(6, order=order)), X.reshape(6, order=order))
    cube = dk.symbol("C", (2, 3, 4))
    C = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(cube.reshape(4, 6, order="F")(C=C, machine="numpy"), C.reshape(4, 6, order="F"))
    for f in (np.zeros_like, np.ones_like):
        for how in ({}, {"shape": 2}, {"shape": (2, 1)}, {"dtype": int}, {"dtype": np.float32, "shape": (4,)}):
            made, expected = f(x, **how), f(X, **how)
            assert made.shape == expected.shape and made.dtype == expected.dtype
    assert np.empty_like(x).shape == (2, 3) and np.copy(x) is x and x.astype(float, copy=False) is x
    assert np.size(x, 1) == 3 and np.size(x) == 6
    with pytest.raises(UnsupportedCallError, match="reshape: the argument 'copy'"):
        np.reshape(x, 6, copy=True)


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
def test_the_length_of_nothing_has_a_gradient(machine):
    assert dk.grad(np.linalg.norm, machine=machine)(np.zeros(0)).shape == (0,)
    rows = dk.grad(lambda x: np.linalg.norm(x, axis=1).sum(), machine=machine)(np.zeros((2, 0)))
    assert rows.shape == (2, 0)
    assert np.isnan(dk.grad(np.linalg.norm, machine=machine)(np.array([math.nan, 1.0]))).all()


def test_names_are_for_users():
    names = dir(dk)
    assert {"percentile", "cond", "stop_gradient", "compare", "tape", "linalg", "grad"} <= set(names)
    assert all(hasattr(dk, n) for n in names)
    assert not {"Any", "sys", "import_module", "annotations", "make", "getitem", "apply", "holds_expr"} & set(names)
    for name in ("make", "holds_expr", "axes_of", "Callable", "publish"):
        with pytest.raises(AttributeError, match=f"diffkit has no name '{name}'"):
            getattr(dk, name)
