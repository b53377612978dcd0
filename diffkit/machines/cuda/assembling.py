"""What a kernel needs of a GPU's processor, as NVIDIA's own assembler reports it: no GPU takes part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from ...errors import UnavailableError
from ..cpu.plan import Plan
from .elementwise import function, written
from .interpreter import interpreted
from .package import package
from .scalars import Source

#: compute capabilities of the generations that are looked at: Turing, Ampere, Hopper
GENERATIONS = ((7, 5), (8, 0), (9, 0))

_REPORT = re.compile(
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\s.*?Used (\d+) registers", re.S
)


@dataclass(frozen=True)
class Assembled:
    """A kernel for one compute capability. Bytes are those of one thread."""

    #: of 32 bits; a thread has at most 255
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int

    @property
    def spilled(self) -> int:
        """Bytes that registers have no room for, written and read."""
        return self.spill_stores + self.spill_loads


def compiled(plan: Plan, capability: tuple[int, int], uniform: Sequence[bool] | None = None) -> str:
    """PTX of a plan's kernel; by default every input has a value for each point. UnavailableError where nothing is compiled."""
    source = written(plan, uniform or [False] * len(plan.inputs))
    return _compiled(source, [place.letter for place in (*plan.inputs, *plan.outputs)], capability)


def compiled_interpreter(plan: Plan, capability: tuple[int, int]) -> str:
    """PTX of the kernel that interprets a plan on the device."""
    letters = [place.letter for place in (*plan.inputs, *plan.outputs)]
    source = interpreted(plan, [False] * len(plan.inputs)).source
    return _compiled(source, [*letters, "code", *"dfb", *"dfb"], capability)


def _compiled(source: Source, arrays: Sequence[str], capability: tuple[int, int]) -> str:
    used = package()
    if used.simulated:
        raise UnavailableError("Numba's simulator compiles nothing: unset NUMBA_ENABLE_CUDASIM")
    types = kinds()
    named = {
        "d": types.float64[::1],
        "f": types.float32[::1],
        "b": types.boolean[::1],
        "code": types.int32[:, ::1],
    }
    ptx, _ = used.cuda.compile_ptx(function(source, used), (types.int64, *(named[a] for a in arrays)), cc=capability)
    return ptx


def kinds() -> Any:
    """The module of the types that signatures are made of: each package has its own."""
    own = package().cuda.types
    return own if hasattr(own, "float64") else import_module("numba.core.types")


def _nothing(count: Any) -> None:
    pass


@lru_cache(maxsize=1)
def _obstacle() -> str:
    """Why nothing is compiled here; empty where kernels are. numba-cuda-mlir, say, asks a GPU which one it is."""
    if package().simulated:
        return "Numba's simulator compiles nothing: unset NUMBA_ENABLE_CUDASIM"
    try:
        package().cuda.compile_ptx(_nothing, (kinds().int64,), cc=GENERATIONS[-1])
    except Exception as problem:  # whatever a compiler raises
        return f"{package().name} compiles nothing here: {problem}"
    return ""


def assembler() -> Any:
    """The module of nvJitLink. UnavailableError where it, or a package that compiles for real, is missing."""
    if _obstacle():
        raise UnavailableError(_obstacle())
    try:
        found = import_module("cuda.bindings.nvjitlink")
        found.version()
    except Exception as problem:  # whatever a missing library raises
        raise UnavailableError(
            f'no assembler of kernels (nvJitLink): pip install "diffkit[cuda]" ({problem})'
        ) from None
    return found


def assembled(ptx: str, capability: tuple[int, int]) -> Assembled:
    """A kernel's text assembled for a compute capability, that of the text or a later one. UnavailableError as above."""
    linker, text = assembler(), ptx.encode()
    handle = linker.create(3, ["-arch=sm_{}{}".format(*capability), "-verbose", "-O3"])
    try:
        linker.add_data(handle, linker.InputType.PTX, text, len(text), "kernel")
        linker.complete(handle)
        log = bytearray(linker.get_info_log_size(handle))
        linker.get_info_log(handle, log)
    finally:
        linker.destroy(handle)
    found = _REPORT.search(log.decode())
    if found is None:
        raise UnavailableError(f"the assembler's report has another form than is known: {log.decode()[:400]}")
    stack, stores, loads, registers = map(int, found.groups())
    return Assembled(registers, stack, stores, loads)
