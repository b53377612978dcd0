"""The loop around an optimiser: steps until a test says that it is over, and says why."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ..objective import Objective, Point, Scaled
from ..optimizer import Optimizer
from ..second_order.method import NOISE, Step, Turn, VectorOptimizer
from ..state import State

CONVERGED, LIMIT, ROUND_OFF, NOT_A_NUMBER, UNBOUNDED, STOPPED = 0, 1, 2, 3, 4, 99
#: iterations without a lower value or a smaller gradient, after which round-off is asked about: at first, and once the noise of
#: values is known
PATIENCE = (20, 100)
#: evaluations that the verdict on round-off takes
VERDICT = 12
#: a gradient that changes within so many ulps, and hardly more (by less than this factor) on a far longer way, jumps
WITHIN, STEADY = 64, 100.0
#: scaled gradients are kept between this and its inverse, so that their squares are numbers
SMALLEST = 1e-60
#: a value so many times below the first one, with a gradient that is no smaller than the first one, has no bound below
DEEP = 1e100


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
    """The iterations of an optimiser of one vector, and what forgets all it has learned (False where that is nothing).

    Where squares of the gradient would leave the range of doubles, steps are those of the function times a power of 2.
    """
    state = State(
        0, optimizer.memory(objective.layout.size), optimizer.learning_rate.start() if optimizer.watches else {}
    )
    learned = 0
    seen, scale = objective, 1.0

    def advance(at: Point, done: int, noise: float, budget: int) -> Step:
        nonlocal state, learned, seen, scale
        fitting = _scale(at, scale)
        if fitting != scale:
            slots = optimizer.rescaled(state.slots, fitting / scale)
            if slots is None:
                forget()
            else:
                state = State(state.count, slots, state.rate)
            seen, scale = Scaled(objective, fitting), fitting
        turn = Turn(seen, learned == 0, optimizer.rate(state), scale * noise, budget)
        step = optimizer.step(at.times(scale), state.slots, turn)
        state = State(done + 1, step.slots, optimizer.watch(state, at.value).rate)
        learned += 1
        return step._replace(point=step.point and step.point.times(1 / scale))

    def forget() -> bool:
        nonlocal state, learned
        some = learned > 1 and bool(state.slots)
        state, learned = State(state.count, optimizer.memory(objective.layout.size), state.rate), 0
        return some

    return advance, forget


def _scale(at: Point, scale: float) -> float:
    """The present scale while the scaled gradient is of a size whose squares are numbers; a power of 2 that makes it so."""
    size = scale * at.norm
    if SMALLEST <= size <= 1 / SMALLEST or not 0 < at.norm < math.inf:
        return scale
    fitting = 2.0 ** -min(max(math.frexp(at.norm)[1], -1000), 1000)
    return fitting if fitting * abs(at.value) < 1e250 else scale


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
    first, best, stale, factor = at, at, 0, NOISE * objective.eps
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
            if objective.nfev + VERDICT > rules.max_nfev:  # which the verdict needs
                return _limit(at, done, f"max_nfev={rules.max_nfev:.0f} evaluations are done ({step.trouble})")
            verdict, spread = judged(objective, first, best, done, step.trouble)
            if verdict.success or verdict.status == UNBOUNDED or retried or spread <= noise:
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
                why = "neither value nor gradient decreases any more"
                verdict, spread = judged(objective, first, best, done + 1, why)
                if verdict.success or verdict.status == UNBOUNDED or retried or spread <= noise:
                    return verdict
                noise, retried, stale = 2 * spread, True, 0
    raise AssertionError


def _limit(at: Point, done: int, why: str) -> Outcome:
    return Outcome(at, done, LIMIT, False, f"{why}; the gradient's largest entry is {at.norm:.2g}")


def _last(at: Point, done: int, watch: Watch, message: str) -> Outcome:
    with suppress(StopIteration):
        watch(at, done + 1)
    return Outcome(at, done + 1, CONVERGED, True, message)


#: rounding of a value from which on it may hide how a small gradient would make it fall
MATTERS = 1e-14


def judged(objective: Objective, first: Point, at: Point, done: int, why: str) -> tuple[Outcome, float]:
    """Whether a gradient that no step makes smaller is what round-off leaves; and how far values spread by round-off.

    first: where the search started. A value far below the one there, with a gradient that is no smaller, is on its way to -inf.
    The parameters are moved by an ulp or two, to and fro. If that alone changes the gradient by a tenth of its size or more, it
    is what rounding the parameters and the function's own sums leaves, or the jump of the gradient at a kink, where no gradient
    is small. What tells them apart is a move further: where there is a gradient, it changes in proportion to the move, and
    round-off is soon left behind; a jump is the same however far.
    """
    if at.value < -DEEP * max(1.0, abs(first.value)) and at.norm >= first.norm:
        message = (
            f"the function falls to {at.value:.3g}, where its gradient is no smaller: it seems to be unbounded below"
        )
        return Outcome(at, done, UNBOUNDED, False, message), 0.0
    signs = np.where(np.arange(len(at.x)) % 2, 1.0, -1.0)
    ones = np.ones_like(signs)

    def change(part: float, *directions: np.ndarray) -> tuple[float, float]:
        """The largest change, of gradient and value, when every parameter moves by this part of itself."""
        by_gradient = by_value = 0.0
        for direction in directions:
            near = objective.point(at.x + part * direction * np.abs(at.x))
            if near.finite:
                by_gradient = max(by_gradient, float(np.max(np.abs(near.gradient - at.gradient))))
                by_value = max(by_value, abs(near.value - at.value))
        return by_gradient, by_value

    eps = objective.eps
    by_gradient, by_value = change(eps, signs, -signs, ones, 2 * signs)
    jump, _ = change(WITHIN * eps, signs, -signs, ones, -ones)
    afar, _ = change(eps**0.25, signs, -signs, ones, -ones)
    if at.norm <= 10 * jump and 0 < afar <= STEADY * jump:
        message = f"stopped at what looks like a kink, where the function is not differentiable ({why}); the gradient's largest "
        message += f"entry is {at.norm:.2g}, and jumps by {jump:.2g} within {WITHIN} ulps of the parameters: whether this is a "
        message += "minimum, no gradient tells. With a smooth function in the place of |x| or max it could"
        return Outcome(at, done, ROUND_OFF, False, message), by_value
    success = at.norm <= 10 * by_gradient
    what = "which is round-off:" if success else "more than round-off explains:"
    message = f"stopped at round-off ({why}); the gradient's largest entry is {at.norm:.2g}, {what} "
    message += f"moving the parameters by an ulp changes it by {by_gradient:.2g}"
    if not success and eps * abs(at.value) >= MATTERS:
        message += f". The value itself, {at.value:.4g}, is known to {eps * abs(at.value):.1g} only: a larger gtol can be met, or "
        message += "minimise a mean in the place of a sum"
    return Outcome(at, done, ROUND_OFF, success, message), by_value
