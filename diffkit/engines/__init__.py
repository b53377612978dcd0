"""Four ways of differentiating, peers behind one protocol (engine.py)."""

from __future__ import annotations

from importlib import import_module

from ..errors import ArgumentError
from . import bodies  # noqa: F401  (tells bodies of loops how they are differentiated)
from .engine import Engine, Program

#: in the order in which reports show them
ENGINES = ("symbolic", "forward", "reverse", "finite")

#: with as many inputs as outputs, reverse took ×0.75 of forward's time up to here, and forward ×0.5 to ×0.9 of reverse's beyond
SMALL = 32


def engine(name: str | Engine) -> Engine:
    """An engine by name, loaded at first use."""
    check_engine(name)
    return import_module(f".{name}", __name__).ENGINE if isinstance(name, str) else name


def check_engine(name: str | Engine) -> None:
    """ArgumentError for a name that no engine has; loads nothing."""
    if isinstance(name, str) and name not in ENGINES:
        raise ArgumentError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")


def cheaper_mode(inputs: int, outputs: int) -> str:
    """The mode that needs fewer passes for a Jacobian of so many elements: forward one an input, reverse one an output."""
    return "forward" if inputs < outputs or inputs == outputs > SMALL else "reverse"


__all__ = ["ENGINES", "Engine", "Program", "cheaper_mode", "check_engine", "engine"]
