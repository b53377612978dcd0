"""Every operation diffkit knows, one record each (see op.py for what a record holds)."""

from . import arithmetic, arrays, exponential, leaves, piecewise, special, trigonometric  # noqa: F401  (fill the table)
from .kinks import kinks
from .leaves import CAST, CONSTANT, VARIABLE
from .op import COSTS, FAMILIES, TABLE, Op, define, get

__all__ = ["CAST", "CONSTANT", "COSTS", "FAMILIES", "TABLE", "VARIABLE", "Op", "define", "get", "kinks"]
