"""What can go wrong with a formula and its derivative (`lint`), and where a NaN came from (`nan_origin`)."""

from .findings import Finding, LintReport
from .lint import lint
from .origin import Origin, nan_origin

__all__ = ["Finding", "LintReport", "Origin", "lint", "nan_origin"]
