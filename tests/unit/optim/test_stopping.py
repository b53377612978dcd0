"""Early stopping: when it stops, what it remembers, and that nothing is changed in place."""

from __future__ import annotations

import json
import math

import pytest

from diffkit.errors import ArgumentError
from diffkit.optim import EarlyStopping


def watched(stopping, values):
    """The step at which it stops (None: it does not), and the memory then."""
    memory = stopping.start()
    for step, value in enumerate(values):
        before = dict(memory)
        after = stopping.watch(memory, value, step)
        assert memory == before
        memory = json.loads(json.dumps(after, allow_nan=False))  # as a checkpoint keeps it
        assert memory == after
        if stopping.stop(memory):
            return step, memory
    return None, memory


def test_stops_after_so_many_values_without_improvement():
    step, memory = watched(EarlyStopping(patience=3), [3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 2.0, 0.0])
    assert step == 6
    assert (memory["best"], memory["best_step"]) == (1.0, 3)


def test_improvements_start_the_count_anew():
    assert watched(EarlyStopping(patience=2), [3, 4, 2, 4, 1, 4, 0])[0] is None


@pytest.mark.parametrize("patience", [0, 1])
def test_the_first_value_never_stops(patience):
    assert watched(EarlyStopping(patience=patience), [1.0, 0.5, 0.6])[0] == 2


def test_min_delta_and_mode():
    assert watched(EarlyStopping(patience=2, min_delta=0.1), [1.0, 0.95, 0.91])[0] == 2
    assert watched(EarlyStopping(patience=2, min_delta=0.1), [1.0, 0.95, 0.89])[0] is None
    assert watched(EarlyStopping(patience=2, mode="max"), [0.1, 0.2, 0.2, 0.1])[0] == 3


def test_baseline():
    """Better than the best so far, but not than the baseline: the count goes on."""
    step, memory = watched(EarlyStopping(patience=3, baseline=0.5), [1.0, 0.9, 0.8])
    assert step == 2 and memory["best"] == 0.8
    assert watched(EarlyStopping(patience=3, baseline=0.5), [1.0, 0.4, 0.8, 0.7])[0] is None


@pytest.mark.parametrize("mode", ["min", "max"])
def test_nan_is_no_improvement(mode):
    step, memory = watched(EarlyStopping(patience=3, mode=mode), [math.nan, 1.0, math.nan, math.nan, math.nan])
    assert step == 4 and memory["best"] == 1.0
    assert watched(EarlyStopping(patience=2, mode=mode), [math.nan, math.nan])[0] == 1


def test_improved_tells_whether_the_last_value_was_the_best():
    stopping = EarlyStopping(baseline=0.0)
    memory, told = stopping.start(), []
    assert not stopping.improved(memory)
    for step, value in enumerate([3.0, 4.0, 2.0, math.nan, 2.0]):
        memory = stopping.watch(memory, value, step)
        told.append(stopping.improved(memory))
    assert told == [True, False, True, False, False]


def test_prints_itself():
    assert str(EarlyStopping(5)) == "stop after 5 values in a row without value < best"
    assert str(EarlyStopping(1, 0.1, "max")) == "stop after 1 value without value > best + 0.1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": -1}, "patience=-1"),
        ({"patience": 2.5}, "patience=2.5"),
        ({"min_delta": -0.1}, "min_delta=-0.1"),
        ({"min_delta": math.nan}, "min_delta=nan"),
        ({"mode": "low"}, "choose 'min'"),
        ({"baseline": math.inf}, "baseline=inf"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ArgumentError, match="EarlyStopping") as caught:
        EarlyStopping(**arguments)
    assert message in str(caught.value)
