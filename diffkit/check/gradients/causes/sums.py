"""Sums over wrong axes."""

from __future__ import annotations

import numpy as np

from ..evidence import SLACK, Part
from ..suspects import Suspect


def wrong_axes(part: Part) -> list[Suspect]:
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
    if abs(given.sum() - target.sum()) <= SLACK * tolerance.sum() and abs(target.sum()) > 1e-3 * size:
        words = "the sum of all entries is right, the entries are not: something is summed over the wrong axis"
        return [Suspect("wrong-axis", words, leaves)]
    if target.ndim > 1 and len(vanishing[0]) == 1 and not vanishing[1]:
        words = f"sums along axis {vanishing[0][0]} of the right gradient are zero, of this one they are not"
        return [Suspect("wrong-axis", f"{words}: a sum or mean in it is over the wrong axis, or missing", leaves)]
    return []


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
