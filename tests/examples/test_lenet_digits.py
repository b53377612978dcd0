"""examples/lenet_digits.py does what it says."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

datasets = pytest.importorskip("sklearn.datasets")
EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "lenet_digits.py"))


def test_data() -> None:
    (images, labels), (held_images, held_labels) = EXAMPLE["data"]()
    assert images.shape == (1437, 1, 32, 32) and held_images.shape == (360, 1, 32, 32) and images.dtype == np.float32
    small = np.concatenate([held_images, images])[:, 0, ::4, ::4]
    assert np.array_equal(np.repeat(np.repeat(small, 4, 1), 4, 2), np.concatenate([held_images, images])[:, 0])
    digits = datasets.load_digits()
    pairs = lambda x, y: sorted(
        (*(8 * (a + 1)).ravel().astype(int).tolist(), int(b)) for a, b in zip(x, y, strict=True)
    )
    assert pairs(small, np.concatenate([held_labels, labels])) == pairs(digits.images / 8 - 1, digits.target)


def test_learns() -> None:
    assert EXAMPLE["main"](0, epochs=6) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits(seed: int) -> None:
    assert EXAMPLE["main"](seed) >= 0.97
