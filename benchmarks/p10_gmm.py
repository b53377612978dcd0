"""P10: ADBench's Gaussian mixture: the gradient of the log posterior by weights, means and inverse covariances,
float64.

Every tool runs the same form of it: all Q_k (x_i − μ_k) as one matrix product. Subtracting the means first, as ADBench's
own forms do, takes JAX and PyTorch, eager or compiled, at least half as long again.
"""

from __future__ import annotations

from functools import partial

from .adbench import claim_accuracy
from .adbench.gmm import closed_form, generate
from .array_peers import diffkit_run, loss_contestants
from .harness import Bench, ratio

TITLE = "ADBench GMM: gradient"
#: d, K, n
CASES = {"tiny": [(2, 3, 40)], "full": [(10, 25, 10_000), (32, 25, 1_000), (20, 50, 1_000)]}
OWN = "diffkit, fused"


def run(bench: Bench) -> None:
    for d, components, n in CASES[bench.size]:
        mixture, what = generate(d, components, n), f"d={d} K={components} n={n:,}"
        _, expected = closed_form(*mixture.arguments)
        table = bench.table(f"{TITLE}, {what}", loss_contestants(mixture.loss(), bench.tiny), expected, per="gradient")
        bench.claim(f"{what}: diffkit ÷ best peer", ratio(table.figure(OWN), table.best()), 0.6)
        claim_accuracy(bench, table, OWN, what, partial(diffkit_run, mixture.loss()), expected)
