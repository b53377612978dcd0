"""What is known of the right gradient, leaf by leaf, as numbers that a gradient can be held against.

A *row* is a linear functional of a leaf's gradient: one of its entries, or its product with a random direction. Where every entry
was measured there is a row an entry; of large arguments there are rows of some entries and of directions over whole leaves. A guess
at what is wrong becomes a candidate, an array of the leaf's shape, and fits if all its rows do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .functions.function import Function, Leaf
from .numeric import KINK, SMOOTH, STEP, Differences, Entries

#: what rounding may do to a right gradient, relative to the entry and relative to the largest (times scales), by dtype
ROUNDING = {True: (1e-7, 1e-12), False: (2e-4, 2e-6)}
#: a candidate fits within so many tolerances
SLACK = 3.0
#: a bar beyond this part of the derivative, and of the largest one, says little about it
UNRESOLVED, NEGLIGIBLE = 0.05, {True: 1e-4, False: 2e-2}


@dataclass
class Part:
    """The evidence about one leaf."""

    leaf: Leaf
    #: its place among the leaves
    number: int
    #: (*outputs, *leaf.shape)
    given: np.ndarray
    #: a candidate's rows
    rows: Callable[[np.ndarray], np.ndarray]
    expected: np.ndarray
    bar: np.ndarray
    tolerance: np.ndarray
    state: np.ndarray
    left: np.ndarray
    right: np.ndarray
    #: there is a row an entry, in order
    whole: bool
    #: so many of the first rows are single entries
    single: int = 0

    def __post_init__(self) -> None:
        self.own = self.rows(self.given)
        #: rows that can be judged
        self.known = (self.state != KINK) & np.isfinite(self.expected) & np.isfinite(self.tolerance)
        with np.errstate(all="ignore"):
            off = ~(np.abs(self.own - self.expected) <= self.tolerance)
            low, high = np.fmin(self.left, self.right), np.fmax(self.left, self.right)
            outside = ~((self.own >= low - self.tolerance) & (self.own <= high + self.tolerance))
        kinks = (self.state == KINK) & np.isfinite(low) & np.isfinite(high)
        self.off = (self.known & off) | (kinks & outside)
        #: not finite where the derivative is
        self.off |= self.known & ~np.isfinite(self.own)

    def misfit(self, candidate: np.ndarray) -> np.ndarray:
        """Of the rows that can be judged, the distance from what is expected in tolerances."""
        with np.errstate(all="ignore"):
            off = np.abs(self.rows(candidate) - self.expected)[self.known] / self.tolerance[self.known]
        return np.where(np.isfinite(off), off, np.inf)

    def fits(self, candidate: np.ndarray) -> bool:
        return candidate.shape == self.given.shape and bool((self.misfit(candidate) <= SLACK).all())

    @property
    def target(self) -> np.ndarray | None:
        """The expected gradient as an array, where every entry is known; NaN where it is not."""
        if not self.whole:
            return None
        return np.where(self.known, self.expected, np.nan).reshape(self.given.shape)

    @property
    def wrong(self) -> np.ndarray | None:
        """Which entries are off, as an array of the gradient's shape, where every entry was measured."""
        return self.off.reshape(self.given.shape) if self.whole else None


@dataclass
class Evidence:
    parts: list[Part]
    #: rows over all leaves at once that are off, where there are such rows
    off_together: int
    #: (directions, outputs): those whose bars say little
    doubtful: np.ndarray

    @property
    def off(self) -> bool:
        return bool(self.off_together) or any(p.off.any() for p in self.parts)

    @property
    def unresolved(self) -> int:
        return int(self.doubtful.sum())

    @property
    def resolution(self) -> float:
        """The widest bar relative to its derivative; to the largest of the argument where that is much larger."""
        found = []
        for p in self.parts:
            size = np.abs(p.expected[p.known])
            with np.errstate(all="ignore"):
                found.append(p.bar[p.known] / np.maximum(size, 1e-3 * size.max(initial=0.0)))
        every = np.concatenate([*found, np.zeros(0)])
        every = every[np.isfinite(every)]
        return float(every.max()) if every.size else float("nan")

    @property
    def kinks(self) -> int:
        return sum(int((p.state == KINK).sum()) for p in self.parts)

    @property
    def bad_parts(self) -> list[Part]:
        return [p for p in self.parts if p.off.any()]

    @property
    def wrong_rows(self) -> int:
        return sum(int(p.off.sum()) for p in self.parts)


@dataclass
class Tolerances:
    """rtol, atol: the user's; None for what the dtype suggests."""

    double: bool
    rtol: float | None
    atol: float | None

    #: (outputs,): of the surroundings; what makes up the scale where the gradient is zero
    variation: np.ndarray | float = 0.0

    def of(self, expected: np.ndarray, bar: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Of derivatives (directions, outputs) along directions with these scales."""
        relative, absolute = ROUNDING[self.double]
        with np.errstate(all="ignore"):
            size = np.abs(np.where(np.isfinite(expected), expected, 0.0))
            largest = (size * scale[:, None]).max(axis=0, initial=0.0)
            floor = np.full_like(size, self.atol) if self.atol is not None else absolute * largest / scale[:, None]
            return bar + (relative if self.rtol is None else self.rtol) * size + floor


def by_entries(function: Function, given: np.ndarray, found: Differences, tolerances: Tolerances) -> Evidence:
    """given: (outputs, entries)."""
    e, scale = found.estimates, found.directions.scale
    tolerance = tolerances.of(e.value, e.bar, scale)
    parts = []
    for number, leaf in enumerate(function.leaves):
        here = leaf.entries
        shape = (*function.out_shape, *leaf.shape)
        row = lambda table, here=here: table[here].T.reshape(-1)
        parts.append(
            Part(
                leaf,
                number,
                given[:, here].reshape(shape),
                lambda a: a.reshape(-1),
                row(e.value),
                row(e.bar),
                row(tolerance),
                row(e.state),
                row(e.left),
                row(e.right),
                True,
            )
        )
    return Evidence(parts, 0, _unresolved(e.value, e.bar, given.T, e.state, scale, tolerances))


def by_rows(
    function: Function, given: np.ndarray, entries: Differences, dense: Differences, tolerances: Tolerances
) -> Evidence:
    """given: (1, entries), of the function's only output or of a sum of them; dense: along directions over leaves or all."""
    at, directions = entries.directions, dense.directions
    assert isinstance(at, Entries)
    leaves: Sequence[Leaf | None] = directions.leaves  # type: ignore[attr-defined]
    loose = tolerances.of(entries.estimates.value, entries.estimates.bar, at.scale)
    tight = tolerances.of(dense.estimates.value, dense.estimates.bar, directions.scale)
    # products with a direction round as their terms do
    u = function.roundoff
    own = np.array([float(directions.dot(d, given[0])) for d in range(directions.count)])
    size = np.array([float(_absolute(directions, d, given[0])) for d in range(directions.count)])
    tight = tight + 64 * u * size[:, None]
    parts = []
    for number, leaf in enumerate(function.leaves):
        picked = np.flatnonzero((at.entries >= leaf.start) & (at.entries < leaf.entries.stop))
        along = [d for d in range(directions.count) if leaves[d] is leaf]

        def rows(a: np.ndarray, leaf: Leaf = leaf, picked: np.ndarray = picked, along: list[int] = along) -> np.ndarray:
            line = a.reshape(-1)
            products = [line @ directions.vector(d)[1] for d in along]  # type: ignore[attr-defined]
            return np.concatenate([line[at.entries[picked] - leaf.start], np.array(products)])

        def both(name: str, picked: np.ndarray = picked, along: list[int] = along) -> np.ndarray:
            return np.concatenate(
                [getattr(entries.estimates, name)[picked, 0], getattr(dense.estimates, name)[along, 0]]
            )

        parts.append(
            Part(
                leaf,
                number,
                given[0, leaf.entries].reshape(leaf.shape),
                rows,
                both("value"),
                both("bar"),
                np.concatenate([loose[picked, 0], tight[along, 0]]),
                both("state"),
                both("left"),
                both("right"),
                False,
                len(picked),
            )
        )
    everywhere = [d for d in range(directions.count) if leaves[d] is None]
    with np.errstate(all="ignore"):
        value = dense.estimates.value[everywhere, 0]
        judged = np.isfinite(value) & np.isin(dense.estimates.state[everywhere, 0], (SMOOTH, STEP))
        off = judged & ~(np.abs(own[everywhere] - value) <= tight[everywhere, 0])
    e = dense.estimates
    unresolved = _unresolved(e.value, e.bar, own[:, None], e.state, directions.scale, tolerances)
    return Evidence(parts, int(off.sum()), unresolved)


def _absolute(directions: object, d: int, row: np.ndarray) -> float:
    part, v = directions.vector(d)  # type: ignore[attr-defined]
    with np.errstate(all="ignore"):
        return float(np.nan_to_num(np.abs(row[part]) @ np.abs(v), posinf=0.0))


def _unresolved(
    value: np.ndarray, bar: np.ndarray, given: np.ndarray, state: np.ndarray, scale: np.ndarray, tolerances: Tolerances
) -> np.ndarray:
    """Which derivatives have bars that say little: wider than a good part of them, and not small beside the largest."""
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(value), np.where(np.isfinite(given), np.abs(given), 0.0))
        size = np.where(np.isfinite(size), size, 0.0)
        largest = np.maximum((size * scale[:, None]).max(axis=0, initial=0.0), tolerances.variation)
        wide = ~(bar <= UNRESOLVED * size) & ~(bar * scale[:, None] <= NEGLIGIBLE[tolerances.double] * largest)
        nothing = (size == 0) & (largest == 0) & np.isfinite(bar)
    return wide & ~nothing & (state != KINK)
