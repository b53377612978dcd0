"""Kernels, compiled when they are first launched, and spread over elements."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from ..elementwise import function
from ..package import package
from ..scalars import Source

#: threads of a block where they do not work together; blocks a multiprocessor, of which each thread takes several elements
BLOCK, BLOCKS_EACH = 256, 8
#: and of the simulator, each of whose threads is one of Python
SIMULATED_BLOCK = 2


@cache
def written(make: Callable[..., Source], *key: Any) -> Any:
    """The kernel of a source."""
    used = package()
    return used.cuda.jit(function(make(*key), used))


def bound(kernel: Callable, **names: Any) -> FunctionType:
    """A kernel as a function whose global names are the package's module and these."""
    assert isinstance(kernel, FunctionType)
    return FunctionType(kernel.__code__, {**kernel.__globals__, "cuda": package().cuda, **names}, kernel.__name__)


@cache
def compiled(kernel: Callable, **names: Any) -> Any:
    """A kernel of moving.py or multiplying.py, bound to names."""
    return package().cuda.jit(bound(kernel, **names))


def most_blocks() -> int:
    used = package()
    return 1 if used.simulated else BLOCKS_EACH * used.cuda.get_current_device().MULTIPROCESSOR_COUNT


def spread(kernel: Any, count: int, stream: Any, *args: Any) -> None:
    """A launch for so many elements."""
    threads = SIMULATED_BLOCK if package().simulated else BLOCK
    if count:
        kernel[min(-(-count // threads), most_blocks()), threads, stream](*args)
