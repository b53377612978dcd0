"""Other frameworks on the same formula, through generated source. Each in the form its documentation recommends for speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..expr.node import Expr

Gradient = Callable[[list[np.ndarray]], dict[str, np.ndarray]]


def peer_gradient(name: str, f: Expr, names: Sequence[str], wrt: Sequence[str]) -> Gradient:
    """A callable giving the gradient at points (points,), by a peer. UnsupportedError where it is not installed."""
    makers = {"sympy": _sympy, "jax": _jax, "torch": _torch}
    if name not in makers:
        raise ArgumentError(f"there is no peer {name!r}; choose from {', '.join(makers)}")
    try:
        return makers[name](f, names, wrt)
    except ImportError as problem:
        raise UnsupportedError(f"{name} is not installed ({problem.name}); pip install {name}") from None


def _function(f: Expr, target: str) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(
        compile(f.to_source(target, name="peer_function"), f"<{target} source>", "exec"), scope
    )  # our own generated text
    return scope["peer_function"]


def _sympy(f: Expr, names: Sequence[str], wrt: Sequence[str]) -> Gradient:
    from ..expr.sympy_bridge import lambdified_gradient

    run = lambdified_gradient(f, names, wrt)

    def gradient(values: list[np.ndarray]) -> dict[str, np.ndarray]:
        with np.errstate(all="ignore"):
            results = run(*values)
        return {w: np.broadcast_to(np.asarray(r, float), values[0].shape) for w, r in zip(wrt, results, strict=True)}

    return gradient


def _jax(f: Expr, names: Sequence[str], wrt: Sequence[str]) -> Gradient:
    import jax

    jax.config.update("jax_enable_x64", True)
    positions = tuple(list(names).index(w) for w in wrt)
    run = jax.jit(jax.vmap(jax.grad(_function(f, "jax"), argnums=positions)))

    def gradient(values: list[np.ndarray]) -> dict[str, np.ndarray]:
        return {w: np.asarray(r) for w, r in zip(wrt, run(*values), strict=True)}

    return gradient


def _torch(f: Expr, names: Sequence[str], wrt: Sequence[str]) -> Gradient:
    import torch

    function = _function(f, "torch")

    def gradient(values: list[np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {n: torch.tensor(v, requires_grad=n in wrt) for n, v in zip(names, values, strict=True)}
        total = function(*tensors.values()).sum()
        found = torch.autograd.grad(total, [tensors[w] for w in wrt], allow_unused=True)
        return {w: np.zeros(values[0].shape) if g is None else g.numpy() for w, g in zip(wrt, found, strict=True)}

    return gradient
