"""Arithmetic and powers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from .kernels import exponential, roots
from .op import define

define(
    "add", 2, "x + y", np.add, cost="add", infix=("+", 10), analytic=True, integers=True,
    kernel=lambda k, x, y: x + y,
    partials=lambda o, out, x, y: (1, 1),
    sympy=lambda s, x, y: x + y,
    spelling={"c": "({0} + {1})"},
)
define(
    "subtract", 2, "x - y", np.subtract, cost="add", infix=("-", 10), analytic=True, integers=True,
    kernel=lambda k, x, y: x - y,
    partials=lambda o, out, x, y: (1, -1),
    sympy=lambda s, x, y: x - y,
    spelling={"c": "({0} - {1})"},
)
define(
    "multiply", 2, "x · y", np.multiply, cost="mul", infix=("*", 20), analytic=True, integers=True,
    kernel=lambda k, x, y: x * y,
    partials=lambda o, out, x, y: (y, x),
    sympy=lambda s, x, y: x * y,
    spelling={"c": "({0} * {1})"},
)
define(
    "divide", 2, "x / y", np.true_divide, cost="div", aliases=("true_divide",), infix=("/", 20), analytic=True,
    kernel=lambda k, x, y: x / y,
    partials=lambda o, out, x, y: (o.reciprocal(y), -(out / y)),
    sympy=lambda s, x, y: x / y,
    spelling={"c": "({0} / {1})"},
    domain="y ≠ 0",
)
define(
    "negative", 1, "-x", np.negative, cost="add", infix=("-", 30), analytic=True, integers=True,
    kernel=lambda k, x: -x,
    partials=lambda o, out, x: (-1,),
    sympy=lambda s, x: -x,
    canonical=lambda args, params: ("negated constant", args, params),
    spelling={"c": "(-{0})"},
)
define(
    "reciprocal", 1, "1 / x", lambda x: np.true_divide(1, x), cost="div", analytic=True,
    kernel=lambda k, x: 1 / x,
    partials=lambda o, out, x: (-(out * out),),
    sympy=lambda s, x: 1 / x,
    spelling={"numpy": "(1 / {0})", "jax": "(1 / {0})", "torch": "(1 / {0})", "c": "(1 / {0})"},
    domain="x ≠ 0",
)
define(
    "square", 1, "x²", np.square, cost="mul", analytic=True,
    kernel=lambda k, x: x * x,
    partials=lambda o, out, x: (2 * x,),
    sympy=lambda s, x: x**2,
    spelling={"c": "({0} * {0})"},
)


def _power_is_constant(args, params):
    """x**2 and the like carry the exponent as a parameter: its derivative needs no logarithm."""
    from numbers import Real

    exponent = args[1]
    value = exponent if isinstance(exponent, Real) else getattr(exponent, "number", None)
    return None if value is None else ("pow", (args[0],), {"p": float(value)})


define(
    "power", 2, "x to the power y", np.power, cost="elementary", infix=("**", 40), analytic=True,
    kernel=exponential.power,
    partials=lambda o, out, x, y: (
        o.where(o.equal(y, 0), 0, y * o.power(x, y - 1)),
        # 0**y is flat in y > 0, though log 0 is not finite
        o.where(o.equal(out, 0), 0, out * o.log(x)),
    ),
    canonical=_power_is_constant,
    sympy=lambda s, x, y: s.Pow(x, y),
    spelling={"c": "pow"},
    domain="x > 0, or x = 0 and y ≥ 0, or y an integer",
    intervals=((0, np.inf), (-np.inf, np.inf)),
)

#: exponents for which repeated multiplication rounds less than the bar allows (at most 7 roundings)
_BY_MULTIPLICATION = frozenset({2.0, 3.0, 4.0, 5.0, 6.0, 8.0})


def _lower_pow(o, x, p):
    if p < 0 and -p in {1.0, 2.0, 3.0, 4.0}:
        r = o.reciprocal(x)
        return r if p == -1 else _by_multiplication(o, r, -p)
    if p in _BY_MULTIPLICATION:
        return _by_multiplication(o, x, p)
    return x if p == 1 else o.sqrt(x) if p == 0.5 else o.primitive("power", x, p)


def _by_multiplication(o, x, p):
    x2 = o.square(x)
    return {2: lambda: x2, 3: lambda: x2 * x, 4: lambda: o.square(x2), 5: lambda: o.square(x2) * x,
            6: lambda: o.square(x2) * x2, 8: lambda: o.square(o.square(x2))}[int(p)]()


def _pow_partial(o, out, x, p):
    if p in (0, 1, 2):
        return (0, 1, 2 * x)[int(p)]
    if Fraction(p) - 1 == Fraction(p - 1):
        return p * o.pow(x, p=p - 1)
    # p − 1 is rounded, and log x magnifies that; out / x is right wherever the power itself has not underflowed
    return p * o.where(o.equal(out, 0), o.pow(x, p=p - 1), out / x)


def _pow(x, p):
    """A single takes its power as a double, whose exponent is exactly p."""
    x = np.asarray(x)
    return np.power(x.astype(np.float64), p).astype(np.float32) if x.dtype == np.float32 else np.power(x, p)


define(
    "pow", 1, "x to a constant power p", _pow, cost="elementary", params={"p": 2.0}, analytic=True,
    partials=lambda o, out, x, p: (_pow_partial(o, out, x, p),),
    # in single precision the machines' exponent is p rounded, which log x magnifies
    magnitude=lambda out, x, p: np.abs(out) * (1 + (np.abs(p * np.log(np.where(x > 0, x, 1))) if out.dtype == np.float32 else 0)),
    lower=_lower_pow,
    sympy=lambda s, x, p: s.Pow(x, s.number(p)),
    spelling={"numpy": "({0} ** {p})", "jax": "({0} ** {p})", "torch": "({0} ** {p})", "c": "pow({0}, {p})"},
    domain="x > 0 unless p is an integer; x ≠ 0 where p < 0",
    intervals=((0, np.inf),),
)
define(
    "sqrt", 1, "square root", np.sqrt, cost="sqrt", analytic=True,
    kernel=lambda k, x: k.sqrt(x),
    partials=lambda o, out, x: (0.5 / out,),
    sympy=lambda s, x: s.sqrt(x),
    domain="x ≥ 0", intervals=((0, np.inf),),
)
define(
    "cbrt", 1, "real cube root", np.cbrt,
    kernel=roots.cbrt,
    partials=lambda o, out, x: (o.reciprocal(3 * o.square(out)),),
    sympy=lambda s, x: s.cbrt(x),
    spelling={"torch": "(torch.sign({0}) * torch.abs({0}) ** (1 / 3))"},
)


def _unit(o, x, r):
    """x / r, and 0 where r = 0: the subgradient of least norm of a length at the origin."""
    return x / o.where(o.equal(r, 0), 1, r)


define(
    "hypot", 2, "√(x² + y²) without overflow", np.hypot,
    kernel=roots.hypot,
    partials=lambda o, out, x, y: (_unit(o, x, out), _unit(o, y, out)),
    sympy=lambda s, x, y: s.hypot(x, y),
    kinks=lambda o, x, y: (o.hypot(x, y),),
    convention="0 at the origin (the subgradient of least norm)",
)
