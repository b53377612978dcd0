"""Whether a gradient is right, and what is wrong with it: of functions of any framework."""

from .checking import check_gradient
from .result import CheckResult
from .suspects import CODES, Suspect

__all__ = ["CODES", "CheckResult", "Suspect", "check_gradient"]
