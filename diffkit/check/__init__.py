"""Checking: what can go wrong with a formula (`lint`), where a NaN came from, whether a gradient is right (`check_gradient`), or an
operation's record (`check_op`).

Names are loaded when first used: pytest imports this package, for its plugin, wherever diffkit is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    **dict.fromkeys(("Finding", "LintReport", "Origin", "lint", "nan_origin"), ".linting"),
    **dict.fromkeys(("CheckResult", "Suspect", "check_gradient"), ".gradients"),
    **dict.fromkeys(("OpCheck", "check_op"), ".operations"),
    "Check": ".running",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name], __name__), name)
    globals()[name] = value
    return value
