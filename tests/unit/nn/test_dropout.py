"""Dropout: what is kept, expected values, test time, generators."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError

nn = dk.nn
X = np.random.default_rng(0).normal(size=(400, 500)) + 2


@pytest.mark.parametrize("flavor", ["inverted", "plain"])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_the_mean_in_training_is_the_value_in_test(p, flavor):
    rng = np.random.default_rng(1)
    y = nn.dropout(X, p, rng, training=True, flavor=flavor)
    dropped = (y == 0).mean()
    assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / X.size) + 1e-12
    kept = y[y != 0]
    np.testing.assert_allclose(kept, X[y != 0] / (1 - p if flavor == "inverted" else 1), rtol=1e-15)
    test = nn.dropout(X, p, training=False, flavor=flavor)
    np.testing.assert_allclose(test, X if flavor == "inverted" else X * (1 - p), rtol=1e-15)
    assert abs(y.mean() / test.mean() - 1) < 0.02


def test_expected_values_are_exact_over_all_masks():
    x, p = np.array([1.0, -2.0, 3.0]), 0.3
    for flavor in ("inverted", "plain"):
        mean = 0.0
        for bits in np.ndindex(2, 2, 2):
            chance = np.prod([1 - p if b else p for b in bits])
            mean = mean + chance * nn.dropout(x, p, training=True, flavor=flavor, mask=np.array(bits))
        np.testing.assert_allclose(mean, nn.dropout(x, p, training=False, flavor=flavor), rtol=1e-14)


def test_seeds_and_masks():
    first, again = (nn.dropout(X, 0.5, np.random.default_rng(7), training=True) for _ in range(2))
    assert np.array_equal(first, again)
    mask = np.random.default_rng(7).random(X.shape) >= 0.5
    assert np.array_equal(nn.dropout(X, 0.5, training=True, mask=mask), first)
    images = np.ones((2, 3, 4, 4))
    channels = nn.dropout(images, 0.5, training=True, mask=np.array([[1, 0, 1], [0, 1, 1]])[:, :, None, None])
    assert np.array_equal(channels[:, :, 0, 0], [[2, 0, 2], [0, 2, 2]])
    assert not nn.dropout(X, 1.0, np.random.default_rng(0), training=True).any()


def test_float32_stays_and_nan_is_seen():
    y = nn.dropout(X.astype(np.float32), 0.3, np.random.default_rng(0), training=True)
    assert y.dtype == np.float32
    for mask in (np.ones(500), np.ones((400, 1), int), np.ones((), bool)):
        x = X.astype(np.float32)
        assert nn.dropout(x, 0.3, training=True, mask=mask).dtype == np.float32
        slope = dk.grad(lambda x, m: dk.sum(nn.dropout(x, 0.5, training=True, mask=m)), machine="numpy")(x, mask)
        assert slope.dtype == np.float32 and (slope == 2).all()
    mask = np.array([True, False])
    assert np.isnan(nn.dropout(np.array([1.0, np.nan]), 0.5, training=True, mask=mask)[1])


def test_every_step_of_fit_has_its_own_mask():
    seen = []

    def loss(params, batch, rng=None):
        y = nn.dropout(batch * params, 0.5, rng, training=rng is not None)
        return dk.sum(y), {"kept": dk.sum(y)}

    def note(run):
        seen.append(float(run.aux["kept"]) / float(params_before[-1]))
        params_before.append(run.params.item())

    params_before = [1.0]
    fit = dk.optim.fit(
        loss, np.array(1.0), np.arange(1.0, 33.0), optimizer=dk.optim.SGD(1e-9), batch_size=32, epochs=6,
        validation=np.arange(1.0, 33.0), callbacks=[note], progress=False,
    )  # fmt: skip
    assert len({round(s) for s in seen}) > 3  # sums of different halves
    assert fit.history["validation_loss"][-1] == pytest.approx(33 * 16, rel=1e-4)  # nothing dropped there


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.dropout(X, 1.5, training=True), "p=1.5"),
        (lambda: nn.dropout(X, "half", training=True), "p='half'"),
        (lambda: nn.dropout(X, 0.5, training=True), "needs rng, or a mask"),
        (lambda: nn.dropout(X, 0.5, 0, training=True), "default_rng"),
        (lambda: nn.dropout(X, 0.5, np.random, training=True), "np.random.default_rng(0), not a module"),
        (lambda: nn.dropout(X, 0.5, np.random.RandomState(0), training=True), "not a RandomState"),
        (lambda: nn.dropout(X, 0.5, np.random.default_rng(0), training="no"), "training='no'; it is True"),
        (lambda: nn.dropout(X, 0.5, training=True, flavor="L2"), "'plain'"),
        (lambda: nn.dropout(X, 0.5, training=True, mask=np.full(500, 0.3)), "True or 1"),
        (
            lambda: dk.grad(lambda x: dk.sum(nn.dropout(x, 0.5, np.random.default_rng(0), training=True)))(X),
            "the same in every call",
        ),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("shape", [(400, 2), (1, 400, 500)])
def test_a_mask_has_to_broadcast_to_the_shape(shape):
    with pytest.raises(ShapeError, match="does not broadcast to x"):
        nn.dropout(X, 0.5, training=True, mask=np.ones(shape, bool))
