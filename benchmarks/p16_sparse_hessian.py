"""P16: the sparse Hessian of the chained Rosenbrock function Σ 100 (x_{i+1} − x_i²)² + (1 − x_i)², written with whole
arrays, float64.

The first answer is the time to build: from the function to the first Hessian, pattern and colouring included. CasADi
writes the function with its scalar graph (SX), for which its sparse Hessians are made.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .array_peers import TIERS
from .harness import Bench, Contestant, Run, ratio
from .peers import casadi_bound, own, peer

TITLE = "Chained Rosenbrock: sparse Hessian"
#: variables: a tenth and the whole
SIZES = {"tiny": (20, 200), "full": (10_000, 100_000)}
OWN, THEIRS = "diffkit, fused", "CasADi"


def objective(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def start(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, n)


def by_hand(x: np.ndarray) -> np.ndarray:
    """The values of the Hessian in CSR: a tridiagonal matrix, row by row."""
    n = len(x)
    diagonal, beside = np.zeros(n), -400 * x[:-1]
    diagonal[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:] += 200
    rows = np.zeros((n, 3))
    rows[:, 1], rows[1:, 0], rows[:-1, 2] = diagonal, beside, beside
    return rows.reshape(-1)[1:-1]


def diffkit_run(n: int, machine: str = "cpu") -> Run:
    import diffkit as dk

    call, x = dk.hessian(objective, sparse=True, machine=machine), start(n)
    return lambda: [call(x).data]


def casadi_run(n: int) -> Run:
    import casadi

    x = casadi.SX.sym("x", n)
    before, after = x[:-1], x[1:]
    f = casadi.sum1(100 * (after - before**2) ** 2 + (1 - before) ** 2)
    hessian, _ = casadi.hessian(f, x)
    # symmetric, so that its columns one after another are its rows
    call = casadi.Function("hessian", [x], [hessian])
    out = np.full(hessian.nnz(), 0.0)
    bound = casadi_bound(call, [start(n)], [out])

    def run() -> list[np.ndarray]:
        bound()
        return [out]

    return run


def contestants(n: int) -> list[Contestant]:
    return [
        *own(partial(diffkit_run, n), "dk.hessian(sparse=True)", TIERS, warm=lambda: diffkit_run(5)()),
        peer(
            "casadi", THEIRS, "SX, its interpreter, buffers bound", partial(casadi_run, n), warm=lambda: casadi_run(5)()
        ),
    ]


def run(bench: Bench) -> None:
    small, large = (
        bench.table(f"{TITLE}, n = {n:,}", contestants(n), [by_hand(start(n))], per="call") for n in SIZES[bench.size]
    )
    bench.claim("build ÷ CasADi", ratio(large.figure(OWN, "first"), large.figure(THEIRS, "first")), 0.3)
    bench.claim("run ÷ CasADi", ratio(large.figure(OWN), large.figure(THEIRS)), 0.5)
    a, b = SIZES[bench.size]
    for what, which in (("build", "first"), ("run", "median")):
        growth = ratio(large.figure(OWN, which), small.figure(OWN, which))
        bench.claim(f"{what} a variable at {b:,} ÷ at {a:,}", ratio(growth, b / a), 1.5)
