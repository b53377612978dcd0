"""What this installation can do, for `diffkit doctor` and for reports."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from . import __version__

#: what diffkit rests on, and what it can use where it is there
PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "sympy", "python-flint", "lark", "optree", "matplotlib")
OPTIONAL = ("jax", "torch", "numba-cuda", "nvmath-python")


def version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return names[0] if names else platform.processor() or platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def vectors(features: str) -> str:
    """The widest registers that the kernels use."""
    for sign, bits in (("+avx512f", 512), ("+avx2", 256)):
        if sign in features.split(","):
            return f"{bits} bits"
    return "128 bits"


def cublas_state() -> str:
    """What multiplies matrices on a GPU, in words."""
    from .machines.cuda.arrays.blas import state

    return state()


def cuda_state() -> str:
    """Which package compiles for GPUs, and the GPU that `machine="cuda"` runs on; or what is missing."""
    from .machines.cuda.package import package, problem

    missing = problem()
    if missing:
        return missing
    found = package()
    if found.simulated:
        return f"{found.name}: kernels run as Python, which is slow, and tests them without a GPU"
    return f"{found.name}, {gpu(found.cuda)}"


def gpu(cuda: Any) -> str:
    """The current GPU as the package's module `cuda` tells it: name, compute capability, memory, what its driver supports."""
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    major, minor = device.compute_capability
    memory = cuda.current_context().get_memory_info().total / 2**30
    return f"{name} (compute capability {major}.{minor}, {memory:.0f} GiB, driver for CUDA {driver(cuda)})"


def driver(cuda: Any) -> str:
    """The newest version of CUDA that the driver supports."""
    try:
        major, minor = cuda.cudadrv.driver.driver.get_version()
    except Exception:  # packages differ here
        return "of an unknown version"
    return f"{major}.{minor}"


def examine() -> dict[str, str]:
    """Everything worth telling, by name, in words."""
    from .machines.cpu.library import cache_folder, features, is_compiled
    from .machines.cpu.threads import available, thread_count
    from .ops import TABLE

    folder = cache_folder()
    return {
        "diffkit": __version__,
        "Python": f"{platform.python_version()} on {platform.platform(terse=True)}",
        "processor": processor(),
        "threads": f"{thread_count()} of {available()} processors",
        "vectors": vectors(features()),
        "operations": str(len(TABLE)),
        **{p: version_of(p) for p in PACKAGES},
        **{p: version_of(p) for p in OPTIONAL},
        "CUDA": cuda_state(),
        "CUDA products": cublas_state(),
        "cache": str(folder),
        "kernels": "compiled and cached"
        if is_compiled()
        else "not compiled yet (about three seconds, once, at first use)",
    }
