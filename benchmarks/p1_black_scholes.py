"""P1: value and the five greeks of a European call (Black and Scholes 1973), one million points, outputs reused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtr

from .harness import Bench, Table, ratio
from .peers import Problem, column_contestants

TITLE = "Black-Scholes: value and five greeks"
POINTS = {"tiny": 2_000, "full": 1_000_000}
NAMES = ("S", "K", "r", "sigma", "T")
RANGES = ((80, 120), (80, 120), (0, 0.1), (0.1, 0.5), (0.1, 2))
SQRT_HALF = math.sqrt(0.5)  # a Python number takes no part in promotion: float32 stays float32

#: the same function as text
TEXT = (
    "S*0.5*(1 + erf((log(S/K) + (r + sigma*sigma/2)*T)/(sigma*sqrt(T))*0.7071067811865476))"
    " - K*exp(-r*T)*0.5*(1 + erf((log(S/K) + (r - sigma*sigma/2)*T)/(sigma*sqrt(T))*0.7071067811865476))"
)


def call_price(m: Any, S: Any, K: Any, r: Any, sigma: Any, T: Any) -> tuple[Any]:
    """The price, in the functions of any tool (peers.py)."""
    spread = sigma * m.sqrt(T)
    d1 = (m.log(S / K) + (r + sigma * sigma / 2) * T) / spread
    d2 = d1 - spread
    return (S * (0.5 * (1 + m.erf(d1 * SQRT_HALF))) - K * m.exp(-r * T) * (0.5 * (1 + m.erf(d2 * SQRT_HALF))),)


def by_hand(S: np.ndarray, K: np.ndarray, r: np.ndarray, sigma: np.ndarray, T: np.ndarray) -> list[np.ndarray]:
    """Price and derivatives by S, K, r, sigma and T as textbooks print them: the reference, and NumPy's contestant."""
    root = np.sqrt(T)
    spread = sigma * root
    d1 = (np.log(S / K) + (r + sigma * sigma / 2) * T) / spread
    d2 = d1 - spread
    discounted, delta = K * np.exp(-r * T), ndtr(d1)
    strike = discounted * ndtr(d2)
    slope = S * np.exp(-0.5 * d1 * d1) * (1 / math.sqrt(2 * math.pi))
    return [S * delta - strike, delta, -strike / K, T * strike, slope * root, slope * sigma / (2 * root) + r * strike]


def points(count: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    """(5, count), uniform in the ranges; made row by row in place, since a workload measures memory too."""
    rng, inputs = np.random.default_rng(seed), np.empty((5, count), dtype)
    for row, (low, high) in zip(inputs, RANGES, strict=True):
        rng.random(out=row, dtype=row.dtype)
        row *= high - low
        row += low
    return inputs


def problem(inputs: np.ndarray) -> Problem:
    return Problem(call_price, inputs, NAMES, wrt=5)


def run(bench: Bench) -> None:
    inputs = points(POINTS[bench.size])
    contestants = column_contestants(problem(inputs), by_hand, tiny=bench.tiny)
    table = bench.table(TITLE, contestants, by_hand(*inputs), work=inputs.shape[1])
    claim(bench, table)


def claim(bench: Bench, table: Table) -> None:
    bench.claim("fused ÷ best peer", ratio(table.figure("diffkit, fused"), table.best()), 0.6)
    bench.claim("interpreted ÷ best peer", ratio(table.figure("diffkit, interpreted"), table.best()), 1.3)
