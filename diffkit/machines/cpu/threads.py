"""How many threads, and the pool they come from.

Python threads suffice: the interpreter runs without the GIL. Work is cut into fixed chunks whose bounds do not depend on
the number of threads, and no two chunks share a sum, so the answers have the same bits at any thread count.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ...errors import ArgumentError

_lock = threading.Lock()
_count = 0
_pool: ThreadPoolExecutor | None = None


def available() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    return _count or available()


def set_threads(n: int | None) -> None:
    """Use `n` threads on the cpu machine; None for all processors this process may use."""
    global _count
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
        raise ArgumentError(f"set_threads takes a whole number of at least 1, or None, not {n!r}")
    with _lock:
        _count = n or 0
        _drop_pool()


def _drop_pool() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False)
        _pool = None


def in_parallel(work: Callable[[int], None], workers: int) -> None:
    """Call work(0) … work(workers - 1), the first of them in this thread."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, thread_count() - 1), thread_name_prefix="diffkit")
        futures = [_pool.submit(work, k) for k in range(1, workers)]
    work(0)
    for future in futures:
        future.result()


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
