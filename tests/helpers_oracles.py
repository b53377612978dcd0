"""What every operation is worth, from mpmath alone: nothing here reads a rule of the op table.

`value_oracle(op)` is the function over mpmath numbers; `derivative` differentiates such a function by central differences
at a precision that is raised until two levels agree. An operation without an oracle makes `test_rules.py` fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

MAX = {"float64": mpf(float(np.finfo(np.float64).max)), "float32": mpf(float(np.finfo(np.float32).max))}


def _sign(x: mpf) -> int:
    return (x > 0) - (x < 0)


def _fmod(x: mpf, y: mpf) -> mpf:
    """Exactly: the quotient has as many digits as it needs."""
    digits = max(0, mp.mag(x) - mp.mag(y)) if x and y else 0
    with mp.workdps(mp.dps + digits):
        return x - y * mp.sign(x / y) * mp.floor(abs(x / y))


def _softplus(x: mpf) -> mpf:
    return max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def _logaddexp(x: mpf, y: mpf) -> mpf:
    return y + _softplus(x - y)


def _lgamma(x: mpf) -> mpf:
    return mp.re(mp.loggamma(x)) if x > 0 else mp.log(abs(mp.gamma(x)))


#: values of the elementwise operations; parameters come by name
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "negative": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "square": lambda x: x * x,
    "power": lambda x, y: mp.power(x, int(y) if mp.isint(y) and abs(y) < 1e9 else y),
    "pow": lambda x, p: mp.power(x, int(p) if p == int(p) else mpf(p)),
    "sqrt": mp.sqrt,
    "cbrt": lambda x: _sign(x) * mp.cbrt(abs(x)),
    "hypot": lambda x, y: mp.sqrt(x * x + y * y),
    "exp": mp.exp,
    "exp2": lambda x: mp.power(2, x),
    "expm1": lambda x: mp.expm1(x),
    "log": mp.log,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": lambda x: mp.log(x) / mp.log(10),
    "log1p": lambda x: mp.log1p(x),
    "logaddexp": _logaddexp,
    "cast": lambda x, dtype: x,
    "stop_gradient": lambda x: x,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "logical_and": lambda x, y: bool(x) and bool(y),
    "logical_or": lambda x, y: bool(x) or bool(y),
    "logical_not": lambda x: not x,
    "where": lambda c, x, y: x if c else y,
    "step": lambda x, y, at: mpf(1) if x > y else mpf(0) if x < y else mpf(at),
    "abs": abs,
    "sign": lambda x: mpf(_sign(x)),
    "floor": mp.floor,
    "ceil": mp.ceil,
    "round": mp.nint,
    "trunc": lambda x: mp.floor(x) if x > 0 else mp.ceil(x),
    "fmod": _fmod,
    "maximum": max,
    "minimum": min,
    "clip": lambda x, low, high: min(max(x, low), high),
    "relu": lambda x: max(x, mpf(0)),
    "erf": mp.erf,
    "erfc": mp.erfc,
    "lgamma": _lgamma,
    "digamma": mp.digamma,
    "polygamma": lambda x, n: mp.psi(n, x),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": _softplus,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "arctan2": lambda y, x: mp.atan2(y, x),
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "sech_squared": lambda x: mp.cosh(x) ** -2,
    "arcsinh": mp.asinh,
    "arccosh": mp.acosh,
    "arctanh": mp.atanh,
    "deg2rad": lambda x: x * mp.pi / 180,
    "rad2deg": lambda x: x * 180 / mp.pi,
}

#: parameters to test an operation with, where its defaults alone would not do
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "pow": [{"p": p} for p in (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, -1.0, -2.0, -5.0, 0.5, -0.5, 1 / 3)],
    "polygamma": [{"n": n} for n in (1, 2, 3)],
    "step": [{"at": 0.5}, {"at": 0.0}],
}

#: positions of boolean arguments
CONDITIONS = {"where": (0,), "logical_and": (0, 1), "logical_or": (0, 1), "logical_not": (0,)}

#: points of the domain outside the intervals that the record names, argument by argument
MORE_POINTS: dict[str, list[tuple[float, ...]]] = {
    "power": [(-2.0, 3.0), (-1.5, -2.0), (-0.3, 4.0)],
    "lgamma": [(x,) for x in (-0.5, -1.5, -2.457, -3.25, -10.3)],
    "digamma": [(x,) for x in (-0.5, -1.5, -2.4, -10.3)],
    "pow": [(-0.7,), (-3.1,)],
}


def real(value: Any) -> mpf | None:
    """A finite real number, or None (outside the domain)."""
    if isinstance(value, (mpmath.mpc, complex)):
        value = mpmath.mpmathify(value)
        if value.imag != 0:
            return None
        value = value.real
    value = mpmath.mpmathify(value)
    return value if mp.isfinite(value) else None


def call(f: Callable[..., Any], point: Sequence[Any]) -> mpf | None:
    try:
        return real(f(*point))
    except (ValueError, ZeroDivisionError, OverflowError, mpmath.libmp.ComplexResult):
        return None


#: offsets (in steps h) and weights of central differences of order 1, 2, 3
_STENCILS = {
    1: ((1, 0.5), (-1, -0.5)),
    2: ((1, 1), (0, -2), (-1, 1)),
    3: ((2, 0.5), (1, -1), (-1, 1), (-2, -0.5)),
}
#: (digits of the relative step, working digits): raised until two levels agree
#: relative error of a derivative
TRUST = mpf(10) ** -22
#: below what any of the dtypes can hold
NOTHING = mpf(10) ** -400
_LEVELS = ((30, 130), (40, 240), (60, 550), (80, 1100))


def _central(f: Callable[..., Any], point: Sequence[mpf], orders: Sequence[int], digits: int) -> mpf | None:
    terms: list[tuple[tuple[mpf, ...], mpf]] = [(tuple(point), mpf(1))]
    for k, order in enumerate(orders):
        if order:
            h = (abs(point[k]) or mpf(1)) * mpf(10) ** -digits
            terms = [
                ((*p[:k], p[k] + offset * h, *p[k + 1 :]), w * mpf(weight) / h**order)
                for p, w in terms
                for offset, weight in _STENCILS[order]
            ]
    total = mpf(0)
    for p, w in terms:
        value = call(f, p)
        if value is None:
            return None
        total += w * value
    return total


def derivative(f: Callable[..., Any], point: Sequence[Any], orders: Sequence[int]) -> mpf | None:
    """The mixed derivative of `f` with `orders[k]` derivatives by argument k; None where there is none."""
    previous = None
    for digits, work in _LEVELS:
        with mp.workdps(work):
            exact = [p if isinstance(p, (bool, np.bool_)) else mpf(float(p)) for p in point]
            found = _central(f, exact, orders, digits)
        if found is None:
            return None
        if previous and abs(found - previous) <= abs(found) * TRUST:
            return found
        previous = found
    # a 0 may be a derivative lost below the working precision: only the last level may say it
    return mpf(0) if abs(found) < NOTHING else None


def value(f: Callable[..., Any], point: Sequence[Any]) -> mpf | None:
    with mp.workdps(60):
        return call(f, [p if isinstance(p, (bool, np.bool_)) else mpf(float(p)) for p in point])


def error(computed: Any, truth: mpf) -> float:
    """|computed - truth| as a double, less what the truth itself may be off; inf where the answer is not finite."""
    if not np.isfinite(computed):
        return np.inf
    with mp.workdps(60):
        return float(max(abs(mpf(float(computed)) - truth) - abs(truth) * TRUST, mpf(0)))


def values_on(f: Callable[..., Any], columns: Sequence[np.ndarray]) -> list[mpf | None]:
    return [value(f, point) for point in zip(*columns, strict=True)]
