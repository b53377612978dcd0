"""The machine for NVIDIA's GPUs: tapes become kernels that Numba compiles."""

from __future__ import annotations

from ...errors import UnavailableError, UnsupportedError
from ...tape import Tape
from ..cpu.plan import has_large
from .arrays import CudaArrayExecutable
from .executable import CudaExecutable
from .package import problem


class CudaMachine:
    name = "cuda"

    def compile(self, tape: Tape) -> CudaExecutable | CudaArrayExecutable:
        """UnavailableError where there is no GPU, or no package for it; UnsupportedError for what it cannot run."""
        missing = problem()
        if missing:
            raise UnavailableError(f'machine="cuda" cannot be used here: {missing}')
        if has_large(tape):
            return CudaArrayExecutable(tape)
        try:
            return CudaExecutable(tape)
        except UnsupportedError:  # an operation that only whole arrays have
            return CudaArrayExecutable(tape)


MACHINE = CudaMachine()
