"""The loop: what a step does to the parameters, what is recorded, when it ends, and what it refuses."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, DataError, DivergedError, ShapeError, TracingError
from diffkit.optim.fitting.flat import Flat
from diffkit.optim.fitting.program import Loss

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3
START = {"w": np.zeros(3), "b": 0.0}


def loss(params, batch):
    x, y = batch
    return np.mean((x @ params["w"] + params["b"] - y) ** 2)


def gradient(params, x, y):
    """By hand."""
    e = x @ params["w"] + params["b"] - y
    return {"w": 2 * x.T @ e / len(e), "b": 2 * e.mean()}


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.params.values(), b.params.values(), strict=True))


# ---- steps ----------------------------------------------------------------------------------------------------------
def test_steps_are_gradient_descent_by_hand():
    params = {"w": np.zeros(3), "b": 0.0}
    losses, norms = [], []
    for _ in range(2):
        for k in range(0, 50, 16):
            x, y = X[k : k + 16], Y[k : k + 16]
            g = gradient(params, x, y)
            losses.append(float(loss(params, (x, y))))
            norms.append(math.sqrt(g["w"] @ g["w"] + g["b"] ** 2))
            params = {name: params[name] - 0.05 * g[name] for name in params}
    start = {"w": np.zeros(3), "b": 0.0}
    fit = dk.optim.fit(loss, start, (X, Y), optimizer=dk.optim.SGD(0.05), batch_size=16, epochs=2, shuffle=False)
    assert np.allclose(fit.params["w"], params["w"], rtol=1e-12) and fit.params["b"] == pytest.approx(params["b"])
    assert np.allclose(fit.history["loss"], losses, rtol=1e-12) and np.allclose(fit.history["gradient_norm"], norms)
    assert fit.history["learning_rate"].tolist() == [0.05] * 8
    weights = [16, 16, 16, 2]
    assert fit.history["epoch_loss"][0] == pytest.approx(np.dot(losses[:4], weights) / 50)
    assert (fit.steps, fit.epochs, fit.stopped) == (8, 2, "epochs") and fit.state.count == 8
    assert (np.diff(fit.history["seconds"]) > 0).all() and fit.seconds >= fit.history["seconds"][-1]
    assert not start["w"].any() and start["b"] == 0.0  # the caller's own
    assert fit.loss == fit.history["loss"][-1] and fit.best_step == 8 and same(fit, fit)


@pytest.mark.parametrize("optimizer", [dk.optim.SGD(0.1, momentum=0.9), dk.optim.Adam(0.05)], ids=["sgd", "adam"])
def test_a_step_is_the_optimizers_update(optimizer):
    params, state = START, optimizer.init(START)
    for k in range(0, 50, 16):
        params, state = optimizer.update(gradient(params, X[k : k + 16], Y[k : k + 16]), state, params)
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=optimizer, batch_size=16, epochs=1, shuffle=False)
    assert np.allclose(fit.params["w"], params["w"], rtol=1e-12)


def test_it_fits():
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.Adam(0.1), epochs=200)
    assert np.allclose(fit.params["w"], [1, -2, 0.5], atol=1e-6) and fit.params["b"] == pytest.approx(0.3, abs=1e-6)


def test_the_same_seed_gives_the_same_bits():
    run = lambda seed: dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.Adam(0.1), epochs=2, seed=seed)
    assert same(run(1), run(1)) and not same(run(1), run(2))


@pytest.mark.parametrize("pieces", [2, 3, 50, 64])
def test_accumulation_is_the_large_batch(pieces):
    """Micro-batches of unequal sizes: each gradient carries its share of the examples."""
    with_aux = lambda p, b: (loss(p, b), {"mae": np.mean(np.abs(b[0] @ p["w"] - b[1]))})
    run = lambda n: dk.optim.fit(
        with_aux, START, (X, Y), optimizer=dk.optim.Adam(0.1), batch_size=20, epochs=3, accumulate=n
    )
    whole, parts = run(1), run(pieces)
    assert np.allclose(whole.params["w"], parts.params["w"], rtol=1e-11, atol=1e-13)
    for name in ("loss", "gradient_norm", "mae", "epoch_loss"):
        assert np.allclose(whole.history[name], parts.history[name], rtol=1e-11), name


def test_clipping():
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(1.0), batch_size=50, steps=1, clip_norm=0.5)
    g = gradient(START, X, Y)
    norm = math.sqrt(g["w"] @ g["w"] + g["b"] ** 2)
    assert np.allclose(fit.params["w"], -g["w"] * 0.5 / norm) and fit.history["gradient_norm"][0] == pytest.approx(norm)
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(1.0), batch_size=50, steps=1, clip_value=0.5)
    assert np.allclose(fit.params["w"], -np.clip(g["w"], -0.5, 0.5))
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(1.0), batch_size=50, steps=1, clip_norm=1e3)
    assert np.allclose(fit.params["w"], -g["w"])


def test_norms_beyond_the_range_of_squares():
    leaves = [np.zeros(3), np.zeros((2, 2), np.float32), np.zeros(())]
    g = Flat(leaves)
    assert g.norm() == 0
    g.leaves[0][...] = [3e200, 0, 4e200]
    assert g.norm() == pytest.approx(5e200)
    g.leaves[0][...] = [3e-200, 0, 4e-200]
    assert g.norm() == pytest.approx(5e-200)
    g.leaves[1][0, 0] = np.nan
    assert math.isnan(g.norm())
    g.leaves[1][0, 0] = np.inf
    assert g.norm() == math.inf


def test_float32_and_nests():
    params = [{"w": np.ones((2, 2), np.float32)}, (np.float32(2), np.ones(3))]
    fit = dk.optim.fit(
        lambda p, b: np.sum(p[0]["w"] ** 2) + p[1][0] ** 2 * b.mean() + np.sum(p[1][1] ** 2),
        params, np.ones(4, np.float32), optimizer=dk.optim.SGD(0.1), epochs=1,
    )  # fmt: skip
    assert fit.params[0]["w"].dtype == np.float32 and np.allclose(fit.params[0]["w"], 0.8)
    assert fit.params[1][0] == pytest.approx(1.6) and fit.params[1][1].dtype == np.float64


@pytest.mark.parametrize("name", ["Newton", "BFGS", "LBFGS"])
def test_optimizers_that_evaluate_the_loss(name):
    options = {"batch_size": 50, "shuffle": False, "steps": 12}
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=getattr(dk.optim, name)(), **options)
    assert np.allclose(fit.params["w"], [1, -2, 0.5], atol=1e-4)


# ---- data -----------------------------------------------------------------------------------------------------------
def test_other_data_give_the_same_steps(tmp_path):
    chunks = [(X[k : k + 16], Y[k : k + 16]) for k in range(0, 50, 16)]
    np.save(tmp_path / "x.npy", X)
    run = lambda data, **more: dk.optim.fit(
        loss, START, data, optimizer=dk.optim.Adam(0.1), batch_size=16, shuffle=False, **more
    )
    wanted = run((X, Y), epochs=2)

    class Loader:
        def __iter__(self):
            return iter(chunks)

    for data in (chunks, Loader(), (np.load(tmp_path / "x.npy", mmap_mode="r"), Y)):
        assert same(run(data, epochs=2), wanted)
    assert same(run(lambda step: chunks[step % 4], steps=8), wanted)
    assert same(run(iter(chunks + chunks), steps=8), wanted)
    assert same(run(iter(chunks), epochs=1), run((X, Y), epochs=1))
    with pytest.raises(DataError, match="used up after one pass"):
        run(iter(chunks), steps=8)


def test_labels_are_integers_and_other_leaves_are_constants():
    table = np.eye(3)
    batch = [(np.array([0, 2, 1], np.int32), 2, 0.5)] * 3
    fit = dk.optim.fit(
        lambda p, b: b[2] * np.mean(p[b[0]] ** b[1]),
        np.array([1.0, 2.0, 3.0]),
        batch,
        optimizer=dk.optim.SGD(0.3),
        epochs=1,
    )
    assert np.allclose(fit.params, np.array([1.0, 2, 3]) * 0.9**3) and table.any()


def test_an_empty_batch_is_named():
    with pytest.raises(DataError, match="the batch of step 1 has no examples"):
        dk.optim.fit(loss, START, [(X, Y), (X[:0], Y[:0])], optimizer=dk.optim.SGD(0.1))


def test_numpys_numbers_as_options(tmp_path):
    options = {"batch_size": np.int64(8), "seed": np.int32(3), "clip_norm": np.float32(2), "accumulate": np.int64(2)}
    run = lambda **more: dk.optim.fit(
        loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), epochs=np.int64(2), **{**options, **more}
    )
    saved = run(shuffle=np.True_, checkpoint=tmp_path)
    assert (
        same(saved, run(shuffle=True)) and same(saved, run(shuffle=1)) and not same(saved, run(shuffle="replacement"))
    )


def test_other_machines_and_threads():
    """The numpy machine gives the values; a thread that is not the first cannot catch signals, and trains all the same."""
    from concurrent.futures import ThreadPoolExecutor

    run = lambda machine: dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), epochs=2, machine=machine)
    assert np.allclose(run("numpy").params["w"], run("cpu").params["w"], rtol=1e-12)
    with ThreadPoolExecutor(2) as pool:
        assert all(same(found, run("cpu")) for found in pool.map(run, ["cpu"] * 4))


# ---- aux, draws -----------------------------------------------------------------------------------------------------
def test_aux_is_recorded():
    def with_aux(p, batch):
        e = batch[0] @ p["w"] - batch[1]
        return np.mean(e**2), {"mae": np.mean(np.abs(e)), "deep": {"n": 2.0}, "errors": e, "sure": np.all(e < 1e9)}

    seen = []
    fit = dk.optim.fit(
        with_aux, START, (X, Y), optimizer=dk.optim.SGD(0.1), epochs=1, batch_size=25, shuffle=False,
        callbacks=lambda run: seen.append(run.aux["errors"].copy()),
    )  # fmt: skip
    assert fit.history["mae"][0] == pytest.approx(np.abs(Y[:25]).mean())
    assert fit.history["deep.n"].tolist() == [2, 2] and fit.history["sure"].tolist() == [1, 1]
    assert "errors" not in fit.history and np.allclose(seen[0], -Y[:25])
    scalar = dk.optim.fit(lambda p, b: (p**2, p), 2.0, np.ones(3), optimizer=dk.optim.SGD(0.1), epochs=1)
    assert scalar.history["aux"].tolist() == [2.0]


def test_draws_are_fresh_each_step_and_the_gradient_is_theirs():
    """loss = Σ p·mask: its gradient is the mask itself, and plain descent adds the masks up."""
    masks = []

    def masked(p, batch, rng):
        mask = rng.random(5) < 0.5
        noise = rng.normal(1.0, 2.0, size=(5,))
        return np.sum(dk.where(mask, p * noise, 0.0)), {"drawn": dk.where(mask, noise, 0.0)}

    run = lambda **more: dk.optim.fit(
        masked, np.zeros(5), np.ones(8), optimizer=dk.optim.SGD(1.0), batch_size=2,
        callbacks=lambda run: masks.append(run.aux["drawn"].copy()), **more,
    )  # fmt: skip
    fit = run(epochs=5)
    assert np.allclose(fit.params, -np.sum(masks, axis=0), rtol=1e-12)
    assert len({m.tobytes() for m in masks}) == 20 and 0.3 < np.mean(np.array(masks) != 0) < 0.7
    again = run(epochs=5)
    assert np.array_equal(again.params, fit.params)  # from the seed and the step
    assert not np.array_equal(run(epochs=5, seed=1).params, fit.params)


def test_a_loss_that_draws_takes_numpys_generator_and_none():
    def dropped(p, batch, rng=None):
        h = batch * p
        if rng is not None:
            h = dk.where(rng.random(batch.shape) < 0.5, h / 0.5, 0.0)
        return np.mean(h)

    assert 0 < dropped(1.0, np.ones(100), np.random.default_rng(0)) < 2
    fit = dk.optim.fit(
        dropped, 1.0, np.ones(64), optimizer=dk.optim.SGD(1e-9), epochs=2, validation=np.ones(10), batch_size=4
    )
    assert len(set(fit.history["loss"])) > 2
    assert np.allclose(fit.history["validation_loss"], 1.0)  # without draws


def test_what_draws_cannot_be():
    fit = lambda f: dk.optim.fit(f, 1.0, np.ones(4), optimizer=dk.optim.SGD(0.1), epochs=1)
    with pytest.raises(ArgumentError, match=r"rng.normal was given a traced value; draw standard numbers"):
        fit(lambda p, b, rng: rng.normal(p, 1.0))
    with pytest.raises(ArgumentError, match="rng has no 'shuffle' here"):
        fit(lambda p, b, rng: rng.shuffle(b))
    with pytest.raises(ArgumentError, match="rng has no 'bernoulli' here"):
        fit(lambda p, b, rng: rng.bernoulli(0.5))


def test_integer_draws_choose_rows():
    chosen = []
    fit = dk.optim.fit(
        lambda p, b, rng: (np.sum(p[rng.integers(0, 4, size=2)]), {}), np.zeros(4), np.ones(30), batch_size=1,
        optimizer=dk.optim.SGD(1.0), epochs=1, callbacks=lambda run: chosen.append(run.params.copy()),
    )  # fmt: skip
    assert fit.params.sum() == -60 and (np.diff(np.array(chosen), axis=0).sum(axis=1) == -2).all()


# ---- the result of the loss -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("function", "error", "told"),
    [
        (lambda p, b: b * p, ShapeError, "needs a scalar result"),
        (lambda p, b: (p, 1, 2), ArgumentError, "a tuple of 3; it returns a scalar, or a pair"),
        (lambda p, b: {"loss": p}, ArgumentError, "a nest in the place of the loss"),
        (lambda p, b: (p, {"loss": p}), ArgumentError, "aux has an entry 'loss'"),
        (lambda p, b: p if p > 0 else -p, TracingError, "if"),
    ],
)
def test_bad_losses(function, error, told):
    with pytest.raises(error, match=told):
        dk.optim.fit(function, 1.0, np.ones(4), optimizer=dk.optim.SGD(0.1), epochs=1)


def test_a_gradient_has_no_part_in_aux():
    """Only the loss is differentiated, whatever comes with it."""
    fit = dk.optim.fit(
        lambda p, b: (p**2, {"cube": p**3, "count": np.sum(b > 0)}),
        1.0,
        np.ones(4),
        optimizer=dk.optim.SGD(0.1),
        steps=1,
    )
    assert fit.params == pytest.approx(0.8) and fit.history["count"][0] == 4


def test_programs_by_shape():
    params = {"w": np.ones(3)}
    gradients = Flat([params["w"]])
    program = Loss(lambda p, b: np.mean(b @ p["w"]), params, "cpu", gradients)
    for n in (4, 7, 4, 1):
        value, aux = program(np.ones((n, 3)))
        assert (value, aux) == (3.0, None) and np.allclose(gradients.leaves[0], 1.0)
    assert len(program._made) == 3


# ---- when it goes wrong ---------------------------------------------------------------------------------------------
def test_nan_in_the_data_stops_before_the_update():
    y = Y.copy()
    y[37] = np.nan
    with pytest.raises(
        DivergedError,
        match=r"step 2 \(epoch 0\): the loss is nan, and data\[1\] has a NaN in example 37\. .*Leave such examples out",
    ) as e:
        dk.optim.fit(loss, START, (X, y), optimizer=dk.optim.SGD(0.1), batch_size=16, shuffle=False)
    good = dk.optim.fit(loss, START, (X, y), optimizer=dk.optim.SGD(0.1), batch_size=16, shuffle=False, steps=1)
    assert same(e.value.fit, good) and e.value.fit.steps == 1 and len(e.value.fit.history["loss"]) == 2
    assert (e.value.step, e.value.epoch, e.value.parameter) == (2, 0, "params.b")
    assert isinstance(e.value, dk.DiffkitError) and e.value.fit.stopped == "diverged"


def test_the_parameter_whose_gradient_is_not_finite_is_named():
    with pytest.raises(DivergedError, match=r"the gradient of params.scale\[1\] is not finite") as e:
        dk.optim.fit(
            lambda p, b: np.sum(p["a"] ** 2) + np.sqrt(p["scale"][1]) + p["scale"][0], {"a": np.ones(3), "scale": [1.0, 0.0]},
            np.ones(4), optimizer=dk.optim.SGD(0.1),
        )  # fmt: skip
    assert e.value.parameter == "params.scale[1]" and e.value.fit.params["scale"][1] == 0


def test_divergence_keeps_the_last_good_state():
    with pytest.raises(DivergedError) as e, warnings.catch_warnings():
        warnings.simplefilter("error")
        dk.optim.fit(lambda p, b: np.sum(p**4), np.ones(3), np.ones(4), optimizer=dk.optim.SGD(10.0), epochs=99)
    fit = e.value.fit
    assert e.value.step == fit.steps + 1 == len(fit.history["loss"]) > 1 and math.isfinite(fit.loss)
    assert np.sum(fit.params**4) == pytest.approx(fit.loss)


def test_parameters_that_overflow_in_the_update():
    """The gradient is finite, and so is the loss; the step is not: the state from before is gone, one kept earlier is told."""
    with pytest.raises(DivergedError, match=r"the value of params is not finite\. The state after 0 steps is in") as e:
        dk.optim.fit(lambda p, b: np.sum(p * 1e10), np.zeros(2), np.ones(4), optimizer=dk.optim.SGD(1e300), epochs=99)
    assert e.value.parameter == "params" and not e.value.fit.params.any() and e.value.fit.steps == 0


def test_large_but_finite_gradients_are_no_error():
    fit = dk.optim.fit(lambda p, b: np.sum(p * 1e200), np.zeros(2), np.ones(4), optimizer=dk.optim.SGD(1e-200), steps=3)
    assert np.allclose(fit.params, -3) and np.isfinite(fit.history["gradient_norm"]).all()


# ---- validation, stopping, callbacks --------------------------------------------------------------------------------
def test_validation_is_weighted_by_examples():
    fit = dk.optim.fit(
        loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), batch_size=16, epochs=3, validation=(X[:20], Y[:20]),
        metrics={"mae": lambda p, b: np.mean(np.abs(b[0] @ p["w"] + p["b"] - b[1]))},
    )  # fmt: skip
    assert fit.history["validation_step"].tolist() == [4, 8, 12]
    assert fit.history["validation_loss"][-1] == pytest.approx(loss(fit.params, (X[:20], Y[:20])))
    mae = np.abs(X[:20] @ fit.params["w"] + fit.params["b"] - Y[:20]).mean()
    assert fit.history["validation_mae"][-1] == pytest.approx(mae)
    assert fit.best_step == 4 * (1 + int(np.argmin(fit.history["validation_loss"])))


def test_validation_by_a_function_and_by_steps():
    fit = dk.optim.fit(
        loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), batch_size=16, steps=6, validate_every=2,
        validation=lambda p: {"loss": loss(p, (X, Y)), "size": np.sum(p["w"] ** 2)},
    )  # fmt: skip
    assert fit.history["validation_step"].tolist() == [2, 4, 6] and len(fit.history["validation_size"]) == 3
    number = dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), steps=3, validation=lambda p: p["b"])
    assert number.history["validation_loss"].shape == (2,)  # after the epoch of two steps, and at the end
    with pytest.raises(ArgumentError, match="has no 'loss'"):
        dk.optim.fit(
            loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), validation=lambda p: {"mae": 1.0}, early_stopping=3
        )
    with pytest.raises(ArgumentError, match="metrics= is for validation data"):
        dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), validation=loss, metrics={"mae": loss})


def test_early_stopping_gives_the_best_back():
    """The parameter walks 0, 1, 2, … and the validation loss is lowest at 3."""
    run = lambda **more: dk.optim.fit(
        lambda p, b: -p,
        0.0,
        np.ones(4),
        optimizer=dk.optim.SGD(1.0),
        epochs=50,
        validation=lambda p: (p - 3.0) ** 2,
        **more,
    )
    fit = run(early_stopping=4)
    assert (fit.stopped, fit.epochs, fit.best_step, fit.params, fit.best_params) == ("early stopping", 7, 3, 3, 3)
    fit = run(early_stopping=dk.optim.EarlyStopping(patience=2, restore_best=False))
    assert (fit.epochs, fit.params, fit.best_params) == (5, 5, 3)
    fit = dk.optim.fit(
        lambda p, b: -p, 0.0, np.ones(4), optimizer=dk.optim.SGD(1.0), validation=lambda p: -((p - 3.0) ** 2),
        early_stopping=dk.optim.EarlyStopping(patience=2, mode="max"),
    )  # fmt: skip
    assert fit.best_step == 3 and fit.stopped == "early stopping"
    assert run().params == 50 and run().best_params == 3


@pytest.mark.parametrize("validation", [None, lambda p: 1.0], ids=["training loss", "validation loss"])
def test_a_plateau_lowers_the_rate(validation):
    plateau = dk.optim.schedules.plateau(0.1, factor=0.5, patience=1)
    fit = dk.optim.fit(
        lambda p, b: 0.0 * p + 1.0,
        0.0,
        np.ones(4),
        optimizer=dk.optim.SGD(plateau),
        epochs=6,
        batch_size=2,
        validation=validation,
    )
    assert fit.history["learning_rate"].tolist() == [0.1] * 6 + [0.05] * 4 + [0.025] * 2


def test_schedules_are_asked_step_by_step():
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(lambda k: 0.1 / (k + 1)), steps=5)
    assert np.allclose(fit.history["learning_rate"], 0.1 / np.arange(1, 6))


def test_callbacks():
    told = []

    class Both:
        def on_step(self, run):
            told.append(("step", run.step, run.loss))

        def on_epoch(self, run):
            told.append(("epoch", run.epoch, run.validated["loss"]))

    stop = lambda run: np.int64(run.step) == 7
    fit = dk.optim.fit(
        loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), batch_size=16, callbacks=[Both(), stop], validation=(X, Y)
    )
    assert (fit.stopped, fit.steps, fit.epochs) == ("callback", 7, 1)
    assert [t[:2] for t in told] == [
        *(("step", k) for k in range(1, 5)),
        ("epoch", 1),
        *(("step", k) for k in (5, 6, 7)),
    ]
    assert [t[2] for t in told if t[0] == "step"] == fit.history["loss"].tolist()


@pytest.mark.parametrize(
    ("shown", "terminal", "lines"), [(None, False, False), (False, True, False), (True, False, True)]
)
def test_progress(capsys, monkeypatch, shown, terminal, lines):
    from diffkit.optim.fitting import progress

    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), steps=3, progress=shown)
    said = capsys.readouterr()
    assert not said.out and ("step 3 of 3  epoch 2  loss" in said.err) == lines and bool(said.err) == lines


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    from diffkit.optim.fitting import progress

    monkeypatch.setattr(progress, "BAR_SECONDS", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), steps=3)
    assert "3/3" in capsys.readouterr().err


def test_the_result_is_printed_and_written(tmp_path):
    fit = dk.optim.fit(loss, START, (X, Y), optimizer=dk.optim.SGD(0.1), epochs=2, validation=(X, Y))
    assert repr(fit).startswith("Fit: stopped by epochs after 4 steps (2 epochs, ") and "validation loss" in repr(fit)
    read = json.loads(fit.to_json(tmp_path / "fit.json"))
    assert (
        read == json.loads((tmp_path / "fit.json").read_text())
        and read["history"]["loss"] == fit.history["loss"].tolist()
    )
    assert [p.name for p in tmp_path.iterdir()] == ["fit.json"]


def test_a_run_within_a_trace_is_refused():
    def outer(x):
        return dk.optim.fit(lambda p, b: p * x, 1.0, np.ones(2), optimizer=dk.optim.SGD(0.1), epochs=1).params

    with pytest.raises(TracingError, match="fit runs on numbers"):
        dk.grad(outer)(2.0)
