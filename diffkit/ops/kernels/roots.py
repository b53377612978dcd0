"""Cube root and the length of a vector."""

from __future__ import annotations

from math import inf
from typing import Any

from .common import horner

#: (1 − e)^(−⅓) = 1 + e·(…), its series
_INVERSE_CUBE_ROOT = (1 / 3, 2 / 9, 14 / 81)


def cbrt(k: Any, x: Any) -> Any:
    """The cube root, without a division: y ≈ a^(−⅓) from a third of the exponent (within 4 %), improved by the series of
    (1 − e)^(−⅓) at e = 1 − a·y³ to four and then three orders, and one Newton step for ∛a = a·y² with its residual exact.

    Errors: 0.501 and 0.57 ulp. Zeros and infinities keep their sign.
    """
    a = k.abs(x)
    shrink, grow, small = (2.0**-54, 2.0**162, 2.0**-900) if k.double else (2.0**-24, 2.0**72, 2.0**-90)
    tiny = a < small  # where the residual would underflow
    m = a * k.select(tiny, grow, 1.0)
    half, third, bias = (32, 0x55555555, 0x553EF0FF) if k.double else (16, 0x5555, 0x54A1)
    y = k.as_float((k.int(bias) - (((k.as_int(m) >> half) * third) >> half)) << half)
    for order in (3, 2) if k.double else (3,):
        e = k.fma(-(m * y), y * y, 1.0)
        y = k.fma(y * e, horner(k, e, _INVERSE_CUBE_ROOT[:order]), y)
    w = y * y
    root = m * w
    square = root * root
    residual = k.fma(-square, root, m) - k.fma(root, root, -square) * root
    root = k.fma(residual, w * (1 / 3), root) * k.select(tiny, shrink, 1.0)
    return k.copysign(k.select(a < inf, root, a), x)


def hypot(k: Any, x: Any, y: Any) -> Any:
    """√(x² + y²): both scaled by a power of two, one of each 8, that brings the larger into [½, 128).

    Errors: 1.00 and 0.99 ulp. An infinity wins over NaN.
    """
    a, b = k.abs(x), k.abs(y)
    less = a < b
    high, low = k.select(less, b, a), k.select(less, a, b)
    place, field, largest = (52, 0x7F8, 0x7FD) if k.double else (23, 0xF8, 0xFD)
    exponent = k.as_int(high) & (field << place)
    scale = k.as_float(k.int(largest << place) - exponent)
    high, low = high * scale, low * scale
    length = k.sqrt(k.fma(high, high, low * low)) * k.as_float(exponent + (1 << place))
    return k.select((a == inf) | (b == inf), inf, length)
