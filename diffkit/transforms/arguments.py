"""Arguments of an expression: values by name, by position, or as one dict; and what evaluating one means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..expr.functions import as_expr
from ..expr.node import Expr, free_variables
from ..machines import machine as find_machine
from ..tape.record import expressions, record


def is_text_or_expr(f: Any) -> bool:
    return isinstance(f, (str, Expr))


def expression_of(f: Any) -> Expr:
    """An expression from an expression or text."""
    if isinstance(f, Expr):
        return f
    if isinstance(f, str):
        from ..expr.text import parse

        return parse(f)
    raise ArgumentError(f"an expression or text is needed here, not {type(f).__name__}")


def bind_names(variables: Sequence[str], args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, from positions, names, or one dict."""
    if len(args) == 1 and isinstance(args[0], Mapping) and not kwargs:
        given = dict(args[0])
    else:
        if len(args) > len(variables):
            raise ArgumentError(f"{len(args)} values for {len(variables)} variables ({', '.join(variables) or 'none'})")
        given = dict(zip(variables, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise ArgumentError(f"{name!r} is given twice, by position and by name")
            given[name] = value
    unknown = [n for n in given if n not in variables]
    if unknown:
        raise ArgumentError(
            f"the expression has no variable {unknown[0]!r}; its variables are {', '.join(variables) or '(none)'}"
        )
    missing = [n for n in variables if n not in given]
    if missing:
        raise ArgumentError(
            f"no value for {', '.join(repr(n) for n in missing)}; the variables are {', '.join(variables)}"
        )
    return given


def distinct_variables(f: Expr) -> list[Expr]:
    """The variables; two of one name with different shapes or dtypes cannot be told apart by name."""
    variables = list(free_variables(f))
    for name, count in Counter(v.name for v in variables).items():
        if count > 1:
            raise ArgumentError(
                f"two different variables are named {name!r} (another shape, dtype or trace); rename one"
            )
    return variables


@lru_cache(maxsize=512)
def _value_executable(f: Expr, machine: str) -> Callable:
    return find_machine(machine).compile(record(f, distinct_variables(f)))


def run_value(f: Expr, args: tuple, kwargs: Mapping[str, Any], machine: str = "cpu") -> Any:
    variables = free_variables(f)
    out = kwargs.pop("out", None) if isinstance(kwargs, dict) and "out" not in [v.name for v in variables] else None
    values = bind_names([v.name for v in variables], args, kwargs)
    ordered = [values[v.name] for v in variables]
    if any(isinstance(v, Expr) for v in ordered):
        return substitute(f, variables, ordered)
    (result,) = _value_executable(f, machine)(ordered, None if out is None else [out])
    return plain(result)


def substitute(f: Expr, variables: Sequence[Expr], values: Sequence[Any]) -> Expr:
    """The expression with other expressions (or constants) in the place of variables."""
    tape = record(f, variables, as_written=True)
    return expressions(tape, fitting(variables, [as_expr(v) for v in values]))[0]


def fitting(variables: Sequence[Expr], values: Sequence[Expr]) -> list[Expr]:
    for v, x in zip(variables, values, strict=True):
        if v.shape != x.shape:
            raise ShapeError(f"{v.name!r} has core shape {v.shape}, the expression given for it {x.shape}")
    return list(values)


def plain(array: Any) -> Any:
    """A zero-dimensional array as a NumPy scalar; anything else as it is."""
    return array[()] if isinstance(array, np.ndarray) and array.ndim == 0 else array
