"""Four ways of differentiating, peers behind one protocol (engine.py)."""

from __future__ import annotations

from importlib import import_module

from ..errors import ArgumentError
from .engine import Engine, Program

#: in the order in which reports show them
ENGINES = ("symbolic", "forward", "reverse", "finite")


def engine(name: str | Engine) -> Engine:
    """An engine by name, loaded at first use."""
    check_engine(name)
    return import_module(f".{name}", __name__).ENGINE if isinstance(name, str) else name


def check_engine(name: str | Engine) -> None:
    """ArgumentError for a name that no engine has; loads nothing."""
    if isinstance(name, str) and name not in ENGINES:
        raise ArgumentError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")


__all__ = ["ENGINES", "Engine", "Program", "check_engine", "engine"]
