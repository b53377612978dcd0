"""examples/gaussian_mixture.py computes ADBench's numbers, and finds the mixture that expectation maximisation finds."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wishart

import diffkit as dk

mixture = pytest.importorskip("sklearn.mixture")
EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "gaussian_mixture.py"))


def test_values_of_adbench() -> None:
    """Published: 8.0738 with the prior taken away, −20.0674 with it added."""
    folder = os.environ.get("DIFFKIT_TEST_DATA")
    if not folder:
        pytest.skip("DIFFKIT_TEST_DATA is not set")
    numbers = Path(folder, "adbench", "gmm", "test_d2_K3_n1.txt").read_text().split()
    d, k, n = map(int, numbers[:3])
    alpha, means, icf, x, (gamma, m) = np.split(np.array(numbers[3:], float), np.cumsum([k, k * d, 3 * k, n * d]))
    icf = icf.reshape(k, 3)
    p = {"alpha": alpha, "means": means.reshape(k, d), "q": icf[:, :d], "l": icf[:, d:]}
    likelihood, prior = EXAMPLE["log_likelihood"](p, x.reshape(n, d)), EXAMPLE["log_prior"](p, gamma, m)
    np.testing.assert_allclose(
        [likelihood - prior, likelihood + prior], [8.07380408004976, -20.067360546658307], rtol=1e-13
    )


def test_prior_is_wishart() -> None:
    """Of each inverse covariance QᵀQ, with d + m + 1 degrees of freedom and the scale 1/γ²."""
    rng, d, m, gamma = np.random.default_rng(0), 3, 2, 0.7
    p = {"means": np.zeros((2, d)), "q": rng.normal(size=(2, d)), "l": rng.normal(size=(2, 3))}
    known = 0.0
    for q, below in zip(p["q"], p["l"], strict=True):
        Q = np.diag(np.exp(q))
        Q[[1, 2, 2], [0, 0, 1]] = below
        known += wishart.logpdf(Q.T @ Q, d + m + 1, np.eye(d) / gamma**2)
    np.testing.assert_allclose(EXAMPLE["log_prior"](p, gamma, m), known, rtol=1e-12)


def test_iris_against_expectation_maximisation() -> None:
    x = EXAMPLE["load_iris"]().data
    begin = EXAMPLE["start"](x, np.random.default_rng(0))
    known = mixture.GaussianMixture(
        3,
        tol=1e-13,
        max_iter=20_000,
        reg_covar=0,
        weights_init=np.full(3, 1 / 3),
        means_init=begin["means"],
        precisions_init=np.tile(np.diag(1 / x.var(0)), (3, 1, 1)),
    ).fit(x)
    found = dk.optim.minimize(EXAMPLE["loss"], begin, args=(x,))
    assert found.success
    np.testing.assert_allclose(EXAMPLE["log_likelihood"](found.x, x), known.score(x) * len(x), rtol=1e-6)
    np.testing.assert_allclose(dk.softmax(found.x["alpha"]), known.weights_, atol=1e-3)
    np.testing.assert_allclose(found.x["means"], known.means_, atol=1e-3)


def test_main(capsys) -> None:
    assert abs(EXAMPLE["main"]() - -180.1855) < 1e-3
    assert "[50  0  0] of setosa" in capsys.readouterr().out
