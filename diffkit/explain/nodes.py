"""Names for the values of a tape: inputs by their own, then v1, v2, … in order of evaluation, the last one f.

A value's *symbol* is a variable with its name, shape and dtype, so a rule of the op table run on symbols writes
the formula that a person would. Beside a symbol stand its relatives: the tangent v̇1, the adjoint v̄1, the derivative v1'.
"""

from __future__ import annotations

import re
from itertools import count
from unicodedata import normalize

from ..expr import latex
from ..expr.kind import DTYPES
from ..expr.node import Expr, node, variable
from ..expr.printing import brief
from ..ops import CONSTANT, VARIABLE
from ..tape import Tape

TANGENT, ADJOINT, PRIME = "\N{COMBINING DOT ABOVE}", "\N{COMBINING MACRON}", "'"
_LATEX = {TANGENT: r"\dot{%s}", ADJOINT: r"\bar{%s}", PRIME: "%s'"}

#: longest formula written out in a cell
WIDEST = 400
#: symbols of this module carry this uid, so that no user's variable can be mistaken for one
_UID = -10


class Formula(str):
    """Text that knows its LaTeX."""

    latex: str

    def __new__(cls, text: str, latex: str) -> Formula:
        made = super().__new__(cls, text)
        made.latex = latex
        return made


def formula(f: Expr, text: str | None = None) -> Formula:
    """An expression over symbols, as text and LaTeX. Accents are composed with their letters where Unicode can."""
    return Formula(
        normalize("NFC", brief(f, WIDEST) if text is None else text), _MARKED.sub(_unmarked, latex.to_latex(f))
    )


def equation(left: Expr, right: Expr, text: str | None = None) -> Formula:
    """``left = right``."""
    a, b = formula(left), formula(right, text)
    return Formula(f"{a} = {b}", f"{a.latex} = {b.latex}")


_MARKED = re.compile(rf"\\mathrm{{([^{{}}]*)([{TANGENT}{ADJOINT}{PRIME}])([^{{}}]*)}}")


def _unmarked(found: re.Match) -> str:
    return _LATEX[found[2]] % latex.name(found[1] + found[3])


def marked(symbol: Expr, mark: str) -> Expr:
    """The tangent, adjoint or derivative that belongs to a symbol: an accent on its first letter, or a prime behind."""
    name = symbol.name or ""
    dtype = symbol.dtype if symbol.dtype.startswith("float") else "float64"
    return variable(name + mark if mark == PRIME else name[:1] + mark + name[1:], symbol.shape, dtype, _UID)


class Nodes:
    """The values of a tape (recorded as written) with their symbols; constants stand for themselves."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        (self.output,) = tape.outputs
        letter = _free_letter(tape.names)
        numbers = count(1)
        self.symbols: list[Expr] = []
        for i, kind in enumerate(tape.kinds):
            if kind.op is CONSTANT:
                self.symbols.append(node(kind, ()))
                continue
            last = i == self.output and "f" not in tape.names
            name = kind.kwargs["name"] if kind.op is VARIABLE else "f" if last else f"{letter}{next(numbers)}"
            dtype = kind.dtype if kind.dtype in DTYPES else "float64"
            self.symbols.append(variable(name, kind.shape, dtype, _UID))

    @property
    def shown(self) -> list[int]:
        """Inputs in their order, then instructions; constants show inside expressions."""
        return [*self.tape.inputs, *self.tape.instructions()]

    def name(self, i: int) -> str:
        return self.symbols[i].name or str(self.symbols[i])

    def varies(self, i: int) -> bool:
        """Whether it can have a derivative: conditions and integers have none."""
        return self.tape.kinds[i].dtype not in ("bool", "int64")

    def arguments(self, i: int) -> list[Expr]:
        return [self.symbols[a] for a in self.tape.args[i]]

    def defined(self, i: int) -> Expr:
        """A value in terms of earlier ones; an input is itself."""
        kind, args = self.tape.kinds[i], self.tape.args[i]
        return node(kind, tuple(self.arguments(i))) if args else self.symbols[i]

    def expression(self, i: int) -> Formula:
        """``x1 / x2``, ``exp(v1)``: the operation of one value, as written."""
        f = self.defined(i)
        infix = f.op.infix if len(f.args) == 2 else None
        return formula(f, f" {infix[0]} ".join(brief(a, WIDEST) for a in f.args) if infix else None)


def _free_letter(names: tuple[str, ...]) -> str:
    """v, unless an input has such a name already."""
    return next(c for c in "vwuzabcdefgh" if not any(re.fullmatch(rf"{c}\d+", n) for n in names))
