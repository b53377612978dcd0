"""Checking: what can go wrong with a formula (`lint`), and where a NaN came from (`nan_origin`)."""

from .linting import Finding, LintReport, Origin, lint, nan_origin

__all__ = ["Finding", "LintReport", "Origin", "lint", "nan_origin"]
