"""Threads that go through native code together.

A *job* is a native function of (data, order, who): it takes pieces of the work from the words at `order` until none are left, and
what it writes for itself lies where no other `who` writes. The thread that leads publishes a job, does it itself, and waits for
those that have joined it; a helper that comes too late is not waited for. Who leads is settled in native code too, where no
exception (Ctrl-C) comes between; a thread that finds another one leading works alone. A helper that has nothing to do stays
awake for a while and looks for the next job: it begins within a microsecond, while a thread that sleeps needs some 80 µs to
wake up.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

import numpy as np

from .addresses import change, enter, look, pause, raised, tell, words
from .shared import Shared, part

#: words of a team: which job, whether it is open and how many helpers do it; then, in another line of the cache, what the job is,
#: whether somebody leads, whether helpers are to leave
STATE, FUNCTION, DATA, ORDER, YIELD, LED, LEAVING, WORDS = 0, 16, 17, 18, 19, 20, 21, 32
#: the state: the number of the job, whether it is open to helpers, how many there are
JOB, OPEN, JOINED = 32, 1 << 16, 0xFFFF
#: instructions · points (10 µs) that are worth sharing with a thread that is awake
PARALLEL_WORK = 50_000
#: a helper stays awake for so many seconds; a leader gives its processor away after looking so often for the others to finish
AWAKE_SECONDS, PATIENCE = 4e-3, 4096


@Shared
def help_out(team, who, turns):  # type: ignore[no-untyped-def]
    """Join jobs until there has been none for so many turns."""
    at = words(team)  # type: ignore[call-arg,var-annotated]
    seen, idle = 0, 0
    while idle < turns and not look(team + 8 * LEAVING):
        state = look(team)
        if state & OPEN and state >> JOB != seen:
            if change(team, state, state + 1):
                enter(at[FUNCTION], at[DATA], at[ORDER], who)
                seen = state >> JOB
                raised(team, -1)
        else:
            pause()
            idle = 0 if state & OPEN else idle + 1  # while others work on, there may be another job soon


@part
def shared_out(team, function, data, order):  # type: ignore[no-untyped-def]
    """Do a job together with those helpers that are awake."""
    at = words(team)  # type: ignore[call-arg,var-annotated]
    at[FUNCTION], at[DATA], at[ORDER] = function, data, order
    tell(team, ((look(team) >> JOB) + 1) << JOB | OPEN)
    enter(function, data, order, 0)
    raised(team, -OPEN)
    turns = 0
    while look(team) & JOINED:
        pause()
        turns += 1
        if turns % PATIENCE == 0 and at[YIELD]:
            enter(at[YIELD], 0)


@part
def leads(team):  # type: ignore[no-untyped-def]
    """Whether the caller may share out jobs, until it says that it is `done`."""
    return team != 0 and change(team + 8 * LED, 0, 1)  # type: ignore[call-arg]


@part
def done(team):  # type: ignore[no-untyped-def]
    tell(team + 8 * LED, 0)  # type: ignore[call-arg]


@Shared
def lead(team, function, data, order):  # type: ignore[no-untyped-def]
    """Do a job, and have it done by those helpers that are awake, unless somebody else leads them."""
    if leads(team):
        shared_out(team, function, data, order)
        done(team)
    else:
        enter(function, data, order, 0)


class Team:
    """Helpers of one leader at a time."""

    def __init__(self, helpers: int) -> None:
        self._memory: np.ndarray = np.zeros(WORDS + 8, np.int64)
        address = self._memory.ctypes.data
        self.address = address + -address % 64
        self._words = self._memory[(self.address - address) // 8 :]
        self._words[YIELD] = _yield_address()
        self.size = helpers + 1
        self._asleep = [False] * helpers
        self._allowed: set[int] = set()
        self._gates = [threading.Lock() for _ in range(helpers)]
        self._threads = []
        for k, gate in enumerate(self._gates):
            gate.acquire()
            thread = threading.Thread(target=self._help, args=(k,), name=f"diffkit-{k + 1}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter ends, or there may be no more threads: those that are there do
                break
            self._threads.append(thread)

    def _help(self, k: int) -> None:
        turns = _turns_awake(self.address, k + 1)
        while not self._words[LEAVING]:
            help_out(self.address, k + 1, turns)
            self._asleep[k] = True
            self._gates[k].acquire()
            self._asleep[k] = False  # by itself: its waker could be too late, when it sleeps again
            if self._allowed:
                _move(0, self._allowed)

    @property
    def awake(self) -> bool:
        """Whether there is a helper who looks for a job."""
        return not all(self._asleep)

    def wake(self) -> None:
        """By the one who is about to lead.

        On virtual machines Linux takes a processor that sleeps for one that is taken away, and would have the helper wait for the
        leader's: so that one is forbidden to it until it is awake.
        """
        if True not in self._asleep:
            return
        here = _processor()
        self._allowed = os.sched_getaffinity(0) if here >= 0 else set()
        elsewhere = self._allowed - {here}
        for k, asleep in enumerate(self._asleep):
            if asleep:
                if elsewhere:
                    _move(self._threads[k].native_id or 0, elsewhere)
                with suppress(RuntimeError):  # somebody else has opened it just now
                    self._gates[k].release()

    def dismiss(self) -> None:
        """All helpers leave, once they have done what they do."""
        self._words[LEAVING] = 1
        while any(t.is_alive() for t in self._threads):
            self.wake()
            for thread in self._threads:
                thread.join(0.001)


def _turns_awake(team: int, who: int) -> int:
    """How often a helper looks for a job before it sleeps: what a pause takes differs by processors."""
    some, seconds = 1000, []
    for _ in range(5):  # it may be disturbed, or have to help, meanwhile
        begun = time.perf_counter()
        help_out(team, who, some)
        seconds.append(time.perf_counter() - begun)
    return int(some * AWAKE_SECONDS / max(min(seconds), 1e-9)) + 1


@lru_cache(maxsize=1)
def _whereabouts() -> Callable[[], int] | None:
    try:
        return ctypes.CDLL(None).sched_getcpu if hasattr(os, "sched_setaffinity") else None
    except (AttributeError, OSError):
        return None


def _move(thread: int, processors: set[int]) -> None:
    """Where a thread may run; as it is where that is not allowed."""
    with suppress(OSError):
        os.sched_setaffinity(thread, processors)


def _processor() -> int:
    """The one that this thread runs on; -1 where the system does not say."""
    found = _whereabouts()
    return -1 if found is None else found()


def _yield_address() -> int:
    """Of a function of the system that lets another thread run; 0 where there is none."""
    name, library = ("SwitchToThread", "kernel32") if os.name == "nt" else ("sched_yield", None)
    try:
        return ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value or 0
    except (AttributeError, OSError):
        return 0
