"""BFGS: the dense inverse Hessian's approximation, by rank-2 updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..options import Flavor
from .quasi import QuasiNewton, curved


class BFGS(QuasiNewton):
    """x ← x − α H ∇f, H updated by rank 2 after each step (n² numbers of memory).

    learning_rate: the line search's first step, or the step where there is no line search, 1.0. line_search_fn: "strong_wolfe"
    (then `update` needs `fun`) or None. curvature: what happens to a pair without positive curvature: "skip", it is left out;
    "damp", s is moved towards Hy until yᵀs = 0.2 yᵀHy (Powell's damping, for the inverse). State: H, (n, n), and the latest point
    and gradient.
    """

    flavors = {
        "paper": Flavor(
            "Nocedal and Wright, Numerical Optimization (2nd ed.), equations 6.17 and 6.20",
            {"learning_rate": 1.0, "line_search_fn": "strong_wolfe", "curvature": "skip", "c1": 1e-4, "c2": 0.9},
        )
    }
    choices = {**QuasiNewton.choices, "curvature": ("skip", "damp")}

    def formula(self) -> list[str]:
        rule = {
            "skip": "if sᵀy > 0, ρ ← 1/sᵀy:",
            "damp": "if sᵀy < 0.2 yᵀHy, s ← θs + (1−θ)Hy with sᵀy = 0.2 yᵀHy; ρ ← 1/sᵀy:",
        }[self.options["curvature"]]
        return [
            "s ← x − x_before, y ← ∇f(x) − ∇f(x_before)",
            rule,
            "H ← (I − ρsyᵀ) H (I − ρysᵀ) + ρssᵀ, from H = (sᵀy/yᵀy) I before the first",
            "d ← −H ∇f(x)",
            *self.moving(),
        ]

    def memory(self, n: int) -> dict[str, Any]:
        return {**super().memory(n), "H": np.eye(n)}

    def learned(self, slots: dict[str, Any], s: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        h = slots["H"]
        if self.options["curvature"] == "damp":
            hy = h @ y
            size = float(y @ hy)
            if s @ y < 0.2 * size:
                theta = 0.8 * size / (size - float(s @ y))
                s = theta * s + (1 - theta) * hy
        if not curved(s, y):
            return slots
        if slots["pairs"] == 0:
            h = np.eye(len(s)) * (float(s @ y) / float(y @ y))
        return {**slots, "H": updated_inverse(h, s, y), "pairs": slots["pairs"] + 1}

    def direction(self, slots: dict[str, Any], g: np.ndarray) -> np.ndarray:
        return -(slots["H"] @ g)


def updated_inverse(h: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(I − ρsyᵀ) H (I − ρysᵀ) + ρssᵀ with ρ = 1/sᵀy, in n² operations and symmetric to the bit."""
    sy = float(s @ y)
    hy = h @ y
    # H − (s hyᵀ + hy sᵀ)/sᵀy + (1 + yᵀHy/sᵀy) ssᵀ/sᵀy, as one symmetric product: s uᵀ + u sᵀ
    u = (0.5 * (1 + float(y @ hy) / sy) * s - hy) / sy
    cross = np.outer(s, u)
    return h + (cross + cross.T)
