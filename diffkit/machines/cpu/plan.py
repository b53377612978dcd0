"""From a tape to the interpreter's code: primitives, pairs, registers, tables of moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np

from ...errors import UnsupportedError
from ...expr.kind import Kind, constant_value
from ...ops import CAST, CONSTANT, TABLE
from ...tape import Tape
from ...tape.lower import lower
from ..numpy import call
from .emit import by_symbol as primitives_by_symbol
from .emit import joinable, pair_name, symbol_of

#: opcodes of the interpreter (driver.py)
CALL, COPY, FOLD, PRODUCT, ADD = 0, 1, 2, 3, 4
COLUMNS = 9

#: register type by dtype. Integers are kept as doubles (exact to 2**53); a weak constant is a double
LETTER = {"float64": "d", "weak": "d", "int64": "d", "float32": "f", "bool": "b"}
SIZE = {"d": 8, "f": 4, "b": 1}
NUMPY = {"d": np.float64, "f": np.float32, "b": np.bool_}

#: elements of an array that may have a register each
SPREAD_SIZE = 64

_FOLD = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


@dataclass(frozen=True)
class Place:
    """Where an input, constant or output is while the tape runs.

    at: not negative: offset of its register in bytes a lane; negative: slot number -1 - at, in the caller's memory.
    """

    at: int
    letter: str
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        return math.prod(self.shape)


@dataclass
class Plan:
    """Code and tables for the interpreter; what each leaf and output needs.

    code: rows of (opcode, symbol, dst, a, b, c, rows, table start, extra); operands are places like Place.at.
    """

    code: np.ndarray
    table: np.ndarray
    symbols: list[str]
    inputs: list[Place]
    constants: list[tuple[np.ndarray, Place]]
    outputs: list[Place]
    #: slots: the inputs of a single row, then the outputs of a single row that an instruction computes
    slots: int
    #: bytes of all registers for one lane
    lane_bytes: int


V = TypeVar("V")


def follow(plan: Plan, registers: dict[int, V], apply: Callable[[str, list[V]], V]) -> None:
    """Run the code once, row by row, on values of any sort: `apply` does a primitive, given its symbol and its operands.

    registers: values by place (Place.at, further rows of it SIZE bytes apart); those of the code are added.
    """
    table, symbols = plan.table, plan.symbols
    by_symbol = primitives_by_symbol()
    for opcode, symbol, dst, a, b, c, rows, first, size in plan.code.tolist():
        if opcode == CALL:
            primitive = by_symbol[symbols[symbol]]
            places = (a, b, c)[: len(primitive.operands)]
            sizes, step = [SIZE[t] for t in primitive.operands], SIZE[primitive.result]
            for r in range(rows):
                values = [registers[p + r * s] for p, s in zip(places, sizes, strict=True)]
                registers[dst + r * step] = apply(symbols[symbol], values)
        elif opcode == COPY:
            copied = [registers[p] for p in table[first : first + rows].tolist()]
            registers.update((dst + r * size, v) for r, v in enumerate(copied))
        elif opcode in (FOLD, ADD):
            terms = c
            for r in range(rows):
                places = table[first + r * terms : first + (r + 1) * terms].tolist()
                total = registers[places.pop(0)] if opcode == FOLD else registers[dst]
                for p in places:
                    total = apply(symbols[symbol], [total, registers[p]])
                registers[dst + r * size] = total
        else:
            terms, columns, multiply = c, int(table[first]), symbols[int(table[first + 1])]
            for r in range(rows):
                left, right = a + (r // columns) * terms * size, b + (r % columns) * size
                total = apply(multiply, [registers[left], registers[right]])
                for k in range(1, terms):
                    pair = [registers[left + k * size], registers[right + k * columns * size]]
                    total = apply(symbols[symbol], [total, *pair])
                registers[dst + r * size] = total


def cast_symbol(source: Kind, target: Kind) -> str | None:
    """The kernel that brings a value to another dtype; None: it is the same number, held in the same way."""
    a, b = LETTER[source.dtype], LETTER[target.dtype]
    if a == b:
        return "trunc_d" if target.dtype == "int64" and source.dtype in ("float64", "weak") else None
    return f"cast_{a}_{b}"


def has_large(tape: Tape) -> bool:
    """Whether there are arrays that are too large for a register an element."""
    return any(rows_of(kind) > SPREAD_SIZE for kind in set(tape.kinds))


def rows_of(kind: Kind) -> int:
    return math.prod(kind.shape)


def plan(tape: Tape) -> Plan:
    """UnsupportedError where the tape has an operation without a kernel or a lowering."""
    return _Planner(lower(tape, lambda kind: kind.op.kernel is None)).plan()


class _Planner:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.symbols: dict[str, int] = {}
        self.table: list[int] = []
        self.code: list[tuple[int, ...]] = []
        self._tabulate()

    def _tabulate(self) -> None:
        """The tape as integer arrays: for every value the number of its kind, for every kind its properties."""
        self.kinds = list(dict.fromkeys(self.tape.kinds))
        number = {k: n for n, k in enumerate(self.kinds)}
        self.kind = np.fromiter(map(number.__getitem__, self.tape.kinds), np.int64, len(self.tape.kinds))
        count = np.fromiter(map(len, self.tape.args), np.int64, len(self.tape.args))
        self.start = np.concatenate(([0], np.cumsum(count)))
        self.args = np.fromiter(chain.from_iterable(self.tape.args), np.int64, int(self.start[-1]))
        letters = [LETTER[k.dtype] for k in self.kinds]
        self.letters = letters
        shapes: dict[tuple, int] = {}
        rows = np.array([rows_of(k) for k in self.kinds], np.int64)
        self.rows = rows
        #: shape and dtype as one number, and shape alone
        self.shape = np.array([shapes.setdefault(k.shape, len(shapes)) for k in self.kinds], np.int64)
        self.sort = self.shape * 3 + np.array(["dfb".index(t) for t in letters], np.int64)
        self.leaf = np.array([k.op.family == "leaf" for k in self.kinds], bool)

    def plan(self) -> Plan:
        from .registers import COMPUTED, GONE, LEAF, SLOT, allocate, join_pairs

        tape, kind = self.tape, self.kind
        outputs = np.array(tape.outputs, np.int64)
        plain = self._plain()
        inner, rule = self._joined(plain, outputs, join_pairs)
        # whole words, so that registers are aligned for a block of a single lane too
        sizes = [-(-SIZE[t] * n // 8) * 8 for t, n in zip(self.letters, self.rows.tolist(), strict=True)]
        classes = {size: k for k, size in enumerate(dict.fromkeys(sizes))}
        role = np.where(self.leaf[kind], LEAF, np.where(self.rows[kind] == 0, GONE, COMPUTED))
        role[inner[inner >= 0]] = GONE
        slots = [i for i in tape.inputs if self.rows[kind[i]] == 1]
        slots += list(dict.fromkeys(o for o in tape.outputs if role[o] == COMPUTED and self.rows[kind[o]] == 1))
        role[slots] = SLOT
        sized = np.array([(classes[s] << 32) + s for s in sizes], np.int64)[kind]
        offsets, total = allocate(self.start, self.args, sized, role, inner, outputs, len(classes))
        offsets[role == GONE] = 0  # an array without elements; a negative number would mean a slot
        offsets[slots] = -1 - np.arange(len(slots))
        self.offsets = offsets
        #: a row that is zero in every dtype, rows of ones, and a row of doubles to add up in
        self.zero, self.one, self.scratch = total, {"d": total + 8, "f": total + 16}, total + 24
        code = self._assemble(plain, inner, rule, role)
        constants: list[tuple[np.ndarray, Place]] = []
        for i in np.flatnonzero(self.leaf[kind]).tolist():
            k = tape.kinds[i]
            if k.op is CONSTANT:
                constants.append((np.ascontiguousarray(constant_value(k), NUMPY[LETTER[k.dtype]]), self._place(i)))
        own: list[tuple[np.ndarray, int, str]] = [
            (np.zeros(1), self.zero, "d"),
            (np.ones(1), self.one["d"], "d"),
            (np.ones(1, np.float32), self.one["f"], "f"),
        ]
        constants += [(value, Place(at, letter, ())) for value, at, letter in own]
        return Plan(
            code, np.array(self.table, np.int64), list(self.symbols), [self._place(i) for i in tape.inputs], constants,
            [self._place(o) for o in tape.outputs], len(slots), total + 32,
        )  # fmt: skip

    def _place(self, i: int) -> Place:
        k = self.kind[i]
        return Place(int(self.offsets[i]), self.letters[k], self.kinds[k].shape)

    # ---- the plain case, for all instructions at once ----
    def _plain(self) -> np.ndarray:
        """Which values are elementwise operations on operands of their own shape: one call over all rows."""
        possible = np.array(
            [k.op.family == "elementwise" and k.op is not CAST and bool(rows_of(k)) for k in self.kinds], bool
        )
        possible = possible[self.kind]
        fits = self.shape[self.kind[self.args]] == np.repeat(self.shape[self.kind], np.diff(self.start))
        misfits = np.concatenate(([0], np.cumsum(~fits)))
        return possible & (misfits[self.start[1:]] == misfits[self.start[:-1]])

    def _joined(self, plain: np.ndarray, outputs: np.ndarray, join_pairs) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
        pairs = joinable()
        names = {
            name: k for k, name in enumerate(dict.fromkeys(n for first, second, _ in pairs for n in (first, second)))
        }
        by_kind = np.array([names.get(k.op.name, -1) for k in self.kinds], np.int64)
        operation = np.where(plain, by_kind[self.kind], -1)
        uses = np.bincount(self.args, minlength=len(self.kind)) + np.bincount(outputs, minlength=len(self.kind))
        rows = np.array(
            [(names[first], names[second], position) for first, second, position in pairs], np.int64
        ).reshape(-1, 3)
        return join_pairs(self.start, self.args, operation, self.sort[self.kind], uses, rows)

    def _assemble(self, plain: np.ndarray, inner: np.ndarray, rule: np.ndarray, role: np.ndarray) -> np.ndarray:
        """The code: plain instructions as arrays, the others by hand, put together in the tape's order."""
        from .registers import GONE

        chosen = np.flatnonzero(plain & (role != GONE))
        rows = np.zeros((len(chosen), COLUMNS), np.int64)
        rows[:, 2], rows[:, 6] = self.offsets[chosen], self.rows[self.kind[chosen]]
        position = np.full(len(self.kind), -1, np.int64)
        position[chosen] = np.arange(len(chosen))
        letter = self.sort[self.kind] % 3
        # symbols: an operation in the precision of its last operand
        last = self.args[self.start[1:][chosen] - 1]
        pairs = joinable()
        key = (self.kind[chosen] * 3 + letter[last]) * (len(pairs) + 1) + rule[chosen] + 1
        numbers = np.zeros(int(key.max(initial=-1)) + 1, np.int64)  # symbol by key
        present = np.zeros(len(numbers), bool)
        present[key] = True
        for u in np.flatnonzero(present).tolist():
            (k, t), p = divmod(u // (len(pairs) + 1), 3), u % (len(pairs) + 1) - 1
            pair = f"{pair_name(*pairs[p])}_{'dfb'[t]}" if p >= 0 else None
            numbers[u] = self._symbol(pair or self._operation(self.kinds[k], "dfb"[t]), self.kinds[k])
        rows[:, 1] = numbers[key]
        # operands: those of the inner operation of a pair, then the rest
        whole = rule[chosen] < 0
        for column in range(3):
            has = whole & (self.start[chosen] + column < self.start[chosen + 1])
            rows[has, 3 + column] = self.offsets[self.args[self.start[chosen[has]] + column]]
        self._pair_operands(rows, chosen, inner, rule)
        return self._interleaved(rows, chosen, np.flatnonzero(~plain & (role != GONE) & ~self.leaf[self.kind]))

    def _pair_operands(self, rows: np.ndarray, chosen: np.ndarray, inner: np.ndarray, rule: np.ndarray) -> None:
        for p, (_, _, position) in enumerate(joinable()):
            at = np.flatnonzero(rule[chosen] == p)
            if not at.size:
                continue
            outer, within = chosen[at], inner[chosen[at]]
            count = int(self.start[within[0] + 1] - self.start[within[0]])
            for c in range(count):
                rows[at, 3 + c] = self.offsets[self.args[self.start[within] + c]]
            if self.start[outer[0] + 1] - self.start[outer[0]] == 2:
                rows[at, 3 + count] = self.offsets[self.args[self.start[outer] + 1 - position]]

    def _interleaved(self, rows: np.ndarray, chosen: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The plain rows with those of the other instructions between them."""
        if not others.size:
            return rows
        owner = []
        for i in others.tolist():
            before = len(self.code)
            self._write(i)
            owner += [i] * (len(self.code) - before)
        by_hand = np.array(self.code, np.int64).reshape(-1, COLUMNS)
        order = np.argsort(np.concatenate([chosen, np.array(owner, np.int64)]), kind="stable")
        return np.ascontiguousarray(np.concatenate([rows, by_hand])[order])

    def _operation(self, kind: Kind, letter: str) -> str:
        if kind.op.kernel is None:
            raise self._unsupported(kind)
        return symbol_of(kind.op, letter)

    def _symbol(self, name: str, kind: Kind) -> int:
        from .library import library

        if name not in self.symbols and not library().address(name):
            raise self._unsupported(kind)
        return self.symbols.setdefault(name, len(self.symbols))

    def _unsupported(self, kind: Kind) -> UnsupportedError:
        return UnsupportedError(
            f"the operation {kind.op.name!r} has no kernel on the cpu machine: give its record `lower=` (it written with other "
            'operations) or `kernel=`, or use machine="numpy"'
        )

    # ---- everything else, one instruction at a time ----
    def _write(self, i: int) -> None:
        kind, args = self.tape.kinds[i], self.tape.args[i]
        if kind.op is CAST:
            self._cast(i, kind, args[0])
        elif kind.op.family == "elementwise":
            self._stretched(i, kind, args)
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

    def _letter(self, i: int) -> str:
        return self.letters[self.kind[i]]

    def _stretched(self, i: int, kind: Kind, args: tuple[int, ...]) -> None:
        """A core shape is stretched: row by row."""
        symbol = self._symbol(self._operation(kind, self._letter(args[-1])), kind)
        operands = [self._row_places(a, kind.shape) for a in args]
        for r, dst in enumerate(self._all_rows(i).tolist()):
            self._call(symbol, dst, [o[r] for o in operands], 1)

    def _row_places(self, a: int, shape: tuple[int, ...]) -> list[int]:
        """The place of every row that the operand is stretched to."""
        own = self.tape.kinds[a].shape
        return np.broadcast_to(self._all_rows(a).reshape(own), shape).ravel().tolist()

    def _call(self, symbol: int, dst: int, operands: Sequence[int], rows: int) -> None:
        a, b, c = (*operands, 0, 0)[:3]
        self.code.append((CALL, symbol, dst, a, b, c, rows, 0, 0))

    def _cast(self, i: int, kind: Kind, a: int) -> None:
        symbol, place = cast_symbol(self.tape.kinds[a], kind), int(self.offsets[a])
        if symbol is None:
            self._copy(i, self._all_rows(a))
            return
        self._call(self._symbol(symbol, kind), int(self.offsets[i]), [place], rows_of(kind))
        if symbol == "cast_f_d" and kind.dtype == "int64":
            # written over itself: its kernel reads an element before it writes it
            self._call(self._symbol("trunc_d", kind), int(self.offsets[i]), [int(self.offsets[i])], rows_of(kind))

    def _all_rows(self, a: int) -> np.ndarray:
        return int(self.offsets[a]) + np.arange(int(self.rows[self.kind[a]])) * SIZE[self._letter(a)]

    def _moved(self, kind: Kind, args: tuple[int, ...]) -> np.ndarray:
        """Places of the source rows: the operation's own NumPy function, run on places."""
        sources = [self._all_rows(a).reshape((1, *self.tape.kinds[a].shape)) for a in args]
        return call(kind, sources)

    def _copy(self, i: int, places: np.ndarray) -> None:
        rows = np.broadcast_to(places, (1, *self.tape.kinds[i].shape)).ravel() if places.ndim > 1 else places
        self._table_row(COPY, 0, int(self.offsets[i]), len(rows), 0, SIZE[self._letter(i)], rows)

    def _table_row(
        self, opcode: int, symbol: int, dst: int, rows: int, terms: int, size: int, places: np.ndarray
    ) -> None:
        self.code.append((opcode, symbol, dst, 0, 0, terms, rows, len(self.table), size))
        self.table.extend(places.tolist())

    def _fold(self, i: int, kind: Kind, a: int) -> None:
        shape = self.tape.kinds[a].shape
        axes = [x % len(shape) for x in kind.kwargs["axes"]]
        rest = [x for x in range(len(shape)) if x not in axes]
        terms = math.prod(shape[x] for x in axes)
        letter = self._letter(i)
        if terms == 0:  # the sum of nothing is 0, the product 1
            self._copy(i, np.full(rows_of(kind), self.zero if kind.op.name == "sum" else self.one[letter]))
            return
        places = self._all_rows(a).reshape(shape).transpose(*rest, *axes).reshape(-1, terms)
        if kind.op.name == "sum" and letter == "f":
            self._sum_in_double(i, kind, places)
            return
        symbol = self._symbol(f"fold_{_FOLD[kind.op.name]}_{letter}", kind)
        self._fold_rows(symbol, int(self.offsets[i]), places, SIZE[letter])

    def _sum_in_double(self, i: int, kind: Kind, places: np.ndarray) -> None:
        """Sums of singles accumulate in double."""
        add, narrow = self._symbol("fold_wide_f", kind), self._symbol("cast_d_f", kind)
        for row, dst in zip(places, self._all_rows(i).tolist(), strict=True):
            self._table_row(COPY, 0, self.scratch, 1, 0, 8, np.array([self.zero]))
            self._table_row(ADD, add, self.scratch, 1, len(row), 0, row)
            self._call(narrow, dst, [self.scratch], 1)

    def _fold_rows(self, symbol: int, dst: int, places: np.ndarray, size: int) -> None:
        rows, terms = places.shape
        self._table_row(FOLD, symbol, dst, rows, terms, size, places.ravel())

    def _scatter(self, i: int, kind: Kind, a: int) -> None:
        """Every row of the result is the sum of the rows that fall on it; rows with none are zero."""
        shape, letter = kind.shape, self._letter(i)
        everything = np.arange(math.prod(shape)).reshape((1, *shape))
        targets = TABLE["getitem"].numpy(everything, index=kind.kwargs["index"]).ravel()
        symbol = self._symbol(f"fold_add_{letter}", kind)
        falls: dict[int, list[int]] = {}
        for t, s in zip(targets.tolist(), self._all_rows(a).tolist(), strict=True):
            falls.setdefault(t, []).append(s)
        for r, dst in enumerate(self._all_rows(i).tolist()):
            self._fold_rows(symbol, dst, np.array([falls.get(r, [self.zero])]), SIZE[letter])

    def _matmul(self, i: int, args: tuple[int, ...]) -> None:
        a, b = args
        kind, letter = self.tape.kinds[i], self._letter(i)
        size = SIZE[letter]
        (m, n), terms = kind.shape[-2:], self.tape.kinds[a].shape[-1]
        if terms == 0:
            self._copy(i, np.full(rows_of(kind), self.zero))
            return
        batch = kind.shape[:-2]
        multiply, fold = self._symbol(f"multiply_{letter}", kind), self._symbol(f"fold_product_{letter}", kind)
        starts = []
        for x, matrix in ((a, m * terms), (b, terms * n)):
            outer = self.tape.kinds[x].shape[:-2]
            ids = np.arange(math.prod(outer)).reshape(outer) * matrix
            starts.append((int(self.offsets[x]) + np.broadcast_to(ids, batch) * size).ravel())
        for k, (left, right) in enumerate(zip(*starts, strict=True)):
            dst = int(self.offsets[i]) + k * m * n * size
            self.code.append((PRODUCT, fold, dst, int(left), int(right), terms, m * n, len(self.table), size))
            self.table.extend((n, multiply))
