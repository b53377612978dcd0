"""Gradients that are wrong, each with its cause, and gradients that are right: what `dk.check_gradient` is judged by."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache

from .cases import CODES, VERDICTS, Case, Collection

__all__ = ["CODES", "VERDICTS", "Case", "catalogue"]

#: file, and the package without which its cases cannot be made
FILES = (
    ("wrong_numpy", None),
    ("wrong_behaviour", None),
    ("wrong_torch", "torch"),
    ("wrong_jax", "jax"),
    ("right_ops", None),
    ("right_numpy", None),
    ("right_scales", None),
    ("right_torch", "torch"),
    ("right_jax", "jax"),
)


def absent() -> list[str]:
    """Files whose package is missing, with its name."""
    return [f"{file} ({package})" for file, package in FILES if package and not importlib.util.find_spec(package)]


@cache
def catalogue() -> tuple[Case, ...]:
    """Every case that can be made here. Names are unique."""
    cases: list[Case] = []
    for file, package in FILES:
        if package is None or importlib.util.find_spec(package):
            module = importlib.import_module(f"{__name__}.{file}")
            cases += [c for value in vars(module).values() if isinstance(value, Collection) for c in value.cases]
    names = [c.name for c in cases]
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})
    return tuple(cases)
