"""Checking: what can go wrong with a formula (`lint`), where a NaN came from, whether a gradient is right (`check_gradient`), or an operation's
record (`check_op`)."""

from typing import Any

from .linting import Finding, LintReport, Origin, lint, nan_origin

__all__ = [
    "CheckResult", "Finding", "LintReport", "OpCheck", "Origin", "Suspect", "check_gradient", "check_op", "lint", "nan_origin",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("CheckResult", "Suspect", "check_gradient"):
        from . import gradients

        return getattr(gradients, name)
    if name in ("OpCheck", "check_op"):
        from . import operations

        return getattr(operations, name)
    raise AttributeError(name)
