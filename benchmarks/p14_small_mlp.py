"""P14: networks so small that calling a tool's operations costs more than they do, float64: the gradient by all
weights and biases.
"""

from __future__ import annotations

from .harness import Bench, ratio
from .p13_mlp import contestants, described, generate, reference

TITLE = "Small MLP: gradient"
#: units of each layer, and the batch
CASES: dict[str, list[tuple[tuple[int, ...], int]]] = {
    "tiny": [((3, 4, 2), 8)],
    "full": [((10, 32, 32, 4), 1024), ((64, 32, 10), 32)],
}


def run(bench: Bench) -> None:
    for sizes, batch in CASES[bench.size]:
        loss, what = generate(sizes, batch), described(sizes, batch)
        table = bench.table(f"{TITLE}, {what}", contestants(loss, bench.tiny), reference(loss), per="gradient")
        bench.claim(f"{what}: diffkit ÷ best peer", ratio(table.figure("diffkit, fused"), table.best()), 0.5)
