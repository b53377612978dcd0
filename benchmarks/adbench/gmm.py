"""GMM: the log posterior of a mixture of Gaussians with a Wishart prior on the inverse covariances.

Component k has a weight α_k, a mean μ_k and a lower triangular matrix Q_k, a root of its inverse covariance: exp(q_k)
on the diagonal and l_k below it, column by column. An `icf` row holds q_k (d) and l_k (d(d−1)/2). With β_ik = α_k + Σ
q_k − ½|Q_k (x_i − μ_k)|²,

    L = −n d/2 log 2π + Σ_i logsumexp_k β_ik − n logsumexp α
    W = Σ_k [γ²/2 (|exp q_k|² + |l_k|²) − m Σ q_k] − K C,   C = n' d (log γ − ½ log 2) − log Γ_d(n'/2),   n' = d + m + 1

ADBench computes F = L + W. The log posterior is F = L − W, and that is GradBench's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffkit.errors import ArgumentError

from ..array_peers import Loss, functions
from . import Numbers

#: convention -> sign of the prior
CONVENTIONS = {"adbench": 1.0, "gradbench": -1.0}


@dataclass(frozen=True, eq=False)
class Mixture:
    """alpha (K,), means (K, d), icf (K, d(d+1)/2), x (n, d); the prior's γ and m."""

    alpha: np.ndarray
    means: np.ndarray
    icf: np.ndarray
    x: np.ndarray
    gamma: float = 1.0
    m: int = 0

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.alpha, self.means, self.icf, self.x, self.gamma, self.m

    def loss(self, convention: str = "adbench") -> Loss:
        """The gradient by alpha, means and icf."""

        def posterior(xp: Any, params: Any, x: Any) -> Any:
            return objective(*params, x, self.gamma, self.m, convention, xp=xp)

        return Loss(posterior, (self.alpha, self.means, self.icf), (self.x,))


def read(path: str | Path) -> Mixture:
    """ADBench's file: d K n; K lines of α, of μ, of q then l; n points; γ m. DataError if it is none."""
    numbers = Numbers(path)
    d, k, n = numbers.sizes(3)
    alpha, means, icf, x = (numbers.take(*s) for s in ((k,), (k, d), (k, d * (d + 1) // 2), (n, d)))
    (gamma,), (m,) = numbers.take(1), numbers.sizes(1)
    numbers.end()
    return Mixture(alpha, means, icf, x, float(gamma), m)


def generate(d: int, components: int, n: int, seed: int = 0, gamma: float = 1.0, m: int = 0) -> Mixture:
    """A mixture distributed as ADBench's: means in the unit cube, all else normal."""
    rng = np.random.default_rng(seed)
    alpha, means = rng.normal(size=components), rng.uniform(size=(components, d))
    return Mixture(alpha, means, rng.normal(size=(components, d * (d + 1) // 2)), rng.normal(size=(n, d)), gamma, m)


def _sign(convention: str) -> float:
    if convention not in CONVENTIONS:
        raise ArgumentError(f"the convention is one of {', '.join(CONVENTIONS)}, not {convention!r}")
    return CONVENTIONS[convention]


def placing(d: int) -> np.ndarray:
    """Where the entries of Q, row by row, stand in [exp q | l | as many zeros as l]: each place once."""
    place = np.empty((d, d), np.int64)
    place[np.diag_indices(d)] = np.arange(d)
    columns, rows = np.triu_indices(d, 1)  # the lower triangle column by column
    below = np.arange(len(rows))
    place[rows, columns], place[columns, rows] = d + below, d + len(rows) + below
    return place.reshape(-1)


def normaliser(d: int, m: int) -> float:
    """C of the prior without its term in γ, which is n' d log γ."""
    freedom = d + m + 1
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi) + sum(
        math.lgamma(0.5 * freedom + 0.5 * (1 - j)) for j in range(1, d + 1)
    )
    return -0.5 * freedom * d * math.log(2.0) - log_gamma


def objective(
    alpha: Any,
    means: Any,
    icf: Any,
    x: Any,
    gamma: Any = 1.0,
    m: int = 0,
    convention: str = "adbench",
    *,
    xp: Any = None,
) -> Any:
    """F for alpha (K,), means (K, d), icf (K, d(d+1)/2), x (n, d), γ > 0 and an integer m ≥ 0.

    All Q_k (x_i − μ_k) are one matrix product: the rows of all [Q_k | −Q_k μ_k] times the columns [x_i; 1]. So the
    points are one axis, the last, from there to the last sum, and the adjoints of Q and of Qμ are one matrix product
    too.
    """
    xp, sign = xp or functions(), _sign(convention)
    (components, d), n = means.shape, x.shape[0]
    q, lower = icf[:, :d], icf[:, d:]
    diagonal = xp.exp(q)
    zeros = xp.array(np.zeros(tuple(lower.shape)))
    Q = xp.reshape(xp.concatenate([diagonal, lower, zeros], -1)[:, placing(d)], (components, d, d))
    affine = xp.concatenate([Q, -(Q @ means[:, :, None])], -1)
    points = xp.concatenate([x.T, xp.array(np.ones((1, n)))], 0)
    y = xp.reshape(xp.reshape(affine, (components * d, d + 1)) @ points, (components, d, n))
    beta = xp.reshape(alpha + xp.sum(q, 1), (components, 1)) - 0.5 * xp.sum(y * y, 1)
    likelihood = xp.sum(xp.logsumexp(beta, 0)) - n * xp.logsumexp(alpha, 0) - 0.5 * n * d * math.log(2 * math.pi)
    squares = xp.sum(diagonal * diagonal) + xp.sum(lower * lower)
    constant = components * ((d + m + 1) * d * xp.log(xp.array(gamma)) + normaliser(d, m))
    prior = 0.5 * gamma * gamma * squares - m * xp.sum(q) - constant
    return likelihood + sign * prior


def closed_form(
    alpha: Any, means: Any, icf: Any, x: Any, gamma: float, m: int, convention: str = "adbench"
) -> tuple[float, list[np.ndarray]]:
    """F and its derivatives by alpha, means and icf, written down component by component: the oracle."""
    sign = _sign(convention)
    (components, d), n = means.shape, len(x)
    below = [(i, j) for j in range(d) for i in range(j + 1, d)]
    beta, roots, moved = np.empty((components, n)), [], []
    for k in range(components):
        Q = np.diag(np.exp(icf[k, :d]))
        for value, (i, j) in zip(icf[k, d:], below, strict=True):
            Q[i, j] = value
        roots.append(Q)
        moved.append((x - means[k]) @ Q.T)
        beta[k] = alpha[k] + icf[k, :d].sum() - 0.5 * (moved[k] ** 2).sum(1)
    high = beta.max(0)
    lse = high + np.log(np.exp(beta - high).sum(0))
    weights = np.exp(alpha - alpha.max())
    lse_alpha = alpha.max() + math.log(weights.sum())
    freedom = d + m + 1
    log_gamma = d * (d - 1) / 4 * math.log(math.pi) + sum(math.lgamma((freedom - j) / 2) for j in range(d))
    C = freedom * d * (math.log(gamma) - 0.5 * math.log(2)) - log_gamma
    prior = gamma**2 / 2 * sum((Q**2).sum() for Q in roots) - m * icf[:, :d].sum() - components * C
    value = -n * d / 2 * math.log(2 * math.pi) + lse.sum() - n * lse_alpha + sign * prior
    r = np.exp(beta - lse)
    by_alpha, by_means, by_icf = r.sum(1) - n * weights / weights.sum(), np.empty_like(means), np.empty_like(icf)
    for k, Q in enumerate(roots):
        weighted = r[k, :, None] * moved[k]
        by_means[k] = weighted.sum(0) @ Q
        G = -weighted.T @ (x - means[k])
        by_icf[k, :d] = r[k].sum() + np.diag(G) * np.diag(Q) + sign * (gamma**2 * np.diag(Q) ** 2 - m)
        by_icf[k, d:] = [G[i, j] + sign * gamma**2 * Q[i, j] for i, j in below]
    return value, [by_alpha, by_means, by_icf]
