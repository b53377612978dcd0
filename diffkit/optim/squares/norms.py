"""Lengths of vectors whose squares may leave the range of doubles."""

from __future__ import annotations

import math

import numpy as np

#: sizes whose squares, and sums of these, are numbers with all their digits
_LEAST, _MOST = 1e-140, 1e140


def length(v: np.ndarray) -> float:
    """√Σv², of a vector (n,); infinite or NaN where an element is."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        plain = float(np.linalg.norm(v))
    if _LEAST < plain < _MOST:
        return plain
    largest = float(np.max(np.abs(v), initial=0.0))
    return largest * float(np.linalg.norm(v / largest)) if 0 < largest < math.inf else largest


def lengths(matrix: np.ndarray) -> np.ndarray:
    """`length` of every column of (m, n), as (n,)."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        plain = np.sqrt(np.einsum("ij,ij->j", matrix, matrix))
    if ((plain > _LEAST) & (plain < _MOST)).all():
        return plain
    return np.array([length(column) for column in matrix.T])


def unit_of(v: np.ndarray) -> float:
    """1, or where squares of a vector's elements would underflow the power of 2 next to its largest."""
    largest = float(np.max(np.abs(v), initial=0.0))
    return 2.0 ** math.frexp(largest)[1] if 0 < largest < _LEAST else 1.0
