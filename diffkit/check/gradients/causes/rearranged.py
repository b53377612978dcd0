"""The right numbers in the wrong places: signs, transposes, permuted axes, shifts, exchanged arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from ..evidence import SLACK, Part
from ..suspects import Suspect

#: shifts that are tried along an axis
SHIFTS = (1, -1, 2, -2, 3, -3)
#: arrays of more axes are not permuted in every way
MOST_AXES = 4
#: entries whose order is looked at
MOST_SORTED = 1 << 20


def candidates(given: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """(code, in words, the gradient with that undone) for everything that moves numbers within one array."""
    yield "sign", "the gradient has the wrong sign", -given
    n, shape = given.ndim, given.shape
    for order in permutations(range(n)) if 2 <= n <= MOST_AXES else [tuple(range(n))[::-1]] if n > 1 else []:
        if order == tuple(range(n)) or tuple(shape[a] for a in order) != shape:
            continue
        undone = np.transpose(given, order)
        if n == 2:
            yield "transposed", "the gradient is transposed", undone
        else:
            axes = ", ".join(map(str, np.argsort(order)))
            yield "permuted", f"the gradient's axes are permuted to ({axes})", undone
            if order == (*range(n - 2), n - 1, n - 2):
                yield "transposed", "the gradient's last two axes are transposed", undone
    if n > 1:
        yield (
            "permuted",
            "the gradient's entries are in column order (Fortran's)",
            given.reshape(-1).reshape(shape[::-1]).T,
        )
    for axis in range(n):
        where = f" along axis {axis}" if n > 1 else ""
        yield "permuted", f"the gradient is reversed{where}", np.flip(given, axis)
        if shape[axis] < 3:
            continue
        for by in SHIFTS:
            if abs(by) < shape[axis] - 1:
                yield "shifted", f"the gradient is shifted by {by}{where}", np.roll(given, -by, axis)
    if n > 1:
        yield "permuted", "the gradient is reversed along all axes", np.flip(given)


def within(part: Part) -> list[Suspect]:
    """What, moved back within the array, makes it right."""
    leaves = (part.leaf.name,)
    found = [Suspect(code, words, leaves) for code, words, undone in candidates(part.given) if part.fits(undone)]
    if not found:
        found = _shifted_off_the_end(part) or _permuted(part)
    return found


def _shifted_off_the_end(part: Part) -> list[Suspect]:
    """Shifts that lost what was at one end."""
    target = part.target
    if target is None:
        return []
    tolerance = part.tolerance.reshape(target.shape) * SLACK
    for axis, extent in enumerate(target.shape):
        for by in (s for s in SHIFTS if extent - abs(s) >= max(2, extent / 2)):
            theirs = np.take(part.given, range(max(by, 0), extent + min(by, 0)), axis)
            here = range(max(-by, 0), extent - max(by, 0))
            ours, bound = np.take(target, here, axis), np.take(tolerance, here, axis)
            with np.errstate(invalid="ignore"):
                same = np.abs(theirs - ours) <= bound
            varies = np.ptp(np.nan_to_num(ours)) > 2 * bound.max()
            if same[~np.isnan(ours)].all() and varies:
                where = f" along axis {axis}" if target.ndim > 1 else ""
                return [Suspect("shifted", f"the gradient is shifted by {by}{where}", (part.leaf.name,))]
    return []


def _permuted(part: Part) -> list[Suspect]:
    target = part.target
    if target is None or target.size < 2 or target.size > MOST_SORTED or not part.known.all():
        return []
    theirs, order = np.sort(part.given.reshape(-1)), np.argsort(target.reshape(-1))
    with np.errstate(invalid="ignore"):
        off = np.abs(theirs - target.reshape(-1)[order])
        if (off <= SLACK * part.tolerance[order]).all():
            return [Suspect("permuted", "the gradient's entries are in another order", (part.leaf.name,))]
    return []


def exchanged(parts: Sequence[Part]) -> list[Suspect]:
    """Whole gradients that stand in each other's places."""
    bad = [p for p in parts if p.off.any()]
    if len(bad) < 2:
        return []
    found = {}
    for p in bad:
        donor = next((q for q in parts if q is not p and q.given.shape == p.given.shape and p.fits(q.given)), None)
        if donor is None:
            return []
        found[p.leaf.name] = donor.leaf.name
    names = tuple(found)
    if len(names) == 2:
        words = f"the gradients by {names[0]} and {names[1]} are exchanged"
    else:
        words = "the gradients are in another order: " + ", ".join(
            f"that of {d} stands at {n}" for n, d in found.items()
        )
    return [Suspect("permuted", words, names)]
