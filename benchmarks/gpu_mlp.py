"""P13 on a GPU: a network 784-256-256-10 on a batch of 8,192, in float32 and float64."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from .gpu_harness import GpuBench, Work
from .gpu_peers import cupy_run, loss_contestants
from .p13_mlp import TOLERANCES, by_hand, described, generate, reference
from .peers import peer

TITLE = "MLP on a GPU: gradient"
#: units of each layer, and the batch
CASES = {"tiny": ((4, 3, 3, 2), 8), "full": ((784, 256, 256, 10), 8192)}


def flops(sizes: tuple[int, ...], batch: int) -> float:
    """Of the products forward, by the weights, and by the hidden units."""
    forward = [2 * batch * n * m for n, m in pairwise(sizes)]
    return 3 * sum(forward) - forward[0]


def run(bench: GpuBench) -> None:
    sizes, batch = CASES[bench.size]
    for dtype, tolerance in TOLERANCES.items():
        loss = generate(sizes, batch, dtype)
        derived: Any = lambda *arrays: by_hand(arrays[:-2], *arrays[-2:])
        cupy = peer("cupy", "CuPy by hand", "derived by hand", partial(cupy_run, derived, [*loss.params, *loss.data]))
        table = bench.table(
            f"{TITLE}, {described(sizes, batch)}, {dtype}", loss_contestants(loss, cupy), reference(loss),
            ideal=Work(flops=flops(sizes, batch), dtype=dtype), per="gradient", tolerance=tolerance,
        )  # fmt: skip
        bench.claims_of(dtype, table)
