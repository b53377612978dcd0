"""einsum: sums of products named by subscripts, as matrix products.

Each operand loses first what it can lose alone: diagonals are taken, axes that occur nowhere else are summed. opt_einsum
says in which order the operands are paired, and each pair is one (stacked) matrix product of reshaped operands; only
where nothing is summed, or nothing is left over on either side, is it an elementwise product.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ShapeError, UnsupportedCallError
from . import functions as dk
from .compositions import diagonal
from .node import Expr
from .operands import as_expr, refuse
from .publishing import composition

#: one label for every axis: a letter, or "...3" for the third axis from the end of what an ellipsis stands for
Labels = tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """An operand and the labels of its axes."""

    x: Expr
    labels: Labels

    def length(self, label: str) -> int:
        return self.x.shape[self.labels.index(label)]


@composition
def einsum(*operands: Any, out: Any = None, optimize: Any = True, **ignored: Any) -> Any:
    """Sum of products over named axes, as numpy.einsum: einsum("ij,jk->ik", a, b), or einsum(a, [0, 1], b, [1, 2], [0, 2]).

    A letter twice in one operand takes the diagonal; a letter that the result lacks is summed over; without `->` the result has
    the letters that occur once, in alphabetical order; an ellipsis stands for axes that broadcast. The order of the products is
    opt_einsum's (`optimize` is its argument of that name). Raises ShapeError, naming the subscript and the sizes.
    """
    refuse("einsum", {"out": out, **{k: v for k, v in ignored.items() if (k, v) not in _DEFAULTS}})
    text, given = _spelled(operands)
    arrays = [as_expr(x) for x in given]
    terms, result = _labelled(text, arrays)
    terms = _broadcast(text, terms)
    wanted = set(result)
    for i, term in enumerate(terms):
        others = {label for j, t in enumerate(terms) if j != i for label in t.labels}
        terms[i] = _reduced(term, others | wanted)
    for pair in _path(terms, result, optimize):
        chosen = [terms.pop(i) for i in sorted(pair, reverse=True)][::-1]
        kept = {label for t in terms for label in t.labels} | wanted
        found = chosen[0]
        for k, other in enumerate(chosen[1:], 2):
            later = {label for t in chosen[k:] for label in t.labels}
            found = _paired(found, other, kept | later, result if not terms and k == len(chosen) else None)
        terms.append(found)
    (last,) = terms
    return dk.transpose(last.x, [last.labels.index(label) for label in result])


_DEFAULTS = (("dtype", None), ("order", "K"), ("casting", "safe"))


# ---- reading the subscripts ---------------------------------------------------------------------------------------
def _spelled(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Subscripts as text, and the operands."""
    if operands and isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(operands[1:])
    arrays, lists = list(operands[: len(operands) // 2 * 2 : 2]), list(operands[1::2])
    parts = [_letters(labels) for labels in lists]
    return ",".join(parts) + (f"->{_letters(operands[-1])}" if len(operands) % 2 else ""), arrays


def _letters(labels: Any) -> str:
    """A list of numbers below 52 and Ellipsis, as letters of the same order."""
    try:
        return "".join(
            "..." if k is Ellipsis else string.ascii_letters[26:][k] if k < 26 else string.ascii_letters[k - 26]
            for k in labels
        )
    except (TypeError, IndexError):
        raise ShapeError(f"einsum: the subscripts {labels!r} are not a list of numbers below 52 or Ellipsis") from None


def _labelled(text: str, arrays: Sequence[Expr]) -> tuple[list[Term], Labels]:
    """The operands with labels, and the labels of the result."""
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(arrays):
        raise ShapeError(f"einsum: {text!r} names {len(parts)} operands, {len(arrays)} are given")
    terms = [Term(x, _labels(text, part, x)) for part, x in zip(parts, arrays, strict=True)]
    count = Counter(label for t in terms for label in t.labels)
    dots = sorted({label for label in count if label.startswith(".")}, key=lambda label: -int(label[3:]))
    if not arrow:
        return terms, (*dots, *sorted(label for label, n in count.items() if n == 1 and not label.startswith(".")))
    if dots and "..." not in right:
        raise ShapeError(f"einsum: {text!r}: the result must say ... too, as operands have axes there")
    head, found, tail = right.partition("...")
    result = (*head, *(dots if found else ()), *tail)
    for label in result:
        if label not in count or result.count(label) > 1:
            problem = "occurs twice in the result" if label in count else "of the result is in no operand"
            raise ShapeError(f"einsum: {text!r}: the subscript {label!r} {problem}")
    return terms, result


def _labels(text: str, part: str, x: Expr) -> Labels:
    head, found, tail = part.partition("...")
    rest = x.ndim - len(head) - len(tail)
    for letter in head + tail:
        if letter not in string.ascii_letters:
            raise ShapeError(
                f"einsum: {text!r}: {letter!r} is not a subscript; they are letters, and one ... an operand"
            )
    if rest < 0 or (rest and not found):
        raise ShapeError(f"einsum: {text!r}: the subscripts {part!r} do not fit core shape {x.shape} of {x.ndim} axes")
    return (*head, *(f"...{k}" for k in range(rest, 0, -1)), *tail)


def _broadcast(text: str, terms: list[Term]) -> list[Term]:
    """Operands without the axes of length 1 that other operands stretch."""
    lengths: dict[str, int] = {}
    for t in terms:
        for i, (label, n) in enumerate(zip(t.labels, t.x.shape, strict=True)):
            known = lengths.setdefault(label, n)
            twice = label in t.labels[:i]  # a diagonal is not stretched
            if n != (t.length(label) if twice else known) and (twice or 1 not in (n, known)):
                sizes = f"{t.length(label) if twice else known} and {n}"
                shapes = ", ".join(str(term.x.shape) for term in terms)
                raise ShapeError(
                    f"einsum: {text!r}: the subscript {label!r} has the sizes {sizes} in core shapes {shapes}"
                )
            lengths[label] = n if known == 1 else known
    shrunk = []
    for t in terms:
        drop = [i for i, (label, n) in enumerate(zip(t.labels, t.x.shape, strict=True)) if n != lengths[label]]
        labels = tuple(label for i, label in enumerate(t.labels) if i not in drop)
        shrunk.append(Term(dk.squeeze(t.x, drop), labels) if drop else t)
    return shrunk


def _path(terms: Sequence[Term], result: Labels, optimize: Any) -> list[tuple[int, ...]]:
    """Which operands are taken together, in turn; what they make goes to the end of the list."""
    if len(terms) < 3:
        return [(0, 1)] if len(terms) == 2 else []
    import opt_einsum

    symbols: dict[str, str] = {}
    for t in terms:
        for label in t.labels:
            symbols.setdefault(label, opt_einsum.get_symbol(len(symbols)))
    sides = ["".join(symbols[label] for label in labels) for labels in (*(t.labels for t in terms), result)]
    how = "auto" if optimize in (True, False) else optimize
    equation = f"{','.join(sides[:-1])}->{sides[-1]}"
    try:
        return opt_einsum.contract_path(equation, *(t.x.shape for t in terms), shapes=True, optimize=how)[0]
    except (KeyError, TypeError, ValueError) as problem:
        raise UnsupportedCallError(f"einsum: opt_einsum finds no path with optimize={optimize!r}: {problem}") from None


# ---- products -----------------------------------------------------------------------------------------------------
def _reduced(term: Term, kept: set[str]) -> Term:
    """Diagonals of labels that occur twice, sums over labels that nobody else has."""
    x, labels = term.x, list(term.labels)
    while len(set(labels)) < len(labels):
        first = next(i for i, label in enumerate(labels) if labels.count(label) > 1)
        label = labels[first]
        second = labels.index(label, first + 1)
        x = diagonal(x, axis1=first, axis2=second)
        labels = [*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], label]
    lost = [i for i, label in enumerate(labels) if label not in kept]
    return Term(dk.sum(x, axis=lost) if lost else x, tuple(label for label in labels if label in kept))


def _paired(a: Term, b: Term, kept: set[str], result: Labels | None) -> Term:
    """The product of two operands, summed over the labels that nobody else has."""
    if result is not None and _later(a, b, result):
        a, b = b, a
    both = [label for label in a.labels if label in b.labels]
    summed = [label for label in both if label not in kept]
    stacked, rows, columns = (
        _ordered(labels, result)
        for labels in (
            [label for label in both if label in kept],
            [label for label in a.labels if label not in both],
            [label for label in b.labels if label not in both],
        )
    )
    if not summed or (stacked and not rows and not columns):
        labels = _ordered([*(label for label in a.labels if label in kept), *columns], result) + summed
        product = _aligned(a, labels) * _aligned(b, labels)
        whole = dk.sum(product, axis=range(-len(summed), 0)) if summed else product
        return Term(whole, tuple(labels[: len(labels) - len(summed)]))
    x, y = _grouped(a, stacked, rows, summed), _grouped(b, stacked, summed, columns)
    lengths = [a.length(label) for label in stacked + rows] + [b.length(label) for label in columns]
    return Term(dk.reshape(dk.matmul(x, y), tuple(lengths)), tuple(stacked + rows + columns))


def _later(a: Term, b: Term, result: Labels) -> bool:
    """Whether the result has the rows of `a` after the columns that `b` brings."""
    own, brought = (
        [label for label in result if label in (x.labels) and label not in y.labels] for x, y in ((a, b), (b, a))
    )
    return bool(own and brought) and result.index(own[0]) > result.index(brought[0])


def _ordered(labels: list[str], result: Labels | None) -> list[str]:
    return labels if result is None else sorted(labels, key=result.index)


def _aligned(term: Term, labels: list[str]) -> Expr:
    """The operand with its axes in the order of `labels`, and of length 1 where it lacks them."""
    own = [label for label in labels if label in term.labels]
    x = dk.transpose(term.x, [term.labels.index(label) for label in own])
    return dk.reshape(x, tuple(term.length(label) if label in own else 1 for label in labels))


def _grouped(term: Term, stacked: list[str], rows: list[str], columns: list[str]) -> Expr:
    """A stack of matrices: the axes of its rows and of its columns are one each."""
    x = dk.transpose(term.x, [term.labels.index(label) for label in stacked + rows + columns])
    sides = (math.prod(term.length(label) for label in side) for side in (rows, columns))
    return dk.reshape(x, (*(term.length(label) for label in stacked), *sides))
