"""Packages whose names are loaded when first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any


def lazily(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a package calls `__getattr__`, `__dir__` and `__all__`, from the module (".module") of each of its names.

    The name of a submodule, under its own name, is the submodule itself.
    """

    def load(name: str) -> Any:
        if name not in places:
            close = get_close_matches(name.lower(), {n.lower(): n for n in places}, 1)
            hint = f"; did you mean {next(n for n in places if n.lower() == close[0])}?" if close else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        module = import_module(places[name], package)
        value = module if places[name] == f".{name}" and not hasattr(module, name) else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted(places), list(places)
