"""Engines side by side: how far each is from the truth, and what each costs."""

from .compare import compare
from .result import OUTCOMES, Column, Comparison

__all__ = ["OUTCOMES", "Column", "Comparison", "compare"]
