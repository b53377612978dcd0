"""Threads that share native work: every piece is done once, nobody waits for helpers who are late, and all of them leave."""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import diffkit as dk
from diffkit.machines.cpu import set_threads, threads
from diffkit.machines.cpu.team import Team, lead
from diffkit.machines.cpu.threads import gather

two_processors = pytest.mark.skipif(threads.available() < 2, reason="one processor")


def native(function):
    """A Python function as a job: (data, order, who). The one that holds it keeps it alive."""
    called = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(function)
    return called, ctypes.cast(called, ctypes.c_void_p).value


def until(holds, seconds=10):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.001)
    assert holds()


@pytest.fixture
def team():
    made = Team(2)
    yield made
    made.dismiss()


def test_a_job_is_joined_by_helpers_that_are_awake(team):
    seen, turns = [], 40

    def job(data, order, who):
        seen.append((data, order, who, threading.get_ident()))
        until = time.monotonic() + 0.05
        while time.monotonic() < until and sum(o == order for _, o, *_ in seen) < 3:
            time.sleep(1e-4)

    held, address = native(job)
    for turn in range(turns):
        team.wake()
        lead(team.address, address, 7, turn)
    assert held is not None
    assert len(set(seen)) == len(seen), "nobody does a job twice"
    assert {data for data, *_ in seen} == {7} and [o for _, o, who, _ in seen if who == 0] == list(range(turns))
    for helper in (1, 2):
        threads_of = [thread for *_, who, thread in seen if who == helper]
        assert len(threads_of) > turns // 4 and len(set(threads_of)) == 1


def test_nobody_waits_for_a_helper_that_sleeps(team):
    time.sleep(0.2)
    assert not team.awake
    seen = []
    held, address = native(lambda data, order, who: seen.append(who))
    lead(team.address, address, 0, 0)
    assert seen == [0] and held is not None


def test_many_short_jobs_are_each_done_before_the_next(team):
    """What a job writes must be there when its leader goes on, whoever wrote it."""
    counts, wrong = np.zeros(4, np.int64), []

    def job(data, order, who):
        counts[who] += 1

    held, address = native(job)
    team.wake()
    for total in range(1, 3001):
        lead(team.address, address, 0, 0)
        wrong += [total] if counts[0] != total or counts[1] > total or counts[2] > total else []
    assert not wrong and held is not None


def test_helpers_leave():
    made = Team(2)
    names = {t.name for t in threading.enumerate()}
    assert {"diffkit-1", "diffkit-2"} <= names
    made.dismiss()
    assert not any(t.is_alive() for t in made._threads)


def test_a_helper_that_sleeps_again_before_its_waker_goes_on_is_woken_again(monkeypatch):
    class Held:
        """A gate whose opener is held up for a while, as on a busy processor."""

        def __init__(self):
            lock = threading.Lock()
            self.acquire, self._open, self.pause = lock.acquire, lock.release, 0.0

        def release(self):
            self._open()
            time.sleep(self.pause)

    real = threading.Thread
    monkeypatch.setattr("diffkit.machines.cpu.team.threading", type("", (), {"Lock": Held, "Thread": real}))
    made = Team(1)
    monkeypatch.undo()
    until(lambda: not made.awake)
    made._gates[0].pause = 0.2
    made.wake()
    made._gates[0].pause = 0.0
    leaving = threading.Thread(target=made.dismiss, daemon=True)
    leaving.start()
    leaving.join(10)
    assert not leaving.is_alive() and not made._threads[0].is_alive()


def test_one_leader_at_a_time(team):
    """A job that leads a job of the same team does it alone."""
    inner, seen = [], []
    held_inner, inner_address = native(lambda data, order, who: inner.append(who))

    def job(data, order, who):
        seen.append(who)
        if who == 0:
            lead(team.address, inner_address, 0, 0)

    held, address = native(job)
    team.wake()
    lead(team.address, address, 0, 0)
    assert inner == [0] and 0 in seen and held is not None and held_inner is not None


@two_processors
def test_helpers_are_gathered_where_there_is_room_for_them():
    set_threads(2)
    try:
        assert gather(10**9, 1) is None
        assert gather(10**9, 2) is gather(10**9, 8)
        assert gather(10, 8) is None
    finally:
        set_threads(None)


@two_processors
def test_the_same_number_of_threads_keeps_the_team():
    set_threads(2)
    try:
        found = gather(10**9, 8)
        set_threads(2)
        assert threads._team is found
        set_threads(1)
        assert threads._team is None and not any(t.is_alive() for t in found._threads)
    finally:
        set_threads(None)


@two_processors
@pytest.mark.parametrize("where", ["gather", "wake", "share"])
def test_an_interruption_anywhere_loses_nothing(where):
    """Ctrl-C as a function returns: the next call shares its work again, and the program ends."""
    code = f"""
import sys, time
import numpy as np, diffkit as dk
from diffkit.machines.cpu import threads
dk.set_threads(2)
x = np.linspace(0, 1, 300_000)
g = dk.grad("sin(x)*y + exp(-x*x)", wrt="x")
right = g(x=x, y=2.0)
time.sleep(0.05)
def interrupt(frame, event, argument):
    if frame.f_code.co_name == {where!r} and event == "return":
        sys.settrace(None)
        raise KeyboardInterrupt
    return interrupt
sys.settrace(interrupt)
try:
    g(x=x, y=2.0)
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    pass
finally:
    sys.settrace(None)
assert (g(x=x, y=2.0) == right).all()
assert threads._team._words[20] == 0
dk.set_threads(1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def _in_child(queue):
    dk.set_threads(2)
    x = np.linspace(0, 1, 200_000)
    queue.put(float(dk.grad("sin(x)*exp(x)")(x)["x"].sum()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork while threads exist is what is tested
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_a_team_of_its_own():
    set_threads(2)
    try:
        x = np.linspace(0, 1, 200_000)
        wanted = float(dk.grad("sin(x)*exp(x)")(x)["x"].sum())
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
        assert queue.get(timeout=60) == wanted
        child.join(60)
        assert child.exitcode == 0
    finally:
        set_threads(None)


def test_a_program_ends_while_helpers_are_awake():
    code = "import numpy as np, diffkit as dk; dk.set_threads(4); dk.grad('sin(x)*exp(x)')(np.linspace(0, 1, 10**6))"
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")


@two_processors
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity here")
def test_helpers_may_use_the_processors_of_their_leader_again():
    set_threads(2)
    try:
        found = gather(10**9, 8)
        time.sleep(0.1)
        found.wake()
        time.sleep(0.1)
        assert os.sched_getaffinity(found._threads[0].native_id) == os.sched_getaffinity(0)
    finally:
        set_threads(None)
