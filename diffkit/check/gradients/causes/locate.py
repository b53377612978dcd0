"""Where in a large argument a gradient is off, by halving: along random directions over a part of a leaf."""

from __future__ import annotations

import numpy as np

from ..evidence import Evidence, Part
from ..functions.function import Function, Leaf
from ..numeric import Dense, Differences
from ..suspects import Suspect


def located(
    function: Function, evidence: Evidence, measured: Differences, given: np.ndarray, seed: int
) -> list[Suspect]:
    """The entry that alone is off, of each leaf where there is only one."""
    found = []
    for part in evidence.bad_parts:
        if np.isfinite(part.own).all():
            found += _halved(function, part, measured, given, seed)
    return found


def _halved(function: Function, part: Part, measured: Differences, given: np.ndarray, seed: int) -> list[Suspect]:
    low, high = part.leaf.start, part.leaf.entries.stop
    assert isinstance(measured.directions, Dense)
    scale = measured.directions.scales
    turn = 0
    while high - low > 1:
        middle = (low + high) // 2
        halves = [Leaf("", (middle - low,), part.leaf.dtype, low), Leaf("", (high - middle,), part.leaf.dtype, middle)]
        turn += 1
        seeds = [(seed, 5, part.number, turn, k) for k in (0, 1)]
        differences = Differences(function, Dense(function, seeds, halves, scale), measured.at_x, measured.noise)
        e = differences.measure()
        own = np.array([float(differences.directions.dot(d, given[0])) for d in (0, 1)])
        with np.errstate(all="ignore"):
            off = np.abs(own - e.value[:, 0]) > 3 * e.bar[:, 0] + 1e-6 * np.abs(e.value[:, 0])
        if off[0] == off[1]:
            return []
        low, high = (low, middle) if off[0] else (middle, high)
    name = function.entry_name(low)
    return [Suspect("single-entry", f"only the entry {name} is wrong", (part.leaf.name,))]
