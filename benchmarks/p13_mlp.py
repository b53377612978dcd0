"""P13: a network 784-256-256-10 (tanh, softmax cross-entropy) on a batch of 256: the gradient by all weights and
biases.

Most of the work are matrix products, so they are timed alone as well: nobody can be faster than they are.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from .array_peers import Loss, loss_contestants
from .harness import Bench, Contestant, Run, ratio
from .peers import peer

TITLE = "MLP: gradient"
#: units of each layer, and the batch
CASES = {"tiny": ((12, 8, 8, 4), 16), "full": ((784, 256, 256, 10), 256)}
#: entry by entry, relative to the middle entry of an array: float32 carries 7 digits
TOLERANCES = {"float32": 1e-3, "float64": 1e-9}


def objective(xp: Any, params: Any, x: Any, targets: Any) -> Any:
    """Mean cross-entropy of the softmax of a network; params: weight (in, out) and bias of each layer in turn;
    targets one-hot.
    """
    h = x
    for k in range(0, len(params), 2):
        z = h @ params[k] + params[k + 1]
        h = xp.tanh(z)  # of the last layer nobody asks
    return (xp.sum(xp.logsumexp(z, -1)) - xp.sum(targets * z)) / x.shape[0]


def generate(sizes: tuple[int, ...], batch: int, dtype: str = "float64", seed: int = 0) -> Loss:
    """Weights of a variance that keeps the signal's, small biases, normal inputs, random classes."""
    rng = np.random.default_rng(seed)
    params = []
    for n, m in pairwise(sizes):
        params += [rng.normal(size=(n, m)) / np.sqrt(n), 0.1 * rng.normal(size=m)]
    targets = np.eye(sizes[-1])[rng.integers(0, sizes[-1], batch)]
    data = (rng.normal(size=(batch, sizes[0])), targets)
    return Loss(objective, tuple(p.astype(dtype) for p in params), tuple(d.astype(dtype) for d in data))


def by_hand(params: Any, x: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    """The gradient, layer by layer: the reference, and NumPy's contestant."""
    hidden = [x]
    for k in range(0, len(params) - 2, 2):
        hidden.append(np.tanh(hidden[-1] @ params[k] + params[k + 1]))
    z = hidden[-1] @ params[-2] + params[-1]
    e = np.exp(z - z.max(1, keepdims=True))
    by_z = (e / e.sum(1, keepdims=True) - targets) / x.dtype.type(len(x))
    found: list[np.ndarray] = []
    for k in range(len(params) - 2, -1, -2):
        h = hidden.pop()
        found = [h.T @ by_z, by_z.sum(0), *found]
        if k:
            by_z = (by_z @ params[k].T) * (1 - h * h)
    return found


def reference(loss: Loss) -> list[np.ndarray]:
    """In float64, of the same numbers."""
    x, targets = (d.astype(float) for d in loss.data)
    return by_hand([p.astype(float) for p in loss.params], x, targets)


def products_run(sizes: tuple[int, ...], batch: int, dtype: str) -> Run:
    """The matrix products of a gradient and nothing else, by NumPy's BLAS: forward, by the weights, by the hidden
    units.
    """
    pairs = []
    for n, m in pairwise(sizes):
        h, w, d = (np.ones(s, dtype) for s in ((batch, n), (n, m), (batch, m)))
        pairs += [(h, w), (h.T, d)] + [(d, w.T)] * (n is not sizes[0])
    out = [np.empty((a.shape[0], b.shape[1]), dtype) for a, b in pairs]

    def run() -> list[np.ndarray]:
        for (a, b), c in zip(pairs, out, strict=True):
            np.matmul(a, b, out=c)
        return out

    return run


def described(sizes: tuple[int, ...], batch: int) -> str:
    return f"{'-'.join(map(str, sizes))}, batch {batch:,}"


def contestants(loss: Loss, tiny: bool) -> list[Contestant]:
    hand = peer(
        "numpy",
        "NumPy by hand",
        "derived by hand, BLAS's own threads",
        lambda: lambda: by_hand(loss.params, *loss.data),
    )
    return [*loss_contestants(loss, tiny), hand]


def run(bench: Bench) -> None:
    sizes, batch = CASES[bench.size]
    title = f"{TITLE}, {described(sizes, batch)}"
    for dtype, tolerance in TOLERANCES.items():
        loss = generate(sizes, batch, dtype)
        table = bench.table(
            f"{title}, {dtype}", contestants(loss, bench.tiny), reference(loss), per="gradient", tolerance=tolerance
        )
        alone = peer("numpy", "NumPy", "BLAS's own threads", partial(products_run, sizes, batch, dtype))
        products = bench.table(f"{title}, {dtype}, its matrix products alone", [alone], per="gradient")
        mine = table.figure("diffkit, fused")
        bench.claim(f"{dtype}: diffkit ÷ best peer", ratio(mine, table.best()), 1.0)
        if products.rows:
            bench.claim(f"{dtype}: diffkit ÷ its matrix products alone", ratio(mine, products.figure("NumPy")), 1.2)
