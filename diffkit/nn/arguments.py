"""What is given to a function of this package: an expression or array as it is, a number or nested sequence as one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError
from ..expr.node import Expr
from ..expr.operands import as_expr, holds_expr


def as_array(value: Any, what: str = "an argument") -> Any:
    """The value with arithmetic and a shape: an Expr, an array of NumPy's, or a type with arithmetic of its own (a dual number).

    Raises ArgumentError for a result with its state beside it, ShapeError for rows of different lengths, DtypeError for what holds
    no numbers; `what` names the argument in all of them.
    """
    if isinstance(value, Expr) or hasattr(type(value), "__dk_apply__"):
        return value
    if isinstance(value, tuple) and len(value) == 2 and _is_state(value[1]):
        raise ArgumentError(
            f"{what} is an array, not a pair; batch_norm returns (y, state), and so do rnn, lstm and gru: take the first, y, _ = …"
        )
    if holds_expr(value):
        return as_expr(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(f"{what} is an array, not a nest whose parts have different shapes") from None
    strange = value is None or callable(value) or isinstance(value, Mapping)
    if array.dtype.kind in "USV" or (array.dtype.kind == "O" and strange):
        raise DtypeError(f"{what} is an array of numbers, not {told(value)}")
    return array


def _is_state(value: Any) -> bool:
    """Whether it is what batch_norm, or a recurrent net, gives beside its result."""
    return isinstance(value, Mapping) or (
        isinstance(value, list) and all(hasattr(v, "shape") or isinstance(v, tuple) for v in value)
    )


def told(value: Any) -> str:
    """A value in an error message: itself where it is short."""
    plain = value is None or isinstance(value, (str, bool, int, float, np.generic, type))
    return repr(value) if plain else "an array" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def part_of(name: str, params: Any, what: str) -> Any:
    """One array of a layer's parameters; ArgumentError where they are no dict, or have none of that name."""
    _check_layer(name, params)
    if what not in params:
        raise ArgumentError(
            f"{name}: the parameters have no {what!r}; there are {', '.join(map(repr, params)) or 'none'}"
        )
    return as_array(params[what], f"{name}: {what}")


def check_names(name: str, params: Any, known: tuple[str, ...]) -> None:
    """ArgumentError for a layer's parameters that the layer does not know, which it would leave out in silence."""
    _check_layer(name, params)
    if unknown := [k for k in params if k not in known]:
        raise ArgumentError(
            f"{name}: the parameters have {', '.join(map(repr, unknown))}, which it does not know; it knows "
            f"{', '.join(map(repr, known))}"
        )


def _check_layer(name: str, params: Any) -> None:
    if not isinstance(params, Mapping):
        raise ArgumentError(
            f"{name}: the parameters of a layer are a dict, one of those that init_… makes, not {type(params).__name__}"
        )


def check_number(name: str, what: str, value: Any, most: float = math.inf) -> float:
    """The value, if it is a number from 0 to `most`; else ArgumentError."""
    if (
        not isinstance(value, (int, float, np.integer, np.floating))
        or not 0 <= value <= most
        or not math.isfinite(value)
    ):
        wanted = "≥ 0" if most == math.inf else f"in [0, {most:g}]"
        raise ArgumentError(f"{name}: {what}={value!r} is not a number {wanted}")
    return float(value)


def check_training(name: str, training: Any) -> None:
    """ArgumentError for what is neither True nor False, such as "no", which is true."""
    if not isinstance(training, (bool, np.bool_)):
        raise ArgumentError(f"{name}: training={training!r}; it is True in training, False in test")


def check_function(name: str, what: str, given: Any, example: str) -> None:
    """ArgumentError for what cannot be called, such as a function's name."""
    if not callable(given):
        raise ArgumentError(f"{name}: {what} is a function, such as {example}, not {told(given)}")


def check_spread(name: str, what: str, given: Any, x: Any, remedy: str) -> None:
    """ShapeError for what does not broadcast to x's own shape."""
    over = x.shape[x.ndim - given.ndim :]
    if given.ndim > x.ndim or any(n not in (1, m) for n, m in zip(given.shape, over, strict=True)):
        raise ShapeError(f"{name}: {what} of shape {given.shape} does not broadcast to x of shape {x.shape}; {remedy}")


def check_generator(name: str, rng: Any, x: Any) -> None:
    """ArgumentError for what gives no random numbers, and for numbers that a trace would freeze."""
    # NumPy's module and its older generators have a `random` too, but not all that is called here
    if not callable(getattr(rng, "random", None)) or isinstance(rng, (ModuleType, np.random.RandomState)):
        raise ArgumentError(
            f"{name}: rng is a numpy.random.Generator, such as np.random.default_rng(0), not {told(rng)}"
        )
    if isinstance(x, Expr) and isinstance(rng, np.random.Generator):
        raise ArgumentError(
            f"{name}: a traced function is run once, and numbers drawn in it would be the same in every call; take the `rng` that "
            "`fit` gives, or draw before the call and hand the numbers over as an argument"
        )
