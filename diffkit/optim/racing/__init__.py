"""Optimisers raced on a catalogue of problems, every learning rate tuned on a grid that is stated beforehand."""

from .problems import Problem, catalogue, problem
from .result import Entrant, RaceResult, Run, Try
from .tuning import GRID, race

__all__ = ["GRID", "Entrant", "Problem", "RaceResult", "Run", "Try", "catalogue", "problem", "race"]
