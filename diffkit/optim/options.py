"""Options of an optimiser: the defaults of a flavor, other spellings, and what values they may have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError


class Required:
    """The default of an option that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = Required()


class Flavor(NamedTuple):
    """One convention of an optimiser: who states it, its options and their defaults."""

    source: str
    defaults: Mapping[str, Any]


#: options that are numbers: (least, most, whether these may be reached), where they are limited
_LIMITS: dict[str, tuple[float, float, bool, bool]] = {
    "betas": (0.0, 1.0, True, False),
    "rho": (0.0, 1.0, True, True),
    "alpha": (0.0, 1.0, True, True),
    **dict.fromkeys(
        ("eps", "eps_root", "momentum", "weight_decay", "initial_accumulator_value", "lr_decay", "eta", "damping"),
        (0.0, math.inf, True, False),
    ),
}


def chosen(
    owner: str, defaults: Mapping[str, Any], given: Mapping[str, Any], aliases: Mapping[str, str]
) -> dict[str, Any]:
    """All options, those given in the place of defaults. owner: for messages, whose they are.

    Raises ArgumentError for an option that there is not, or twice, for one that is missing, and for a value that makes no sense.
    """
    found = dict(defaults)
    seen: dict[str, str] = {}
    for name, value in given.items():
        own = aliases.get(name, name)
        if own not in found:
            close = get_close_matches(own, found, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; its options are {', '.join(found)}"
            raise ArgumentError(f"{owner} has no option {name!r}{hint}")
        if own in seen:
            raise ArgumentError(f"{owner} was given {seen[own]!r} and {name!r}, which are the same option")
        seen[own] = name
        found[own] = value
    missing = [n for n, v in found.items() if v is REQUIRED]
    if missing:
        raise ArgumentError(f"{owner} has no default {missing[0]}: give one, {missing[0]}=0.01")
    return {n: v if n == "learning_rate" else checked(owner, n, v, defaults[n]) for n, v in found.items()}


def checked(owner: str, name: str, value: Any, default: Any) -> Any:
    """The value, if it is of the default's sort: a condition, a number within its limits (or a schedule of it), two numbers."""
    if isinstance(default, bool):
        if not isinstance(value, (bool, np.bool_)):
            raise ArgumentError(f"{name} of {owner} is True or False, not {value!r}")
        return bool(value)
    if isinstance(default, tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(default):
            raise ArgumentError(f"{name} of {owner} are two numbers, {default}, not {value!r}")
        return tuple(within(owner, name, v) for v in value)
    if isinstance(default, float):
        if value is None and name == "momentum":  # Optax's spelling of none
            return 0.0
        return value if callable(value) else within(owner, name, value)
    return value


def within(owner: str, name: str, value: Any) -> float:
    """A number within the limits of an option."""
    number = as_number(value)
    if number is None:
        raise ArgumentError(f"{name} of {owner} is a number, not {value!r}")
    least, most, low, high = _LIMITS.get(name, (-math.inf, math.inf, True, True))
    if not ((number > least or (low and number == least)) and (number < most or (high and number == most))):
        brackets = f"{'[' if low else '('}{least:g}, {most:g}{']' if high else ')'}"
        raise ArgumentError(f"{name} of {owner} must lie in {brackets}, not {number}")
    return number


def as_number(value: Any) -> float | None:
    """A number, also one in an array of no dims; None for anything else. NaN lies in no limits."""
    if isinstance(value, (bool, np.bool_, str, bytes)) or value is None:
        return None
    try:
        array = np.asarray(value)
    except Exception:
        return None
    return float(array) if array.ndim == 0 and array.dtype.kind in "fiu" else None


def check_rate(rate: Any, owner: str) -> Any:
    """The rate, if it is a positive number or a schedule; ArgumentError else."""
    if isinstance(rate, type):
        raise ArgumentError(
            f"the learning rate of {owner} is not a schedule but its class: call it, {rate.__name__.lower()}(…)"
        )
    if callable(rate) or hasattr(rate, "watch"):
        return rate
    number = as_number(rate)
    if number is None:
        raise ArgumentError(f"the learning rate of {owner} is a number or a schedule, not {type(rate).__name__}")
    if not (number > 0 and math.isfinite(number)):
        raise ArgumentError(
            f"the learning rate of {owner} must be positive, not {number}; to ascend, minimise the negative (or maximize=True)"
        )
    return number


def at_step(schedule: Callable[..., Any], *args: Any) -> float:
    """What a schedule gives, which must be a number."""
    given = schedule(*args)
    number = as_number(given)
    if number is None:
        raise ArgumentError(f"the schedule {schedule} gives {given!r} for update {args[0]}, not a number")
    return number
