"""Percentiles, and quantiles of what is not NaN. (Quantile and median themselves: test_indexing.py.)"""

import numpy as np
import pytest

import diffkit as dk

MACHINES = ("numpy", "cpu")
A = np.random.default_rng(0).normal(size=(4, 5, 3))
SOME = np.where(np.random.default_rng(1).random(A.shape) < 0.3, np.nan, A)
SOME[:, 2, 1] = np.nan


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_they_are_numpys(axis, keepdims, machine):
    for name, x, q in (("percentile", A, 37.5), ("percentile", SOME, [0, 50, 100]), ("nanpercentile", SOME, [10.0, 90.0]),
                       ("nanquantile", A, 0.0), ("nanquantile", SOME, 1.0)):  # fmt: skip
        f = getattr(np, name)
        found = dk.vmap(lambda a: f(a, q, axis=axis, keepdims=keepdims), machine=machine)(x[None])[0]
        expected = f(x, q, axis=axis, keepdims=keepdims)
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    median = dk.vmap(lambda a: np.nanmedian(a, axis, keepdims=keepdims), machine=machine)(SOME[None])[0]
    np.testing.assert_allclose(median, np.nanmedian(SOME, axis, keepdims=keepdims), rtol=1e-13)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_derivative_goes_to_the_two_elements_beside(machine):
    x = np.array([4.0, np.nan, 1.0, 2.0, np.nan, 8.0])  # in order: 1 2 4 8, and 60 % of the way is place 1.8
    slope = dk.grad(lambda v: np.nanpercentile(v, 60), machine=machine)(x)
    np.testing.assert_allclose(slope, [0.8, 0, 0, 0.2, 0, 0], rtol=1e-14)
    np.testing.assert_allclose(
        dk.grad(lambda v: np.percentile(v, 60), machine=machine)(x[[0, 2, 3, 5]]), [0.8, 0, 0.2, 0], rtol=1e-14
    )
    assert not dk.grad(lambda v: np.nansum(np.nanmedian(v)), machine=machine)(np.full(3, np.nan)).any()


def test_numbers_are_numpys_own():
    assert dk.percentile([1.0, 2.0, 4.0], 50) == 2.0 and dk.nanmedian([1.0, np.nan]) == 1.0


def test_empty_and_unknown():
    with pytest.raises(dk.ShapeError, match=r"nanpercentile: core shape .* no elements along axis 0"):
        dk.nanpercentile(dk.symbol("x", (0, 2)), 50, axis=0)
    with pytest.raises(dk.ArgumentError, match="nanquantile: q"):
        dk.nanquantile(dk.symbol("x", 3), 1.5)
    with pytest.raises(dk.UnsupportedError, match="percentile: the argument 'method'"):
        dk.percentile(dk.symbol("x", 3), 50, method="nearest")


@pytest.mark.parametrize(
    "f", [np.median, np.nanmedian, lambda x: np.quantile(x, 0.3), lambda x: np.nanpercentile(x, 30)]
)
def test_single_precision_stays(f):
    x = np.random.default_rng(0).normal(size=(30, 9)).astype(np.float32)
    value, gradient = dk.value_and_grad(f)(x)
    assert value.dtype == gradient.dtype == f(x).dtype == np.float32
