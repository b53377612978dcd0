"""`race`: optimisers on one problem, each at its best learning rate of a stated grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from ...errors import ArgumentError, NotFiniteError, ShapeError
from .contestants import USUAL, Contestant, contestants
from .problems import Problem, problem
from .result import TOLERANCES, Entrant, RaceResult, Run, Try, middle
from .running import Track, run

#: learning rates that are tried by default: half decades from 10⁻⁴ to 10^½
GRID = tuple(float(f"{10 ** (k / 2):.4g}") for k in range(-8, 2))
#: seeds of a problem with noise by default; without noise one run is all there is
SEEDS = 5


def race(
    on: str | Problem | Callable[[Any], Any],
    optimizers: Sequence[Any] | Mapping[str, Any] = USUAL,
    *,
    steps: int = 200,
    grid: Sequence[float] = GRID,
    seeds: int | Sequence[int] | None = None,
    start: Any = None,
    minimum: float | None = None,
    machine: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> RaceResult:
    """Every optimiser on one problem, from one start, with `steps` gradient evaluations to spend.

    on: a problem of the catalogue by name ("rosenbrock", "quadratic:cond=1000,n=2"), a `Problem`, or a function of a vector, which
    is traced, with start. optimizers: names (`contestants.NAMES`), optimisers, or {label: optimiser, or function from a learning
    rate to one}. grid: the learning rates tried for those that are tuned; the one with the lowest loss after `steps` evaluations
    wins (of those within 1e-8 of the way from f(start) to f*, the soonest there), by the median over seeds where the problem has
    noise. seeds: of the noise, how many or which. start: (n,), in the place
    of the problem's. minimum: the least value, where the problem does not know it; without it, or where somebody gets below it,
    the least one found stands for it. progress: called with the optimiser's name, runs done and runs to do.

    Everybody pays in one currency, gradient evaluations: a value counts as 1, with or without gradient, a Hessian-vector product
    as 2, a Hessian as 2n. Nothing is left out of the result: all tries of the grid, and runs that diverged, as such.

    Returns a `RaceResult`, best first. Raises ArgumentError for names and options that there are not, ShapeError for a start of
    another length, NotFiniteError where the function is not finite at the start.
    """
    course = _course(on, start, minimum)
    field = contestants(optimizers)
    if not (isinstance(steps, int) and steps >= 1):
        raise ArgumentError(
            f"steps, the gradient evaluations that each may spend, is a positive whole number, not {steps!r}"
        )
    rates = sorted({float(r) for r in grid})
    if any(c.tuned for c in field) and not (rates and all(r > 0 and math.isfinite(r) for r in rates)):
        raise ArgumentError(f"the grid of learning rates must be positive numbers, not {list(grid)}")
    used = _seeds(seeds, bool(course.noise))
    track = Track(course, machine)
    first = track.point(course.start)
    if not first.finite:
        raise NotFiniteError(f"at the start {course.start} the value is {first.value}, the gradient {first.gradient}")
    total = sum((len(rates) if c.tuned else 1) * len(used) for c in field)
    done = 0

    def tried(c: Contestant, rate: float | None) -> list[Run]:
        nonlocal done
        runs = []
        for seed in used:
            runs.append(run(track, course.start, c.make(rate), steps, rate, seed))
            done += 1
            if progress is not None:
                progress(c.name, done, total)
        return runs

    found = []
    for c in field:
        # compiled before it is timed
        run(track, course.start, c.make(rates[0] if c.tuned else None), 1, None, used[0])
        found.append((c, [(rate, tried(c, rate)) for rate in (rates if c.tuned else [None])]))
    least, known = course.minimum, True
    lowest = min(float(r.lowest) for _, tries in found for _, runs in tries for r in runs)
    if least is None or (minimum is not None and lowest < least):
        least, known = lowest, False
    entrants = [_entrant(c, tries, least, rates) for c, tries in found]
    entrants.sort(key=lambda e: _rank(e.runs, least))
    return RaceResult(course, steps, tuple(rates), tuple(used), least, known, tuple(entrants), minimum)


def _course(on: Any, start: Any, minimum: float | None) -> Problem:
    if isinstance(on, str):
        on = problem(on)
    elif not isinstance(on, Problem):
        if not callable(on):
            raise ArgumentError(f"a race is on a problem's name, a Problem or a function, not {type(on).__name__}")
        if start is None:
            raise ArgumentError("a race on a function needs a start: race(f, start=[-1.2, 1.0])")
        name = getattr(on, "__name__", "function")
        on = Problem(name, name, on, np.array(start, float).reshape(-1))
    changes: dict[str, Any] = {}
    if start is not None:
        point = np.array(start, float).reshape(-1)
        if point.shape != on.start.shape:
            raise ShapeError(f"the start has {len(point)} numbers; {on.name} has {on.dimension} variables")
        changes["start"] = point
    if minimum is not None:
        if on.minimum is not None:
            raise ArgumentError(f"the least value of {on.name} is known, {on.minimum:.10g}: leave minimum= out")
        if not math.isfinite(minimum):
            raise ArgumentError(f"minimum, the least value of the function, is a finite number, not {minimum}")
        changes["minimum"] = float(minimum)
    return replace(on, **changes) if changes else on


def _seeds(seeds: int | Sequence[int] | None, noisy: bool) -> list[int]:
    if not noisy:
        return [0] if seeds is None or isinstance(seeds, int) else [int(seeds[0])] if len(seeds) else [0]
    chosen = list(range(SEEDS if seeds is None else seeds)) if seeds is None or isinstance(seeds, int) else list(seeds)
    if not chosen:
        raise ArgumentError("a problem with noise takes one seed at least: seeds=5")
    return chosen


def _entrant(c: Contestant, tries: list[tuple[float | None, list[Run]]], least: float, rates: list[float]) -> Entrant:
    """The best try; of equals the one that came close to the minimum sooner, then the smaller rate."""

    rate, runs = min(tries, key=lambda t: _rank(t[1], least))
    reached = {t: _median([r.reached(t, least) for r in runs]) for t in TOLERANCES}
    return Entrant(
        name=c.name,
        formula=str(c.make(rate if c.tuned else None)),
        rate=rate,
        at_edge=c.tuned and len(rates) > 1 and rate in (rates[0], rates[-1]),
        tries=tuple(Try(r, _final(rr), middle(rr).state, middle(rr).message) for r, rr in tries),
        runs=tuple(runs),
        final=_final(runs),
        state=middle(runs).state,
        reached={t: None if math.isinf(n) else math.ceil(n) for t, n in reached.items()},
        seconds=median(r.seconds for r in runs),
        message=middle(runs).message,
    )


def _rank(runs: Sequence[Run], least: float) -> tuple[float, ...]:
    """Smaller is better: the loss at the end, then how soon the run was close to the minimum.

    Losses within the least tolerance of the minimum are equal: what is left there is round-off, or luck.
    """
    finest = TOLERANCES[-1]
    close = finest * max(float(runs[0].values[0]) - least, 0.0)
    soon = (_median([r.reached(t, least) for r in runs]) for t in TOLERANCES[::-1])
    return (max(_final(runs) - least, close), *soon)


def _final(runs: Sequence[Run]) -> float:
    return middle(runs).final


def _median(values: Sequence[float]) -> float:
    """The lower of the two in the middle where there are two, so that no value is made up of infinity."""
    ordered = sorted(math.inf if math.isnan(v) else v for v in values)
    return float(ordered[(len(ordered) - 1) // 2])
