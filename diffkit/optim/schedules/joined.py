"""One schedule after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .schedule import Schedule, Verdict, increasing, refuse


@dataclass(frozen=True)
class Join(Schedule):
    """schedules[k], where k of the boundaries are ≤ n, at the step counted from its own beginning.

    optax.join_schedules, torch.optim.lr_scheduler.SequentialLR. One schedule more than boundaries; any callable
    step -> rate will do.
    """

    schedules: tuple[Callable[[int], float], ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        increasing(self, "boundaries")
        object.__setattr__(self, "schedules", tuple(self.schedules))
        if len(self.schedules) != len(self.boundaries) + 1:
            refuse(
                self, f"{len(self.schedules)} schedules for {len(self.boundaries)} boundaries", "give one schedule more"
            )
        for part in self.schedules:
            if not callable(part):
                remedy = "give callables step -> rate; one that watches the loss stands alone"
                refuse(self, f"{type(part).__name__} has no rate for a step alone", remedy)

    def __str__(self) -> str:
        starts = (0, *self.boundaries)
        parts = [f"from step {s}: {p}, n counted from there" for s, p in zip(starts, self.schedules, strict=True)]
        return "; ".join([str(self.schedules[0]), *parts[1:]])

    def _rates(self, n: np.ndarray) -> Any:
        part, starts, rates = np.searchsorted(self.boundaries, n, side="right"), (0, *self.boundaries), np.empty_like(n)
        for k, schedule in enumerate(self.schedules):
            inside = part == k
            steps = n[inside] - starts[k]
            rates[inside] = schedule(steps) if isinstance(schedule, Schedule) else [schedule(int(s)) for s in steps]  # type: ignore[arg-type]
        return rates

    def _sums(self) -> Verdict:
        from .robbins_monro import robbins_monro

        last = robbins_monro(self.schedules[-1])
        return Verdict(last.diverges, last.squares_converge, f"the last schedule decides: {last.reason}")
