"""P7: P1 in float32: half the bytes and twice the lanes of a vector, so half the time is there to be had."""

from __future__ import annotations

import numpy as np

from .harness import Bench, Contestant, ratio
from .p1_black_scholes import POINTS, by_hand, points, problem
from .peers import (
    diffkit_run,
    heyoka_run,
    jax_run,
    numpy_run,
    own,
    peer,
    torch_compiled_run,
    torch_contestants,
    torch_eager_run,
)

TITLE = "Black-Scholes in float32 and float64"
#: float32 carries 7 digits, and d₁ and the difference of two prices lose some of them
TOLERANCE = 2e-3
TIERS: tuple[tuple[str, int | None], ...] = (("interpreted", None), ("fused", None))


def contestants(inputs: np.ndarray, tiny: bool) -> list[Contestant]:
    p, suffix = problem(inputs), f", {inputs.dtype}"
    made = own(lambda: diffkit_run(p), "as in P1", TIERS, suffix)
    made += [
        peer("heyoka", f"heyoka{suffix}", "as in P1; 16 lanes in float32", lambda: heyoka_run(p)),
        peer("jax", f"JAX{suffix}", "as in P1", lambda: jax_run(p)),
        peer("numpy", f"NumPy by hand{suffix}", "as in P1", lambda: numpy_run(p, by_hand)),
    ]
    compiled = None if tiny else lambda: torch_compiled_run(p)
    return made + torch_contestants(lambda: torch_eager_run(p), compiled, note=suffix)


def run(bench: Bench) -> None:
    single = points(POINTS[bench.size], "float32")
    double = single.astype(float)
    table = bench.table(
        TITLE, [c for inputs in (single, double) for c in contestants(inputs, bench.tiny)], by_hand(*double),
        work=single.shape[1], tolerance=TOLERANCE, note="The best peer is the best in float32.",
    )  # fmt: skip
    for tier in ("fused", "interpreted"):
        narrow, wide = (table.figure(f"diffkit, {tier}, {dtype}") for dtype in ("float32", "float64"))
        bench.claim(f"{tier}: float32 ÷ float64", ratio(narrow, wide), 0.6)
