"""Flips, shifts and noise on batches of images."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError

nn = dk.nn
IMAGES = np.random.default_rng(0).normal(size=(200, 2, 5, 6))


def generator():
    return np.random.default_rng(3)


@pytest.mark.parametrize("axis", [-1, -2])
def test_flips(axis):
    found = nn.random_flip(IMAGES, generator(), axis=axis)
    turned = np.flip(IMAGES, axis)
    as_it_was = [np.array_equal(a, b) for a, b in zip(found, IMAGES, strict=True)]
    mirrored = [np.array_equal(a, b) for a, b in zip(found, turned, strict=True)]
    assert all(a != b for a, b in zip(as_it_was, mirrored, strict=True)) and 60 < sum(mirrored) < 140
    np.testing.assert_array_equal(nn.random_flip(IMAGES, generator(), p=1, axis=axis), turned)
    np.testing.assert_array_equal(nn.random_flip(IMAGES, generator(), p=0, axis=axis), IMAGES)


@pytest.mark.parametrize("images", [IMAGES, IMAGES[:, 0]], ids=["channels", "grey"])
def test_shifts(images):
    found = nn.random_shift(images, generator(), 2, fill=9.0)
    moves = set()
    for image, moved in zip(images, found, strict=True):
        around = np.pad(image, ((0, 0),) * (image.ndim - 2) + ((2, 2), (2, 2)), constant_values=9.0)
        fits = [(i, j) for i in range(5) for j in range(5) if np.array_equal(moved, around[..., i : i + 5, j : j + 6])]
        assert len(fits) == 1
        moves.update(fits)
    assert len(moves) == 25
    np.testing.assert_array_equal(nn.random_shift(images, generator(), 0), images)
    assert nn.random_shift(images[:0], generator(), 2).shape == images[:0].shape


def test_noise():
    noise = nn.random_noise(IMAGES, generator(), 0.1) - IMAGES
    assert abs(noise.std() - 0.1) < 1e-3 and abs(noise.mean()) < 1e-2
    assert nn.random_noise(IMAGES.astype(np.float32), generator(), 0.1).dtype == np.float32


def test_validation_sees_the_images_as_they_are():
    for found in (nn.random_flip(IMAGES, None), nn.random_shift(IMAGES, None, 2), nn.random_noise(IMAGES, None, 1.0)):
        np.testing.assert_array_equal(found, IMAGES)


@pytest.mark.parametrize("closed", [False, True], ids=["data", "closure"])
def test_every_step_of_fit_sees_other_images(closed):
    images = np.abs(IMAGES[:8])
    weights = np.arange(60.0).reshape(2, 5, 6)

    def loss(params, batch, rng=None):
        x = images if closed else batch
        x = nn.random_noise(nn.random_shift(nn.random_flip(x, rng), rng, 1), rng, 0.0)
        return params * dk.sum(x * weights)

    fit = dk.optim.fit(
        loss, np.array(1.0), images, optimizer=dk.optim.SGD(1e-12), batch_size=8, epochs=5, shuffle=False,
        validation=images, progress=False,
    )  # fmt: skip
    assert len(set(np.round(fit.history["loss"], 3))) == 5
    assert fit.history["validation_loss"][0] == pytest.approx((images * weights).sum())


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (ShapeError, lambda: nn.random_flip(np.ones((3, 3)), generator()), "(N, H, W)"),
        (ArgumentError, lambda: nn.random_flip(IMAGES, generator(), axis=1), "neither -1"),
        (ArgumentError, lambda: nn.random_flip(IMAGES, generator(), p=1.5), "p=1.5"),
        (ArgumentError, lambda: nn.random_shift(IMAGES, generator(), -1), "pixels=-1"),
        (ArgumentError, lambda: nn.random_shift(IMAGES, generator(), 1.5), "pixels=1.5"),
        (ArgumentError, lambda: nn.random_noise(IMAGES, generator(), -1.0), "std=-1.0"),
        (ArgumentError, lambda: nn.random_noise(IMAGES, 3, 1.0), "default_rng"),
        (ArgumentError, lambda: dk.grad(lambda x: dk.sum(nn.random_noise(x, generator(), 1.0)))(IMAGES), "same in every call"),
    ],
)  # fmt: skip
def test_what_is_refused(error, call, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
