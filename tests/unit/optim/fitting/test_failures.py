"""A run that goes wrong: what is said, and the state that is handed back."""

from __future__ import annotations

import math
import random
import re
import warnings

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, DiffkitError, DivergedError, ShapeError
from diffkit.optim.fitting import recovery
from diffkit.optim.fitting.recovery import KEPT, state_leaves
from diffkit.optim.state import State

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3
START = {"w": np.zeros(3), "b": 0.0}


def loss(params, batch):
    x, y = batch
    return np.mean((x @ params["w"] + params["b"] - y) ** 2)


# ---- divergence -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("optimizer", [
    dk.optim.SGD(1e150), dk.optim.SGD(1e150, momentum=0.9), dk.optim.Adam(1e160), dk.optim.SGD(50.0), dk.optim.LAMB(1e160),
    dk.optim.SGD(1e100, momentum=0.9, nesterov=True, flavor="R7"),
], ids=repr)  # fmt: skip
def test_the_state_handed_back_had_a_finite_loss(optimizer):
    """Of the step before, exactly: parameters and the optimiser's state have the bits of a run that stopped there."""
    options = {"optimizer": optimizer, "batch_size": 50, "shuffle": False}
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as e:
        dk.optim.fit(loss, START, (X, Y), epochs=500, **options)
    fit = e.value.fit
    assert fit.steps == e.value.step - 1 and math.isfinite(loss(fit.params, (X, Y)))
    assert loss(fit.params, (X, Y)) == pytest.approx(fit.loss)
    if fit.steps:
        there = dk.optim.fit(loss, START, (X, Y), steps=fit.steps, **options)
        assert all(fit.params[n].tobytes() == there.params[n].tobytes() for n in START)
        pairs = zip(state_leaves(fit.state)[0], state_leaves(there.state)[0], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_loss_that_overflows_itself():
    """Its gradient is finite: nothing can be named but where that is largest."""
    told = "it is the loss itself that overflows: parameters and gradient are finite, the largest gradient is in params.b (1e+300)."
    with pytest.raises(DivergedError, match=re.escape(told)) as e:
        dk.optim.fit(
            lambda p, b: np.sum(p["a"]) + p["b"] * 1e300 + 1e308 + dk.stop_gradient(p["a"]) * 1e308,
            {"a": 1.0, "b": 0.0},
            np.ones(4),
            optimizer=dk.optim.SGD(0.1),
        )
    assert e.value.parameter is None and e.value.fit.params["a"] == 1 and e.value.fit.steps == 0


@pytest.mark.parametrize(("value", "what"), [(np.nan, "a NaN"), (-np.inf, "an infinity")])
@pytest.mark.parametrize("shuffle", [True, False, "replacement"])
def test_data_that_are_not_finite_are_found(value, what, shuffle):
    x = X.copy()
    x[41, 2] = value
    with pytest.raises(DivergedError, match=rf"data\.x\[0\] has {what} in example 41\.") as e:
        dk.optim.fit(
            lambda p, b: loss(p, (b["x"][0], b["y"])), START, {"x": [x], "y": Y}, optimizer=dk.optim.SGD(0.01), batch_size=7,
            shuffle=shuffle,
        )  # fmt: skip
    assert "learning rate" not in str(e.value) and np.isfinite(e.value.fit.params["w"]).all()


def test_data_of_batches_are_found_in_the_batch():
    y = Y.copy()
    y[27] = np.nan
    batches = [(X[k : k + 10], y[k : k + 10]) for k in range(0, 50, 10)]
    with pytest.raises(DivergedError, match=r"step 2 .* batch\[1\] has a NaN in example 7 of the batch"):
        dk.optim.fit(loss, START, batches, optimizer=dk.optim.SGD(0.01))


def test_data_may_hold_nan_that_the_loss_masks():
    y = np.where(np.arange(50) % 7, Y, np.nan)

    def masked(p, b):
        e = b[0] @ p["w"] + p["b"] - b[1]
        return np.mean(dk.where(b[1] == b[1], e, 0.0) ** 2)

    fit = dk.optim.fit(masked, START, (X, y), optimizer=dk.optim.SGD(0.01), steps=5)
    assert fit.steps == 5


@pytest.mark.parametrize(("size", "every"), [(100, 1), (101, 2), (1000, 10), (10**5, KEPT)])
def test_copies_of_large_states_are_made_now_and_then(monkeypatch, size, every):
    """As many bytes a step on average, whatever the size."""
    monkeypatch.setattr(recovery, "COPIED", 1600)
    params, state, good, kept = [np.zeros(size)], State(0, {"v": np.zeros(size)}), recovery.LastGood(), []
    for step in range(2 * KEPT):
        if good.due(step):
            kept.append(step)
            params[0].fill(step)
            good.keep(step, params, state)
    assert kept == list(range(0, 2 * KEPT, every))
    params[0].fill(-1)
    assert good.restored(params).count == 0 and (params[0] == kept[-1]).all()


# ---- errors within a step -------------------------------------------------------------------------------------------
def test_a_late_bad_label_is_told_with_its_step_and_example():
    labels = np.arange(50) % 5
    labels[37] = 9
    with pytest.raises(ShapeError, match="index 9 is out of range") as e:
        dk.optim.fit(
            lambda p, b: dk.nn.softmax_cross_entropy(b[0] @ p, b[1]), np.zeros((3, 5)), (X, labels), optimizer=dk.optim.SGD(0.1),
            batch_size=10, shuffle=False,
        )  # fmt: skip
    (note,) = e.value.__notes__
    assert note == (
        "This is step 3 (epoch 0) of fit. Its batch has the examples 30, 31, 32, 33, 34, 35, 36, 37, … (10 in all) of data. "
        "data[1] has integers from 0 (example 30) to 9 (example 37)."
    )
    assert e.value.fit.steps == 3 and e.value.fit.stopped == "failed" and e.value.fit.params.any()


def test_an_error_of_a_batch_from_an_iterable():
    batches = [np.arange(3), np.array([0, 7])]
    with pytest.raises(DiffkitError) as e:
        dk.optim.fit(lambda p, b: np.sum(p[b]), np.zeros(4), batches, optimizer=dk.optim.SGD(0.1))
    assert e.value.__notes__ == [
        "This is step 1 (epoch 0) of fit. batch has integers from 0 (example 0 of the batch) to 7 (example 1 of the batch)."
    ]


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize(
    ("data", "error"), [([X, Y], ArgumentError), ([X, Y > 0], ArgumentError), ([X[:, 0], Y], ValueError)]
)
def test_a_list_of_arrays_is_not_a_pair(tmp_path, data, error, saved):
    with pytest.raises(error) as e:
        dk.optim.fit(loss, START, data, optimizer=dk.optim.SGD(0.1), checkpoint=tmp_path if saved else None)
    told = "\n".join([str(e.value), *getattr(e.value, "__notes__", [])])
    assert "a list is a list of batches" in told and "give a tuple, (x, y)" in told


def test_a_list_of_arrays_may_be_batches():
    fit = dk.optim.fit(lambda p, b: np.mean((p - b) ** 2), 0.0, [X, 2 * X], optimizer=dk.optim.SGD(0.1), epochs=1)
    assert fit.steps == 2


# ---- what else is refused -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda p: p["w"], r"validation gives an array of shape \(3,\) as 'loss'"),
        (lambda p: {"loss": 1.0, "mae": np.ones((1, 1))}, r"an array of shape \(1, 1\) as 'mae'"),
        (lambda p: None, "validation gives None as 'loss'"),
        (lambda p: {"loss": "small"}, "validation gives 'small' as 'loss'"),
    ],
)
def test_a_validation_gives_scalars(given, told):
    with pytest.raises(ArgumentError, match=told):
        dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), validation=given)


@pytest.mark.parametrize("draw", [lambda: np.random.normal(), random.random, lambda: np.random.rand(3)[0]])
def test_draws_from_nobodys_generator_are_warned_of(draw):
    with pytest.warns(UserWarning, match="drew random numbers from np.random or random .* Give it a parameter rng"):
        dk.optim.fit(lambda p, b: (p - draw()) ** 2, 0.0, np.ones(4), optimizer=dk.optim.SGD(0.1), steps=1)


def test_draws_of_its_own_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dk.optim.fit(lambda p, b, rng: (p - rng.normal()) ** 2, 0.0, np.ones(4), optimizer=dk.optim.SGD(0.1), steps=1)


# ---- gradients elsewhere --------------------------------------------------------------------------------------------
AHEAD = dk.optim.SGD(0.05, momentum=0.9, nesterov=True, flavor="R7")


def test_a_gradient_ahead_is_traced_once():
    calls = []

    def counted(p, b):
        calls.append(1)
        return loss(p, b)

    options = {"optimizer": AHEAD, "batch_size": 10, "shuffle": False, "steps": 12}
    fit = dk.optim.fit(counted, START, (X, Y), **options)
    assert len(calls) == 1
    params, state = START, AHEAD.init(START)
    for k in range(12):
        at = 10 * (k % 5)
        here = lambda p, rows=slice(at, at + 10): loss(p, (X[rows], Y[rows]))
        params, state = AHEAD.update(dk.grad(here)(params), state, params, fun=here)
    assert np.allclose(fit.params["w"], params["w"], rtol=1e-12) and fit.params["b"] == pytest.approx(params["b"])


def test_a_gradient_ahead_in_pieces_is_the_batchs():
    run = lambda n: dk.optim.fit(loss, START, (X, Y), optimizer=AHEAD, batch_size=20, epochs=2, accumulate=n)
    assert np.allclose(run(1).params["w"], run(3).params["w"], rtol=1e-11)


def test_a_gradient_ahead_is_clipped_and_has_the_steps_draws():
    def masked(p, b, rng):
        mask = rng.random(5) < 0.5
        return np.sum(dk.where(mask, p, 0.0)), {"mask": dk.where(mask, 1.0, 0.0), "p": p * 1.0}

    masks = []
    fit = dk.optim.fit(
        masked, np.zeros(5), np.ones(8), batch_size=2, epochs=2, clip_value=0.25,
        optimizer=dk.optim.SGD(1.0, momentum=0.5, nesterov=True, flavor="R7"),
        callbacks=lambda run: masks.append((run.aux["mask"].copy(), run.aux["p"].copy(), run.params.copy())),
    )  # fmt: skip
    p, v = np.zeros(5), np.zeros(5)
    for mask, before, after in masks:
        assert np.allclose(before, p)  # aux is that of the step, not of the point ahead
        v = 0.5 * v - 0.25 * mask
        p = p + v
        assert np.allclose(after, p)
    assert np.allclose(fit.params, p) and 0 < np.mean([m for m, _, _ in masks]) < 1
