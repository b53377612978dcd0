"""What the hardware allows: memory bandwidth and multiply-adds, measured, one thread and all of them.

The kernels are written as LLVM IR with explicit vectors of the machine's natural width, so that they measure the machine and
not a compiler; called through ctypes they run without Python's lock.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

#: independent chains of multiply-adds: more than latency × ports, fewer than vector registers
CHAINS = 12
_KERNELS = """
declare {V} @llvm.fma.{v}({V}, {V}, {V})

define void @triad(ptr %a, ptr %b, ptr %c, double %s, i64 %n) {{
entry:
  %one = insertelement {V} poison, double %s, i32 0
  %all = shufflevector {V} %one, {V} poison, <{w} x i32> zeroinitializer
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %pb = getelementptr double, ptr %b, i64 %i
  %pc = getelementptr double, ptr %c, i64 %i
  %pa = getelementptr double, ptr %a, i64 %i
  %x = load {V}, ptr %pb, align 8
  %y = load {V}, ptr %pc, align 8
  %z = fmul {V} %y, %all
  %sum = fadd {V} %x, %z
  store {V} %sum, ptr %pa, align 8
  %next = add i64 %i, {w}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}

define double @multiply_add(double %s, i64 %n) {{
entry:
  %one = insertelement {V} poison, double %s, i32 0
  %all = shufflevector {V} %one, {V} poison, <{w} x i32> zeroinitializer
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
{sums}
  %result = extractelement {V} %t{last}, i32 0
  ret double %result
}}
"""


def _source(width: int, fused: bool) -> str:
    vector, suffix = f"<{width} x double>", f"v{width}f64"
    phis = [f"  %x{k} = phi {vector} [%all, %entry], [%y{k}, %loop]" for k in range(CHAINS)]
    if fused:
        call = f"call {vector} @llvm.fma.{suffix}({vector} %x{{k}}, {vector} %all, {vector} %all)"
        steps = [f"  %y{k} = " + call.format(k=k) for k in range(CHAINS)]
    else:
        pair = f"  %m{{k}} = fmul {vector} %x{{k}}, %all\n  %y{{k}} = fadd {vector} %m{{k}}, %all"
        steps = [pair.format(k=k) for k in range(CHAINS)]
    sums = [f"  %t0 = fadd {vector} %y0, %y0"]
    sums += [f"  %t{k} = fadd {vector} %t{k - 1}, %y{k}" for k in range(1, CHAINS)]
    return _KERNELS.format(
        V=vector, v=suffix, w=width, phis="\n".join(phis), steps="\n".join(steps), sums="\n".join(sums), last=CHAINS - 1
    )


def _vector_features() -> tuple[int, bool, str]:
    """(doubles in a vector, whether multiply-add is one instruction, the instruction set in words)."""
    import llvmlite.binding as llvm

    has = llvm.get_host_cpu_features()
    sets = [n for n in ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512dq", "avx512vl", "neon", "sve") if has.get(n)]
    width = 8 if has.get("avx512f") else 4 if has.get("avx") else 2
    fused = bool(has.get("fma") or platform.machine() in ("arm64", "aarch64"))
    return width, fused, f"{llvm.get_host_cpu_name()}: {' '.join(sets) or platform.machine()}"


class Kernels:
    """The two kernels, compiled for this processor."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.width, self.fused, self.instruction_set = _vector_features()
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
        )
        self._engine = llvm.create_mcjit_compiler(
            llvm.parse_assembly(_source(self.width, self.fused)), target, use_lmm=True
        )
        self._engine.finalize_object()
        double, pointer, integer = ctypes.c_double, ctypes.c_void_p, ctypes.c_int64
        address = self._engine.get_function_address
        self.triad = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, double, integer)(address("triad"))
        self.multiply_add = ctypes.CFUNCTYPE(double, double, integer)(address("multiply_add"))


def _best(work: Callable[[int], Any], workers: int, repeats: int) -> float:
    """Least seconds of `workers` threads doing work(k) each."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
        times = []
        for _ in range(repeats):
            start = perf_counter()
            list(pool.map(work, range(workers)))
            times.append(perf_counter() - start)
    return min(times)


def ceilings(tiny: bool = False) -> dict[str, Any]:
    """Copy and triad in GB/s (bytes read and written, as STREAM counts them), multiply-adds in Gflop/s."""
    from diffkit.machines.cpu.threads import available

    kernels, repeats = Kernels(), 3 if tiny else 7
    # 128 MB an array: out of the second-level cache, if not out of the third, whose size the report tells
    n = 8 * (1 << (15 if tiny else 21))
    arrays = [np.ones(n) for _ in range(3)]
    rounds = 100_000 if tiny else 5_000_000
    found: dict[str, Any] = {"array_bytes": 8 * n, "instruction_set": kernels.instruction_set, "fused": kernels.fused}
    for label, workers in (("one", 1), ("all", available())):
        bounds = [k * (n // workers // 8) * 8 for k in range(workers)] + [n]

        def copy(k: int, bounds: list[int] = bounds) -> None:
            np.copyto(arrays[0][bounds[k] : bounds[k + 1]], arrays[1][bounds[k] : bounds[k + 1]])

        def triad(k: int, bounds: list[int] = bounds) -> None:
            a, b, c = (x[bounds[k] :].ctypes.data for x in arrays)
            kernels.triad(a, b, c, 0.5, bounds[k + 1] - bounds[k])

        def arithmetic(k: int) -> None:
            kernels.multiply_add(0.5, rounds)

        found[label] = {
            "threads": workers,
            "copy_gb_s": 16 * n / _best(copy, workers, repeats) / 1e9,
            "triad_gb_s": 24 * n / _best(triad, workers, repeats) / 1e9,
            "gflop_s": 2 * workers * CHAINS * kernels.width * rounds / _best(arithmetic, workers, repeats) / 1e9,
        }
    return found


def facts(tiny: bool = False) -> dict[str, Any]:
    """The machine: names, sizes, versions and ceilings."""
    import diffkit
    from diffkit.doctor import processor
    from diffkit.machines.cpu.threads import available

    return {
        "processor": processor(),
        "processors": available(),
        "caches": _caches(),
        "memory_gb": _memory_gb(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "diffkit": diffkit.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "ceilings": ceilings(tiny),
    }


def _caches() -> str:
    """Levels and sizes, as Linux tells them."""
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found) or "unknown"


def _memory_gb() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return math.nan


def available_bytes() -> int:
    """Memory that could be taken now; unlimited where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            line = next(x for x in file if x.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return 1 << 62
