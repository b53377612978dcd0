"""Derivatives along directions by central differences, with error bars, in as few calls as will do.

Two steps a direction (four calls) and Richardson's extrapolation do for a smooth function. Where the bar is still wide, further
steps are added, larger ones where noise makes it wide, smaller ones where curvature does. Where the one-sided slopes do not
approach each other, or values are missing, or somebody asks, a ladder of steps over many orders of magnitude is walked, and
engines/steps.py says what the quotients tell: a limit, two one-sided limits (a kink), or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....engines import steps
from ..functions.function import Function
from .directions import Directions
from .noise import SPACING

#: what a direction was found to be: smooth; with unlike one-sided slopes; constant but for jumps; not to be told
SMOOTH, KINK, STEP, VAGUE = range(4)
STATES = ("smooth", "kink", "step", "vague")

#: the second step is the first divided by this
RATIO = 3.0
#: a bar below this part of the derivative is good enough, and so is one that much below the largest derivative (times scales);
#: by whether double precision is used
GOAL = {True: 1e-6, False: 1e-3}
#: the most steps that are added one by one, and the factors between them
ADDED, LARGER, SMALLER = 4, 40.0, 12.0
#: largest step, in units of the scale, that is tried unasked
FARTHEST = 1.0
#: a move of less than so many times the noise is hardly one
BARELY = 1e3
#: steps of the ladder, from the largest to the smallest in units of the scale; those that are tried first
RUNGS, FEW, TOP, BOTTOM = 15, 7, 2.0, {True: 2.0**-40, False: 2.0**-17}
#: one-sided slopes of a smooth function approach each other by RATIO; this much less is looked into
APPROACH = 0.6
#: numbers of the points that are asked for at once, about
LARGE = 1 << 22
#: one-sided slopes this much alike, relatively, are no kink: one of the second derivative, near by, looks so
SLIGHT = 1e-4
#: one-sided slopes that differ by more than this part of the derivative widen its bar by their difference
UNLIKE = 1e-3
#: how often an estimate is given up for one from smaller steps
MOST_RETREATS = 6
#: quotients of so many small steps tell of noise
LEAST_SMALL = 6
#: jumps of less than this part of the largest move are noise; beyond, the function is one of steps
GRAIN = 1e-2
#: a difference that keeps this part of itself over half of the ladder is a jump
JUMP = 0.3
#: values that noise is looked at with again, how far from the point (in spacings of the first table), less a polynomial of degree
SAMPLES, SPAN, DEGREE = 24, 3.0, 4
#: one-sided slopes of a smooth function approach each other as steps do, within this factor
GROWTH = 1.5
#: so many times the noise is no noise
CLEAR = 8.0


@dataclass
class Estimates:
    """Arrays (directions, outputs)."""

    value: np.ndarray
    bar: np.ndarray
    state: np.ndarray
    #: one-sided slopes; NaN where nobody looked
    left: np.ndarray
    right: np.ndarray
    left_bar: np.ndarray
    right_bar: np.ndarray
    #: the step that the value rests on
    step: np.ndarray
    #: (directions,): a ladder was walked
    examined: np.ndarray

    @classmethod
    def empty(cls, directions: int, outputs: int) -> Estimates:
        shape = (directions, outputs)
        nan, inf = np.full(shape, np.nan), np.full(shape, np.inf)
        return cls(
            nan.copy(), inf.copy(), np.zeros(shape, np.uint8), nan.copy(), nan.copy(), inf.copy(), inf.copy(), nan.copy(),
            np.zeros(directions, bool),
        )  # fmt: skip


@dataclass
class Walk:
    """Values at steps along one direction: distances (steps,), values (steps, outputs), largest step first."""

    ahead: np.ndarray
    behind: np.ndarray
    up: np.ndarray
    down: np.ndarray

    def merged(self, other: Walk) -> Walk:
        ahead = np.concatenate([self.ahead, other.ahead])
        order = np.argsort(-ahead, kind="stable")
        behind = np.concatenate([self.behind, other.behind])
        up, down = np.concatenate([self.up, other.up]), np.concatenate([self.down, other.down])
        return Walk(ahead[order], behind[order], up[order], down[order])

    def nearer(self, start: int) -> Walk:
        """Without the first steps."""
        return Walk(self.ahead[start:], self.behind[start:], self.up[start:], self.down[start:])

    def quotients(self, at_x: np.ndarray) -> np.ndarray:
        """Central ones, (steps, outputs), weighted so that the second derivative cancels though distances are unlike."""
        ahead, behind = self.ahead[:, None], self.behind[:, None]
        wide = ahead + behind
        return (behind / wide) * ((self.up - at_x) / ahead) + (ahead / wide) * ((at_x - self.down) / behind)


class Differences:
    def __init__(
        self,
        function: Function,
        directions: Directions,
        at_x: np.ndarray,
        noise: np.ndarray,
        variation: np.ndarray | float = 0.0,
    ) -> None:
        """at_x, noise, variation: (outputs,) values at the point, the size of their errors, what derivatives are small beside."""
        self.variation = variation
        #: the smallest jump of values that stay as they are for small steps; 0 where they move
        self.grain = 0.0
        self.function, self.directions, self.at_x, self.noise = function, directions, at_x, noise
        self.double = function.roundoff < 1e-10
        self.walks: dict[int, Walk] = {}
        self.estimates = Estimates.empty(directions.count, len(at_x))
        with np.errstate(all="ignore"):
            relative = float(np.max(np.where(at_x != 0, noise / np.abs(at_x), 0.0), initial=0.0))
        #: the first step in units of the scale: rounding and the error of fourth order are alike
        self.first = float(np.clip(max(relative, function.roundoff) ** 0.2, 5e-4, 0.1))

    # ---- all directions ----
    def measure(self, advance: object = None) -> Estimates:
        """Two steps each, and more where they do not do. advance: called with the number of directions done."""
        d, n = self.directions, self.directions.count
        each = max(1, min(64, LARGE // max(1, self.function.size)))
        for start in range(0, n, each):
            part = range(start, min(n, start + each))
            for k, walk in zip(part, self._walk(part, [self.first, self.first / RATIO]), strict=True):
                self.walks[k] = walk
                self._two_steps(k)
            if callable(advance):
                advance(len(part))
        with np.errstate(all="ignore"):
            sizes = np.abs(self.estimates.value) * d.scale[:, None]
            self._largest = np.max(np.where(np.isfinite(sizes), sizes, 0.0), axis=0, initial=0.0)
        for k in range(n):
            if not self.fine(k):
                self._refine(k)
        return self.estimates

    def fine(self, k: int) -> bool:
        """Whether the bars of direction k are as narrow as one may wish."""
        e, goal = self.estimates, GOAL[self.double]
        with np.errstate(all="ignore"):
            narrow = e.bar[k] <= goal * np.abs(e.value[k])
            narrow |= e.bar[k] * self.directions.scale[k] <= 1e-3 * goal * np.fmax(self._largest, self.variation)
        return bool(narrow.all())

    def _walk(self, which: Sequence[int], sizes: Sequence[float]) -> list[Walk]:
        """Values at these steps (in units of the scales) along these directions."""
        d, distances = self.directions, []

        def points() -> Iterator[np.ndarray]:
            for k in which:
                for size in sizes:
                    for sign in (1, -1):
                        z, t = d.shifted(k, sign * size * float(d.scale[k]))
                        distances.append(sign * t)
                        yield z

        values = self.function.values(points()).reshape(len(which), len(sizes), 2, -1)
        apart = np.array(distances).reshape(len(which), len(sizes), 2)
        found = []
        for a, v in zip(apart, values, strict=True):
            kept = (a > 0).all(axis=1) & np.isfinite(a).all(axis=1)  # a step may vanish in rounding
            found.append(Walk(a[kept, 0], a[kept, 1], v[kept, 0], v[kept, 1]))
        return found

    def _two_steps(self, k: int) -> None:
        walk, e = self.walks[k], self.estimates
        if len(walk.ahead) < 2:
            e.state[k] = VAGUE
            return
        with np.errstate(all="ignore"):
            central = walk.quotients(self.at_x)
            wide = walk.ahead + walk.behind
            ratio = (wide[0] / wide[1]) ** 2
            correction = (central[1] - central[0]) / (ratio - 1)
            rounding = self._rounding(walk)[1] * (ratio + 1) / (ratio - 1)
            value = central[1] + correction
            bar = 2 * np.abs(correction) + rounding + 4 * steps.U * np.abs(value)
            bend = (walk.up - self.at_x) / walk.ahead[:, None] - (self.at_x - walk.down) / walk.behind[:, None]
            kinky = np.abs(bend[1]) > APPROACH * np.abs(bend[0])
            kinky &= np.abs(bend[1]) > CLEAR * 4 * self.noise / min(walk.ahead[1], walk.behind[1])
            kinky &= np.abs(bend[1]) > 1e-7 * np.abs(value)
            bar = bar + self._roughness(walk)[1]
        usable = np.isfinite(value) & ~kinky
        e.value[k] = np.where(usable, value, np.nan)
        e.bar[k] = np.where(usable, bar, np.inf)
        e.state[k] = np.where(usable, SMOOTH, VAGUE)
        e.step[k] = wide[1] / 2

    def _refine(self, k: int) -> None:
        """Further steps, until the bars are fine or no longer gain; the ladder where values or slopes are odd."""
        e, scale = self.estimates, float(self.directions.scale[k])
        if (e.state[k] != SMOOTH).any():
            self.examine(k)
            return
        noisy = False
        for _ in range(ADDED):
            walk, before = self.walks[k], e.bar[k].copy()
            with np.errstate(all="ignore"):
                worst = int(np.argmax(np.where(self._narrow(k), 0.0, e.bar[k] / (np.abs(e.value[k]) + 1e-300))))
                noisy = bool(self._rounding(walk)[-1, worst] > 0.25 * e.bar[k, worst])
            size = walk.ahead[0] / scale * LARGER if noisy else walk.ahead[-1] / scale / SMALLER
            moved = np.fmax(np.abs(walk.up[0] - self.at_x), np.abs(walk.down[0] - self.at_x))[worst]
            still = bool(moved < BARELY * self.noise[worst])  # flat as far as that: the argument's size is no scale
            if noisy and size > FARTHEST * (max(1.0, 1 / scale) if still else 1.0):
                break
            (more,) = self._walk([k], [size])
            self.walks[k] = walk.merged(more)
            self._from_limit(k)
            with np.errstate(all="ignore"):
                gains = bool((e.bar[k] < 0.7 * before).any())
                found = bool((np.abs(e.value[k]) > e.bar[k])[~self._narrow(k)].any())
            if self.fine(k) or not gains or (noisy and not found):  # a zero stays one
                break
        if (e.state[k] != SMOOTH).any() or not (noisy or self.fine(k)):
            self.examine(k)

    def _slopes(self, walk: Walk, noise: np.ndarray) -> steps.Slopes:
        outputs = walk.up.shape[1]
        above = np.repeat(walk.ahead[:, None], outputs, axis=1)
        below = -np.repeat(walk.behind[:, None], outputs, axis=1)
        known = steps.Noise.unknown_beside(CLEAR / 2 * noise)
        return steps.slopes(np.zeros(outputs), above, below, self.at_x, walk.up, walk.down, known)

    def _betrayed(self, walk: Walk, found: steps.Slopes, noise: np.ndarray) -> np.ndarray:
        """(outputs,): the largest step, below the one that the value rests on, whose quotient says otherwise; 0 where none.

        Below it the truncation error of a smooth function falls with the square of the step, and noise alone may keep quotients
        away: a kink within the larger step shows here.
        """
        q, wide = walk.quotients(self.at_x), (walk.ahead + walk.behind)[:, None]
        every = np.arange(q.shape[1])
        own, size = q[found.level, every], wide[found.level, 0]
        allowed = found.bar + CLEAR * noise / wide + 2 * np.abs(own - found.value) * (wide / size) ** 2
        says = (
            (np.abs(q - found.value) > allowed) & (np.arange(len(q))[:, None] > found.level) & np.isfinite(found.value)
        )
        return np.where(says.any(axis=0), np.argmax(says, axis=0), 0)

    def _roughness(self, walk: Walk) -> np.ndarray:
        """(steps, outputs): by how much one-sided slopes differ at each step, or the next smaller one, beyond what a smooth
        function's do, which approach each other as steps fall: kinks within the step, of which extrapolation knows nothing."""
        bend = np.abs((walk.up - self.at_x) / walk.ahead[:, None] - (self.at_x - walk.down) / walk.behind[:, None])
        noise = 2 * CLEAR * self.noise / np.minimum(walk.ahead, walk.behind)[:, None]
        smooth = GROWTH * bend[:-1] * (walk.ahead[1:] / walk.ahead[:-1])[:, None]
        excess = np.zeros_like(bend)
        excess[1:] = np.nan_to_num(np.maximum(bend[1:] - smooth - noise[1:], 0.0), nan=0.0, posinf=0.0)
        return np.maximum(excess, np.concatenate([excess[1:], excess[-1:]]))

    def _scattered(self, walk: Walk) -> np.ndarray:
        """The noise, no more than quotients of small steps scatter by: in a function that varies fast other things look like it."""
        quotients = walk.quotients(self.at_x)
        small = walk.ahead < self.first * walk.ahead[0] / TOP
        if int(small.sum()) < LEAST_SMALL:
            return self.noise
        scatter = np.abs(np.diff(quotients, axis=0)) * walk.ahead[1:, None]
        found = np.max(np.where(np.isfinite(scatter) & small[1:, None], scatter, 0.0), axis=0)
        floor = self.function.roundoff * np.abs(self.at_x)
        return np.fmin(self.noise, np.fmax(2 * found, floor))

    def _find_grain(self, walk: Walk) -> None:
        """Where values stay as they are at small steps and move in small jumps at larger ones, the jumps are noise."""
        sides = [np.abs(walk.up - self.at_x), np.abs(walk.down - self.at_x)]
        still = np.logical_and.reduce([(s == 0).any(axis=0) & (s > 0).any(axis=0) for s in sides])
        moves = np.concatenate(sides)
        least = np.min(np.where(moves > 0, moves, np.inf), axis=0)
        most = np.fmax.reduce(moves, axis=0)
        grain = still & (least < GRAIN * most)
        self.noise = np.where(grain, np.fmax(self.noise, least), self.noise)
        self.grain = max(self.grain, float(np.max(np.where(grain, least, 0.0), initial=0.0)))

    def _rounding(self, walk: Walk) -> np.ndarray:
        """What errors of values can do to each quotient, (steps, outputs)."""
        sizes = self.function.roundoff * (np.abs(walk.up) + np.abs(walk.down))
        return (CLEAR * self.noise + 2 * sizes) / (walk.ahead + walk.behind)[:, None]

    def _narrow(self, k: int) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self.estimates.bar[k] <= GOAL[self.double] * np.abs(self.estimates.value[k])

    def _from_limit(self, k: int) -> None:
        """From three steps or more."""
        walk, e = self.walks[k], self.estimates
        with np.errstate(all="ignore"):
            wide = (walk.ahead + walk.behind)[:, None]
            shape = (len(wide), len(self.at_x))
            found = steps.limit(walk.quotients(self.at_x), np.broadcast_to(wide / 2, shape), self._rounding(walk), 2)
            rough = self._roughness(walk)[found.level, np.arange(shape[1])]
        e.value[k], e.bar[k] = found.value, found.bar + rough
        e.step[k] = np.broadcast_to(wide / 2, shape)[found.level, np.arange(shape[1])]

    # ---- one direction, thoroughly ----
    def sharpen(self, k: int) -> None:
        """A third, smaller step."""
        walk = self.walks[k]
        if len(walk.ahead) == 2 and (self.estimates.state[k] == SMOOTH).all():
            (more,) = self._walk([k], [walk.ahead[-1] / float(self.directions.scale[k]) / RATIO])
            self.walks[k] = walk.merged(more)
            self._from_limit(k)

    def forget(self, which: Sequence[int]) -> None:
        """What was found along these directions, unless a ladder was walked."""
        for k in which:
            if not self.estimates.examined[k]:
                self.estimates.value[k], self.estimates.bar[k], self.estimates.state[k] = np.nan, np.inf, VAGUE

    def examine(self, k: int) -> None:
        """Steps over many orders of magnitude; one-sided slopes, and whether there is a derivative."""
        if self.estimates.examined[k]:
            return
        self.estimates.examined[k] = True
        rungs = np.geomspace(TOP * 0.9515, BOTTOM[self.double], RUNGS)  # never exactly a multiple of a period
        every = np.linspace(0, RUNGS - 1, FEW).round().astype(int)
        self._look(k, rungs[every])
        e = self.estimates
        if not ((e.state[k] == SMOOTH) & (e.bar[k] <= 1e-4 * np.abs(e.value[k]))).all():
            self._look(k, np.delete(rungs, every))

    def sample_noise(self, k: int) -> bool:
        """The noise of values again, from many of them along direction k, less a polynomial. True if it is more than was thought;
        the bars of the direction are what they should be then."""
        span = SPAN * SPACING[self.function.roundoff] * float(self.directions.scale[k])
        random = np.random.default_rng([17, k])
        apart = []

        def points() -> Iterator[np.ndarray]:
            for wanted in random.uniform(-span, span, SAMPLES):
                z, t = self.directions.shifted(k, float(wanted))
                apart.append(t)
                yield z

        values = self.function.values(points())
        t = np.array(apart) / span
        if not np.isfinite(values).all():
            return False
        powers = np.vander(t, DEGREE + 1)
        left = values - powers @ np.linalg.lstsq(powers, values, rcond=None)[0]
        noise = np.sqrt(np.sum(left**2, axis=0) / (SAMPLES - DEGREE - 1))
        if not (noise > self.noise).any():
            return False
        self.noise = np.maximum(self.noise, noise)
        self._look(k, np.zeros(0))
        return True

    def _look(self, k: int, sizes: np.ndarray) -> None:
        """At these steps too, and what all of them tell."""
        e = self.estimates
        if len(sizes):
            (more,) = self._walk([k], list(sizes))
            self.walks[k] = self.walks[k].merged(more)
        walk = self.walks[k]
        levels, outputs = walk.up.shape
        if not levels:
            e.state[k] = VAGUE
            return
        before = self.noise
        with np.errstate(all="ignore"):
            noise = self._scattered(walk)
            self._find_grain(walk)
            noise = np.fmax(noise, np.where(self.noise > before, self.noise, 0.0))
        with np.errstate(all="ignore"):
            found = self._slopes(walk, noise)
            for _ in range(MOST_RETREATS):
                start = self._betrayed(walk, found, noise)
                if not start.any() or levels - int(start.max()) < 3:
                    break
                nearer = self._slopes(walk.nearer(int(start.max())), noise)
                nearer.level = nearer.level + int(start.max())
                for name in steps.Slopes.__dataclass_fields__:
                    setattr(found, name, np.where(start > 0, getattr(nearer, name), getattr(found, name)))
            betrayed = self._betrayed(walk, found, noise) > 0
            still = (walk.up == self.at_x) & (walk.down == self.at_x)
        settled = ~np.isnan(found.value) & np.isfinite(found.bar) & ~betrayed
        with np.errstate(all="ignore"):
            # a side's difference that stays as steps fall by orders of magnitude is a jump
            coarse = levels // 2
            jumps = [
                (np.abs(d[-1]) > CLEAR * self.noise) & (np.abs(d[-1]) > JUMP * np.abs(d[coarse]))
                for d in (walk.up - self.at_x, self.at_x - walk.down)
            ]
        with np.errstate(all="ignore"):
            apart = np.abs(found.right - found.left)
            slight = apart <= SLIGHT * np.fmax(np.abs(found.right), np.abs(found.left))
        unlike = (found.kink & ~slight) | jumps[0] | jumps[1]
        state = np.where(unlike, KINK, np.where(settled, SMOOTH, VAGUE))
        # nothing moves at the small steps, and something does at the large ones
        flat = still[levels // 2 :].all(axis=0) & ~(self.noise > before)
        state = np.where(flat & ~still.all(axis=0), STEP, state)
        e.state[k] = state
        e.value[k] = np.where(flat, 0.0, found.value)
        with np.errstate(all="ignore"):
            rough = self._roughness(walk)[found.level, np.arange(outputs)]
            # one-sided slopes apart though neither is sure: there are kinks about, and either may be the one that counts
            rough = rough + np.where(apart > UNLIKE * np.abs(found.value), np.nan_to_num(apart, posinf=0.0), 0.0)
            rough = np.where(unlike, 0.0, rough)
        e.bar[k] = np.where(flat, CLEAR * self.noise / walk.ahead[levels // 2], found.bar + rough)
        e.step[k] = found.step
        e.left[k], e.right[k], e.left_bar[k], e.right_bar[k] = found.left, found.right, found.left_bar, found.right_bar
