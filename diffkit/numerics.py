"""Floating-point facts used everywhere: unit roundoff, ulps, relative errors. NumPy alone."""

from __future__ import annotations

import numpy as np

#: u, half the distance from 1 to the next double (Higham, *Accuracy and Stability*, 2.1)
UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}

#: smallest positive subnormal
TINIEST = {"float64": 5e-324, "float32": float(np.finfo(np.float32).smallest_subnormal)}


def unit_roundoff(dtype: str) -> float:
    return UNIT_ROUNDOFF["float32" if str(dtype) == "float32" else "float64"]


def tiniest(dtype: str) -> float:
    return TINIEST["float32" if str(dtype) == "float32" else "float64"]


def ulp(x: np.ndarray, dtype: str = "float64") -> np.ndarray:
    """Spacing of doubles (or floats) at |x|; at 0 and subnormals the smallest subnormal; inf at inf and NaN."""
    x = np.abs(np.asarray(x, dtype=dtype))
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(x), np.spacing(np.where(np.isfinite(x), x, 1)), np.inf)


def ulp_error(computed: np.ndarray, error: np.ndarray, truth: np.ndarray, dtype: str = "float64") -> np.ndarray:
    """|error| in ulps of the truth. Zero error is 0 ulp; a non-finite answer where the truth is finite is inf.

    `error` is computed - truth, taken in higher precision by the caller (a difference of two doubles close
    together is exact, but the truth itself was rounded to a double).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        ulps = np.abs(error) / ulp(truth, dtype)
    return np.where(np.isfinite(computed), ulps, np.inf)


def relative_error(error: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """|error| / |truth|; where the truth is 0, 0 for no error and inf for any."""
    error, truth = np.abs(np.asarray(error, float)), np.abs(np.asarray(truth, float))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = error / truth
    return np.where(error == 0, 0.0, ratio)
