"""P3: the gradient of the lecture's example at one point a call: what a call costs, when there is next to nothing to compute.

Arrays are given for point and result wherever a tool allows it. CasADi has a form of call that takes no arguments at all (arrays
bound beforehand); it stands beside the others and is judged apart.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from .harness import Bench, Contestant, Run, ratio
from .peers import casadi_bound, casadi_functions, jax_modules, namespace, own, peer

TITLE = "One point a call: gradient of the lecture's example"
TEXT = "(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2))"
POINT = np.array([0.5, 1.0])
#: dk's tiers for a single point: the machine itself chooses
TIERS: tuple[tuple[str, int | None], ...] = (("auto", None),)
BOUND = "CasADi, buffers bound beforehand"


def example(m: Any, x1: Any, x2: Any) -> Any:
    return (m.exp(x1 / x2) + x1 / x2) * (x1 / x2 - m.log(x2))


def by_hand(x1: float, x2: float) -> np.ndarray:
    """q = x1/x2; f = (e^q + q)(q − log x2)."""
    q, e = x1 / x2, np.exp(x1 / x2)
    by_q = (e + 1) * (q - np.log(x2)) + e + q
    return np.array([by_q / x2, -by_q * q / x2 - (e + q) / x2])


# ---- diffkit ----------------------------------------------------------------------------------------------------------
def by_position() -> Run:
    import diffkit as dk

    call, (x1, x2) = dk.grad(TEXT), POINT.tolist()

    def run() -> list[Any]:
        found = call(x1, x2)
        return [[found["x1"], found["x2"]]]

    return run


def by_keyword() -> Run:
    import diffkit as dk

    call, (x1, x2) = dk.grad(TEXT), POINT.tolist()

    def run() -> list[Any]:
        found = call(x1=x1, x2=x2)
        return [[found["x1"], found["x2"]]]

    return run


def python_function() -> Run:
    import diffkit as dk

    def f(x: Any) -> Any:
        return example(np, x[0], x[1])

    call, x, out = dk.grad(f), POINT.copy(), np.zeros(2)

    def run() -> list[Any]:
        call(x, out=out)
        return [out]

    return run


# ---- peers ------------------------------------------------------------------------------------------------------------
def heyoka_run() -> Run:
    import heyoka as hy

    x1, x2 = hy.make_vars("x1", "x2")
    f = example(SimpleNamespace(exp=hy.exp, log=hy.log), x1, x2)
    call = hy.cfunc(hy.diff_tensors([f], diff_args=[x1, x2], diff_order=1).gradient, [x1, x2])
    x, out = POINT.copy(), np.zeros(2)
    return lambda: [call(x, outputs=out)]


def jax_run() -> Run:
    jax, m = jax_modules()
    x = jax.numpy.asarray(POINT)
    call = jax.jit(jax.grad(lambda x: example(m, x[0], x[1])))
    return lambda: [call(x).block_until_ready()]


def torch_run() -> Run:
    import torch

    m = namespace("torch", "torch.erf")
    x = torch.from_numpy(POINT.copy()).requires_grad_()
    return lambda: torch.autograd.grad(example(m, x[0], x[1]), x)


def autograd_run() -> Run:
    from autograd import grad

    m, x = namespace("autograd.numpy", "autograd.scipy.special.erf"), POINT.copy()
    call = grad(lambda x: example(m, x[0], x[1]))
    return lambda: [call(x)]


def casadi_gradient() -> Any:
    import casadi

    x = casadi.SX.sym("x", 2)
    f = example(casadi_functions(), x[0], x[1])
    return casadi.Function("gradient", [x], [casadi.gradient(f, x)], {"cse": True})


def casadi_called() -> Run:
    call, x = casadi_gradient(), POINT.copy()
    return lambda: [np.asarray(call(x))[:, 0]]


def casadi_buffers() -> Run:
    x, out = POINT.copy(), np.zeros(2)
    call = casadi_bound(casadi_gradient(), [x], [out])

    def run() -> list[Any]:
        call()
        return [out]

    return run


def sympy_run() -> Run:
    import sympy

    symbols = sympy.symbols("x1 x2")
    f = example(sympy, *symbols)
    call = sympy.lambdify(symbols, [sympy.diff(f, s) for s in symbols], modules="math", cse=True)
    x1, x2 = POINT.tolist()
    return lambda: [call(x1, x2)]


def contestants() -> list[Contestant]:
    return [
        *own(by_position, "dk.grad of text, two numbers by position", TIERS, ", by position"),
        *own(by_keyword, "dk.grad of text, two numbers by keyword", TIERS, ", by keyword"),
        *own(python_function, "dk.grad of a Python function, arrays in and out given", TIERS, ", array in and out"),
        peer("heyoka", "heyoka", "cfunc, arrays in and out given", heyoka_run),
        peer("casadi", "CasADi, called", "SX with cse, array in", casadi_called),
        peer("casadi", BOUND, "the same function; nothing is passed at the call", casadi_buffers),
        peer("jax", "JAX", "jit of grad, array on the device", jax_run),
        peer("torch", "PyTorch, eager", "autograd.grad", torch_run),
        peer("autograd", "HIPS autograd", "grad", autograd_run),
        peer("sympy", "SymPy lambdify", "cse, Python's math module, numbers in and out", sympy_run),
        peer("numpy", "NumPy by hand", "derived by hand, two numbers in, array out", lambda: lambda: [by_hand(*POINT)]),
    ]


def run(bench: Bench) -> None:
    table = bench.table(TITLE, contestants(), [by_hand(*POINT)], per="call")
    best = table.best(lambda r: r.own)
    bench.claim("diffkit ÷ heyoka", ratio(best, table.figure("heyoka")), 1.5)
    for name in ("JAX", "CasADi, called", "PyTorch, eager", "HIPS autograd"):
        bench.claim(f"diffkit ÷ {name}", ratio(best, table.figure(name)), 0.1)
