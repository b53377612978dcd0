"""L-BFGS: the latest pairs stand for the inverse Hessian."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ..options import Flavor
from .quasi import QuasiNewton, curved

_TWO_LOOPS = "Nocedal and Wright, Numerical Optimization (2nd ed.), Algorithm 7.4"


class LBFGS(QuasiNewton):
    """x ← x − α H ∇f, H from the `history_size` latest pairs by the two-loop recursion, never formed.

    One `update` is one iteration (torch.optim's `step` runs up to `max_iter` of them). learning_rate: the line search's first
    step, or the step where there is none. history_size (or memory_size): pairs kept. line_search_fn: "strong_wolfe", and then
    `update` needs `fun`, or None. The flavors differ in defaults and rules:

    - "torch": 100 pairs, no line search, first step min(1, 1/‖g‖₁)·learning_rate; pairs with yᵀs ≤ 1e-10 are left out. Without
      a line search nothing keeps the function from growing.
    - "optax": 10 pairs, line search, first step at most of length 1.
    - "paper": as optax; a pair is left out where yᵀs is not positive beyond round-off. `minimize` uses this one.

    On mini-batches the differences of gradients are between different functions, and their pairs are noise.
    State: "S" and "Y", lists of history_size vectors, used in a circle; the latest point and gradient.
    """

    flavors = {
        "torch": Flavor(
            f"torch.optim.LBFGS; {_TWO_LOOPS}",
            {"learning_rate": 1.0, "history_size": 100, "line_search_fn": None, "c1": 1e-4, "c2": 0.9},
        ),
        "optax": Flavor(
            f"optax.lbfgs; {_TWO_LOOPS}",
            {"learning_rate": 1.0, "history_size": 10, "line_search_fn": "strong_wolfe", "c1": 1e-4, "c2": 0.9},
        ),
        "paper": Flavor(
            _TWO_LOOPS,
            {"learning_rate": 1.0, "history_size": 10, "line_search_fn": "strong_wolfe", "c1": 1e-4, "c2": 0.9},
        ),
    }
    aliases = {"memory_size": "history_size"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        m = self.options["history_size"]
        if isinstance(m, bool) or not isinstance(m, (int, np.integer)) or m < 1:
            raise ArgumentError(f"history_size of {self.name} is a number of pairs, 1 or more, not {m!r}")

    def formula(self) -> list[str]:
        least = "1e-10" if self.flavor == "torch" else "0, beyond round-off"
        return [
            f"s ← x − x_before, y ← ∇f(x) − ∇f(x_before); the pair is kept if yᵀs > {least}",
            "q ← ∇f(x); newest to oldest: a_i ← sᵢᵀq/yᵢᵀsᵢ, q ← q − a_i·yᵢ",
            "q ← (sᵀy/yᵀy)·q with the newest pair",
            "oldest to newest: q ← q + (a_i − yᵢᵀq/yᵢᵀsᵢ)·sᵢ",
            "d ← −q",
            *self.moving(),
        ]

    @property
    def shorter(self) -> str:  # type: ignore[override]
        return "min(1, 1/‖d‖₁)" if self.flavor == "torch" else QuasiNewton.shorter

    def memory(self, n: int) -> dict[str, Any]:
        m = self.options["history_size"]
        return {**super().memory(n), "S": [np.zeros(n) for _ in range(m)], "Y": [np.zeros(n) for _ in range(m)]}

    def first_length(self, g: np.ndarray) -> float:
        if self.flavor == "torch":
            return min(1.0, 1.0 / max(float(np.abs(g).sum()), 1e-300))
        return super().first_length(g)

    def learned(self, slots: dict[str, Any], s: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        if not (s @ y > 1e-10 if self.flavor == "torch" else curved(s, y)):
            return slots
        pairs = slots["pairs"]
        k = pairs % len(slots["S"])
        S, Y = ([*rows[:k], row, *rows[k + 1 :]] for rows, row in ((slots["S"], s), (slots["Y"], y)))
        return {**slots, "S": S, "Y": Y, "pairs": pairs + 1}

    def direction(self, slots: dict[str, Any], g: np.ndarray) -> np.ndarray:
        pairs, m = slots["pairs"], len(slots["S"])
        newest_first = [k % m for k in range(pairs - 1, max(pairs - m, 0) - 1, -1)]
        return -two_loops([(slots["S"][k], slots["Y"][k]) for k in newest_first], g)


def two_loops(pairs: list[tuple[np.ndarray, np.ndarray]], g: np.ndarray) -> np.ndarray:
    """H g, H the BFGS matrix of these pairs (newest first) from (sᵀy/yᵀy) I of the newest. All are vectors (n,)."""
    if not pairs:
        return g
    q = g.copy()
    kept = []
    for s, y in pairs:
        rho = 1.0 / (y @ s)
        a = rho * (s @ q)
        q -= a * y
        kept.append((rho, a))
    s, y = pairs[0]
    q *= (s @ y) / (y @ y)
    for (s, y), (rho, a) in zip(reversed(pairs), reversed(kept), strict=True):
        q += (a - rho * (y @ q)) * s
    return q
