"""One kernel for several elementwise instructions: what it is made of, and how it becomes native code.

A kernel reads every operand once, keeps what lies in between in vector registers, and writes what is read later. It is called as
any other kernel is, with the address of a table of its pointers for the first argument: ``void(pointers, _, _, _, n)``.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from ...access import MEMORY, MEMORY_BYTES, POINTER, load, load_some, store, store_some
from ...emit import SIGNATURE, by_symbol, is_own
from ...library import Loaded, cache_folder, compiled, fingerprint, keep, kept, library, packed, unpacked
from ...vectors import I1, I8, I32, I64, WIDTH
from ...writer import CALL_LENGTH, LIMITS, LONGEST, SHORT, UNROLL, KernelWriter, body_length
from .loop_kernels import LoopBody, LoopWriter, loop_extent

#: instructions around the body of a kernel, and for each of its pointers
FRAME_LENGTH, POINTER_LENGTH = 30, 16


class Pointer(NamedTuple):
    """Memory that a kernel reads or writes."""

    letter: str
    #: one element serves the whole run
    constant: bool
    read: bool


class Body(NamedTuple):
    """A kernel in full. A value is a step by its number, or the pointer k it is read from as -1 - k."""

    pointers: tuple[Pointer, ...]
    #: symbol of the primitive, values of its operands
    steps: tuple[tuple[str, tuple[int, ...]], ...]
    #: pointer, value
    stores: tuple[tuple[int, int], ...]


def is_known(symbol: str) -> bool:
    """Whether an instruction's kernel can be part of a group: a registered one may change under its name."""
    found = by_symbol().get(symbol)
    return found is not None and is_own(found.body)


def extent(bodies: Sequence[Body | LoopBody]) -> tuple[int, int]:
    """Up to which length the bodies of operations are written out (loops have limits of their own), and about how many LLVM
    instructions the kernels then have."""
    groups = [b for b in bodies if isinstance(b, Body)]
    frames = sum(FRAME_LENGTH + POINTER_LENGTH * len(b.pointers) for b in groups)
    lengths = [body_length(symbol) for b in groups for symbol, _ in b.steps]
    for limit in LIMITS:
        total = frames + sum(n if n <= limit else CALL_LENGTH for n in lengths)
        if total <= SHORT:
            break
    return limit, total + sum(loop_extent(b)[1] for b in bodies if isinstance(b, LoopBody))


def affordable(bodies: Sequence[Body]) -> int:
    """How many of them, from the first, are not too long to compile."""
    count, total = 0, 0
    for body in bodies:
        total += extent([body])[1]
        if total > LONGEST:
            break
        count += 1
    return count


class _GroupWriter(KernelWriter):
    """Writes the kernels of bodies as functions group0, group1, … of one module."""

    def __init__(self, bodies: Sequence[Body | LoopBody]) -> None:
        self.bodies, self.inline = bodies, extent(bodies)[0]
        self.module = ir.Module("groups")

    def text(self) -> str:
        for k, body in enumerate(self.bodies):
            function = ir.Function(self.module, SIGNATURE, f"group{k}")
            if isinstance(body, LoopBody):
                LoopWriter(self.module, body).write(function)
            else:
                self._kernel(function, body)
        self.link()
        return str(self.module)

    def _kernel(self, function: ir.Function, body: Body) -> None:
        """Whole vectors in memory; then what is left over, as one more vector in memory of its own."""
        double = any(p.letter == "d" for p in body.pointers) or any(s.endswith("_d") for s, _ in body.steps)
        self.width = WIDTH * UNROLL * (1 if double else 2)
        names = ("entry", "pass", "loop", "after", "left", "spread", "gather", "done")
        entry, again, loop, after, left, spread, gather, done = (function.append_basic_block(n) for n in names)
        self.b = b = ir.IRBuilder(entry)
        zero, width, n = ir.Constant(I64, 0), ir.Constant(I64, self.width), function.args[4]
        table = b.bitcast(function.args[0], POINTER.as_pointer())
        own = [
            b.load(b.gep(table, [ir.Constant(I64, k)], source_etype=POINTER), typ=POINTER)
            for k in range(len(body.pointers))
        ]
        constants = {k: self._splat(own[k], p.letter) for k, p in enumerate(body.pointers) if p.constant}
        rest = {k: self._room(p.letter) for k, p in enumerate(body.pointers) if not p.constant}
        whole = b.and_(n, ir.Constant(I64, -self.width))
        mask = self._below(b.sub(n, whole))
        b.branch(again)

        b.position_at_end(again)
        bases = {}
        for k in rest:
            bases[k] = b.phi(POINTER)
            bases[k].add_incoming(own[k], entry)
            bases[k].add_incoming(rest[k], spread)
        end, last = b.phi(I64), b.phi(I1)
        end.add_incoming(whole, entry)
        end.add_incoming(width, spread)
        last.add_incoming(ir.Constant(I1, 0), entry)
        last.add_incoming(ir.Constant(I1, 1), spread)
        b.cbranch(b.icmp_signed("<", zero, end), loop, after)

        b.position_at_end(loop)
        i = b.phi(I64)
        i.add_incoming(zero, again)
        values = {
            -1 - k: constants[k] if p.constant else load(b, p.letter, self._at(bases[k], i, p.letter), self.width)
            for k, p in enumerate(body.pointers)
            if p.read
        }
        for j, (symbol, operands) in enumerate(body.steps):
            values[j] = self.apply(by_symbol()[symbol], [values[v] for v in operands])
        for k, value in body.stores:
            letter = body.pointers[k].letter
            store(b, letter, values[value], self._at(bases[k], i, letter))
        following = b.add(i, width)
        i.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, end), loop, after)

        b.position_at_end(after)
        b.cbranch(last, gather, left)
        b.position_at_end(left)
        b.cbranch(b.icmp_signed("<", whole, n), spread, done)
        b.position_at_end(spread)
        for k, p in enumerate(body.pointers):
            if p.read and not p.constant:
                store(b, p.letter, load_some(b, p.letter, self._at(own[k], whole, p.letter), mask), rest[k])
        b.branch(again)
        b.position_at_end(gather)
        for k, _ in body.stores:
            letter = body.pointers[k].letter
            value = load(b, letter, rest[k], self.width)
            store_some(b, letter, value, self._at(own[k], whole, letter), mask)
        b.branch(done)
        b.position_at_end(done)
        b.ret_void()

    def _at(self, pointer: ir.Value, index: ir.Value, letter: str) -> ir.Value:
        return self.b.gep(pointer, [self.b.mul(index, ir.Constant(I64, MEMORY_BYTES[letter]))], source_etype=I8)

    def _room(self, letter: str) -> ir.Value:
        """Memory for a vector."""
        return self.b.bitcast(self.b.alloca(ir.ArrayType(MEMORY[letter], self.width)), POINTER)

    def _splat(self, pointer: ir.Value, letter: str) -> ir.Value:
        return self.shuffled([load(self.b, letter, pointer, 1)], [0] * self.width)

    def _below(self, count: ir.Value) -> ir.Value:
        """The first `count` lanes."""
        kind = ir.VectorType(I32, self.width)
        lanes = ir.Constant(kind, list(range(self.width)))
        single = self.b.insert_element(ir.Constant(kind, ir.Undefined), self.b.trunc(count, I32), ir.Constant(I32, 0))
        return self.b.icmp_signed("<", lanes, self.shuffled([single], [0] * self.width))


class Groups:
    """Kernels of bodies in memory."""

    def __init__(self, names: Sequence[str], data: bytes, count: int) -> None:
        self._loaded = Loaded(data)
        needed = np.array([library().address(name) for name in names] or [0], np.int64)
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(self._loaded.address("link"))(needed.ctypes.data)
        self.addresses = [self._loaded.address(f"group{k}") for k in range(count)]


@lru_cache(maxsize=1)
def _fingerprint() -> str:
    here = Path(__file__)
    sources = b"".join(p.read_bytes() for p in (here, here.with_name("loop_kernels.py")))
    return fingerprint() + hashlib.sha256(sources).hexdigest()


def _path(bodies: Sequence[Body | LoopBody]) -> Path:
    digest = hashlib.sha256(_fingerprint().encode() + repr([tuple(b) for b in bodies]).encode())
    return cache_folder() / f"groups-{digest.hexdigest()[:32]}.o"


def load_kept(bodies: Sequence[Body | LoopBody]) -> Groups | None:
    """The kernels, if the cache has them."""
    data = kept(_path(bodies))
    return None if data is None else Groups(*unpacked(data), len(bodies))


def compile_groups(bodies: Sequence[Body | LoopBody]) -> Groups:
    """The kernels, compiled now and kept."""
    writer = _GroupWriter(bodies)
    text = writer.text()
    data = packed(writer.needs(), compiled(text, 1))
    keep(_path(bodies), data)
    return Groups(*unpacked(data), len(bodies))
