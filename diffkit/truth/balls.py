"""Functions of real balls (Arb), three-valued: where a ball does not decide the answer, the result is NaN.

A ball is an interval that holds the true value (F. Johansson, "Arb: efficient arbitrary-precision midpoint-radius interval
arithmetic", IEEE Trans. Computers 66, 2017). NaN spreads through every function here, but not from a branch that is not
taken, so a finite result means that all that led to it was decided and inside its domain. Why a NaN arose is asked
afterwards (`Primitive.refused`): certainly outside the domain, certainly at a kink, or undecided at this precision.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import acb, arb, ctx, fmpq

ZERO, ONE, NAN = arb(0), arb(1), arb("nan")

#: python-flint's precision belongs to the process
LOCK = threading.RLock()

#: integer exponents up to this size are done by repeated multiplication
LARGEST_EXPONENT = 1 << 30


@dataclass(frozen=True)
class Primitive:
    """One function of balls; `static` parameters come first."""

    function: Callable[..., Any]
    #: (*static, *balls) -> what is certainly wrong with these arguments, or "" where the balls do not decide
    refused: Callable[..., str] = lambda *args: ""
    #: "nonfinite" (outside the domain) or "kink"
    outcome: str = "nonfinite"


def workprec(bits: int) -> Any:
    return ctx.workprec(bits)


_NAMED = {"pi": arb.pi, "Exp1": arb.const_e, "EulerGamma": arb.const_euler, "Catalan": arb.const_catalan}


def constant(value: Fraction | str) -> arb:
    """A leaf at the precision in force: a fraction, a named constant, or "inf", "-inf", "nan"."""
    if isinstance(value, Fraction):
        return arb(fmpq(value.numerator, value.denominator))
    return _NAMED[value]() if value in _NAMED else arb(value)


# ---- powers and roots -----------------------------------------------------------------------------------------------
def inverse(x: arb) -> arb:
    return 1 / x


def pow_fixed(p: Fraction, x: arb) -> arb:
    if p.denominator == 1 and abs(p) <= LARGEST_EXPONENT:
        return x ** int(p)
    return x ** arb(fmpq(p.numerator, p.denominator))


def _pow_fixed_refused(p: Fraction, x: arb) -> str:
    if p < 0 and x == 0:
        return "division by zero"
    return f"a power {float(p):g} of a negative number" if p.denominator != 1 and x < 0 else ""


def _power_refused(x: arb, y: arb) -> str:
    if x == 0 and y < 0:
        return "division by zero"
    return "a power of a negative number" if x < 0 and not y.contains_integer() else ""


def cube_root(x: arb) -> arb:
    if x > 0:
        return x.root(3)
    return -((-x).root(3)) if x < 0 else ZERO if x == 0 else NAN


# ---- gamma functions ------------------------------------------------------------------------------------------------
def log_abs_gamma(x: arb) -> arb:
    return x.lgamma() if x > 0 else abs(x.gamma()).log()


def polygamma(n: int, x: arb) -> arb:
    if x > 0:  # ψ⁽ⁿ⁾(x) = (−1)ⁿ⁺¹ n! ζ(n + 1, x)  (DLMF 25.11.12)
        value = arb(n + 1).zeta(x) * arb(n).fac() if n else x.digamma()
        return value if n % 2 else -value if n else value
    if n > 1:
        return NAN  # the operation is defined for x > 0 there
    return x.digamma() if n == 0 else acb(n).polygamma(acb(x)).real


def _pole(x: arb) -> str:
    return "a pole of the gamma function" if x.is_integer() and x <= 0 else ""


def _polygamma_refused(n: int, x: arb) -> str:
    return "polygamma of a negative number" if n > 1 and x <= 0 else _pole(x)


# ---- jumps and kinks ------------------------------------------------------------------------------------------------
def _whole(x: arb) -> arb:
    return x if x.is_exact() else NAN


def floor(x: arb) -> arb:
    return _whole(x.floor())


def ceil(x: arb) -> arb:
    return _whole(x.ceil())


def trunc(x: arb) -> arb:
    return floor(x) if x >= 0 else ceil(x) if x < 0 else ZERO if abs(x) < 1 else NAN


def round_to_even(x: arb) -> arb:
    r = floor(x + 0.5)
    if r - x == 0.5 and not (r / 2).is_integer():
        return r - 1
    return r


def sign(x: arb) -> arb:
    return ONE if x > 0 else -ONE if x < 0 else ZERO if x == 0 else NAN


def step(x: arb, y: arb) -> arb:
    return ONE if x > y else ZERO if x < y else NAN


def maximum(x: arb, y: arb) -> arb:
    return x if x >= y else y if y >= x else x.max(y)


def minimum(x: arb, y: arb) -> arb:
    return x if x <= y else y if y <= x else x.min(y)


def largest(*xs: arb) -> arb:
    best = xs[0]
    for x in xs[1:]:
        best = maximum(best, x)
    return best


def smallest(*xs: arb) -> arb:
    best = xs[0]
    for x in xs[1:]:
        best = minimum(best, x)
    return best


def share(i: int, sense: int, *xs: arb) -> arb:
    """1 if argument i is the only largest (sense 1) or smallest (−1), 0 if another one beats it."""
    mine = sense * xs[i]
    others = [sense * x for k, x in enumerate(xs) if k != i]
    if any(x > mine for x in others):
        return ZERO
    return ONE if all(mine > x for x in others) else NAN


def _share_refused(i: int, sense: int, *xs: arb) -> str:
    return _tie(xs[i], xs[i]) if any(xs[i] == x for k, x in enumerate(xs) if k != i) else ""


def _tie(x: arb, y: arb) -> str:
    return "two arguments are equal" if x == y else ""


def guard(name: str, value: arb, *switches: arb) -> arb:
    """The value, where no switching quantity is zero."""
    for q in switches:
        if not (q > 0 or q < 0):
            return NAN
    return value


def _guard_refused(name: str, value: arb, *switches: arb) -> str:
    return f"a kink or jump of {name}" if any(q == 0 for q in switches) else ""


# ---- conditions: 1, 0 or NaN ------------------------------------------------------------------------------------------
def _decided(true: Callable[[arb, arb], bool], false: Callable[[arb, arb], bool]) -> Callable[[arb, arb], arb]:
    return lambda x, y: ONE if true(x, y) else ZERO if false(x, y) else NAN


def both(x: arb, y: arb) -> arb:
    return ZERO if x == 0 or y == 0 else ONE if x != 0 and y != 0 else NAN


def either(x: arb, y: arb) -> arb:
    return ONE if x != 0 or y != 0 else ZERO if x == 0 and y == 0 else NAN


def negation(x: arb) -> arb:
    return ONE if x == 0 else ZERO if x != 0 else NAN


def choose(c: arb, x: arb, y: arb) -> arb:
    return y if c == 0 else x if c != 0 else NAN


def _outside(bad: Callable[..., bool], text: str) -> Callable[..., str]:
    return lambda *args: text if bad(*args) else ""


_ARC_COSINE = Primitive(arb.acos, _outside(lambda x: abs(x) > 1, "the arc cosine of a number beyond ±1"))

PRIMITIVES: dict[str, Primitive] = {
    "add": Primitive(lambda x, y: x + y),
    "mul": Primitive(lambda x, y: x * y),
    "neg": Primitive(lambda x: -x),
    "inv": Primitive(inverse, _outside(lambda x: x == 0, "division by zero")),
    "pow": Primitive(pow_fixed, _pow_fixed_refused),
    "power": Primitive(lambda x, y: x**y, _power_refused),
    "sqrt": Primitive(arb.sqrt, _outside(lambda x: x < 0, "the square root of a negative number")),
    "cbrt": Primitive(cube_root),
    "hypot": Primitive(lambda x, y: (x * x + y * y).sqrt()),
    "sigmoid": Primitive(lambda x: 1 / (1 + (-x).exp()), _outside(lambda x: abs(x) > 2**60, "overflow")),
    "softplus": Primitive(lambda x: (1 + x.exp()).log(), _outside(lambda x: abs(x) > 2**60, "overflow")),
    "exp": Primitive(arb.exp, _outside(lambda x: abs(x) > 2**60, "overflow")),
    "log": Primitive(arb.log, _outside(lambda x: x <= 0, "the logarithm of a number that is not positive")),
    "sin": Primitive(arb.sin),
    "cos": Primitive(arb.cos),
    "tan": Primitive(arb.tan),
    "asin": Primitive(arb.asin, _outside(lambda x: abs(x) > 1, "the arc sine of a number beyond ±1")),
    "acos": _ARC_COSINE,
    "arccos": _ARC_COSINE,
    "atan": Primitive(arb.atan),
    "atan2": Primitive(arb.atan2, _outside(lambda y, x: y == 0 and x == 0, "the angle of the origin"), "kink"),
    "sinh": Primitive(arb.sinh, _outside(lambda x: abs(x) > 2**60, "overflow")),
    "cosh": Primitive(arb.cosh, _outside(lambda x: abs(x) > 2**60, "overflow")),
    "tanh": Primitive(arb.tanh),
    "asinh": Primitive(arb.asinh),
    "acosh": Primitive(arb.acosh, _outside(lambda x: x < 1, "the inverse hyperbolic cosine of a number below 1")),
    "atanh": Primitive(
        arb.atanh, _outside(lambda x: abs(x) >= 1, "the inverse hyperbolic tangent of a number not within ±1")
    ),
    "erf": Primitive(arb.erf),
    "erfc": Primitive(arb.erfc),
    "lgamma": Primitive(log_abs_gamma, _outside(lambda x: bool(_pole(x)), "a pole of the gamma function")),
    "polygamma": Primitive(polygamma, _polygamma_refused),
    "abs": Primitive(abs),
    "sign": Primitive(sign, outcome="kink"),
    "floor": Primitive(floor, outcome="kink"),
    "ceil": Primitive(ceil, outcome="kink"),
    "trunc": Primitive(trunc, outcome="kink"),
    "round": Primitive(round_to_even, outcome="kink"),
    "step": Primitive(step, _tie, "kink"),
    "maximum": Primitive(maximum),
    "minimum": Primitive(minimum),
    "max": Primitive(largest),
    "min": Primitive(smallest),
    "share of extreme": Primitive(share, _share_refused, "kink"),
    "less": Primitive(_decided(lambda x, y: x < y, lambda x, y: x >= y), outcome="kink"),
    "less_equal": Primitive(_decided(lambda x, y: x <= y, lambda x, y: x > y), outcome="kink"),
    "greater": Primitive(_decided(lambda x, y: x > y, lambda x, y: x <= y), outcome="kink"),
    "greater_equal": Primitive(_decided(lambda x, y: x >= y, lambda x, y: x < y), outcome="kink"),
    "equal": Primitive(_decided(lambda x, y: x == y, lambda x, y: x != y), outcome="kink"),
    "not_equal": Primitive(_decided(lambda x, y: x != y, lambda x, y: x == y), outcome="kink"),
    "logical_and": Primitive(both),
    "logical_or": Primitive(either),
    "logical_not": Primitive(negation),
    "where": Primitive(choose),
    "guard": Primitive(guard, _guard_refused, "kink"),
}


def relevant(name: str, balls: tuple[arb, ...]) -> tuple[int, ...]:
    """The operands that a NaN of this function can have come from: of `where` only the condition and the branch taken."""
    if name != "where":
        return tuple(range(len(balls)))
    condition = balls[0]
    return (0, 2) if condition == 0 else (0, 1) if condition != 0 else (0,)
