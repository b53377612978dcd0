"""SymPy, in and out. SymPy is loaded at the first use.

`to_sympy` writes an expression with SymPy's own functions (`native`) or with functions that can be differentiated over
the reals (sympy_functions.py). `from_sympy` reads SymPy back. Constants go out as the rational numbers that their doubles
are, and the double nearest to π as π. SymPy simplifies what it is given (√x · √x → x), so a round trip keeps values, not
domains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .bounded import within
from .node import Expr, free_variables

#: limit for one conversion
SECONDS = 60.0


def element_name(name: str, position: tuple[int, ...]) -> str:
    """The name of an array's element: ``W[0,1]``; a scalar's own."""
    return f"{name}[{','.join(map(str, position))}]" if position else name


def symbols_for(variables: tuple[Expr, ...], **assumptions: bool) -> dict[Expr, np.ndarray]:
    """A SymPy symbol for every element of every variable. Variables of the same name get different symbols."""
    import sympy

    taken: set[str] = set()
    made: dict[Expr, np.ndarray] = {}
    for v in variables:
        symbol = sympy.Dummy if v.name in taken else sympy.Symbol
        taken.add(v.name)
        made[v] = np.empty(v.shape, dtype=object)
        for position in np.ndindex(v.shape):
            made[v][position] = symbol(element_name(v.name, position), **({} if v.dtype == "bool" else assumptions))
    return made


def to_sympy(f: Expr, native: bool = True) -> Any:
    """`f` as a SymPy expression; an array as an ImmutableMatrix (two axes) or an ImmutableDenseNDimArray.

    Symbols are real and have the variables' names. `native=False` writes the form that can be differentiated, with plain
    symbols: declared real, SymPy would rewrite √(x²) to |x|.
    """
    return within(SECONDS, lambda: _to_sympy(f, native), "writing the expression with SymPy")


def _to_sympy(f: Expr, native: bool) -> Any:
    import sympy

    from .elements import write
    from .sympy_forms import Derivable, Native

    symbols = symbols_for(free_variables(f), **({"real": True} if native else {}))
    s: Any = Native() if native else Derivable()
    (written,) = write([f], s, symbols.__getitem__)
    if native and f.dtype == "bool":
        written = s.map(s.condition, written)
    if f.shape == ():
        return written.item()
    array = sympy.ImmutableDenseNDimArray(list(written.flat), f.shape)
    return array if f.ndim != 2 or f.dtype == "bool" else sympy.ImmutableMatrix(*f.shape, list(written.flat))


def from_sympy(expr: Any, variables: Mapping[str, Expr] | None = None) -> Expr:
    """The expression of a SymPy expression, condition, matrix or array. Shared subexpressions stay shared.

    Symbols become scalar variables of their names, unless `variables` gives other expressions by name; with an array `W`
    among these the symbol ``W[0,1]`` is its element. Complex numbers, unknown functions and what is not carried out
    (`Derivative`, `Integral`) raise UnsupportedError. `DiracDelta` is read as 0: here a jump's derivative is 0 everywhere.
    """
    from .sympy_reader import read

    return within(SECONDS, lambda: read(expr, variables or {}), "reading SymPy's expression")


def lambdified_gradient(f: Expr, names: Sequence[str], wrt: Sequence[str]) -> Callable[..., list]:
    """SymPy's own way from derivative to numbers: `diff`, then `lambdify` with common subexpressions shared."""
    import sympy

    expression = to_sympy(f)
    derivatives = [expression.diff(sympy.Symbol(w, real=True)) for w in wrt]
    return sympy.lambdify(
        [sympy.Symbol(n, real=True) for n in names], derivatives, modules=["scipy", "numpy"], cse=True
    )
