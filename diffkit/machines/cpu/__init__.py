"""The cpu machine: kernels in native code, run by an interpreter over blocks of points or, for work that pays for it, fused.

The interpreter answers at once: nothing is compiled for an expression. Kernels are compiled once a machine (emit.py, library.py).
The fused tier (fused.py) turns one tape into one kernel, in the background; both give the same bits. Tapes over arrays are run as
array programs (arrays/).
"""

from __future__ import annotations

from ...errors import UnsupportedError
from ...tape import Tape
from .arrays import ArrayExecutable
from .executable import CpuExecutable
from .on_demand import set_tier
from .plan import has_large
from .threads import set_threads, thread_count

__all__ = ["MACHINE", "set_threads", "set_tier", "thread_count"]


class CpuMachine:
    name = "cpu"

    def compile(self, tape: Tape) -> CpuExecutable | ArrayExecutable:
        if has_large(tape):
            return ArrayExecutable(tape)
        try:
            return CpuExecutable(tape)
        except UnsupportedError:  # an operation that only whole arrays have
            return ArrayExecutable(tape)


MACHINE = CpuMachine()
