"""The one piece of device memory that a program works in: where each of its buffers lies, and what it holds at first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....errors import DiffkitError
from ....ops.indexing import out_of_range
from ...cpu.arrays.memory import Core
from ...cpu.arrays.opcodes import IN_RANGE
from ...cpu.arrays.program import FAULTS, Lanes, Program
from ...cpu.arrays.views import View
from ...cpu.plan import NUMPY, SIZE
from ..package import package
from ..streams import handle_of, mark
from .launches import compiled, spread
from .moving import copy
from .nests import Words

#: bytes that buffers begin at a multiple of
ALIGNMENT = 256


class Layout:
    """Where the buffers of a program are, for so many lanes."""

    def __init__(
        self, program: Program, cores: Sequence[Core], lanes: int, points: Sequence[int], registers: int
    ) -> None:
        """cores: of arguments and results, of each of which there are so many points; registers: bytes of them."""
        self.program, self.size = program, 0
        totals = max((p.total_bytes for p in program.phases if isinstance(p, Lanes)), default=0)
        self.where = [
            self.take(n) for n in (program.work_bytes, len(program.constants), totals, 8 * len(program.checks))
        ]
        self.where += [self.take(n * math.prod(core) * SIZE[t]) for n, (core, t) in zip(points, cores, strict=True)]
        self.where += [self.take(each * lanes) for each in program.streams]
        self.registers = self.take(registers)
        #: by level: where, how long
        self._scratch: dict[int, tuple[int, int]] = {}
        #: values that are filled in, by their bits: where each is
        self.values: dict[bytes, int] = {}

    def take(self, size: int) -> int:
        at = self.size
        self.size += -(-size // ALIGNMENT) * ALIGNMENT
        return at

    def scratch(self, size: int, level: int) -> int:
        """Memory for one instruction; levels have memory of their own."""
        if size > self._scratch.get(level, (0, 0))[1]:
            self._scratch[level] = self.take(2 * size), 2 * size
        return self._scratch[level][0]

    def value(self, bits: bytes) -> int:
        """Where such a value is."""
        if bits not in self.values:
            self.values[bits] = self.take(len(bits))
        return self.values[bits]


class Memory:
    """A program's memory on the device, and its words, which change while it runs: for one call at a time."""

    def __init__(self, layout: Layout, words: Words, lanes: int, stream: Any) -> None:
        cuda = package().cuda
        self.layout, self.lanes, self.stream = layout, lanes, stream
        self.bytes = cuda.device_array(
            max(ALIGNMENT, layout.size), np.uint8
        )  # of no stream, and then of one after the other
        self.m8, self.m4, self.m1 = self.bytes.view(np.float64), self.bytes.view(np.float32), self.bytes
        self.w = cuda.to_device(words.array(), stream)
        constants = layout.program.constants
        if len(constants):
            self.put(layout.where[1], constants)
        for bits, at in layout.values.items():
            self.put(at, np.frombuffer(bits, np.uint8))
        #: an event behind the latest call's work
        self.left: Any = None
        self._clear()

    def of(self, letter: str) -> Any:
        return {"d": self.m8, "f": self.m4, "b": self.m1}[letter]

    # ---- from one stream to another ----
    def is_on(self, queue: Any) -> bool:
        """Whether the latest call worked on this stream."""
        return self.stream is queue or handle_of(self.stream) == handle_of(queue)

    def leave(self) -> None:
        """The call has queued its work."""
        self.left = mark(self.stream)

    def enter(self, queue: Any) -> None:
        """Another call's work is queued: behind it, also where a new stream has the handle of one that is no more."""
        self.left.wait(queue)
        self.stream = queue

    # ---- to and from the host ----
    def put(self, at: int, array: np.ndarray) -> None:
        """An array without gaps, to bytes from `at` on."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        if len(flat):
            self.bytes[at : at + len(flat)].copy_to_device(flat, stream=self.stream)

    def get(self, at: int, array: np.ndarray) -> None:
        """Bytes from `at` on, into an array without gaps."""
        if array.nbytes:
            held = np.empty(array.nbytes, np.uint8)
            self.bytes[at : at + array.nbytes].copy_to_host(held, stream=self.stream)
            if self.stream:  # of the default one copies to the host are waited for
                self.stream.synchronize()
            array[...] = held.view(array.dtype).reshape(array.shape)

    def bring(self, at: int, letter: str, line: Any, first: int, n: int) -> None:
        """n elements of a line, of the host or the device, from the first on."""
        if isinstance(line, np.ndarray):
            self.put(at, line[first : first + n])
        else:
            spread(compiled(copy), n, self.stream, self.of(letter), at // SIZE[letter], line, first, n)

    def fetch(self, at: int, letter: str, line: Any, first: int, n: int) -> None:
        """n elements to a line, of the host or the device, from its first on."""
        if isinstance(line, np.ndarray):
            held: np.ndarray = np.empty(n, NUMPY[letter])
            self.get(at, held)
            line[first : first + n] = held
        else:
            spread(compiled(copy), n, self.stream, line, first, self.of(letter), at // SIZE[letter], n)

    def _span(
        self, view: View, shape: tuple[int, ...], letter: str, lanes: int | None
    ) -> tuple[int, np.ndarray, np.ndarray]:
        """Where the bytes of a view begin, a copy of them, and the array that they hold, with the lanes in front."""
        strides = view.strides
        if lanes is not None:
            shape, strides = (lanes, *shape), (view.step, *strides)
        if 0 in shape:
            return 0, np.empty(0, np.uint8), np.empty(shape, NUMPY[letter])
        ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
        low = sum(e for e in ends if e < 0)
        held: np.ndarray = np.empty(sum(map(abs, ends)) + SIZE[letter], np.uint8)
        at = self.layout.where[view.buffer] + view.offset + low
        self.get(at, held)
        return at, held, np.ndarray(shape, NUMPY[letter], held, -low, strides)  # type: ignore[arg-type]

    def array(self, view: View, shape: tuple[int, ...], letter: str, lanes: int | None) -> np.ndarray:
        """A copy of what a view shows."""
        return self._span(view, shape, letter, lanes)[2]

    def set(self, view: View, shape: tuple[int, ...], letter: str, lanes: int | None, value: Any) -> None:
        """A value into what a view shows."""
        at, held, array = self._span(view, shape, letter, lanes)
        array[...] = value
        self.put(at, held)

    # ---- indices out of range ----
    def _clear(self) -> None:
        count = len(self.layout.program.checks)
        if count:
            self.put(self.layout.where[FAULTS], np.full(count, IN_RANGE))

    def check(self) -> None:
        """ShapeError if an index was out of range."""
        checks = self.layout.program.checks
        if not checks:
            return
        faults: np.ndarray = np.empty(len(checks))
        self.get(self.layout.where[FAULTS], faults)
        found = faults != IN_RANGE
        if found.any():
            self._clear()
            with np.errstate(invalid="ignore"):  # NaN becomes the least integer, as on the other machines
                index = faults[found].astype(np.int64)[0]
            name, axis, shape = checks[int(found.argmax())]
            error: DiffkitError = out_of_range(name, index, axis, shape)
            raise error
