"""Machines run tapes. They know registers and kernels, and nothing about derivatives."""

from __future__ import annotations

from importlib import import_module

from ..errors import ArgumentError
from .protocol import Executable, Machine

#: name -> module with a `MACHINE`
MACHINES = {"cpu": ".cpu", "cuda": ".cuda", "numpy": ".numpy"}


def machine(name: str | Machine) -> Machine:
    """A machine by name, "cpu", "cuda" or "numpy". Loaded at first use."""
    check_machine(name)
    return import_module(MACHINES[name], __name__).MACHINE if isinstance(name, str) else name


def check_machine(name: str | Machine) -> None:
    """ArgumentError for a name that no machine has; loads nothing."""
    if isinstance(name, str) and name not in MACHINES:
        raise ArgumentError(f"there is no machine {name!r}; choose one of {', '.join(MACHINES)}")


__all__ = ["MACHINES", "Executable", "Machine", "check_machine", "machine"]
