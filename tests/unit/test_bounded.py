"""Work within limits: what stops it, and that nothing of the stopping shows."""

import gc
import subprocess
import sys
import threading
import time

import pytest

from diffkit.errors import ExceededError
from diffkit.expr.bounded import within


@pytest.fixture
def reports(monkeypatch):
    """What Python reports of exceptions that nobody could catch."""
    found: list = []
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: found.append(problem.exc_type))
    monkeypatch.setattr(threading, "excepthook", lambda problem: found.append(problem.exc_type))
    return found


class Slow:
    """Takes its time to be dropped."""

    def __del__(self):
        end = time.monotonic() + 2e-3
        while time.monotonic() < end:
            pass


def test_an_end_that_strikes_finalisers_is_not_reported(reports):
    def forever():
        while True:
            Slow()
            sum(range(20_000))

    for _ in range(5):
        with pytest.raises(ExceededError, match=r"dropping took longer than 0\.05 seconds"):
            within(0.05, forever, "dropping")
    assert reports == []


def test_an_end_that_strikes_the_collectors_callbacks_is_not_reported(reports):
    began, ended = [], []

    def callback(phase, info):
        if threading.current_thread().name == "diffkit-bounded":
            began.append(phase)
            end = time.monotonic() + 1e-3
            while time.monotonic() < end:
                pass
            ended.append(phase)

    def forever():
        while True:
            rows = [[] for _ in range(1000)]
            for row in rows:
                row.append(rows)

    gc.callbacks.append(callback)
    try:
        with pytest.raises(ExceededError):
            within(0.3, forever, "collecting")
    finally:
        gc.callbacks.remove(callback)
    assert reports == [] and began and gc.isenabled()


def test_other_reports_are_passed_on(reports):
    class Broken:
        def __del__(self):
            raise ZeroDivisionError

    def forever():
        while True:
            Broken()

    with pytest.raises(ExceededError):
        within(0.05, forever, "breaking")
    assert set(reports) == {ZeroDivisionError}


def test_work_that_resists_for_a_while_is_stopped_without_a_word(reports):
    def resisting():
        stubborn = 3
        while stubborn:
            try:
                while True:
                    pass
            except BaseException:
                stubborn -= 1
        raise ValueError("three times")

    with pytest.raises(ExceededError, match="resisting took longer"):
        within(0.05, resisting, "resisting")
    assert reports == []


def test_settings_of_the_process_are_put_back(reports):
    before = sys.getrecursionlimit(), sys.unraisablehook, gc.isenabled(), threading.stack_size()

    def forever():
        while True:
            pass

    with pytest.raises(ExceededError):
        within(0.05, forever, "spinning")
    assert (sys.getrecursionlimit(), sys.unraisablehook, gc.isenabled(), threading.stack_size()) == before


def test_sympy_is_whole_after_a_first_run_that_is_stopped():
    code = """
import diffkit as dk
from diffkit.engines.symbolic import Symbolic
from diffkit.tape import record
x = dk.symbol("x")
try:
    Symbolic(seconds=1e-3).program(record(dk.sin(dk.exp(x) * dk.tanh(x))), [0])
except dk.ExceededError:
    pass
print(dk.grad("x**2*tanh(x) + max(x, 2)", engine="symbolic", machine="numpy")(x=0.0)["x"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 0.0 and done.stderr == ""
