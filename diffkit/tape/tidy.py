"""Tidying a tape that has loops.

Derivative rules write for each operation alone, so on the tape that they leave

* pieces of results are packed, and adjoints of pieces spread and added, only to be read again (`packed.py`);
* loops stand beside others that compute the same, or that and more (`beside.py`);
* loops compute what nobody reads: adjoints of data, ys, sums of adjoints of constants (here).

`tidied` puts that right. It changes no value that is read.
"""

from __future__ import annotations

from ..expr.kind import WEAK, Kind
from ..ops import TABLE
from .beside import joined
from .body import Body, floats
from .packed import LOOPS, ends_of, has_loops, part, piece, read_through
from .tape import Builder, Tape

_GETITEM, _REVERSAL, _SCAN = (TABLE[n] for n in ("getitem", "scan_adjoint", "scan"))


def tidied(tape: Tape) -> Tape:
    """The same outputs of the same inputs."""
    return _trimmed(read_through(joined(tape))) if has_loops(tape) else tape


def _trimmed(tape: Tape) -> Tape:
    needed, kept = _read_pieces(tape)
    builder = Builder()
    place: dict[int, int] = {}
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        if not args:
            place[i] = builder.leaf(kind)
        elif not needed[i]:
            continue
        elif i in kept:
            left = [place[args[k]] for k in kept[i].inputs]
            if all(builder.kinds[a].dtype == WEAK for a in left):
                left[0] = builder.cast(left[0], kind.dtype)
            place[i] = builder.emit(kind.op, kept[i].params(), tuple(left))
        elif kind.op is _GETITEM and args[0] in kept and (run := piece(kind)):
            shift = kept[args[0]].shift(run[0])
            place[i] = part(builder, place[args[0]], run[0] - shift, run[1] - shift)
        else:
            place[i] = builder.again(kind, tuple([place[a] for a in args]))
    return builder.finish([place[i] for i in tape.inputs], [place[o] for o in tape.outputs], tape.labels)


class _Kept:
    """What is to be left of an operation with a body: pieces of its result, and arguments."""

    def __init__(self, kind: Kind, pieces: set[int]) -> None:
        self.kind = kind
        params = kind.kwargs
        self.carries: int = params.get("carries", 0)
        self.body: Body = params["backward" if kind.op is _REVERSAL else "body"]
        if kind.op is _REVERSAL:
            primal: Body = params["body"]
            seeds = floats(primal.outputs)
            self.moved = sum(1 for k in seeds if k < self.carries)
            pieces = pieces | set(range(self.moved))
            self.inputs = list(range(len(primal.inputs) + len(seeds)))
        else:
            self.inputs = self._used(pieces)
            if not self.inputs:  # something has to say how many lanes there are
                pieces = set(range(len(self.body.outputs)))
                self.inputs = list(range(len(self.body.inputs)))
        self.pieces = sorted(pieces)

    def _used(self, pieces: set[int]) -> list[int]:
        """Inputs of the body that `pieces` need; with a carry that they need in a later step grow the pieces themselves."""
        while True:
            used = self.body.read_by(sorted(pieces))
            more = {k for k in range(self.carries) if used[k]} - pieces
            if not more:
                return [k for k, on in enumerate(used) if (k in pieces if k < self.carries else on)]
            pieces |= more

    def params(self) -> tuple:
        params = dict(self.kind.kwargs)
        if self.kind.op is _REVERSAL:
            dropped = set(range(self.moved, self.moved + params["sums"])) - set(self.pieces)
            inputs = [k for k in range(len(self.body.inputs)) if k not in dropped]
            params["backward"] = self.body.arranged(inputs, self.pieces).tidied()
            params["sums"] -= len(dropped)
        else:
            params["body"] = self.body.arranged(self.inputs, self.pieces).tidied()
            if self.kind.op is _SCAN:
                xs = params["xs"]
                params["carries"] = sum(1 for k in self.inputs if k < self.carries)
                params["xs"] = sum(1 for k in self.inputs if self.carries <= k < self.carries + xs)
        return self.kind.op.bind(params)

    def shift(self, start: int) -> int:
        """By how much a run that begins at `start` has moved towards the front."""
        ends = ends_of(self.kind)
        kept = set(self.pieces)
        return sum(ends[k + 1] - ends[k] for k in range(len(ends) - 1) if k not in kept and ends[k + 1] <= start)


def _read_pieces(tape: Tape) -> tuple[bytearray, dict[int, _Kept]]:
    """Which values are needed; and of every operation with a body what is read of it, directly and through others."""
    needed = bytearray(len(tape.kinds))
    pieces: dict[int, set[int]] = {}
    kept: dict[int, _Kept] = {}

    def need(i: int, run: tuple[int, int] | None = None) -> None:
        needed[i] = 1
        kind = tape.kinds[i]
        if kind.op in LOOPS:
            ends = ends_of(kind)
            run = (0, ends[-1]) if run is None else run
            whole = run == (0, ends[-1])
            pieces.setdefault(i, set()).update(
                k for k in range(len(ends) - 1) if whole or (ends[k] < run[1] and run[0] < ends[k + 1])
            )

    for o in tape.outputs:
        need(o)
    for i in range(len(tape.kinds) - 1, -1, -1):
        kind, args = tape.kinds[i], tape.args[i]
        if not needed[i]:
            continue
        if i in pieces:
            kept[i] = _Kept(kind, pieces[i])
            for k in kept[i].inputs:
                need(args[k])
        elif kind.op is _GETITEM and tape.kinds[args[0]].op in LOOPS:
            need(args[0], piece(kind))
        else:
            for a in args:
                need(a)
    return needed, kept
