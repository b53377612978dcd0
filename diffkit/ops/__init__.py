"""Every operation diffkit knows, one record each (see op.py for what a record holds)."""

from . import (  # noqa: F401  (fill the table)
    arithmetic,
    arrays,
    convolution,
    exponential,
    factorisations,
    indexing,
    leaves,
    linalg,
    loops,
    ordering,
    piecewise,
    singular,
    special,
    trigonometric,
)
from .kinks import kinks
from .leaves import CAST, CONSTANT, VARIABLE
from .op import COSTS, FAMILIES, TABLE, Op, define, get

__all__ = ["CAST", "CONSTANT", "COSTS", "FAMILIES", "TABLE", "VARIABLE", "Op", "define", "get", "kinks"]
