"""Products of matrices by NVIDIA's cuBLAS, as nvmath-python binds it.

What is guaranteed. Two runs give the same bits with one version of cuBLAS on GPUs of one architecture with as many multi-
processors: it promises that while one stream is active, or where every stream has a workspace of its own (cuBLAS's documentation,
"Results reproducibility"); a workspace here is a part of the memory that a call has for itself. Atomic additions are off. Nothing
is computed in less than the elements' precision: the mode of arithmetic is the default one ("cublasMath_t"), which takes tensor
cores for doubles, and for singles no TF32. The order of a sum is the library's affair, so the bits are not those of
multiplying.py, nor those of another version or GPU.

It knows matrices in columns: element (i, j) lies i + j·(the leading dimension) behind the first. Matrices in rows are their
transposes, of which Cᵀ = Bᵀ·Aᵀ.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from ....errors import UnavailableError
from ...cpu.arrays.views import collapsed
from ...cpu.plan import NUMPY, SIZE
from ..package import package
from .memory import Memory
from .nests import Operand

#: matrices of one call: some kernels have one of a grid's axes for them, which is 65,535 long
MOST_TOGETHER = 1 << 15
#: calls for one product, whose loops are not those of a call; beyond that, one launch of our own is the better
MOST_CALLS = 16
#: bytes that cuBLAS's documentation recommends ("cublasSetWorkspace"), from compute capability 9.0 on and before
WORKSPACE, EARLIER_WORKSPACE = 32 << 20, 4 << 20
#: α and β, which are read on the host when a function is called
_ONE: dict[str, np.ndarray] = {letter: np.ones(1, NUMPY[letter]) for letter in "df"}
_ZERO: dict[str, np.ndarray] = {letter: np.zeros(1, NUMPY[letter]) for letter in "df"}
#: the driver's name for the default stream of a thread, which Numba takes for its own where the environment says so
PER_THREAD = 2


@dataclass(frozen=True)
class Gemm:
    """C = A·B, or C + A·B, of matrices in columns, so many of them. Distances are in elements."""

    letter: str
    #: rows and columns of C, what is summed over
    extents: tuple[int, int, int]
    #: whether Aᵀ, Bᵀ is what lies in memory
    turned: tuple[bool, bool]
    #: of A, B, C: byte of the first element, from column to column, from matrix to matrix
    at: tuple[int, int, int]
    leading: tuple[int, int, int]
    apart: tuple[int, int, int]
    count: int
    adds: bool

    def call(self, library: Library, handle: int, base: int) -> None:
        """base: the address that bytes are counted from."""
        (m, n, k), (a, b, c), (to_a, to_b, to_c) = self.extents, self.leading, self.apart
        x, y, z = (base + at for at in self.at)
        one, beta = (v[self.letter].ctypes.data for v in (_ONE, _ONE if self.adds else _ZERO))
        first = handle, *map(int, self.turned), m, n, k, one
        if self.count == 1:
            library.single[self.letter](*first, x, a, y, b, beta, z, c)
        else:
            library.batched[self.letter](*first, x, a, to_a, y, b, to_b, beta, z, c, to_c, self.count)


@dataclass(frozen=True)
class Calls:
    """A step of a program."""

    gemms: Sequence[Gemm]
    #: byte of the workspace
    workspace: int

    def run(self, memory: Memory) -> None:
        """UnavailableError if cuBLAS fails."""
        found, (stream, base) = library(), native(memory)
        try:
            with found.handle(stream, base + self.workspace) as handle:
                for gemm in self.gemms:
                    gemm.call(found, handle, base)
        except Exception as failure:  # whatever the library raises
            m, n, k = self.gemms[0].extents
            raise UnavailableError(
                f'machine="cuda": cuBLAS failed in products of {m}×{k} and {k}×{n} matrices: {failure}. Without nvmath-python, '
                "kernels of diffkit's own take its place: pip uninstall nvmath-python"
            ) from failure


def gemms(extents: Sequence[int], sizes: Sequence[int], sides: Sequence[Operand], adds: bool) -> list[Gemm]:
    """The calls for a product, whose strides are those of loops, then from row to row and from column to column.

    Empty if there is nothing to do, and if it cannot be handed over: where neither rows nor columns lie without gaps, where
    strides are negative or a matrix's are 0, where an address is known on the device alone, and where calls would be too many.
    """
    if 0 in extents or 0 in sizes or any(o.address.word for o in sides):
        return []
    letter, (m, n, k) = sides[0].letter, extents
    size = SIZE[letter]
    steps = [[s // size for s in o.strides] for o in sides]
    x, y, z = ((s[-2], s[-1]) for s in steps)
    order = [0, 1, 2]
    leading = _leading(m, n, *z)
    if not leading:
        m, n, x, y, z, order = n, m, y[::-1], x[::-1], z[::-1], [1, 0, 2]
        leading = _leading(m, n, *z)
    plain = _leading(m, k, *x), _leading(k, n, *y)
    turned = _leading(k, m, *x[::-1]), _leading(n, k, *y[::-1])
    ends = (plain[0] or turned[0], plain[1] or turned[1], leading)
    loops, found = collapsed(sizes, [steps[o][:-2] for o in order])
    if not all(ends) or any(s < 0 for row in found for s in row) or 0 in found[2]:
        return []
    together = loops.index(max(loops)) if loops else 0
    count = loops.pop(together) if loops else 1
    apart = [row.pop(together) if row else 0 for row in found]
    calls = []
    if math.prod(loops) * -(-count // MOST_TOGETHER) <= MOST_CALLS:
        for index in np.ndindex(*loops):
            for begin in range(0, count, MOST_TOGETHER):
                at = (
                    sides[o].address.offset
                    + size * (begin * step + sum(i * s for i, s in zip(index, row, strict=True)))
                    for o, step, row in zip(order, apart, found, strict=True)
                )
                calls.append(
                    Gemm(
                        letter, (m, n, k), (not plain[0], not plain[1]), tuple(at), ends, tuple(apart),  # type: ignore[arg-type]
                        min(MOST_TOGETHER, count - begin), adds,
                    )
                )  # fmt: skip
    return calls


def _leading(rows: int, columns: int, down: int, across: int) -> int:
    """The leading dimension of a matrix with such strides, if it is one in columns; else 0."""
    if rows > 1 and down != 1:
        return 0
    if columns == 1:
        return rows
    return across if across >= rows else 0


def native(memory: Memory) -> tuple[int, int]:
    """The stream and the address of a memory, as cuBLAS is told them."""
    each_thread = os.environ.get("NUMBA_CUDA_PER_THREAD_DEFAULT_STREAM", "0") not in ("", "0")
    return int(memory.stream) or PER_THREAD * each_thread, memory.bytes.__cuda_array_interface__["data"][0]


class Library:
    """cuBLAS, and handles that no call is using. A handle is for one thread at a time, and none is ever destroyed: that would wait
    for all that the GPU has to do."""

    def __init__(self, bindings: Any, workspace: int) -> None:
        """bindings: the module nvmath.bindings.cublas; workspace: bytes that a program has for it."""
        self.bindings, self.workspace = bindings, workspace
        # extents of 64 bits: a matrix may have more than 2³¹ rows
        self.single = {"d": bindings.dgemm_64, "f": bindings.sgemm_64}
        self.batched = {"d": bindings.dgemm_strided_batched_64, "f": bindings.sgemm_strided_batched_64}
        self._spare: list[int] = []
        with self.handle(0, 0) as handle:
            self.version = int(bindings.get_version(handle))

    @contextmanager
    def handle(self, stream: int, workspace: int) -> Iterator[int]:
        """A handle whose calls go to a stream, and have a workspace (0: the handle's own)."""
        used = self.bindings
        try:
            handle = self._spare.pop()
        except IndexError:
            handle = used.create()
            used.set_pointer_mode(handle, used.PointerMode.HOST)
            used.set_math_mode(handle, used.Math.DEFAULT_MATH)
            used.set_atomics_mode(handle, used.AtomicsMode.NOT_ALLOWED)
        try:
            used.set_stream(handle, stream)  # which takes the workspace away
            if workspace:
                used.set_workspace(handle, workspace, self.workspace)
            yield handle
        finally:
            self._spare.append(handle)


@cache
def _loaded() -> Library | str:
    """The library, or why there is none."""
    try:
        used = package()
        if used.simulated:
            return "Numba's simulator has no cuBLAS"
        bindings = import_module("nvmath.bindings.cublas")
    except (ImportError, UnavailableError) as missing:
        return f'there are no bindings of cuBLAS ({missing}): pip install "diffkit[cuda]"'
    try:
        used.cuda.current_context()  # a handle belongs to the context that is current
        recent = tuple(used.cuda.get_current_device().compute_capability) >= (9, 0)
        return Library(bindings, WORKSPACE if recent else EARLIER_WORKSPACE)
    except Exception as failure:  # whatever a missing library or driver raises
        return f"cuBLAS cannot be used: {' '.join(str(failure).split())}"


def problem() -> str:
    """Why products are not handed over to cuBLAS here; empty where they are."""
    found = _loaded()
    return found if isinstance(found, str) else ""


def library() -> Library:
    """UnavailableError where there is none."""
    found = _loaded()
    if isinstance(found, str):
        raise UnavailableError(found)
    return found


def state() -> str:
    """By what products are computed, in words."""
    missing = problem()
    if missing:
        return f"products of matrices by kernels of diffkit's own; {missing}"
    number = library().version
    return f"products of matrices by cuBLAS {number // 10000}.{number // 100 % 100} (nvmath-python {version('nvmath-python')})"
