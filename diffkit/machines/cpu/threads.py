"""How many threads, and which work they share.

Points are cut into pieces, and no two pieces share a sum, so the answers have the same bits at any thread count.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

import numpy as np

from ...errors import ArgumentError
from .shared import Native
from .team import PARALLEL_WORK, Team, lead

#: instructions · points (80 µs) that a sleeping thread is woken for: it takes 10 µs of the one that wakes it
WAKING_WORK = 300_000
#: pieces a thread: more of them even out a disturbed processor
PIECES = 4

_lock = threading.Lock()
_count = 0
_team: Team | None = None


def available() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    return _count or available()


def useful_threads() -> int:
    """Threads that have a processor each: more would wait for each other."""
    return min(thread_count(), available())


def set_threads(n: int | None) -> None:
    """Use `n` threads on the cpu machine; None for all processors this process may use."""
    global _count
    if n is not None and (not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1):
        raise ArgumentError(f"set_threads takes a whole number of at least 1, or None, not {n!r}")
    with _lock:
        _count = int(n or 0)
    _dismiss(but=useful_threads())


def _dismiss(but: int = 1) -> None:
    """Let the helpers go, unless there are just as many as `but` threads have."""
    global _team
    with _lock:
        team = _team
        if team is None or team.size == but:
            return
        _team = None
    team.dismiss()


def gather(work: int, most: int) -> Team | None:
    """The helpers for so many instructions · points, woken if need be.

    None where they would not pay, or where they and the caller are more than `most`.
    """
    global _team
    threads = useful_threads()
    if threads == 1 or work < PARALLEL_WORK:
        return None
    team = _team
    if team is None:
        if work < WAKING_WORK:
            return None
        with _lock:
            if _team is None:
                _team = Team(threads - 1)
            team = _team
    if team.size > most or (work < WAKING_WORK and not team.awake):
        return None
    if work >= WAKING_WORK:
        team.wake()
    return team


def share(
    job: Native, data: np.ndarray, points: int, grain: int, instructions: int, back: int = 0, most: int = 1 << 16
) -> None:
    """Have a job (team.py) done, told the words of `data`, by as many threads as pay, but no more than `most`.

    Its order is (where the next piece begins, points in a piece: a multiple of `grain`, points, back). Where pieces begin is
    counted from `back` points before the first, which do not exist: so the first piece is short and the others begin where arrays
    are aligned. The first number is taken and raised in one step that no other thread can come between.
    """
    team = gather(points * instructions, most) if points > grain else None
    pieces = 1 if team is None else team.size * PIECES
    order = np.array([0, -(-(points + back) // (pieces * grain)) * grain, points, back], np.int64)
    if team is None:
        job(data.ctypes.data, order.ctypes.data, 0)
        return
    lead(team.address, job.address, data.ctypes.data, order.ctypes.data)


def interruptible(work: Callable[[np.ndarray], None]) -> None:
    """Call work(stop), native code of seconds or more that ends early when stop[0] is no longer 0: at Ctrl-C.

    Python looks for signals in the main thread, between its own instructions; so another thread does the work meanwhile.
    """
    stop: np.ndarray = np.zeros(1, np.int64)
    begun, ended = threading.Event(), threading.Event()

    def whole() -> None:
        begun.set()
        try:
            work(stop)
        finally:
            ended.set()

    if threading.current_thread() is not threading.main_thread():
        work(stop)
        return
    interruption: BaseException | None = None
    running = True
    try:
        threading.Thread(target=whole, name="diffkit-long").start()
    except RuntimeError:  # at the interpreter's end
        work(stop)
        return
    except BaseException as problem:  # the thread may be about to begin
        interruption, stop[0] = problem, 1
        running = begun.wait(1)
    while running and not ended.is_set():
        try:
            ended.wait()
        except BaseException as problem:  # it writes into arrays that the caller goes on to use
            interruption, stop[0] = problem, 1
    if interruption is not None:
        raise interruption


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global _team, _lock
    _team, _lock = None, threading.Lock()


atexit.register(_dismiss)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
