"""Functions that people check, in NumPy, with their gradients written by hand: (function, point, gradient) by a seed and sizes.

Right ones; `wrong_numpy` makes its mistakes in these.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray
Triple = tuple[Callable[..., Any], Any, Callable[..., Any]]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def softmax(z: Array, axis: int = -1) -> Array:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def logsumexp(z: Array) -> Array:
    top = z.max(axis=-1, keepdims=True)
    return np.log(np.exp(z - top).sum(axis=-1)) + top[..., 0]


# ---- learning ---------------------------------------------------------------------------------------------------------
def linear_layer(seed: int, n: int = 8, inputs: int = 5, outputs: int = 3, dtype: str = "float64") -> Triple:
    """Mean squared error of X·W + b, by (W, b)."""
    r = rng(seed)
    X, Y = r.normal(size=(n, inputs)).astype(dtype), r.normal(size=(n, outputs)).astype(dtype)

    def fun(W: Array, b: Array) -> Any:
        return np.mean((X @ W + b - Y) ** 2)

    def grad(W: Array, b: Array) -> tuple[Array, Array]:
        residual = 2 * (X @ W + b - Y) / Y.size
        return (X.T @ residual).astype(dtype), residual.sum(axis=0).astype(dtype)

    return fun, (r.normal(size=(inputs, outputs)).astype(dtype), r.normal(size=outputs).astype(dtype)), grad


def softmax_cross_entropy(
    seed: int, n: int = 6, classes: int = 4, scale: float = 1.0, dtype: str = "float64"
) -> Triple:
    """Mean cross-entropy of the logits."""
    r = rng(seed)
    labels = r.integers(classes, size=n)
    rows = np.arange(n)

    def fun(z: Array) -> Any:
        return np.mean(logsumexp(z) - z[rows, labels])

    def grad(z: Array) -> Array:
        g = softmax(z)
        g[rows, labels] -= 1
        return g / z.dtype.type(n)

    return fun, (scale * r.normal(size=(n, classes))).astype(dtype), grad


def softmax_head(seed: int, n: int = 4, classes: int = 4) -> Triple:
    """Σ c·softmax(z) by z, the backward of a softmax layer."""
    r = rng(seed)
    c = r.normal(size=(n, classes))

    def grad(z: Array) -> Array:
        s = softmax(z)
        return s * (c - (c * s).sum(axis=1, keepdims=True))

    return lambda z: np.sum(c * softmax(z)), r.normal(size=(n, classes)), grad


def layer_norm(seed: int, n: int = 4, d: int = 5, dtype: str = "float64", mean: float = 0.0) -> Triple:
    """Σ c·(γ·(x − μ)/σ + β) by (x, γ, β)."""
    r = rng(seed)
    c = r.normal(size=(n, d)).astype(dtype)

    def normed(x: Array) -> tuple[Array, Array]:
        centred = x - x.mean(axis=1, keepdims=True)
        s = np.sqrt((centred**2).mean(axis=1, keepdims=True) + x.dtype.type(1e-5))
        return centred / s, s

    def fun(x: Array, gamma: Array, beta: Array) -> Any:
        return np.sum(c * (gamma * normed(x)[0] + beta))

    def grad(x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        y, s = normed(x)
        dy = c * gamma
        dx = (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True)) / s
        return dx, (c * y).sum(axis=0), c.sum(axis=0)

    at = (r.normal(size=(n, d)) + mean, r.normal(size=d), r.normal(size=d))
    return fun, tuple(a.astype(dtype) for a in at), grad


def conv1d(seed: int, n: int = 12, taps: int = 3) -> Triple:
    """½·Σ (x ⋆ k − target)² (valid correlation) by (x, k)."""
    r = rng(seed)
    target = r.normal(size=n - taps + 1)

    def grad(x: Array, k: Array) -> tuple[Array, Array]:
        residual = np.correlate(x, k, "valid") - target
        return np.convolve(residual, k), np.correlate(x, residual, "valid")

    return (
        lambda x, k: 0.5 * np.sum((np.correlate(x, k, "valid") - target) ** 2),
        (r.normal(size=n), r.normal(size=taps)),
        grad,
    )


def attention(seed: int, n: int = 4, d: int = 4) -> Triple:
    """Σ c·softmax(QKᵀ/√d)·V by (Q, K, V)."""
    r = rng(seed)
    c = r.normal(size=(n, d))

    def fun(Q: Array, K: Array, V: Array) -> Any:
        return np.sum(c * (softmax(Q @ K.T / np.sqrt(d)) @ V))

    def grad(Q: Array, K: Array, V: Array) -> tuple[Array, Array, Array]:
        weights = softmax(Q @ K.T / np.sqrt(d))
        dweights = c @ V.T
        dscores = weights * (dweights - (dweights * weights).sum(axis=1, keepdims=True)) / np.sqrt(d)
        return dscores @ K, dscores.T @ Q, weights.T @ c

    return fun, tuple(r.normal(size=(3, n, d))), grad


def lstm_cell(seed: int, inputs: int = 3, hidden: int = 4) -> Triple:
    """c·h' of one step of an LSTM by {"W", "U", "b"} and the state."""
    r = rng(seed)
    x, weight = r.normal(size=inputs), r.normal(size=hidden)

    def step(p: dict[str, Array], h: Array, c: Array) -> tuple[Array, ...]:
        i, f, g, o = (p["W"] @ x + p["U"] @ h + p["b"]).reshape(4, hidden)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        return i, f, g, o, f * c + i * g

    def fun(p: dict[str, Array], h: Array, c: Array) -> Any:
        *_, o, new = step(p, h, c)
        return weight @ (o * np.tanh(new))

    def grad(p: dict[str, Array], h: Array, c: Array) -> tuple[Any, ...]:
        i, f, g, o, new = step(p, h, c)
        t = np.tanh(new)
        dnew = weight * o * (1 - t * t)
        gates = np.concatenate(
            [dnew * g * i * (1 - i), dnew * c * f * (1 - f), dnew * i * (1 - g * g), weight * t * o * (1 - o)]
        )
        return {"W": np.outer(gates, x), "U": np.outer(gates, h), "b": gates}, p["U"].T @ gates, dnew * f

    p = {
        "W": r.normal(size=(4 * hidden, inputs)),
        "U": r.normal(size=(4 * hidden, hidden)),
        "b": r.normal(size=4 * hidden),
    }
    return fun, (p, r.normal(size=hidden), r.normal(size=hidden)), grad


def logistic(seed: int, n: int = 40, d: int = 6, l2: float = 0.3, dtype: str = "float64") -> Triple:
    """Logistic regression with weight decay, by w."""
    r = rng(seed)
    X, y = r.normal(size=(n, d)).astype(dtype), (r.random(n) < 0.5).astype(dtype)
    l2 = X.dtype.type(l2)

    def fun(w: Array) -> Any:
        z = X @ w
        return np.mean(np.logaddexp(X.dtype.type(0), z) - y * z) + l2 / 2 * (w @ w)

    def grad(w: Array) -> Array:
        return (X.T @ (sigmoid(X @ w) - y) / X.dtype.type(n) + l2 * w).astype(dtype)

    return fun, r.normal(size=d).astype(dtype), grad


def mlp(seed: int, n: int = 9, sizes: tuple[int, ...] = (4, 6, 2)) -> Triple:
    """Mean squared error of a tanh network, by a list of {"W", "b"}."""
    r = rng(seed)
    X, Y = r.normal(size=(n, sizes[0])), r.normal(size=(n, sizes[-1]))

    def forward(layers: list[dict[str, Array]]) -> list[Array]:
        values = [X]
        for k, p in enumerate(layers):
            z = values[-1] @ p["W"] + p["b"]
            values.append(np.tanh(z) if k < len(layers) - 1 else z)
        return values

    def fun(layers: list[dict[str, Array]]) -> Any:
        return np.mean((forward(layers)[-1] - Y) ** 2)

    def grad(layers: list[dict[str, Array]]) -> list[dict[str, Array]]:
        values = forward(layers)
        d = 2 * (values[-1] - Y) / Y.size
        out: list[dict[str, Array]] = []
        for k in reversed(range(len(layers))):
            out.insert(0, {"W": values[k].T @ d, "b": d.sum(axis=0)})
            d = (d @ layers[k]["W"].T) * (1 - values[k] ** 2)
        return out

    pairs = pairwise(sizes)
    return fun, ([{"W": r.normal(size=(a, b)) / np.sqrt(a), "b": r.normal(size=b)} for a, b in pairs],), grad


# ---- statistics and matrices ----------------------------------------------------------------------------------------
def gaussian_log_likelihood(seed: int, n: int = 30) -> Triple:
    """Σ log N(x | μ, e^s) by {"mu", "s"}."""
    data = rng(seed).normal(1.0, 2.0, size=n)

    def fun(mu: Any, s: Any) -> Any:
        return np.sum(-0.5 * ((data - mu) / np.exp(s)) ** 2 - s - 0.5 * np.log(2 * np.pi))

    def grad(mu: Any, s: Any) -> dict[str, Any]:
        z = (data - mu) / np.exp(s)
        return {"mu": np.sum(z) / np.exp(s), "s": np.sum(z**2 - 1)}

    return fun, {"mu": 0.4, "s": 0.3}, grad


def positive_definite(r: np.random.Generator, n: int) -> Array:
    A = r.normal(size=(n, n))
    return A @ A.T / n + np.eye(n)


def logdet(seed: int, n: int = 4) -> Triple:
    A = rng(seed).normal(size=(n, n)) + n * np.eye(n)
    return lambda A: np.linalg.slogdet(A)[1], A, lambda A: np.linalg.inv(A).T


def trace_of_solve(seed: int, n: int = 4) -> Triple:
    """tr(A⁻¹B) by A: −A⁻ᵀBᵀA⁻ᵀ (Petersen and Pedersen, The Matrix Cookbook, eq. 124)."""
    r = rng(seed)
    A, B = r.normal(size=(n, n)) + n * np.eye(n), r.normal(size=(n, n))

    def grad(A: Array) -> Array:
        inverse = np.linalg.inv(A).T
        return -inverse @ B.T @ inverse

    return lambda A: np.trace(np.linalg.solve(A, B)), A, grad


def quadratic(seed: int, n: int = 5, dtype: str = "float64") -> Triple:
    """xᵀAx + b·x with an A that is not symmetric."""
    r = rng(seed)
    A, b = r.normal(size=(n, n)).astype(dtype), r.normal(size=n).astype(dtype)
    return lambda x: x @ A @ x + b @ x, r.normal(size=n).astype(dtype), lambda x: (A + A.T) @ x + b


# ---- optimisation and simulation ------------------------------------------------------------------------------------
def rosenbrock(seed: int, n: int = 6) -> Triple:
    def grad(x: Array) -> Array:
        g = np.zeros_like(x)
        g[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
        g[1:] += 200 * (x[1:] - x[:-1] ** 2)
        return g

    return (
        lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        rng(seed).uniform(-1.5, 1.5, size=n),
        grad,
    )


def euler(seed: int, steps: int = 20, h: float = 0.05) -> Triple:
    """½|y_N − target|² after explicit Euler steps of Lotka and Volterra's equations by their four parameters."""
    r = rng(seed)
    start, target = np.array([1.0, 0.7]), r.normal(1.0, 0.2, size=2)

    def path(p: Array) -> list[Array]:
        a, b, c, d = p
        y = [start]
        for _ in range(steps):
            u, v = y[-1]
            y.append(y[-1] + h * np.array([a * u - b * u * v, c * u * v - d * v]))
        return y

    def grad(p: Array) -> Array:
        a, b, c, d = p
        y = path(p)
        adjoint, g = y[-1] - target, np.zeros(4)
        for u, v in reversed(y[:-1]):
            g += h * (np.array([[u, -u * v, 0, 0], [0, 0, u * v, -v]]).T @ adjoint)
            adjoint = adjoint + h * (np.array([[a - b * v, -b * u], [c * v, c * u - d]]).T @ adjoint)
        return g

    return (
        lambda p: 0.5 * np.sum((path(p)[-1] - target) ** 2),
        np.array([1.1, 0.4, 0.3, 0.9]) + 0.1 * r.normal(size=4),
        grad,
    )


# ---- several outputs ------------------------------------------------------------------------------------------------
def arm(seed: int, joints: int = 3) -> Triple:
    """The end of a planar arm by its angles: a Jacobian (2, joints)."""
    r = rng(seed)
    lengths = r.uniform(0.5, 1.5, size=joints)

    def fun(q: Array) -> Array:
        s = np.cumsum(q)
        return np.array([lengths @ np.cos(s), lengths @ np.sin(s)])

    def jac(q: Array) -> Array:
        s = np.cumsum(q)
        parts = np.array([-lengths * np.sin(s), lengths * np.cos(s)])
        return np.cumsum(parts[:, ::-1], axis=1)[:, ::-1]

    return fun, r.normal(size=joints), jac


def tanh_layer(seed: int, inputs: int = 4, outputs: int = 4) -> Triple:
    """tanh(A·x): a Jacobian (outputs, inputs)."""
    r = rng(seed)
    A = r.normal(size=(outputs, inputs)) / np.sqrt(inputs)
    return (
        lambda x: np.tanh(A @ x),
        r.normal(size=inputs),
        lambda x: (1 - np.tanh(A @ x) ** 2)[:, None] * A,
    )


def spherical(seed: int) -> Triple:
    """(r, θ, φ) to Cartesian coordinates."""

    def fun(u: Array) -> Array:
        r, t, p = u
        return np.array([r * np.sin(t) * np.cos(p), r * np.sin(t) * np.sin(p), r * np.cos(t)])

    def jac(u: Array) -> Array:
        r, t, p = u
        st, ct, sp, cp = np.sin(t), np.cos(t), np.sin(p), np.cos(p)
        return np.array([[st * cp, r * ct * cp, -r * st * sp], [st * sp, r * ct * sp, r * st * cp], [ct, -r * st, 0.0]])

    return fun, rng(seed).uniform(0.3, 1.4, size=3), jac
