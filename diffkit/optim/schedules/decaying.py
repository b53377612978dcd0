"""Schedules that stay as they are, or go down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .schedule import (
    Schedule,
    Verdict,
    increasing,
    not_negative,
    number,
    positive,
    refuse,
    stays_above,
    summable,
    whole,
)


@dataclass(frozen=True)
class Constant(Schedule):
    """α_n = lr."""

    lr: float

    def __post_init__(self) -> None:
        positive(self, "lr")

    def __str__(self) -> str:
        return f"α_n = {self.lr:g}"

    def _rates(self, n: np.ndarray) -> Any:
        return np.full_like(n, self.lr)

    def _sums(self) -> Verdict:
        return stays_above("α_n is constant")


def _geometric(gamma: float, lr_stays: str) -> Verdict:
    """Of rates that are multiplied by gamma again and again."""
    if gamma < 1:
        return summable(f"α_n falls by the factor {gamma:g} again and again")
    return stays_above(lr_stays if gamma == 1 else "α_n grows")


@dataclass(frozen=True)
class Step(Schedule):
    """α_n = lr·gamma^⌊n/step_size⌋ (torch.optim.lr_scheduler.StepLR)."""

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        positive(self, "lr", "gamma")
        whole(self, "step_size")

    def __str__(self) -> str:
        return f"α_n = {self.lr:g}·{self.gamma:g}^⌊n/{self.step_size}⌋"

    def _rates(self, n: np.ndarray) -> Any:
        return self.lr * self.gamma ** np.floor(n / self.step_size)

    def _sums(self) -> Verdict:
        return _geometric(self.gamma, "α_n is constant")


@dataclass(frozen=True)
class Multistep(Schedule):
    """α_n = lr·gamma^k, where k of the milestones are ≤ n (torch.optim.lr_scheduler.MultiStepLR)."""

    lr: float
    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        positive(self, "lr", "gamma")
        increasing(self, "milestones")

    def __str__(self) -> str:
        return f"α_n = {self.lr:g}·{self.gamma:g}^#{{milestone ≤ n}}, milestones {', '.join(map(str, self.milestones))}"

    def _rates(self, n: np.ndarray) -> Any:
        return self.lr * self.gamma ** np.searchsorted(self.milestones, n, side="right").astype(float)

    def _sums(self) -> Verdict:
        return stays_above("α_n is constant after the last milestone")


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """α_n = values[k], where k of the boundaries are ≤ n: one value more than boundaries.

    Optax's piecewise_constant_schedule names the ratios of neighbouring values instead.
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        increasing(self, "boundaries")
        object.__setattr__(self, "values", tuple(float(v) for v in self.values))
        if len(self.values) != len(self.boundaries) + 1:
            refuse(self, f"{len(self.values)} values for {len(self.boundaries)} boundaries", "give one value more")
        if not all(math.isfinite(v) and v > 0 for v in self.values):
            refuse(self, f"values={self.values} are not all positive", "give learning rates above 0")

    def __str__(self) -> str:
        pieces = [f"{v:g} for n < {b}" for v, b in zip(self.values, self.boundaries, strict=False)]
        return f"α_n = {'; '.join([*pieces, f'{self.values[-1]:g} from then on' if pieces else f'{self.values[0]:g}'])}"

    def _rates(self, n: np.ndarray) -> Any:
        return np.asarray(self.values)[np.searchsorted(self.boundaries, n, side="right")]

    def _sums(self) -> Verdict:
        return stays_above("α_n is constant after the last boundary")


@dataclass(frozen=True)
class Exponential(Schedule):
    """α_n = lr·gamma^n (torch.optim.lr_scheduler.ExponentialLR)."""

    lr: float
    gamma: float

    def __post_init__(self) -> None:
        positive(self, "lr", "gamma")

    def __str__(self) -> str:
        return f"α_n = {self.lr:g}·{self.gamma:g}^n"

    def _rates(self, n: np.ndarray) -> Any:
        return self.lr * self.gamma**n

    def _sums(self) -> Verdict:
        return _geometric(self.gamma, "α_n is constant")


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """log α_n = −a·n + b: exponential(lr=exp(b), gamma=exp(−a)) named by the straight line that a logarithmic plot shows."""

    a: float
    b: float = 0.0

    def __post_init__(self) -> None:
        not_negative(self, "a")
        if number(self, "b") > 700:
            refuse(self, f"b={self.b:g} makes the first rate exp(b) overflow", "b is the logarithm of the first rate")

    def __str__(self) -> str:
        return f"α_n = exp({self.b:g} − {self.a:g}·n)"

    def _rates(self, n: np.ndarray) -> Any:
        return np.exp(self.b - self.a * n)

    def _sums(self) -> Verdict:
        return _geometric(math.exp(-self.a), "α_n is constant")


@dataclass(frozen=True)
class Polynomial(Schedule):
    """α_n = lr/(n + 1)^power: "1/nᵃ", counted from 1. Robbins and Monro's conditions hold for ½ < power ≤ 1."""

    lr: float
    power: float = 1.0

    def __post_init__(self) -> None:
        positive(self, "lr")
        not_negative(self, "power")

    def __str__(self) -> str:
        return f"α_n = {self.lr:g}/(n + 1)^{self.power:g}"

    def _rates(self, n: np.ndarray) -> Any:
        return self.lr / (n + 1) ** self.power

    def _sums(self) -> Verdict:
        a = self.power
        place = "½ < a ≤ 1" if 0.5 < a <= 1 else "a ≤ ½" if a <= 0.5 else "a > 1"
        return Verdict(a <= 1, a > 0.5, f"Σ1/nᵃ = ∞ for a ≤ 1 and Σ1/n²ᵃ < ∞ for a > ½; here a = {a:g}, {place}")


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """α_n = (lr − end_value)·(1 − n/total_iters)^power + end_value, and end_value from step total_iters on.

    torch.optim.lr_scheduler.PolynomialLR, which ends at 0, and optax.polynomial_schedule, which has an end_value.
    """

    lr: float
    total_iters: int = 5
    power: float = 1.0
    end_value: float = 0.0

    def __post_init__(self) -> None:
        positive(self, "lr", "power")
        whole(self, "total_iters")
        not_negative(self, "end_value")

    def __str__(self) -> str:
        end = f" + {self.end_value:g}" if self.end_value else ""
        return f"α_n = {self.lr - self.end_value:g}·(1 − min(n, {self.total_iters})/{self.total_iters})^{self.power:g}{end}"

    def _rates(self, n: np.ndarray) -> Any:
        left = 1 - np.minimum(n, self.total_iters) / self.total_iters
        return (self.lr - self.end_value) * left**self.power + self.end_value

    def _sums(self) -> Verdict:
        if self.end_value:
            return stays_above("α_n ends at end_value")
        return summable("α_n is 0 after total_iters steps")
