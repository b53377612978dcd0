"""P18: one update of Adam, of 10⁷ parameters.

Each element is read in four arrays and written in three, so memory sets the limit: nobody can be faster than the same traffic
alone. What changes its arguments is compared with what does too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .harness import Bench, Contestant, Run, ratio
from .peers import own, peer, torch_threads

TITLE = "A step of Adam"
PARAMETERS = {"tiny": 1000, "full": 10_000_000}
#: of the answer: the first step is the learning rate to within rounding of the parameter
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}
RATE = 1e-3


def generate(count: int, dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and a gradient."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=count).astype(dtype) for _ in range(2))  # type: ignore[return-value]


def reference(x: np.ndarray, g: np.ndarray) -> list[np.ndarray]:
    """The first step in float64: m̂ = g, v̂ = g²."""
    x, g = x.astype(float), g.astype(float)
    return [x - RATE * g / (np.abs(g) + 1e-8)]


def diffkit_run(x: np.ndarray, g: np.ndarray, in_place: bool) -> Run:
    import diffkit as dk

    optimizer = dk.optim.Adam(RATE)
    params = x.copy()
    state = optimizer.init(params)

    def run() -> list[Any]:
        nonlocal params, state
        params, state = optimizer.update(g, state, params, in_place=in_place)
        return [params]

    return run


def torch_run(x: np.ndarray, g: np.ndarray, **how: bool) -> Run:
    import torch

    params = torch.from_numpy(x.copy()).requires_grad_()
    params.grad = torch.from_numpy(g.copy())
    optimizer = torch.optim.Adam([params], RATE, **how)

    def run() -> list[Any]:
        optimizer.step()
        return [params.detach()]

    return run


def optax_run(x: np.ndarray, g: np.ndarray) -> Run:
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    optimizer = optax.adam(RATE)

    def step(grads: Any, state: Any, params: Any) -> Any:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(1, 2))
    params, grads = jax.numpy.array(x), jax.numpy.array(g)
    state = optimizer.init(params)

    def run() -> list[Any]:
        nonlocal params, state
        params, state = jax.block_until_ready(compiled(grads, state, params))
        return [params]

    return run


def contestants(x: np.ndarray, g: np.ndarray) -> list[Contestant]:
    tiers: list[tuple[str, int | None]] = [("fused", None)]
    return [
        *own(lambda: diffkit_run(x, g, True), "in_place=True", tiers),
        *own(lambda: diffkit_run(x, g, False), "new arrays", tiers, ", new arrays"),
        *(
            peer("torch", f"PyTorch, {name}", "in place, all threads", build, prepare=torch_threads())
            for name, build in (
                ("fused", lambda: torch_run(x, g, fused=True)),
                ("foreach", lambda: torch_run(x, g, foreach=True)),
            )
        ),
        peer("optax", "Optax", "jit, state and parameters donated", lambda: optax_run(x, g)),
    ]


def run(bench: Bench) -> None:
    count = PARAMETERS[bench.size]
    for dtype, tolerance in TOLERANCES.items():
        x, g = generate(count, dtype)
        title = f"{TITLE}, {count:,} parameters, {dtype}"
        table = bench.table(title, contestants(x, g), reference(x, g), per="step", tolerance=tolerance)
        mine = table.figure("diffkit, fused")
        bench.claim(f"{dtype}: diffkit ÷ PyTorch's fused", ratio(mine, table.figure("PyTorch, fused")), 1.0)
        bench.claim(f"{dtype}: diffkit ÷ PyTorch's foreach", ratio(mine, table.figure("PyTorch, foreach")), 0.5)
