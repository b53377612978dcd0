"""Code that recurses deeply or may not come to an end, run on a large stack and within a time limit.

SymPy recurses over expressions (differentiating, hashing, comparing, `free_symbols`), several Python calls a level, some of them
through C, and walks shared parts once a use, which can take exponential time. Such work runs on a thread of its own: with a
stack for its recursion, and where an exception can be raised from outside when the time is over.
"""

from __future__ import annotations

import contextvars
import ctypes
import gc
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from ..errors import ExceededError

Result = TypeVar("Result")

#: bytes of stack asked for (untouched pages cost nothing), and less where the system refuses
STACKS = (512 << 20, 128 << 20, 32 << 20)
#: calls allowed per megabyte of stack: derivatives of nested powers and sines took 0.5–0.7 kB of C stack a call; 2.6 granted
CALLS_A_MEGABYTE = 400
#: seconds granted to a library call written in C to return after the limit
GRACE = 5.0

#: stack size and recursion limit belong to the process: one such run at a time
_one = threading.RLock()
_inside = threading.local()


class _TimeOver(SystemExit):
    """Raised in the worker from outside; no `except Exception` on the way can take it, and no thread that it ends says so."""


def within(seconds: float, work: Callable[[], Result], doing: str) -> Result:
    """The result of `work()`, which runs in this call's context on another thread.

    ExceededError where it takes longer than `seconds`, recurses too deeply or runs out of memory; `doing` says what it did.
    """
    if getattr(_inside, "running", False):
        return work()
    from . import sympy_forms, sympy_reader  # noqa: F401  (an import that is stopped half-way leaves SymPy broken)

    outcome: list[Result] = []
    failure: list[BaseException] = []
    context = contextvars.copy_context()
    ready = threading.Event()

    def run() -> None:
        _inside.running = True
        try:
            ready.wait()
            outcome.append(context.run(work))
        except BaseException as problem:  # handed to the caller
            failure.append(problem)

    with _one:
        limit = sys.getrecursionlimit()
        worker, stack = _start(run)
        sys.setrecursionlimit(max(limit, (stack >> 20) * CALLS_A_MEGABYTE))
        ready.set()
        try:
            worker.join(seconds)
        finally:
            expired = worker.is_alive()
            if expired:
                _stop(worker, lambda: bool(outcome or failure))
            sys.setrecursionlimit(limit)
    if outcome:
        return outcome[0]
    if expired or isinstance(failure[0], _TimeOver):
        raise ExceededError(f"{doing} took longer than {seconds:g} seconds")
    if isinstance(failure[0], RecursionError):
        raise ExceededError(f"{doing} nests too deeply for SymPy, which works by recursion") from None
    if isinstance(failure[0], MemoryError):
        raise ExceededError(f"{doing} ran out of memory") from None
    raise failure[0]


def _start(run: Callable[[], None]) -> tuple[threading.Thread, int]:
    before = threading.stack_size()
    for stack in STACKS:
        worker = threading.Thread(target=run, name="diffkit-bounded", daemon=True)
        threading.stack_size(stack)
        try:
            worker.start()
        except (RuntimeError, ValueError):
            continue
        finally:
            threading.stack_size(before)
        return worker, stack
    raise ExceededError("no thread could be started")


def _stop(worker: threading.Thread, ended: Callable[[], bool]) -> None:
    """Raise in the worker until it ends; one that stays inside a C function is left behind as a daemon.

    The exception strikes wherever the worker is. Python drops one that strikes a finaliser, and reports it: that report is not
    passed on, and the next exception strikes elsewhere. No collection, whose callbacks belong to other libraries, begins
    meanwhile. What was struck may leave SymPy's caches with half an answer, so they are emptied.
    """
    report, collects = sys.unraisablehook, gc.isenabled()

    def filtered(problem: sys.UnraisableHookArgs, /) -> None:
        if problem.exc_type is not _TimeOver:
            report(problem)

    sys.unraisablehook = filtered
    gc.disable()
    try:
        for _ in range(int(GRACE / 0.1)):
            if not ended():
                _raise(worker)
            worker.join(0.1)
            if not worker.is_alive():
                break
    finally:
        if collects:
            gc.enable()
        if not worker.is_alive() and sys.unraisablehook is filtered:
            sys.unraisablehook = report
        if caches := sys.modules.get("sympy.core.cache"):
            caches.clear_cache()


def _raise(worker: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident or 0), ctypes.py_object(_TimeOver))
