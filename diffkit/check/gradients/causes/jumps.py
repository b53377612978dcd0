"""Functions that move in jumps: their derivative is zero where they have one, and tells nothing."""

from __future__ import annotations

import numpy as np

from ..evidence import Evidence, Part
from ..functions.function import Function
from ..numeric import Dense
from ..suspects import Suspect

#: how far is looked, in units of the scale; how often the way to a jump is halved; leaves that are looked at
DISTANCES = (2.0, 0.5, 0.1, 0.02)
HALVINGS, MOST_LEAVES = 30, 4
#: a jump keeps this part of the whole move
PART = 0.05


def jumps(
    function: Function, evidence: Evidence, at_x: np.ndarray, noise: np.ndarray, scale: np.ndarray, seed: int
) -> list[Suspect]:
    """Of arguments whose gradient is zero, as it was measured to be: those by which the function moves all the same, in jumps."""
    flat = [p for p in evidence.parts if p.leaf.size and not np.any(p.given) and not p.off.any()]
    found = [p.leaf.name for p in flat[:MOST_LEAVES] if _jumps(function, p, at_x, noise, scale, seed)]
    if not found:
        return []
    words = (
        "the function moves in jumps: its derivative is zero where it has one, and tells nothing about where it goes"
    )
    return [Suspect("step-function", words, tuple(found))]


def _jumps(function: Function, part: Part, at_x: np.ndarray, noise: np.ndarray, scale: np.ndarray, seed: int) -> bool:
    direction = Dense(function, [(seed, 13, part.number)], [part.leaf], scale)

    def move(t: float) -> np.ndarray:
        return function.value(direction.shifted(0, t)[0]) - at_x

    for sign in (1.0, -1.0):
        moved, still = None, 0.0
        for distance in DISTANCES:
            off = move(sign * distance)
            if not np.isfinite(off).all() or not (np.abs(off) > 30 * noise).any():
                still = distance
                break
            moved = distance
        if moved is None or not still:
            continue
        low, high = still, moved
        whole = np.abs(move(sign * high)).max()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            moves = np.abs(move(sign * middle)).max() > 0.5 * PART * whole
            low, high = (low, middle) if moves else (middle, high)
        jump = np.abs(move(sign * high) - move(sign * low)).max()
        if np.isfinite(jump) and jump > PART * whole:
            return True
    return False
