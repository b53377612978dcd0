"""Where a NaN or an infinity came from: the first instruction whose result is not finite while all its operands are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engines.rounding import evaluate_template
from ...expr.kind import Kind
from ...expr.node import Expr
from ...expr.printing import brief
from ...machines.numpy import laned_inputs, run
from ...ops import Op
from ...tape import Builder, Tape, expressions, templates
from .singular import inside


@dataclass(frozen=True)
class Origin:
    """An instruction of a tape at one point. `str()` is a sentence."""

    #: value number on the tape
    value: int
    op: Op
    #: what it gave: nan, inf or -inf (the first such element of an array)
    result: float
    operands: tuple[Any, ...]
    #: where the operation is defined, in words
    domain: str
    #: the instruction as an expression of the inputs, cut to one line, and its operands likewise
    expression: str
    operand_texts: tuple[str, ...]
    #: number of the point in a batch (its loop dims flattened)
    point: int
    points: int
    #: infinite, from finite operands within the domain
    overflow: bool

    @property
    def reason(self) -> str:
        """An input, a point outside the domain, a pole, an overflow, or an indefinite form such as 0·∞."""
        if not self.operands:
            return "it was given so"
        if self.overflow:
            return "too large for floating point"
        if not all(np.isfinite(np.asarray(v, float)).all() for v in self.operands):
            return "an indefinite form of infinities"
        letters = ", ".join("xyzw"[: len(self.operands)])
        return f"{self.op.name}({letters}) is defined for {self.domain}"

    def __str__(self) -> str:
        shown = {t: v for t, v in zip(self.operand_texts, self.operands, strict=True) if t != _number(v)}
        given = ", ".join(f"{t} = {_number(v)}" for t, v in shown.items())
        where = f" (point {self.point} of {self.points})" if self.points > 1 else ""
        return f"{self.expression} is {self.result:g}{f' at {given}' if given else ''}{where}: {self.reason}"


def nan_origin(tape: Tape, values: Sequence[Any]) -> Origin | None:
    """The origin of what is not finite in the tape's outputs; None where all of them are finite.

    values: the tape's inputs in order; they may have loop dims, and the first bad point is looked at. What cannot reach
    an output (the branch of `where` not taken, say) is never blamed.
    """
    inputs, loop = laned_inputs(tape, values)
    computed = run(tape, inputs)
    points = int(np.prod(loop))
    bad = np.zeros(points, bool)
    for o in tape.outputs:
        bad |= ~finite_lanes(computed[o])
    if not bad.any():
        return None
    point = int(np.argmax(bad))
    here = at_point(computed, point)
    guilty = _guilty(tape, here)
    i = _first(tape, here, guilty)
    return describe(tape, here, i, point, points)


def finite_lanes(value: np.ndarray) -> np.ndarray:
    """Which lanes of a value are finite in all their elements."""
    return (
        np.isfinite(value).reshape(value.shape[0], -1).all(axis=1)
        if value.dtype.kind in "fc"
        else np.ones(value.shape[0], bool)
    )


def at_point(values: Sequence[np.ndarray], point: int) -> list[np.ndarray]:
    """All values at one point, still with a lane axis of size 1."""
    return [v[:1] if v.shape[0] == 1 else v[point : point + 1] for v in values]


def _finite(value: np.ndarray) -> bool:
    return bool(finite_lanes(value).all())


def _guilty(tape: Tape, values: Sequence[np.ndarray]) -> list[int]:
    """Values that are not finite and reach a non-finite output through others that are not, in order of evaluation."""
    stack = [o for o in tape.outputs if not _finite(values[o])]
    seen = set(stack)
    while stack:
        i = stack.pop()
        args = tape.args[i]
        chosen = counting(tape.kinds[i], [tape.kinds[a] for a in args], [values[a] for a in args])
        for a, counts in zip(args, chosen, strict=True):
            if counts and a not in seen and not _finite(values[a]):
                seen.add(a)
                stack.append(a)
    return sorted(seen)


def counting(kind: Kind, arguments: Sequence[Kind], operands: Sequence[np.ndarray]) -> list[bool]:
    """Which arguments of an operation can influence its result, given their values at one point."""
    chosen = templates.selects(kind, arguments) if arguments else None
    if chosen is None:
        return [True] * len(arguments)
    with np.errstate(all="ignore"):
        masks = evaluate_template(chosen, operands)
    return [m is None or bool(np.any(m)) for m in masks]


def _first(tape: Tape, values: Sequence[np.ndarray], guilty: Sequence[int]) -> int:
    """The first with finite operands; else the first NaN made of infinities; else what was given."""
    computed = [i for i in guilty if tape.args[i]]
    for i in computed:
        if all(_finite(values[a]) for a in tape.args[i]):
            return i
    for i in computed:
        if np.isnan(values[i]).any() and not any(
            np.isnan(values[a]).any() for a in tape.args[i] if values[a].dtype.kind == "f"
        ):
            return i
    return guilty[0]


def describe(tape: Tape, values: Sequence[np.ndarray], i: int, point: int = 0, points: int = 1) -> Origin:
    """The record of instruction `i` with these values (one point)."""
    op, args = tape.kinds[i].op, tape.args[i]
    off = values[i].ravel()
    off = off[~np.isfinite(off)] if not _finite(values[i]) else off
    texts = [brief(e, 60) for e in _as_expressions(tape, args)]
    (own,) = _as_expressions(tape, [i])
    operands = tuple(values[a][0][()] for a in args)
    result = float(off[0])
    overflow = bool(args) and np.isinf(result) and inside(tape.kinds[i], [tape.kinds[a] for a in args], operands)
    return Origin(i, op, result, operands, op.domain, brief(own), tuple(texts), point, points, overflow)


def _as_expressions(tape: Tape, wanted: Sequence[int]) -> list[Expr]:
    part = Builder.copy_of(tape).finish(tape.inputs, wanted)
    return expressions(part)


def _number(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim:
        return np.array2string(array, precision=4, threshold=6, edgeitems=2, separator=", ").replace("\n", "")
    return f"{float(array):.6g}" if array.dtype.kind == "f" else str(array).lower()
