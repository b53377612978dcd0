"""Linear algebra: inverses, solutions and determinants of stacks of matrices (factorisations.py has the rest).

A matrix lies along the last two axes. One of a stack that is singular has NaN as its result, and the others have theirs. Rules:
M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation" (2008). Error bounds
(`magnitude`) are first-order perturbation theory of a backward error Δ (N. Higham, *Accuracy and Stability of Numerical
Algorithms*, 2nd ed., chapters 8, 9, 14): |A⁻¹||Δ||X| for a solution X, and so on. Nothing is promised (infinity) where a matrix is
singular to working precision. No record says `analytic`: the error bar of a complex step needs bounds that grow with |A|.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from . import linalg_forms as forms
from .matrices import (
    aligned,
    as_matrix,
    dropped,
    finite_alone,
    inner,
    kept,
    lapack,
    many,
    part,
    refused_alone,
    solution_shape,
    spelled,
    square,
    transposed,
    turned,
)
from .op import define

#: triangular systems up to this size are solved by stacks, larger ones one by one in half the operations
SMALL = 32


# ---- inverse and solution ---------------------------------------------------------------------------------------
@lapack
def inv_numpy(x):
    return refused_alone(np.linalg.inv, x.shape[-2:], x)


def _backward(x):
    """Column sums of |A|: with them in every row, a bound of |L||U| unless partial pivoting lets elements grow."""
    return many(x.shape[-1]) * np.sum(np.abs(x), axis=-2, keepdims=True)


def _amplified(x, inverse, y):
    """|A⁻¹||Δ||y| for the backward error of elimination; infinite where A + Δ may be singular."""
    rows, columns = np.sum(np.abs(inverse), axis=-1, keepdims=True), _backward(x)
    most = np.max(rows, axis=(-2, -1), keepdims=True, initial=0) * np.sum(columns, -1, keepdims=True)
    weight = 4 * np.finfo(x.dtype).eps * most  # of the norm of |A⁻¹||Δ|
    size = rows * np.matmul(columns, np.abs(y))
    return np.where(weight < 1, size / np.where(weight < 1, 1 - weight, 1), np.inf)


define(
    "inv", 1, "inverse of square matrices", inv_numpy, family="structured", cost="matmul", shape=square,
    jvp=lambda o, tangents, out, x: -o.matmul(out, o.matmul(tangents[0], out)),
    vjp=lambda o, adjoint, out, x: (-o.matmul(transposed(o, out), o.matmul(adjoint, transposed(o, out))),),
    magnitude=lambda out, x: np.abs(out) + _amplified(x, out, out),
    sympy=forms.inverse, domain="regular matrices",
    spelling=spelled("{m}.linalg.inv({0})"),
)


@lapack
def _solve_numpy(x, y):
    x, y = aligned(x, y)
    if x.shape[0] != 1 or y.shape[0] == 1:
        return refused_alone(np.linalg.solve, y.shape[-2:], x, y)
    return _lanes_as_columns(_solve_numpy, x, y)


def _lanes_as_columns(solve, x, y):
    """One matrix for all lanes is factored once: the lanes become further right-hand sides."""
    lanes, *batch, n, k = y.shape
    columns = np.moveaxis(y, 0, -1).reshape(1, *batch, n, k * lanes)
    found = solve(x, columns)[0]
    return np.moveaxis(found.reshape(*found.shape[:-1], k, lanes), -1, 0)


def _solve_jvp(o, tangents, out, x, y):
    moved = o.total(tangents[1], None if tangents[0] is None else -o.matmul(tangents[0], out))
    return o.solve(x, moved)


def _solve_vjp(o, adjoint, out, x, y):
    right = o.solve(transposed(o, x), adjoint)
    return o.sum_to(-o.matmul(right, transposed(o, out)), x.shape), o.sum_to(right, y.shape)


def _solve_magnitude(out, x, y):
    x, _ = aligned(x, out)
    return np.abs(out) + _amplified(x, inv_numpy(x), out)


define(
    "solve", 2, "solution of linear systems, right-hand sides in columns", _solve_numpy, family="structured",
    cost="matmul", shape=solution_shape, jvp=_solve_jvp, vjp=_solve_vjp, magnitude=_solve_magnitude,
    sympy=forms.solution, domain="regular matrices",
    spelling=spelled("{m}.linalg.solve({0}, {1})"),
)


# ---- triangular systems -----------------------------------------------------------------------------------------
def _triangle(n, lower, unit_diagonal):
    """Where the elements are that a triangular matrix is read from."""
    side = -1 if unit_diagonal else 0
    return np.tri(n, k=side, dtype=bool) if lower else np.tri(n, k=side, dtype=bool).T


def _whole_triangle(x, lower, unit_diagonal):
    n = x.shape[-1]
    return np.where(_triangle(n, lower, unit_diagonal), x, np.eye(n, dtype=x.dtype) if unit_diagonal else 0)


def _by_elimination(x, y):
    """Of upper triangular systems: elimination with partial pivoting finds nothing to eliminate and substitutes."""
    return np.linalg.solve(x, y)


def _one_by_one(x, y):
    from scipy.linalg.lapack import get_lapack_funcs

    (trtrs,) = get_lapack_funcs(("trtrs",), (x, y))
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = (np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in (x, y))
    out = np.empty(y.shape, y.dtype)
    for position in np.ndindex(batch):  # LAPACK takes columns for rows: it sees the lower triangle of the transpose
        found, info = trtrs(x[position].T, y[position], lower=1, trans=1)
        out[position] = found if info == 0 else np.nan
    return out


@lapack
def solve_triangular_numpy(x, y, lower, unit_diagonal):
    x, y = aligned(_whole_triangle(x, lower, unit_diagonal), y)
    if x.shape[0] == 1 and y.shape[0] != 1:
        return _lanes_as_columns(partial(solve_triangular_numpy, lower=lower, unit_diagonal=unit_diagonal), x, y)
    if lower:  # with rows and columns in reverse order it is upper triangular
        x, y = x[..., ::-1, ::-1], y[..., ::-1, :]
    if x.shape[-1] <= SMALL:
        found = refused_alone(_by_elimination, y.shape[-2:], x, y)
    else:
        found = _one_by_one(x, y)
    return found[..., ::-1, :] if lower else found


def _solve_triangular_jvp(o, tangents, out, x, y, **params):
    moved = tangents[1]
    if tangents[0] is not None:
        moved = o.total(moved, -o.matmul(kept(o, tangents[0], _triangle(x.shape[-1], **params)), out))
    return o.solve_triangular(x, moved, **params)


def _solve_triangular_vjp(o, adjoint, out, x, y, lower, unit_diagonal):
    right = o.solve_triangular(transposed(o, x), adjoint, lower=not lower, unit_diagonal=unit_diagonal)
    left = kept(o, -o.matmul(right, transposed(o, out)), _triangle(x.shape[-1], lower, unit_diagonal))
    return o.sum_to(left, x.shape), o.sum_to(right, y.shape)


def _solve_triangular_magnitude(out, x, y, **params):
    triangle = aligned(_whole_triangle(x, **params), out)[0]
    inverse = solve_triangular_numpy(triangle, np.eye(x.shape[-1], dtype=x.dtype)[None], **params)
    inverse, triangle = np.abs(inverse), np.abs(triangle)
    return many(x.shape[-1]) * np.matmul(inverse, np.matmul(triangle, np.abs(out)))


define(
    "solve_triangular", 2,
    "solution of linear systems with triangular matrices, of which the other triangle is not read",
    solve_triangular_numpy, family="structured", cost="matmul", params={"lower": False, "unit_diagonal": False},
    shape=lambda x, y, lower, unit_diagonal: solution_shape(x, y),
    jvp=_solve_triangular_jvp, vjp=_solve_triangular_vjp, magnitude=_solve_triangular_magnitude,
    sympy=forms.triangular_solution, domain="matrices without a zero on the diagonal",
    spelling={
        "numpy": "scipy.linalg.solve_triangular({0}, {1}, lower={lower}, unit_diagonal={unit_diagonal})",
        "torch": "torch.linalg.solve_triangular({0}, {1}, upper=not {lower}, unitriangular={unit_diagonal})",
    },
)


# ---- determinants -----------------------------------------------------------------------------------------------
@lapack
def _det_numpy(x):
    return np.linalg.det(x)


def _cofactors_by_svd(x):
    """The factors' cofactors multiply; those of an orthogonal matrix U are det(U)·U."""
    u, s, v = np.linalg.svd(x)
    others = np.prod(np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]), axis=-1)
    sign = np.linalg.det(u) * np.linalg.det(v)
    return sign[..., None, None] * np.matmul(u * others[..., None, :], v)


@lapack
def _cofactor_numpy(x):
    n = x.shape[-1]
    if n == 1:
        return np.ones_like(x)
    if n == 2:
        return x[..., ::-1, ::-1] * np.array([[1, -1], [-1, 1]], x.dtype)
    # determinant and inverse come of the same elimination: their errors cancel where only the last pivot is small
    # (G. Stewart, "On the adjugate matrix", 1998)
    determinant = np.linalg.det(x)[..., None, None]
    found = determinant * turned(inv_numpy(x))
    lost = (~np.isfinite(found) | (determinant == 0)).any(axis=(-2, -1))
    if lost.any():
        found[lost] = finite_alone(_cofactors_by_svd, (n, n), x[lost])
    return found


def _cofactor_jvp(o, tangents, out, x):
    n, (moved,) = x.shape[-1], tangents
    if n == 1:
        return o.zeros(x.shape)
    if n == 2:  # linear
        return o.cofactor(moved)
    change = inner(o, out, moved) * out - o.matmul(out, o.matmul(transposed(o, moved), out))
    return change / as_matrix(o, o.det(x))


def _cofactor_vjp(o, adjoint, out, x):
    n = x.shape[-1]
    if n == 1:
        return (None,)
    if n == 2:
        return (o.cofactor(adjoint),)
    change = inner(o, out, adjoint) * out - o.matmul(out, o.matmul(transposed(o, adjoint), out))
    return (change / as_matrix(o, o.det(x)),)


def _cofactor_magnitude(out, x):
    """|C| and, to first order, |C||Δ||C|/det where that is defined."""
    if x.shape[-1] <= 2:
        return np.abs(out)
    inverse = inv_numpy(x)
    trace = np.sum(np.matmul(_backward(x), np.abs(inverse)), axis=(-2, -1), keepdims=True)
    moved = np.matmul(turned(np.broadcast_to(_backward(x), x.shape)), turned(np.abs(inverse)))
    size = np.abs(out) * (1 + trace) + np.matmul(np.abs(out), moved)
    norm = np.sqrt(np.sum(np.abs(out) ** 2, axis=(-2, -1), keepdims=True))
    return np.where(np.isfinite(size), size, many(x.shape[-1]) * x.shape[-1] * norm)


define(
    "cofactor", 1, "cofactors of square matrices (the gradient of the determinant), of singular ones too",
    _cofactor_numpy, family="structured", cost="matmul", shape=square, jvp=_cofactor_jvp,
    vjp=_cofactor_vjp, magnitude=_cofactor_magnitude, sympy=forms.cofactors,
    convention="of a singular matrix of three rows or more no derivative is computed (NaN)",
    # (of regular matrices)
    spelling=spelled("({m}.linalg.det({0})[..., None, None]*{m}.swapaxes({m}.linalg.inv({0}), -1, -2))"),
)
define(
    "det", 1, "determinants of square matrices", _det_numpy, family="structured", cost="matmul",
    shape=lambda x: square(x)[:-2],
    jvp=lambda o, tangents, out, x: dropped(o, inner(o, o.cofactor(x), tangents[0])),
    vjp=lambda o, adjoint, out, x: (as_matrix(o, adjoint) * o.cofactor(x),),
    magnitude=lambda out, x: np.abs(out) + np.sum(np.abs(_cofactor_numpy(x)) * _backward(x), axis=(-2, -1)),
    sympy=forms.determinants,
    spelling=spelled("{m}.linalg.det({0})"),
)


@lapack
def _slogdet_numpy(x):
    sign, logarithm = np.linalg.slogdet(x)
    return np.stack([np.where(np.isnan(logarithm), np.nan, sign), logarithm], axis=-1)


def _slogdet_jvp(o, tangents, out, x):
    change = dropped(o, inner(o, transposed(o, o.inv(x)), tangents[0]))
    return o.stack(o.zeros(change.shape), change, axis=-1)


def _slogdet_magnitude(out, x):
    """Of the logarithm tr(|A⁻¹||Δ|), and what is rounded in the sum of the pivots' logarithms, which may cancel."""
    n, inverse = x.shape[-1], inv_numpy(x)
    change = np.sum(np.matmul(_backward(x), np.abs(inverse)), axis=(-2, -1))
    most = [n * np.max(np.abs(a), axis=(-2, -1), initial=0) for a in (x, inverse)]
    logs = np.sum([np.abs(np.log(np.where(m > 0, m, 1))) for m in most], axis=0) * n * many(n)
    return np.stack([np.zeros(change.shape), np.abs(out[..., 1]) + logs + change], axis=-1)


define(
    "slogdet", 1, "sign and logarithm of the absolute value of determinants, side by side", _slogdet_numpy,
    family="structured", cost="matmul",
    shape=lambda x: (*square(x)[:-2], 2),
    jvp=_slogdet_jvp,
    vjp=lambda o, adjoint, out, x: (as_matrix(o, part(o, adjoint, 1)) * transposed(o, o.inv(x)),),
    magnitude=_slogdet_magnitude, sympy=forms.signs_and_logarithms, domain="regular matrices",
    convention="the sign has derivative 0",
    spelling=spelled("{m}.stack([*{m}.linalg.slogdet({0})], -1)"),
)
