"""What the optimisers share that see all parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optree

from ...errors import ArgumentError
from ..objective import Layout, Objective, Point
from ..optimizer import Optimizer
from ..parameters import Parameters
from ..state import State
from .line_search import Along, Search, Trial, along, strong_wolfe

#: values closer than this many ulps cannot be told apart
NOISE = 4.0


class Turn(NamedTuple):
    """What one step is given beside the point and the memory.

    objective: None where the caller has no function. first: nothing has been learned yet. rate: the learning rate. noise: of
    values. max_nfev: evaluations that a line search may use.
    """

    objective: Objective | None
    first: bool
    rate: float
    noise: float
    max_nfev: int


class Step(NamedTuple):
    """x: the new parameters. point: the same with value and gradient, where they are known. slots: the new memory.

    trouble: why there was no step ("" where there was one). endless: the function seems to be unbounded below.
    """

    x: np.ndarray
    point: Point | None
    slots: dict[str, Any]
    trouble: str = ""
    endless: bool = False


class VectorOptimizer(Optimizer):
    """An optimiser of one vector: `update` takes nests apart and puts them together, subclasses say `step`."""

    #: options that are one of several
    choices: Mapping[str, tuple[Any, ...]] = {}
    #: whether `step` always evaluates the function
    evaluates = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, allowed in self.choices.items():
            if self.options[name] not in allowed:
                raise ArgumentError(
                    f"{name} of {self.name} is one of {', '.join(map(repr, allowed))}, not {self.options[name]!r}"
                )
        for name in ("c1", "c2"):
            if name in self.options and not 0 < self.options[name] < 1:
                raise ArgumentError(f"{name} of {self.name} must lie in (0, 1), not {self.options[name]}")
        if "c2" in self.options and self.options["c1"] >= self.options["c2"]:
            raise ArgumentError(f"{self.name} needs c1 < c2; given are {self.options['c1']} and {self.options['c2']}")
        self._objective: Objective | None = None

    @property
    def searches(self) -> bool:
        """Whether steps are found by a line search."""
        return self.options.get("line_search_fn") is not None

    # ---- for subclasses ----
    def memory(self, n: int) -> dict[str, Any]:
        """What is remembered before the first step in n dimensions."""
        return {}

    def rescaled(self, slots: dict[str, Any], factor: float) -> dict[str, Any] | None:
        """The memory as it is for the function times a factor; None: it is of no use there."""
        return slots

    def step(self, at: Point, slots: dict[str, Any], turn: Turn) -> Step:
        raise NotImplementedError

    def moved(self, at: Point, direction: np.ndarray, first: float, slots: dict[str, Any], turn: Turn) -> Step:
        """A step along a direction of descent: by line search, or of the length `first`."""
        if not self.searches:
            return Step(at.x + first * direction, None, slots)
        assert turn.objective is not None
        trial, start = along(turn.objective, at, direction)
        if not start.slope < 0:
            return Step(at.x, at, slots, f"the direction is no direction of descent (slope {start.slope:.3g})")
        return searched(at, self._search(trial, start, first, direction, at, turn), slots)

    def _search(self, trial: Along, start: Trial, first: float, direction: np.ndarray, at: Point, turn: Turn) -> Search:
        largest = np.max(np.abs(direction) / np.maximum(np.abs(at.x), 1e-300), initial=0.0)
        shortest = float(np.finfo(float).eps / largest) if 0 < largest < math.inf else 0.0
        c1, c2 = self.options["c1"], self.options["c2"]
        limit = min(25, turn.max_nfev)
        return strong_wolfe(trial, start, first, c1=c1, c2=c2, noise=turn.noise, max_nfev=limit, shortest=shortest)

    # ---- the protocol of optimisers ----
    def init(self, params: Any) -> State:
        Parameters.of(params)
        memory = self.memory(Layout.of(params, "params").size)
        return State(0, memory, self.learning_rate.start() if self.watches else {})

    def update(
        self, grads: Any, state: State, params: Any, *, value: float | None = None,
        fun: Callable[[Any], Any] | None = None, in_place: bool = False,
    ) -> tuple[Any, State]:  # fmt: skip
        """(new params, new state) after one iteration.

        grads: the gradient at params. value: the function there, evaluated if not given and needed. fun: the function of params,
        or an expression or text where params is a dict by name; needed where a Hessian or a line search is. Its programs are kept
        as long as the same function comes. in_place: as in `Optimizer.update`. Raises ArgumentError where fun is missing.
        """
        Parameters.of(params).matching(grads, "grads")
        if fun is None and (self.evaluates or self.searches):
            raise ArgumentError(
                f"{self.name} evaluates the function itself: give update(grads, state, params, fun=…), the function of params to "
                "minimise" + (" (or set line_search_fn=None)" * (not self.evaluates))
            )
        objective = None if fun is None else self._objective_of(fun, params)
        layout = Layout.of(params, "params") if objective is None else objective.layout
        x = layout.flat(params, "params")
        if value is None and self.searches and objective is not None:
            value = objective.value(x)
        at = Point(x, math.nan if value is None else float(value), layout.flat(grads, "grads"))
        noise = NOISE * layout.eps * abs(at.value)
        step = self.step(at, state.slots, Turn(objective, state.count == 0, self.rate(state), noise, 25))
        state = state if value is None else self.watch(state, at.value)
        new = State(state.count + 1, step.slots, state.rate)
        nest = layout.nest(step.x)
        if not in_place:
            return nest, new
        return _written(params, nest), State(new.count, _written(state.slots, new.slots), new.rate)

    def _objective_of(self, fun: Any, params: Any) -> Objective:
        known = self._objective
        if known is None or known.f is not fun or known.layout != Layout.of(params, "params"):
            known = self._objective = Objective(fun, params, machine=self.machine)
        return known


def searched(at: Point, found: Search, slots: dict[str, Any]) -> Step:
    """The step that a line search leads to."""
    if not found.found and found.best.step == 0:
        return Step(at.x, at, slots, found.message)
    point = found.best.point
    assert point is not None
    return Step(point.x, point, slots, endless=found.endless)


def _written(old: Any, new: Any) -> Any:
    """The new nest, in the arrays of the old one where there are such."""
    before, structure = optree.tree_flatten(old, none_is_leaf=True)
    after = optree.tree_flatten(new, none_is_leaf=True)[0]
    for k, (a, b) in enumerate(zip(before, after, strict=True)):
        if isinstance(a, np.ndarray) and a is not b:
            a[...] = b
            after[k] = a
    return optree.tree_unflatten(structure, after)
