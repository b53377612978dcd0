"""How every tool differentiates on a GPU: the problems of `peers` and `array_peers`, with arrays that lie there already.

A run launches and returns; nobody waits for an answer (see gpu_harness). Products of float32 are computed in float32, not in TF32.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from diffkit.errors import DiffkitError, UnsupportedError
from diffkit.errors import UnavailableError as Missing

from .array_peers import Loss, functions
from .gpu_harness import gpu, on_device
from .harness import Contestant, Run, UnavailableError
from .peers import Problem, jax_modules, namespace, peer, torch_eager_run

#: of PyTorch's tensors
DEVICE = "cuda"


def own(build: Callable[[], Run], how: str) -> Contestant:
    from diffkit import __version__

    return Contestant("diffkit", "diffkit", how, build, __version__)


# ---- diffkit ------------------------------------------------------------------------------------------------------------
def first_that_works(*ways: Run) -> Run:
    """Of several ways of calling, the first whose arguments are taken; the best comes first."""
    for way in ways[:-1]:
        try:
            way()
            return way
        except (UnsupportedError, Missing):  # no other way would help
            raise
        except (DiffkitError, TypeError):
            continue
    return ways[-1]


def diffkit_columns(p: Problem) -> Run:
    """Into arrays on the GPU, made once."""
    import diffkit as dk
    from diffkit.engines import engine
    from diffkit.machines import machine
    from diffkit.tape import record

    symbols = [dk.symbol(n, dtype=str(p.inputs.dtype)) for n in p.names]
    f, wrt = p.function(dk, *symbols), p.names[: p.wrt]
    columns = [on_device(c) for c in p.inputs]
    empty = lambda: gpu().cuda.device_array(p.points, p.inputs.dtype)
    if p.outputs == 1 and p.values:
        call = dk.value_and_grad(f[0], wrt=wrt, machine="cuda")
        given, out = dict(zip(p.names, columns, strict=True)), (empty(), {n: empty() for n in wrt})

        def run() -> list[Any]:
            value, gradient = call(given, out=out)
            return [value, *gradient.values()]

        return run
    execute = engine("reverse").program(record(list(f), symbols), range(p.wrt)).on(machine("cuda"))
    buffers = [empty() for _ in range(p.outputs * (1 + p.wrt))]

    def run_several() -> list[Any]:
        execute(columns, buffers)
        return buffers[0 if p.values else p.outputs :]  # a tape of derivatives writes its values too

    return run_several


def diffkit_loss(loss: Loss) -> Run:
    import diffkit as dk

    call = dk.grad(partial(loss.function, functions()), machine="cuda")
    params, data, out = ([on_device(a) for a in arrays] for arrays in (loss.params, loss.data, loss.empty()))
    return first_that_works(
        lambda: list(call(params, *data, out=out)),
        lambda: list(call(params, *data)),
        lambda: list(call(list(loss.params), *loss.data)),  # moves them
    )


# ---- JAX ----------------------------------------------------------------------------------------------------------------
def jax_on_gpu() -> tuple[Any, Any]:
    # before its first look at the GPU: by default JAX takes three quarters of the memory for itself
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax, m = jax_modules()
    jax.config.update("jax_default_matmul_precision", "highest")
    if jax.default_backend() != "gpu":
        raise UnavailableError('JAX finds no GPU (pip install "jax[cuda13]")')
    return jax, m


def derivatives(
    p: Problem, m: Any, vjp: Callable[..., Any], zeros: Callable, ones: Callable
) -> Callable[..., list[Any]]:
    """Values and all rows of the Jacobian, by a pullback an output."""

    def of(*columns: Any) -> list[Any]:
        moving, fixed = p.split(columns)
        values, pullback = vjp(lambda *x: p.function(m, *x, *fixed), *moving)
        seeds = [tuple((ones if i == k else zeros)(v) for i, v in enumerate(values)) for k in range(p.outputs)]
        return p.in_order(values, [pullback(seed) for seed in seeds])

    return of


def jax_columns(p: Problem) -> Run:
    jax, m = jax_on_gpu()
    compiled = jax.jit(derivatives(p, m, jax.vjp, jax.numpy.zeros_like, jax.numpy.ones_like))
    columns = [jax.numpy.asarray(c) for c in p.inputs]
    return lambda: compiled(*columns)


def jax_loss(loss: Loss) -> Run:
    jax, _ = jax_on_gpu()
    compiled = jax.jit(jax.grad(partial(loss.function, functions("jax"))))
    params, data = ([jax.numpy.asarray(a) for a in arrays] for arrays in (loss.params, loss.data))
    return lambda: compiled(params, *data)


# ---- PyTorch ------------------------------------------------------------------------------------------------------------
def torch_on_gpu() -> Any:
    import torch

    if not torch.cuda.is_available():
        raise UnavailableError("PyTorch finds no GPU")
    torch.set_float32_matmul_precision("highest")
    return torch


def _tensors(arrays: Sequence[np.ndarray]) -> list[Any]:
    torch = torch_on_gpu()
    return [torch.as_tensor(a, device=DEVICE) for a in arrays]


def torch_functions() -> SimpleNamespace:
    """Whose constants lie on the GPU."""
    torch = torch_on_gpu()
    return SimpleNamespace(
        **{**vars(functions("torch")), "array": lambda a: torch.as_tensor(np.asarray(a), device=DEVICE)}
    )


def torch_eager_columns(p: Problem) -> Run:
    torch_on_gpu()
    return torch_eager_run(p, device=DEVICE)


def torch_compiled_columns(p: Problem) -> Run:
    torch = torch_on_gpu()
    torch._dynamo.reset()
    of = derivatives(p, namespace("torch", "torch.erf"), torch.func.vjp, torch.zeros_like, torch.ones_like)
    compiled = torch.compile(of, fullgraph=True, dynamic=False)
    columns = _tensors(p.inputs)
    return lambda: compiled(*columns)


def torch_eager_loss(loss: Loss) -> Run:
    torch, xp = torch_on_gpu(), torch_functions()
    params, data = [p.requires_grad_() for p in _tensors(loss.params)], _tensors(loss.data)
    return lambda: list(torch.autograd.grad(loss.function(xp, params, *data), params))


def torch_compiled_loss(loss: Loss) -> Run:
    torch, xp = torch_on_gpu(), torch_functions()
    torch._dynamo.reset()
    compiled = torch.compile(torch.func.grad(partial(loss.function, xp)), fullgraph=True, dynamic=False)
    params, data = _tensors(loss.params), _tensors(loss.data)
    return lambda: compiled(params, *data)


# ---- CuPy ---------------------------------------------------------------------------------------------------------------
def cupy_run(function: Callable[..., Sequence[Any]], arrays: Sequence[np.ndarray]) -> Run:
    """A derivative that is derived by hand, in NumPy's functions, which CuPy answers for its own arrays."""
    import cupy

    placed = [cupy.asarray(a) for a in arrays]
    return lambda: list(function(*placed))


# ---- who takes part -----------------------------------------------------------------------------------------------------
def column_contestants(p: Problem, cupy: Contestant) -> list[Contestant]:
    return [
        own(partial(diffkit_columns, p), "one kernel"),
        peer("jax", "JAX", "jit of vjp", partial(jax_columns, p)),
        peer("torch", "PyTorch, eager", "autograd.grad", partial(torch_eager_columns, p)),
        peer("torch", "torch.compile", "func.vjp, fullgraph, static shapes", partial(torch_compiled_columns, p)),
        cupy,
    ]


def loss_contestants(loss: Loss, cupy: Contestant) -> list[Contestant]:
    return [
        own(partial(diffkit_loss, loss), "dk.grad of a Python function"),
        peer("jax", "JAX", "jit of grad, products in full precision", partial(jax_loss, loss)),
        peer("torch", "PyTorch, eager", "autograd.grad, no TF32", partial(torch_eager_loss, loss)),
        peer("torch", "torch.compile", "func.grad, fullgraph, no TF32", partial(torch_compiled_loss, loss)),
        cupy,
    ]
