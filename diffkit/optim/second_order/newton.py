"""Newton's method on the exact Hessian."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import DiffkitError
from ..objective import Point
from ..options import Flavor
from .method import Step, Turn, VectorOptimizer

_WOLFE = {"c1": 1e-4, "c2": 0.9}


class IndefiniteError(DiffkitError, np.linalg.LinAlgError):
    """A Hessian that is not positive definite (or singular) where it must be."""


class Newton(VectorOptimizer):
    """x ← x − α (∇²f + λI)⁻¹ ∇f with the exact Hessian: n² numbers of memory and n³/3 operations a step.

    learning_rate: α, 1.0. damping: λ, 0. line_search_fn: None (the full step), or "strong_wolfe", which tries α first. indefinite:
    what happens where the Hessian is not positive definite, and the plain step would go to a saddle point or a maximum:

    - "shift": the least multiple of I among a doubling sequence is added that makes it so (Nocedal and Wright, Algorithm 3.3);
    - "saddle-free": its eigenvalues' sizes take their place (Dauphin et al. 2014);
    - "plain": the step is taken as it is;
    - "error": IndefiniteError.

    `update` needs `fun`. Raises IndefiniteError also for a singular Hessian with "plain".
    """

    flavors = {
        "paper": Flavor(
            "Nocedal and Wright, Numerical Optimization (2nd ed.), equation 2.15, Algorithm 3.3",
            {"learning_rate": 1.0, "damping": 0.0, "indefinite": "shift", "line_search_fn": None, **_WOLFE},
        )
    }
    choices = {"indefinite": ("shift", "saddle-free", "plain", "error"), "line_search_fn": (None, "strong_wolfe")}
    evaluates = True

    def formula(self) -> list[str]:
        kind = {
            "shift": "H ← H + τI, τ the first of 0, β, 2β, … for which it is positive definite",
            "saddle-free": "H ← Q|Λ|Qᵀ, from H = QΛQᵀ",
            "plain": "H as it is",
            "error": "H must be positive definite",
        }[self.options["indefinite"]]
        damped = " + damping·I" * (self.options["damping"] != 0)
        return [f"H ← ∇²f(x){damped}", kind, "d ← −H⁻¹ ∇f(x)", *self.moving()]

    def moving(self) -> list[str]:
        if not self.searches:
            return ["x ← x + learning_rate·d"]
        return ["α by a strong Wolfe line search, learning_rate first", "x ← x + α·d"]

    def step(self, at: Point, slots: dict[str, Any], turn: Turn) -> Step:
        assert turn.objective is not None
        h = turn.objective.hessian(at.x)
        if self.options["damping"]:
            h = h + self.options["damping"] * np.eye(len(h))
        if not np.isfinite(h).all() and np.isfinite(at.gradient).all():
            return Step(at.x, at, slots, "the Hessian is not finite")
        return self.moved(at, -solved(h, at.gradient, self.options["indefinite"]), turn.rate, slots, turn)


def solved(h: np.ndarray, g: np.ndarray, indefinite: str) -> np.ndarray:
    """H⁻¹ g, H made positive definite as asked. h: (n, n), symmetric. g: (n,)."""
    from scipy.linalg.lapack import dpotrf, dpotrs

    if not np.isfinite(h).all():
        return np.full_like(g, np.nan)
    factor, info = dpotrf(h, lower=1)
    if info == 0:
        return dpotrs(factor, g, lower=1)[0]
    if indefinite == "shift":
        beta = 1e-5 * float(np.linalg.norm(h)) or 1.0
        least = float(h.diagonal().min())
        tau = beta if least > 0 else beta - least
        while True:
            factor, info = dpotrf(h + tau * np.eye(len(h)), lower=1)
            if info == 0:
                return dpotrs(factor, g, lower=1)[0]
            tau *= 2
    if indefinite == "error":
        raise IndefiniteError(
            f"the Hessian is not positive definite (least eigenvalue {np.linalg.eigvalsh(h)[0]:.3g}); "
            'indefinite="shift" or "saddle-free" goes on downhill'
        )
    if indefinite == "saddle-free":
        values, vectors = np.linalg.eigh(h)
        sizes = np.abs(values)
        sizes = np.maximum(sizes, np.finfo(float).eps * len(h) * sizes.max() or 1.0)
        return vectors @ ((vectors.T @ g) / sizes)
    try:
        return np.linalg.solve(h, g)
    except np.linalg.LinAlgError:
        raise IndefiniteError(
            'the Hessian is singular, so there is no Newton step; damping=1e-6, or indefinite="shift", gives one'
        ) from None
