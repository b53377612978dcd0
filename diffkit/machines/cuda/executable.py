"""A tape made ready for a GPU: binds arguments, launches, gives arrays back where the arguments lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...tape import Tape
from ..cpu.plan import NUMPY, Plan, plan
from ..protocol import Signature
from .elementwise import LONGEST, function, written
from .interpreter import interpreted
from .package import package
from .scalars import Source
from .transfer import DeviceCall, flat, to_host

#: threads of a block; and blocks a multiprocessor, of which each thread takes several points
BLOCK, BLOCKS_EACH = 128, 16
#: memory for the registers of the device's interpreter
REGISTER_BYTES = 1 << 30

#: (points, inputs and outputs as flat arrays on the device, stream)
Launch = Callable[[int, Sequence[Any], Any], None]


class Compiled:
    """A tape as one kernel."""

    def __init__(self, source: Source) -> None:
        used = package()
        self._kernel = used.cuda.jit(function(source, used))

    def __call__(self, points: int, arrays: Sequence[Any], stream: Any) -> None:
        self._kernel[grid(points), BLOCK, stream](points, *arrays)


class Stepwise:
    """A tape that the device interprets."""

    def __init__(self, plan: Plan, uniform: Sequence[bool]) -> None:
        used = package()
        self._program = interpreted(plan, uniform)
        self._kernel = used.cuda.jit(function(self._program.source, used))
        self._code = used.cuda.to_device(self._program.code)
        self._constants = [used.cuda.to_device(self._program.constants[t]) for t in "dfb"]

    def __call__(self, points: int, arrays: Sequence[Any], stream: Any) -> None:
        cuda, program = package().cuda, self._program
        blocks = max(1, min(grid(points), REGISTER_BYTES // (program.bytes_each * BLOCK)))
        registers = [cuda.device_array(program.registers[t] * blocks * BLOCK, NUMPY[t], stream=stream) for t in "dfb"]
        self._kernel[blocks, BLOCK, stream](points, *arrays, self._code, *registers, *self._constants)


class CudaExecutable:
    """May be called from several threads at once.

    Where an argument or a buffer of `out` lies on the device, so do the results, on the stream that such arrays name (transfer.py),
    and nothing is waited for; otherwise they are NumPy arrays.
    """

    def __init__(self, tape: Tape) -> None:
        self.signature = Signature(tape)
        self.plan: Plan = plan(tape)
        #: values stay in the registers of the processor
        self.register_bytes = 0
        self._kernels: dict[tuple[bool, ...], Launch] = {}

    def kernel(self, uniform: Sequence[bool]) -> Launch:
        """The kernel, by which inputs have one value for all points; compiled when it is first launched."""
        key = tuple(uniform)
        found = self._kernels.get(key)
        if found is None:
            source = written(self.plan, key) if len(self.plan.code) <= LONGEST else None
            short = source is not None and len(source.lines) <= LONGEST
            found = self._kernels.setdefault(key, Compiled(source) if short else Stepwise(self.plan, key))  # type: ignore[arg-type]
        return found

    def __call__(self, values: Sequence[Any], out: Sequence[Any] | None = None) -> list[Any]:
        gives = self.signature.gives
        arrays, loop = self.signature.bind(values, device=True)
        there = DeviceCall.of(self.signature, arrays, loop, out)
        if there is not None:
            self._launch(arrays, loop, there.results, there.queue)
            return there.done()
        cuda = package().cuda
        stream = cuda.stream()
        results = [cuda.device_array((*loop, *core), dtype, stream=stream) for core, dtype in gives]
        self._launch(arrays, loop, results, stream)
        on_host = [np.empty((*loop, *core), dtype) for core, dtype in gives] if out is None else list(out)
        for result, target in zip(results, on_host, strict=True):
            if target.flags.c_contiguous and target.size:
                result.copy_to_host(target, stream)
            elif target.size:
                target[...] = to_host(result, stream)
        stream.synchronize()
        return on_host

    def _launch(self, arrays: Sequence[Any], loop: tuple[int, ...], results: Sequence[Any], stream: Any) -> None:
        points = math.prod(loop)
        if not points:
            return
        inputs, uniform = [], []
        for array, (_, core, _), place in zip(arrays, self.signature.takes, self.plan.inputs, strict=True):
            laid, same = flat(array, loop, core, NUMPY[place.letter], stream)
            inputs.append(laid)
            uniform.append(same)
        lines = [r.reshape(r.size) for r in results]
        self.kernel(uniform)(points, [*inputs, *lines], stream)


def grid(points: int) -> int:
    """Blocks for so many points."""
    used = package()
    most = 2 if used.simulated else BLOCKS_EACH * used.cuda.get_current_device().MULTIPROCESSOR_COUNT
    return max(1, min(-(-points // BLOCK), most))
