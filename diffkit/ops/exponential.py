"""Exponentials and logarithms."""

from __future__ import annotations

import math

import numpy as np

from .kernels import exponential
from .op import define

_LN2, _LN10 = math.log(2), math.log(10)
_POSITIVE = {"domain": "x > 0", "intervals": ((0, np.inf),)}

define(
    "exp", 1, "e to the x", np.exp, analytic=True,
    kernel=exponential.exp,
    partials=lambda o, out, x: (out,),
    sympy=lambda s, x: s.exp(x),
)
define(
    "exp2", 1, "2 to the x", np.exp2, analytic=True,
    kernel=exponential.exp2,
    partials=lambda o, out, x: (_LN2 * out,),
    sympy=lambda s, x: s.Pow(2, x),
)
define(
    "expm1", 1, "eˣ − 1, accurate near 0", np.expm1, analytic=True,
    kernel=exponential.expm1,
    partials=lambda o, out, x: (o.exp(x),),  # not out + 1, which cancels for x << 0
    sympy=lambda s, x: s.exp(x) - 1,
)
define(
    "log", 1, "natural logarithm", np.log, aliases=("ln",), analytic=True,
    kernel=exponential.log,
    partials=lambda o, out, x: (o.reciprocal(x),),
    sympy=lambda s, x: s.log(x),
    **_POSITIVE,
)
define(
    "log2", 1, "logarithm to base 2", np.log2, analytic=True,
    kernel=exponential.log2,
    partials=lambda o, out, x: (1 / (_LN2 * x),),
    sympy=lambda s, x: s.log(x) / s.log(2),
    **_POSITIVE,
)
define(
    "log10", 1, "logarithm to base 10", np.log10, analytic=True,
    kernel=exponential.log10,
    partials=lambda o, out, x: (1 / (_LN10 * x),),
    sympy=lambda s, x: s.log(x) / s.log(10),
    **_POSITIVE,
)
define(
    "log1p", 1, "log(1 + x), accurate near 0", np.log1p, analytic=True,
    kernel=exponential.log1p,
    partials=lambda o, out, x: (o.reciprocal(1 + x),),
    sympy=lambda s, x: s.log(1 + x),
    domain="x > −1", intervals=((-1, np.inf),),
)


def _logaddexp(o, x, y):
    high = o.maximum(x, y)
    # equal infinities: their difference is NaN, their sum is not
    gap = o.where(o.equal(x, y), 0, o.abs(x - y))
    return high + o.log1p(o.exp(-gap))


define(
    "logaddexp", 2, "log(eˣ + eʸ) without overflow", np.logaddexp,
    kernel=exponential.logaddexp,
    partials=lambda o, out, x, y: (o.sigmoid(x - y), o.sigmoid(y - x)),
    lower=_logaddexp,
    magnitude=lambda out, x, y: np.abs(out) + 1,  # near its zero the sum of the two terms cancels
    sympy=lambda s, x, y: s.logaddexp(x, y),
)
