"""Linear algebra: singular values and vectors of stacks of matrices with at least as many rows as columns.

Rules: J. Townsend, "Differentiating the singular value decomposition" (2016); M. Giles, "Collected matrix derivative results for
forward and reverse mode algorithmic differentiation" (2008) for the values. With A = U·S·Vᵀ and P = Uᵀ Ȧ V: Ṡ is the diagonal of P,
the vectors turn by angles over s_j² − s_i² = (s_j − s_i)(s_j + s_i). Error bounds are these rules with a backward error of A.
"""

from __future__ import annotations

import numpy as np

from . import linalg_forms as forms
from .matrices import (
    ALL,
    as_row,
    finite_alone,
    kept,
    lapack,
    many,
    matrices,
    part,
    span,
    spelled,
    transposed,
    turned,
)
from .op import define


def _tall(x):
    if matrices(x)[-2] < x[-1]:
        raise ValueError("at least as many rows as columns are needed")
    return x


def _svd_stack(x):
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([s[..., None, :], u, turned(vh)], axis=-2)


@lapack
def _svd_numpy(x):
    m, n = x.shape[-2:]
    return finite_alone(_svd_stack, (1 + m + n, n), x)


def _parts(o, packed, x):
    """Values as a row, U, V."""
    m = x.shape[-2]
    return (part(o, packed, rows, ALL) for rows in (span(0, 1), span(1, m + 1), span(m + 1, None)))


def _over_gaps(o, x, values):
    """x_ij / (s_j² − s_i²), and 0 on the diagonal."""
    column, diagonal = transposed(o, values), np.eye(x.shape[-1], dtype=bool)
    gaps = (values - column) * (values + column)
    return o.where(diagonal, 0, x / o.where(diagonal, 1, gaps))


def _svd_jvp(o, tangents, out, x):
    s, u, v = _parts(o, out, x)
    moved = o.matmul(tangents[0], v)
    seen = o.matmul(transposed(o, u), moved)
    back = transposed(o, seen)
    values = o.sum(kept(o, seen, np.eye(x.shape[-1], dtype=bool)), axes=(-2,), keepdims=True)
    column = transposed(o, s)
    left = o.matmul(u, _over_gaps(o, seen * s + column * back, s))
    if x.shape[-2] > x.shape[-1]:
        left = left + (moved - o.matmul(u, seen)) / s
    return o.concatenate(values, left, o.matmul(v, _over_gaps(o, column * seen + back * s, s)), axis=-2)


def _svd_vjp(o, adjoint, out, x):
    (s, u, v), (to_s, to_u, to_v) = _parts(o, out, x), _parts(o, adjoint, x)
    seen, other = o.matmul(transposed(o, u), to_u), o.matmul(transposed(o, v), to_v)
    middle = kept(o, o.broadcast_to(to_s, shape=seen.shape), np.eye(x.shape[-1], dtype=bool))
    middle = middle + _over_gaps(o, seen - transposed(o, seen), s) * s
    middle = middle + transposed(o, s) * _over_gaps(o, other - transposed(o, other), s)
    whole = o.matmul(u, middle)
    if x.shape[-2] > x.shape[-1]:
        whole = whole + (to_u - o.matmul(u, seen)) / s
    return (o.matmul(whole, transposed(o, v)),)


def _norm(x):
    return many(x.shape[-2]) * np.sqrt(np.sum(np.square(x), axis=(-2, -1), keepdims=True))


def _svd_magnitude(out, x):
    """‖A‖ for values; for element i of vector j the root of Σ_k (u_ik ‖A‖/(s_j − s_k))², and for U what is outside it, over s_j."""
    m, n = x.shape[-2:]
    s, u, v, size = out[..., :1, :], out[..., 1 : m + 1, :], out[..., m + 1 :, :], _norm(x)
    gaps = 1 / np.square(np.where(np.eye(n, dtype=bool), np.inf, turned(s) - s))
    left, right = np.matmul(np.square(u), gaps), np.matmul(np.square(v), gaps)
    if m > n:
        left = left + np.maximum(1 - np.sum(np.square(u), axis=-1, keepdims=True), 0) / np.square(s)
    vectors = [np.abs(w) + size * np.sqrt(turns) for w, turns in ((u, left), (v, right))]
    return np.concatenate([np.broadcast_to(size, s.shape), *vectors], axis=-2)


_ROOTS = "singular values are roots of a polynomial, for which there is no formula in general"

define(
    "svd", 1, "singular values in descending order in the first row, below them U, and V", _svd_numpy, family="structured",
    cost="matmul", shape=lambda x: (*_tall(x)[:-2], 1 + x[-2] + x[-1], x[-1]),
    jvp=_svd_jvp, vjp=_svd_vjp, magnitude=_svd_magnitude, sympy=forms.none("svd", _ROOTS),
    convention="singular vectors of equal singular values have no derivative (NaN or infinite)",
    spelling=spelled(
        "(lambda u, s, v: {m}.concatenate([s[..., None, :], u, v.swapaxes(-1, -2)], -2))"
        "(*{m}.linalg.svd({0}, full_matrices=False))"
    ),
)


@lapack
def _svdvals_numpy(x):
    return finite_alone(lambda a: np.linalg.svd(a, compute_uv=False), x.shape[-1:], x)


def _vectors(o, x):
    _, u, v = _parts(o, o.svd(x), x)
    return u, v


def _svdvals_jvp(o, tangents, out, x):
    u, v = _vectors(o, x)
    return o.sum(u * o.matmul(tangents[0], v), axes=(-2,), keepdims=False)


def _svdvals_vjp(o, adjoint, out, x):
    u, v = _vectors(o, x)
    return (o.matmul(u * as_row(o, adjoint), transposed(o, v)),)


define(
    "svdvals", 1, "singular values in descending order", _svdvals_numpy, family="structured", cost="matmul",
    shape=lambda x: (*_tall(x)[:-2], x[-1]),
    jvp=_svdvals_jvp, vjp=_svdvals_vjp, sympy=forms.none("svdvals (of svd)", _ROOTS),
    magnitude=lambda out, x: np.broadcast_to(_norm(x)[..., 0], out.shape),
    convention="equal singular values, and zeros, take the vectors that LAPACK finds",
    spelling=spelled("{m}.linalg.svdvals({0})"),
)
