"""Cube root and the length of a vector."""

from __future__ import annotations

from math import inf
from typing import Any


def cbrt(k: Any, x: Any) -> Any:
    """The cube root."""
    a = k.abs(x)
    tiny = a < (2.0**-900 if k.double else 2.0**-90)
    a = a * k.select(tiny, 2.0**162 if k.double else 2.0**72, 1.0)
    y = _inverse_guess(k, a)
    for _ in range(2 if k.double else 1):
        e = k.fma(-(a * y), y * y, 1.0)
        y = k.fma(y * e, k.fma(e, k.fma(e, 14 / 81, 2 / 9), 1 / 3), y)
    root = a * (y * y)
    square = root * root
    e = k.fma(-square, root, a) - k.fma(root, root, -square) * root
    root = k.fma(e, y * y * (1 / 3), root)
    root = root * k.select(tiny, 2.0**-54 if k.double else 2.0**-24, 1.0)
    return k.copysign(k.select(a < inf, root, a), x)


def _inverse_guess(k: Any, a: Any) -> Any:
    """a to the power −⅓ within 4 %: a third of the exponent."""
    half, third, bias = (32, 0x55555555, 0x553EF0FF) if k.double else (16, 0x5555, 0x54A2)
    return k.as_float((k.int(bias) - ((k.as_int(a) >> half) * third >> half)) << half)


def hypot(k: Any, x: Any, y: Any) -> Any:
    """√(x² + y²)."""
    a, b = k.abs(x), k.abs(y)
    less = a < b
    high, low = k.select(less, b, a), k.select(less, a, b)
    exponent, place = (k.as_int(high) & (0x7F8 << 52), 52) if k.double else (k.as_int(high) & (0xF8 << 23), 23)
    scale = k.as_float(k.int((0x7FD if k.double else 0xFD) << place) - exponent)
    high, low = high * scale, low * scale
    length = k.sqrt(k.fma(high, high, low * low)) * k.as_float(exponent + (1 << place))
    return k.select((a == inf) | (b == inf), inf, length)
