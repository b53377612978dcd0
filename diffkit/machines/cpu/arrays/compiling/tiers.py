"""Which tier runs an array program: the interpreter, or the interpreter with groups, and small loops, as one kernel each
(fusion.py), once they pay (../../on_demand.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ...on_demand import OnDemand, chosen_tier, compile_seconds
from ..program import Program
from .fusion import Fusion
from .groups import Groups, compile_groups, extent, load_kept

#: seconds in the interpreter before groups are looked for, and the cache is asked for their kernels
LOAD_SECONDS = 0.005

T = TypeVar("T")


class Tiers(Generic[T]):
    """The tiers of one program. ready: makes a program ready to run, given the addresses of kernels that the library has not."""

    def __init__(self, program: Program, ready: Callable[[Program, dict[str, int]], T]) -> None:
        self._program, self._ready = program, ready
        #: seconds spent in the interpreter
        self.spent = 0.0
        #: the program with groups and their kernels, which threads that look for them at once share
        self._sought: dict[str, tuple[Fusion, OnDemand[Groups] | None]] = {}
        self._fused: T | None = None

    def fused(self) -> T | None:
        """The program with groups, if it is there and the tier allows it."""
        tier = chosen_tier()
        if tier == "interpreted" or (self._fused is None and tier == "auto" and self.spent < LOAD_SECONDS):
            return None
        if self._fused is None:
            sought = self._sought.get("groups")
            if sought is None:
                fusion = Fusion(self._program)
                sought = self._sought.setdefault("groups", (fusion, _groups(fusion)))
            fusion, wanted = sought
            groups = None if wanted is None else wanted.get(self.spent)
            if groups is not None:
                addresses = {f"group{k}": a for k, a in enumerate(groups.addresses)}
                self._fused = self._ready(fusion.program, addresses)
        return self._fused


def _groups(fusion: Fusion) -> OnDemand[Groups] | None:
    """The kernels of its groups; None where there are none."""
    bodies = fusion.bodies
    if not bodies:
        return None
    return OnDemand(lambda: load_kept(bodies), lambda: compile_groups(bodies), compile_seconds(extent(bodies)[1]))
