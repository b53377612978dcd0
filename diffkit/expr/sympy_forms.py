"""The namespaces `s` for SymPy: with which functions the `sympy` rules of the op table write.

`Native` uses SymPy's own functions, for people. `Derivable` uses ours (sympy_functions.py) where SymPy's cannot be differentiated
over the reals, `Evaluable` also where what SymPy derives overflows in doubles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy

from . import sympy_functions as own
from .elements import ArrayFunctions

#: exponents with which SymPy may raise numbers: it works powers and roots out in integers ((3x)^0.1 by a root of order 2⁵⁵)
LARGEST_POWER, LARGEST_ROOT = 64, 64

COMPARE = {
    "less": sympy.StrictLessThan,
    "less_equal": sympy.LessThan,
    "greater": sympy.StrictGreaterThan,
    "greater_equal": sympy.GreaterThan,
    "equal": sympy.Eq,
    "not_equal": sympy.Ne,
}


def number(value: float) -> sympy.Expr:
    """A double as the rational number that it is; the double nearest to π as π itself."""
    if isinstance(value, float) and not math.isfinite(value):
        return sympy.nan if math.isnan(value) else sympy.oo if value > 0 else -sympy.oo
    if value == math.pi:
        return sympy.pi
    return sympy.Rational(*value.as_integer_ratio()) if isinstance(value, float) else sympy.Integer(int(value))


def _harmless(p: sympy.Rational) -> bool:
    return abs(p.p) <= LARGEST_POWER and p.q <= LARGEST_ROOT


class _Sympy(ArrayFunctions):
    """What both namespaces share."""

    pi = sympy.pi
    number = staticmethod(number)
    Add, Mul = sympy.Add, sympy.Mul
    exp, log, sqrt = sympy.exp, sympy.log, staticmethod(sympy.sqrt)
    sin, cos, tan, asin, acos, atan, atan2 = (
        sympy.sin,
        sympy.cos,
        sympy.tan,
        sympy.asin,
        sympy.acos,
        sympy.atan,
        sympy.atan2,
    )
    sinh, cosh, tanh, asinh, acosh, atanh = sympy.sinh, sympy.cosh, sympy.tanh, sympy.asinh, sympy.acosh, sympy.atanh
    erf, erfc = sympy.erf, sympy.erfc


class Native(_Sympy):
    """SymPy's own functions. A condition in the place of a number is Piecewise((1, condition), (0, True))."""

    @staticmethod
    def sigmoid(x: Any) -> sympy.Expr:
        return 1 / (1 + sympy.exp(-x))

    @staticmethod
    def softplus(x: Any) -> sympy.Expr:
        return sympy.log(1 + sympy.exp(x))

    @staticmethod
    def hypot(x: Any, y: Any) -> sympy.Expr:
        return sympy.sqrt(x**2 + y**2)

    @staticmethod
    def condition(value: Any) -> Any:
        """A number as a condition: it is nonzero."""
        if isinstance(value, sympy.Piecewise) and len(value.args) == 2 and [e for e, _ in value.args] == [1, 0]:
            return value.args[0].cond
        return value if isinstance(value, sympy.Symbol) and value.is_real is None else sympy.Ne(value, 0)

    @staticmethod
    def _indicator(condition: Any) -> sympy.Expr:
        return sympy.Piecewise((1, condition), (0, True))

    def compare(self, name: str, x: Any, y: Any) -> sympy.Expr:
        return self._indicator(COMPARE[name](x, y))

    def And(self, x: Any, y: Any) -> sympy.Expr:
        return self._indicator(sympy.And(self.condition(x), self.condition(y)))

    def Or(self, x: Any, y: Any) -> sympy.Expr:
        return self._indicator(sympy.Or(self.condition(x), self.condition(y)))

    def Not(self, x: Any) -> sympy.Expr:
        return self._indicator(sympy.Not(self.condition(x)))

    def Piecewise(self, chosen: tuple[Any, Any], otherwise: tuple[Any, Any]) -> sympy.Expr:
        return sympy.Piecewise((chosen[0], self.condition(chosen[1])), (otherwise[0], True))

    lgamma, digamma, polygamma = sympy.loggamma, sympy.digamma, sympy.polygamma

    @staticmethod
    def cbrt(x: Any) -> sympy.Expr:
        return sympy.sign(x) * sympy.Abs(x) ** sympy.Rational(1, 3)

    @staticmethod
    def Pow(x: Any, p: Any) -> sympy.Expr:
        """A constant exponent that is the double nearest to a small fraction is written as that fraction."""
        p = sympy.sympify(p)
        if p.is_Rational and not _harmless(p):
            near = sympy.Rational(Fraction(int(p.p), int(p.q)).limit_denominator(LARGEST_ROOT))
            p = near if _harmless(near) and float(near) == float(p) else p.n(17)
        return sympy.Pow(x, p)

    # `at` and `slope` choose a derivative at a kink, which SymPy's own functions cannot express
    @staticmethod
    def floor(x: Any, slope: float) -> sympy.Expr:
        return sympy.floor(x)

    @staticmethod
    def ceil(x: Any, slope: float) -> sympy.Expr:
        return sympy.ceiling(x)

    @staticmethod
    def trunc(x: Any, slope: float) -> sympy.Expr:
        return sympy.sign(x) * sympy.floor(sympy.Abs(x))

    @staticmethod
    def round(x: Any, slope: float) -> sympy.Expr:
        return own.Round(x, number(slope))  # SymPy has none

    @staticmethod
    def sign(x: Any, slope: float) -> sympy.Expr:
        return sympy.sign(x)

    @staticmethod
    def abs(x: Any, at: float) -> sympy.Expr:
        return sympy.Abs(x)

    @staticmethod
    def maximum(x: Any, y: Any, at: float) -> sympy.Expr:
        return sympy.Max(x, y)

    @staticmethod
    def minimum(x: Any, y: Any, at: float) -> sympy.Expr:
        return sympy.Min(x, y)

    @staticmethod
    def max(*xs_at: Any) -> sympy.Expr:
        return sympy.Max(*xs_at[:-1])

    @staticmethod
    def min(*xs_at: Any) -> sympy.Expr:
        return sympy.Min(*xs_at[:-1])

    @staticmethod
    def step(x: Any, y: Any, at: float) -> sympy.Expr:
        return sympy.Heaviside(x - y, number(at))


def _with_number(function: type[own.Own]) -> Any:
    """The last argument, a derivative at the kink, enters as the number that it is."""
    return staticmethod(lambda *args: function(*args[:-1], number(args[-1])))


class Derivable(_Sympy):
    """Functions with usable derivatives; conditions are functions with values 0 and 1."""

    cbrt, lgamma, polygamma = own.CubeRoot, own.LogAbsGamma, own.Polygamma
    erfc, acos, hypot = own.ComplementaryError, own.ArcCosine, own.Hypotenuse
    sinh, cosh, tanh = own.HyperbolicSine, own.HyperbolicCosine, own.HyperbolicTangent
    sigmoid, softplus = own.Sigmoid, own.Softplus
    And, Or, Not = (own.CONDITIONS[n] for n in ("logical_and", "logical_or", "logical_not"))

    @staticmethod
    def Pow(x: Any, p: Any) -> sympy.Expr:
        p = sympy.sympify(p)
        return own.FixedPower(x, p) if p.is_Rational and not _harmless(p) else sympy.Pow(x, p)

    @staticmethod
    def digamma(x: Any) -> sympy.Expr:
        return own.Polygamma(0, x)

    @staticmethod
    def compare(name: str, x: Any, y: Any) -> sympy.Expr:
        return own.CONDITIONS[name](x, y)

    @staticmethod
    def Piecewise(chosen: tuple[Any, Any], otherwise: tuple[Any, Any]) -> sympy.Expr:
        return own.Conditional(chosen[1], chosen[0], otherwise[0])

    abs, maximum, minimum, step = map(_with_number, (own.AbsoluteValue, own.Maximum, own.Minimum, own.Step))
    max, min = map(_with_number, (own.Largest, own.Smallest))
    sign, floor, ceil, trunc, round = map(_with_number, (own.Sign, own.Floor, own.Ceil, own.Trunc, own.Round))


class Evaluable(Derivable):
    """For derivatives that are evaluated in doubles. The certified truth, which does not overflow, derives the plain formulas."""

    def logaddexp(self, x: Any, y: Any) -> Any:
        return own.LogSumExp(x, y)

    def logsumexp(self, x: Any, axes: Sequence[int], keepdims: bool) -> Any:
        return self.fold(own.LogSumExp, x, axes, keepdims)

    def log_softmax(self, x: Any, axes: Sequence[int]) -> Any:
        total = self.logsumexp(x, axes, True)
        return self.map(lambda e, t: own.LogSoftmax(t.args.index(e), *t.args), x, total)
