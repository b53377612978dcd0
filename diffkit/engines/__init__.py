"""Four ways of differentiating, peers behind one protocol (engine.py)."""

from __future__ import annotations

from importlib import import_module

from ..errors import ArgumentError
from .engine import Engine, Program

#: in the order in which reports show them
ENGINES = ("symbolic", "forward", "reverse", "finite")


def engine(name: str | Engine) -> Engine:
    """An engine by name, loaded at first use."""
    if not isinstance(name, str):
        return name
    if name not in ENGINES:
        raise ArgumentError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")
    return import_module(f".{name}", __name__).ENGINE


__all__ = ["ENGINES", "Engine", "Program", "engine"]
