"""Schedules: torch's and Optax's rates (golden values of scripts/golden_schedules.py), formulas, verdicts, bad input."""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError

ROOT = Path(__file__).parents[3]
CASES = json.loads((ROOT / "tests" / "golden" / "schedules.json").read_text(encoding="utf-8"))
s = dk.optim.schedules

#: one of each, with what it prints
EXAMPLES = {
    "constant": (s.constant(0.1), "α_n = 0.1"),
    "step": (s.step(0.1, 30), "α_n = 0.1·0.1^⌊n/30⌋"),
    "multistep": (s.multistep(0.1, [2, 5]), "α_n = 0.1·0.1^#{milestone ≤ n}, milestones 2, 5"),
    "piecewise_constant": (
        s.piecewise_constant([3, 9], [0.3, 0.2, 0.1]),
        "α_n = 0.3 for n < 3; 0.2 for n < 9; 0.1 from then on",
    ),
    "exponential": (s.exponential(0.1, 0.9), "α_n = 0.1·0.9^n"),
    "exponential_decay": (s.exponential_decay(0.1, -2), "α_n = exp(-2 − 0.1·n)"),
    "polynomial": (s.polynomial(0.1, 0.75), "α_n = 0.1/(n + 1)^0.75"),
    "polynomial_decay": (s.polynomial_decay(0.1, 20, 2, 0.02), "α_n = 0.08·(1 − min(n, 20)/20)^2 + 0.02"),
    "cosine": (s.cosine(0.1, 20), "α_n = 0.1·(1 + cos(πn/20))/2"),
    "restarts": (
        s.restarts(0.1, 3, 2, 0.01),
        "α_n = 0.01 + 0.09·(1 + cos(πt/T))/2, t steps into runs of T = 3, 6, 12, … steps",
    ),
    "warmup": (s.warmup(0.3, total_iters=4), "α_n = 0.1 + 0.2·min(n, 4)/4"),
    "warmup_cosine": (
        s.warmup_cosine(0.0, 0.1, 5, 25),
        "α_n = 0 + 0.1·n/5 for n < 5; 0 + 0.1·((1 + cos(π·min(n − 5, 20)/20))/2) from then on",
    ),
    "one_cycle": (
        s.one_cycle(0.1, 20),
        "α_n from 0.004 through 0.1 at step 5, 4e-07 at step 19, along half waves of the cosine",
    ),
    "cyclic": (
        s.cyclic(0.1, 0.2, 4, 6, "triangular2"),
        "α_n = 0.1 + 0.1·triangle(n)·2^(1 − cycle), 0 to 1 in 4 steps and back in 6",
    ),
    "join": (
        s.join([s.constant(0.1), s.constant(0.2)], [5]),
        "α_n = 0.1; from step 5: α_n = 0.2, n counted from there",
    ),
}
every_schedule = pytest.mark.parametrize("name", EXAMPLES)


def script() -> Any:
    spec = importlib.util.spec_from_file_location("golden_schedules", ROOT / "scripts" / "golden_schedules.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = script()


# ---- golden values ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['source']}-{c['name']}-{c['arguments']}")
def test_rates_are_theirs(case):
    assert GOLDEN.difference(case) <= 1e-12


def test_every_schedule_is_tested():
    assert {*EXAMPLES, "plateau"} | {"Schedule", "Verdict", "robbins_monro"} == set(s.__all__)
    ours = {"exponential_decay", "polynomial", "join"}  # no framework has these, or not as values
    assert {c["name"] for c in CASES} == {*EXAMPLES, "plateau"} - ours


# ---- what all do --------------------------------------------------------------------------------------------------
@every_schedule
def test_a_schedule_is_a_value(name):
    schedule, said = EXAMPLES[name]
    assert str(schedule) == said
    assert pickle.loads(pickle.dumps(schedule)) == schedule and hash(schedule) == hash(schedule)
    assert eval(repr(schedule), vars(s)) == schedule
    with pytest.raises(AttributeError):
        schedule.lr = 1.0


@every_schedule
def test_integers_and_arrays(name):
    schedule, _ = EXAMPLES[name]
    steps = np.arange(60)
    rates = schedule(steps)
    assert rates.dtype == np.float64 and rates.shape == (60,)
    assert np.all(rates >= 0) and np.all(np.isfinite(rates))
    for k in (0, 1, 7, 59):
        one = schedule(k)
        assert type(one) is float and one == rates[k] == schedule(np.int64(k))
    assert np.array_equal(schedule(steps.reshape(3, 20)), rates.reshape(3, 20))
    assert schedule(np.zeros(0, int)).shape == (0,)


@every_schedule
@pytest.mark.parametrize("step", [-1, 0.5, [2, -3], "three", float("nan"), True])
def test_steps_count_from_zero(name, step):
    with pytest.raises(ArgumentError, match=name.split("_")[0]):
        EXAMPLES[name][0](step)


@every_schedule
def test_an_optimiser_follows(name):
    schedule, _ = EXAMPLES[name]
    opt = dk.optim.SGD(learning_rate=schedule, machine="numpy")
    params, state = np.array([1.0]), opt.init(np.array([1.0]))
    for k in range(8):
        before = params
        params, state = opt.update(np.array([1.0]), state, params)
        np.testing.assert_allclose(before - params, schedule(k), rtol=1e-12, atol=1e-15)


# ---- formulas that no framework gives -----------------------------------------------------------------------------
def test_polynomial_and_exponential_decay_are_their_formulas():
    n = np.arange(50)
    np.testing.assert_allclose(s.polynomial(0.3, 0.6)(n), [0.3 / (k + 1) ** 0.6 for k in n], rtol=1e-15)
    np.testing.assert_allclose(np.log(s.exponential_decay(0.2, -1.5)(n)), -0.2 * n - 1.5, rtol=1e-14)
    np.testing.assert_allclose(
        s.exponential_decay(0.2, -1.5)(n), s.exponential(np.exp(-1.5), np.exp(-0.2))(n), rtol=1e-14
    )


def test_join_counts_each_part_from_its_beginning():
    joined = s.join([s.warmup(0.1), lambda n: 1.0 / (n + 1), s.cosine(0.1, 7)], [5, 8])
    expected = [*s.warmup(0.1)(np.arange(5)), 1, 1 / 2, 1 / 3, *s.cosine(0.1, 7)(np.arange(6))]
    np.testing.assert_array_equal(joined(np.arange(14)), expected)


def test_the_cosine_never_is_negative_and_restarts_begin_on_whole_steps():
    n = np.arange(3000)
    assert s.cosine(0.1, 17)(n).min() >= 0
    lengths = [3 * 10**k for k in range(4)]
    starts = np.cumsum([0, *lengths[:-1]])
    assert np.all(s.restarts(0.1, 3, 10)(starts) == 0.1)  # a logarithm would be off by one at some of them
    assert np.all(s.restarts(0.1, 3, 10)(starts[1:] - 1) < 0.1)


# ---- plateau ------------------------------------------------------------------------------------------------------
def test_the_memory_of_a_plateau_is_numbers():
    plateau = s.plateau(0.1, patience=1)
    memory = plateau.start()
    for value in (3.0, 2.0, 2.0, 2.0):
        kept = dict(memory)
        after = plateau.watch(memory, value)
        assert memory == kept  # nothing is changed in place
        memory = json.loads(json.dumps(after, allow_nan=False))
        assert memory == after
    assert plateau.rate(4, memory) == pytest.approx(0.01)


def test_nan_and_infinity_are_no_improvement():
    plateau = s.plateau(0.1, patience=1, factor=0.5)
    memory = plateau.start()
    for value in (float("nan"), float("inf")):
        memory = plateau.watch(memory, value)
    assert plateau.rate(2, memory) == 0.05 and not memory["seen"]
    assert plateau.watch(memory, 1e6)["best"] == 1e6


def test_plateau_prints_itself():
    assert str(s.plateau(0.1)) == "α from 0.1, times 0.1 after 11 values in a row without value < best·(1 − 0.0001)"
    shown = str(s.plateau(0.1, mode="max", threshold_mode="abs", min_lr=0.01, cooldown=3))
    assert shown.endswith("without value > best + 0.0001, then 3 more, at least 0.01")


# ---- Robbins and Monro --------------------------------------------------------------------------------------------
GROWING = s.step(0.1, 10, 1.1)
VERDICTS = [
    (s.constant(0.1), True, False),
    (0.1, True, False),
    (s.polynomial(0.1, 1.0), True, True),
    (s.polynomial(0.1, 0.51), True, True),
    (s.polynomial(0.1, 0.5), True, False),
    (s.polynomial(0.1, 1.01), False, True),
    (s.exponential(0.1, 0.9), False, True),
    (s.exponential(0.1, 1.0), True, False),
    (s.exponential_decay(0.1), False, True),
    (s.exponential_decay(0.0), True, False),
    (s.step(0.1, 10), False, True),
    (GROWING, True, False),
    (s.multistep(0.1, [3]), True, False),
    (s.piecewise_constant([3], [0.1, 0.2]), True, False),
    (s.polynomial_decay(0.1), False, True),
    (s.polynomial_decay(0.1, end_value=0.01), True, False),
    (s.warmup(0.1), True, False),
    (s.warmup(0.1, 1.0, 0.0), False, True),
    (s.cosine(0.1, 5), True, False),
    (s.restarts(0.1, 5, 2), True, False),
    (s.warmup_cosine(0.0, 0.1, 2, 9), False, True),
    (s.warmup_cosine(0.0, 0.1, 2, 9, 0.01), True, False),
    (s.one_cycle(0.1, 10), True, False),
    (s.cyclic(0.0, 0.1), True, False),
    (s.cyclic(0.0, 0.1, mode="triangular2"), False, True),
    (s.cyclic(0.0, 0.1, mode="exp_range", gamma=0.9), False, True),
    (s.cyclic(0.01, 0.1, mode="exp_range", gamma=0.9), True, False),
    (s.join([s.exponential(0.1, 0.9), s.polynomial(0.1, 0.8)], [10]), True, True),
    (s.join([s.constant(0.1), lambda n: 0.1], [10]), None, None),
    (s.plateau(0.1), True, False),
    (s.plateau(0.1, eps=0.0), None, None),
    (lambda n: 0.1 / (n + 1), None, None),
]


@pytest.mark.parametrize(
    ("schedule", "diverges", "squares"), VERDICTS, ids=lambda v: re.sub(" at 0x[0-9a-f]+", "", str(v))[:60]
)
def test_robbins_monro(schedule, diverges, squares):
    verdict = s.robbins_monro(schedule)
    assert (verdict.diverges, verdict.squares_converge) == (diverges, squares)
    assert verdict.holds is ({(True, True): True, (None, None): None}.get((diverges, squares), False))
    assert verdict.reason and verdict.reason in str(verdict)


@pytest.mark.parametrize(
    ("schedule", "diverges", "squares"),
    [v for v in VERDICTS if callable(v[0]) and v[1] is not None and v[0] != GROWING],
)
def test_verdicts_agree_with_partial_sums(schedule, diverges, squares):
    """Over the decades, a finite sum stops growing; one that diverges does not."""
    rates = schedule(np.arange(10**5))
    for power, finite in ((1, not diverges), (2, squares)):
        blocks = [np.sum(rates[10**k : 10 ** (k + 1)] ** power) for k in (2, 3, 4)]
        assert bool(blocks[2] < 0.99 * blocks[1] or not blocks[2]) is finite


# ---- bad input ----------------------------------------------------------------------------------------------------
BAD = [
    ("constant", {"lr": 0.0}, "lr=0.0 is not positive"),
    ("constant", {"lr": -1e-3}, "not positive"),
    ("constant", {"lr": float("nan")}, "not finite"),
    ("constant", {"lr": "0.1"}, "no number"),
    ("step", {"lr": 0.1, "step_size": 0}, "step_size=0 is not a whole number ≥ 1"),
    ("step", {"lr": 0.1, "step_size": 2.5}, "step_size=2.5"),
    ("multistep", {"lr": 0.1, "milestones": [5, 3]}, "not increasing"),
    ("multistep", {"lr": 0.1, "milestones": [3, 3]}, "not increasing"),
    ("piecewise_constant", {"boundaries": [3], "values": [0.1]}, "1 values for 1 boundaries"),
    ("piecewise_constant", {"boundaries": [3], "values": [0.1, -0.1]}, "not all positive"),
    ("exponential", {"lr": 0.1, "gamma": 0}, "gamma=0 is not positive"),
    ("exponential_decay", {"a": -0.1}, "a=-0.1 is negative"),
    ("exponential_decay", {"a": 0.1, "b": 800}, "overflow"),
    ("polynomial", {"lr": 0.1, "power": -1}, "power=-1 is negative"),
    ("cosine", {"lr": 0.1, "T_max": 10, "eta_min": -0.1}, "eta_min=-0.1 is negative"),
    ("restarts", {"lr": 0.1, "T_0": 0}, "T_0=0"),
    ("restarts", {"lr": 0.1, "T_0": 3, "T_mult": 1.5}, "T_mult=1.5"),
    ("warmup_cosine", {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 9, "decay_steps": 9}, "leaves nothing"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 9, "pct_start": 1.3}, "from 0 to 1"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 10, "anneal_strategy": "cosine"}, "choose one of cos, linear"),
    ("cyclic", {"base_lr": 0.1, "max_lr": 0.2, "mode": "square"}, "choose one of triangular"),
    ("join", {"schedules": [lambda n: 0.1], "boundaries": [2]}, "1 schedules for 1 boundaries"),
    (
        "join",
        {"schedules": [s.constant(0.1), s.plateau(0.1)], "boundaries": [2]},
        "Plateau has no rate for a step alone",
    ),
    ("join", {"schedules": [s.constant(0.1)] * 3, "boundaries": [4, 2]}, "not increasing"),
    ("plateau", {"lr": 0.1, "patience": -1}, "patience=-1"),
    ("plateau", {"lr": 0.1, "factor": 1.0}, "makes no rate smaller"),
    ("plateau", {"lr": 0.1, "mode": "low"}, "choose one of min, max"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD)
def test_bad_input_is_named(name, arguments, message):
    with pytest.raises(ArgumentError) as caught:
        getattr(s, name)(**arguments)
    assert message in str(caught.value) and str(caught.value).startswith(f"{name}: ")
