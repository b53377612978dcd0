"""P1 on a GPU: value and five greeks of a hundred million European calls, in float64 and float32."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .gpu_harness import GpuBench, Work, ends_of_columns
from .gpu_peers import column_contestants
from .harness import Run
from .p1_black_scholes import by_hand, points, problem
from .peers import peer

TITLE = "Black-Scholes on a GPU: value and five greeks"
POINTS = {"tiny": 40, "full": 100_000_000}
#: float32 carries 7 digits, and d₁ and the difference of two prices lose some of them
TOLERANCES = {"float64": 1e-9, "float32": 5e-3}

#: price, and derivatives by S, K, r, σ and T, as textbooks print them
BY_HAND = """
T root = sqrt(t), spread = q * root, d1 = (log(S / K) + (r + q * q / 2) * t) / spread;
T discounted = K * exp(-r * t), delta = normcdf(d1), strike = discounted * normcdf(d1 - spread);
T slope = S * exp(-d1 * d1 / 2) * T(0.3989422804014327);
value = S * delta - strike; by_S = delta; by_K = -strike / K; by_r = t * strike;
by_q = slope * root; by_t = slope * q / (2 * root) + r * strike;
"""


def cupy_run(inputs: np.ndarray) -> Run:
    import cupy

    takes, gives = "T S, T K, T r, T q, T t", "T value, T by_S, T by_K, T by_r, T by_q, T by_t"
    kernel = cupy.ElementwiseKernel(takes, gives, BY_HAND, "black_scholes")
    columns = [cupy.asarray(c) for c in inputs]
    out = [cupy.empty_like(columns[0]) for _ in range(6)]
    return lambda: list(kernel(*columns, *out))


def run(bench: GpuBench) -> None:
    count = POINTS[bench.size]
    for dtype, tolerance in TOLERANCES.items():
        inputs = points(count, dtype)
        expected: Any = by_hand(*ends_of_columns(inputs).astype(float))
        cupy = peer("cupy", "CuPy by hand", "derived by hand, one kernel in CUDA C", partial(cupy_run, inputs))
        table = bench.table(
            f"{TITLE}, {dtype}", column_contestants(problem(inputs), cupy), expected,
            ideal=Work(bytes=11 * inputs.itemsize * count), work=count, tolerance=tolerance,
        )  # fmt: skip
        bench.claims_of(dtype, table, percent=80)
