"""Linear algebra under the names of numpy.linalg (and scipy.linalg.solve_triangular): `dk.linalg.inv`, `dk.inv`, ...

Matrices lie along the last two core axes, the axes before them broadcast, loop dims ride along. An argument may be an
expression, an array, or nested sequences; where none holds an expression, NumPy (SciPy) itself answers. Results are float64,
or float32 where all arguments are. Shapes that do not fit are a ShapeError that names the function.

A matrix that is singular (or not positive definite) gives NaN, at its point alone: an expression does not know its
numbers, so nothing is raised as in NumPy. `cholesky`, `eigh` and `eigvalsh` take (A + Aᵀ)/2 for A, so all engines agree
on the derivative by each of two entries that mirror each other; on symmetric matrices their values are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from importlib import import_module
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..errors import ShapeError, UnsupportedCallError
from ..ops import TABLE
from . import functions as dk
from .functions import matmul
from .node import Expr, make
from .operands import as_expr, axes_of, holds_expr, integer, stays

__all__ = [
    "cholesky", "det", "eigh", "eigvalsh", "inv", "lstsq", "matmul", "matrix_power", "multi_dot", "norm", "pinv", "qr", "slogdet",
    "solve", "solve_triangular", "svd", "svdvals",
]  # fmt: skip

_F = TypeVar("_F", bound=Callable[..., Any])
#: every function that this module adds, by name
LINALG: dict[str, Callable[..., Any]] = {}


class SlogdetResult(NamedTuple):
    sign: Any
    logabsdet: Any


class EighResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    Q: Any
    R: Any


class SVDResult(NamedTuple):
    U: Any
    S: Any
    Vh: Any


class LeastSquares(NamedTuple):
    x: Any
    residuals: Any
    rank: int
    s: Any


#: functions of symmetric matrices, which take the mean of a matrix and its transpose
SYMMETRIC = ("cholesky", "eigh", "eigvalsh")


def _published(function: _F) -> _F:
    """`function` where an argument holds an expression, numpy.linalg's of that name where none does; `dk.<name>` too."""
    name = function.__name__

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Expr) or holds_expr(a) for a in (*args, *kwargs.values())):
            return function(*args, **kwargs)
        if name in SYMMETRIC and args and np.ndim(args[0]) > 1:  # as the expression is
            a = np.asarray(args[0])
            args = ((a + a.swapaxes(-1, -2)) / 2 if a.shape[-1] == a.shape[-2] else a, *args[1:])
        library = np.linalg if hasattr(np.linalg, name) else import_module("scipy.linalg")
        return getattr(library, name)(*args, **kwargs)

    LINALG[name] = call
    setattr(dk, name, call)
    return call  # type: ignore[return-value]


def _matrices(name: str, a: Any) -> Expr:
    x = as_expr(a)
    if x.ndim < 2:
        raise ShapeError(f"{name}: core shape {x.shape} has no matrices along its last two axes")
    return x


def _square(name: str, a: Any) -> Expr:
    x = _matrices(name, a)
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: core shape {x.shape} is not of square matrices along the last two axes")
    return x


# ---- inverse and solution -----------------------------------------------------------------------------------------
@_published
def inv(a: Any) -> Any:
    """Inverses of square matrices, shape (..., n, n); NaN for a singular one."""
    return make(TABLE["inv"], (_square("inv", a),))


@_published
def solve(a: Any, b: Any) -> Any:
    """x with a @ x = b: `a` (..., n, n); `b` a vector (n,), or columns (..., n, k), as in NumPy 2.

    The result has the shape of `b` with the axes in front broadcast; NaN for a singular matrix.
    """
    return _solution("solve", _square("solve", a), as_expr(b), {})


@_published
def solve_triangular(
    a: Any, b: Any, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False, **ignored: Any
) -> Any:
    """x with op(a) @ x = b for triangular `a`, of which the other triangle is not read (scipy.linalg's arguments).

    `trans`: 0 or "N" for a, 1 or "T" (2 or "C") for its transpose. `lower`: `a` is lower triangular. `unit_diagonal`:
    its diagonal counts as ones. Shapes as in `solve`. NaN for a matrix with a zero on the diagonal.
    """
    for key in set(ignored) - {"overwrite_b", "check_finite"}:
        raise UnsupportedCallError(f"solve_triangular: the argument {key!r} has no meaning here")
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise UnsupportedCallError(f"solve_triangular: trans={trans!r} is none of 0, 1, 2, 'N', 'T', 'C'")
    x, turned = _square("solve_triangular", a), trans not in (0, "N")
    params = {"lower": bool(lower) != turned, "unit_diagonal": bool(unit_diagonal)}
    return _solution("solve_triangular", dk.swapaxes(x, -1, -2) if turned else x, as_expr(b), params)


def _solution(name: str, a: Expr, b: Expr, params: dict[str, bool]) -> Expr:
    n = a.shape[-1]
    if not b.ndim or b.shape[-1 if b.ndim == 1 else -2] != n:
        raise ShapeError(
            f"{name}: core shape {b.shape} does not fit matrices of core shape {a.shape}; the right-hand side is a vector of "
            f"{n}, or has {n} rows"
        )
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(f"{name}: the leading axes of core shapes {a.shape} and {b.shape} do not broadcast") from None
    x = make(TABLE[name], (a, dk.expand_dims(b, -1) if b.ndim == 1 else b), params)
    return dk.squeeze(x, -1) if b.ndim == 1 else x


@_published
def pinv(a: Any, rcond: float | None = None, hermitian: bool = False, *, rtol: float | None = None) -> Any:
    """Moore-Penrose pseudo-inverses (..., n, m) of matrices (..., m, n).

    Singular values up to `rtol` (or `rcond`; by default max(m, n)·eps) times the largest count as zeros. The derivative is that
    among matrices of the same rank. Least squares: ``pinv(a) @ b``.
    """
    if hermitian:
        raise UnsupportedCallError("pinv: the argument 'hermitian' has no meaning here")
    x = _matrices("pinv", a)
    if rtol is None:
        rtol = rcond if rcond is not None else max(x.shape[-2:]) * float(np.finfo(_floats(x)).eps)
    return make(TABLE["pinv"], (x,), {"rcond": float(rtol)})


def _floats(x: Expr) -> str:
    return "float32" if x.dtype == "float32" else "float64"


@_published
def matrix_power(a: Any, n: int) -> Any:
    """Square matrices multiplied with themselves: `n` is an integer, a negative one takes the inverse."""
    x, n = _square("matrix_power", a), integer(n, "matrix_power", "the power")
    if n == 0:
        return dk.broadcast_to(as_expr(np.eye(x.shape[-1], dtype=_floats(x))), x.shape)
    if n < 0:
        x, n = inv(x), -n
    elif x.dtype not in ("float64", "float32"):
        x = x * 1.0
    result = None
    while n:
        if n % 2:
            result = x if result is None else dk.matmul(result, x)
        n //= 2
        x = dk.matmul(x, x) if n else x
    return result


@_published
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """Product of two or more matrices, in the order that costs least; the first and the last may be vectors."""
    parts = [as_expr(a) for a in arrays]
    ends = {1, 2}
    if len(parts) < 2 or any(p.ndim not in (ends if k in (0, len(parts) - 1) else {2}) for k, p in enumerate(parts)):
        shown = ", ".join(str(p.shape) for p in parts)
        raise ShapeError(f"multi_dot: core shapes {shown} are not of two or more matrices (or vectors at the ends)")
    for a, b in pairwise(parts):
        if a.shape[-1] != b.shape[0]:
            raise ShapeError(f"multi_dot: core shapes {a.shape} and {b.shape} do not fit")
    axes = [[k, k + 1] for k in range(len(parts))]
    axes[0], axes[-1] = axes[0][-parts[0].ndim :], axes[-1][: parts[-1].ndim]
    operands = [v for p, named in zip(parts, axes, strict=True) for v in (p, named)]
    kept = [*axes[0][:-1], *axes[-1][1:]]
    return dk.einsum(*operands, kept)


@_published
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Length of vectors or of matrices, as numpy.linalg.norm; Euclidean over all axes by default, with derivative 0 at zero.

    Of vectors (one axis) `ord` is 2, 1, inf, -inf, 0 or a power p; of matrices (two axes) "fro", "nuc", 1, -1, 2, -2, inf or
    -inf, where 2, -2 and "nuc" are of singular values. Kinks are those of abs, max, min and norm.
    """
    a, kept = as_expr(x), stays(keepdims)
    if ord is None or (ord == 2 and axis is None and a.ndim == 1):
        return make(TABLE["norm"], (a,), {"axes": axes_of(axis, a.ndim, "norm"), "keepdims": kept})
    axes = tuple(range(a.ndim)) if axis is None else tuple(axis) if isinstance(axis, Iterable) else (axis,)
    axes_of(axes, a.ndim, "norm")
    if len(axes) == 1:
        return _vector_norm(a, ord, axes[0], kept)
    if len(axes) != 2:
        raise ShapeError(f"norm: ord={ord!r} is of one axis or two, not {len(axes)} of core shape {a.shape}")
    rows, columns = (i % a.ndim for i in axes)
    return _matrix_norm(a, ord, rows, columns, kept)


def _vector_norm(x: Expr, ord: Any, axis: int, kept: bool) -> Any:
    if ord in (2, 1, inf, -inf, 0):
        reduce, of = {
            2: (lambda v, *how: make(TABLE["norm"], (v,), {"axes": axes_of(axis, x.ndim, "norm"), "keepdims": kept}), x),
            1: (dk.sum, abs(x)), inf: (dk.max, abs(x)), -inf: (dk.min, abs(x)), 0: (dk.sum, dk.astype(x != 0, _floats(x))),
        }[ord]  # fmt: skip
        return reduce(of, axis, kept)
    if isinstance(ord, str):
        raise UnsupportedCallError(f"norm: ord={ord!r} is of matrices, and there is one axis")
    return dk.sum(abs(x) ** ord, axis, kept) ** (1.0 / ord)


def _matrix_norm(x: Expr, ord: Any, rows: int, columns: int, kept: bool) -> Any:
    if ord == "fro":
        return make(TABLE["norm"], (x,), {"axes": axes_of((rows, columns), x.ndim, "norm"), "keepdims": kept})
    if ord in (1, -1, inf, -inf):
        along, over = (rows, columns) if ord in (1, -1) else (columns, rows)
        found = (dk.max if ord > 0 else dk.min)(dk.sum(abs(x), along, True), over, True)
    elif ord in (2, -2, "nuc"):
        values = svdvals(dk.moveaxis(x, (rows, columns), (-2, -1)))
        found = {2: dk.max, -2: dk.min, "nuc": dk.sum}[ord](values, -1)
        found = dk.expand_dims(found, (rows, columns))
    else:
        raise UnsupportedCallError(
            f"norm: ord={ord!r} of a matrix is none of None, 'fro', 'nuc', 1, -1, 2, -2, inf, -inf"
        )
    return found if kept else dk.squeeze(found, (rows, columns))


# ---- determinants -------------------------------------------------------------------------------------------------
@_published
def det(a: Any) -> Any:
    """Determinants of square matrices, shape (...). Its first derivative (the cofactors) is right at singular matrices too."""
    return make(TABLE["det"], (_square("det", a),))


@_published
def slogdet(a: Any) -> Any:
    """Sign, and logarithm of the absolute value, of determinants, each of shape (...). The sign has derivative 0."""
    both = make(TABLE["slogdet"], (_square("slogdet", a),))
    return SlogdetResult(both[..., 0], both[..., 1])


# ---- factorisations -----------------------------------------------------------------------------------------------
@_published
def cholesky(a: Any, *, upper: bool = False) -> Any:
    """L, lower triangular, with L @ L.T = (a + a.T)/2; `upper`: its transpose. NaN unless positive definite."""
    lower = make(TABLE["cholesky"], (_square("cholesky", a),))
    return dk.swapaxes(lower, -1, -2) if upper else lower


@_published
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues (..., n) of (a + a.T)/2 in ascending order, and eigenvectors (..., n, n) in columns.

    The vectors are LAPACK's: their signs are its choice, so a function should not depend on them. Their derivatives are NaN or
    infinite where eigenvalues are equal; those of the values alone are not.
    """
    x = _symmetric("eigh", a, UPLO)
    # the values have an operation of their own: no derivative of theirs passes the gaps between them
    return EighResult(make(TABLE["eigvalsh"], (x,)), make(TABLE["eigh"], (x,))[..., 1:])


@_published
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues (..., n) of (a + a.T)/2 in ascending order. Equal ones have the derivatives of LAPACK's choice of vectors."""
    return make(TABLE["eigvalsh"], (_symmetric("eigvalsh", a, UPLO),))


def _symmetric(name: str, a: Any, triangle: str) -> Expr:
    if triangle not in ("L", "U", "l", "u"):
        raise UnsupportedCallError(f"{name}: UPLO is 'L' or 'U', not {triangle!r}")
    return _square(name, a)


@_published
def qr(a: Any, mode: str = "reduced") -> Any:
    """Q (..., m, k) with orthonormal columns and R (..., k, n) upper triangular, k = min(m, n), Q @ R = a.

    `mode="r"` gives R alone. Derivatives need full column rank (of the first m columns, where there are more).
    """
    x = _matrices("qr", a)
    m, n = x.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise UnsupportedCallError(f"qr: mode={mode!r} is not there for core shape {x.shape}; 'reduced' and 'r' are")
    both = make(TABLE["qr"], (x if m >= n else x[..., :m],))
    q, r = both[..., :m, :], both[..., m:, :]
    if m < n:  # the columns past the m-th are turned by the Q of those before
        r = dk.concatenate((r, dk.matmul(dk.swapaxes(q, -1, -2), x[..., m:])), -1)
    return r if mode == "r" else QRResult(q, r)


@_published
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """U (..., m, k), singular values (..., k) in descending order, and Vh (..., k, n), k = min(m, n): U * S @ Vh = a.

    As NumPy, but write ``full_matrices=False`` unless `a` is square. The signs of columns are LAPACK's choice, so a function
    should not depend on them. Derivatives of the vectors are infinite or NaN where singular values are equal (or zero, unless
    `a` is square); those of the values alone are not.
    """
    if hermitian:
        raise UnsupportedCallError("svd: the argument 'hermitian' has no meaning here")
    x = _matrices("svd", a)
    if not compute_uv:
        return svdvals(x)
    m, n = x.shape[-2:]
    if full_matrices and m != n:
        raise UnsupportedCallError(
            f"svd: full_matrices=True of core shape {x.shape} would make up vectors that the matrix does not determine; write "
            "full_matrices=False"
        )
    both = make(TABLE["svd"], (x if m >= n else dk.swapaxes(x, -1, -2),))
    long, short = both[..., 1 : max(m, n) + 1, :], both[..., max(m, n) + 1 :, :]
    left, right = (long, short) if m >= n else (short, long)
    return SVDResult(left, svdvals(x), dk.swapaxes(right, -1, -2))


@_published
def svdvals(a: Any) -> Any:
    """Singular values (..., min(m, n)) in descending order. At zero their derivative is that of LAPACK's choice of vectors."""
    x = _matrices("svdvals", a)
    return make(TABLE["svdvals"], (x if x.shape[-2] >= x.shape[-1] else dk.swapaxes(x, -1, -2),))


@_published
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Least squares: x with the smallest |b - a @ x|, and of those the shortest; residuals, rank and singular values beside it.

    `a` (m, n) has full rank min(m, n), which is not looked at (NaN or nonsense without; ``pinv(a, rcond) @ b`` minds it). By QR
    factors. The residuals are sums of squares where m > n, else there are none.
    """
    if rcond is not None and rcond != -1:
        raise UnsupportedCallError(
            "lstsq: the argument 'rcond' has no meaning here; pinv(a, rcond) @ b has a rank to decide on"
        )
    x, y = _matrices("lstsq", a), as_expr(b)
    if x.ndim != 2 or y.ndim not in (1, 2) or y.shape[0] != x.shape[0]:
        raise ShapeError(f"lstsq: core shapes {x.shape} and {y.shape} do not fit; they are (m, n) and (m,) or (m, k)")
    m, n = x.shape
    if m >= n:
        q, r = qr(x)
        found = solve_triangular(r, dk.matmul(dk.transpose(q), y))
    else:
        q, r = qr(dk.transpose(x))
        found = dk.matmul(q, solve_triangular(r, y, trans=1))
    left = y - dk.matmul(x, found)
    sums = dk.sum(dk.reshape(left * left, (m, -1)), 0) if m > n else as_expr(np.zeros(0))
    return LeastSquares(found, sums, min(m, n), svdvals(x))
