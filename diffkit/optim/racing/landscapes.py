"""Landscapes of lectures: valleys, many minima, saddles, noise, and a regression on real data."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ...errors import UnavailableError
from .problems import Facts, even, listed


def _positive(**options: float) -> None:
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name}={value:g} is not positive")


@listed(
    "Quadratic of a given condition number",
    "½ Σ λᵢ (qᵢ·x)², λ from 1 to cond evenly in logarithms; Q turns by an eighth in each plane",
    "Boyd and Vandenberghe, Convex Optimization (2004), section 9.3.2",
)
def quadratic(cond: float = 100.0, n: int = 2) -> Facts:
    return _bowl(cond, n, 0.0)


@listed(
    "Quadratic with a noisy gradient",
    "½ Σ λᵢ (qᵢ·x)², seen with noise of standard deviation σ in every entry of the gradient",
    "Bottou, Curtis and Nocedal, SIAM Review 60 (2018), section 4",
)
def noisy_quadratic(cond: float = 10.0, n: int = 2, sigma: float = 0.3) -> Facts:
    _positive(sigma=sigma)
    return _bowl(cond, n, sigma)


def _bowl(cond: float, n: int, noise: float) -> Facts:
    if cond < 1:
        raise ValueError(f"cond={cond:g} is below 1")
    if n < 1 or (n == 1 and cond > 1):
        raise ValueError(f"n={n}: a condition number above 1 takes two dimensions")
    eigenvalues = np.geomspace(1.0, cond, n)
    # rotations by an eighth of a turn in the planes of neighbours, so that no axis is an eigenvector
    turned, c = np.eye(n), np.sqrt(0.5)
    for k in range(n - 1):
        plane = np.eye(n)
        plane[k : k + 2, k : k + 2] = [[c, -c], [c, c]]
        turned = turned @ plane
    # in the eigenvectors' coordinates each term weighs the same at the start: f = ½n
    a = (turned * eigenvalues) @ turned.T
    start = turned @ (1 / np.sqrt(eigenvalues)) * np.sqrt(2.0)
    reach = 1.35 * float(np.max(np.abs(start)))
    window = ((-reach, reach), (-reach, reach)) if n == 2 else None
    return Facts(lambda x: 0.5 * (x @ (a @ x)), start, 0.0, [np.zeros(n)], window, noise)


@listed("Himmelblau’s function", "(x² + y − 11)² + (x + y² − 7)²", "Himmelblau, Applied Nonlinear Programming (1972)")
def himmelblau() -> Facts:
    minimisers = [
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.7793102533777469, -3.2831859912861694),
        (3.5844283403304918, -1.8481265269644035),
    ]
    return Facts(
        lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2,
        (0.0, 0.0),
        0.0,
        minimisers,
        ((-5.5, 5.5), (-5.5, 5.5)),
    )


@listed(
    "Rastrigin’s function",
    "10n + Σ xᵢ² − 10 cos 2πxᵢ: a minimum near every point of whole numbers",
    "Rastrigin, Systems of Extremal Control (1974)",
)
def rastrigin(n: int = 2) -> Facts:
    even(n, 1)
    start = np.where(np.arange(n) % 2, -1.3, 2.2)
    window = ((-4.0, 4.0), (-4.0, 4.0)) if n == 2 else None
    return Facts(lambda x: 10 * n + (x * x - 10 * np.cos(2 * np.pi * x)).sum(), start, 0.0, [np.zeros(n)], window)


@listed(
    "Saddle",
    "x² − y² + ½y⁴: minima at (0, ±1), bounded below; the start is all but on the ridge that leads to the saddle",
    "Dauphin et al., NIPS 2014, section 3",
)
def saddle() -> Facts:
    return Facts(
        lambda x: x[0] ** 2 - x[1] ** 2 + 0.5 * x[1] ** 4,
        (1.2, 1e-3),
        -0.5,
        [(0.0, 1.0), (0.0, -1.0)],
        ((-1.6, 1.6), (-1.6, 1.6)),
    )


@listed(
    "Monkey saddle",
    "x³ − 3xy² + ¾(x² + y²)²: minima at distance 1 in three directions; at the saddle the Hessian is zero",
    "Hilbert and Cohn-Vossen, Anschauliche Geometrie (1932), section 29; the term of fourth degree bounds it below",
)
def monkey_saddle() -> Facts:
    h = np.sqrt(0.75)
    return Facts(
        lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2 + 0.75 * (x[0] ** 2 + x[1] ** 2) ** 2,
        (0.9, 5e-3),
        -0.25,
        [(-1.0, 0.0), (0.5, h), (0.5, -h)],
        ((-1.6, 1.6), (-1.6, 1.6)),
    )


@listed(
    "Logistic regression on the breast-cancer data",
    "mean of log(1 + exp(−y·(w·x + b))) + ½·l2·‖w‖² over 569 patients, 30 standardised features",
    "Wolberg, Street and Mangasarian, Breast Cancer Wisconsin (Diagnostic) (1995), through scikit-learn",
)
def logistic(l2: float = 1e-3) -> Facts:
    _positive(l2=l2)
    features, signs = _patients()
    signed = features * signs[:, None]

    def loss(x: Any) -> Any:
        margins = signed @ x
        # log(1 + exp(-m)) without overflow
        losses = np.maximum(-margins, 0) + np.log1p(np.exp(-np.abs(margins)))
        return losses.mean() + 0.5 * l2 * (x[:-1] ** 2).sum()

    best = _logistic_minimum(signed, l2)
    return Facts(loss, np.zeros(features.shape[1]), float(loss(best)), [best])


@cache
def _patients() -> tuple[np.ndarray, np.ndarray]:
    """Standardised features with a column of ones, (569, 31), and classes ±1, (569,)."""
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        raise UnavailableError(
            'the problem logistic needs the data that come with scikit-learn: pip install "diffkit[data]"'
        ) from None
    features, classes = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return np.hstack([features, np.ones((len(features), 1))]), 2.0 * classes - 1


def _logistic_minimum(signed: np.ndarray, l2: float) -> np.ndarray:
    """The minimiser, by Newton's method with halved steps; the loss is strictly convex."""
    n = signed.shape[1]
    ridge = np.append(np.full(n - 1, l2), 0.0)

    def value(x: np.ndarray) -> float:
        return float(np.logaddexp(0, -(signed @ x)).mean() + 0.5 * (ridge * x * x).sum())

    x = np.zeros(n)
    for _ in range(100):
        p = np.exp(-np.logaddexp(0, signed @ x))  # 1 / (1 + exp(m))
        gradient = ridge * x - signed.T @ p / len(signed)
        curvature = (signed.T * (p * (1 - p))) @ signed / len(signed) + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and value(x - size * step) > value(x):
            size /= 2
        if np.abs(step).max() <= 1e-13 * max(1.0, np.abs(x).max()):
            break
        x = x - size * step
    return x
