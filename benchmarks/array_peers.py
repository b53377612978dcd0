"""How every tool differentiates a scalar function of whole arrays, as `peers` does for columns.

A loss is a Python function `f(xp, params, *data)`; `xp` holds the array functions of the tool that calls it
(`functions`), so that it is written once. The answer is the derivative by every array of `params`, in order.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from .harness import Contestant, Run, UnavailableError
from .peers import jax_modules, own, peer, torch_contestants

#: the same word in every tool
_SHARED = (
    "exp", "log", "sqrt", "sin", "cos", "tanh", "where", "greater", "logaddexp", "reshape", "concatenate", "stack",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Loss:
    """The gradient of `function(xp, params, *data)` by `params`."""

    function: Callable[..., Any]
    params: tuple[np.ndarray, ...]
    data: tuple[np.ndarray, ...] = ()

    def empty(self) -> list[np.ndarray]:
        """Arrays for an answer, to be reused; written to, so that their pages are there."""
        return [np.full(p.shape, 0.0, p.dtype) for p in self.params]


# ---- the functions of each tool -------------------------------------------------------------------------------------------
@cache
def functions(tool: str = "diffkit") -> SimpleNamespace:
    """NumPy's names, and `sum(x, axis)`, `logsumexp(x, axis)`, `sigmoid`, `array` (of a constant), `conv2d(x, weight,
    padding)` and `avg_pool2d(x, size)` in PyTorch's layout, and `scan(step, carry, xs)`, where `xs` is a tuple of
    arrays and JAX says what it means.
    """
    return {"diffkit": _diffkit, "numpy": _numpy, "jax": _jax, "torch": _torch}[tool]()


def _named(module: Any, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{n: getattr(module, n) for n in _SHARED}, **more)


def _diffkit() -> SimpleNamespace:
    import diffkit as dk

    return _named(
        dk, sum=dk.sum, logsumexp=dk.logsumexp, sigmoid=dk.sigmoid, array=lambda a: a, scan=_when_called(dk, "scan"),
        conv2d=_when_called(dk, "conv2d"), avg_pool2d=_when_called(dk, "avg_pool2d"),
    )  # fmt: skip


def _when_called(module: Any, name: str) -> Callable[..., Any]:
    """A function looked up at each call: a loss that does without it does not load it."""
    return lambda *args, **named: getattr(module, name)(*args, **named)


def _numpy() -> SimpleNamespace:
    from scipy import special

    return _named(
        np, sum=np.sum, logsumexp=special.logsumexp, sigmoid=special.expit, array=lambda a: a, scan=looped(np.stack)
    )


def _jax() -> SimpleNamespace:
    jax, _ = jax_modules()

    def conv2d(x: Any, weight: Any, padding: int = 0) -> Any:
        return jax.lax.conv(x, weight, (1, 1), [(padding, padding)] * 2) if not padding else _padded(x, weight, padding)

    def _padded(x: Any, weight: Any, padding: int) -> Any:
        return jax.lax.conv_general_dilated(x, weight, (1, 1), [(padding, padding)] * 2)

    def avg_pool2d(x: Any, size: int) -> Any:
        *lead, h, w = x.shape
        return x.reshape(*lead, h // size, size, w // size, size).mean((-3, -1))

    return _named(
        jax.numpy, sum=jax.numpy.sum, logsumexp=jax.scipy.special.logsumexp, sigmoid=jax.nn.sigmoid,
        array=jax.numpy.asarray, scan=jax.lax.scan, conv2d=conv2d, avg_pool2d=avg_pool2d,
    )  # fmt: skip


def _torch() -> SimpleNamespace:
    import torch

    def total(x: Any, axis: Any = None) -> Any:
        return torch.sum(x) if axis is None else torch.sum(x, dim=axis)

    return _named(
        torch, sum=total, logsumexp=lambda x, axis: torch.logsumexp(x, dim=axis), sigmoid=torch.sigmoid,
        array=lambda a: torch.as_tensor(np.asarray(a)), scan=looped(torch.stack),
        conv2d=lambda x, weight, padding=0: torch.nn.functional.conv2d(x, weight, padding=padding),
        avg_pool2d=torch.nn.functional.avg_pool2d,
    )  # fmt: skip


def looped(stack: Callable[[Sequence[Any]], Any]) -> Callable[..., Any]:
    """`scan` as a loop of Python's."""

    def scan(step: Callable, carry: Any, xs: Any, length: int | None = None) -> tuple[Any, Any]:
        ys = []
        for t in range(xs[0].shape[0] if xs else length):
            carry, y = step(carry, tuple(x[t] for x in xs) if xs else None)
            ys.append(y)
        return carry, None if not ys or ys[0] is None else stack(ys)

    return scan


# ---- gradients ------------------------------------------------------------------------------------------------------------
def diffkit_run(loss: Loss, machine: str = "cpu", engine: str = "reverse") -> Run:
    import diffkit as dk

    call = dk.grad(partial(loss.function, functions()), machine=machine, engine=engine)
    params, out = list(loss.params), loss.empty()

    def run() -> list[np.ndarray]:
        call(params, *loss.data, out=out)
        return out

    return run


def jax_run(loss: Loss) -> Run:
    jax, _ = jax_modules()
    compiled = jax.jit(jax.grad(partial(loss.function, functions("jax"))))
    params, data = [jax.numpy.asarray(p) for p in loss.params], [jax.numpy.asarray(d) for d in loss.data]
    return lambda: jax.block_until_ready(compiled(params, *data))


def torch_eager_run(loss: Loss) -> Run:
    import torch

    params, data = [torch.from_numpy(p.copy()).requires_grad_() for p in loss.params], _tensors(loss.data)
    return lambda: torch.autograd.grad(loss.function(functions("torch"), params, *data), params)


def torch_compiled_run(loss: Loss) -> Run:
    import torch

    if not shutil.which(os.environ.get("CXX", "g++")):
        raise UnavailableError("torch.compile needs a C++ compiler")
    torch._dynamo.reset()
    compiled = torch.compile(torch.func.grad(partial(loss.function, functions("torch"))), fullgraph=True, dynamic=False)
    params, data = _tensors(loss.params), _tensors(loss.data)
    return lambda: compiled(params, *data)


def _tensors(arrays: Sequence[np.ndarray]) -> list[Any]:
    import torch

    return [torch.from_numpy(a.copy()) for a in arrays]


#: array programs interpreted, and with their kernels compiled
TIERS: tuple[tuple[str, int | None], ...] = (("interpreted", None), ("fused", None))


def loss_contestants(loss: Loss, tiny: bool = False, compiled: bool = True, note: str = "") -> list[Contestant]:
    """diffkit, JAX and PyTorch on one loss; without torch.compile, which takes twenty seconds, at the tiny size."""
    how = "func.grad, fullgraph, static shapes"
    eager, fast = partial(torch_eager_run, loss), partial(torch_compiled_run, loss)
    torch = torch_contestants(eager, fast if compiled and not tiny else None, note=note)
    return [
        *own(partial(diffkit_run, loss), "dk.grad of a Python function, arrays for the results given", TIERS, note),
        *(c if "compile" not in c.name else _described(c, how) for c in torch),
        peer("jax", f"JAX{note}", "jit of grad, XLA's own threads", partial(jax_run, loss)),
    ]


def _described(c: Contestant, how: str) -> Contestant:
    return Contestant(c.tool, c.name, f"{how}, all threads", c.build, c.version, c.prepare, c.warm)
