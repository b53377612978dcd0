"""Elementwise functions under NumPy's names that are composed of operations: remainders, tests, choices between values.

Arguments may be expressions, numbers, arrays, or nested sequences of these; where none holds an expression, NumPy itself answers.
A derivative at a jump is 0, as everywhere; what a choice does not take cannot touch the derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError, UnsupportedCallError
from ..ops import TABLE
from . import functions as dk
from .functions import RULES
from .node import Expr, make
from .operands import as_expr, operands_of, refuse
from .publishing import composition

o = RULES


# ---- division with a remainder ------------------------------------------------------------------------------------
def _divided(x1: Any, x2: Any) -> tuple[Expr, Expr, Expr, Any]:
    """x, y, the remainder with the sign of x, and where that sign is not y's. Integers are divided by 1 where y is 0."""
    x, y = operands_of(TABLE["fmod"], (x1, x2))
    rest = make(TABLE["fmod"], (x, y))
    if rest.dtype == "int64" and not y.number:
        rest = make(TABLE["fmod"], (x, o.where(o.equal(y, 0), 1, y)))
    if y.number:
        return x, y, rest, rest < 0 if y.number > 0 else rest > 0
    return x, y, rest, ((rest < 0) & (y > 0)) | ((rest > 0) & (y < 0))


@composition
def fmod(x1: Any, x2: Any) -> Any:
    """x1 − n·x2 for n = x1/x2 rounded towards 0: exact, with the sign of x1. Derivatives: 1 and −n, at jumps too.

    Of integers an integer; by zero 0, where floats give NaN.
    """
    return _divided(x1, x2)[2]


@composition
def remainder(x1: Any, x2: Any) -> Any:
    """x1 − n·x2 for n = x1/x2 rounded down, as Python's %: with the sign of x2. Derivatives: 1 and −n, at jumps too.

    Of integers an integer; by zero 0, where floats give NaN.
    """
    _, y, rest, other_side = _divided(x1, x2)
    return o.where(other_side, rest + y, rest + 0)  # (+ 0: a remainder of −0.0 is 0.0)


@composition
def floor_divide(x1: Any, x2: Any) -> Any:
    """x1/x2 rounded down, as Python's //: its derivative is 0. Of integers an integer; by zero 0, where floats give x1/0."""
    x, y, rest, other_side = _divided(x1, x2)
    if rest.dtype == "int64":
        divisor = y if y.number else o.where(o.equal(y, 0), 1, y)
        down = o.cast((x - rest) / divisor, dtype="int64") - o.cast(other_side, dtype="int64")
        return down if y.number else o.where(o.equal(y, 0), 0, down)
    down = o.round((x - rest) / y)
    down = o.where(other_side, down - 1, down)
    return down if y.number else o.where(o.equal(y, 0), x / y, down)


@composition
def divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    """(x1 // x2, x1 % x2)."""
    return floor_divide(as_expr(x1), x2), remainder(as_expr(x1), x2)


setattr(dk, "mod", remainder)


# ---- tests: bool, without a derivative ----------------------------------------------------------------------------
@composition
def isnan(x: Any) -> Any:
    """Whether an element is NaN."""
    x = as_expr(x)
    return o.not_equal(x, x)


@composition
def isfinite(x: Any) -> Any:
    """Whether an element is neither infinite nor NaN."""
    return o.less(o.abs(as_expr(x)), math.inf)


@composition
def isinf(x: Any) -> Any:
    """Whether an element is infinite."""
    return o.equal(o.abs(as_expr(x)), math.inf)


@composition
def signbit(x: Any) -> Any:
    """Whether an element is negative, or −0.0 (of NaN: no)."""
    x = as_expr(x)
    return o.less(x, 0) if x.dtype in ("int64", "bool") else o.less(o.where(o.equal(x, 0), 1 / x, x), 0)


@composition
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |a − b| ≤ atol + rtol·|b|; an infinity is close to itself alone."""
    a, b = as_expr(a), as_expr(b)
    close = (o.less_equal(o.abs(a - b), atol + rtol * o.abs(b)) & isfinite(b)) | o.equal(a, b)
    return close | (isnan(a) & isnan(b)) if equal_nan else close


@composition
def logical_xor(x1: Any, x2: Any) -> Any:
    """One of both, but not both."""
    x, y = (v if v.dtype == "bool" else o.not_equal(v, 0) for v in map(as_expr, (x1, x2)))
    return o.not_equal(x, y)


# ---- signs and special values -------------------------------------------------------------------------------------
@composition
def positive(x: Any) -> Any:
    """x."""
    return as_expr(x)


@composition
def conjugate(x: Any) -> Any:
    """x, which is real."""
    return as_expr(x)


setattr(dk, "conj", conjugate)


@composition
def real(val: Any) -> Any:
    """x, which is real."""
    return as_expr(val)


@composition
def imag(val: Any) -> Any:
    """Zeros."""
    return dk.full_like(as_expr(val), 0)


@composition
def copysign(x1: Any, x2: Any) -> Any:
    """|x1| with the sign of x2 (of −0.0 too)."""
    size = o.abs(as_expr(x1))
    return o.where(signbit(as_expr(x2)), -size, size)


@composition
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of two, and the other one where one is NaN. A tie is shared evenly."""
    return _unless_nan(o.maximum, as_expr(x1), as_expr(x2))


@composition
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of two, and the other one where one is NaN. A tie is shared evenly."""
    return _unless_nan(o.minimum, as_expr(x1), as_expr(x2))


def _unless_nan(choose: Callable[..., Any], x: Expr, y: Expr) -> Expr:
    return o.where(isnan(x), y, o.where(isnan(y), x, choose(x, y)))


@composition
def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """NaN and infinities replaced by numbers (infinities by the largest of the dtype); the derivative is 1 at finite elements."""
    x = as_expr(x)
    if x.dtype in ("int64", "bool"):
        return x
    largest = float(np.finfo(x.dtype).max)
    high, low = largest if posinf is None else posinf, -largest if neginf is None else neginf
    return o.where(isnan(x), nan, o.where(o.equal(x, math.inf), high, o.where(o.equal(x, -math.inf), low, x)))


@composition
def heaviside(x1: Any, x2: Any) -> Any:
    """0 below 0, 1 above it, x2 at 0, where the derivative by x2 is 1; that by x1 is 0 everywhere, as for every jump."""
    x = as_expr(x1)
    return o.where(o.equal(x, 0), x2, o.step(x, 0))


@composition
def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Rounded to so many decimals, halves to even; the derivative is 0."""
    refuse("around", {"out": out})
    x = as_expr(a)
    if x.dtype in ("int64", "bool") and decimals >= 0:
        return x
    if not decimals:
        return o.round(x)
    power = 10.0 ** abs(int(decimals))
    return o.round(x * power) / power if decimals > 0 else o.round(x / power) * power


# ---- smooth ones --------------------------------------------------------------------------------------------------
#: below this argument sin t / t is its series, whose derivatives keep their digits
_SERIES_UP_TO, _TERMS = 0.5, 9


@composition
def sinc(x: Any) -> Any:
    """sin(πx) / (πx), and 1 at 0; smooth there in all derivatives."""
    t = math.pi * as_expr(x)
    near = o.less(o.abs(t), _SERIES_UP_TO)
    square = o.square(o.where(near, t, 0))
    series = as_expr(1.0)
    for k in range(_TERMS, 0, -1):  # 1 − t²/(2·3)·(1 − t²/(4·5)·(…))
        series = 1 - square / (2 * k * (2 * k + 1)) * series
    t = o.where(near, 1, t)
    return o.where(near, series, o.sin(t) / t)


@composition
def logaddexp2(x1: Any, x2: Any) -> Any:
    """log₂(2ˣ + 2ʸ) without overflow."""
    x, y = as_expr(x1), as_expr(x2)
    # of the difference alone: scaling the sum itself would round its integer part
    high, gap = o.maximum(x, y), o.where(o.equal(x, y), 0, o.abs(x - y))
    return high + o.log1p(o.exp2(-gap)) * (1 / math.log(2))


# ---- choices ------------------------------------------------------------------------------------------------------
@composition
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For every element the choice of the first condition that holds, else `default`."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices; there must be one for each"
        )
    result = default
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist)), strict=True):
        result = dk.where(condition, choice, result)
    return result


@composition
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """For every element the function (or number) of the last condition that holds; a further one is for where none does, else 0.

    Every function is called with all of `x`; where its condition does not hold, its values and derivatives do not count.
    """
    x = as_expr(x)
    single = isinstance(condlist, Expr) or not (isinstance(condlist, (list, tuple)) or np.ndim(condlist) > x.ndim)
    conditions = [condlist] if single else list(condlist)
    functions = list(funclist)
    if len(functions) not in (len(conditions), len(conditions) + 1):
        raise ArgumentError(
            f"piecewise: {len(functions)} functions for {len(conditions)} conditions; one for each, and one more for the rest"
        )
    values = [f(x, *args, **kw) if callable(f) else f for f in functions]
    result = values.pop() if len(values) > len(conditions) else 0
    for condition, value in zip(conditions, values, strict=True):
        result = dk.where(condition, value, result)
    return dk.broadcast_to(as_expr(result), x.shape)


@composition
def choose(a: Any, choices: Sequence[Any], out: Any = None, mode: str = "raise") -> Any:
    """For every element of the integers `a` the element of the choice of that number; all broadcast.

    mode: "raise" (an index out of range is a ShapeError when evaluated), "wrap" or "clip".
    """
    refuse("choose", {"out": out})
    index, parts = as_expr(a), [as_expr(c) for c in choices]
    if mode not in ("raise", "wrap", "clip"):
        raise UnsupportedCallError(f"choose: mode={mode!r} is none of 'raise', 'wrap', 'clip'")
    try:
        shape = np.broadcast_shapes(index.shape, *(p.shape for p in parts))
    except ValueError:
        shown = ", ".join(str(p.shape) for p in parts)
        raise ShapeError(f"choose: core shapes {index.shape} and {shown} do not broadcast") from None
    if mode == "wrap":
        index = remainder(index, len(parts))
    elif mode == "clip":
        index = dk.clip(index, 0, len(parts) - 1)
    rows = dk.stack([dk.broadcast_to(p, shape) for p in parts])
    taken = dk.take_along_axis(rows, dk.expand_dims(dk.broadcast_to(index, shape), 0), 0)
    return dk.squeeze(taken, 0)
