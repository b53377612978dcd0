"""The remainder of a division, exactly."""

from __future__ import annotations

from typing import Any


def fmod(k: Any, x: Any, y: Any) -> Any:
    """x − n·y for the integer n = x/y rounded towards 0: exact, with the sign of x. NaN at y = 0 and at infinite x.

    r − n·y has no rounding where n is r/y rounded, to a double or to an integer (S. Boldo and M. Daumas, "Representable correcting
    terms for possibly underflowing floating point operations", 2003). A quotient that was rounded up to an integer leaves r < 0.
    """
    a, b = k.abs(x), k.abs(y)
    r = _less(k, a, b)
    r = k.rarely(a >= b * (2.0**53 if k.double else 2.0**24), _fmod_far, k.select(r < 0.0, r + b, r), a, b)
    return k.copysign(k.select(a < b, a, r), x)  # (b may be infinite)


def _less(k: Any, r: Any, b: Any) -> Any:
    """r less a multiple of b: by all that its quotient says."""
    return k.fma(-k.trunc(r / b), b, r)


def _fmod_far(k: Any, a: Any, b: Any) -> Any:
    """By multiples of b so large that no quotient overflows first. A step takes the bits of a significand off the quotient."""
    octaves, steps = (700, 14) if k.double else (100, 5)
    large = b * 2.0**octaves
    r = a
    for multiple in (large * 2.0**octaves, large, b):
        rest = r
        for _ in range(steps):
            rest = _less(k, rest, multiple)
        r = k.select(multiple > a, r, rest)  # infinity would be no multiple
    return k.select(r < 0.0, r + b, r)
