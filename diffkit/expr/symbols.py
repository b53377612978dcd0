"""Variables by name."""

from __future__ import annotations

from ..errors import ArgumentError
from .node import Expr, variable


def symbol(name: str, shape: int | tuple[int, ...] = (), dtype: str = "float64") -> Expr:
    """A variable with a core shape and a dtype: "float64", "float32", "int64" (indices) or "bool" (conditions)."""
    return variable(name, shape, dtype)  # type: ignore[arg-type]


def symbols(names: str, dtype: str = "float64") -> tuple[Expr, ...] | Expr:
    """Scalar variables from names separated by blanks or commas; one name gives one variable."""
    parts = names.replace(",", " ").split() if isinstance(names, str) else []
    if not parts:
        raise ArgumentError(f"symbols takes names separated by blanks, not {names!r}")
    made = tuple(variable(p, (), dtype) for p in parts)
    return made[0] if len(made) == 1 else made
