"""From a tape to the interpreter's code: primitives, registers, tables of moves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...errors import UnsupportedError
from ...expr.node import Kind, constant_value
from ...ops import CAST, CONSTANT
from ...tape import Tape
from ...tape.lower import lower
from ...tape.schedule import allocate
from ..numpy import call
from .library import library

#: opcodes of the interpreter (driver.py, which is not imported here: it loads Numba)
CALL, COPY, FOLD, PRODUCT, ADD = 0, 1, 2, 3, 4

#: register type by dtype. Integers are kept as doubles (exact to 2**53); a weak constant is a double
LETTER = {"float64": "d", "weak": "d", "int64": "d", "float32": "f", "bool": "b"}
SIZE = {"d": 8, "f": 4, "b": 1}
NUMPY = {"d": np.float64, "f": np.float32, "b": np.bool_}

_FOLD = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


@dataclass
class Plan:
    """Code and tables for the interpreter; what each leaf and output needs."""

    code: np.ndarray
    table: np.ndarray
    #: (value number, register offset in bytes a lane, letter, rows) of inputs, constants and outputs
    inputs: list[tuple[int, int, str, int]]
    constants: list[tuple[np.ndarray, int, str, int]]
    outputs: list[tuple[int, int, str, int]]
    #: bytes of all registers for one lane
    lane_bytes: int


def rows_of(kind: Kind) -> int:
    return math.prod(kind.shape)


def plan(tape: Tape) -> Plan:
    """UnsupportedError where the tape has an operation without a kernel or a lowering."""
    tape = lower(tape)
    letters = [LETTER[k.dtype] for k in tape.kinds]
    # whole words, so that registers are aligned for a block of a single lane too
    sizes = [-(-SIZE[t] * rows_of(k) // 8) * 8 for t, k in zip(letters, tape.kinds, strict=True)]
    registers = allocate(tape, sizes)
    zero = registers.total
    writer = _Writer(tape, letters, registers.offsets, zero)
    for i in tape.instructions():
        writer.write(i)
    leaf = lambda i: (registers.offsets[i], letters[i], rows_of(tape.kinds[i]))
    return Plan(
        np.array(writer.code, np.int64).reshape(-1, 9),
        np.array(writer.table, np.int64),
        [(i, *leaf(i)) for i in tape.inputs],
        [
            (np.ascontiguousarray(constant_value(k), NUMPY[letters[i]]), *leaf(i))
            for i, k in enumerate(tape.kinds)
            if k.op is CONSTANT
        ]
        + [(np.zeros(1), zero, "d", 1), (np.ones(1), zero + 8, "d", 1), (np.ones(1, np.float32), zero + 16, "f", 1)],
        [(o, *leaf(o)) for o in tape.outputs],
        zero + 32,
    )


class _Writer:
    def __init__(self, tape: Tape, letters: list[str], offsets: list[int], zero: int) -> None:
        self.tape, self.letters, self.offsets = tape, letters, offsets
        #: a row that is zero in every dtype, rows of ones, and a row of doubles to add up in
        self.zero, self.one, self.scratch = zero, {"d": zero + 8, "f": zero + 16}, zero + 24
        self.code: list[tuple[int, ...]] = []
        self.table: list[int] = []

    def write(self, i: int) -> None:
        kind, args = self.tape.kinds[i], self.tape.args[i]
        if rows_of(kind) == 0:
            return
        if kind.op is CAST:
            self._cast(i, kind, args[0])
        elif kind.op.family == "elementwise":
            self._elementwise(i, kind, args)
        elif kind.op.name in _FOLD:
            self._fold(i, kind, args[0])
        elif kind.op.name == "scatter":
            self._scatter(i, kind, args[0])
        elif kind.op.name == "matmul":
            self._matmul(i, args)
        elif kind.op.family == "movement":
            self._copy(i, self._moved(kind, args))
        else:
            raise self._unsupported(kind)

    def _unsupported(self, kind: Kind) -> UnsupportedError:
        return UnsupportedError(
            f"the operation {kind.op.name!r} has no kernel on the cpu machine: give its record `lower=` (it written with other "
            'operations), or use machine="numpy"'
        )

    def _kernel(self, symbol: str, kind: Kind) -> int:
        address = library().address(symbol)
        if not address:
            raise self._unsupported(kind)
        return address

    def _elementwise(self, i: int, kind: Kind, args: tuple[int, ...]) -> None:
        letter = self.letters[args[-1]]
        kernel = self._kernel(f"{kind.op.name}_{letter}", kind)
        operands = [self._row_offsets(a, kind.shape) for a in args]
        size = SIZE[self.letters[i]]
        count = rows_of(kind)
        if all(len(o) == 1 for o in operands):  # contiguous: one call over all rows
            self._call(kernel, self.offsets[i], [o[0] for o in operands], count)
            return
        for r in range(count):  # a core shape is stretched: row by row
            self._call(
                kernel,
                self.offsets[i] + r * size,
                [o[r] if len(o) > 1 else o[0] + r * SIZE[self.letters[a]] for o, a in zip(operands, args, strict=True)],
                1,
            )

    def _row_offsets(self, a: int, shape: tuple[int, ...]) -> list[int]:
        """One offset where the operand has the result's shape, else the offset of every row it is stretched to."""
        kind, size = self.tape.kinds[a], SIZE[self.letters[a]]
        if kind.shape == shape:
            return [self.offsets[a]]
        ids = np.broadcast_to(np.arange(rows_of(kind)).reshape(kind.shape), shape).ravel()
        offsets = (self.offsets[a] + ids * size).tolist()
        return offsets if len(offsets) > 1 else [offsets[0]]

    def _call(self, kernel: int, dst: int, operands: list[int], rows: int) -> None:
        a, b, c = (*operands, 0, 0)[:3]
        self.code.append((CALL, kernel, dst, a, b, c, rows, 0, 0))

    def _cast(self, i: int, kind: Kind, a: int) -> None:
        source, target = self.letters[a], self.letters[i]
        if source == target:
            self._copy(i, self._all_rows(a))
        else:
            self._call(self._kernel(f"cast_{source}_{target}", kind), self.offsets[i], [self.offsets[a]], rows_of(kind))

    def _all_rows(self, a: int) -> np.ndarray:
        return self.offsets[a] + np.arange(rows_of(self.tape.kinds[a])) * SIZE[self.letters[a]]

    def _moved(self, kind: Kind, args: tuple[int, ...]) -> np.ndarray:
        """Row offsets of the sources: the operation's own NumPy function, run on row offsets."""
        sources = [self._all_rows(a).reshape((1, *self.tape.kinds[a].shape)) for a in args]
        return call(kind, sources)

    def _copy(self, i: int, offsets: np.ndarray) -> None:
        rows = (
            np.broadcast_to(offsets, (1, *self.tape.kinds[i].shape)).ravel().tolist()
            if offsets.ndim > 1
            else offsets.tolist()
        )
        self.code.append((COPY, 0, self.offsets[i], 0, 0, 0, len(rows), len(self.table), SIZE[self.letters[i]]))
        self.table.extend(rows)

    def _fold(self, i: int, kind: Kind, a: int) -> None:
        shape, axes = self.tape.kinds[a].shape, [x % len(self.tape.kinds[a].shape) for x in kind.kwargs["axes"]]
        rest = [x for x in range(len(shape)) if x not in axes]
        terms = math.prod(shape[x] for x in axes)
        if terms == 0:  # the sum of nothing is 0, the product 1
            self._copy(i, np.full(rows_of(kind), self.zero if kind.op.name == "sum" else self.one[self.letters[i]]))
            return
        offsets = self._all_rows(a).reshape(shape).transpose(*rest, *axes).reshape(-1, terms)
        letter = self.letters[i]
        if kind.op.name == "sum" and letter == "f":
            self._sum_in_double(i, kind, offsets)
            return
        kernel = self._kernel(f"fold_{_FOLD[kind.op.name]}_{letter}", kind)
        self._fold_rows(kernel, self.offsets[i], offsets, SIZE[letter])

    def _sum_in_double(self, i: int, kind: Kind, offsets: np.ndarray) -> None:
        """Sums of singles accumulate in double."""
        add, narrow = self._kernel("fold_wide_f", kind), self._kernel("cast_d_f", kind)
        for r, row in enumerate(offsets.tolist()):
            self.code.append((COPY, 0, self.scratch, 0, 0, 0, 1, len(self.table), 8))
            self.table.append(self.zero)
            self.code.append((ADD, add, self.scratch, 0, 0, len(row), 1, len(self.table), 0))
            self.table.extend(row)
            self._call(narrow, self.offsets[i] + 4 * r, [self.scratch], 1)

    def _fold_rows(self, kernel: int, dst: int, offsets: np.ndarray, size: int) -> None:
        rows, terms = offsets.shape
        self.code.append((FOLD, kernel, dst, 0, 0, terms, rows, len(self.table), size))
        self.table.extend(offsets.ravel().tolist())

    def _scatter(self, i: int, kind: Kind, a: int) -> None:
        """Every row of the result is the sum of the rows that fall on it; rows with none are zero."""
        from ...ops.arrays import _getitem

        shape, size, letter = kind.shape, SIZE[self.letters[i]], self.letters[i]
        targets = _getitem(np.arange(math.prod(shape)).reshape((1, *shape)), kind.kwargs["index"]).ravel()
        sources = self._all_rows(a)
        kernel = self._kernel(f"fold_add_{letter}", kind)
        falls: dict[int, list[int]] = {}
        for t, s in zip(targets.tolist(), sources.tolist(), strict=True):
            falls.setdefault(t, []).append(s)
        for r in range(rows_of(kind)):
            found = falls.get(r, [self.zero])
            self._fold_rows(kernel, self.offsets[i] + r * size, np.array([found]), size)

    def _matmul(self, i: int, args: tuple[int, ...]) -> None:
        a, b = args
        kind, letter = self.tape.kinds[i], self.letters[i]
        size = SIZE[letter]
        (m, n), inner = kind.shape[-2:], self.tape.kinds[a].shape[-1]
        if inner == 0:
            self._copy(i, np.full(rows_of(kind), self.zero))
            return
        batch = kind.shape[:-2]
        multiply, fold = self._kernel(f"multiply_{letter}", kind), self._kernel(f"fold_product_{letter}", kind)
        starts = []
        for x, matrix in ((a, m * inner), (b, inner * n)):
            outer = self.tape.kinds[x].shape[:-2]
            ids = np.arange(math.prod(outer)).reshape(outer) * matrix
            starts.append((self.offsets[x] + np.broadcast_to(ids, batch) * size).ravel())
        for k, (left, right) in enumerate(zip(*starts, strict=True)):
            self.code.append(
                (
                    PRODUCT,
                    fold,
                    self.offsets[i] + k * m * n * size,
                    int(left),
                    int(right),
                    inner,
                    m * n,
                    len(self.table),
                    size,
                )
            )
            self.table.extend((n, multiply))
