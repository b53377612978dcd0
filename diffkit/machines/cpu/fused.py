"""The fused tier: one tape as one kernel. All registers are vector registers, and no value goes through memory in between.

The kernel is written from the interpreter's own code, instruction by instruction and row by row, with the very bodies of
its kernels, so its answers have the same bits. It is a job (team.py): ``void(io, order, who)``, where `io` holds the addresses of
inputs, then outputs, and `order` says which points (threads.share).
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from llvmlite import ir

from .access import MEMORY, POINTER, load, store
from .blocks import Given
from .emit import by_symbol, is_own
from .library import Loaded, cache_folder, compiled, fingerprint, keep, kept, library, packed, unpacked
from .plan import CALL, COPY, SIZE, Place, Plan, follow
from .shared import Native
from .vectors import ELEMENT, I8, I32, I64, WIDTH, splat
from .writer import CALL_LENGTH, LIMITS, LONGEST, SHORT, UNROLL, KernelWriter, body_length

#: moving one element of an input or output
MOVE_LENGTH = 6
#: lanes of the widest vector: the kernel computes at least so many points
LEAST_POINTS = 64
#: rows of an array up to which points are interleaved with shuffles rather than one element at a time
SHUFFLED_ROWS = 4


def extent(plan: Plan) -> tuple[int, int]:
    """Up to which length bodies are written out, and about how many LLVM instructions the kernel then has."""
    code = plan.code
    rows, terms = np.maximum(code[:, 6], 1), np.where(code[:, 0] == CALL, 1, np.maximum(code[:, 5], 1))
    times = rows * terms * (code[:, 0] != COPY)
    bodies = np.array([body_length(s) for s in plan.symbols] or [0])[code[:, 1]]
    moves = MOVE_LENGTH * sum(p.rows for p in (*plan.inputs, *plan.outputs))
    for limit in LIMITS:
        total = moves + int((times * np.where(bodies <= limit, bodies, CALL_LENGTH)).sum())
        if total <= SHORT:
            break
    return limit, total


class FusedWriter(KernelWriter):
    """Writes the kernel of a plan for one pattern of inputs that are the same at all points."""

    def __init__(self, plan: Plan, uniform: Sequence[bool]) -> None:
        super().__init__(ir.Module("fused"), extent(plan)[0])
        self.plan, self.uniform = plan, uniform
        self.chosen = [by_symbol()[s] for s in plan.symbols]
        letters = {t for p in self.chosen for t in (*p.operands, p.result)} | {
            p.letter for p in [*plan.inputs, *plan.outputs]
        }
        self.width = WIDTH * UNROLL * (1 if "d" in letters else 2)
        self.registers: dict[int, ir.Value] = {}

    def text(self) -> str:
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64]), "fused")
        entry, take, piece, loop, done = (
            function.append_basic_block(n) for n in ("entry", "take", "piece", "loop", "done")
        )
        self.b = b = ir.IRBuilder(entry)
        word = lambda pointer, k: b.gep(pointer, [ir.Constant(I64, 8 * k)], source_etype=I8)
        io, order, _ = function.args
        count = len(self.plan.inputs) + len(self.plan.outputs)
        self.pointers = [b.inttoptr(b.load(word(io, k), typ=I64), POINTER) for k in range(count)]
        size, points, back = (b.load(word(order, k), typ=I64) for k in (1, 2, 3))
        self._constants()
        for pointer, place, same in zip(self.pointers, self.plan.inputs, self.uniform, strict=False):
            if same:
                self._load_uniform(pointer, place)
        b.branch(take)
        b.position_at_end(take)  # threads.share says what a piece is
        taken = b.atomic_rmw("add", order, size, "monotonic")
        b.cbranch(b.icmp_signed("<", taken, b.add(points, back)), piece, done)
        b.position_at_end(piece)
        from_start = b.sub(taken, back)
        begin = b.select(b.icmp_signed("<", from_start, ir.Constant(I64, 0)), ir.Constant(I64, 0), from_start)
        whole = b.add(from_start, size)
        end = b.select(b.icmp_signed("<", whole, points), whole, points)
        b.branch(loop)
        b.position_at_end(loop)
        start = b.phi(I64)
        start.add_incoming(begin, piece)
        # the last vector ends with the last point: it computes some points once more, to the same bits
        latest = b.sub(end, ir.Constant(I64, self.width))
        self.lane = b.select(b.icmp_signed("<", start, latest), start, latest)
        for pointer, place, same in zip(self.pointers, self.plan.inputs, self.uniform, strict=False):
            if not same:
                self._load(pointer, place)
        follow(self.plan, self.registers, lambda symbol, values: self.apply(by_symbol()[symbol], values))
        for pointer, place in zip(self.pointers[len(self.plan.inputs) :], self.plan.outputs, strict=True):
            self._store(pointer, place)
        first = b.icmp_signed("==", start, ir.Constant(I64, 0))
        following = b.sub(b.add(start, ir.Constant(I64, self.width)), b.select(first, back, ir.Constant(I64, 0)))
        start.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, end), loop, take)
        b.position_at_end(done)
        b.ret_void()
        self.link()
        return str(self.module)

    # ---- memory ----
    def _constants(self) -> None:
        for value, place in self.plan.constants:
            for at, x in zip(self._rows(place), value.ravel().tolist(), strict=True):
                self.registers[at] = splat(ELEMENT[place.letter], x, self.width)

    def _rows(self, place: Place) -> list[int]:
        return [place.at + r * SIZE[place.letter] for r in range(place.rows)]

    def _load_uniform(self, pointer: ir.Value, place: Place) -> None:
        for r, at in enumerate(self._rows(place)):
            self.registers[at] = self._from_lanes([self._element(pointer, place.letter, r)] * self.width, place.letter)

    def _element(self, pointer: ir.Value, letter: str, index: ir.Value | int) -> ir.Value:
        """One element, index in elements."""
        kind = MEMORY[letter]
        index = ir.Constant(I64, index) if isinstance(index, int) else index
        where = self.b.gep(self.b.bitcast(pointer, kind.as_pointer()), [index], source_etype=kind)
        return self.b.load(where, typ=kind)

    def _from_lanes(self, elements: list[ir.Value], letter: str) -> ir.Value:
        kind = ir.VectorType(MEMORY[letter], self.width)
        value: ir.Value = ir.Constant(kind, ir.Undefined)
        for k, x in enumerate(elements):
            value = self.b.insert_element(value, x, ir.Constant(I32, k))
        return self.b.icmp_unsigned("!=", value, ir.Constant(kind, [0] * self.width)) if letter == "b" else value

    def _offset(self, pointer: ir.Value, place: Place, vector: int) -> ir.Value:
        """Address of a vector of what a place holds for the points from this lane on."""
        step = ir.Constant(I64, place.rows * SIZE[place.letter])
        index = self.b.add(self.b.mul(self.lane, step), ir.Constant(I64, vector * self.width * SIZE[place.letter]))
        return self.b.gep(pointer, [index], source_etype=I8)

    def _load(self, pointer: ir.Value, place: Place) -> None:
        rows, w = place.rows, self.width
        if rows <= SHUFFLED_ROWS:
            vectors = [load(self.b, place.letter, self._offset(pointer, place, m), w) for m in range(rows)]
            for r, at in enumerate(self._rows(place)):
                self.registers[at] = self._picked(vectors, [k * rows + r for k in range(w)])
            return
        first = self.b.mul(self.lane, ir.Constant(I64, rows))
        for r, at in enumerate(self._rows(place)):
            index = [self.b.add(first, ir.Constant(I64, k * rows + r)) for k in range(w)]
            self.registers[at] = self._from_lanes(
                [self._element(pointer, place.letter, j) for j in index], place.letter
            )

    def _store(self, pointer: ir.Value, place: Place) -> None:
        rows, w = place.rows, self.width
        values = [self.registers[at] for at in self._rows(place)]
        if rows <= SHUFFLED_ROWS:
            for m in range(rows):
                picked = self._picked(values, [(p % rows) * w + p // rows for p in range(m * w, (m + 1) * w)])
                store(self.b, place.letter, picked, self._offset(pointer, place, m))
            return
        kind = MEMORY[place.letter]
        first = self.b.mul(self.lane, ir.Constant(I64, rows))
        target = self.b.bitcast(pointer, kind.as_pointer())
        for r, value in enumerate(values):
            plain = self.b.zext(value, ir.VectorType(I8, w)) if place.letter == "b" else value
            for k in range(w):
                where = self.b.gep(target, [self.b.add(first, ir.Constant(I64, k * rows + r))], source_etype=kind)
                self.b.store(self.b.extract_element(plain, ir.Constant(I32, k)), where)

    def _picked(self, vectors: list[ir.Value], positions: list[int]) -> ir.Value:
        """Lanes out of vectors laid end to end."""
        w = self.width
        if len(vectors) == 1:
            return vectors[0] if positions == list(range(w)) else self.shuffled(vectors, positions)
        result = ir.Constant(vectors[0].type, ir.Undefined)
        for m, vector in enumerate(vectors):
            mask = [w + p % w if p // w == m else k for k, p in enumerate(positions)]
            result = self.shuffled([result, vector], mask)
        return result


class Fused:
    """A fused kernel in memory."""

    def __init__(self, names: Sequence[str], data: bytes) -> None:
        self._loaded = Loaded(data)
        addresses = np.array([library().address(name) for name in names] or [0], np.int64)
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(self._loaded.address("link"))(addresses.ctypes.data)
        self.job = Native(3, self._loaded.address("fused"))

    @staticmethod
    def on(arrays: Sequence[Given]) -> np.ndarray:
        """What the job is told: addresses of inputs, then outputs. For LEAST_POINTS points in all at least."""
        return np.array([x.address for x in arrays], np.int64)


def _path(plan: Plan, uniform: Sequence[bool]) -> Path:
    digest = hashlib.sha256(fingerprint().encode())
    digest.update(repr((plan.symbols, plan.inputs, plan.outputs, list(uniform))).encode())
    for array in (plan.code, plan.table):
        digest.update(array.tobytes() + b"|")
    for value, place in plan.constants:
        digest.update(repr(place).encode() + value.tobytes())
    return cache_folder() / f"fused-{digest.hexdigest()[:32]}.o"


def fusable(plan: Plan) -> bool:
    """Whether it is short enough, and made of diffkit's own kernels alone (a registered one may change under its name)."""
    own = all(s in by_symbol() and is_own(by_symbol()[s].body) for s in plan.symbols)
    return own and len(plan.code) > 0 and extent(plan)[1] <= LONGEST


def load_kept(plan: Plan, uniform: Sequence[bool]) -> Fused | None:
    """The kernel, if the cache has it."""
    data = kept(_path(plan, uniform))
    return None if data is None else Fused(*unpacked(data))


def compile_fused(plan: Plan, uniform: Sequence[bool]) -> Fused:
    """The kernel, compiled now and kept."""
    writer = FusedWriter(plan, uniform)
    text = writer.text()
    data = packed(writer.needs(), compiled(text, 1))
    keep(_path(plan, uniform), data)
    return Fused(*unpacked(data))
