"""When to stop training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError


@dataclass(frozen=True)
class EarlyStopping:
    """Stops once `patience` values of a held-out loss in a row were no improvement (0 is as 1).

    start() is its memory, a dict of numbers that goes into checkpoints; watch(memory, value, step) the memory after one more value;
    improved(memory) whether that value was the best so far, stop(memory) whether to stop. Nothing is changed in place.

    min_delta: an improvement is value < best − min_delta (mode "max": value > best + min_delta). baseline: while values are not
    better than this one, improvements do not start the count anew. restore_best: for whoever trains: go back to the
    parameters of the best value. A NaN is no improvement. Raises ArgumentError for numbers that make no sense.
    """

    patience: int = 10
    min_delta: float = 0.0
    mode: str = "min"
    restore_best: bool = True
    baseline: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not isinstance(self.patience, (int, np.integer)) or self.patience < 0:
            raise ArgumentError(
                f"EarlyStopping: patience={self.patience} does not count values; give a whole number ≥ 0"
            )
        if not self.min_delta >= 0:
            raise ArgumentError(
                f"EarlyStopping: min_delta={self.min_delta} is not ≥ 0; it is by how much a value has to be better"
            )
        if self.mode not in ("min", "max"):
            raise ArgumentError(
                f"EarlyStopping: mode={self.mode!r} is not known; choose 'min' (losses) or 'max' (accuracies)"
            )
        if self.baseline is not None and not math.isfinite(self.baseline):
            raise ArgumentError(f"EarlyStopping: baseline={self.baseline} is not finite; leave it out (None) for none")

    def __str__(self) -> str:
        sign, less = ("−", "<") if self.mode == "min" else ("+", ">")
        delta = f" {sign} {self.min_delta:g}" if self.min_delta else ""
        count = max(self.patience, 1)
        return f"stop after {count} value{'s in a row' * (count > 1)} without value {less} best{delta}"

    def start(self) -> dict[str, float]:
        """Memory before the first value: the best and its step (once there is one: seen = 1), values in a row that were not."""
        return {"best": 0.0, "best_step": -1, "seen": 0, "bad": 0, "improved": 0}

    def watch(self, memory: dict[str, float], value: Any, step: int) -> dict[str, float]:
        """The memory after the value at a step."""
        value = float(value)
        worst = math.inf if self.mode == "min" else -math.inf
        better = self._better(value, memory["best"] if memory["seen"] else worst)
        new = {**memory, "improved": int(better), "bad": memory["bad"] + 1}
        if better:
            new.update(best=value, best_step=int(step), seen=1)
            if self.baseline is None or self._better(value, self.baseline):
                new["bad"] = 0
        return new

    def improved(self, memory: dict[str, float]) -> bool:
        """Whether the last value was the best so far."""
        return bool(memory["improved"])

    def stop(self, memory: dict[str, float]) -> bool:
        """Whether to stop."""
        return memory["bad"] >= max(self.patience, 1)

    def _better(self, value: float, than: float) -> bool:
        return value < than - self.min_delta if self.mode == "min" else value > than + self.min_delta
