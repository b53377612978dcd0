"""Arrays of a nest side by side."""

import math
from itertools import product

import numpy as np
import pytest

from diffkit.optim.fitting.flat import Flat

RANDOM = np.random.default_rng(5)


def flat(*arrays: np.ndarray) -> Flat:
    made = Flat(list(arrays))
    for own, array in zip(made.leaves, arrays, strict=True):
        own[...] = array
    return made


@pytest.mark.parametrize(("size", "dtype"), list(product((1, 7, 4096, 10_001, 100_000), ("float32", "float64"))))
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_norm(size: int, dtype: str, scale: float) -> None:
    """Also where the squares leave the range of the numbers."""
    a, b = (RANDOM.normal(size=size) * scale).astype(dtype), RANDOM.normal(size=3) * scale
    expected = scale * math.sqrt(float(np.sum((a.astype("float64") / scale) ** 2) + np.sum((b / scale) ** 2)))
    found = flat(a, b).norm()
    assert found == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 5000, 9999])
@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_norm_of_what_is_not_finite(bad: float, at: int, scale: float) -> None:
    a = RANDOM.normal(size=10_000).astype("float32") * np.float32(scale)
    a[at] = bad
    assert not math.isfinite(flat(a, np.ones(3)).norm())


def test_norm_of_nothing() -> None:
    assert flat(np.zeros(0), np.zeros((0, 3), "float32")).norm() == flat(np.zeros(9)).norm() == 0.0


def test_leaves_are_views() -> None:
    made = flat(np.ones((2, 3)), np.ones(3, "float32"), np.full(1, 2.0))
    assert {d: a.size for d, a in made.whole.items()} == {"float64": 64, "float32": 64}
    assert all(np.shares_memory(leaf, made.whole[leaf.dtype.name]) for leaf in made.leaves)
    assert made.norm() == pytest.approx(math.sqrt(6 + 3 + 4))
