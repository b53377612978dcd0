"""Shared by the tests of the cuda machine: points for every branch of every kernel, and answers compared with the cpu machine's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from helpers import Case, special_columns
from helpers_arrays import ArrayCase, array_cases

from diffkit.errors import DiffkitError
from diffkit.machines import machine as find_machine
from diffkit.machines.cpu.executable import CpuExecutable
from diffkit.tape import Tape

CPU, CUDA = find_machine("cpu"), find_machine("cuda")

#: threads of a block in the simulator, where each is a thread of Python: few, so that a thread takes several points
FEW_THREADS = 4

#: arguments that take the rare branches: far from the origin, the double next to a multiple of π/2 (Muller, Elementary Functions,
#: 2nd ed., table 9.1), left of 0, quotients of every size
RARE = (1e5, 1e6, 3e9, 1e15, 1e22, 2.0**120, 1e100, 1e300, 6381956970095103 * 2.0**797, 0.75, 0.3, 170.6, 709.5, -745.0)
#: of those, some that two arguments are given every pair of
PAIRED = (0.3, -2.5, 7.0, 1e-30, -1e9, 3e37, 1e-300, 1e300)


def every_point(case: Case, dtype: str) -> list[np.ndarray]:
    """One column an argument: its tests' points, special values, and points for the branches that are rarely taken."""
    if case.op.arity == 1:
        options: list[Any] = [np.concatenate([RARE, np.negative(RARE)])]
    else:
        options = [[True, False] if k in case.conditions else PAIRED for k in range(case.op.arity or 0)]
    with np.errstate(over="ignore", under="ignore"):
        rare = [
            np.array(c).astype("bool" if k in case.conditions else dtype)
            for k, c in enumerate(zip(*product(*options), strict=True))
        ]
    return [np.concatenate(c) for c in zip(case.columns(dtype), special_columns(case, dtype), rare, strict=True)]


def is_small(tape: Tape) -> bool:
    """Whether its arrays are so small that every element is a register."""
    try:
        return isinstance(CPU.compile(tape), CpuExecutable)
    except DiffkitError:
        return False


def small_array_cases() -> list[ArrayCase]:
    return [c for c in array_cases() if is_small(c.tape())]


def difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> str:
    """Empty where shapes, dtypes and bits are the same, of NaN only that it is one; else the first elements that differ."""
    wrong = []
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        a, b = np.asarray(a), np.asarray(b)
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            wrong.append(f"output {k} is {a.dtype}{list(a.shape)}, not {b.dtype}{list(b.shape)}")
            continue
        same = a == b
        if a.dtype.kind == "f":
            same = same & (np.signbit(a) == np.signbit(b)) | np.isnan(a) & np.isnan(b)
        at = np.argwhere(~same)
        wrong += [f"output {k} at {i.tolist()}: {a[tuple(i)]!r}, not {b[tuple(i)]!r}" for i in at[:5]]
    return "\n".join(wrong)


def flat(answer: tuple[list[np.ndarray], list[list[np.ndarray]]]) -> list[np.ndarray]:
    """Outputs and blocks of a derivative, in one list."""
    outputs, blocks = answer
    return [*outputs, *(b for row in blocks for b in row)]
