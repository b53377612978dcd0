"""The language: expressions, functions under NumPy's names, text, tracing, SymPy, generated source."""

from . import functions  # noqa: F401  (gives Expr its operators)
