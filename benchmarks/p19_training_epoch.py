"""P19: an epoch of Adam: a network 784-256-256-10 (ReLU or tanh, softmax cross-entropy) on 60,000 synthetic images, float32.

Everything counts: shuffling, gathering the batches, gradients, updates. Every contestant starts from the same weights; the order of
the images is its own, so answers are compared by the mean loss of the first epoch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .harness import Bench, Contestant, Run, ratio
from .peers import own, peer, torch_threads

TITLE = "An epoch of Adam"
#: units of each layer, images, batch
CASES = {"tiny": ((16, 8, 8, 4), 512, 64), "full": ((784, 256, 256, 10), 60_000, 256)}
RATE = 1e-3
#: of the mean loss of an epoch, whose batches differ from tool to tool
TOLERANCE = 0.1


def generate(
    sizes: tuple[int, ...], images: int, seed: int = 0
) -> tuple[list[dict[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]:
    """Weights of He's variance, and images: a pattern a class, under noise."""
    rng = np.random.default_rng(seed)
    params = [
        {"w": (rng.normal(size=(n, m)) * np.sqrt(2 / n)).astype(np.float32), "b": np.zeros(m, np.float32)}
        for n, m in pairwise(sizes)
    ]
    labels = rng.integers(0, sizes[-1], images)
    patterns = rng.normal(size=(sizes[-1], sizes[0]))
    x = (0.1 * patterns[labels] + rng.normal(size=(images, sizes[0]))).astype(np.float32)
    return params, (x, np.eye(sizes[-1], dtype=np.float32)[labels])


def diffkit_run(params: Any, data: Any, batch: int, activation: str) -> Run:
    import diffkit as dk

    act = getattr(dk, activation)

    def loss(params: Any, batch: Any) -> Any:
        h, targets = batch
        for layer in params[:-1]:
            h = act(h @ layer["w"] + layer["b"])
        z = h @ params[-1]["w"] + params[-1]["b"]
        return dk.mean(dk.logsumexp(z, -1) - dk.sum(targets * z, -1))

    optimizer = dk.optim.Adam(RATE)

    def run() -> list[Any]:
        fitted = dk.optim.fit(loss, params, data, optimizer=optimizer, batch_size=batch, epochs=1, progress=False)
        return [np.asarray(np.mean(fitted.history["loss"]))]

    return run


def torch_run(params: Any, data: Any, batch: int, activation: str, **how: bool) -> Run:
    import torch

    x, targets = (torch.from_numpy(d) for d in data)
    labels = targets.argmax(1)

    def run() -> list[Any]:
        layers: list[Any] = []
        for layer in params:
            made = torch.nn.Linear(*layer["w"].shape)
            with torch.no_grad():
                made.weight.copy_(torch.from_numpy(layer["w"].T))
                made.bias.copy_(torch.from_numpy(layer["b"]))
            layers += [made, {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]()]
        model = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(model.parameters(), RATE, **how)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        losses = []
        for chosen in order.split(batch):
            optimizer.zero_grad()
            value = torch.nn.functional.cross_entropy(model(x[chosen]), labels[chosen])
            value.backward()
            optimizer.step()
            losses.append(value.item())
        return [np.asarray(np.mean(losses))]

    return run


def optax_run(params: Any, data: Any, batch: int, activation: str) -> Run:
    import jax
    import optax

    jnp = jax.numpy
    optimizer = optax.adam(RATE)

    def loss(params: Any, h: Any, targets: Any) -> Any:
        for layer in params[:-1]:
            h = getattr(jax.nn, activation)(h @ layer["w"] + layer["b"])
        z = h @ params[-1]["w"] + params[-1]["b"]
        return optax.softmax_cross_entropy(z, targets).mean()

    def step(params: Any, state: Any, x: Any, targets: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x, targets)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    compiled = jax.jit(step, donate_argnums=(0, 1))
    x, targets = data

    def run() -> list[Any]:
        here = jax.tree.map(jnp.array, params)
        state = optimizer.init(here)
        order = np.random.default_rng(0).permutation(len(x))
        losses = []
        for k in range(0, len(x), batch):
            chosen = order[k : k + batch]
            here, state, value = compiled(here, state, x[chosen], targets[chosen])
            losses.append(value)
        return [np.asarray(np.mean([float(v) for v in losses]))]

    return run


def contestants(params: Any, data: Any, batch: int, activation: str) -> list[Contestant]:
    torch = [("fused", {"fused": True}), ("foreach", {"foreach": True})]
    return [
        *own(lambda: diffkit_run(params, data, batch, activation), "dk.optim.fit", [("auto", None)]),
        *(
            peer(
                "torch", f"PyTorch, Adam {name}", "eager, Linear, index_select of the batch, all threads",
                lambda how=how: torch_run(params, data, batch, activation, **how), prepare=torch_threads(),
            )
            for name, how in torch
        ),
        peer("optax", "JAX with Optax", "the step jitted, buffers donated", lambda: optax_run(params, data, batch, activation)),
    ]  # fmt: skip


def run(bench: Bench) -> None:
    sizes, images, batch = CASES[bench.size]
    params, data = generate(sizes, images)
    for activation in ("relu", "tanh"):
        shown = f"{TITLE}, {'-'.join(map(str, sizes))}, {activation}, {images:,} images, batch {batch}, float32"
        table = bench.table(shown, contestants(params, data, batch, activation), per="epoch", tolerance=TOLERANCE)
        torch = table.best(lambda r: r.tool == "torch")
        bench.claim(f"{activation}: diffkit ÷ PyTorch", ratio(table.figure("diffkit, auto"), torch), 1.0)
