"""Machines run tapes. They know registers and kernels, and nothing about derivatives."""

from __future__ import annotations

from importlib import import_module

from ..errors import ArgumentError
from .machine import Executable, Machine

#: name -> module with a `MACHINE`
MACHINES = {"numpy": ".numpy", "cpu": ".cpu", "cuda": ".cuda"}


def machine(name: str | Machine) -> Machine:
    """A machine by name: "cpu", "numpy" or "cuda". Loaded at first use."""
    if not isinstance(name, str):
        return name
    if name not in MACHINES:
        raise ArgumentError(f"there is no machine {name!r}; choose one of {', '.join(MACHINES)}")
    return import_module(MACHINES[name], __name__).MACHINE


__all__ = ["MACHINES", "Executable", "Machine", "machine"]
