"""Measuring on a GPU, by its own clock.

A contestant launches its work and returns arrays that lie on the GPU, whose values may not be there yet. A turn is so
many calls between two CUDA events; the second is recorded once everything has ended, on every stream, since tools have
streams of their own. Contestants take their turns one after the other, each with the GPU to itself, and leave its
memory before the next: the intermediate arrays of one of them may fill it. Beside each time stands the share of the
measured copy bandwidth, or of the measured rate of matrix products, that a call makes use of, where only the work counts
that nobody can avoid: inputs read once, results written once.

In Numba's simulator there is no such clock; its times are the host's and mean nothing.
"""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from diffkit.errors import UnavailableError as Missing
from diffkit.errors import UnsupportedError
from diffkit.machines.cuda.package import Package, package, problem

from .harness import (
    DISAGREES,
    MEASURED,
    SKIPPED,
    Bench,
    Contestant,
    Row,
    Run,
    Table,
    UnavailableError,
    difference,
    judged,
    summarise,
)

#: a turn is as many calls as fill this, but no more than so many
TURN_SECONDS, MOST_CALLS = 0.02, 200
#: entries at either end of an array that are looked at
LOOKED_AT = 50_000
#: bytes that are copied, and rows of the matrices that are multiplied, to find the ceilings
COPIED, MULTIPLIED = {"tiny": 2**12, "full": 2**31}, {"tiny": 64, "full": 8192}


@dataclass(frozen=True)
class Work:
    """What a call cannot do without: bytes that are read and written, operations of its matrix products, in this precision."""

    bytes: float = 0.0
    flops: float = 0.0
    dtype: str = "float64"


@dataclass
class GpuRow(Row):
    """`percent`: of the ceiling that the table's note names. `repeatable`: whether a second run gave the same bits."""

    percent: float | None = None
    repeatable: bool | None = None


# ---- the machine --------------------------------------------------------------------------------------------------------
def gpu() -> Package:
    """The package that compiles for the GPU. UnavailableError with the reason where there is none."""
    missing = problem()
    if missing:
        raise UnavailableError(missing)
    return package()


def on_device(array: np.ndarray) -> Any:
    return gpu().cuda.to_device(np.ascontiguousarray(array))


def finished(answer: Any) -> None:
    """Returns when every stream is empty. JAX launches from a thread of its own, and is asked for its answer first."""
    for a in answer:
        if hasattr(a, "block_until_ready"):
            a.block_until_ready()
    gpu().cuda.synchronize()


def timed(run: Run, calls: int = 1) -> float:
    """Seconds a call, over so many calls in a row."""
    used = gpu()
    used.cuda.synchronize()
    start, end = used.cuda.event(), used.cuda.event()
    since = perf_counter()
    start.record()
    for _ in range(calls):
        answer = run()
    finished(answer)
    end.record()
    end.synchronize()
    if used.simulated:
        return (perf_counter() - since) / calls
    return start.elapsed_time(end) / 1000 / calls


def released() -> None:
    """Gives the memory back that tools keep for later."""
    gc.collect()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


@cache
def copy_rate(size: str) -> float:
    """Bytes a second, read and written, of a copy on the GPU: the best of three turns."""
    cuda = gpu().cuda
    source = on_device(np.zeros(COPIED[size], np.uint8))
    target = cuda.device_array_like(source)

    def run() -> list[Any]:
        target.copy_to_device(source)
        return [target]

    run()
    return 2 * COPIED[size] / min(timed(run, 1 if size == "tiny" else 10) for _ in range(3))


@cache
def product_rate(size: str, dtype: str) -> float | None:
    """Operations a second of a product of square matrices by cuBLAS, through whichever tool is there; None without one."""
    n = MULTIPLIED[size]
    for product in (_by_torch, _by_cupy, _by_nvmath):
        try:
            run = product(n, dtype)
            (found,) = run()
            if (ends(found)[:1] == n).all():
                return 2 * n**3 / min(timed(run, 5) for _ in range(3))
        except Exception:  # a tool that is not there, or not for this GPU: the next
            continue
    return None


def _by_torch(n: int, dtype: str) -> Run:
    import torch

    x = torch.ones((n, n), dtype=getattr(torch, dtype), device="cuda")
    return lambda: [x @ x]


def _by_cupy(n: int, dtype: str) -> Run:
    import cupy

    x = cupy.ones((n, n), dtype)
    return lambda: [x @ x]


def _by_nvmath(n: int, dtype: str) -> Run:
    from nvmath.bindings import cublas

    product, handle = {"float32": cublas.sgemm, "float64": cublas.dgemm}[dtype], cublas.create()
    x, found = on_device(np.ones((n, n), dtype)), on_device(np.zeros((n, n), dtype))
    one, zero = np.ones(1, dtype), np.zeros(1, dtype)
    x_at, found_at = (a.__cuda_array_interface__["data"][0] for a in (x, found))

    def run() -> list[Any]:
        product(
            handle, 0, 0, n, n, n, one.ctypes.data, x_at, n, x_at, n, zero.ctypes.data, found_at, n
        )  # no transposes
        return [found]

    return run


# ---- answers ------------------------------------------------------------------------------------------------------------
def on_host(array: Any) -> np.ndarray:
    """A copy of an array of any tool."""
    if hasattr(array, "copy_to_host"):  # Numba
        return array.copy_to_host()
    if hasattr(array, "detach"):  # PyTorch
        return array.detach().cpu().numpy()
    return array.get() if hasattr(array, "get") else np.array(array)


def ends(array: Any) -> np.ndarray:
    """The first and the last entries of a long array; all of a short one."""
    if array.ndim == 0 or array.shape[0] <= 2 * LOOKED_AT:
        return on_host(array)
    return np.concatenate([on_host(array[:LOOKED_AT]), on_host(array[-LOOKED_AT:])])


def ends_of_columns(inputs: np.ndarray) -> np.ndarray:
    """The points (columns, points) whose answers `ends` looks at."""
    if inputs.shape[1] <= 2 * LOOKED_AT:
        return inputs
    return np.concatenate([inputs[:, :LOOKED_AT], inputs[:, -LOOKED_AT:]], axis=1)


# ---- tables -------------------------------------------------------------------------------------------------------------
class GpuBench(Bench):
    """A run on the GPU; contestants that would begin after `seconds` are skipped and said."""

    def __init__(
        self,
        size: str = "full",
        tools: Iterable[str] | None = None,
        rounds: int | None = None,
        say: Callable[[str], None] = lambda text: None,
        seconds: float = math.inf,
    ) -> None:
        super().__init__(size, tools, rounds or (1 if size == "tiny" else 7), say)
        self.until = monotonic() + seconds

    def table(  # type: ignore[override]
        self,
        title: str,
        contestants: Sequence[Contestant],
        reference: Sequence[np.ndarray],
        *,
        ideal: Work,
        work: int = 1,
        per: str = "point",
        tolerance: float = 1e-9,
    ) -> Table:
        """Measure contestants; `reference` is of the entries that `ends` looks at, times are for one of `work` units."""
        made = Table(title, per)
        self.tables.append(made)
        for c in contestants:
            if self.takes_part(c.tool):
                self.say(f"{title}: {c.name}")
                made.rows.append(self._row(c, reference, tolerance, work))
                released()
        if any(r.outcome == MEASURED for r in made.rows):
            made.note = self._shares(made, ideal, work)
        return made

    def _row(self, c: Contestant, reference: Sequence[np.ndarray], tolerance: float, work: int) -> GpuRow:
        row = GpuRow.of(c)
        if monotonic() > self.until:
            row.outcome, row.reason = SKIPPED, "no time was left"
            return row
        try:
            self._measure(c, row, reference, tolerance, work)
        except (UnsupportedError, Missing) as problem:  # diffkit says that it cannot, or not here
            row.outcome, row.reason = SKIPPED, str(problem)[:300]
        except Exception as problem:  # whatever a tool raises is its row's entry, and the others go on
            row.outcome, row.reason = judged(problem)
        return row

    def _measure(
        self, c: Contestant, row: GpuRow, reference: Sequence[np.ndarray], tolerance: float, work: int
    ) -> None:
        gpu()
        import_module(c.tool)
        c.prepare()
        start = perf_counter()
        run = c.build()
        answer = run()
        finished(answer)
        row.first = perf_counter() - start
        if any(isinstance(a, np.ndarray) for a in answer):
            row.how += "; arrays moved from and to the host"
        looked = [ends(a) for a in answer]
        row.difference = difference(looked, reference)
        if not row.difference <= tolerance:
            row.outcome, row.reason = DISAGREES, f"differs by {row.difference:.1e}, allowed {tolerance:.0e}"
            return
        again = run()
        row.repeatable = all(x.tobytes() == ends(y).tobytes() for x, y in zip(looked, again, strict=True))
        del answer, again, looked
        calls = 1 if self.tiny else min(MOST_CALLS, max(1, math.ceil(TURN_SECONDS / max(timed(run), 1e-9))))
        summarise(row, [timed(run, calls) for _ in range(self.rounds)], work, calls)

    def _shares(self, table: Table, ideal: Work, work: int) -> str:
        """Fills in every row's percentage; the ceiling in words."""
        if ideal.flops:
            rate, amount = product_rate(self.size, ideal.dtype), ideal.flops
            words = "% of the {:,.1f} Tflop/s of cuBLAS's " + ideal.dtype
            factor = 1e12
        else:
            rate, amount = copy_rate(self.size), ideal.bytes
            words, factor = "% of the {:,.0f} GB/s of a copy", 1e9
        if rate is None:
            return "No tool is there to measure the rate of matrix products."
        rows = [r for r in table.rows if isinstance(r, GpuRow) and r.median]
        for row in rows:
            row.percent = 100 * amount / (row.median * work) / rate  # type: ignore[operator]
        return f"{words.format(rate / factor)}: " + ", ".join(f"{r.name} {r.percent:.0f}" for r in rows)

    def claims_of(self, what: str, table: Table, percent: float | None = None) -> None:
        """At least as fast as the best peer, the same bits again and, where stated, so many percent of the ceiling."""
        own = next((r for r in table.rows if r.own and r.outcome == MEASURED), None)
        best, mine = table.best(), own.median if own else None
        self.claim(f"{what}: diffkit ÷ best peer", None if best is None or mine is None else mine / best, 1.0)
        same = getattr(own, "repeatable", None)
        self.claim(
            f"{what}: runs that gave the same bits", None if same is None else 1.0 + same, 2.0, at_least=True, unit=""
        )
        if percent is not None:
            self.claim(
                f"{what}: of the copy bandwidth", getattr(own, "percent", None), percent, at_least=True, unit="%"
            )
