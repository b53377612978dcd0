"""Linear algebra under the names of numpy.linalg (and scipy.linalg.solve_triangular): `dk.linalg.inv`, `dk.inv`, ...

Matrices lie along the last two core axes, the axes before them broadcast, loop dims ride along. An argument may be an
expression, an array, or nested sequences; where none holds an expression, NumPy (SciPy) itself answers. Results are float64,
or float32 where all arguments are. Shapes that do not fit are a ShapeError that names the function.

A matrix that is singular (or not positive definite) gives NaN, at its point alone: an expression does not know its
numbers, so nothing is raised as in NumPy. `cholesky`, `eigh` and `eigvalsh` take (A + Aᵀ)/2 for A, so all engines agree
on the derivative by each of two entries that mirror each other; on symmetric matrices their values are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..errors import ShapeError, UnsupportedError
from ..ops import TABLE
from . import functions as dk
from .functions import _holds_expr, as_expr, matmul, norm
from .node import Expr, make

__all__ = [
    "cholesky", "det", "eigh", "eigvalsh", "inv", "matmul", "matrix_power", "norm", "pinv", "qr", "slogdet", "solve",
    "solve_triangular",
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


def _published(function: _F) -> _F:
    """`function` where an argument holds an expression, numpy.linalg's of that name where none does; `dk.<name>` too."""
    name = function.__name__

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Expr) or _holds_expr(a) for a in (*args, *kwargs.values())):
            return function(*args, **kwargs)
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
        raise UnsupportedError(f"solve_triangular: the argument {key!r} has no meaning here")
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise UnsupportedError(f"solve_triangular: trans={trans!r} is none of 0, 1, 2, 'N', 'T', 'C'")
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
        raise UnsupportedError("pinv: the argument 'hermitian' has no meaning here")
    x = _matrices("pinv", a)
    if rtol is None:
        rtol = rcond if rcond is not None else max(x.shape[-2:]) * float(np.finfo(_floats(x)).eps)
    return make(TABLE["pinv"], (x,), {"rcond": float(rtol)})


def _floats(x: Expr) -> str:
    return "float32" if x.dtype == "float32" else "float64"


@_published
def matrix_power(a: Any, n: int) -> Any:
    """Square matrices multiplied with themselves: `n` is an integer, a negative one takes the inverse."""
    x, n = _square("matrix_power", a), int(n)
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
    if triangle.upper() not in ("L", "U"):
        raise UnsupportedError(f"{name}: UPLO is 'L' or 'U', not {triangle!r}")
    return _square(name, a)


@_published
def qr(a: Any, mode: str = "reduced") -> Any:
    """Q (..., m, k) with orthonormal columns and R (..., k, n) upper triangular, k = min(m, n), Q @ R = a.

    `mode="r"` gives R alone. Derivatives need full column rank (of the first m columns, where there are more).
    """
    x = _matrices("qr", a)
    m, n = x.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise UnsupportedError(f"qr: mode={mode!r} is not there for core shape {x.shape}; 'reduced' and 'r' are")
    both = make(TABLE["qr"], (x if m >= n else x[..., :m],))
    q, r = both[..., :m, :], both[..., m:, :]
    if m < n:  # the columns past the m-th are turned by the Q of those before
        r = dk.concatenate((r, dk.matmul(dk.swapaxes(q, -1, -2), x[..., m:])), -1)
    return r if mode == "r" else QRResult(q, r)
