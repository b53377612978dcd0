"""Linear algebra as cases: diffkit's functions, and the same by mpmath's algorithms, which share nothing with LAPACK.

Drawn matrices are moved away from the singular ones. What a factorisation leaves open (the signs of columns) is taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from helpers_arrays import ArrayCase
from mpmath import mp, mpf

import diffkit as dk
from diffkit.expr.functions import RULES


def stacked(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """`function` of every matrix of object arrays whose leading axes broadcast."""
    batch = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    arrays = tuple(np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in arrays)
    made = {p: np.asarray(function(*(a[p] for a in arrays)), dtype=object) for p in np.ndindex(batch)}
    core = next(iter(made.values())).shape
    out = np.empty((*batch, *core), dtype=object)
    for position, value in made.items():
        out[position] = value
    return out


def _rows(m: Any) -> np.ndarray:
    out = np.empty((m.rows, m.cols), dtype=object)
    for i, j in np.ndindex(out.shape):
        out[i, j] = m[i, j]
    return out


def _m(x: np.ndarray) -> Any:
    return mp.matrix(x.tolist())


def inverse(x: np.ndarray) -> np.ndarray:
    return stacked(lambda a: _rows(mp.inverse(_m(a))), x)


def solution(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    columns = y[:, None] if y.ndim == 1 else y
    out = stacked(
        lambda a, b: np.stack([_rows(mp.lu_solve(_m(a), _m(c[:, None])))[:, 0] for c in b.T], axis=1), x, columns
    )
    return out[..., 0] if y.ndim == 1 else out


def determinant(x: np.ndarray) -> np.ndarray:
    return stacked(lambda a: mp.det(_m(a)), x)


def cofactors(x: np.ndarray) -> np.ndarray:
    return determinant(x)[..., None, None] * np.swapaxes(inverse(x), -1, -2)


def sign_and_logarithm(x: np.ndarray) -> np.ndarray:
    def both(a: np.ndarray) -> list[mpf]:
        d = mp.det(_m(a))
        return [mp.sign(d), mp.log(abs(d))]

    return stacked(both, x)


def cholesky(x: np.ndarray) -> np.ndarray:
    return stacked(lambda a: _rows(mp.cholesky(_m((a + a.T) / 2))), x)


def _eigen(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = mp.eigsy(_m((a + a.T) / 2))
    return np.array(list(values), dtype=object), _rows(vectors)


def eigenvalues(x: np.ndarray) -> np.ndarray:
    return stacked(lambda a: _eigen(a)[0], x)


def squared_vectors(x: np.ndarray) -> np.ndarray:
    """Vectors without their signs: each times its first element."""
    return stacked(lambda a: _eigen(a)[1] * _eigen(a)[1][:1], x)


def factors(x: np.ndarray) -> np.ndarray:
    """Q above R, with a positive diagonal of R: Gram-Schmidt at many digits."""

    def both(a: np.ndarray) -> np.ndarray:
        q, n = a.copy(), a.shape[1]
        for j in range(n):
            for k in range(j):
                q[:, j] = q[:, j] - np.dot(q[:, k], q[:, j]) * q[:, k]
            q[:, j] = q[:, j] / mp.sqrt(np.dot(q[:, j], q[:, j]))
        r = np.dot(q.T, a)
        r[np.tril_indices(n, -1)] = mpf(0)
        return np.concatenate([q, r])

    return stacked(both, x)


def positive_factors(x: Any) -> Any:
    q, r = dk.linalg.qr(x)
    signs = dk.sign(dk.diagonal(r, 0, -2, -1))
    return dk.concatenate([q * signs[..., None, :], r * signs[..., :, None]], -2)


def _singular(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, S and V of a matrix with at least as many rows as columns."""
    if a.shape[0] < a.shape[1]:
        u, s, v = _singular(a.T)
        return v, s, u
    u, s, vh = mp.svd_r(_m(a))
    return _rows(u), np.array(list(s), dtype=object), _rows(vh).T


def singular_values(x: np.ndarray) -> np.ndarray:
    return stacked(lambda a: _singular(a)[1], x)


def singular_products(x: np.ndarray) -> np.ndarray:
    """Vectors without their signs: each times the first element of that of the other side."""

    def both(a: np.ndarray) -> np.ndarray:
        u, _, v = _singular(a)
        return np.concatenate([u * v[:1], v * u[:1]])

    return stacked(both, x)


def turned_products(x: Any) -> Any:
    u, _, vh = dk.linalg.svd(x, full_matrices=False)
    v = dk.matrix_transpose(vh)
    return dk.concatenate([u * v[..., :1, :], v * u[..., :1, :]], -2)


def pseudo_inverse(x: np.ndarray) -> np.ndarray:
    def one(a: np.ndarray) -> np.ndarray:
        if a.shape[0] < a.shape[1]:
            return one(a.T).T
        return np.dot(_rows(mp.inverse(_m(np.dot(a.T, a)))), a.T)

    return stacked(one, x)


def _moved(x: Any) -> Any:
    """Away from singular matrices."""
    return np.where(np.eye(x.shape[-1], dtype=bool), x + 3, x)


def _triangular(x: Any, lower: bool, unit: bool) -> Any:
    n = x.shape[-1]
    inside = np.tri(n, k=-unit, dtype=bool)
    inside = inside if lower else inside.T
    whole = np.where(inside, x, 0)
    return np.where(np.eye(n, dtype=bool), 1, whole) if unit else whole


def linalg_cases() -> list[ArrayCase]:
    square = {"": ((3, 3),), "-stack": ((2, 3, 3),), "-1": ((1, 1),), "-2": ((2, 2),)}
    one = [
        ("inv", dk.linalg.inv, inverse), ("det", dk.linalg.det, determinant), ("cofactor", RULES.cofactor, cofactors),
        ("slogdet", lambda x: dk.stack(dk.linalg.slogdet(x), -1), sign_and_logarithm),
        ("cholesky", dk.linalg.cholesky, cholesky), ("eigvalsh", dk.linalg.eigvalsh, eigenvalues),
        ("eigh", lambda x: (lambda v: v * v[..., :1, :])(dk.linalg.eigh(x)[1]), squared_vectors),
    ]  # fmt: skip
    cases = [
        ArrayCase(f"{op}{name}", op, shapes, lambda x, f=f: f(_moved(x)), lambda x, f=exact: f(_moved(x)))
        for op, f, exact in one
        for name, shapes in square.items()
    ]
    cases.append(ArrayCase("cholesky-upper", "cholesky", ((3, 3),), lambda x: dk.linalg.cholesky(_moved(x), upper=True),
                           lambda x: cholesky(_moved(x)).T))  # fmt: skip
    systems = [
        ((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 1)), ((2, 1, 2, 2), (3, 2, 2)),
    ]  # fmt: skip
    for a, b in systems:
        cases.append(ArrayCase(f"solve{list(a)}{list(b)}", "solve", (a, b), lambda x, y: dk.linalg.solve(_moved(x), y),
                               lambda x, y: solution(_moved(x), y)))  # fmt: skip
    ways: list[dict[str, Any]] = [
        {}, {"lower": True}, {"trans": 1}, {"lower": True, "trans": "T"}, {"unit_diagonal": True},
        {"lower": True, "unit_diagonal": True},
    ]  # fmt: skip
    for (a, b), how in zip(systems, ways, strict=True):

        def exact(x: Any, y: Any, how: dict = how) -> Any:
            whole = _triangular(_moved(x), how.get("lower", False), how.get("unit_diagonal", False))
            return solution(np.swapaxes(whole, -1, -2) if "trans" in how else whole, y)

        shown = "-".join(f"{k}={v}" for k, v in how.items())
        cases.append(ArrayCase(f"solve_triangular{list(a)}{list(b)}-{shown}", "solve_triangular", (a, b),
                               lambda x, y, how=how: dk.linalg.solve_triangular(_moved(x), y, **how), exact))  # fmt: skip
    for shape in ((3, 3), (4, 2), (2, 4, 3), (1, 1), (4, 1)):
        cases.append(ArrayCase(f"qr{list(shape)}", "qr", (shape,), positive_factors, factors))
    for shape in ((3, 3), (4, 2), (2, 3), (2, 3, 2), (1, 1)):
        cases.append(ArrayCase(f"svd{list(shape)}", "svd", (shape,), turned_products, singular_products))
        cases.append(ArrayCase(f"svdvals{list(shape)}", "svdvals", (shape,), dk.linalg.svdvals, singular_values))
    for shape in ((3, 3), (4, 2), (2, 3), (2, 3, 2)):
        cases.append(ArrayCase(f"pinv{list(shape)}", "pinv", (shape,), dk.linalg.pinv, pseudo_inverse))
    return cases
