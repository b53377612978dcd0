"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

import math

import numpy as np

from .kernels import hyperbolic, trigonometric
from .op import define

_INF = np.inf

define(
    "sin", 1, "sine", np.sin, analytic=True,
    kernel=trigonometric.sin,
    partials=lambda o, out, x: (o.cos(x),),
    sympy=lambda s, x: s.sin(x),
)
define(
    "cos", 1, "cosine", np.cos, analytic=True,
    kernel=trigonometric.cos,
    partials=lambda o, out, x: (-o.sin(x),),
    sympy=lambda s, x: s.cos(x),
)
define(
    "tan", 1, "tangent", np.tan, analytic=True,
    kernel=trigonometric.tan,
    partials=lambda o, out, x: (1 + o.square(out),),
    sympy=lambda s, x: s.tan(x),
)
define(
    "arcsin", 1, "inverse sine", np.arcsin, aliases=("asin",), analytic=True,
    kernel=trigonometric.arcsin,
    partials=lambda o, out, x: (o.reciprocal(o.sqrt((1 - x) * (1 + x))),),
    sympy=lambda s, x: s.asin(x),
    spelling={"c": "asin"},
    domain="−1 ≤ x ≤ 1", intervals=((-1, 1),),
)
define(
    "arccos", 1, "inverse cosine", np.arccos, aliases=("acos",), analytic=True,
    kernel=trigonometric.arccos,
    partials=lambda o, out, x: (-o.reciprocal(o.sqrt((1 - x) * (1 + x))),),
    sympy=lambda s, x: s.acos(x),
    spelling={"c": "acos"},
    domain="−1 ≤ x ≤ 1", intervals=((-1, 1),),
)
define(
    "arctan", 1, "inverse tangent", np.arctan, aliases=("atan",), analytic=True,
    kernel=trigonometric.arctan,
    partials=lambda o, out, x: (o.reciprocal(1 + o.square(x)),),
    sympy=lambda s, x: s.atan(x),
    spelling={"c": "atan"},
)


def _arctan2_partials(o, out, y, x):
    r = o.hypot(x, y)  # dividing twice by r neither overflows nor underflows
    return (x / r) / r, -((y / r) / r)


def _sech_squared_numpy(x):
    e = np.exp(-2 * np.abs(x))
    return 4 * e / np.square(1 + e)


define(
    "arctan2", 2, "angle of the point (x, y)", np.arctan2, aliases=("atan2",),
    kernel=trigonometric.arctan2,
    partials=_arctan2_partials,
    sympy=lambda s, y, x: s.atan2(y, x),
    spelling={"c": "atan2"},
    domain="not the origin; jumps at y = 0, x < 0",
    # only the cut is a jump: where x > 0, y = 0 is an ordinary point
    kinks=lambda o, y, x: (o.where(o.less(x, 0), y, 1), o.hypot(x, y)),
)
define(
    "sinh", 1, "hyperbolic sine", np.sinh, analytic=True,
    kernel=hyperbolic.sinh,
    partials=lambda o, out, x: (o.cosh(x),),
    sympy=lambda s, x: s.sinh(x),
)
define(
    "cosh", 1, "hyperbolic cosine", np.cosh, analytic=True,
    kernel=hyperbolic.cosh,
    partials=lambda o, out, x: (o.sinh(x),),
    sympy=lambda s, x: s.cosh(x),
)
def _sech_squared(o, x):
    """Not 1 − tanh², which cancels, nor 1/cosh², which overflows on the way to 0."""
    e = o.exp(-2 * o.abs(x))
    return 4 * e / o.square(1 + e)


define(
    "tanh", 1, "hyperbolic tangent", np.tanh, analytic=True,
    kernel=hyperbolic.tanh,
    partials=lambda o, out, x: (o.sech_squared(x),),
    sympy=lambda s, x: s.tanh(x),
)
define(
    "sech_squared", 1, "1/cosh², the slope of tanh", _sech_squared_numpy,
    partials=lambda o, out, x: (-2 * o.tanh(x) * out,),  # of _sech_squared it would be wrong at 0, from the second on
    lower=_sech_squared,
    sympy=lambda s, x: 1 - s.tanh(x) ** 2,  # of 1/cosh² the derivative overflows
    spelling={
        "numpy": "(1 / numpy.cosh({0}) ** 2)", "jax": "(1 / jax.numpy.cosh({0}) ** 2)", "torch": "(1 / torch.cosh({0}) ** 2)",
        "c": "pow(cosh({0}), -2)",
    },
)
define(
    "arcsinh", 1, "inverse hyperbolic sine", np.arcsinh, aliases=("asinh",), analytic=True,
    kernel=hyperbolic.arcsinh,
    partials=lambda o, out, x: (o.reciprocal(o.hypot(1, x)),),
    sympy=lambda s, x: s.asinh(x),
    spelling={"c": "asinh"},
)
define(
    "arccosh", 1, "inverse hyperbolic cosine", np.arccosh, aliases=("acosh",), analytic=True,
    kernel=hyperbolic.arccosh,
    partials=lambda o, out, x: (o.reciprocal(o.sqrt(x - 1) * o.sqrt(x + 1)),),
    sympy=lambda s, x: s.acosh(x),
    spelling={"c": "acosh"},
    domain="x ≥ 1", intervals=((1, _INF),),
)
define(
    "arctanh", 1, "inverse hyperbolic tangent", np.arctanh, aliases=("atanh",), analytic=True,
    kernel=hyperbolic.arctanh,
    partials=lambda o, out, x: (o.reciprocal((1 - x) * (1 + x)),),
    sympy=lambda s, x: s.atanh(x),
    spelling={"c": "atanh"},
    domain="−1 < x < 1", intervals=((-1, 1),),
)
define(
    "deg2rad", 1, "degrees to radians", np.deg2rad, cost="mul", aliases=("radians",),
    partials=lambda o, out, x: (math.pi / 180,),
    lower=lambda o, x: x * (math.pi / 180),
    sympy=lambda s, x: x * s.pi / 180,
)
define(
    "rad2deg", 1, "radians to degrees", np.rad2deg, cost="mul", aliases=("degrees",),
    partials=lambda o, out, x: (180 / math.pi,),
    lower=lambda o, x: x * (180 / math.pi),
    sympy=lambda s, x: x * 180 / s.pi,
)
