"""Newton's method within a region of trust, on products with the exact Hessian."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..objective import Objective, Point
from ..options import Flavor
from .line_search import ENDLESS
from .method import Step, Turn, VectorOptimizer


class TrustNCG(VectorOptimizer):
    """Steihaug's conjugate gradients on Hessian-vector products, within a ball whose radius follows how good the model was.

    radius: of the first ball. max_radius: the largest. eta: a step is taken if the function falls by more than this part of what
    the model promised. The Hessian is never formed, and may be indefinite. State: the radius.
    """

    flavors = {
        "paper": Flavor(
            "Nocedal and Wright, Numerical Optimization (2nd ed.), Algorithms 4.1 and 7.2",
            {"learning_rate": 1.0, "radius": 1.0, "max_radius": math.inf, "eta": 0.15},
        )
    }
    evaluates = True

    def formula(self) -> list[str]:
        return [
            "p ← argmin ∇fᵀp + ½pᵀ∇²f p, ‖p‖ ≤ Δ, by conjugate gradients to ‖r‖ ≤ min(½, √‖∇f‖)·‖∇f‖",
            "ρ ← (f(x) − f(x + p)) / (decrease of the model)",
            "Δ ← Δ/4 if ρ < ¼; min(2Δ, max_radius) if ρ > ¾ and ‖p‖ = Δ",
            "x ← x + p if ρ > eta",
        ]

    def memory(self, n: int) -> dict[str, Any]:
        return {"radius": float(self.options["radius"])}

    def step(self, at: Point, slots: dict[str, Any], turn: Turn) -> Step:
        assert turn.objective is not None
        radius = slots["radius"]
        if math.isnan(at.value):
            at = at._replace(value=turn.objective.value(at.x))
        for _ in range(turn.max_nfev):
            found = steihaug(turn.objective, at, radius)
            length = float(np.linalg.norm(found.step))
            if not length > np.finfo(float).eps * float(np.linalg.norm(at.x)):
                return Step(at.x, at, slots, "the region of trust has shrunk to round-off")
            new = turn.objective.point(at.x + found.step)
            if new.value == -math.inf:
                return Step(new.x, new, slots)
            # with the noise of values added to both decreases their quotient is 1 at round-off (Conn, Gould and Toint 2000, 17.4.2)
            ratio = (at.value - new.value + turn.noise) / (found.decrease + turn.noise) if new.finite else -1.0
            if ratio < 0.25:
                radius = 0.25 * length
            elif ratio > 0.75 and found.on_boundary:
                radius = min(2 * radius, self.options["max_radius"])
            if ratio > self.options["eta"]:
                # the slope is what it was, however far the steps went
                along = found.step / length
                fell = float(new.gradient @ along) <= 0.9 * float(at.gradient @ along) < 0
                endless = found.on_boundary and length >= ENDLESS * self.options["radius"] and fell
                return Step(new.x, new, {**slots, "radius": radius}, endless=endless)
        return Step(at.x, at, {**slots, "radius": radius}, "no step within the region of trust was lower")


class Subproblem(NamedTuple):
    """A step, how much the quadratic model falls along it, and whether it ends on the ball's surface."""

    step: np.ndarray
    decrease: float
    on_boundary: bool


def steihaug(objective: Objective, at: Point, radius: float) -> Subproblem:
    """Conjugate gradients on the model, stopped at the ball or at a direction of negative curvature (Algorithm 7.2)."""
    g = at.gradient
    size = float(np.linalg.norm(g))
    enough = min(0.5, math.sqrt(size)) * size
    z, r, d = np.zeros_like(g), g.copy(), -g
    hz = np.zeros_like(g)
    rr = float(r @ r)
    for _ in range(2 * len(g) + 10):
        hd = objective.product(at.x, d)
        curvature = float(d @ hd)
        if not curvature > 0:
            return _to_boundary(g, z, hz, d, hd, radius)
        alpha = rr / curvature
        further = z + alpha * d
        if not float(np.linalg.norm(further)) < radius:
            return _to_boundary(g, z, hz, d, hd, radius)
        z, hz, r = further, hz + alpha * hd, r + alpha * hd
        before, rr = rr, float(r @ r)
        if math.sqrt(rr) <= enough:
            break
        d = -r + (rr / before) * d
    return Subproblem(z, -float(g @ z + 0.5 * (z @ hz)), False)


def _to_boundary(
    g: np.ndarray, z: np.ndarray, hz: np.ndarray, d: np.ndarray, hd: np.ndarray, radius: float
) -> Subproblem:
    """From z along d to the surface of the ball: the positive root of ‖z + τd‖ = radius."""
    a, b, c = float(d @ d), float(z @ d), float(z @ z) - radius * radius
    root = math.sqrt(max(b * b - a * c, 0.0))
    tau = -c / (b + root) if b > 0 else (root - b) / a
    step, product = z + tau * d, hz + tau * hd
    return Subproblem(step, -float(g @ step + 0.5 * (step @ product)), True)
