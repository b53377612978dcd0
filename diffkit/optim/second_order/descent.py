"""Gradient descent with backtracking, for `minimize`; at a fixed learning rate it is `GradientDescent`."""

from __future__ import annotations

from typing import Any

from ..objective import Point
from ..options import Flavor
from .line_search import ENDLESS, along, armijo
from .method import Step, Turn, VectorOptimizer, searched


class Backtracking(VectorOptimizer):
    """x ← x − α∇f, α halved from twice the latest one until the function has decreased enough. State: the latest α."""

    flavors = {
        "paper": Flavor(
            "Nocedal and Wright, Numerical Optimization (2nd ed.), Algorithm 3.1", {"learning_rate": 1.0, "c1": 1e-4}
        )
    }
    evaluates = True

    @property
    def searches(self) -> bool:
        return True

    def formula(self) -> list[str]:
        return ["α ← 2α, then α/2 until f(x − α∇f) ≤ f(x) − c1·α·‖∇f‖²", "x ← x − α∇f(x)"]

    def memory(self, n: int) -> dict[str, Any]:
        return {"alpha": 0.0}

    def rescaled(self, slots: dict[str, Any], factor: float) -> dict[str, Any]:
        return {"alpha": slots["alpha"] / factor}

    def step(self, at: Point, slots: dict[str, Any], turn: Turn) -> Step:
        assert turn.objective is not None
        trial, start = along(turn.objective, at, -at.gradient)
        first = 2 * slots["alpha"] if slots["alpha"] else turn.rate / max(1.0, at.norm)
        found = armijo(trial, start, first, c1=self.options["c1"], noise=turn.noise)
        # the slope is what it was, however far the steps went
        endless = found.found and found.best.step >= ENDLESS * turn.rate and found.best.slope <= 0.9 * start.slope
        return searched(at, found._replace(endless=endless), {"alpha": found.best.step} if found.found else slots)
