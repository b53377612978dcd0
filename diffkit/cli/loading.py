"""Finding the benchmarks, which lie beside the package or within it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import diffkit

from ..errors import ArgumentError


def benchmarks(module: str | None = None) -> Any:
    """The benchmarks, or one of their modules: `benchmarks/` beside the package in a checkout, within it where a wheel put them.

    Loaded as `diffkit.benchmarks` in both places, so that no other package of that name can stand in their way.
    """
    import importlib.util

    name, package = "diffkit.benchmarks", Path(diffkit.__file__).parent
    if name not in sys.modules:
        places = [folder / "benchmarks" / "__init__.py" for folder in (package, package.parent)]
        start = next((p for p in places if p.is_file()), None)
        if start is None:
            raise ArgumentError(f"the benchmarks are neither in {places[0].parent} nor in {places[1].parent}")
        spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(start.parent)])
        sys.modules[name] = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(sys.modules[name])  # type: ignore[union-attr]
    found: Any = sys.modules[name]
    return found if module is None else found.module(module)
