"""What every schedule is: a learning rate for every step, its formula in words, and what its sums do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ...errors import ArgumentError


@dataclass(frozen=True)
class Verdict:
    """Whether learning rates α_n meet the conditions of Robbins and Monro (1951), Σα_n = ∞ and Σα_n² < ∞; None: unknown."""

    #: Σα_n = ∞: any distance can be gone
    diverges: bool | None
    #: Σα_n² < ∞: the noise of the gradients dies out
    squares_converge: bool | None
    reason: str

    @property
    def holds(self) -> bool | None:
        both = (self.diverges, self.squares_converge)
        return False if False in both else None if None in both else True

    def __str__(self) -> str:
        said = {True: "yes", False: "no", None: "unknown"}
        return (
            f"Σα = ∞: {said[self.diverges]}; Σα² < ∞: {said[self.squares_converge]}; "
            f"Robbins–Monro: {said[self.holds]} ({self.reason})"
        )


class Schedule:
    """A learning rate for every step: a value, printable, called with the number of updates done.

    schedule(step) is a float for an integer, and float64 of the same shape for an array of integers. Step 0 is the first
    update. str(schedule) is the formula. Raises ArgumentError for steps that are negative or not whole, and where a schedule
    is made with numbers that make no sense.
    """

    def __call__(self, step: Any) -> Any:
        given = np.asarray(step)
        if given.dtype.kind not in "iu" and not (given.dtype.kind == "f" and np.all(given == np.floor(given))):
            raise ArgumentError(f"{name_of(self)}: a step is a whole number, not {_shown(step)}")
        if given.size and given.min() < 0:
            raise ArgumentError(f"{name_of(self)}: steps count from 0; {_shown(given.min())} is negative")
        # a step alone goes the way of many: NumPy's powers of arrays and of numbers differ in the last digit
        rates = np.asarray(self._rates(given.astype(np.float64).ravel()), np.float64)
        return rates.reshape(given.shape) if given.ndim else float(rates[0])

    def _rates(self, n: np.ndarray) -> Any:
        """Learning rates at steps, which are whole and not negative."""
        raise NotImplementedError

    def _sums(self) -> Verdict:
        """What Robbins and Monro's sums do."""
        raise NotImplementedError


def name_of(schedule: Any) -> str:
    """The public name: WarmupCosine is `warmup_cosine`."""
    name = type(schedule).__name__
    return "".join(f"_{c.lower()}" if c.isupper() and k else c.lower() for k, c in enumerate(name))


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


# ---- checks of arguments ------------------------------------------------------------------------------------------
def refuse(schedule: Any, problem: str, remedy: str) -> NoReturn:
    raise ArgumentError(f"{name_of(schedule)}: {problem}; {remedy}")


def number(schedule: Any, field: str) -> float:
    """A field that has to be a finite number."""
    value = getattr(schedule, field)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        refuse(schedule, f"{field}={_shown(value)!r} is no number", "give a float")
    if not math.isfinite(value):
        refuse(schedule, f"{field}={value} is not finite", "give a finite number")
    return float(value)


def positive(schedule: Any, *fields: str) -> None:
    for field in fields:
        if number(schedule, field) <= 0:
            refuse(schedule, f"{field}={getattr(schedule, field)} is not positive", "give a number above 0")


def not_negative(schedule: Any, *fields: str) -> None:
    for field in fields:
        if number(schedule, field) < 0:
            refuse(schedule, f"{field}={getattr(schedule, field)} is negative", "give 0 or more")


def whole(schedule: Any, *fields: str, least: int = 1) -> None:
    """Fields that count steps."""
    for field in fields:
        value = number(schedule, field)
        if value != int(value) or value < least:
            refuse(schedule, f"{field}={value:g} is not a whole number ≥ {least}", "it counts steps")


def increasing(schedule: Any, field: str) -> None:
    """A field of steps, each after the one before; kept as a tuple of ints."""
    steps = np.asarray(getattr(schedule, field))
    if (
        steps.ndim != 1
        or (steps.size and steps.dtype.kind not in "iu")
        or np.any(steps < 1)
        or np.any(np.diff(steps) <= 0)
    ):
        refuse(schedule, f"{field}={_shown(getattr(schedule, field))} are not increasing steps ≥ 1", "sort them")
    object.__setattr__(schedule, field, tuple(int(s) for s in steps))


def one_of(schedule: Any, field: str, choices: tuple[str, ...]) -> None:
    if getattr(schedule, field) not in choices:
        refuse(schedule, f"{field}={getattr(schedule, field)!r} is not known", f"choose one of {', '.join(choices)}")


# ---- verdicts that several share ----------------------------------------------------------------------------------
def stays_above(what: str) -> Verdict:
    """Of rates that do not go to 0."""
    return Verdict(True, False, f"{what}, so that neither sum is finite")


def summable(what: str) -> Verdict:
    """Of rates whose sum is finite."""
    return Verdict(False, True, f"{what}, so that both sums are finite: steps come to a halt wherever they are")
