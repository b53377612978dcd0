"""Which tier runs a tape: the interpreter, which is always ready, or a fused kernel once the work has paid for compiling one.

The rule needs no forecast: a kernel is compiled, in the background, when the interpreter has spent on this tape what compiling is
estimated to take, so that the time lost is at most about doubled whatever comes. A kernel in the cache of an earlier process is
loaded as soon as a call is worth the milliseconds. Both tiers give the same bits, so nothing shows but the time.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ...errors import ArgumentError
from .plan import Plan

if TYPE_CHECKING:
    from .fused import Fused

TIERS = ("auto", "interpreted", "fused")
_tier = "auto"

#: estimate of compiling: seconds, and seconds an instruction of LLVM (measured: docs/decisions/0004)
COMPILE_SECONDS, COMPILE_SECONDS_EACH = 0.01, 0.00008
#: below this many instruction · points the cache is not asked for a kernel
LOAD_WORK = 1_000_000

_lock = threading.Lock()
_compiler: ThreadPoolExecutor | None = None


class _Ordered(NamedTuple):
    """A kernel that is being compiled, by a thread of this process: a forked child has no such thread."""

    future: Future
    process: int


def set_tier(tier: str) -> None:
    """Which tier of the cpu machine runs: "auto" (by a rule of tape and work), "interpreted", or "fused" (compiled at once)."""
    global _tier
    if tier not in TIERS:
        raise ArgumentError(f"there is no tier {tier!r}; choose one of {', '.join(TIERS)}")
    _tier = tier


def _in_background(plan: Plan, uniform: tuple[bool, ...]) -> _Ordered:
    global _compiler
    from .fused import compile_fused

    with _lock:
        if _compiler is None:
            _compiler = ThreadPoolExecutor(1, thread_name_prefix="diffkit-compiler")
        return _Ordered(_compiler.submit(compile_fused, plan, uniform), os.getpid())


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global _lock, _compiler
    _lock, _compiler = threading.Lock(), None


class Tiers:
    """The tiers of one plan. Fused kernels differ by which inputs are the same at all points."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: seconds spent in the interpreter
        self.spent = 0.0
        self._fused: dict[tuple[bool, ...], Fused | _Ordered | None] = {}
        #: seconds that compiling takes; infinite where the plan cannot be fused
        self._estimate: float | None = None

    def fused(self, uniform: Sequence[bool], points: int) -> Fused | None:
        """The fused kernel to run now, if there is one and the tier allows it."""
        from .fused import LEAST_POINTS

        pattern = tuple(uniform)
        known = self._fused.get(pattern)
        if _tier == "interpreted" or points < LEAST_POINTS:
            return None
        if isinstance(known, _Ordered):
            if known.process == os.getpid():
                if not known.future.done() and _tier != "fused":
                    return None
                known = self._fused[pattern] = known.future.result()
            else:
                known = self._fused[pattern] = None
        return known or self._wanted(pattern, points)

    def _wanted(self, pattern: tuple[bool, ...], points: int) -> Fused | None:
        from .fused import compile_fused, extent, fusable, load_kept

        length = len(self.plan.code)
        if _tier == "auto" and points * length < LOAD_WORK and not self.spent:
            return None
        if self._estimate is None:
            self._estimate = math.inf
            if fusable(self.plan):
                self._estimate = COMPILE_SECONDS + COMPILE_SECONDS_EACH * extent(self.plan)[1]
        if self._estimate == math.inf:
            return None
        if pattern not in self._fused:
            self._fused[pattern] = load_kept(self.plan, pattern)
            if self._fused[pattern] is not None:
                return self._fused[pattern]  # type: ignore[return-value]
        if _tier == "fused":
            self._fused[pattern] = compile_fused(self.plan, pattern)
            return self._fused[pattern]  # type: ignore[return-value]
        if self.spent > self._estimate:
            self._fused[pattern] = _in_background(self.plan, pattern)
        return None

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Around a run of the interpreter."""
        begun = time.perf_counter()
        yield
        self.spent += time.perf_counter() - begun


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
