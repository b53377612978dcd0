"""Tape and Builder.

A tape is a list of values in single-assignment form. Value `i` is what `kinds[i]` makes of the values `args[i]`;
inputs and constants are values without arguments. Nothing refers to a later value, so reading from first to last
evaluates the tape, and from last to first sweeps it backwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..expr.node import WEAK, Kind, constant_value, infer, intern_kind, promote
from ..ops import CAST, CONSTANT, VARIABLE, Op
from .simplify import simplified


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
        return sum(k.op.family != "leaf" for k in self.kinds)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs' names, in order."""
        return tuple(self.kinds[i].kwargs["name"] for i in self.inputs)

    def instructions(self) -> Iterator[int]:
        """Numbers of the values that are computed, in order."""
        return (i for i, k in enumerate(self.kinds) if k.op.family != "leaf")

    def counts(self) -> dict[str, int]:
        """Operations by cost class, each counted once for every element of its result, and their `total`."""
        found: Counter[str] = Counter()
        for i in self.instructions():
            kind = self.kinds[i]
            found[kind.op.cost] += max(1, int(np.prod(kind.shape)))
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


class Builder:
    """Writes a tape. Equal instructions are written once, constants are folded, value-preserving identities applied."""

    #: arrays up to this size are folded and become constants of the tape
    FOLD_SIZE = 64

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        self.args: list[tuple[int, ...]] = []
        self._known: dict[tuple, int] = {}
        self._folded: dict[int, np.ndarray] = {}

    @classmethod
    def copy_of(cls, tape: Tape) -> Builder:
        """A builder that goes on where `tape` ends, with the same value numbers."""
        builder = cls()
        for kind, args in zip(tape.kinds, tape.args, strict=True):
            builder._append(kind, args)
        return builder

    def _append(self, kind: Kind, args: tuple[int, ...]) -> int:
        index = len(self.kinds)
        self.kinds.append(kind)
        self.args.append(args)
        self._known[(kind, args)] = index
        return index

    def leaf(self, kind: Kind) -> int:
        known = self._known.get((kind, ()))
        return self._append(kind, ()) if known is None else known

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
        if op is not CAST:
            args = self._same_dtype(op, args)
        kind = infer(op, params, tuple(self.kinds[a] for a in args))
        known = self._known.get((kind, args))
        if known is not None:
            return known
        same = simplified(self, kind, args)
        if same is not None:
            return same
        return self._fold(kind, args) if self._constant(args, kind) else self._append(kind, args)

    def _same_dtype(self, op: Op, args: tuple[int, ...]) -> tuple[int, ...]:
        """Operands brought to one dtype, so that a machine needs one kernel an operation and dtype."""
        conditions, numbers = args[: op.conditions], args[op.conditions :]
        dtypes = {self.kinds[a].dtype for a in numbers}
        if op.result == "same" or not numbers:
            target = promote(*dtypes, keep=True)
        elif len(dtypes) == 1 and not dtypes & {"int64", "bool"} and not conditions:
            return args
        else:
            target = promote(*dtypes)
        return tuple([self.cast(a, "bool") for a in conditions] + [self.cast(a, target) for a in numbers])

    def cast(self, i: int, dtype: str) -> int:
        """The same number in another dtype."""
        kind = self.kinds[i]
        if kind.dtype == dtype or (dtype == WEAK):
            return i
        if kind.op is CONSTANT and kind.shape == ():
            value = np.asarray(kind.kwargs["value"]).astype(dtype).item()
            return self.leaf(intern_kind(CONSTANT, (("value", value),), (), dtype))
        return self.emit(CAST, (("dtype", dtype),), (i,))

    def _constant(self, args: tuple[int, ...], kind: Kind) -> bool:
        if int(np.prod(kind.shape)) > self.FOLD_SIZE:
            return False
        return all(self.kinds[a].op is CONSTANT and int(np.prod(self.kinds[a].shape)) <= self.FOLD_SIZE for a in args)

    def _fold(self, kind: Kind, args: tuple[int, ...]) -> int:
        values = [constant_value(self.kinds[a]) for a in args]
        with np.errstate(all="ignore"):
            if kind.op.family == "elementwise":
                value = kind.op.numpy(*values, **kind.kwargs)
            else:
                value = kind.op.numpy(*(v[None] for v in values), **kind.kwargs)[0]
        value = np.asarray(value, dtype="float64" if kind.dtype == WEAK else kind.dtype)
        if kind.dtype != "bool" and not np.isfinite(value).all():
            return self._append(kind, args)  # stays an instruction, so that a NaN can be traced to its origin
        plain = value.item() if value.shape == () else ("array", value.shape, value.tobytes())
        return self.leaf(intern_kind(CONSTANT, (("value", plain),), value.shape, kind.dtype))

    def finish(
        self, inputs: Iterable[int], outputs: Iterable[int], labels: Iterable[str] = (), *, prune: bool = True
    ) -> Tape:
        """The tape, without what no output needs. Inputs are kept in the order given, used or not."""
        inputs, outputs = tuple(inputs), tuple(outputs)
        if not prune:
            return Tape(self.kinds, self.args, inputs, outputs, tuple(labels))
        needed = bytearray(len(self.kinds))
        for i in (*inputs, *outputs):
            needed[i] = 1
        for i in range(len(self.kinds) - 1, -1, -1):
            if needed[i]:
                for a in self.args[i]:
                    needed[a] = 1
        place: dict[int, int] = {}
        kinds: list[Kind] = []
        args: list[tuple[int, ...]] = []
        for i in (*inputs, *(j for j in range(len(self.kinds)) if needed[j])):
            if i not in place:
                place[i] = len(kinds)
                kinds.append(self.kinds[i])
                args.append(tuple(place[a] for a in self.args[i]))
        return Tape(kinds, args, tuple(place[i] for i in inputs), tuple(place[i] for i in outputs), tuple(labels))
