"""Hyperbolic functions and their inverses, from the reductions of the exponential and the logarithm.

Errors in ulp are the largest seen against Arb, in double and in single; NaN gives NaN, and odd functions keep the sign of zero.
"""

from __future__ import annotations

import math
from typing import Any

from .common import FORMAT, clamped, fast_two_sum, horner, two_sum
from .exponential import LN2, LOG2E, expm1_parts, log_of_sum, octaves

# (sinh(r)/r − 1)/r² and (cosh r − 1)/r² in r² ≤ 0.1203: errors below 2^-57 and 2^-56 of sinh and cosh (2^-30, 2^-32)
_SINH = {
    True: (0.16666666666666669, 0.008333333333328873, 0.00019841269866640787, 2.755726444874514e-06, 2.5101880945093462e-08),
    False: (0.1666666716337204, 0.008333150297403336, 0.00019997962226625532),
}  # fmt: skip
_COSH = {
    True: (0.5000000000000001, 0.04166666666662307, 0.0013888888917563066, 2.4801520868833384e-05, 2.7620262053883945e-07),
    False: (0.5, 0.041666511446237564, 0.001393051934428513),
}  # fmt: skip


def _halves(k: Any, x: Any) -> tuple[Any, Any, Any, Any, Any]:
    """For x = n·ln 2 + r ≥ 0: ¼2ⁿ and ¼2⁻ⁿ; r, sinh r − r with what r lacks, and cosh r − 1.

    Then ½ sinh x and ½ cosh x are sums of products, without division.
    """
    bits, bias = FORMAT[k.double]
    high = 710.49 if k.double else 89.5
    x = k.select(x > high, high, x)
    n, biased = octaves(k, x, LOG2E, bias - 2)
    grows = k.as_float(biased << bits)
    falls = k.select(x < 40, k.as_float((2 * bias - 4 - biased) << bits), 0.0)
    first, second = LN2[k.double]
    r, step = k.fma(n, -first, x), n * -second
    z = r + step
    square = z * z
    odd = k.fma(square * horner(k, square, _SINH[k.double]), z, step)
    return grows, falls, r, odd, square * horner(k, square, _COSH[k.double])


def sinh(k: Any, x: Any) -> Any:
    """½ sinh x = ¼(2ⁿ − 2⁻ⁿ) cosh r + ¼(2ⁿ + 2⁻ⁿ) sinh r: 1.24 ulp, 0.93."""
    size = k.abs(x)
    grows, falls, r, odd, even = _halves(k, size)
    plus, minus = grows + falls, grows - falls
    high = k.fma(plus, r, minus)
    low = k.fma(plus, r, minus - high)
    result = high + k.fma(plus, odd, k.fma(minus, even, low))
    # halves of subnormal numbers are not exact
    return k.select(size < 2.0**-30, x, k.copysign(2 * result, x))


def cosh(k: Any, x: Any) -> Any:
    """½ cosh x = ¼(2ⁿ + 2⁻ⁿ) cosh r + ¼(2ⁿ − 2⁻ⁿ) sinh r: 1.28 ulp, 1.13."""
    grows, falls, r, odd, even = _halves(k, k.abs(x))
    plus, lost = fast_two_sum(k, grows, falls)
    return 2 * (plus + k.fma(grows - falls, r + odd, k.fma(plus, even, lost)))


def tanh(k: Any, x: Any) -> Any:
    """m/(m + 2) for m = e^2|x| − 1 as a sum, the quotient made good by its remainder: 0.9 ulp, 0.83."""
    size = 2 * k.abs(x)
    high, low = expm1_parts(k, clamped(k, size, 0.0, 44.0 if k.double else 20.0), 0)
    m, m_low = fast_two_sum(k, high, low)
    d, d_low = two_sum(k, m, 2.0)
    inverse = 1 / d
    q = m * inverse
    remainder = k.fma(-q, d, m) + k.fma(-q, d_low + m_low, m_low)
    return k.copysign(k.fma(remainder, inverse, q), x)


def arcsinh(k: Any, x: Any) -> Any:
    """log(1 + z) with z = a + a²/(1 + √(1 + a²)), a = |x|, z as a sum; log a + log 2 where a is large. 1.23 ulp, 1.25."""
    size = k.abs(x)
    large = size > 2.0**28
    a = k.select(large, 0.0, size)
    square = a * a
    z, z_low = fast_two_sum(k, a, square / (1 + k.sqrt(1 + square)))
    return k.copysign(_log_or_twice(k, size, large, z, z_low), x)


def arccosh(k: Any, x: Any) -> Any:
    """log(1 + z) with z = t + √(x² − 1), t = x − 1, z as a sum; log x + log 2 where x is large. 1.69 ulp, 1.59."""
    large = x > 2.0**28
    a = k.select(large, 1.0, x)
    z, z_low = fast_two_sum(k, k.sqrt(k.fma(a, a, -1.0)), a - 1)
    return k.select(x < 1, math.nan, _log_or_twice(k, x, large, z, z_low))


def _log_or_twice(k: Any, x: Any, large: Any, z: Any, z_low: Any) -> Any:
    """log(1 + z + z_low), or log 2x where that is large."""
    high, low = two_sum(k, z, 1.0)
    result = log_of_sum(k, k.select(large, x, high), k.select(large, 0.0, low + z_low))
    return k.select(x == math.inf, x, result + k.select(large, math.log(2), 0.0))


def arctanh(k: Any, x: Any) -> Any:
    """½ log(1 + z) with z = 2a/(1 − a), a = |x|, z as a sum: 1.22 ulp, 1.21."""
    size = k.abs(x)
    d, d_low = two_sum(k, -size, 1.0)
    inverse = 1 / d
    twice = 2 * size
    z = twice * inverse
    z_low = k.fma(-z, d_low, k.fma(-z, d, twice)) * inverse
    high, low = two_sum(k, z, 1.0)
    result = 0.5 * log_of_sum(k, high, low + z_low)
    return k.copysign(k.select(size < 1, result, k.select(size == 1, math.inf, math.nan)), x)
