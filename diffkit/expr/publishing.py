"""How a composition becomes a function of the language: under its name, for expressions, for numbers and as NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from ..errors import LocatedError, TracingError, users_place
from ..ops import TABLE
from . import functions as dk
from .node import Expr
from .operands import holds_expr

_F = TypeVar("_F", bound=Callable[..., Any])
#: every composition by name
COMPOSITIONS: dict[str, Callable[..., Any]] = {}


def composition(function: _F) -> _F:
    """`function` where an argument holds an expression, NumPy's of that name where none does; published beside the others."""
    name = function.__name__
    plain = getattr(np, name, function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(a, Expr) or holds_expr(a) for a in (*args, *kwargs.values())):
            return plain(*args, **kwargs)
        try:
            return function(*args, **kwargs)
        except LocatedError as problem:
            said = _under(name, str(problem.args[0]))
            # a function of the user's, which `piecewise` and the like call, speaks for itself
            if said == problem.args[0] or isinstance(problem, TracingError) or problem.where != users_place():
                raise
            raise type(problem)(said) from None

    COMPOSITIONS[name] = call
    setattr(dk, name, call)
    return call  # type: ignore[return-value]


def _under(name: str, message: str) -> str:
    """What a function of the language said, under the name of the one that the user called."""
    head, colon, rest = message.partition(": ")
    return f"{name}: {rest if colon and (head in TABLE or hasattr(dk, head)) else message}"
