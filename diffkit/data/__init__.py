"""Readers of data that others publish. Names are loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {"read_nist_strd": ".nist", "Problem": ".nist"}
__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
