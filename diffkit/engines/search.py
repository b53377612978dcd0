"""The search for the steps at which difference quotients say most: ladders of steps, more where they matter, the noise there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..numerics import UNIT_ROUNDOFF
from . import steps
from .columns import Columns

U = UNIT_ROUNDOFF["float64"]
#: what a search keeps of every level of steps
LEVELS = ("exponents", "above", "below", "up", "down")

#: steps.Slopes by name: (columns, outputs) each
Found = dict[str, np.ndarray]


def extrapolated(columns: Columns, kinky: bool) -> Iterator[tuple[Columns, Found]]:
    """Slopes at these columns by Richardson extrapolation, some columns at a time.

    kinky: steps are small from the start, because the function may have kinks.
    """
    every = np.arange(len(columns))
    ladder = steps.ladder(columns.x)
    search = Search(columns)
    first = len(ladder) if kinky else steps.COARSE_LEVELS
    search.extend(every, ladder[:first])
    found = search.slopes(every)
    if first < len(ladder):
        doubtful = np.flatnonzero(search.doubtful(found))
        if doubtful.size:
            rest = search.of(doubtful)
            rest.extend(every[: len(doubtful)], ladder[first:, doubtful])
            yield rest.columns, rest.finished(rest.slopes(every[: len(doubtful)]))
            sure = np.setdiff1d(every, doubtful)
            search, found = search.of(sure), {k: v[sure] for k, v in found.items()}
    yield search.columns, search.finished(found)


class Search:
    """Values at growing numbers of steps about some columns."""

    def __init__(self, columns: Columns) -> None:
        self.columns, self.x, self.at_x, self.noise = columns, columns.x, columns.at_x, columns.noise
        #: bounds of the error of values: at `reach` below and above, and the values there
        self.reach = np.full(len(columns), np.inf)
        self.bounds, self.seen = (np.zeros((2, *self.at_x.shape)) for _ in range(2))
        count, outputs = self.at_x.shape
        self.exponents = np.empty((0, count))
        self.above, self.below = np.empty((0, count)), np.empty((0, count))
        self.up, self.down = np.empty((0, count, outputs)), np.empty((0, count, outputs))

    def of(self, columns: np.ndarray) -> Search:
        """That of some columns."""
        part = Search(self.columns.of(columns))
        part.reach, part.bounds, part.seen = self.reach[columns], self.bounds[:, columns], self.seen[:, columns]
        for name in LEVELS:
            setattr(part, name, getattr(self, name)[:, columns])
        return part

    def _values(self, columns: np.ndarray, exponents: np.ndarray) -> tuple[np.ndarray, ...]:
        h, x = np.exp2(exponents), self.x[columns]
        above, below = x + h, x - h
        f = self.columns.of(columns).values(np.concatenate([above, below]))
        return exponents, above, below, f[: len(h)], f[len(h) :]

    def extend(self, columns: np.ndarray, exponents: np.ndarray) -> None:
        """Smaller steps, for all columns."""
        for name, new in zip(LEVELS, self._values(columns, exponents), strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), new]))

    def insert(self, columns: np.ndarray, exponents: np.ndarray) -> None:
        """Steps in between, for some columns; the others' levels are filled up with NaN, which no limit uses."""
        new = self._values(columns, exponents)
        count = len(exponents)
        for name, values in zip(LEVELS, new, strict=True):
            old = getattr(self, name)
            filler = np.full((count, *old.shape[1:]), -np.inf if name == "exponents" else np.nan)
            filler[:, columns] = values
            setattr(self, name, np.concatenate([old, filler]))
        order = np.argsort(-self.exponents, axis=0, kind="stable")
        for name in LEVELS:
            a = getattr(self, name)
            setattr(self, name, np.take_along_axis(a, order if a.ndim == 2 else order[..., None], axis=0))

    def slopes(self, columns: np.ndarray) -> Found:
        """(columns, outputs) arrays, every output with its own best step."""
        levels, outputs = len(self.exponents), self.at_x.shape[1]
        count = int(np.isfinite(self.exponents[:, columns]).sum(axis=0).max(initial=0)) if levels else 0
        pick = (slice(0, count), columns)

        def flat(a: np.ndarray) -> np.ndarray:
            return np.repeat(a[pick], outputs, axis=1) if a.ndim == 2 else a[pick].reshape(count, -1)

        found = steps.slopes(
            np.repeat(self.x[columns], outputs),
            flat(self.above),
            flat(self.below),
            self.at_x[columns].reshape(-1),
            flat(self.up),
            flat(self.down),
            self._noise(columns),
        )
        return {name: getattr(found, name).reshape(len(columns), outputs) for name in steps.Slopes.__dataclass_fields__}

    def _noise(self, columns: np.ndarray) -> steps.Noise:
        """(columns · outputs)"""
        at_x = self.noise[columns].reshape(-1)
        if not np.isfinite(self.reach).any():
            return steps.Noise.unknown_beside(at_x)
        reach = np.repeat(self.reach[columns], self.at_x.shape[1])
        return steps.Noise.seen_beside(at_x, reach, *(a[:, columns].reshape(2, -1) for a in (self.bounds, self.seen)))

    def listen(self, found: Found) -> np.ndarray:
        """Bounds the error of the values that the answers rest on; returns the columns where that changes anything."""
        level, every = found["level"].min(axis=1), np.arange(len(self.x))
        x = np.stack([self.below[level, every], self.above[level, every]])
        reach = np.abs(x[1] - x[0]) / 2
        moved = np.flatnonzero(np.isfinite(reach) & ~((reach > self.reach / 4) & (reach < self.reach * 4)))
        if not moved.size:
            return moved
        was = np.where(np.isfinite(self.reach[moved]), np.inf, 1.25)  # the first time, a little more is no news
        known = was * self.noise[moved].T + 4 * U * np.abs(self.at_x[moved].T)
        self.reach[moved] = reach[moved]
        self.seen[:, moved] = np.stack([self.down[level, every], self.up[level, every]])[:, moved]
        self.bounds[:, moved] = [self.columns.of(moved).bound(a) for a in x[:, moved]]
        news = (self.bounds[:, moved] > known.T).any(axis=(0, 2)) | np.isinf(was)
        return moved[news]

    def doubtful(self, found: Found) -> np.ndarray:
        """Columns that smaller steps could improve."""
        scale = np.maximum(np.abs(found["value"]), np.abs(self.at_x / self.x[:, None]))
        sure = (
            np.isfinite(found["bar"])
            & (found["bar"] <= 1e-8 * scale)
            & (found["level"] < len(self.exponents) - 3)
            & ~found["kink"]
        )
        near = np.exp2(self.exponents[-1]) < np.abs(self.x) * 2.0**-20
        return ~((sure & near[:, None]) | ~np.isfinite(self.at_x)).all(axis=1)

    def sparse(self, found: Found, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the columns have neighbours of the best step more than 2.7 octaves away, and their best levels."""
        with np.errstate(all="ignore"):
            vague = found["bar"][columns] / np.abs(found["value"][columns])
        worst = np.argmax(np.where(np.isnan(vague), np.inf, vague), axis=1)
        best = found["level"][columns, worst]
        e = self.exponents[:, columns]
        at = np.arange(len(columns))
        gap = np.fmax(
            e[np.maximum(best - 1, 0), at] - e[best, at], e[best, at] - e[np.minimum(best + 1, len(e) - 1), at]
        )
        wide = (gap > 2.7) & np.isfinite(self.at_x[columns]).any(axis=1)
        return wide, best

    def finished(self, found: Found) -> Found:
        """With more steps about the best where they are far apart, and the noise where the best is."""
        columns = np.arange(len(self.x))
        for _ in range(4):
            wide, best = self.sparse(found, columns)
            columns = columns[wide]
            if not columns.size:
                break
            self.insert(columns, steps.spread(self.exponents[:, columns], best[wide]))
            self._renew(found, columns)
        for _ in range(3):
            louder = self.listen(found)
            if not louder.size:
                break
            self._renew(found, louder)
        return found

    def _renew(self, found: Found, columns: np.ndarray) -> None:
        """What was found for these columns, found again; those with equally many steps together."""
        levels = np.isfinite(self.exponents[:, columns]).sum(axis=0)
        for count in np.unique(levels):
            part = columns[levels == count]
            for name, array in self.slopes(part).items():
                found[name][part] = array
