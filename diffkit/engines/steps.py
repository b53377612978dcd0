"""Limits of difference quotients: which step to take, how far to extrapolate, and how good the result is.

Everything here sees numbers only: values of a function at x, x + h and x − h, and a bound of their noise. Arrays are
(levels, entries), levels in order of falling step.

* `ladder` chooses the steps, `spread` puts more of them where they matter.
* `limit` extrapolates a sequence of quotients to h → 0 (Richardson's table in Neville's form). The bar of a table entry
  is SAFETY times its last correction plus what the noise of the values contributes to it; the entry of least bar wins,
  provided that the bars of all smaller steps contain it. (Without that proviso a kink closer than the step, or a step
  that is a multiple of a period, looks like convergence.)
* `slopes` takes three limits, of central, right and left quotients, and says whether they are one number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics import UNIT_ROUNDOFF

U = UNIT_ROUNDOFF["float64"]

#: columns of the extrapolation table: with steps in ratio 2.8 the seventh no longer gains anything
COLUMNS = 6
#: a correction times this bounds what the correction leaves over
SAFETY = 2.0
#: the same for a one-sided limit, and how many entries of smaller step it is held against. Its series has all powers of h
#: (at a singular point, fractions too), so that noise in one difference hides a truncation error more easily; and a
#: function that saturates on one side looks linear there
SAFETY_ONE_SIDED, AHEAD = 4.0, 3
#: smallest step relative to x: 2⁸ ulps, where a quotient still has eight bits or so
FINEST = -45.0
#: smallest exponent at x = 0
LEAST = -510.0
#: steps above 2⁻²⁴·x; the rest only looks for kinks that near
COARSE_LEVELS, FINE_LEVELS = 16, 14
#: a quotient of so large a step is never exactly a multiple of a period or of a lattice
OFFSET = 0.4515


def ladder(x: np.ndarray) -> np.ndarray:
    """Exponents of the steps at each x, largest first: the step is 2**exponent.

    From max(|x|, 1) down to 2⁻⁴⁵·|x|. At x = 0 no scale is known, and the exponents cover the range of doubles whose squares are
    doubles (√(x²) is flat below), densely around 1.
    """
    zero = ~((np.abs(x) >= 2.0**-1000) & np.isfinite(x))
    with np.errstate(divide="ignore"):
        scale = np.where(zero, 0.0, np.log2(np.abs(np.where(zero, 1.0, x))))
    top = np.maximum(scale, 0.0)
    middle = np.where(top - scale > 12, scale, scale - 24.0)
    unit = np.linspace(0.0, 1.0, COARSE_LEVELS, endpoint=False)[:, None]
    coarse = top + (middle - top) * unit
    fine = middle + (scale + FINEST - middle) * np.linspace(0.0, 1.0, FINE_LEVELS)[:, None]
    levels = np.concatenate([coarse, fine])
    wide = np.concatenate([np.linspace(500, 40, 5), np.linspace(5, -45, 17), np.linspace(-103, LEAST, 8)])
    return np.where(zero, wide[:, None], levels) - OFFSET


def spread(exponents: np.ndarray, best: np.ndarray, count: int = 8) -> np.ndarray:
    """Further exponents between the neighbours of level `best` of each column."""
    last = len(exponents) - 1
    column = np.arange(exponents.shape[1])
    high = exponents[np.maximum(best - 1, 0), column]
    low = exponents[np.minimum(best + 1, last), column]
    return high + (low - high) * ((np.arange(count) + 0.5) / count)[:, None]


@dataclass
class Limit:
    """A limit of quotients: arrays over the entries."""

    value: np.ndarray
    bar: np.ndarray
    #: what the noise of the values contributes to the bar
    noise: np.ndarray
    #: the level it rests on
    level: np.ndarray


def limit(quotients: np.ndarray, steps: np.ndarray, noise: np.ndarray, power: int) -> Limit:
    """The limit for h → 0 of quotients whose error is a series in h**power."""
    levels = len(quotients)
    safety, ahead = (SAFETY, 1) if power == 2 else (SAFETY_ONE_SIDED, AHEAD)
    table, rounding = quotients, noise + 4 * U * np.abs(quotients)
    truncation = _change(table, ahead)
    best, value, share = np.full_like(quotients, np.inf), np.array(quotients), np.array(rounding)

    def keep(m: int) -> None:
        total = safety * truncation + rounding
        better = total < best[m:]
        for kept, new in ((best, total), (value, table), (share, rounding)):
            np.copyto(kept[m:], new, where=better)

    for m in range(1, min(COLUMNS + 1, levels)):
        ratio = (steps[:-m] / steps[m:]) ** power
        correction = (table[1:] - table[:-1]) / (ratio - 1)
        size = np.abs(correction)
        np.maximum(truncation[1:], size, out=truncation[1:])  # what is corrected now was an error of the column before
        keep(m - 1)
        rounding = (ratio * rounding[1:] + rounding[:-1]) / (ratio - 1)
        table = table[1:] + correction
        truncation = np.maximum(size, _change(table, ahead))
    keep(min(COLUMNS, levels - 1))
    return _chosen(value, best, share)


def _change(column: np.ndarray, ahead: int) -> np.ndarray:
    """How far each entry of a column is from the next `ahead`, whose steps are smaller (the last ones: from those before)."""
    levels = len(column)
    if levels == 1:
        return np.full_like(column, np.inf)
    ahead = min(ahead, levels - 1)
    change = np.empty_like(column)
    change[:-1] = np.abs(column[1:] - column[:-1])
    change[-1] = change[-2]
    for j in range(2, ahead + 1):
        further = np.abs(column[j:] - column[:-j])
        np.fmax(change[:-j], further, out=change[:-j])
        np.fmax(change[-j:], further[-j:] if len(further) >= j else further[-1:], out=change[-j:])
    return change


def _chosen(value: np.ndarray, bar: np.ndarray, share: np.ndarray) -> Limit:
    """The level of least bar among those that every finer level's bar contains."""
    low, high = value - bar, value + bar
    usable = np.isfinite(bar)
    ceiling = np.minimum.accumulate(np.where(usable, high, np.inf)[::-1], axis=0)[::-1]
    floor = np.maximum.accumulate(np.where(usable, low, -np.inf)[::-1], axis=0)[::-1]
    consistent = np.array(usable)
    consistent[:-1] &= (low[:-1] <= ceiling[1:]) & (high[:-1] >= floor[1:])
    ranked = np.where(consistent, bar, np.inf)
    level = np.argmin(ranked, axis=0)
    at = (level, np.arange(value.shape[1]))
    found = np.isfinite(ranked[at])
    return Limit(
        np.where(found, value[at], np.nan), np.where(found, bar[at], np.inf), np.where(found, share[at], np.inf), level
    )


#: a side whose bar exceeds this part of the slope has to show that its quotients settle (even log h grows by more than
#: 1 part in 1000 an octave)
VAGUE = 1e-4
#: quotients that settle change less from octave to octave, at the smallest step where a change is seen, than this part
#: of the most they changed in an octave before; this can be told if a change was seen 7 octaves before, or more
SETTLING, OCTAVES = 0.7, 7
#: a difference of values that over those octaves keeps this part of itself is a jump (that of ∛x keeps a fifth)
STAYING = 0.5


def _unsettled(
    found: Limit, quotients: np.ndarray, steps: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """0 where the quotients settle or nothing is known, else ±1, the sign of the infinity they run to; and whether it is a jump."""
    vague = ~(found.bar <= VAGUE * np.abs(found.value)) & ~(found.bar <= 3 * found.noise)
    runs, jumps = np.zeros(found.value.shape), np.zeros(found.value.shape, bool)
    columns = np.flatnonzero(vague)
    if not columns.size:
        return runs, jumps
    q, h, n = quotients[:, columns], steps[:, columns], noise[:, columns]
    move = np.diff(q, axis=0)
    change = np.abs(move) / np.log2(h[:-1] / h[1:])
    seen = (np.abs(move) > 4 * n[1:]) & np.isfinite(change)
    finest = len(change) - 1 - np.argmax(seen[::-1], axis=0)
    at = np.arange(len(columns))
    away = np.log2(h[1:] / h[1:][finest, at])
    window = seen & ((away <= 2 * OCTAVES) | (np.arange(len(change))[:, None] >= finest - 3))
    # three in a row and in one direction: one stray quotient makes two changes, there and back
    known = (finest >= 2) & seen[finest, at] & seen[finest - 1, at] & seen[finest - 2, at]
    known &= (move[finest, at] > 0) == (move[finest - 1, at] > 0)
    known &= (move[finest, at] > 0) == (move[finest - 2, at] > 0)
    before = window & (away >= OCTAVES)
    known &= before.any(axis=0)
    grows = known & (change[finest, at] > SETTLING * np.max(np.where(window & (away > 0), change, 0.0), axis=0))
    runs[columns] = np.where(grows, np.sign(q[1:][finest, at]), 0.0)
    # the difference of the values itself does not fall
    difference = np.abs(q * h)[1:]
    least = np.min(np.where(before, difference, np.inf), axis=0)
    jumps[columns] = grows & (difference[finest, at] > STAYING * least)
    return runs, jumps


@dataclass
class Slopes:
    """What difference quotients say at every entry."""

    value: np.ndarray
    bar: np.ndarray
    left: np.ndarray
    left_bar: np.ndarray
    right: np.ndarray
    right_bar: np.ndarray
    kink: np.ndarray
    step: np.ndarray
    #: level of the least bar, for `spread`
    level: np.ndarray
    #: the limit of central quotients and its level, whatever became of it
    middle: np.ndarray
    middle_level: np.ndarray


@dataclass
class Noise:
    """Bounds of the error of values, at x and by distance from it: arrays over the entries.

    Beside x the bound rises in proportion to the distance, as its first-order Taylor series does, to what it was found to be at
    `reach`; beyond, values have at least the relative error that they have there. (1 − x)² + 100(y − x²)² computes without
    error where y = x², and with 200u a unit of distance beside it.
    """

    at_x: np.ndarray
    reach: np.ndarray
    #: on each side (below, above): the bound at `reach` less the one at x, and the bound relative to the value
    rises: tuple[np.ndarray, np.ndarray]
    relative: tuple[np.ndarray, np.ndarray]

    @classmethod
    def unknown_beside(cls, at_x: np.ndarray) -> Noise:
        """With nothing known but the bound at x."""
        zero = np.zeros_like(at_x)
        return cls(at_x, np.full_like(at_x, np.inf), (zero, zero), (zero, zero))

    @classmethod
    def seen_beside(cls, at_x: np.ndarray, reach: np.ndarray, bounds: np.ndarray, values: np.ndarray) -> Noise:
        """From bounds and values at `reach` below and above, (2, entries); bounds that are not finite tell nothing."""
        rises = np.where(np.isfinite(bounds), np.maximum(bounds - at_x, 0.0), 0.0)
        share = bounds / np.abs(values)
        relative = np.where(np.isfinite(share), np.minimum(share, MOST_RELATIVE), 0.0)
        return cls(at_x, reach, (rises[0], rises[1]), (relative[0], relative[1]))

    def of(self, entries: np.ndarray, factor: Any = 1.0) -> Noise:
        """That of some entries, times a factor."""
        low, high = (tuple(a[entries] * factor for a in pair) for pair in (self.rises, self.relative))
        return Noise(self.at_x[entries] * factor, self.reach[entries], low, high)  # type: ignore[arg-type]

    def beside(self, side: int, distance: np.ndarray, values: np.ndarray) -> np.ndarray:
        """At these distances below (0) or above (1)."""
        relative = np.where(distance > self.reach, np.maximum(self.relative[side], 4 * U), 4 * U)
        return self.at_x + self.rises[side] * (distance / self.reach) + relative * np.abs(values)


#: a value that has lost more of its digits than this, where the bound was taken, says nothing about values elsewhere
MOST_RELATIVE = 2.0**-20


def slopes(
    x: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
    at_x: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    noise: Noise,
) -> Slopes:
    """From values at x, at `above` and at `below` (levels, entries) to slopes with bars.

    Should the quotients of small steps scatter more than the noise bound, it is raised to what they show. Differences of
    arguments are taken as they are, rounded points and all: where x + h and x − h lie at different distances, quotients
    are weighted so that the second derivative still cancels.
    """
    quotients = _Quotients(x, above, below, at_x, up, down, noise=noise)
    found = quotients.slopes()
    worst, wild = quotients.scatter(found)
    again = np.flatnonzero((worst > 1) & (worst < MOST_SCATTER))
    if again.size:
        more = quotients.of(again, 2 * worst[again]).slopes()
        for name in Slopes.__dataclass_fields__:
            getattr(found, name)[again] = getattr(more, name)
    # far from converging as steps fall: a jump beside slopes that larger steps saw, or a function that varies faster than x
    # can be told from its neighbours
    apart = np.abs(found.value - found.left) > found.bar + found.left_bar
    apart |= np.abs(found.value - found.right) > found.bar + found.right_bar
    chaos = ((wild >= WILD_STEPS) | (apart & ~found.kink)) & ~np.isinf(found.value)
    known = ~chaos | np.isinf(found.left) | np.isinf(found.right)
    for slope, bar, kept in (
        (found.value, found.bar, ~chaos),
        (found.left, found.left_bar, known),
        (found.right, found.right_bar, known),
    ):
        slope[~kept], bar[~kept] = np.nan, np.inf
    return found


#: scatter of so many times the noise bound is put down to a bound that is too small; beyond, to a jump
MOST_SCATTER = 256.0
#: so many steps with that much scatter are no accident
WILD_STEPS = 3


class _Quotients:
    """Quotients at all levels, with what noise can do to each."""

    def __init__(self, *given: np.ndarray, noise: Noise) -> None:
        self.given, self.noise = given, noise
        x, above, below, at_x, up, down = given
        self.at_x = at_x
        self.ahead, self.behind = above - x, x - below
        self.wide = self.ahead + self.behind
        self.rising, self.falling = (up - at_x) / self.ahead, (at_x - down) / self.behind
        self.central = (self.behind / self.wide) * self.rising + (self.ahead / self.wide) * self.falling
        down_noise, up_noise = noise.beside(0, self.behind, down), noise.beside(1, self.ahead, up)
        self.left_noise, self.right_noise = (
            (noise.at_x + down_noise) / self.behind,
            (noise.at_x + up_noise) / self.ahead,
        )
        self.central_noise = (up_noise + down_noise) / self.wide

    def of(self, entries: np.ndarray, factor: np.ndarray) -> _Quotients:
        return _Quotients(*(a[..., entries] for a in self.given), noise=self.noise.of(entries, factor))

    def scatter(self, found: Slopes) -> tuple[np.ndarray, np.ndarray]:
        """By how much quotients of smaller steps are off, in units of their noise: the most, and at how many steps MOST_SCATTER.

        Their own truncation error, which falls with h², is not counted.
        """
        levels, entries = self.central.shape
        column = np.arange(entries)
        finer = np.arange(levels)[:, None] > found.middle_level
        off = np.abs(self.central - found.middle)
        about = [(np.clip(found.middle_level + k, 0, levels - 1), column) for k in (-1, 0, 1)]
        own = 4 * np.fmax.reduce([off[at] * (self.wide / self.wide[at]) ** 2 for at in about])
        excess = np.where(finer, np.maximum(off - own, 0.0) / self.central_noise, 0.0)
        return np.fmax.reduce(excess, axis=0), (excess > MOST_SCATTER).sum(axis=0)

    def slopes(self) -> Slopes:
        middle = limit(self.central, self.wide / 2, self.central_noise, 2)
        right = limit(self.rising, self.ahead, self.right_noise, 1)
        left = limit(self.falling, self.behind, self.left_noise, 1)
        runs_right, jumps_right = _unsettled(right, self.rising, self.ahead, self.right_noise)
        runs_left, jumps_left = _unsettled(left, self.falling, self.behind, self.left_noise)
        for side, runs in ((right, runs_right), (left, runs_left)):
            side.value = np.where(runs == 0, side.value, runs * np.inf)
            side.bar = np.where(runs == 0, side.bar, np.inf)

        # a quotient of finite values that is not: the slope itself overflows
        up, down = self.given[4:6]
        beyond = np.isfinite(up) & ~np.isfinite(self.rising) | np.isfinite(down) & ~np.isfinite(self.falling)
        inside = np.isfinite(self.at_x) & ~beyond.any(axis=0)
        # a side is there if it is at the smallest step; at large ones x − h may be in the domain by accident
        has_right, has_left = (
            inside & np.isfinite(q[-1]) & (np.isfinite(s.bar) | np.isinf(s.value))
            for q, s in ((self.rising, right), (self.falling, left))
        )
        both = has_right & has_left
        infinite = both & (np.isinf(right.value) | np.isinf(left.value))
        apart = np.abs(right.value - left.value)
        unlike = (right.value != left.value) | jumps_right | jumps_left
        kink = both & np.where(infinite, unlike, apart > right.bar + left.bar)

        value = np.where(both, middle.value, np.where(has_right, right.value, np.where(has_left, left.value, np.nan)))
        bar = np.where(both, middle.bar, np.where(has_right, right.bar, np.where(has_left, left.bar, np.inf)))
        value = np.where(
            kink, np.where(infinite, np.nan, (right.value + left.value) / 2), np.where(infinite, right.value, value)
        )
        bar = np.where(kink, apart / 2 + right.bar + left.bar, bar)
        bar = np.where(np.isfinite(value) & ~infinite, bar, np.inf)
        level = np.where(both, middle.level, np.where(has_right, right.level, left.level))
        step = np.take_along_axis(self.wide / 2, level[None], axis=0)[0]
        right_bar, left_bar = np.where(has_right, right.bar, np.inf), np.where(has_left, left.bar, np.inf)
        right_value, left_value = np.where(has_right, right.value, np.nan), np.where(has_left, left.value, np.nan)
        return Slopes(
            value, bar, left_value, left_bar, right_value, right_bar, kink, step, level, middle.value, middle.level
        )
