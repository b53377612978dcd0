"""Tape and Builder.

A tape is a list of values in single-assignment form. Value `i` is what `kinds[i]` makes of the values `args[i]`;
inputs and constants are values without arguments. Nothing refers to a later value, so reading from first to last
evaluates the tape, and from last to first sweeps it backwards.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..expr.kind import WEAK, Kind, constant_value, infer, intern_kind, operand_dtypes, parameter_bits
from ..ops import CAST, CONSTANT, VARIABLE, Op
from ..ops.loops import repeated
from .simplify import Rule, simplifying


@dataclass(frozen=True, eq=False)
class Tape:
    """A straight-line program. `inputs` and `outputs` are value numbers; `labels` name the outputs."""

    kinds: Sequence[Kind]
    args: Sequence[tuple[int, ...]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of instructions (inputs and constants are none)."""
        return sum(n for k, n in Counter(self.kinds).items() if k.op.family != "leaf")

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs' names, in order."""
        return tuple(self.kinds[i].kwargs["name"] for i in self.inputs)

    def instructions(self) -> Iterator[int]:
        """Numbers of the values that are computed, in order."""
        return (i for i, k in enumerate(self.kinds) if k.op.family != "leaf")

    def counts(self) -> dict[str, int]:
        """Operations by cost class, each counted once for every element of its result, and their `total`.

        What the body of a loop does counts once a step.
        """
        found: Counter[str] = Counter()
        for kind, n in Counter(self.kinds).items():
            if kind.op.family != "leaf":
                found[kind.op.cost] += n * max(1, math.prod(kind.shape))
            for body, times in repeated(kind.kwargs):
                inside = body.tape.counts()
                del inside["total"]
                found.update({c: n * times * m for c, m in inside.items()})
        return {**dict(found), "total": sum(n for c, n in found.items() if c != "move")}

    def __str__(self) -> str:
        from .show import listing

        return listing(self)

    def __repr__(self) -> str:
        return f"<Tape of {len(self)} instructions: {', '.join(self.names)} -> {', '.join(self.labels)}>"

    def save(self, path: Any) -> None:
        """Write the tape as JSON (data, not code); `dk.load_tape(path)` reads it."""
        from .store import save_tape

        save_tape(self, path)


class Plan(NamedTuple):
    """What writing an instruction comes to. It depends on the operation and the signatures of its operands alone."""

    kind: Kind
    #: the dtypes that operands are brought to first; None: they are right as they are
    dtypes: tuple[str, ...] | None
    #: an identity that may apply
    rule: Rule | None
    #: all operands are constants, and small
    folds: bool

    @property
    def plain(self) -> bool:
        """Nothing can happen but that the instruction is known already or is appended."""
        return self.dtypes is None and self.rule is None and not self.folds


#: arrays up to this size are folded and become constants of the tape
FOLD_SIZE = 64

_plans: dict[tuple, Plan] = {}
#: (constant, dtype) -> the same number of that dtype
_cast: dict[tuple[Kind, str], Kind] = {}


def plan(op: Op, params: tuple, operands: Sequence[Kind]) -> Plan:
    """How `op` is written for operands of these kinds. ShapeError or DtypeError where it cannot be applied."""
    key = (op, parameter_bits(params) if params else (), *[k.signature for k in operands])
    found = _plans.get(key)
    if found is None:
        found = _plan(op, params, operands)
        if not found.kind.large:
            _plans[key] = found
    return found


def _plan(op: Op, params: tuple, operands: Sequence[Kind]) -> Plan:
    dtypes = _common_dtypes(op, operands) if op is not CAST else None
    kind = infer(op, params, tuple(operands))
    if dtypes is not None:
        return Plan(kind, dtypes, None, False)
    folds = all(k.op is CONSTANT and math.prod(k.shape) <= FOLD_SIZE for k in (*operands, kind)[:-1])
    return Plan(kind, None, simplifying(kind, operands), folds and math.prod(kind.shape) <= FOLD_SIZE)


def _common_dtypes(op: Op, operands: Sequence[Kind]) -> tuple[str, ...] | None:
    """Operands are brought to one dtype, so that a machine needs one kernel an operation and dtype."""
    have = [k.dtype for k in operands]
    want = operand_dtypes(op, have)
    return want if any(w not in (h, WEAK) for h, w in zip(have, want, strict=True)) else None


class Builder:
    """Writes a tape. Equal instructions are written once, constants are folded, value-preserving identities applied."""

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        self.args: list[tuple[int, ...]] = []
        #: kind -> operands -> the value's number
        self.known: defaultdict[Kind, dict[tuple[int, ...], int]] = defaultdict(dict)
        #: for `again`: (kind or operation, signatures) -> the kind that results, its part of `known`, a plan that is not plain
        self._prepared: dict[tuple, tuple[Kind, dict[tuple[int, ...], int], Plan | None]] = {}

    @classmethod
    def copy_of(cls, tape: Tape, *, sharing: bool = True) -> Builder:
        """A builder that goes on where `tape` ends, with the same value numbers.

        sharing: what the tape computes is not written again; without it (for a few instructions behind a long tape) it may be.
        """
        builder = cls()
        builder.kinds, builder.args = list(tape.kinds), list(tape.args)
        if not sharing:
            return builder
        known = builder.known
        for i, kind, args in zip(range(len(builder.kinds)), builder.kinds, builder.args, strict=True):
            known[kind][args] = i
        return builder

    def append(self, kind: Kind, args: tuple[int, ...]) -> int:
        """A value as it is, known or not."""
        index = self.known[kind][args] = len(self.kinds)
        self.kinds.append(kind)
        self.args.append(args)
        return index

    def leaf(self, kind: Kind) -> int:
        known = self.known[kind].get(())
        return self.append(kind, ()) if known is None else known

    def input(self, name: str, shape: tuple[int, ...], dtype: str, uid: int = 0) -> int:
        return self.leaf(intern_kind(VARIABLE, (("name", name), ("uid", uid)), shape, dtype))

    def number(self, value: float, dtype: str = WEAK) -> int:
        return self.leaf(intern_kind(CONSTANT, (("value", float(value)),), (), dtype))

    def constant_of(self, i: int) -> float | None:
        """The value of a constant scalar; None for anything else."""
        kind = self.kinds[i]
        if kind.op is not CONSTANT or kind.shape != ():
            return None
        return kind.kwargs["value"]

    def emit(self, op: Op, params: tuple, args: tuple[int, ...]) -> int:
        """The value of `op` applied to earlier values, written now unless it is known, constant or trivial."""
        if not params:
            return self.again(op, args)
        return self._write(plan(op, params, [self.kinds[a] for a in args]), args)

    def again(self, like: Kind | Op, args: tuple[int, ...]) -> int:
        """As `emit`, with the operation and parameters of a kind, or an operation without any.

        Of the shape and dtype that the operands give it, which need not be the kind's.
        """
        kinds = self.kinds
        if len(args) == 2:
            key: tuple = (like, kinds[args[0]].signature, kinds[args[1]].signature)
        elif len(args) == 1:
            key = (like, kinds[args[0]].signature)
        else:
            key = (like, *[kinds[a].signature for a in args])
        prepared = self._prepared.get(key)
        if prepared is None:
            op, params = (like.op, like.params) if isinstance(like, Kind) else (like, ())
            made = plan(op, params, [kinds[a] for a in args])
            prepared = self._prepared[key] = (made.kind, self.known[made.kind], None if made.plain else made)
        result, known, special = prepared
        if special is not None:
            return self._write(special, args)
        index = known.get(args)
        if index is None:
            index = known[args] = len(kinds)
            kinds.append(result)
            self.args.append(args)
        return index

    def _write(self, made: Plan, args: tuple[int, ...]) -> int:
        kind, dtypes, rule, folds = made
        if dtypes is not None:
            return self.again(kind, tuple([self.cast(a, d) for a, d in zip(args, dtypes, strict=True)]))
        known = self.known[kind]
        found = known.get(args)
        if found is None and rule is not None:
            found = rule(self, args)
        if found is not None:
            return found
        if folds:
            return self._fold(kind, args)
        index = known[args] = len(self.kinds)
        self.kinds.append(kind)
        self.args.append(args)
        return index

    def cast(self, i: int, dtype: str) -> int:
        """The same number in another dtype."""
        kind = self.kinds[i]
        if kind.dtype == dtype or (dtype == WEAK):
            return i
        if kind.op is CONSTANT and kind.shape == ():
            other = _cast.get((kind, dtype))
            if other is None:
                value = np.asarray(kind.kwargs["value"]).astype(dtype).item()
                other = _cast[kind, dtype] = intern_kind(CONSTANT, (("value", value),), (), dtype)
            return self.leaf(other)
        return self.emit(CAST, (("dtype", dtype),), (i,))

    def _fold(self, kind: Kind, args: tuple[int, ...]) -> int:
        values = [constant_value(self.kinds[a]) for a in args]
        with np.errstate(all="ignore"):
            if kind.op.family == "elementwise":
                value = kind.op.numpy(*values, **kind.kwargs)
            else:
                value = kind.op.numpy(*(v[None] for v in values), **kind.kwargs)[0]
        value = np.asarray(value, dtype="float64" if kind.dtype == WEAK else kind.dtype)
        if kind.dtype != "bool" and not np.isfinite(value).all():
            return self.append(kind, args)  # stays an instruction, so that a NaN can be traced to its origin
        plain = value.item() if value.shape == () else ("array", value.shape, value.tobytes())
        return self.leaf(intern_kind(CONSTANT, (("value", plain),), value.shape, kind.dtype))

    def finish(
        self, inputs: Iterable[int], outputs: Iterable[int], labels: Iterable[str] = (), *, prune: bool = True
    ) -> Tape:
        """The tape, without what no output needs. Inputs are kept in the order given, used or not."""
        inputs, outputs, labels = tuple(inputs), tuple(outputs), tuple(labels)
        if not prune:
            return Tape(self.kinds, self.args, inputs, outputs, labels)
        order = self._needed(inputs, outputs)
        numbers = np.zeros(len(self.kinds), np.intp)
        numbers[order] = np.arange(len(order))
        place = numbers.tolist()
        kinds: list[Kind] = []
        args: list[tuple[int, ...]] = []
        # in runs of neighbours: nearly always there are few
        ends = [*(np.flatnonzero(np.diff(order) != 1) + 1).tolist(), len(order)] if len(order) else []
        for start, end in zip([0, *ends], ends, strict=False):
            run = slice(int(order[start]), int(order[start]) + end - start)
            kinds += self.kinds[run]
            # before the first gap every number is what it was
            args += self.args[run] if run.start == start == 0 else _renumbered(self.args[run], place)
        return Tape(kinds, args, tuple([place[i] for i in inputs]), tuple([place[i] for i in outputs]), labels)

    def _needed(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> np.ndarray:
        """The inputs, then the values that an output needs, in order."""
        readers = np.bincount(
            np.fromiter(chain(outputs, inputs, chain.from_iterable(self.args)), np.intp), minlength=len(self.kinds)
        )
        unread = np.flatnonzero(readers == 0).tolist()
        while unread:
            for a in self.args[unread.pop()]:
                readers[a] -= 1
                if not readers[a]:
                    unread.append(a)
        readers[list(inputs)] = 0
        return np.concatenate([np.array(inputs, np.intp), np.flatnonzero(readers)])


def _renumbered(args: Iterable[tuple[int, ...]], place: Sequence[int]) -> list[tuple[int, ...]]:
    """Operands at their new places."""
    renumbered: list[tuple[int, ...]] = []
    for old in args:
        if len(old) == 2:  # nearly all have two operands or one
            x, y = old
            renumbered.append((place[x], place[y]))
        elif len(old) == 1:
            renumbered.append((place[old[0]],))
        else:
            renumbered.append(tuple([place[a] for a in old]))
    return renumbered
