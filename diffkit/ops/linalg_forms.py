"""Matrix functions written out in scalars, for SymPy and for balls: without a division where there is none by nature.

They take object arrays (lane, *core) and the namespace `s` of the algebra. A determinant is expanded by its minors, each of
which is made once; written as a tree it still has n! terms, so there is a largest size.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from ..errors import ExceededError, UnsupportedError

#: rows of the largest matrix whose determinant is written out
LARGEST = 8


def _each(function, core, *arrays):
    """`function` of every matrix of stacks that broadcast; the lane axis stays in front."""
    rank = max(a.ndim for a in arrays)
    stacks = [a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:]) for a in arrays]
    batch = np.broadcast_shapes(*(a.shape[:-2] for a in stacks))
    stacks = [np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in stacks]
    out = np.empty((*batch, *core), dtype=object)
    for position in np.ndindex(batch):
        out[position] = function(*(a[position] for a in stacks))
    return out


def _determinant(s, m):
    """Laplace's expansion by the rows from the last up: minors of the last rows by their columns."""
    n = len(m)
    if n > LARGEST:
        raise ExceededError(f"a determinant of {n} rows has {n}! terms: written out are those of up to {LARGEST} rows")
    minors: dict[tuple[int, ...], Any] = {(): s.number(1.0)}
    for row in reversed(range(n)):
        found = {}
        for columns in combinations(range(n), n - row):
            terms = [m[row, c] * minors[columns[:k] + columns[k + 1 :]] for k, c in enumerate(columns)]
            total = terms[0]
            for k, term in enumerate(terms[1:], 1):
                total = total - term if k % 2 else total + term
            found[columns] = total
        minors = found
    return minors[tuple(range(n))]


def _cofactors(s, m):
    found = np.empty(m.shape, dtype=object)
    for i, j in np.ndindex(m.shape):
        minor = _determinant(s, np.delete(np.delete(m, i, 0), j, 1))
        found[i, j] = -minor if (i + j) % 2 else minor
    return found


def determinants(s, x):
    return _each(lambda m: _determinant(s, m), (), x)


def cofactors(s, x):
    return _each(lambda m: _cofactors(s, m), x.shape[-2:], x)


def inverse(s, x):
    return _each(lambda m: _cofactors(s, m).T / _determinant(s, m), x.shape[-2:], x)


def solution(s, x, y):
    return _each(lambda m, b: np.dot(_cofactors(s, m).T, b) / _determinant(s, m), y.shape[-2:], x, y)


def signs_and_logarithms(s, x):
    def both(m):
        found = _determinant(s, m)
        return s.sign(found, 0.0), s.log(found * found) * s.number(0.5)

    return _each(both, (2,), x)


def triangular_solution(s, x, y, lower, unit_diagonal):
    """By substitution."""

    def solved(t, b):
        n, found = len(t), np.array(b, dtype=object)
        for i in range(n) if lower else reversed(range(n)):
            for k in range(i) if lower else range(i + 1, n):
                found[i] = found[i] - found[k] * t[i, k]  # (an array on the left: its elements are multiplied)
            found[i] = found[i] if unit_diagonal else found[i] / t[i, i]
        return found

    return _each(solved, y.shape[-2:], x, y)


def cholesky(s, x):
    def factor(m):
        m, n = (m + m.T) * s.number(0.5), len(m)
        found = np.full((n, n), s.number(0.0), dtype=object)
        for j in range(n):
            for i in range(j, n):
                rest = m[i, j]
                for k in range(j):
                    rest = rest - found[i, k] * found[j, k]
                found[i, j] = s.sqrt(rest) if i == j else rest / found[j, j]
        return found

    return _each(factor, x.shape[-2:], x)


def none(name, reason):
    """For an operation that cannot be written out: the form that says so."""

    def refused(s, *args, **params):
        raise UnsupportedError(f"the operation {name!r} cannot be written out in scalars: {reason}")

    return refused
