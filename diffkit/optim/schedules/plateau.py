"""A learning rate that falls when the loss stays where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .schedule import Verdict, not_negative, one_of, positive, refuse, stays_above, whole


@dataclass(frozen=True)
class Plateau:
    """The rate times factor, whenever more than `patience` values in a row were no improvement: torch's ReduceLROnPlateau.

    start() is its memory, a dict of numbers, which an optimiser keeps in its state (`rate`); rate(step, memory) the rate;
    watch(memory, value) the memory after one more value of the loss: with an optimiser, the `value` of every update.

    threshold: an improvement is value < best·(1 − threshold) for "rel", value < best − threshold for "abs"; with mode "max"
    value > best·(1 + threshold), value > best + threshold. cooldown: so many values after a cut are not counted. min_lr: the
    least rate; a cut by no more than eps is not made. A NaN is no improvement. Raises ArgumentError for numbers that make
    no sense.
    """

    lr: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    mode: str = "min"

    def __post_init__(self) -> None:
        positive(self, "lr", "factor")
        if self.factor >= 1:
            refuse(self, f"factor={self.factor:g} makes no rate smaller", "give a factor below 1")
        whole(self, "patience", "cooldown", least=0)
        not_negative(self, "threshold", "min_lr", "eps")
        one_of(self, "threshold_mode", ("rel", "abs"))
        one_of(self, "mode", ("min", "max"))

    def __str__(self) -> str:
        sign, less = ("−", "<") if self.mode == "min" else ("+", ">")
        better = (
            f"best·(1 {sign} {self.threshold:g})" if self.threshold_mode == "rel" else f"best {sign} {self.threshold:g}"
        )
        least = f", at least {self.min_lr:g}" if self.min_lr else ""
        rest = f", then {self.cooldown} more" if self.cooldown else ""
        after = f"{self.patience + 1} values in a row without value {less} {better}"
        return f"α from {self.lr:g}, times {self.factor:g} after {after}{rest}{least}"

    def start(self) -> dict[str, float]:
        """Memory before the first value: rate, best value (once there is one: seen = 1), bad values in a row, cooldown left."""
        return {"lr": float(self.lr), "best": 0.0, "seen": 0, "bad": 0, "cooldown": 0}

    def rate(self, step: Any, memory: dict[str, float]) -> float:
        """The learning rate."""
        return memory["lr"]

    def watch(self, memory: dict[str, float], value: Any) -> dict[str, float]:
        """The memory after a value of the loss."""
        value, new = float(value), dict(memory)
        if self._better(value, memory):
            new.update(best=value, seen=1, bad=0)
        else:
            new["bad"] += 1
        if new["cooldown"] > 0:
            new["cooldown"] -= 1
            new["bad"] = 0
        if new["bad"] > self.patience:
            lower = max(new["lr"] * self.factor, self.min_lr)
            if new["lr"] - lower > self.eps:
                new["lr"] = lower
            new.update(cooldown=self.cooldown, bad=0)
        return new

    def _better(self, value: float, memory: dict[str, float]) -> bool:
        down = self.mode == "min"
        best = memory["best"] if memory["seen"] else math.inf if down else -math.inf
        margin = -self.threshold if down else self.threshold
        bar = best * (1 + margin) if self.threshold_mode == "rel" else best + margin
        return value < bar if down else value > bar

    def _sums(self) -> Verdict:
        if self.min_lr or self.eps:
            return stays_above("α never falls below min_lr, nor by cuts of no more than eps")
        return Verdict(None, None, "it depends on the losses")
