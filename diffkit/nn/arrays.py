"""What is given to a function of this package: an expression or array as it is, a number or nested sequence as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..expr.node import Expr
from ..expr.operands import as_expr, holds_expr


def as_array(value: Any) -> Any:
    """The value with arithmetic and a shape: an Expr, an array of NumPy's, or a type with arithmetic of its own (a dual number)."""
    if isinstance(value, Expr) or hasattr(type(value), "__dk_apply__"):
        return value
    return as_expr(value) if holds_expr(value) else np.asarray(value)


def part_of(name: str, params: Any, what: str) -> Any:
    """One array of a layer's parameters; ArgumentError where they are no dict, or have none of that name."""
    if not isinstance(params, Mapping):
        raise ArgumentError(
            f"{name}: the parameters of a layer are a dict, one of those that init_… makes, not {type(params).__name__}"
        )
    if what not in params:
        raise ArgumentError(
            f"{name}: the parameters have no {what!r}; there are {', '.join(map(repr, params)) or 'none'}"
        )
    return as_array(params[what])


def check_spread(name: str, what: str, given: Any, x: Any, remedy: str) -> None:
    """ShapeError for what does not broadcast to x's own shape."""
    over = x.shape[x.ndim - given.ndim :]
    if given.ndim > x.ndim or any(n not in (1, m) for n, m in zip(given.shape, over, strict=True)):
        raise ShapeError(f"{name}: {what} of shape {given.shape} does not broadcast to x of shape {x.shape}; {remedy}")


def check_generator(name: str, rng: Any, x: Any) -> None:
    """ArgumentError for what gives no random numbers, and for numbers that a trace would freeze."""
    if not callable(getattr(rng, "random", None)):
        raise ArgumentError(f"{name}: rng is a numpy.random.Generator, such as np.random.default_rng(0), not {rng!r}")
    if isinstance(x, Expr) and isinstance(rng, np.random.Generator):
        raise ArgumentError(
            f"{name}: a traced function is run once, and numbers drawn in it would be the same in every call; take the `rng` that "
            "`fit` gives, or draw before the call and hand the numbers over as an argument"
        )
