"""P4: a long straight line. The gradient of a chain z ← sin z + y·z of 100,000 steps, traced from Python.

Tools that compile the unrolled chain take minutes at that length, so they take part at 1,000 steps. The first answer is the
time to build: from the Python function to the gradient, in a process where the tool has answered for a chain of three steps. A
process of its own runs a million steps, for cost and memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from .harness import Bench, Contestant, Run, in_a_process, ratio, scaled, timed
from .machine import available_bytes
from .peers import casadi_bound, casadi_functions, jax_modules, namespace, own, peer

TITLE = "A long chain: gradient of z ← sin z + y·z"
#: steps for tools that compile an unrolled program, for all others, and for the run in a process of its own
STEPS = {"tiny": (50, 500, 2_000), "full": (1_000, 100_000, 1_000_000)}
#: z and y. At y = 1.2172336282… z ← sin z + y·z has a fixed point of slope 1; just below it the chain settles at 4.4929 with slope
#: 0.9995: the sine's argument is an ordinary number, and no adjoint overflows or becomes subnormal within a million steps
START = np.array([4.2, 1.2172336])
#: what rounding a step leaves behind is 2,000 times larger where the chain settles
TOLERANCE = 1e-8
MEMORY_BYTES = 6e9
TIERS: tuple[tuple[str, int | None], ...] = (("auto", None),)


def chain(m: Any, z: Any, y: Any, steps: int) -> Any:
    for _ in range(steps):
        z = m.sin(z) + y * z
    return z


def by_hand(steps: int) -> np.ndarray:
    """Both derivatives by carrying tangents along."""
    (z, y), by_z, by_y = START, 1.0, 0.0
    for _ in range(steps):
        slope = np.cos(z) + y
        by_z, by_y, z = slope * by_z, slope * by_y + z, np.sin(z) + y * z
    return np.array([by_z, by_y])


def diffkit_run(steps: int) -> Run:
    import diffkit as dk

    def f(x: Any) -> Any:
        return chain(np, x[0], x[1], steps)

    call, x, out = dk.grad(f), START.copy(), np.zeros(2)

    def run() -> list[Any]:
        call(x, out=out)
        return [out]

    return run


def casadi_run(steps: int) -> Run:
    import casadi

    x = casadi.SX.sym("x", 2)
    f = chain(casadi_functions(), x[0], x[1], steps)
    inputs, out = START.copy(), np.zeros(2)
    call = casadi_bound(casadi.Function("gradient", [x], [casadi.gradient(f, x)]), [inputs], [out])

    def run() -> list[Any]:
        call()
        return [out]

    return run


def torch_run(steps: int) -> Run:
    import torch

    m, x = namespace("torch", "torch.erf"), torch.from_numpy(START.copy()).requires_grad_()
    return lambda: torch.autograd.grad(chain(m, x[0], x[1], steps), x)


def autograd_run(steps: int) -> Run:
    from autograd import grad

    m, x = namespace("autograd.numpy", "autograd.scipy.special.erf"), START.copy()
    call = grad(lambda x: chain(m, x[0], x[1], steps))
    return lambda: [call(x)]


def jax_run(steps: int) -> Run:
    jax, m = jax_modules()
    x = jax.numpy.asarray(START)
    call = jax.jit(jax.grad(lambda x: chain(m, x[0], x[1], steps)))
    return lambda: [call(x).block_until_ready()]


def heyoka_run(steps: int) -> Run:
    import heyoka as hy

    z, y = hy.make_vars("z", "y")
    f = chain(SimpleNamespace(sin=hy.sin), z, y, steps)
    gradient = hy.diff_tensors([f], diff_args=[z, y], diff_order=1).gradient
    call = hy.cfunc(gradient, [z, y], compact_mode=True)  # without it the time to compile grows with the square
    x, out = START.copy(), np.zeros(2)
    return lambda: [call(x, outputs=out)]


def contestants(steps: int, compilers: bool) -> list[Contestant]:
    made: list[tuple[str, str, str, Callable[[int], Run]]] = [
        ("casadi", "CasADi", "SX, its interpreter, buffers bound beforehand", casadi_run),
        ("torch", "PyTorch, eager", "autograd.grad, which traces at every call", torch_run),
        ("autograd", "HIPS autograd", "grad, which traces at every call", autograd_run),
    ]
    if compilers:
        made.append(("jax", "JAX", "jit of grad, unrolled", jax_run))
        made.append(("heyoka", "heyoka", "cfunc, compact_mode", heyoka_run))
    how, warm = "dk.grad of a Python function, arrays given", partial(_warm, diffkit_run)
    return [
        *own(partial(diffkit_run, steps), how, TIERS, warm=warm),
        *(peer(t, name, how, partial(run, steps), warm=partial(_warm, run)) for t, name, how, run in made),
    ]


def _warm(build: Callable[[int], Run]) -> None:
    build(3)()


def memory_child(steps: int) -> None:
    """In a process of its own: seconds to build and to run, and the most memory it took, as a line of JSON."""
    from .p8_scaling import peak_bytes

    _warm(diffkit_run)
    start = perf_counter()
    run = diffkit_run(steps)
    run()
    built = perf_counter() - start
    print(json.dumps({"build": built, "run": min(timed(run) for _ in range(3)), "peak": peak_bytes()}))


def run(bench: Bench) -> None:
    short, long, longest = STEPS[bench.size]
    small = bench.table(
        f"{TITLE}, {short:,} steps", contestants(short, True), [by_hand(short)], per="call", tolerance=TOLERANCE
    )
    table = bench.table(
        f"{TITLE}, {long:,} steps", contestants(long, False), [by_hand(long)], per="call", tolerance=TOLERANCE
    )
    mine, theirs = "diffkit, auto", "CasADi"
    bench.claim("build ÷ CasADi", ratio(table.figure(mine, "first"), table.figure(theirs, "first")), 0.3)
    bench.claim("run ÷ CasADi", ratio(table.figure(mine), table.figure(theirs)), 0.6)
    compiled = min(filter(None, (small.figure(n, "first") for n in ("JAX", "heyoka"))), default=None)
    bench.claim(f"build at {short:,} steps ÷ best compiler", ratio(small.figure(mine, "first"), compiled), 0.3)
    if available_bytes() < MEMORY_BYTES * 1.2:
        return
    bench.say(f"{longest:,} steps in a process of its own")
    found = in_a_process("p4", f"memory_child({longest})")
    bench.claim(f"{longest:,} steps: peak memory", scaled(found["peak"], 1e-9), MEMORY_BYTES / 1e9, unit="GB")
    for what, before in (("build", table.figure(mine, "first")), ("run", table.figure(mine))):
        a_step = ratio(scaled(found[what], long / longest), before)
        bench.claim(f"{longest:,} steps: {what} a step ÷ {long:,}", a_step, 1.5)
