"""The machine for NVIDIA's GPUs: tapes become kernels that Numba compiles."""

from __future__ import annotations

from ...errors import UnavailableError
from ...tape import Tape
from .executable import CudaExecutable
from .package import problem


class CudaMachine:
    name = "cuda"

    def compile(self, tape: Tape) -> CudaExecutable:
        """UnavailableError where there is no GPU, or no package for it; UnsupportedError for what it cannot run."""
        missing = problem()
        if missing:
            raise UnavailableError(f'machine="cuda" cannot be used here: {missing}')
        return CudaExecutable(tape)


MACHINE = CudaMachine()
