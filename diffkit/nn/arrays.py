"""What is given to a function of this package: an expression or array as it is, a number or nested sequence as one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..expr.node import Expr
from ..expr.operands import as_expr, holds_expr


def as_array(value: Any) -> Any:
    """The value with arithmetic and a shape: an Expr, an array of NumPy's, or a type with arithmetic of its own (a dual number)."""
    if isinstance(value, Expr) or hasattr(type(value), "__dk_apply__"):
        return value
    return as_expr(value) if holds_expr(value) else np.asarray(value)
