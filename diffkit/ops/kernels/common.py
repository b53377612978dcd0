"""Pieces that kernels share: polynomials, exact sums and products, integers and exponents of floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: mantissa bits and exponent bias by precision: FORMAT[k.double]
FORMAT = {True: (52, 1023), False: (23, 127)}


def horner(k: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """c₀ + c₁x + c₂x² + …: least work, longest chain."""
    total = k.number(coefficients[-1])
    for c in coefficients[-2::-1]:
        total = k.fma(total, x, c)
    return total


def estrin(k: Any, x: Any, coefficients: Sequence[float], levels: int = 64) -> Any:
    """The same polynomial with a shorter chain: neighbours are paired in x, pairs in x², …, and after these levels follows Horner.

    Each level halves the chain for one multiplication more. High powers of a small x underflow, which is slow: mind that in single.
    """
    terms = [k.number(c) for c in coefficients]
    while levels and len(terms) > 2:
        paired = [k.fma(b, x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = paired + terms[2 * len(paired) :]
        x, levels = x * x, levels - 1
    total = terms[-1]
    for term in terms[-2::-1]:
        total = k.fma(total, x, term)
    return total


def nearest(k: Any, x: Any) -> tuple[Any, Any]:
    """The nearest integer as float and as integer, for |x| < 2⁵¹ (2²² in single): adding 1.5·2⁵² moves it to the last bits."""
    magic = 6755399441055744.0 if k.double else 12582912.0
    shifted = x + magic
    return shifted - magic, k.as_int(shifted) - k.as_int(k.number(magic))


def clamped(k: Any, x: Any, low: float, high: float) -> Any:
    """x within these bounds, NaN as it is."""
    x = k.select(x < low, low, x)
    return k.select(x > high, high, x)


def to_float(k: Any, i: Any) -> Any:
    """A small integer (|i| < 2⁵¹, 2²² in single) as a float."""
    magic = 6755399441055744.0 if k.double else 12582912.0
    return k.as_float(i + k.as_int(k.number(magic))) - magic


def two_sum(k: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """x + y = s + e exactly (Knuth)."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


def fast_two_sum(k: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """x + y = s + e exactly where |x| ≥ |y| (Dekker)."""
    s = x + y
    return s, y - (s - x)


def two_product(k: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """x · y = p + e exactly."""
    p = x * y
    return p, k.fma(x, y, -p)


def power_of_two(k: Any, i: Any) -> Any:
    """2ⁱ for the exponents of normal numbers."""
    bits, bias = FORMAT[k.double]
    return k.as_float((i + bias) << bits)


def scaled(k: Any, x: Any, i: Any) -> Any:
    """x · 2ⁱ with one rounding where the result is subnormal, for |i| below twice the largest exponent."""
    half = k.shift_signed(i, 1)
    return x * power_of_two(k, half) * power_of_two(k, i - half)
