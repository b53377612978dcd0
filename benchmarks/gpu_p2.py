"""P2 on a GPU: the Jacobian of bundle adjustment, 2×15 an observation, ten million observations."""

from __future__ import annotations

from functools import partial

from .gpu_harness import GpuBench, Work, ends_of_columns
from .gpu_peers import column_contestants, cupy_run
from .p2_bundle_adjustment import NAMES, by_hand, observations, reprojection_error
from .peers import Problem, peer

TITLE = "Bundle adjustment on a GPU: Jacobian 2×15"
POINTS = {"tiny": 40, "full": 10_000_000}
WRT = len(NAMES) - 2


def run(bench: GpuBench) -> None:
    count = POINTS[bench.size]
    p = Problem(reprojection_error, observations(count), NAMES, outputs=2, wrt=WRT, values=False)
    cupy = peer("cupy", "CuPy by hand", "derived by hand, array by array", partial(cupy_run, by_hand, p.inputs))
    table = bench.table(
        TITLE, column_contestants(p, cupy), by_hand(*ends_of_columns(p.inputs)),
        ideal=Work(bytes=(len(NAMES) + p.rows) * 8 * count), work=count, per="observation",
    )  # fmt: skip
    bench.claims_of("float64", table, percent=70)
