"""The cpu machine: kernels in native code, run by an interpreter over blocks of points or, for work that pays for it, fused.

The interpreter answers at once: nothing is compiled for an expression. Kernels are compiled once a machine (emit.py, library.py).
The fused tier (fused.py) turns one tape into one kernel, in the background; both give the same bits.
"""

from __future__ import annotations

from ...tape import Tape
from .executable import CpuExecutable
from .threads import set_threads, thread_count
from .tiers import set_tier

__all__ = ["MACHINE", "set_threads", "set_tier", "thread_count"]


class CpuMachine:
    name = "cpu"

    def compile(self, tape: Tape) -> CpuExecutable:
        return CpuExecutable(tape)


MACHINE = CpuMachine()
