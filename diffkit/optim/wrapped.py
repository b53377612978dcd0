"""Optimisers around an optimiser: gradients clipped before they are used, or gathered over several calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..expr.trace import flatten
from .clipping import FLAVORS, clip_by_norm, clip_by_value
from .optimizer import Optimizer
from .options import within
from .parameters import Parameters
from .state import State


class Wrapped(Optimizer):
    """All that is not said otherwise is the inner optimiser's."""

    def __init__(self, inner: Optimizer) -> None:
        if not isinstance(inner, Optimizer):
            raise ArgumentError(f"an optimiser is needed, such as dk.optim.Adam(), not {type(inner).__name__}")
        self.inner = inner
        self.machine, self.flavor, self.options = inner.machine, inner.flavor, inner.options
        self.learning_rate = inner.learning_rate

    @property
    def elementwise(self) -> bool:
        """The inner one's: the norm that gradients are clipped by is that of all of them, however they lie."""
        return self.inner.elementwise

    def init(self, params: Any) -> State:
        return self.inner.init(params)

    def rate(self, state: State) -> float:
        return self.inner.rate(state)

    def watch(self, state: State, value: float) -> State:
        return self.inner.watch(state, value)

    def __str__(self) -> str:
        first = [f"{type(self).__name__}: first", *(f"  {line}" for line in self.formula())]
        return "\n".join([*first, f"and then {self.inner}"])


class Clipped(Wrapped):
    """Gradients are clipped, by value and then by the norm of the whole nest."""

    def __init__(self, inner: Optimizer, norm: float | None, value: float | None, flavor: str) -> None:
        super().__init__(inner)
        if norm is None and value is None:
            raise ArgumentError("clipped: give norm=, the largest norm of the gradients, or value=, the largest entry")
        for what, limit in (("norm", norm), ("value", value)):
            if limit is not None and not within("clipped", what, limit) > 0:
                raise ArgumentError(f"clipped: {what} must be positive, not {limit}")
        if flavor not in FLAVORS:
            raise ArgumentError(f"clipped has the flavors {', '.join(FLAVORS)}; there is no {flavor!r}")
        self.norm, self.value, self.clipping = norm, value, flavor

    def __repr__(self) -> str:
        limits = [f"{n}={v!r}" for n, v in (("norm", self.norm), ("value", self.value)) if v is not None]
        limits += [f"flavor={self.clipping!r}"] * (self.clipping != FLAVORS[0])
        return f"clipped({', '.join([repr(self.inner), *limits])})"

    def formula(self) -> list[str]:
        lines = []
        if self.value is not None:
            lines.append(f"g ← clip(g, -{self.value}, {self.value})")
        if self.norm is not None:
            more = " + 1e-06" if self.clipping == "torch" else ""
            lines.append(f"g ← g*minimum(1, {self.norm}/(‖g‖{more})), ‖g‖ over all parameters")
        return lines

    def update(
        self,
        grads: Any,
        state: State,
        params: Any,
        *,
        value: float | None = None,
        fun: Callable[[Any], Any] | None = None,
        in_place: bool = False,
    ) -> tuple[Any, State]:
        if self.value is not None:
            grads = clip_by_value(grads, self.value)
        if self.norm is not None:
            grads = clip_by_norm(grads, self.norm, flavor=self.clipping)
        return self.inner.update(grads, state, params, value=value, fun=fun, in_place=in_place)


class Accumulated(Wrapped):
    """One update in so many calls, with the mean of their gradients; `count` of the state counts calls."""

    def __init__(self, inner: Optimizer, every: int) -> None:
        super().__init__(inner)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ArgumentError(f"accumulated: every is a whole number of calls, at least 1, not {every!r}")
        self.every = every

    def __repr__(self) -> str:
        return f"accumulated({self.inner!r}, every={self.every})"

    def formula(self) -> list[str]:
        return [f"g ← the mean of {self.every} calls' g"]

    def init(self, params: Any) -> State:
        given = Parameters.of(params)
        total = given.like([np.zeros(np.shape(leaf), leaf.dtype) for leaf in given.leaves])
        return State(0, {"total": total, "inner": self.inner.init(params)})

    def rate(self, state: State) -> float:
        return self.inner.rate(state.slots["inner"])

    def watch(self, state: State, value: float) -> State:
        return replace(state, slots={**state.slots, "inner": self.inner.watch(state.slots["inner"], value)})

    def update(
        self,
        grads: Any,
        state: State,
        params: Any,
        *,
        value: float | None = None,
        fun: Callable[[Any], Any] | None = None,
        in_place: bool = False,
    ) -> tuple[Any, State]:
        given = Parameters.of(params)
        slopes = given.matching(grads, "grads")
        sums = [t + g for t, g in zip(flatten(state.slots["total"])[0], slopes, strict=True)]
        inner, count = state.slots["inner"], state.count + 1
        if count % self.every == 0:
            mean = given.like([(s / self.every).astype(s.dtype) for s in sums])
            params, inner = self.inner.update(mean, inner, params, value=value, fun=fun, in_place=in_place)
            sums = [np.zeros_like(s) for s in sums]
        return params, State(count, {"total": given.like(sums), "inner": inner})


def clipped(
    optimizer: Optimizer, *, norm: float | None = None, value: float | None = None, flavor: str = "optax"
) -> Optimizer:
    """The optimiser with its gradients clipped first: by value, then by their norm over all parameters (`clip_by_norm`'s flavors).

    Raises ArgumentError for limits that are not positive.
    """
    return Clipped(optimizer, norm, value, flavor)


def accumulated(optimizer: Optimizer, every: int) -> Optimizer:
    """The optimiser updating at every so many-th call, with the mean of the gradients since (row B3 of the lectures).

    With losses that are means over micro-batches of one size that is the large batch's step, to round-off. (`fit(accumulate=…)`
    weighs micro-batches of different sizes.)
    """
    return Accumulated(optimizer, every)
