"""Checking: what can go wrong with a formula (`lint`), where a NaN came from, whether a gradient is right (`check_gradient`), or an
operation's record (`check_op`).

Names are loaded when first used: pytest imports this package, for its plugin, wherever diffkit is installed.
"""

from __future__ import annotations

from ..lazy import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        **dict.fromkeys(("Finding", "LintReport", "Origin", "lint", "nan_origin"), ".linting"),
        **dict.fromkeys(("CheckResult", "Suspect", "check_gradient"), ".gradients"),
        **dict.fromkeys(("OpCheck", "check_op"), ".operations"),
        "Check": ".running",
    },
)
