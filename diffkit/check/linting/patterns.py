"""Formulas that lose digits, overflow, or have NaN for a derivative, and what to write instead.

A row is (code, pattern, rewrite, what can go wrong, and the x at which it does where that is an interval: a row is not
reported for an x that never comes there). Every name in a pattern stands for any sub-expression. For one node the first
row that fits is reported, so the more special ones come first. match.py says when two spellings count as the same.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Pattern(NamedTuple):
    code: str
    pattern: str
    rewrite: str | None
    message: str
    danger: tuple[float, float] = (-math.inf, math.inf)


_LOSS = "cancellation"
_BIG = "overflow"
_ZERO = "zero-times-infinity"

_AT_0, _NEAR_0 = (0.0, 0.0), (-0.5, 0.5)
#: where exp(x) overflows, and where exp(-x) does
_HIGH, _LOW = (709.0, math.inf), (-math.inf, -709.0)

# fmt: off
PATTERNS = tuple(Pattern(*row) for row in (
    # ---- differences of nearly equal numbers ----
    (_LOSS, "1 - cos(x)", "2*sin(x/2)**2", "near x = 0 cos(x) rounds to 1 and all digits cancel", _NEAR_0),
    (_LOSS, "exp(x) - 1", "expm1(x)", "near x = 0 exp(x) is close to 1 and its digits cancel", _NEAR_0),
    (_LOSS, "1 - exp(x)", "-expm1(x)", "near x = 0 exp(x) is close to 1 and its digits cancel", _NEAR_0),
    (_LOSS, "log(1 - exp(x))", "log(-expm1(x))", "near x = 0 the digits of 1 - exp(x) cancel", _NEAR_0),
    (_LOSS, "log(1 - x)", "log1p(-x)", "1 - x rounds away the digits of a small x", _NEAR_0),
    (_LOSS, "1 - erf(x)", "erfc(x)", "for x > 1 erf(x) is close to 1; beyond 6 the difference is 0", (1.0, math.inf)),
    (_LOSS, "1 - erfc(x)", "erf(x)", "near x = 0 erfc(x) is close to 1", _NEAR_0),
    (_LOSS, "1 - tanh(x)**2", "1/cosh(x)**2", "for |x| > 1 tanh(x)**2 is close to 1; beyond 19 the difference is 0"),
    (_LOSS, "1 - sin(x)**2", "cos(x)**2", "where sin(x)**2 is close to 1 its digits cancel"),
    (_LOSS, "1 - cos(x)**2", "sin(x)**2", "where cos(x)**2 is close to 1 its digits cancel"),
    (_LOSS, "1 - sigmoid(x)", "sigmoid(-x)",
     "for large x sigmoid(x) is close to 1; beyond 37 the difference is 0", (1.0, math.inf)),
    (_LOSS, "sqrt(x + a) - sqrt(x)", "a/(sqrt(x + a) + sqrt(x))", "for large x the digits of the roots cancel"),
    (_LOSS, "sqrt(a) - sqrt(b)", "(a - b)/(sqrt(a) + sqrt(b))",
     "where a and b are close the digits of the roots cancel"),
    (_LOSS, "sqrt(1 + x) - 1", "x/(sqrt(1 + x) + 1)", "near x = 0 the root is close to 1", _NEAR_0),
    (_LOSS, "log(x + sqrt(x**2 + 1))", "arcsinh(x)",
     "for negative x the sum cancels; for large |x| the square overflows"),
    (_LOSS, "log(x + sqrt(x**2 - 1))", "arccosh(x)", "near x = 1 digits cancel; for large x the square overflows"),
    (_LOSS, "log((1 + x)/(1 - x))/2", "arctanh(x)", "near x = 0 the quotient is close to 1"),
    (_LOSS, "(exp(x) - exp(-x))/2", "sinh(x)", "near x = 0 the exponentials are close to each other", _NEAR_0),
    (_LOSS, "x**2 - y**2", "(x - y)*(x + y)",
     "where |x| and |y| are close, the rounding of the squares outweighs their difference"),
    (_LOSS, "x**2 - 1", "(x - 1)*(x + 1)", "near |x| = 1 the rounding of the square outweighs the difference"),
    (_LOSS, "1 - x**2", "(1 - x)*(1 + x)", "near |x| = 1 the rounding of the square outweighs the difference"),
    # ---- overflow on the way to a moderate value ----
    (_BIG, "log(1 + exp(x))", "softplus(x)", "exp(x) overflows for x > 709, though the value is about x", _HIGH),
    (_BIG, "log1p(exp(x))", "softplus(x)", "exp(x) overflows for x > 709, though the value is about x", _HIGH),
    (_BIG, "log(exp(a) + exp(b))", "logaddexp(a, b)",
     "the exponentials overflow beyond 709, though the value is about the larger of a and b"),
    (_BIG, "log(1/(1 + exp(-x)))", "-softplus(-x)",
     "exp(-x) overflows for x < -709, and the value is then -inf instead of about x", _LOW),
    (_BIG, "log(sigmoid(x))", "-softplus(-x)",
     "sigmoid(x) underflows to 0 for x < -745, and its logarithm is -inf instead of about x", _LOW),
    (_BIG, "log(cosh(x))", "logaddexp(x, -x) - log(2)",
     "cosh(x) overflows for |x| > 710, though the value is about |x|"),
    (_BIG, "log(exp(x))", "x", "exp(x) overflows for x > 709 and underflows for x < -745"),
    (_BIG, "1/(1 + exp(-x))", "sigmoid(x)", "exp(-x) overflows for x < -709; the derivative is then inf/inf", _LOW),
    (_BIG, "1/(1 + exp(x))", "sigmoid(-x)", "exp(x) overflows for x > 709; the derivative is then inf/inf", _HIGH),
    (_BIG, "exp(x)/(1 + exp(x))", "sigmoid(x)", "inf/inf for x > 709, though the value is 1", _HIGH),
    (_BIG, "exp(a)/(exp(a) + exp(b))", "sigmoid(a - b)", "inf/inf where an exponent passes 709"),
    (_BIG, "(exp(x) - exp(-x))/(exp(x) + exp(-x))", "tanh(x)", "inf/inf for |x| > 709, and near x = 0 digits cancel"),
    (_BIG, "log(exp(lgamma(a))/exp(lgamma(b)))", "lgamma(a) - lgamma(b)",
     "gamma overflows beyond 171, though the ratio is moderate"),
    (_BIG, "exp(lgamma(a))/exp(lgamma(b))", "exp(lgamma(a) - lgamma(b))",
     "gamma overflows beyond 171, though the ratio is moderate"),
    (_BIG, "exp(a)/exp(b)", "exp(a - b)", "an exponential overflows beyond 709, though the ratio may be moderate"),
    (_BIG, "sqrt(x**2 + y**2)", "hypot(x, y)",
     "the squares overflow beyond 1e154; at the origin the derivative is 0/0"),
    (_BIG, "exp(exp(x))", None,
     "overflows for x > 6.57; work with the logarithm, exp(x), as far as possible", (6.5, math.inf)),
    (_BIG, "exp(x**2)", None, "overflows for |x| > 26.7; work with the logarithm, x**2, as far as possible"),
    # ---- values or derivatives that are 0·∞ at one point ----
    (_ZERO, "sqrt(x**2)", "abs(x)", "at x = 0 the root's derivative is infinite and the square's is 0: 0·inf", _AT_0),
    (_ZERO, "x*log(x)", "where(x > 0, x*log(where(x > 0, x, 1)), 0)",
     "at x = 0 this is 0·(-inf), which is NaN; the limit is 0", _AT_0),
    (_ZERO, "sin(x)/x", "where(x == 0, 1, sin(x)/where(x == 0, 1, x))", "at x = 0 this is 0/0; the limit is 1", _AT_0),
    (_ZERO, "(exp(x) - 1)/x", "where(x == 0, 1, expm1(x)/where(x == 0, 1, x))",
     "at x = 0 this is 0/0; the limit is 1", _AT_0),
    (_ZERO, "expm1(x)/x", "where(x == 0, 1, expm1(x)/where(x == 0, 1, x))",
     "at x = 0 this is 0/0; the limit is 1", _AT_0),
    (_ZERO, "log1p(x)/x", "where(x == 0, 1, log1p(x)/where(x == 0, 1, x))",
     "at x = 0 this is 0/0; the limit is 1", _AT_0),
    # ---- general forms of what stands above ----
    (_LOSS, "log(1 + x)", "log1p(x)", "1 + x rounds away the digits of a small x", _NEAR_0),
))
# fmt: on
