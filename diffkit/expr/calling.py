"""Calling a function of the user's on expressions: what Python, NumPy or SciPy say of one is told with the line that made it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from ..errors import ArgumentError, DiffkitError, Place, TracingError, blamed, module_of
from .node import Expr
from .operands import holds_expr

#: what to do instead of writing into an array
BUILD = (
    "build the array of its parts (np.stack, np.concatenate), choose with dk.where(mask, a, b), or add to elements with "
    "dk.scatter_add(x, index, values)"
)

#: functions of SciPy's -> what does their work here
_OURS = {"cho_factor": "cholesky", "cho_solve": "solve_triangular", "lu_factor": "solve", "lu_solve": "solve"}


def called(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] | None = None, how: str = ""
) -> Any:
    """`function(*args, **kwargs)`. `how`: what diffkit calls it as, for a function that cannot be called so.

    Errors of the user's own pass as they are; TracingError for those that an expression makes where a number is wanted.
    """
    try:
        return function(*args, **(kwargs or {}))
    except Exception as problem:
        trace = problem.__traceback__
        if how and type(problem) is TypeError and trace is not None and trace.tb_next is None:
            message = f"{how}, and that fails: {problem}"
            raise ArgumentError(message, where=Place.definition(function)) from None
        told = _told(problem)
        if told is None:
            raise
        raise told from problem


def _told(problem: Exception) -> TracingError | None:
    """The error in terms of expressions; None of one that has nothing to do with them."""
    if isinstance(problem, DiffkitError) and not isinstance(problem, TracingError):
        return None
    place, below = blamed(problem.__traceback__)
    for frame in below:
        if module_of(frame.f_globals).startswith("scipy.") and any(map(_holds, frame.f_locals.values())):
            return TracingError(_of_scipy(below), where=place)
    if isinstance(problem, TracingError):
        return None
    said = str(problem)
    if isinstance(problem, ValueError) and isinstance(problem.__cause__, TracingError):  # it asked for float(x)
        return TracingError(
            f"A traced value cannot be written into a NumPy array, which holds numbers: {BUILD}", where=place
        )
    if isinstance(problem, TypeError) and "'Expr" in said:
        return TracingError(
            f"{said}. An expression stands where Python or NumPy needs a number: its value is not known yet. Use dk's functions "
            "and NumPy's on it, or hand the number over as a Python int, which is not traced",
            where=place,
        )
    return None


def _holds(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds, value.values()))
    return isinstance(value, Expr) or holds_expr(value)


def _of_scipy(below: Sequence[FrameType]) -> str:
    """Which function of SciPy's was called, decorators around it aside, and what to write instead."""
    from . import functions as dk

    calls = [(module_of(f.f_globals), f.f_code.co_name) for f in below]
    calls = [
        (".".join(p for p in m.split(".") if not p.startswith("_")), n) for m, n in calls if m.startswith("scipy.")
    ]
    package, name = next((c for c in calls if hasattr(sys.modules.get(c[0]), c[1])), calls[0])
    if package == "scipy.sparse":
        return "A sparse matrix takes arrays of numbers, not expressions: write A.toarray() @ x"
    ours = _OURS.get(name, name)
    remedy = f"write dk.{ours}" if callable(getattr(dk, ours, None)) else "compose it of NumPy's functions and dk's"
    return f"{package}.{name} takes arrays of numbers, not expressions: {remedy}"
