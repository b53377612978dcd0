"""Matrix products by BLAS, called from native code by address.

BLAS comes with SciPy. It runs at one thread: the threads are diffkit's own, which cut the work at fixed places, so the
bits do not depend on their number. (The library's pool is set to one thread for the time of a call and set back.)
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import lru_cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: products of no more multiplications are done by the thread that asks for them, however many the library may use
#: (OpenBLAS's SMP_THRESHOLD_MIN · GEMM_MULTITHREAD_THRESHOLD)
SHARED = 65536 * 4

_lock = threading.Lock()
_users = 0
_before = 1


@lru_cache(maxsize=1)
def addresses() -> tuple[int, int]:
    """Of dgemm and sgemm."""
    from scipy.linalg import cython_blas

    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsules = cython_blas.__pyx_capi__
    found = [pointer(capsules[n], name(capsules[n])) for n in ("dgemm", "sgemm")]
    return int(found[0] or 0), int(found[1] or 0)


@lru_cache(maxsize=1)
def _pool() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """How SciPy's BLAS is asked for and told its number of threads; None where it has none that can be set."""
    from threadpoolctl import ThreadpoolController

    addresses()  # loads it
    found = [c for c in ThreadpoolController().lib_controllers if c.user_api == "blas"]
    # NumPy's wheel brings one of its own, under a like name
    own = [c for c in found if "numpy.libs" not in c.filepath] or found
    scipys = [c for c in own if "scipy.libs" in c.filepath] or own
    return (scipys[0].get_num_threads, scipys[0].set_num_threads) if scipys else None


class OneThread:
    """A context for products: the library's own pool rests."""

    def __enter__(self) -> None:
        global _users, _before
        pool = _pool()
        if pool is not None:
            with _lock:
                if not _users:
                    _before = pool[0]()
                    if _before != 1:
                        pool[1](1)
                _users += 1

    def __exit__(self, *problem: object) -> None:
        global _users
        pool = _pool()
        if pool is not None:
            with _lock:
                _users -= 1
                if not _users and _before != 1:
                    pool[1](_before)


@intrinsic
def gemm(typingctx, address, one, ta, tb, m, n, k, a, lda, b, ldb, add, c, ldc):  # type: ignore[no-untyped-def]
    """dgemm or sgemm, by its address: column-major C (m×n) = A·B, or + A·B, each perhaps transposed. one: 1.0 in its precision, as
    a word."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        address, one, ta, tb, m, n, k, a, lda, b, ldb, add, c, ldc = args
        byte, half = ir.IntType(8), ir.IntType(32)
        pointer = byte.as_pointer()

        def held(value):  # type: ignore[no-untyped-def]
            place = cgutils.alloca_once(builder, value.type)
            builder.store(value, place)
            return builder.bitcast(place, pointer)

        given = lambda flag: builder.icmp_signed("!=", flag, ir.Constant(flag.type, 0))
        letter = lambda flag: held(builder.select(given(flag), ir.Constant(byte, 84), ir.Constant(byte, 78)))
        size = lambda x: held(builder.trunc(x, half))
        memory = lambda x: builder.inttoptr(x, pointer)
        beta = held(builder.select(given(add), one, ir.Constant(one.type, 0)))
        function = ir.FunctionType(ir.VoidType(), [pointer] * 13)
        builder.call(
            builder.inttoptr(address, function.as_pointer()),
            [letter(ta), letter(tb), size(m), size(n), size(k), held(one), memory(a), size(lda), memory(b), size(ldb), beta,
             memory(c), size(ldc)],
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(*[types.int64] * 14), codegen
