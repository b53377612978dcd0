"""Linear algebra: Cholesky factors, eigenvalues of symmetric matrices, QR factors, pseudo-inverses, of stacks of matrices.

A matrix that LAPACK refuses has NaN as its result, and the others of the stack have theirs. Rules: I. Murray,
"Differentiation of the Cholesky decomposition" (2016); M. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008) for eigenvalues; S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra
functions with application in optimum experimental design" (2010) for QR; G. Golub and V. Pereyra, "The differentiation of
pseudo-inverses and nonlinear least squares problems whose variables separate" (1973). Error bounds as in linalg.py (Higham,
chapters 10, 19).

Operations on symmetric matrices take (A + Aᵀ)/2 for A, in the value as in the derivative, so the derivative by an entry above
the diagonal is that by its mirror image.
"""

from __future__ import annotations

import numpy as np

from . import linalg_forms as forms
from .linalg import solve_triangular_numpy
from .matrices import (
    ALL,
    as_column,
    as_row,
    finite_alone,
    kept,
    lapack,
    many,
    matrices,
    mean_with_transpose,
    part,
    refused_alone,
    span,
    spelled,
    square,
    symmetric,
    transposed,
    turned,
)
from .op import define


# ---- Cholesky ---------------------------------------------------------------------------------------------------
@lapack
def _cholesky_numpy(x):
    return refused_alone(np.linalg.cholesky, x.shape[-2:], symmetric(x))


def _half(o, x):
    """The lower triangle with half the diagonal."""
    n = x.shape[-1]
    return o.where(np.eye(n, dtype=bool), x * 0.5, kept(o, x, np.tri(n, k=-1, dtype=bool)))


def _cholesky_jvp(o, tangents, out, x):
    """L·Φ(L⁻¹ Ȧ L⁻ᵀ), Φ the lower triangle with half the diagonal (Murray, eq. 8)."""
    half = o.solve_triangular(out, mean_with_transpose(o, tangents[0]), lower=True)
    whole = o.solve_triangular(out, transposed(o, half), lower=True)
    return o.matmul(out, _half(o, whole))


def _cholesky_vjp(o, adjoint, out, x):
    """L⁻ᵀ Φ(Lᵀ L̄) L⁻¹, its mean with its transpose (Murray, eq. 10)."""
    upper = transposed(o, out)
    middle = _half(o, o.matmul(upper, kept(o, adjoint, np.tri(x.shape[-1], dtype=bool))))
    half = o.solve_triangular(upper, middle)
    return (mean_with_transpose(o, o.solve_triangular(upper, transposed(o, half))),)


def _cholesky_magnitude(out, x):
    """|L|·Φ(|L⁻¹||Δ||L⁻ᵀ|) with |Δ| ≤ (n + 1)·u·|L||Lᵀ|."""
    n, size = x.shape[-1], np.abs(out)
    inverse = solve_triangular_numpy(out, np.eye(n, dtype=out.dtype)[None], lower=True, unit_diagonal=False)
    middle = np.matmul(np.abs(inverse), size)
    return size + many(n + 1) * np.matmul(size, np.tril(np.matmul(middle, turned(middle))))


#: the matrix made symmetric, in sources
_MEAN = "({0} + {m}.swapaxes({0}, -1, -2))/2"

define(
    "cholesky", 1, "lower triangular Cholesky factors of symmetric positive definite matrices", _cholesky_numpy,
    family="structured", cost="matmul", shape=square, jvp=_cholesky_jvp, vjp=_cholesky_vjp,
    magnitude=_cholesky_magnitude, sympy=forms.cholesky, domain="positive definite matrices",
    convention="of a matrix that is not symmetric the mean with its transpose is taken",
    spelling=spelled(f"{{m}}.linalg.cholesky({_MEAN})"),
)


# ---- eigenvalues ------------------------------------------------------------------------------------------------
def _eigh_stack(x):
    values, vectors = np.linalg.eigh(x)
    return np.concatenate([values[..., None], vectors], axis=-1)


@lapack
def _eigh_numpy(x):
    n = x.shape[-1]
    return finite_alone(_eigh_stack, (n, n + 1), symmetric(x))


def _eigen(o, packed):
    """Eigenvalues and eigenvectors from the packed form."""
    return part(o, packed, 0), part(o, packed, span(1, None))


def _over_gaps(o, x, values):
    """x_ij / (w_j − w_i) off the diagonal, where what stands there is left to the caller."""
    gaps = as_row(o, values) - as_column(o, values)
    return x / o.where(np.eye(x.shape[-1], dtype=bool), 1, gaps)


def _eigh_jvp(o, tangents, out, x):
    values, vectors = _eigen(o, out)
    seen = o.matmul(transposed(o, vectors), o.matmul(mean_with_transpose(o, tangents[0]), vectors))
    diagonal = np.eye(x.shape[-1], dtype=bool)
    first = o.sum(kept(o, seen, diagonal), axes=(-1,), keepdims=True)
    return o.concatenate(first, o.matmul(vectors, o.where(diagonal, 0, _over_gaps(o, seen, values))), axis=-1)


def _eigh_vjp(o, adjoint, out, x):
    values, vectors = _eigen(o, out)
    first, rest = part(o, adjoint, span(0, 1)), part(o, adjoint, span(1, None))
    seen = _over_gaps(o, o.matmul(transposed(o, vectors), rest), values)
    middle = o.where(np.eye(x.shape[-1], dtype=bool), first, seen)
    return (mean_with_transpose(o, o.matmul(vectors, o.matmul(middle, transposed(o, vectors)))),)


def _spectral(x):
    return many(x.shape[-1]) * np.sqrt(np.sum(np.square(symmetric(x)), axis=(-2, -1), keepdims=True))


def _eigh_magnitude(out, x):
    """‖A‖ for values; for element i of vector j the root of Σ_k (v_ik ‖A‖/(w_j − w_k))²."""
    values, vectors, n = out[..., :1], out[..., 1:], x.shape[-1]
    gaps = np.where(np.eye(n, dtype=bool), np.inf, turned(values) - values)
    moved = np.sqrt(np.matmul(np.square(vectors), 1 / np.square(gaps)))
    size = _spectral(x)
    return np.concatenate([np.broadcast_to(size, values.shape), np.abs(vectors) + size * moved], axis=-1)


_ROOTS = "eigenvalues are roots of a polynomial, for which there is no formula in general"
_MIRRORED = "of a matrix that is not symmetric the mean with its transpose is taken"

define(
    "eigh", 1, "eigenvalues of symmetric matrices in ascending order in the first column, beside them the eigenvectors",
    _eigh_numpy, family="structured", cost="matmul",
    shape=lambda x: (*square(x)[:-1], x[-1] + 1),
    jvp=_eigh_jvp, vjp=_eigh_vjp, magnitude=_eigh_magnitude, sympy=forms.none("eigh", _ROOTS),
    convention=f"{_MIRRORED}; eigenvectors of equal eigenvalues have no derivative (NaN or infinite)",
    spelling=spelled(f"(lambda w, v: {{m}}.concatenate([w[..., None], v], -1))(*{{m}}.linalg.eigh({_MEAN}))"),
)


@lapack
def _eigvalsh_numpy(x):
    return finite_alone(np.linalg.eigvalsh, x.shape[-1:], symmetric(x))


def _eigvalsh_jvp(o, tangents, out, x):
    _, vectors = _eigen(o, o.eigh(x))
    return o.sum(vectors * o.matmul(mean_with_transpose(o, tangents[0]), vectors), axes=(-2,), keepdims=False)


def _eigvalsh_vjp(o, adjoint, out, x):
    _, vectors = _eigen(o, o.eigh(x))
    return (o.matmul(vectors * as_row(o, adjoint), transposed(o, vectors)),)


define(
    "eigvalsh", 1, "eigenvalues of symmetric matrices in ascending order", _eigvalsh_numpy, family="structured",
    cost="matmul",
    shape=lambda x: square(x)[:-1],
    jvp=_eigvalsh_jvp, vjp=_eigvalsh_vjp, sympy=forms.none("eigvalsh (of eigh)", _ROOTS),
    magnitude=lambda out, x: np.broadcast_to(_spectral(x)[..., 0], out.shape),
    convention=f"{_MIRRORED}; equal eigenvalues take the eigenvectors that LAPACK finds",
    spelling=spelled(f"{{m}}.linalg.eigvalsh({_MEAN})"),
)


# ---- QR ---------------------------------------------------------------------------------------------------------
def _qr_stack(x):
    return np.concatenate(np.linalg.qr(x), axis=-2)


@lapack
def _qr_numpy(x):
    return finite_alone(_qr_stack, (x.shape[-2] + x.shape[-1], x.shape[-1]), x)


def _qr_shape(x):
    if matrices(x)[-2] < x[-1]:
        raise ValueError("at least as many rows as columns are needed")
    return (*x[:-2], x[-2] + x[-1], x[-1])


def _factors(o, packed):
    rows = packed.shape[-2] - packed.shape[-1]
    return part(o, packed, span(0, rows), ALL), part(o, packed, span(rows, None), ALL)


def _right_solved(o, x, triangle, lower):
    """x·T⁻¹."""
    return transposed(o, o.solve_triangular(transposed(o, triangle), transposed(o, x), lower=not lower))


def _qr_jvp(o, tangents, out, x):
    """With C = Ȧ R⁻¹: QᵀQ̇ = L − Lᵀ for L below the diagonal of QᵀC, Ṙ = (QᵀC − QᵀQ̇) R, Q̇ = C − Q(QᵀC − QᵀQ̇)."""
    q, r = _factors(o, out)
    moved = _right_solved(o, tangents[0], r, lower=False)
    inside = o.matmul(transposed(o, q), moved)
    below = kept(o, inside, np.tri(x.shape[-1], k=-1, dtype=bool))
    upper = inside - below + transposed(o, below)
    return o.concatenate(moved - o.matmul(q, upper), o.matmul(upper, r), axis=-2)


def _qr_vjp(o, adjoint, out, x):
    """(Q̄ + Q·S) R⁻ᵀ, S symmetric with the lower triangle of R R̄ᵀ − Q̄ᵀ Q."""
    (q, r), (to_q, to_r) = _factors(o, out), _factors(o, adjoint)
    n = x.shape[-1]
    to_r = kept(o, to_r, np.tri(n, dtype=bool).T)
    middle = o.matmul(r, transposed(o, to_r)) - o.matmul(transposed(o, to_q), q)
    below = kept(o, middle, np.tri(n, k=-1, dtype=bool))
    whole = kept(o, middle, np.tri(n, dtype=bool)) + transposed(o, below)
    return (_right_solved(o, to_q + o.matmul(q, whole), transposed(o, r), lower=True),)


def _qr_magnitude(out, x):
    """The derivative's formula with a backward error of every column of its own length for Ȧ."""
    m, n = x.shape[-2:]
    q, r = np.abs(out[..., :m, :]), out[..., m:, :]
    inverse = solve_triangular_numpy(r, np.eye(n, dtype=r.dtype)[None], lower=False, unit_diagonal=False)
    length = many(m) * np.sqrt(np.sum(np.square(x), axis=-2, keepdims=True))
    moved = np.matmul(length, np.abs(inverse))  # bounds the length of every column of C
    upper = np.triu(np.broadcast_to(moved, r.shape) + np.triu(np.broadcast_to(turned(moved), r.shape), 1))
    return np.concatenate([q + moved + np.matmul(q, upper), np.abs(r) + np.matmul(upper, np.abs(r))], axis=-2)


define(
    "qr", 1, "reduced QR factors of matrices with at least as many rows as columns, Q above R", _qr_numpy,
    family="structured", cost="matmul", shape=_qr_shape, jvp=_qr_jvp, vjp=_qr_vjp, magnitude=_qr_magnitude,
    domain="matrices of full column rank",
    sympy=forms.none("qr", "the signs of its columns are decided by LAPACK"),
    spelling=spelled("(lambda q, r: {m}.concatenate([q, r], -2))(*{m}.linalg.qr({0}))"),
)


# ---- pseudo-inverse ---------------------------------------------------------------------------------------------
@lapack
def _pinv_numpy(x, rcond):
    m, n = x.shape[-2:]
    return finite_alone(lambda a: np.linalg.pinv(a, rcond), (n, m), x)


def _rest(o, x):
    """I − x."""
    return o.where(np.eye(x.shape[-1], dtype=bool), 1 - x, -x)


def _projectors(o, out, x):
    """What lies outside the range, and inside the kernel: I − A A⁺ and I − A⁺ A."""
    return _rest(o, o.matmul(x, out)), _rest(o, o.matmul(out, x))


def _pinv_jvp(o, tangents, out, x, rcond):
    """−P Ȧ P + P Pᵀ Ȧᵀ (I − A P) + (I − P A) Ȧᵀ Pᵀ P, where the rank stays."""
    outside, kernel = _projectors(o, out, x)
    moved, back = transposed(o, tangents[0]), transposed(o, out)
    return (
        o.matmul(o.matmul(out, back), o.matmul(moved, outside))
        + o.matmul(o.matmul(kernel, moved), o.matmul(back, out))
        - o.matmul(out, o.matmul(tangents[0], out))
    )


def _pinv_vjp(o, adjoint, out, x, rcond):
    outside, kernel = _projectors(o, out, x)
    moved, back = transposed(o, adjoint), transposed(o, out)
    return (
        o.matmul(o.matmul(outside, moved), o.matmul(out, back))
        + o.matmul(o.matmul(back, out), o.matmul(moved, kernel))
        - o.matmul(back, o.matmul(adjoint, back)),
    )


def _pinv_magnitude(out, x, rcond):
    def rows(a):
        return np.sqrt(np.sum(np.square(a), axis=-1, keepdims=True))

    back, (m, n) = turned(out), x.shape[-2:]
    outside, kernel = np.eye(m) - np.matmul(x, out), np.eye(n) - np.matmul(out, x)
    size = many(max(m, n)) * np.sqrt(np.sum(np.square(x), axis=(-2, -1), keepdims=True))
    return np.abs(out) + size * (
        rows(out) * turned(rows(back))
        + rows(np.matmul(out, back)) * turned(rows(turned(outside)))
        + rows(kernel) * turned(rows(np.matmul(back, out)))
    )


define(
    "pinv", 1, "Moore-Penrose pseudo-inverses; singular values up to rcond times the largest count as zeros",
    _pinv_numpy, family="structured", cost="matmul", params={"rcond": 1e-15},
    shape=lambda x, rcond: (*matrices(x)[:-2], x[-1], x[-2]),
    jvp=_pinv_jvp, vjp=_pinv_vjp, magnitude=_pinv_magnitude,
    sympy=forms.none("pinv", "which singular values count as zeros is decided by their numbers"),
    convention="the derivative is that among matrices of the same rank",
    spelling=spelled("{m}.linalg.pinv({0}, rtol={rcond})"),
)
