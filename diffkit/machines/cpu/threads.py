"""How many threads, and the pool they come from.

Python threads suffice: native code runs without the interpreter's lock. Points are cut into pieces, and no two pieces share
a sum, so the answers have the same bits at any thread count.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from ...errors import ArgumentError

#: below this many instruction · points (about 0.2 ms) a second thread costs more than it brings: waking one, and waiting for it,
#: takes some 90 µs on a virtual machine
PARALLEL_WORK = 1_000_000
#: pieces a thread: more of them even out a disturbed processor
PIECES = 4

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
    if n is not None and (not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1):
        raise ArgumentError(f"set_threads takes a whole number of at least 1, or None, not {n!r}")
    with _lock:
        _count = int(n or 0)
        _drop_pool()


def _drop_pool() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False)
        _pool = None


def share(work: Callable[[np.ndarray], None], points: int, grain: int, instructions: int, back: int = 0) -> None:
    """Call work(order) on as many threads as pay: native code that takes pieces of the points until none are left.

    order: (where the next piece begins, points in a piece: a multiple of `grain`, points, back). Where pieces begin is counted
    from `back` points before the first, which do not exist: so the first piece is short and the others begin where arrays are
    aligned. The first number is taken and raised in one step that no other thread can come between.
    """
    threads = 1
    if points * instructions >= PARALLEL_WORK:
        threads = min(thread_count(), -(-points // grain))
    pieces = threads * PIECES if threads > 1 else 1
    order = np.array([0, -(-(points + back) // (pieces * grain)) * grain, points, back], np.int64)
    if threads == 1:
        work(order)
        return
    helpers: list[Future] = []
    try:
        _call_for_help(helpers, work, order, threads - 1)
        work(order)
    finally:
        _wait(helpers, order)


def interruptible(work: Callable[[np.ndarray], None]) -> None:
    """Call work(stop), native code of seconds or more that ends early when stop[0] is no longer 0: at Ctrl-C.

    Python looks for signals in the main thread, between its own instructions; so another thread does the work meanwhile.
    """
    stop, helpers = np.array([0, 0, 1, 0], np.int64), []  # type: ignore[var-annotated]
    if threading.current_thread() is threading.main_thread():
        _call_for_help(helpers, work, stop, 1)
    if helpers:
        _wait(helpers, stop)
    else:
        work(stop)


def _call_for_help(helpers: list[Future], work: Callable[[np.ndarray], None], order: np.ndarray, count: int) -> None:
    """Have other threads call work(order) too; none where no thread can be had, as at the interpreter's end."""
    global _pool
    with _lock:
        try:
            if _pool is None:
                _pool = ThreadPoolExecutor(max(1, thread_count() - 1), thread_name_prefix="diffkit")
            for _ in range(count):
                helpers.append(_pool.submit(work, order))
        except RuntimeError:
            return


def _wait(helpers: list[Future], order: np.ndarray) -> None:
    """Until all are done, whatever comes between (Ctrl-C): they write into arrays that the caller goes on to use."""
    interruption: BaseException | None = None
    for helper in helpers:
        while not helper.done():
            try:
                wait([helper])
            except BaseException as problem:
                interruption = problem
                order[0] = order[2] + order[3]  # nothing is left to take
    if interruption is not None:
        raise interruption
    for helper in helpers:
        helper.result()


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
