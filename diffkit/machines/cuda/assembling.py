"""What a kernel needs of a GPU's processor, as NVIDIA's own assembler reports it: no GPU takes part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ...errors import UnavailableError
from ..cpu.plan import Plan
from .elementwise import function, written
from .package import package

#: compute capabilities of the generations that are looked at: Turing, Ampere, Hopper
GENERATIONS = ((7, 5), (8, 0), (9, 0))

_REPORT = re.compile(
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\s.*?Used (\d+) registers", re.S
)


@dataclass(frozen=True)
class Assembled:
    """A kernel for one compute capability. Bytes are those of one thread."""

    ptx: str
    #: of 32 bits; a thread has at most 255
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int

    @property
    def spilled(self) -> int:
        """Bytes that registers have no room for, written and read."""
        return self.spill_stores + self.spill_loads


def assembler() -> Any:
    """The module of nvJitLink. UnavailableError where it, or a package that compiles for real, is missing."""
    if package().simulated:
        raise UnavailableError("Numba's simulator compiles nothing: unset NUMBA_ENABLE_CUDASIM")
    try:
        found = import_module("cuda.bindings.nvjitlink")
        found.version()
    except Exception as problem:  # whatever a missing library raises
        raise UnavailableError(
            f'no assembler of kernels (nvJitLink): pip install "diffkit[cuda]" ({problem})'
        ) from None
    return found


def assembled(plan: Plan, capability: tuple[int, int], uniform: Sequence[bool] | None = None) -> Assembled:
    """The kernel of a plan, compiled and assembled for a compute capability; by default every input has a value for each point.

    UnavailableError where that cannot be done here.
    """
    linker, used = assembler(), package()
    types = import_module("numba.core.types")
    named = {"d": types.float64, "f": types.float32, "b": types.boolean}
    source = written(plan, uniform if uniform is not None else [False] * len(plan.inputs))
    signature = (types.int64, *(named[place.letter][::1] for place in (*plan.inputs, *plan.outputs)))
    ptx, _ = used.cuda.compile_ptx(function(source, used), signature, cc=capability)
    report = _linked(linker, ptx.encode(), "sm_{}{}".format(*capability))
    match = _REPORT.search(report)
    if match is None:
        raise UnavailableError(f"the assembler's report has another form than expected: {report[:400]}")
    stack, stores, loads, registers = map(int, match.groups())
    return Assembled(ptx, registers, stack, stores, loads)


def _linked(linker: Any, ptx: bytes, architecture: str) -> str:
    """What the assembler says of the kernels in this text."""
    handle = linker.create(3, [f"-arch={architecture}", "-verbose", "-O3"])
    try:
        linker.add_data(handle, linker.InputType.PTX, ptx, len(ptx), "kernel")
        linker.complete(handle)
        log = bytearray(linker.get_info_log_size(handle))
        linker.get_info_log(handle, log)
        return log.decode()
    finally:
        linker.destroy(handle)
