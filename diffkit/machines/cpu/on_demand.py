"""Kernels that are compiled once the work has paid for it.

The rule needs no forecast: a kernel is compiled, in the background, when the interpreter has spent on the same work what compiling
is estimated to take, so that the time lost is at most about doubled whatever comes. A kernel in the cache of an earlier process is
loaded as soon as a call is worth the milliseconds. Both tiers give the same bits, so nothing shows but the time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from ...errors import ArgumentError

TIERS = ("auto", "interpreted", "fused")
_tier = "auto"

#: estimate of compiling: seconds, and seconds an instruction of LLVM (measured: docs/decisions/0004)
COMPILE_SECONDS, COMPILE_SECONDS_EACH = 0.01, 0.00008

_lock = threading.Lock()
_compiler: ThreadPoolExecutor | None = None

K = TypeVar("K")


def set_tier(tier: str) -> None:
    """Which tier of the cpu machine runs: "auto" (by a rule of tape and work), "interpreted", or "fused" (compiled at once).

    Raises ArgumentError for another name.
    """
    global _tier
    if tier not in TIERS:
        raise ArgumentError(f"there is no tier {tier!r}; choose one of {', '.join(TIERS)}")
    _tier = tier


def chosen_tier() -> str:
    """What set_tier has set."""
    return _tier


def compile_seconds(length: int) -> float:
    """About how long it takes to compile so many instructions of LLVM."""
    return COMPILE_SECONDS + COMPILE_SECONDS_EACH * length


class _Ordered(NamedTuple, Generic[K]):
    """What is being compiled, by a thread of this process: a forked child has no such thread."""

    future: Future[K]
    process: int


def _in_background(work: Callable[[], K]) -> _Ordered[K]:
    global _compiler
    with _lock:
        if _compiler is None:
            _compiler = ThreadPoolExecutor(1, thread_name_prefix="diffkit-compiler")
        return _Ordered(_compiler.submit(work), os.getpid())


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global _lock, _compiler
    _lock, _compiler = threading.Lock(), None


class OnDemand(Generic[K]):
    """A compiled kernel, or several that are compiled together.

    load: takes it from the cache, None if it is not there. compiled: compiles it. seconds: how long that may take.
    """

    def __init__(self, load: Callable[[], K | None], compiled: Callable[[], K], seconds: float) -> None:
        self._load, self._compiled, self.seconds = load, compiled, seconds
        self._looked = False
        self._ordered: _Ordered[K] | None = None
        #: the kernel, once it is there: put in one step, so that threads that made it at once all take the first one
        self._kept: dict[str, K] = {}

    @property
    def made(self) -> K | None:
        return self._kept.get("kernel")

    def get(self, spent: float) -> K | None:
        """The kernel if it is there now, after so many seconds in the interpreter."""
        made = self.made
        if made is None:
            if not self._looked:
                made, self._looked = self._load(), True
            if made is None:
                made = self._delivered(spent)
            if made is not None:
                made = self._kept.setdefault("kernel", made)
        return made

    def _delivered(self, spent: float) -> K | None:
        ordered, at_once = self._ordered, _tier == "fused"
        if ordered is not None and ordered.process == os.getpid():
            return ordered.future.result() if at_once or ordered.future.done() else None
        if at_once:
            return self._compiled()
        if spent > self.seconds:
            self._ordered = _in_background(self._compiled)
        return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
