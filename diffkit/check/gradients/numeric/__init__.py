"""Derivatives from values alone, with an error bar for each: of any function that can be called."""

from .differences import KINK, SMOOTH, STATES, STEP, VAGUE, Differences, Estimates
from .directions import Dense, Directions, Entries, scales
from .noise import Surroundings, surroundings

__all__ = [
    "KINK", "SMOOTH", "STATES", "STEP", "VAGUE", "Dense", "Differences", "Directions", "Entries", "Estimates", "Surroundings",
    "scales", "surroundings",
]  # fmt: skip
