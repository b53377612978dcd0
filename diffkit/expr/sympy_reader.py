"""SymPy expressions read as expressions of diffkit: numbers, sums, products, powers and conditions, and the walk over them.

What functions mean is in sympy_meanings.py.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import sympy
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

from . import sympy_functions as own
from .functions import as_expr
from .node import Expr, constant, variable
from .sympy_forms import COMPARE
from .sympy_meanings import (
    NOT_CARRIED_OUT,
    Quotient,
    apply,
    function,
    own_function,
    parameterised,
    refusal,
    unsupported,
)


# ---- numbers ------------------------------------------------------------------------------------------------------
def _exact(p: int) -> bool:
    try:
        return int(float(p)) == p
    except OverflowError:
        return False


def _rational(e: sympy.Rational) -> Quotient:
    """p / q as one constant where that is a double exactly, else as a quotient of two, else the nearest double."""
    p, q = abs(int(e.p)), int(e.q)
    try:
        nearest = float(Fraction(p, q))
    except OverflowError:
        raise unsupported(e, "the number is larger than any double") from None
    if Fraction(nearest) == Fraction(p, q) or not (_exact(p) and _exact(q)):
        return Quotient(e.is_negative, constant(nearest) if nearest != 1 else None)
    return Quotient(e.is_negative, None if p == 1 else constant(float(p)), constant(float(q)))


def _number_symbol(e: Any) -> Expr:
    """Constants with a name: exactly where an operation gives them, else the nearest double."""
    if e is sympy.E:
        return apply("exp", constant(1.0))
    if e is sympy.EulerGamma:
        return -apply("digamma", constant(1.0))
    return constant(float(e.evalf(30)))


# ---- sums, products, powers ---------------------------------------------------------------------------------------
def _add(e: Any, terms: Sequence[Quotient]) -> Expr:
    """A term with a minus is subtracted; a positive one comes first if there is one."""
    first = next((i for i, t in enumerate(terms) if not t.negative), 0)
    total = terms[first].expr
    for i, t in enumerate(terms):
        if i != first:
            total = total - t.magnitude if t.negative else total + t.magnitude
    return total


def _product(factors: Sequence[Expr | None]) -> Expr | None:
    present = [f for f in factors if f is not None]
    return functools.reduce(lambda a, b: a * b, present) if present else None


def _multiply(e: Any, factors: Sequence[Quotient]) -> Quotient:
    negative = sum(f.negative for f in factors) % 2 == 1
    return Quotient(negative, _product([f.numerator for f in factors]), _product([f.denominator for f in factors]))


def _power(e: Any, operands: Sequence[Quotient]) -> Quotient | Expr:
    base, exponent = operands[0].expr, e.exp
    if e.base is sympy.E:
        return apply("exp", operands[1].expr)
    if not exponent.is_Rational:
        return apply("power", base, operands[1].expr)
    p = abs(exponent)
    value = base if p == 1 else apply("sqrt", base) if p == sympy.S.Half else apply("pow", base, p=float(p))
    return Quotient(False, None, value) if exponent.is_negative else Quotient(False, value)


def _factors(e: sympy.Mul) -> tuple[Any, ...]:
    """The factors; sign(u)·|u|^(1/3), as which cube roots are written, is one."""
    args = list(e.args)
    for a in e.args:
        if isinstance(a, sympy.sign):
            root = sympy.Pow(sympy.Abs(a.args[0]), sympy.Rational(1, 3))
            if root in args:
                args.remove(root)
                args[args.index(a)] = own.CubeRoot(a.args[0])
    return tuple(args)


# ---- conditions ---------------------------------------------------------------------------------------------------
_COMPARISON = {cls: name for name, cls in COMPARE.items()}


def _relational(e: Any, operands: Sequence[Quotient]) -> Expr:
    if type(e) not in _COMPARISON:
        raise unsupported(e, "it is no comparison of real numbers")
    return apply(_COMPARISON[type(e)], operands[0].expr, operands[1].expr)


def _folded(name: str) -> Callable[[Any, Sequence[Quotient]], Expr]:
    return lambda e, operands: functools.reduce(lambda a, b: apply(name, a, b), [o.expr for o in operands])


def _exclusive(e: Any, operands: Sequence[Quotient]) -> Expr:
    def differ(a: Expr, b: Expr) -> Expr:
        return apply("logical_and", apply("logical_or", a, b), apply("logical_not", apply("logical_and", a, b)))

    return functools.reduce(differ, [o.expr for o in operands])


def _piecewise(e: Any, operands: Sequence[Quotient]) -> Expr:
    """Nested `where`; NaN where no condition holds."""
    values, conditions = operands[::2], [c for _, c in e.args]
    total = values[-1].expr if conditions[-1] == True else constant(float("nan"))  # noqa: E712
    last = len(values) - (conditions[-1] == True)  # noqa: E712
    for i in range(last - 1, -1, -1):
        total = apply("where", operands[2 * i + 1].expr, values[i].expr, total)
    return total


def _leaf(e: Any) -> Quotient | Expr:
    if isinstance(e, sympy.Rational):
        return _rational(e)
    if isinstance(e, sympy.Float):
        return Quotient(bool(e < 0), constant(abs(float(e))))
    if isinstance(e, sympy.NumberSymbol):
        return _number_symbol(e)
    if e in (sympy.oo, -sympy.oo, sympy.nan):
        return constant(float(e))
    if e in (sympy.true, sympy.false):
        return constant(bool(e))
    if e is sympy.I:
        raise unsupported(e, "it is complex, and diffkit's expressions are real")
    raise unsupported(e, "it has no real value" if e is sympy.zoo else "diffkit has no such constant")


#: how a node of this class is written from its operands; otherwise it is a function
_FORMS: tuple[tuple[Any, Callable[[Any, Sequence[Quotient]], Any]], ...] = (
    (sympy.Add, _add),
    (sympy.Mul, _multiply),
    (sympy.Pow, _power),
    (sympy.Piecewise, _piecewise),
    (Relational, _relational),
    (sympy.And, _folded("logical_and")),
    (sympy.Or, _folded("logical_or")),
    (sympy.Xor, _exclusive),
    (sympy.Not, lambda e, operands: apply("logical_not", operands[0].expr)),
    ((sympy.Heaviside, sympy.polygamma), parameterised),
    (own.Own, own_function),
)


def _operands(e: Any) -> tuple[Any, ...]:
    """What must be read before `e`."""
    if isinstance(e, sympy.Mul):
        return _factors(e)
    if isinstance(e, sympy.Piecewise):
        return tuple(part for pair in e.args for part in pair.args)
    if isinstance(e, sympy.DiracDelta):
        return (sympy.S.Zero,)
    if isinstance(e, NOT_CARRIED_OUT):
        raise unsupported(e, *refusal(e))
    return e.args


def _conditions(e: Any) -> tuple[Any, ...]:
    """Those operands of `e` that are truth values."""
    if isinstance(e, sympy.Piecewise):
        return tuple(c for _, c in e.args)
    return e.args if isinstance(e, BooleanFunction) else ()


class Reader:
    """Reads any number of SymPy expressions; what they share is read once.

    `symbols(symbol, dtype)` gives a symbol's expression; the dtype is "bool" where it first stands for a condition.
    """

    def __init__(self, symbols: Callable[[sympy.Symbol, str], Expr]) -> None:
        self._symbols = symbols
        self._known: dict[Any, Quotient] = {}
        self._conditions: set[Any] = set()

    def __call__(self, root: Any) -> Expr:
        known = self._known
        stack: list[tuple[Any, tuple[Any, ...] | None]] = [(root, None)]
        while stack:
            e, operands = stack.pop()
            if e in known:
                continue
            if operands is None and e.args and not isinstance(e, sympy.matrices.expressions.matexpr.MatrixElement):
                operands = _operands(e)
                self._conditions.update(_conditions(e))
                stack.append((e, operands))
                stack.extend((a, None) for a in reversed(operands) if a not in known)
                continue
            value = self._written(e, [known[a] for a in operands]) if operands else self._atom(e)
            known[e] = value if isinstance(value, Quotient) else Quotient(False, value)
        return known[root].expr

    def _atom(self, e: Any) -> Quotient | Expr:
        if isinstance(e, sympy.matrices.expressions.matexpr.MatrixElement):
            return variable(e.parent.name, tuple(int(n) for n in e.parent.shape))[int(e.i), int(e.j)]
        if isinstance(e, sympy.Symbol):
            return self._symbols(e, "bool" if e in self._conditions else "float64")
        return _leaf(e)

    def _written(self, e: Any, operands: list[Quotient]) -> Quotient | Expr:
        for form, rule in _FORMS:
            if isinstance(e, form):
                return rule(e, operands)
        return function(e, operands)


_ELEMENT = re.compile(r"(.+)\[(\d+(?:, ?\d+)*)\]")


def named(variables: Mapping[str, Expr]) -> Callable[[sympy.Symbol, str], Expr]:
    """Symbols by name: a given variable, an element of a given array (`W[0,1]`), or a new scalar variable."""

    def find(symbol: sympy.Symbol, dtype: str) -> Expr:
        name = symbol.name
        if name in variables:
            return variables[name]
        element = _ELEMENT.fullmatch(name)
        if element and element[1] in variables:
            return variables[element[1]][tuple(int(i) for i in element[2].split(","))]
        return variable(name, dtype=dtype)

    return find


def read(e: Any, variables: Mapping[str, Expr]) -> Expr:
    """A SymPy expression, condition, matrix or array."""
    reader = Reader(named(variables))
    if not isinstance(e, (sympy.MatrixBase, sympy.NDimArray)):
        return reader(sympy.sympify(e))
    elements = np.empty(e.shape, dtype=object)
    for position in np.ndindex(*e.shape):
        elements[position] = reader(e[position])
    return as_expr(elements)
