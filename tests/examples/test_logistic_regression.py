"""examples/logistic_regression.py finds scikit-learn's coefficients, and the errors of the closed form."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

linear_model = pytest.importorskip("sklearn.linear_model")
EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "logistic_regression.py"))


def test_coefficients_and_errors() -> None:
    (x, y), _ = EXAMPLE["data"]()
    w, errors = EXAMPLE["fitted"](x, y)
    known = linear_model.LogisticRegression(C=1 / EXAMPLE["PENALTY"], tol=1e-10, max_iter=1000).fit(x[:, 1:], y)
    np.testing.assert_allclose(w, [*known.intercept_, *known.coef_[0]], rtol=0, atol=1e-5)
    p = known.predict_proba(x[:, 1:])[:, 1]
    curvature = x.T @ (x * (p * (1 - p))[:, None]) + EXAMPLE["PENALTY"] * np.diag([0.0] + [1.0] * 30)
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(curvature))), rtol=1e-5)


def test_tumours() -> None:
    assert EXAMPLE["main"]() >= 0.95
