"""What BFGS and L-BFGS share: a pair (s, y) is learned from each step, and gives the next direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..objective import Point
from .method import Step, Turn, VectorOptimizer


class QuasiNewton(VectorOptimizer):
    """Keeps the latest point and gradient as slots "x" and "g"; subclasses keep what they learn from differences."""

    #: `first_length`, as the formula prints it
    shorter = "min(1, 1/‖d‖₂)"
    choices = {"line_search_fn": (None, "strong_wolfe")}

    def memory(self, n: int) -> dict[str, Any]:
        return {"x": np.zeros(n), "g": np.zeros(n), "pairs": 0}

    def rescaled(self, slots: dict[str, Any], factor: float) -> None:
        return None

    def learned(self, slots: dict[str, Any], s: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """The memory with one more pair: the step, and the change of the gradient."""
        raise NotImplementedError

    def direction(self, slots: dict[str, Any], g: np.ndarray) -> np.ndarray:
        """−H g, H the inverse Hessian's approximation."""
        raise NotImplementedError

    def first_length(self, g: np.ndarray) -> float:
        """Of the first step along −g, where its scale is unknown: at most a length of 1."""
        return min(1.0, 1.0 / max(float(np.linalg.norm(g)), 1e-300))

    def step(self, at: Point, slots: dict[str, Any], turn: Turn) -> Step:
        g = at.gradient
        if not turn.first:
            slots = self.learned(slots, at.x - slots["x"], g - slots["g"])
        slots = {**slots, "x": at.x, "g": g}
        direction = self.direction(slots, g)
        if g @ direction >= 0:  # round-off has spoilt what was learned
            slots = {**self.memory(len(g)), "x": at.x, "g": g}
            direction = -g
        first = turn.rate if slots["pairs"] else turn.rate * self.first_length(g)
        return self.moved(at, direction, first, slots, turn)

    def moving(self) -> list[str]:
        if not self.searches:
            return [f"x ← x + α·d, α = learning_rate, of the first step {self.shorter}·learning_rate"]
        return [
            f"α by a strong Wolfe line search (c1, c2), learning_rate first, before the first pair {self.shorter}·learning_rate",
            "x ← x + α·d",
        ]


def curved(s: np.ndarray, y: np.ndarray) -> bool:
    """Whether a pair's curvature yᵀs is positive beyond round-off."""
    return bool(s @ y > np.finfo(float).eps * np.linalg.norm(s) * np.linalg.norm(y))
