"""Tracing: a plain Python function is called once with expressions in the place of numbers.

Arguments may be nested dicts, lists, tuples and named tuples of numbers and arrays (`optree`). A Python int, bool, string or None
is not traced but handed on as it is, so that it can count loops and choose branches.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree

from ..errors import ArgumentError, DtypeError, Place, TracingError
from .calling import called
from .collector import paused
from .node import Expr, free_variables, variable
from .operands import as_expr

#: numbers for the variables of traces, by which they are told apart
uids = itertools.count(1)
#: numbers of the traces that are going on: a variable of any other has leaked
_open: ContextVar[frozenset[int]] = ContextVar("open traces", default=frozenset())


@contextmanager
def going_on(variables: Iterable[Expr]) -> Iterator[None]:
    """While a function is called with these variables, what it calls may use them."""
    token = _open.set(_open.get() | {v.kind.kwargs["uid"] for v in variables})
    try:
        yield
    finally:
        _open.reset(token)


def check_leaks(captured: Iterable[Expr], function: Callable) -> None:
    """TracingError if a result depends on a variable of a trace that is over."""
    for v in captured:
        if v.kind.kwargs["uid"] > 0 and v.kind.kwargs["uid"] not in _open.get():
            raise TracingError(
                f"the result of {_name(function)} depends on {v.name!r}, which has a value only inside a function that diffkit "
                "called before (the step of a scan, a checkpointed or mapped function, another function that was "
                "differentiated). Return it from there, for instance as y of the step, instead of keeping it in a list or attribute"
            )


def is_traced(leaf: Any) -> bool:
    """Numbers with a point and arrays are traced; ints, bools, strings and None are not."""
    return isinstance(leaf, (float, np.ndarray, np.floating, Expr)) or (
        hasattr(leaf, "__array__") and not isinstance(leaf, (np.integer, np.bool_))
    )


def is_leaf(node: Any) -> bool:
    """An Expr has a length and items, but is one leaf."""
    return isinstance(node, Expr)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    leaves, structure = optree.tree_flatten(tree, is_leaf=is_leaf, none_is_leaf=True)
    return leaves, structure


def names_of(tree: Any, prefix: str) -> list[str]:
    """A readable name for every leaf: `x`, `params.w`, `layers[0].b`."""
    paths, _, _ = optree.tree_flatten_with_path(tree, is_leaf=is_leaf, none_is_leaf=True)
    return [prefix + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path) for path in paths]


def parameter_names(function: Callable, count: int) -> list[str]:
    """The names of a function's positional parameters; arg0, arg1, … where it has none to tell."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (names + [f"arg{i}" for i in range(len(names), count)])[:count]


@dataclass(eq=False)
class Traced:
    """What a call with expressions gave."""

    inputs: list[Expr]
    outputs: list[Expr]
    structure: Any
    #: variables of an enclosing trace that the function closed over
    captured: list[Expr]


def signature(leaf: Any) -> tuple:
    """What of an argument a trace depends on: shape and dtype of a traced one, the value of another."""
    if isinstance(leaf, Expr):
        return (leaf.shape, leaf.dtype)
    if is_traced(leaf):
        array = np.asarray(leaf)
        return (array.shape, array.dtype.str)
    return ("static", type(leaf).__name__, leaf)


def symbol_for(leaf: Any, name: str, uid: int) -> Expr:
    if isinstance(leaf, Expr):
        return variable(name, leaf.shape, leaf.dtype, uid)
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"the argument {name!r} has dtype {array.dtype}; diffkit works on real numbers")
    dtype = (
        "float32"
        if array.dtype == np.float32 or array.dtype == np.float16
        else {"f": "float64", "b": "bool"}.get(array.dtype.kind, "int64")
    )
    return variable(name, array.shape, dtype, uid)


def trace_call(function: Callable, args: Sequence[Any], *, fresh: bool = True) -> Traced:
    """Call `function` with expressions for all traced leaves of `args`."""
    uid = next(uids) if fresh else 0
    inputs: list[Expr] = []
    symbolic = []
    for arg, name in zip(args, parameter_names(function, len(args)), strict=True):
        leaves, structure = flatten(arg)
        made = []
        for leaf, leaf_name in zip(leaves, names_of(arg, name), strict=True):
            symbol = symbol_for(leaf, leaf_name, uid) if is_traced(leaf) else leaf
            if isinstance(symbol, Expr):
                inputs.append(symbol)
            made.append(symbol)
        symbolic.append(optree.tree_unflatten(structure, made))
    with paused(), going_on(inputs):
        result = called(function, symbolic)
        leaves, structure = flatten(result)
        outputs = [_output(leaf, function) for leaf in leaves]
        own = set(map(id, inputs))
        captured = [v for v in free_variables(*outputs) if id(v) not in own]
    check_leaks(captured, function)
    return Traced(inputs, outputs, structure, captured)


def _name(function: Callable) -> str:
    return getattr(function, "__name__", "the function")


def _output(leaf: Any, function: Callable) -> Expr:
    try:
        return as_expr(leaf)
    except (DtypeError, TypeError, ValueError):
        raise TracingError(
            f"{_name(function)} returned a {type(leaf).__name__}; it must return numbers, arrays or nests of them",
            where=Place.definition(function),
        ) from None


def trace(function: Callable, *example_args: Any) -> Expr:
    """A Python function written against NumPy (or dk) as an expression.

    `example_args` give shapes and dtypes only. Variables carry the names of the parameters (`params.w` for an entry of a dict).
    Values are best given by these names: as of every expression, positions are those of first appearance in the formula.
    Raises TracingError where the function needs a value that is not known yet, as in `if x > 0`.
    """
    if not callable(function):
        raise ArgumentError(f"trace takes a Python function, not {type(function).__name__}")
    traced = trace_call(function, example_args, fresh=False)
    if (
        len(traced.outputs) != 1
        or not isinstance(traced.structure, optree.PyTreeSpec)
        or not traced.structure.is_leaf()
    ):
        raise ArgumentError(
            "trace makes one expression; the function returns several. Return one array, or use dk.grad and the like"
        )
    return traced.outputs[0]
