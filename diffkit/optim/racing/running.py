"""One run of one optimiser, counted in gradient evaluations."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

import numpy as np

from ..minimizing.iterating import nest_steps, vector_steps
from ..objective import Objective, Point
from ..optimizer import Optimizer
from ..second_order.method import NOISE, VectorOptimizer
from .problems import Problem
from .result import Run


class Track(Objective):
    """A problem as optimisers see it: with its noise, and everything counted in the same currency.

    `cost`: gradient evaluations. A value counts as 1, with or without gradient; a product with the Hessian as 2, which is what
    forward over reverse takes; a Hessian as the n products that it is made of.
    """

    def __init__(self, problem: Problem, machine: str) -> None:
        super().__init__(problem.function, problem.start, machine=machine)
        self.noise = problem.noise
        self.cost = 0
        self.seeded(0)

    def seeded(self, seed: int) -> None:
        """Begin anew: counters at zero, draws from a seed."""
        self.cost = self.nfev = self.njev = self.nhev = 0
        self.rng = np.random.default_rng(seed)

    def exact(self, x: np.ndarray) -> float:
        """The function itself, without noise, not counted."""
        return super().point(x).value

    def point(self, x: np.ndarray) -> Point:
        self.cost += 1
        at = super().point(x)
        if not self.noise:
            return at
        draw = self.noise * self.rng.standard_normal(len(x))
        return Point(x, at.value + float(draw @ x), at.gradient + draw)

    def value(self, x: np.ndarray) -> float:
        return self.point(x).value

    def hessian(self, x: np.ndarray) -> np.ndarray:
        self.cost += 2 * len(x)
        return super().hessian(x)

    def product(self, x: np.ndarray, direction: np.ndarray) -> np.ndarray:
        self.cost += 2
        return super().product(x, direction)


def run(track: Track, start: np.ndarray, optimizer: Optimizer, steps: int, rate: float | None, seed: int) -> Run:
    """From a start until `steps` gradient evaluations are spent, the values are not finite any more, or there is no step.

    An iterate's count is the evaluations beyond the first up to the one that gave its value; iterates beyond `steps` are left out.
    """
    track.seeded(seed)
    began = perf_counter()
    at = track.point(start.copy())
    points, values, counts = [at.x], [at.value], [0]
    message = ""
    with np.errstate(all="ignore"):  # a run that diverges is told by its values
        if isinstance(optimizer, VectorOptimizer):
            advance, forget = vector_steps(optimizer, track)
        else:
            advance, forget = nest_steps(optimizer, track, start)
        done = 0
        while track.cost <= steps and at.finite:
            if at.norm == 0:
                message = "the gradient is zero"
                break
            budget = max(1, min(25, steps + 1 - track.cost))
            try:
                step = advance(at, done, NOISE * track.eps * abs(at.value), budget)
            except np.linalg.LinAlgError as problem:  # Newton's method, told to stop where the Hessian is indefinite
                message = str(problem)
                break
            if step.trouble:
                if forget():
                    continue
                message = step.trouble
                break
            at = step.point or track.point(step.x)
            done += 1
            if track.cost - 1 > steps:
                break
            points.append(at.x)
            values.append(at.value)
            counts.append(track.cost - 1)
    seconds = perf_counter() - began
    if not at.finite:
        message = f"{_what(at)} after {done} steps"
    return _told(track, points, values, counts, message, seconds, rate, seed)


def _what(at: Point) -> str:
    return f"the loss is {at.value}" if not math.isfinite(at.value) else "the gradient is not finite"


def _told(
    track: Track, points: Any, values: Any, counts: Any, message: str, seconds: float, rate: Any, seed: int
) -> Run:
    if track.noise:
        values = [track.exact(x) for x in points]
    return Run(np.array(points), np.array(values), np.array(counts), message, seconds, rate, seed)
