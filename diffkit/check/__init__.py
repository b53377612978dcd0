"""Checking: what can go wrong with a formula (`lint`), where a NaN came from, and whether a gradient is right (`check_gradient`)."""

from typing import Any

from .linting import Finding, LintReport, Origin, lint, nan_origin

__all__ = ["CheckResult", "Finding", "LintReport", "Origin", "Suspect", "check_gradient", "lint", "nan_origin"]


def __getattr__(name: str) -> Any:
    if name in ("CheckResult", "Suspect", "check_gradient"):
        from . import gradients

        return getattr(gradients, name)
    raise AttributeError(name)
