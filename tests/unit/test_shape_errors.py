"""Errors that name the user's line: shapes that do not fit, and Python that asks a traced value for a number."""

import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import DtypeError, ShapeError, TracingError

W, b = dk.symbol("W", (3, 4)), dk.symbol("b", (5,))


def raised(action, error=ShapeError):
    with pytest.raises(error) as info:
        action()
    return info.value


def product(x):
    return np.sum(W @ x)  # the product


def layers(x):
    h = np.tanh(x) * 2
    return np.sum(h + np.ones(7))  # the sum


def test_the_operation_both_shapes_and_the_line():
    problem = raised(lambda: product(b))
    assert "matmul" in str(problem) and "(3, 4)" in str(problem) and "(5,)" in str(problem)
    assert problem.where.file == __file__ and problem.where.function == "product"
    assert problem.where.source == "return np.sum(W @ x)  # the product"
    assert problem.where.line == product.__code__.co_firstlineno + 1
    start, end = problem.where.columns
    assert problem.where.source[start:end] == "W @ x"
    shown = str(problem).splitlines()
    assert shown[-3] == f"  at {__file__}:{problem.where.line}, in product" and shown[-1].strip() == "^^^^^"


def test_an_elementwise_operation_names_the_axis_the_operands_and_a_remedy():
    problem = raised(lambda: W + b)
    message = str(problem)
    assert "add: core shapes (3, 4) and (5,) do not fit: axis -1 has lengths 4 and 5" in message
    assert "operands are W, b" in message and "reshape" in message
    assert "axis -2 has lengths 3 and 2" in str(raised(lambda: W * dk.symbol("V", (2, 4))))


@pytest.mark.parametrize("transform", [dk.grad, dk.jacobian, dk.hessian, dk.value_and_grad])
def test_within_a_traced_function(transform):
    problem = raised(lambda: transform(layers, machine="numpy")(np.ones(5)))
    assert problem.where.function == "layers" and "# the sum" in problem.where.source
    assert "(5,)" in str(problem) and "(7,)" in str(problem)


def test_in_trace_vmap_and_nested_transforms():
    def outer(x):
        return np.sum(dk.vmap(layers)(x))

    for action in (
        lambda: dk.trace(layers, np.ones(5)),
        lambda: dk.vmap(layers, machine="numpy")(np.ones((2, 5))),
        lambda: dk.grad(outer, machine="numpy")(np.ones((2, 5))),
        lambda: dk.grad(lambda x: np.sum(dk.grad(layers)(x)), machine="numpy")(np.ones(5)),
    ):
        assert raised(action).where.function == "layers"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: np.add(W, b), "add"),
        (lambda: np.concatenate([W, W.T]), "concatenate"),
        (lambda: np.stack([W, b]), "stack"),
        (lambda: np.outer(W, b) - W, "subtract"),
        (lambda: np.inner(W, b), "inner"),
        (lambda: W.reshape(5, 5), "reshape"),
        (lambda: W.sum(axis=2), "sum"),
        (lambda: W[:, [9]], "indexing"),
        (lambda: np.where(W > 0, W, b), "where"),
        (lambda: np.broadcast_to(W, (4, 3)), "broadcast_to"),
        (lambda: np.tensordot(W, b, 1), "tensordot"),
    ],
)
def test_every_way_of_writing_it(action, words):
    problem = raised(action)
    assert words in str(problem) and problem.where.file == __file__ and problem.where.function == "<lambda>"
    assert str(problem).count("  at ") == 1  # also where one function raised it again for another


def test_arguments_show_loop_and_core():
    x, y = dk.symbols("x y")
    problem = raised(lambda: (x * y)(x=np.ones(2), y=np.ones(3), machine="numpy"))
    assert "loop (2,) · core ()" in str(problem) and problem.where.file == __file__
    problem = raised(lambda: dk.sum(W)(W=np.ones((4, 3)), machine="numpy"))
    assert "'W' has core shape (3, 4)" in str(problem) and "loop () · core (4, 3)" in str(problem)


def test_a_multi_line_expression_is_marked_in_its_first_line():
    problem = raised(lambda: np.inner(
        W,
        b,
    ))  # fmt: skip
    start, end = problem.where.columns
    assert problem.where.source[start:end] == "np.inner("


def test_unusual_text_in_the_line():
    problem = raised(lambda: [(β := b), W + β])
    start, end = problem.where.columns
    assert problem.where.source[start:end] == "W + β"


def test_the_place_survives_pickling():
    problem = raised(lambda: W + b)
    again = pickle.loads(pickle.dumps(problem))
    assert again.where == problem.where and str(again) == str(problem)


def test_without_a_file_there_is_still_a_line(tmp_path: Path):
    code = "import diffkit as dk\ndk.symbol('v', (3,)) + dk.symbol('w', (4,))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "at <string>:2, in <module>" in done.stderr
    script = tmp_path / "model.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert f"at {script}:2, in <module>\n    dk.symbol('v', (3,)) + dk.symbol('w', (4,))" in done.stderr


def test_the_command_line_names_no_line():
    code = "from diffkit.cli import main\nmain()"
    command = [sys.executable, "-c", code, "grad", "x*y", "--at", "x=1,2", "y=1,2,3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "  at " not in done.stderr


# ---- values that are not known yet ------------------------------------------------------------------------------------
def branches(x):
    if x > 0:
        return x
    return -x


def loops(x):
    while x < 10:
        x = x * 2
    return x


ASKING = {
    "if": (branches, ("dk.where", "dk.cond")),
    "while": (loops, ("dk.scan", "dk.cond")),
    "and": (lambda x: x > 0 and x < 1, ("dk.where", "&")),
    "or": (lambda x: x > 0 or x, ("dk.where", "|")),
    "not": (lambda x: not x, ("dk.where", "~")),
    "max": (lambda x: max(x, 0.0), ("np.maximum",)),
    "assert": (lambda x: [x][0] if bool(x == 1.0) else x, ("dk.where",)),
    "float": (lambda x: float(x), ("np.sin, not math.sin", "dk.where", "dk.cond")),
    "math": (lambda x: math.exp(x), ("float()", "math.sin")),
    "int": (lambda x: int(x), ("dk.floor", "dk.where", "dk.cond")),
    "range": (lambda x: sum(range(x)), ("range()", "dk.scan")),
    "list index": (lambda x: [1.0, 2.0][x], ("dk.take",)),
    "round": (lambda x: round(x), ("dk.round",)),
    "asarray": (lambda x: np.asarray(x, dtype=float), ("np.asarray", "dk.where", "dk.cond", "dk.scan")),
    "array": (lambda x: np.array([x, 1.0], float), ("float64",)),
}


@pytest.mark.parametrize("name", ASKING)
def test_what_needs_a_number_names_the_line_and_what_to_write(name):
    function, words = ASKING[name]
    problem = raised(lambda: dk.grad(function)(0.5), TracingError)
    assert all(w in str(problem) for w in words), str(problem)
    assert problem.where.file == __file__ and problem.where.function == function.__name__
    assert isinstance(problem, TypeError)


def test_assignment_in_place():
    def f(x):
        x[0] = 1.0
        return np.sum(x)

    problem = raised(lambda: dk.grad(f)(np.ones(3)), TracingError)
    assert problem.where.source == "x[0] = 1.0" and "dk.where" in str(problem)


def test_arrays_of_expressions_are_built_but_large_ones_are_not_taken_apart():
    def rotated(t, v):
        return np.sum(np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) @ np.asarray(v))

    t, v = 0.3, np.array([1.0, 2.0])
    got = dk.grad(rotated, machine="numpy")(t, v)
    assert got == pytest.approx(-np.sin(t) * 1 - np.cos(t) * 2 + np.cos(t) * 1 - np.sin(t) * 2)
    problem = raised(lambda: dk.grad(lambda x: np.sum(np.asarray(x)))(np.ones((50, 50))), TracingError)
    assert "2,500 elements" in str(problem) and "np.stack" in str(problem)


def test_a_dtype_that_does_not_do_names_the_line():
    problem = raised(lambda: dk.grad(lambda n: np.sum(n * 2.0))(np.arange(3)), DtypeError)
    assert problem.where.file == __file__
