"""Central differences in balls, on the value alone: a derivative that rests on no derivative rule.

D(h) = (f(x + h) − f(x − h)) / 2h = f' + h² f'''/6 + O(h⁴), so D(2h) − D(h) is three times the truncation error of D(h) to
leading order, and is taken as its bound. At h = 2⁻⁶⁶ |x| it is some 10⁻⁴⁰ of the scale on which f varies, and x ± 2h is
on that side of any kink on which the double x is. A function that varies faster (sin at 10³⁰⁰) gives itself away by a large
bound: h is then reduced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flint import arb

from .balls import NAN, workprec
from .program import Program

#: log₂ of h over |x| (over 1 at x = 0)
STEPS = (-66, -264, -1056)
#: bits beyond those that f(x + h) − f(x − h) cancels, for the result and for |f / (x f')|
EXTRA = (192, 768, 3072)
#: significant bits of a derivative that is to be rounded to a double and a rest, and a radius that passes for zero
WANTED = 72
NEGLIGIBLE = arb(2) ** -1140
#: a difference bears witness if its radius is at most this much of the derivative, or of |f / x|
TELLING = arb(2) ** -30


def accurate(ball: arb) -> bool:
    """Enough significant bits, or zero for every purpose of doubles."""
    return ball.rel_accuracy_bits() >= WANTED or (ball.is_finite() and bool(abs(ball) < NEGLIGIBLE))


def differences(program: Program, x: Sequence[arb], k: int, enough: Callable[[list[arb]], bool]) -> list[arb]:
    """For every output a ball around its derivative by input `k`, NaN where it is not defined on both sides.

    Smaller steps and higher precision are tried until the balls are `enough`.
    """
    scale = abs(x[k]) if x[k] != 0 else arb(1)
    for step in STEPS:
        for extra in EXTRA:
            bits = extra - step
            with workprec(bits):
                h = scale * arb(2) ** step
                near, far = (_quotient(program, x, k, n * h, bits) for n in (1, 2))
                found = [_with_bound(d, abs(f - d)) for d, f in zip(near, far, strict=True)]
                if enough(found):
                    return found
                if not any(_noisy(d, f) for d, f in zip(near, far, strict=True)):
                    break  # truncation, not rounding, is what is left: a smaller step
    return found


def _quotient(program: Program, x: Sequence[arb], k: int, h: arb, bits: int) -> list[arb]:
    moved = list(x)
    moved[k] = x[k] + h
    above = program(moved, bits)
    moved[k] = x[k] - h
    below = program(moved, bits)
    return [(a - b) / (2 * h) for a, b in zip(above, below, strict=True)]


def _with_bound(difference: arb, bound: arb) -> arb:
    if not (difference.is_finite() and bound.is_finite()):
        return NAN
    return difference + arb(0, bound.upper())


def _noisy(near: arb, far: arb) -> bool:
    """The radius of D(h) is more than a sixteenth of its truncation."""
    return near.is_finite() and far.is_finite() and not bool(16 * near.rad() < abs(far.mid() - near.mid()))


def telling(derivative: arb, difference: arb, scale: arb) -> bool:
    """True where the difference is narrow enough to mean something, or is not defined."""
    return not difference.is_finite() or bool(difference.rad() <= TELLING * max(abs(derivative).upper(), scale))
