"""Schedules that warm up, swing, or come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .schedule import Schedule, Verdict, not_negative, number, one_of, positive, refuse, stays_above, summable, whole


@dataclass(frozen=True)
class Warmup(Schedule):
    """α_n = lr·(start_factor + (end_factor − start_factor)·min(n, total_iters)/total_iters): torch's LinearLR.

    Join it with what comes after: `join([warmup(lr), cosine(lr, T_max)], [5])`.
    """

    lr: float
    start_factor: float = 1 / 3
    end_factor: float = 1.0
    total_iters: int = 5

    def __post_init__(self) -> None:
        positive(self, "lr")
        not_negative(self, "start_factor", "end_factor")
        whole(self, "total_iters")

    def __str__(self) -> str:
        start, end = self.lr * self.start_factor, self.lr * self.end_factor
        return f"α_n = {start:g} + {end - start:g}·min(n, {self.total_iters})/{self.total_iters}"

    def _rates(self, n: np.ndarray) -> Any:
        done = np.minimum(n, self.total_iters) / self.total_iters
        return self.lr * (self.start_factor + (self.end_factor - self.start_factor) * done)

    def _sums(self) -> Verdict:
        if not self.end_factor:
            return summable("α_n is 0 after total_iters steps")
        return stays_above("α_n is constant after the warm-up")


def _swing(high: float, low: float, angle: Any) -> Any:
    """From high at 0 to low at π along half a wave of the cosine."""
    return low + (high - low) * (1 + np.cos(angle)) / 2


@dataclass(frozen=True)
class Cosine(Schedule):
    """α_n = eta_min + (lr − eta_min)·(1 + cos(πn/T_max))/2 (torch.optim.lr_scheduler.CosineAnnealingLR).

    The factor (1 + cos)/2 lies in [0, 1]; a plain cos(an), sometimes written for it, is negative half of the time. As in torch the
    wave goes on: after step T_max the rate rises again. `warmup_cosine` and `restarts` do not rise.
    """

    lr: float
    T_max: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        positive(self, "lr")
        whole(self, "T_max")
        not_negative(self, "eta_min")

    def __str__(self) -> str:
        low = f"{self.eta_min:g} + " if self.eta_min else ""
        return f"α_n = {low}{self.lr - self.eta_min:g}·(1 + cos(πn/{self.T_max}))/2"

    def _rates(self, n: np.ndarray) -> Any:
        return _swing(self.lr, self.eta_min, np.pi * (n % (2 * self.T_max)) / self.T_max)

    def _sums(self) -> Verdict:
        return stays_above("α_n comes back to lr every 2·T_max steps")


@dataclass(frozen=True)
class Restarts(Schedule):
    """Half waves of the cosine, each T_mult times as long as the one before: SGDR (Loshchilov and Hutter 2017).

    α_n = eta_min + (lr − eta_min)·(1 + cos(πt/T))/2, t steps after the last restart, T the length of this run: T_0, T_0·T_mult, …
    (torch.optim.lr_scheduler.CosineAnnealingWarmRestarts).
    """

    lr: float
    T_0: int
    T_mult: int = 1
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        positive(self, "lr")
        whole(self, "T_0", "T_mult")
        not_negative(self, "eta_min")

    def __str__(self) -> str:
        low = f"{self.eta_min:g} + " if self.eta_min else ""
        runs = ", ".join(str(self.T_0 * self.T_mult**k) for k in range(3))
        return f"α_n = {low}{self.lr - self.eta_min:g}·(1 + cos(πt/T))/2, t steps into runs of T = {runs}, … steps"

    def _rates(self, n: np.ndarray) -> Any:
        if self.T_mult == 1:
            return _swing(self.lr, self.eta_min, np.pi * (n % self.T_0) / self.T_0)
        starts, lengths, last = [0], [self.T_0], n.max(initial=0)
        while starts[-1] + lengths[-1] <= last:  # whole numbers: a logarithm would be off by one at some restart
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * self.T_mult)
        run = np.searchsorted(starts, n, side="right") - 1
        return _swing(self.lr, self.eta_min, np.pi * (n - np.asarray(starts)[run]) / np.asarray(lengths)[run])

    def _sums(self) -> Verdict:
        return stays_above("α_n has the same mean over every run, and begins it at lr")


@dataclass(frozen=True)
class WarmupCosine(Schedule):
    """Linear from init_value to peak_value in warmup_steps, then half a wave of the cosine to end_value at decay_steps.

    There it stays. decay_steps counts from the start, the warm-up included; exponent: of the factor (1 + cos)/2
    (optax.warmup_cosine_decay_schedule).
    """

    init_value: float
    peak_value: float
    warmup_steps: int
    decay_steps: int
    end_value: float = 0.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        positive(self, "peak_value", "exponent")
        not_negative(self, "init_value", "end_value")
        whole(self, "warmup_steps", least=0)
        whole(self, "decay_steps")
        if self.decay_steps <= self.warmup_steps:
            refuse(
                self, f"decay_steps={self.decay_steps} leaves nothing after warmup_steps={self.warmup_steps}",
                "decay_steps counts from the start, the warm-up included",
            )  # fmt: skip

    def __str__(self) -> str:
        first, rest = self.warmup_steps, self.decay_steps - self.warmup_steps
        power = f"^{self.exponent:g}" if self.exponent != 1 else ""
        wave = f"((1 + cos(π·min(n − {first}, {rest})/{rest}))/2){power}"
        cosine = f"{self.end_value:g} + {self.peak_value - self.end_value:g}·{wave}"
        if not first:
            return f"α_n = {cosine}"
        return f"α_n = {self.init_value:g} + {self.peak_value - self.init_value:g}·n/{first} for n < {first}; {cosine} from then on"

    def _rates(self, n: np.ndarray) -> Any:
        first = self.warmup_steps
        rising = self.init_value + (self.peak_value - self.init_value) * n / max(first, 1)
        done = np.clip((n - first) / (self.decay_steps - first), 0, 1)
        falling = (
            self.end_value + (self.peak_value - self.end_value) * ((1 + np.cos(np.pi * done)) / 2) ** self.exponent
        )
        return np.where(n < first, rising, falling)

    def _sums(self) -> Verdict:
        if self.end_value:
            return stays_above("α_n ends at end_value")
        return summable("α_n is 0 after decay_steps steps")


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to max_lr and down again, once (Smith and Topin 2018; torch.optim.lr_scheduler.OneCycleLR).

    From max_lr/div_factor to max_lr in the first pct_start of the steps, then to max_lr/div_factor/final_div_factor; three_phase:
    down to the start in as many steps as up, and to the end in the rest. anneal_strategy: "cos" or "linear". After
    total_steps the rate stays, where torch raises an error. Momentum, which torch cycles too, is left alone.
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        positive(self, "max_lr", "div_factor", "final_div_factor")
        whole(self, "total_steps", least=2)
        one_of(self, "anneal_strategy", ("cos", "linear"))
        if not 0 <= number(self, "pct_start") <= 1:
            refuse(self, f"pct_start={self.pct_start:g} is no part of the steps", "give a number from 0 to 1")

    def _turns(self) -> list[tuple[float, float]]:
        """The last step of each phase, and the rate there."""
        start, last = self.max_lr / self.div_factor, self.total_steps - 1.0
        up = self.pct_start * self.total_steps - 1
        middle = [(2 * up, start)] if self.three_phase else []
        return [(up, self.max_lr), *middle, (last, start / self.final_div_factor)]

    def __str__(self) -> str:
        turns = ", ".join(f"{rate:g} at step {end:g}" for end, rate in self._turns())
        how = "half waves of the cosine" if self.anneal_strategy == "cos" else "straight lines"
        return f"α_n from {self.max_lr / self.div_factor:g} through {turns}, along {how}"

    def _rates(self, n: np.ndarray) -> Any:
        begin, before, rates = 0.0, self.max_lr / self.div_factor, None
        for end, rate in self._turns():
            done = np.clip((n - begin) / ((end - begin) or 1.0), 0, 1)  # (a phase may have no steps)
            phase = (
                _swing(before, rate, np.pi * done) if self.anneal_strategy == "cos" else before + (rate - before) * done
            )
            rates = phase if rates is None else np.where(n > begin, phase, rates)
            begin, before = end, rate
        return rates

    def _sums(self) -> Verdict:
        return stays_above("α_n stays at its end value")


@dataclass(frozen=True)
class Cyclic(Schedule):
    """Triangles between base_lr and max_lr (Smith 2017; torch.optim.lr_scheduler.CyclicLR).

    Up in step_size_up steps, down in step_size_down (None: as many). mode: "triangular"; "triangular2", each triangle half as
    high as the one before; "exp_range", the height multiplied by gamma every step.
    """

    base_lr: float
    max_lr: float
    step_size_up: int = 2000
    step_size_down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        not_negative(self, "base_lr")
        positive(self, "max_lr", "gamma")
        whole(self, "step_size_up", *["step_size_down"] * (self.step_size_down is not None))
        one_of(self, "mode", ("triangular", "triangular2", "exp_range"))

    @property
    def _down(self) -> int:
        return self.step_size_up if self.step_size_down is None else self.step_size_down

    def __str__(self) -> str:
        height = {"triangular": "", "triangular2": "·2^(1 − cycle)", "exp_range": f"·{self.gamma:g}^n"}[self.mode]
        return (
            f"α_n = {self.base_lr:g} + {self.max_lr - self.base_lr:g}·triangle(n){height}, "
            f"0 to 1 in {self.step_size_up} steps and back in {self._down}"
        )

    def _rates(self, n: np.ndarray) -> Any:
        up, period = self.step_size_up, self.step_size_up + self._down
        place, cycle = n % period, n // period
        height = np.where(place <= up, place / up, (period - place) / self._down)
        scale: Any = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**n}[self.mode]
        return self.base_lr + (self.max_lr - self.base_lr) * height * scale

    def _sums(self) -> Verdict:
        if self.base_lr or self.mode == "triangular" or (self.mode == "exp_range" and self.gamma >= 1):
            return stays_above("α_n comes back to the same rate in every cycle, or to a higher one")
        return summable("base_lr is 0 and the triangles shrink like a geometric sequence")
