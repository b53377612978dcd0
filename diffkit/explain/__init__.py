"""Explaining a derivative: the lecture's tables node by node, and the derivation step by step."""

from .derivation import Explanation, Step, explain
from .tables import Row, TraceTable, trace_table

__all__ = ["Explanation", "Row", "Step", "TraceTable", "explain", "trace_table"]
