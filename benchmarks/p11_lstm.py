"""P11: ADBench's LSTM: the gradient through a loop over a sequence, float64.

JAX takes part in both orders of computation (`adbench.lstm`), PyTorch with a loop of Python's; hand-written C++ goes
step by step, as ADBench's does.
"""

from __future__ import annotations

from functools import partial

from .adbench import claim_accuracy, native
from .adbench.lstm import ORDERS, Network, by_hand, generate
from .array_peers import TIERS, diffkit_run, jax_run, torch_eager_run
from .harness import Bench, Contestant, ratio
from .peers import own, peer, torch_threads

TITLE = "ADBench LSTM: gradient"
#: layers, characters, bits
CASES = {"tiny": [(2, 8, 3)], "full": [(2, 1024, 14), (4, 1024, 14)]}
OWN = "diffkit, fused"
EXACT, FAST = "C++ -O3", "C++ -Ofast"


def contestants(network: Network) -> list[Contestant]:
    loss = network.loss()
    orders = [
        peer("jax", f"JAX, scan, by {order}", "jit of grad", partial(jax_run, network.loss(order))) for order in ORDERS
    ]
    return [
        *own(partial(diffkit_run, loss), "dk.grad, dk.scan, layer by layer", TIERS),
        *orders,
        peer("torch", "PyTorch, eager, 1 thread", "autograd.grad, a Python loop layer by layer",
             partial(torch_eager_run, loss), prepare=torch_threads(1)),
        native.contestant(EXACT, "step by step", partial(native.lstm_run, network, native.EXACT), native.EXACT),
        native.contestant(FAST, "step by step", partial(native.lstm_run, network, native.FAST), native.FAST),
    ]  # fmt: skip


def run(bench: Bench) -> None:
    for layers, characters, b in CASES[bench.size]:
        network, what = generate(layers, characters, b), f"l{layers} c{characters}"
        _, expected = by_hand(*network.arguments)
        table = bench.table(
            f"{TITLE}, {what}", contestants(network), expected, per="gradient",
            note="torch.compile would unroll the loop, and compile for minutes.",
        )  # fmt: skip
        mine = table.figure(OWN)
        bench.claim(f"{what}: diffkit ÷ best JAX", ratio(mine, table.best(lambda r: r.tool == "jax")), 0.35)
        for name in (EXACT, FAST):
            bench.claim(f"{what}: diffkit ÷ {name}", ratio(mine, table.figure(name)), 1.0)
        claim_accuracy(bench, table, OWN, what, partial(diffkit_run, network.loss()), expected)
