"""Whether a record of the op table is right: its rules held against each other, SymPy's and differences."""

from .checking import check_op
from .result import Disagreement, Fault, OpCheck, Row

__all__ = ["Disagreement", "Fault", "OpCheck", "Row", "check_op"]
