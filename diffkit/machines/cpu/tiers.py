"""Which tier runs a tape: the interpreter, which is always ready, or a fused kernel once it pays (on_demand.py)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from . import fused
from .fused import LEAST_POINTS, Fused
from .on_demand import OnDemand, chosen_tier, compile_seconds
from .plan import Plan

#: below this many instruction · points the cache is not asked for a kernel
LOAD_WORK = 1_000_000


class Tiers:
    """The tiers of one plan. Fused kernels differ by which inputs are the same at all points."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: seconds spent in the interpreter
        self.spent = 0.0
        self._kernels: dict[tuple[bool, ...], OnDemand[Fused] | None] = {}

    def fused(self, uniform: Sequence[bool], points: int) -> Fused | None:
        """The fused kernel to run now, if there is one and the tier allows it."""
        if chosen_tier() == "interpreted" or points < LEAST_POINTS:
            return None
        pattern = tuple(uniform)
        if pattern not in self._kernels:
            if chosen_tier() == "auto" and points * len(self.plan.code) < LOAD_WORK and not self.spent:
                return None
            self._kernels[pattern] = self._kernel(pattern)
        kernel = self._kernels[pattern]
        return None if kernel is None else kernel.get(self.spent)

    def _kernel(self, pattern: tuple[bool, ...]) -> OnDemand[Fused] | None:
        """None where the plan cannot be fused."""
        plan = self.plan
        if not fused.fusable(plan):
            return None
        return OnDemand(
            lambda: fused.load_kept(plan, pattern),
            lambda: fused.compile_fused(plan, pattern),
            compile_seconds(fused.extent(plan)[1]),
        )

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Around a run of the interpreter."""
        begun = time.perf_counter()
        yield
        self.spent += time.perf_counter() - begun
