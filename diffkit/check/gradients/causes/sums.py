"""Sums over wrong axes."""

from __future__ import annotations

import numpy as np

from ..evidence import SLACK, Part
from ..suspects import Suspect


def wrong_axes(part: Part, primal: np.ndarray) -> list[Suspect]:
    """Of a gradient of the right shape, every entry of which is known."""
    target = part.target
    if target is None or target.ndim == 0 or target.size < 2 or np.isnan(target).any():
        return []
    given, leaves = part.given, (part.leaf.name,)
    tolerance = part.tolerance.reshape(target.shape)
    found = []
    for axis in range(target.ndim):
        extent = target.shape[axis]
        if extent < 2:
            continue
        where = f"axis {axis}"
        bound = SLACK * tolerance.sum(axis, keepdims=True)
        total = target.sum(axis, keepdims=True)
        if (np.abs(given - total) <= bound).all() and _varies(target, tolerance, axis):
            found.append(Suspect("wrong-axis", f"the gradient is summed over {where}, and broadcast back", leaves))
        if (np.abs(given - total / extent) <= bound).all() and _varies(target, tolerance, axis):
            found.append(Suspect("wrong-axis", f"the gradient is averaged over {where}, and broadcast back", leaves))
    if found:
        return found
    vanishing = _vanishing(target, tolerance), _vanishing(given, tolerance)
    if vanishing[0] and vanishing[1] and set(vanishing[0]).isdisjoint(vanishing[1]):
        words = f"sums along axis {vanishing[0][0]} of the right gradient are zero, of this one along axis {vanishing[1][0]}"
        return [Suspect("wrong-axis", f"{words}: something is summed over the wrong axis", leaves)]
    lines = _exchanged_factors(target, given, tolerance)
    if lines:
        return [Suspect("wrong-axis", lines, leaves)]
    size = np.abs(target).sum()
    if (
        abs(given.sum() - target.sum()) <= SLACK * tolerance.sum()
        and abs(target.sum()) > 1e-3 * size
        and part.off.mean() > 0.5
    ):
        words = "the sum of all entries is right, the entries are not: something is summed over the wrong axis"
        return [Suspect("wrong-axis", words, leaves)]
    if target.ndim > 1 and len(vanishing[0]) == 1 and not vanishing[1]:
        words = f"sums along axis {vanishing[0][0]} of the right gradient are zero, of this one they are not"
        line = Suspect("wrong-axis", f"{words}: a sum or mean in it is over the wrong axis, or missing", leaves)
        term = Suspect("missing-term", f"{words}: a term is missing or wrong", leaves)
        return [line, term] if _by_lines(part, target, primal, vanishing[0][0]) else [term, line]
    return []


def _by_lines(part: Part, target: np.ndarray, primal: np.ndarray, axis: int) -> bool:
    """Whether what is off is made of sums along lines: a factor times a number a row and a number a column, or two such."""
    if target.ndim != 2 or min(target.shape) < 3 or primal.shape != target.shape:
        return False
    off = part.given - target
    exponential = np.exp(primal - primal.max(axis, keepdims=True))
    centred = primal - primal.mean(axis, keepdims=True)
    for factor in (np.ones_like(off), exponential / exponential.sum(axis, keepdims=True)):
        if _is_separable(off / factor, [np.ones_like(off)]):
            return True
    spread = np.sqrt((centred**2).mean(axis, keepdims=True))
    return min(target.shape) > 4 and _is_separable(off * spread, [np.ones_like(off), centred / spread])


def _is_separable(table: np.ndarray, factors: list[np.ndarray]) -> bool:
    """Whether it is Σ factor·(a number a row + a number a column)."""
    rows, columns = table.shape
    if (rows + columns) * len(factors) >= table.size or not np.isfinite(table).all():
        return False
    basis = []
    for factor in factors:
        basis += [(factor * (np.arange(rows) == i)[:, None]).ravel() for i in range(rows)]
        basis += [(factor * (np.arange(columns) == j)).ravel() for j in range(columns)]
    columns_of = np.array(basis).T
    line = columns_of @ np.linalg.lstsq(columns_of, table.ravel(), rcond=None)[0]
    return bool(np.abs(line - table.ravel()).max() <= 1e-5 * np.abs(table).max())


def _exchanged_factors(target: np.ndarray, given: np.ndarray, tolerance: np.ndarray) -> str:
    """In words, of a matrix whose rows and columns each have a factor of their own too many."""
    if target.ndim != 2 or min(target.shape) < 3:
        return ""
    with np.errstate(all="ignore"):
        ratio = given / target
        clear = np.abs(target) > 100 * tolerance
        if not clear.all() or not np.isfinite(ratio).all() or not (ratio != 0).all():
            return ""
        apart = ratio * ratio[0, 0] / (ratio[:1, :] * ratio[:, :1])
        error = 10 * (tolerance / np.abs(target)).max()
    if (np.abs(apart - 1) > error).any():
        return ""
    rows, columns = np.ptp(ratio[:, 0]) > error * abs(ratio[0, 0]), np.ptp(ratio[0]) > error * abs(ratio[0, 0])
    if rows and columns:
        return "every row and every column has a factor of its own too many: rows are scaled for columns"
    return f"every {'row' if rows else 'column'} has a factor of its own too many: something is scaled along the wrong axis"


def _varies(target: np.ndarray, tolerance: np.ndarray, axis: int) -> bool:
    return bool((np.ptp(target, axis=axis) > 2 * tolerance.max(axis)).any())


def _vanishing(array: np.ndarray, tolerance: np.ndarray) -> list[int]:
    """The axes along which sums are zero, of an array that is not."""
    found = []
    for axis in range(array.ndim):
        if array.shape[axis] < 2:
            continue
        size = np.abs(array).sum(axis)
        with np.errstate(invalid="ignore"):
            small = np.abs(array.sum(axis)) <= np.maximum(SLACK * tolerance.sum(axis), 1e-6 * size)
        if small.all() and size.max() > 0:
            found.append(axis)
    return found
