"""The loop around an optimiser: steps until a test says that it is over, and says why."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ..objective import Objective, Point
from ..optimizer import Optimizer
from ..second_order.method import NOISE, Step, Turn, VectorOptimizer
from ..state import State

CONVERGED, LIMIT, ROUND_OFF, NOT_A_NUMBER, UNBOUNDED, STOPPED = 0, 1, 2, 3, 4, 99
#: iterations without a lower value or a smaller gradient, after which round-off is asked about: at first, and once the noise of
#: values is known
PATIENCE = (20, 100)


class Rules(NamedTuple):
    """When to stop. gtol: largest entry of the gradient. ftol: relative decrease of the value in a step. xtol: relative step."""

    gtol: float
    ftol: float
    xtol: float
    max_iter: int
    max_nfev: float


class Outcome(NamedTuple):
    """Where a search ended, and why."""

    at: Point
    iterations: int
    status: int
    success: bool
    message: str


#: called with every iterate and the number of iterations done; may raise StopIteration
Watch = Callable[[Point, int], None]
#: one iteration: the point, the number of iterations done, the values' noise, evaluations left
Advance = Callable[[Point, int, float, int], Step]


def vector_steps(optimizer: VectorOptimizer, objective: Objective) -> tuple[Advance, Callable[[], bool]]:
    """The iterations of an optimiser of one vector, and what forgets all it has learned (False where that is nothing)."""
    state = State(
        0, optimizer.memory(objective.layout.size), optimizer.learning_rate.start() if optimizer.watches else {}
    )
    learned = 0

    def advance(at: Point, done: int, noise: float, budget: int) -> Step:
        nonlocal state, learned
        turn = Turn(objective, learned == 0, optimizer.rate(state), noise, budget)
        step = optimizer.step(at, state.slots, turn)
        state = State(done + 1, step.slots, optimizer.watch(state, at.value).rate)
        learned += 1
        return step

    def forget() -> bool:
        nonlocal state, learned
        some = learned > 1 and bool(state.slots)
        state, learned = State(state.count, optimizer.memory(objective.layout.size), state.rate), 0
        return some

    return advance, forget


def nest_steps(optimizer: Optimizer, objective: Objective, x0: np.ndarray) -> tuple[Advance, Callable[[], bool]]:
    """The iterations of any other optimiser."""
    layout = objective.layout
    params = layout.nest(x0)
    state = optimizer.init(params)
    fun = (lambda p: objective.call(p, *objective.args)) if objective.args else objective.call

    def advance(at: Point, done: int, noise: float, budget: int) -> Step:
        nonlocal params, state
        params, state = optimizer.update(layout.nest(at.gradient), state, params, value=at.value, fun=fun)
        return Step(layout.flat(params, "params"), None, {})

    return advance, lambda: False


def iterate(
    objective: Objective,
    at: Point,
    advance: Advance,
    forget: Callable[[], bool],
    rules: Rules,
    watch: Watch,
    searches: bool,
) -> Outcome:
    """Steps from a point where the function is finite.

    searches: steps come from a search, so that values do not grow but for their noise, and one that finds no step has met round-off
    (or a gradient that is wrong); otherwise steps are what they are.
    """
    best, stale, factor = at, 0, NOISE * objective.eps
    noise, retried = factor * abs(at.value), False
    for done in range(rules.max_iter + 1):
        try:
            watch(at, done)
        except StopIteration:
            return Outcome(at, done, STOPPED, False, "the callback raised StopIteration")
        if at.norm <= rules.gtol:
            return Outcome(
                at,
                done,
                CONVERGED,
                True,
                f"the gradient's largest entry, {at.norm:.2g}, is at most {rules.gtol:.2g} (gtol)",
            )
        if done == rules.max_iter:
            return _limit(at, done, f"max_iter={rules.max_iter} iterations are done")
        if objective.nfev >= rules.max_nfev:
            return _limit(at, done, f"max_nfev={rules.max_nfev:.0f} evaluations are done")
        step = advance(at, done, noise, int(min(25, rules.max_nfev - objective.nfev)))
        if step.trouble and not forget():
            if objective.nfev + 4 > rules.max_nfev:  # which the verdict needs
                return _limit(at, done, f"max_nfev={rules.max_nfev:.0f} evaluations are done ({step.trouble})")
            verdict, spread = judged(objective, best, done, step.trouble)
            if verdict.success or retried or spread <= noise:
                return verdict
            noise, retried = 2 * spread, True  # the values are noisier than their size tells
        if step.trouble:
            continue
        new = step.point or objective.point(step.x)
        if new.value == -math.inf:
            return Outcome(new, done + 1, UNBOUNDED, False, "the function is unbounded below: its value is -inf")
        if step.endless:
            why = f"the function falls at undiminished slope, to {new.value:.3g}: it seems to be unbounded below"
            return Outcome(new, done + 1, UNBOUNDED, False, why)
        if not new.finite:
            what = f"the value is {new.value}" if not math.isfinite(new.value) else "the gradient is not finite"
            return Outcome(at, done, NOT_A_NUMBER, False, f"{what} after step {done + 1}; given is the point before it")
        change, moved = at.value - new.value, float(np.max(np.abs(new.x - at.x) / np.maximum(1.0, np.abs(new.x))))
        at, noise = new, max(noise if retried else 0.0, factor * abs(new.value))
        if rules.ftol and 0 <= change <= rules.ftol * max(abs(at.value), abs(at.value + change), 1e-300):
            return _last(
                at, done, watch, f"the value decreased by {change:.2g}, at most ftol={rules.ftol:.2g} of its size"
            )
        if rules.xtol and moved <= rules.xtol:
            return _last(at, done, watch, f"the step was {moved:.2g}, at most xtol={rules.xtol:.2g} of the parameters")
        if searches:
            better = at.value < best.value - noise or (at.value <= best.value + noise and at.norm < 0.9 * best.norm)
            best, stale = (at, 0) if better else (best, stale + 1)
            if stale >= PATIENCE[retried]:
                verdict, spread = judged(objective, best, done + 1, "neither value nor gradient decreases any more")
                if verdict.success or retried or spread <= noise:
                    return verdict
                noise, retried, stale = 2 * spread, True, 0
    raise AssertionError


def _limit(at: Point, done: int, why: str) -> Outcome:
    return Outcome(at, done, LIMIT, False, f"{why}; the gradient's largest entry is {at.norm:.2g}")


def _last(at: Point, done: int, watch: Watch, message: str) -> Outcome:
    with suppress(StopIteration):
        watch(at, done + 1)
    return Outcome(at, done + 1, CONVERGED, True, message)


def judged(objective: Objective, at: Point, done: int, why: str) -> tuple[Outcome, float]:
    """Whether a gradient that no step makes smaller is what round-off leaves; and how far values spread by round-off.

    The parameters are moved by an ulp or two, to and fro. If that alone changes the gradient by a tenth of its size or more, it
    is what rounding the parameters and the function's own sums leaves.
    """
    by_gradient = by_value = 0.0
    signs = np.where(np.arange(len(at.x)) % 2, 1.0, -1.0)
    for direction in (signs, -signs, np.ones_like(signs), 2 * signs):
        near = objective.point(at.x + objective.eps * direction * np.abs(at.x))
        if near.finite:
            by_gradient = max(by_gradient, float(np.max(np.abs(near.gradient - at.gradient))))
            by_value = max(by_value, abs(near.value - at.value))
    success = at.norm <= 10 * by_gradient
    what = "which is round-off:" if success else "more than round-off explains:"
    message = f"stopped at round-off ({why}); the gradient's largest entry is {at.norm:.2g}, {what} "
    message += f"moving the parameters by an ulp changes it by {by_gradient:.2g}"
    return Outcome(at, done, ROUND_OFF, success, message), by_value
