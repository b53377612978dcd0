"""P10 on a GPU: ADBench's Gaussian mixture with a million points, float64."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .adbench.gmm import Mixture, generate, placing
from .gpu_harness import GpuBench, Work
from .gpu_peers import cupy_run, loss_contestants
from .peers import peer, pool

TITLE = "ADBench GMM on a GPU: gradient"
#: d, K, n
CASES = {"tiny": (2, 3, 12), "full": (32, 25, 1_000_000)}
#: points of which the processor makes the reference at a time
BLOCK = 20_000


def by_hand(gamma: float, m: int, alpha: Any, means: Any, icf: Any, x: Any) -> list[Any]:
    """The gradient with all Q_k (x_i − μ_k) as one matrix product, and so the adjoint of [Q | −Qμ]; in NumPy's functions."""
    (components, d), n = means.shape, len(x)
    q, diagonal = icf[:, :d], np.exp(icf[:, :d])
    place = placing(d)
    entries = np.concatenate([diagonal, icf[:, d:], np.zeros_like(icf[:, d:])], 1)
    Q = entries[:, place].reshape(components, d, d)
    affine = np.concatenate([Q, -(Q @ means[:, :, None])], 2).reshape(components * d, d + 1)
    homogeneous = np.concatenate([x.T, np.ones_like(x.T[:1])], 0)
    y = (affine @ homogeneous).reshape(components, d, n)
    beta = (alpha + q.sum(1))[:, None] - 0.5 * (y * y).sum(1)
    e = np.exp(beta - beta.max(0))
    r = e / e.sum(0)
    by_affine = (-(r[:, None, :] * y).reshape(components * d, n) @ homogeneous.T).reshape(components, d, d + 1)
    by_shift = by_affine[:, :, d]
    by_Q = by_affine[:, :, :d] - by_shift[:, :, None] * means[:, None, :]
    by_entries = by_Q.reshape(components, d * d)[:, np.argsort(place)]
    weights, share = np.exp(alpha - alpha.max()), r.sum(1)
    by_q = share[:, None] + by_entries[:, :d] * diagonal + gamma**2 * diagonal**2 - m
    by_lower = by_entries[:, d : icf.shape[1]] + gamma**2 * icf[:, d:]
    by_means = -(by_shift[:, None, :] @ Q)[:, 0]
    return [share - n * weights / weights.sum(), by_means, np.concatenate([by_q, by_lower], 1)]


def reference(mixture: Mixture) -> list[np.ndarray]:
    """The gradient on the processor, blocks of points on all of its threads: ADBench's oracle would take minutes."""
    alpha, means, icf, x, gamma, m = mixture.arguments
    part = partial(by_hand, gamma, m, alpha, means, icf)
    blocks = [x[k : k + BLOCK] for k in range(0, len(x), BLOCK)]
    found = list(pool().map(part, blocks))
    # every block has the prior, which belongs there once
    prior = part(x[:0])
    return [sum(parts) - (len(blocks) - 1) * once for *parts, once in zip(*found, prior, strict=True)]


def flops(d: int, components: int, n: int) -> float:
    """Of the two large products, of the points and of their adjoints."""
    return 2 * 2 * components * d * (d + 1) * n


def run(bench: GpuBench) -> None:
    d, components, n = CASES[bench.size]
    mixture: Mixture = generate(d, components, n)
    loss, what = mixture.loss(), f"d={d} K={components} n={n:,}"
    expected = reference(mixture)
    derived = partial(by_hand, mixture.gamma, mixture.m)
    cupy = peer("cupy", "CuPy by hand", "derived by hand", partial(cupy_run, derived, [*loss.params, *loss.data]))
    table = bench.table(
        f"{TITLE}, {what}", loss_contestants(loss, cupy), expected,
        ideal=Work(flops=flops(d, components, n)), per="gradient", tolerance=1e-7,
    )  # fmt: skip
    bench.claims_of(what, table)
