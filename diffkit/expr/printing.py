"""Expressions as text that `parse` reads back, and short forms of it for messages.

`spell(node)` writes one node as pieces: strings, and the arguments that stand between them. Everything else here
(measuring, joining, cutting) works on such a function without recursion; latex.py brings its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import ExceededError
from .node import Expr, topological

#: A shared node is spelled out wherever it is used, so a small graph can be an enormous text.
MAX_CHARACTERS = 200_000

#: binding strengths that are not those of an infix operation
COMPARISON, NEGATIVE, POWER, ATOM = 5, 30, 40, 100

Pieces = Sequence["str | Expr"]


def to_text(f: Expr) -> str:
    """Text with as few parentheses as possible; `parse` makes the same object of it if all is scalar and float64.

    (And if its variables have names that are not functions' names, and no part of it is a constant like 1/0.)
    """
    if length(f, spell, MAX_CHARACTERS) > MAX_CHARACTERS:
        raise ExceededError(
            f"written out, this expression has more than {MAX_CHARACTERS:,} characters ({operations(f):,} operations, "
            "and shared ones are repeated). to_source() and print(dk.tape(f)) write each operation once."
        )
    return "".join(emit(f, spell))


def brief(f: Expr, width: int = 80) -> str:
    """At most `width` characters of the text, whatever the size of the expression."""
    text = _beginning(emit(f, spell), width + 1)
    if len(text) <= width:
        return text
    return shorten(text + _beginning((p[::-1] for p in emit(f, spell, backwards=True)), width)[::-1], width)


def shorten(text: str, width: int = 80) -> str:
    """The text, with its middle cut out where it is longer than `width`."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def operations(f: Expr) -> int:
    """Number of operations, shared ones counted once."""
    return sum(bool(n.args) for n in topological(f))


# ---- writing pieces ---------------------------------------------------------------------------------------------
def length(root: Expr, spell: Callable[[Expr], Pieces], limit: int) -> int:
    """Length of the text, known without writing it; limit + 1 if any part of it is longer than the limit."""
    lengths: dict[int, int] = {}
    for n in topological(root):
        total = lengths[id(n)] = sum(len(p) if isinstance(p, str) else lengths[id(p)] for p in spell(n))
        if total > limit:
            return limit + 1
    return lengths[id(root)]


def emit(root: Expr, spell: Callable[[Expr], Pieces], backwards: bool = False) -> Iterator[str]:
    """The strings of the text from left to right, or from right to left."""
    stack: list[str | Expr] = [root]
    while stack:
        piece = stack.pop()
        if isinstance(piece, str):
            yield piece
        else:
            pieces = spell(piece)
            stack.extend(pieces if backwards else reversed(pieces))


def _beginning(strings: Iterator[str], width: int) -> str:
    found, total = [], 0
    for s in strings:
        found.append(s)
        total += len(s)
        if total >= width:
            break
    return "".join(found)[:width]


# ---- the spelling of the language -------------------------------------------------------------------------------
def spell(n: Expr) -> Pieces:
    op, args = n.op, n.args
    if op.family == "leaf":
        return [n.name if n.name is not None else value_text(n.params["value"])]
    if op.name == "pow":
        return [*operand(args[0], POWER + 1), "**", value_text(n.params["p"])]
    if op.infix and len(args) == 1:
        return [op.infix[0], *operand(args[0], op.infix[1])]
    if op.infix:
        symbol, strength = op.infix
        left, right = sides(strength)
        spaced = f" {symbol} " if strength <= 10 or symbol == "@" else symbol
        return [*operand(args[0], left), spaced, *operand(args[1], right)]
    return call(op.name, args, n)


def strength(n: Expr) -> int:
    """How strongly the outermost operator of a node's text binds."""
    if n.op.infix:
        return n.op.infix[1]
    if n.op.name == "pow":
        return POWER
    value = n.number
    return NEGATIVE if value is not None and math.copysign(1, value) < 0 else ATOM


def sides(strength: int) -> tuple[int, int]:
    """What an infix operation's operands must bind with to stand without parentheses."""
    if strength == POWER:  # from the right; -x may be an exponent
        return POWER + 1, NEGATIVE
    return strength + (strength == COMPARISON), strength + 1


def operand(n: Expr, least: int) -> Pieces:
    return ["(", n, ")"] if strength(n) < least else [n]


def call(name: str, args: Sequence[Expr], n: Expr) -> Pieces:
    return [f"{name}(", *separated((*args, *params_text(n))), ")"]


def separated(items: Sequence[str | Expr], separator: str = ", ") -> Pieces:
    return [p for item in items for p in (item, separator)][:-1]


def params_text(n: Expr) -> list[str]:
    """Static parameters as named arguments; all but transpose say `axis`, as NumPy does."""
    axis = {"axes": "axis"} if n.op.name != "transpose" else {}
    return [f"{axis.get(k, k)}={v if isinstance(v, bool) else value_text(v)}" for k, v in n.kind.params]


def value_text(value: Any) -> str:
    """A constant or a static parameter."""
    if isinstance(value, bool):
        return "true()" if value else "false()"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, tuple) and value[:1] == ("array",):
        return f"array({', '.join(map(str, value[1]))})"
    if isinstance(value, tuple) and value[:1] == ("slice",):
        return ":".join("" if v is None else str(v) for v in value[1 : 3 if value[3] is None else 4])
    if isinstance(value, tuple):
        return f"({', '.join(map(value_text, value))}{',' * (len(value) == 1)})"
    return "..." if value is Ellipsis else repr(value) if isinstance(value, str) else str(value)


def number_text(value: float) -> str:
    """The shortest decimal that reads back to the same double; integers without a point."""
    size = abs(value)
    if size == math.inf:
        digits = "inf()"
    elif size != size:
        digits = "nan()"
    elif size == math.pi:
        digits = "pi"
    else:
        mantissa, _, exponent = repr(float(size)).removesuffix(".0").partition("e")
        digits = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return f"-{digits}" if math.copysign(1, value) < 0 else digits
