"""A step along a direction that satisfies the strong Wolfe conditions.

Nocedal and Wright, Numerical Optimization (2nd ed.), section 3.5: a bracket is found by ever longer steps, then narrowed by
cubic interpolation. Near a minimum the values' own noise hides the decrease; there, as in Hager and Zhang (SIAM J. Optim. 16,
2005), values count as equal within `noise` and slopes decide. A value that is NaN or infinite means: too far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..objective import Objective, Point

#: a bracket's next trial keeps this part of its width from either end
MARGIN = 0.05
#: a search without an upper end goes at most this much further at once
STRETCH = 10.0
#: a function that still falls as steeply after a step so many times the first one has no minimum along the direction
ENDLESS = 1e15


class Trial(NamedTuple):
    """A step, the value after it, the slope along the direction there, and the point."""

    step: float
    value: float
    slope: float
    point: Point | None = None

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.slope)


class Search(NamedTuple):
    """What a line search found.

    best: the trial to go to; its step is 0 where no trial was lower. found: it satisfies the conditions asked for. evaluations: of
    the function. message: what happened. endless: the function fell at its first slope as far as steps went.
    """

    best: Trial
    found: bool
    evaluations: int
    message: str
    endless: bool = False


Along = Callable[[float], Trial]


def along(objective: Objective, at: Point, direction: np.ndarray) -> tuple[Along, Trial]:
    """The function of a step's length along a direction, and what it is at 0."""

    def trial(step: float) -> Trial:
        point = objective.point(at.x + step * direction)
        return Trial(step, point.value, float(point.gradient @ direction), point)

    return trial, Trial(0.0, at.value, float(at.gradient @ direction), at)


def strong_wolfe(
    trial: Along,
    start: Trial,
    first: float,
    *,
    c1: float = 1e-4,
    c2: float = 0.9,
    noise: float = 0.0,
    max_nfev: int = 25,
    shortest: float = 0.0,
) -> Search:
    """A step a with f(a) ≤ f(0) + c1·a·f'(0) (+ noise) and |f'(a)| ≤ c2·|f'(0)|.

    start: at step 0, with a negative slope. first: the first step tried. noise: differences of values up to this mean nothing.
    shortest: a bracket narrower than this is given up.
    """
    low, high = start, None
    step, widths, bad = first, [math.inf, math.inf], 0
    for count in range(1, max_nfev + 1):
        t = trial(step)
        if t.value == -math.inf:
            return Search(t, True, count, "the function is -inf")
        if not t.finite:
            high, bad = t, bad + 1
        elif t.value > start.value + c1 * t.step * start.slope + noise or t.value > low.value + noise:
            high = t
        elif abs(t.slope) <= -c2 * start.slope:
            return Search(t, True, count, "strong Wolfe conditions hold")
        elif t.slope >= 0:
            high = t
        else:
            before, low = low, t
            if high is None:
                step = _further(before, low)
                continue
        assert high is not None
        width = high.step - low.step
        if width <= max(shortest, 4e-16 * high.step):
            return Search(low, False, count, "the bracket has shrunk to round-off")
        # two trials that did not narrow the bracket by a third: the interpolation is misled
        step = low.step + width * (0.5 if width > 0.66 * widths[0] else _within(low, high, noise, bad))
        widths = [widths[1], width]
    endless = high is None and low.step >= ENDLESS * first
    return Search(low, False, max_nfev, f"no step found in {max_nfev} evaluations", endless)


def _further(a: Trial, b: Trial) -> float:
    """A longer step than b, where the slope is still negative."""
    width = b.step - a.step
    t = cubic(a, b)
    return b.step + width * (min(max(t - 1, 1.0), STRETCH) if t > 1 else STRETCH)


def _within(low: Trial, high: Trial, noise: float, bad: int) -> float:
    """Where in a bracket to look next, as a part of its width."""
    if not high.finite:
        return max(0.5**bad, MARGIN)
    if abs(high.value - low.value) <= 4 * noise and high.slope > 0:  # values say nothing
        t = low.slope / (low.slope - high.slope)
    else:
        t = cubic(low, high)
    return min(max(t, MARGIN), 1 - MARGIN) if math.isfinite(t) else 0.5


def cubic(a: Trial, b: Trial) -> float:
    """The minimum of the cubic through values and slopes at a and b, as (step - a) / (b - a); NaN where it has none.

    Nocedal and Wright, equation 3.59.
    """
    width = b.step - a.step
    d1 = a.slope + b.slope - 3 * (b.value - a.value) / width
    root = d1 * d1 - a.slope * b.slope
    if not (root >= 0 and math.isfinite(root)):
        return math.nan
    d2 = math.sqrt(root)
    below = b.slope - a.slope + 2 * d2
    return 1 - (b.slope + d2 - d1) / below if below else math.nan


def armijo(
    trial: Along, start: Trial, first: float, *, c1: float = 1e-4, noise: float = 0.0, max_nfev: int = 40
) -> Search:
    """Backtracking (Nocedal and Wright, Algorithm 3.1): halves the step until the value has decreased enough.

    Where values differ by no more than their noise, the slope decides: it must not have turned round, to 0.8 of its size or more.
    """
    step = first
    for count in range(1, max_nfev + 1):
        t = trial(step)
        if t.value == -math.inf:
            return Search(t, True, count, "the function is -inf")
        lower = t.value <= start.value + c1 * step * start.slope
        level = abs(t.value - start.value) <= noise and t.slope <= -0.8 * start.slope
        if t.finite and ((lower and t.value < start.value - noise) or level):
            return Search(t, True, count, "sufficient decrease")
        step *= 0.5
    return Search(start, False, max_nfev, f"no decrease after {max_nfev} halvings of the step")
