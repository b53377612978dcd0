"""P1c: from the text (or the Python function) to the first answer at 1,000 points, in a process that is warm.

Every call makes a formula that was never seen before (a constant in it is new), so that no cache of compiled code can help,
neither in memory nor on disk. A warm process has the tool imported and has made one other answer with it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from .harness import Bench, Contestant, Run, scaled
from .p1_black_scholes import NAMES, TEXT, by_hand, call_price, points
from .peers import (
    Problem,
    heyoka_run,
    jax_run,
    own,
    peer,
    sympy_run,
    torch_compiled_run,
    torch_contestants,
    torch_eager_run,
)

TITLE = "Black-Scholes: from nothing to the first answer"
POINTS = {"tiny": 100, "full": 1_000}
#: what the price is multiplied by: so near to 1 that answers still agree, and new in every call of every process
STEP = 2.0**-50
TIERS: tuple[tuple[str, int | None], ...] = (("auto", None), ("interpreted", None), ("fused", None))


def never_seen() -> Iterator[float]:
    """Factors 1 + k·2⁻⁵⁰, from a place that differs from process to process."""
    first = int.from_bytes(os.urandom(2), "little")
    return (1 + (first + k) * STEP for k in itertools.count(1))


def scaled_price(factor: float, m: Any, *columns: Any) -> tuple[Any]:
    return (call_price(m, *columns)[0] * factor,)


def diffkit_build(inputs: np.ndarray) -> Run:
    import diffkit as dk

    factors, given = never_seen(), dict(zip(NAMES, inputs, strict=True))

    def run() -> list[Any]:
        value, gradient = dk.value_and_grad(f"({TEXT})*{next(factors)!r}", wrt=NAMES)(given)
        return [value, *gradient.values()]

    return run


def peer_build(build: Callable[[Problem], Run], inputs: np.ndarray) -> Run:
    factors = never_seen()
    return lambda: build(Problem(partial(scaled_price, next(factors)), inputs, NAMES, wrt=5))()


def contestants(inputs: np.ndarray, tiny: bool) -> list[Contestant]:
    def fresh(build: Callable[[Problem], Run]) -> Callable[[], Run]:
        return lambda: peer_build(build, inputs)

    made = own(lambda: diffkit_build(inputs), "dk.value_and_grad of text", TIERS)
    made += [
        peer("heyoka", "heyoka", "expressions, diff_tensors, cfunc", fresh(heyoka_run)),
        *torch_contestants(fresh(torch_eager_run), None if tiny else fresh(torch_compiled_run)),
        peer("jax", "JAX", "jit of vjp", fresh(jax_run)),
        peer("sympy", "SymPy lambdify", "diff, lambdify with cse", fresh(sympy_run)),
    ]
    return made


def run(bench: Bench) -> None:
    inputs = points(POINTS[bench.size])
    table = bench.table(
        TITLE, contestants(inputs, bench.tiny), by_hand(*inputs), per="first answer",
        note="“First” is the very first answer of the run, at which parts of the tool may still be loading.",
    )  # fmt: skip
    bench.claim("diffkit", scaled(table.figure("diffkit, auto"), 1e3), 10, unit="ms")
