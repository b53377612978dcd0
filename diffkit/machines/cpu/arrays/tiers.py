"""Which tier runs an array program: the interpreter, or the interpreter with groups, and small loops, as one kernel each
(fusion.py).

The rule is that of the other tapes (../tiers.py): kernels are compiled, in the background, when the interpreter has spent on this
program what compiling is estimated to take; kernels in the cache of an earlier process are loaded at once. Both tiers give the
same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from .. import tiers
from ..tiers import COMPILE_SECONDS, COMPILE_SECONDS_EACH
from .fusion import Fusion
from .groups import Groups, compile_groups, extent, load_kept
from .program import Program

#: seconds in the interpreter before groups are looked for, and the cache is asked for their kernels
LOAD_SECONDS = 0.005

T = TypeVar("T")


class Tiers(Generic[T]):
    """The tiers of one program. ready: makes a program ready to run, given the addresses of kernels that the library has not."""

    def __init__(self, program: Program, ready: Callable[[Program, dict[str, int]], T]) -> None:
        self._program, self._ready = program, ready
        #: seconds spent in the interpreter
        self.spent = 0.0
        self._fusion: Fusion | None = None
        self._ordered: tiers._Ordered | None = None
        self._fused: T | None = None
        self._groups: Groups | None = None

    def fused(self) -> T | None:
        """The program with groups, if it is there and the tier allows it."""
        tier = tiers._tier
        if tier == "interpreted" or (self._fused is None and tier == "auto" and self.spent < LOAD_SECONDS):
            return None
        if self._fused is not None:
            return self._fused
        if self._fusion is None:
            self._fusion = fusion = Fusion(self._program)
            self._groups = load_kept(fusion.bodies) if fusion.bodies else None
        bodies = self._fusion.bodies
        if not bodies:
            return None
        if self._groups is None:
            if tier == "fused":
                self._groups = compile_groups(bodies)
            elif self._ordered is None or self._ordered.process != os.getpid():
                if self.spent > COMPILE_SECONDS + COMPILE_SECONDS_EACH * extent(bodies)[1]:
                    self._ordered = _in_background(lambda: compile_groups(bodies))
                return None
            elif not self._ordered.future.done():
                return None
            else:
                self._groups = self._ordered.future.result()
        addresses = {f"group{k}": a for k, a in enumerate(self._groups.addresses)}
        self._fused = self._ready(self._fusion.program, addresses)
        return self._fused


def _in_background(work: Callable[[], Groups]) -> tiers._Ordered:
    with tiers._lock:
        if tiers._compiler is None:
            tiers._compiler = ThreadPoolExecutor(1, thread_name_prefix="diffkit-compiler")
        return tiers._Ordered(tiers._compiler.submit(work), os.getpid())
