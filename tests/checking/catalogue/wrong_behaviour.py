"""Wrong gradients on NumPy arrays, whatever their numbers look like: state, chance, kinks, NaN, rounding, structure."""

from __future__ import annotations

import numpy as np

from . import functions as f
from .cases import Collection

NUMPY = Collection("numpy")
wrong = NUMPY.wrong


# ---- stale, aliased, in place -------------------------------------------------------------------------------------------
class Layer:
    """A layer that keeps what it saw last, as the teaching frameworks do."""

    def __init__(self, seed: int) -> None:
        self.A = f.rng(seed).normal(size=(6, 4))
        self.forward(np.zeros(4))

    def forward(self, x):
        self.h = np.tanh(self.A @ x)
        return np.sum(self.h**2)

    def backward(self, x):
        return self.A.T @ (2 * self.h * (1 - self.h**2))


@wrong("stale")
def backward_uses_the_last_forward():
    layer = Layer(1)
    return layer.forward, f.rng(2).normal(size=4), layer.backward


@wrong("stale")
def memo_filled_at_another_point():
    kept = {}

    def grad(x):
        return kept.setdefault("g", 4 * x**3)

    x = f.rng(3).normal(size=5)
    grad(x + 0.3)
    return lambda x: np.sum(x**4), x, grad


@wrong("stale")
def memo_that_never_renews():
    """Right the first time, at whatever point that is."""
    kept = {}
    return lambda x: np.sum(np.exp(x)), f.rng(4).normal(size=5), lambda x: kept.setdefault("g", np.exp(x)).copy()


@wrong("stale", "nondeterministic")
def accumulated_and_never_zeroed():
    total = np.zeros(5)

    def grad(x):
        np.add(total, np.cos(x), out=total)
        return total.copy()

    return lambda x: np.sum(np.sin(x)), f.rng(5).normal(size=5), grad


@wrong("stale")
def buffer_overwritten_by_the_function():
    scratch = np.zeros(6)

    def fun(x):
        np.multiply(x, x, out=scratch)
        return scratch.sum()

    def grad(x):
        np.multiply(2, x, out=scratch)
        return scratch

    return fun, f.rng(6).normal(size=6), grad


@wrong("in-place")
def function_centres_its_input():
    def fun(x):
        x -= x.mean()
        return np.sum(x**4)

    def grad(x):
        d = 4 * (x - x.mean()) ** 3
        return d - d.mean()

    return fun, f.rng(7).normal(size=5) + 1, grad


@wrong("in-place")
def gradient_scales_its_input():
    def grad(x):
        x *= 2
        return x

    return lambda x: np.sum(x**2), f.rng(8).normal(size=5), grad


@wrong("in-place")
def function_clips_its_input():
    def fun(p):
        np.clip(p["w"], 0.0, 1.0, out=p["w"])
        return np.sum(np.sin(p["w"])) + np.sum(p["b"] ** 2)

    at = ({"w": np.array([0.3, 0.6, 1.4]), "b": np.array([1.0, 2.0])},)
    return fun, at, lambda p: {"w": np.cos(p["w"]) * (p["w"] < 1), "b": 2 * p["b"]}


# ---- chance -----------------------------------------------------------------------------------------------------------
@wrong("nondeterministic")
def gradient_of_a_minibatch():
    r, (X, y) = f.rng(9), f.rng(10).normal(size=(2, 50))

    def grad(w):
        rows = r.integers(50, size=10)
        return np.array([np.mean(2 * (w[0] * X[rows] + w[1] - y[rows]) * v) for v in (X[rows], 1.0)])

    return lambda w: np.mean((w[0] * X + w[1] - y) ** 2), np.array([0.5, -0.2]), grad


@wrong("nondeterministic")
def function_with_fresh_noise():
    r = f.rng(11)
    return lambda x: np.sum(x**2) * (1 + 0.01 * r.normal()), f.rng(12).normal(size=4), lambda x: 2 * x


@wrong("nondeterministic")
def monte_carlo_estimate_without_a_seed():
    r = f.rng(13)
    return lambda s: np.mean(np.cos(s * r.normal(size=200))), 0.8, lambda s: -s * np.exp(-(s**2) / 2)


@wrong("nondeterministic")
def gradient_with_a_little_noise():
    r = f.rng(14)
    return lambda x: np.sum(np.sin(x)), f.rng(15).normal(size=6), lambda x: np.cos(x) * (1 + 1e-4 * r.normal(size=6))


@wrong("nondeterministic", "factor")
def factor_under_noise():
    r = f.rng(16)
    return lambda x: np.sum(x**2) * (1 + 1e-9 * r.normal()), f.rng(17).uniform(1, 2, size=5), lambda x: x


@wrong("dropout-active", "nondeterministic")
def dropout_left_on():
    r, (A, c) = f.rng(18), (f.rng(19).normal(size=(30, 5)), f.rng(20).normal(size=30))

    def fun(x):
        return c @ (np.tanh(A @ x) * (r.random(30) < 0.5) / 0.5)

    return fun, f.rng(21).normal(size=5), lambda x: A.T @ (c * (1 - np.tanh(A @ x) ** 2))


# ---- kinks and steps --------------------------------------------------------------------------------------------------
@wrong("kink")
def absolute_value_at_zero():
    return lambda x: np.sum(np.abs(x)), np.array([1.5, 0.0, -2.0]), lambda x: np.where(x >= 0, 1.0, -1.0)


@wrong("kink")
def relu_at_zero():
    return lambda x: np.sum(np.maximum(x, 0)), np.array([-1.0, 0.0, 2.0]), lambda x: (x > 0).astype(float)


@wrong("kink")
def hinge_on_the_margin():
    X, y = np.array([[1.0, 0.5], [0.25, -1.0], [-2.0, 1.0]]), np.array([1.0, -1.0, 1.0])
    w = np.array([0.5, 1.0])  # y₀·x₀·w = 1

    def grad(w):
        return -((y * (X @ w) <= 1) * y) @ X

    return lambda w: np.sum(np.maximum(0, 1 - y * (X @ w))), w, grad


@wrong("kink")
def largest_of_two_equal():
    return lambda x: np.max(x), np.array([0.5, 2.0, 2.0]), lambda x: np.eye(3)[np.argmax(x)]


@wrong("kink", "step-function")
def jump_at_the_point():
    return (
        lambda x: np.sum(np.where(x >= 1, x**2, 0.0)),
        np.array([0.5, 1.0, 2.0]),
        lambda x: np.where(x >= 1, 2 * x, 0),
    )


@wrong("kink")
def derivative_jumps_by_a_tenth():
    return lambda x: x + 0.1 * abs(x - 1), 1.0, lambda x: 1.0


@wrong("step-function")
def straight_through_rounding():
    return lambda x: np.sum(np.round(x * 8) / 8), f.rng(22).uniform(-1, 1, size=5), np.ones_like


@wrong("step-function")
def straight_through_sign():
    return lambda x: np.sum(np.sign(x) * [1.0, 2, 3]), np.array([0.4, -0.7, 1.2]), lambda x: np.array([1.0, 2, 3])


@wrong("step-function")
def accuracy_with_the_gradient_of_a_loss():
    X, y = f.rng(23).normal(size=(40, 3)), f.rng(24).random(40) < 0.5
    return lambda w: np.mean((X @ w > 0) == y), f.rng(25).normal(size=3), lambda w: X.T @ (f.sigmoid(X @ w) - y) / 40


@wrong("step-function", "zero")
def integer_histogram():
    """Counting goes in steps; its gradient is claimed to be the density."""
    data = f.rng(26).normal(size=1000)
    return lambda t: np.mean(data < t), 0.3, lambda t: np.exp(-t * t / 2) / np.sqrt(2 * np.pi)


# ---- NaN, overflow, cancellation ----------------------------------------------------------------------------------------
@wrong("nan-origin")
def masked_square_root():
    def grad(x):
        with np.errstate(all="ignore"):
            return (x > 0) * 0.5 / np.sqrt(x)

    def fun(x):
        return np.sum(np.sqrt(np.maximum(x, 0)))

    return fun, np.array([2.0, -1.0, 0.7]), grad


@wrong("nan-origin")
def zero_times_its_logarithm():
    """x²·log x², continued by 0; the derivative 2x·(log x² + 1) is 0·(−∞) there."""

    def fun(x):
        return np.sum(np.where(x == 0, 0.0, x**2 * np.log(np.where(x == 0, 1.0, x**2))))

    def grad(x):
        with np.errstate(all="ignore"):
            return 2 * x * (np.log(x**2) + 1)

    return fun, np.array([1.5, 0.0, 3.0]), grad


@wrong("nan-origin", "kink")
def norm_at_the_origin():
    def grad(x):
        with np.errstate(all="ignore"):
            return x / np.sqrt(np.sum(x**2))

    return lambda x: np.sqrt(np.sum(x**2)), np.zeros(3), grad


@wrong("nan-origin")
def zero_over_zero_in_a_cube_of_a_norm():
    """|x|³ is smooth enough at 0; its gradient is 3·|x|·x, here by |x|³·x/|x|²·3."""

    def grad(x):
        n = np.linalg.norm(x)
        with np.errstate(all="ignore"):
            return 3 * n**3 * x / n**2

    return lambda x: np.linalg.norm(x) ** 3, np.zeros(4), grad


@wrong("nan-origin")
def function_is_nan():
    """Outside the domain of the logarithm the function has no value, whatever the gradient says."""

    def fun(x):
        with np.errstate(all="ignore"):
            return np.sum(np.log(x))

    return fun, np.array([1.0, -2.0, 3.0]), lambda x: 1 / x


@wrong("overflow", "nan-origin")
def naive_softmax():
    fun, at, _ = f.softmax_cross_entropy(27, n=3, classes=4)
    labels = f.rng(27).integers(4, size=3)

    def grad(z):
        with np.errstate(all="ignore"):
            g = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        g[np.arange(3), labels] -= 1
        return g / 3

    return fun, 1000 * at, grad


@wrong("overflow", "nan-origin")
def naive_sigmoid():
    def grad(x):
        with np.errstate(all="ignore"):
            return np.exp(x) / (1 + np.exp(x))

    return lambda x: np.sum(np.logaddexp(0, x)), np.array([1.0, -3.0, 800.0]), grad


@wrong("overflow", "zero")
def norm_whose_squares_overflow():
    def grad(x):
        with np.errstate(all="ignore"):
            return x / np.sqrt(np.sum(x**2))

    return lambda x: np.hypot(x[0], x[1]), np.array([3e200, -4e200]), grad


@wrong("cancellation", "zero")
def one_minus_cosine():
    return lambda x: np.sum(x**3 / 6 * (1 - x**2 / 20)), np.array([1e-9, 2e-9]), lambda x: 1 - np.cos(x)


@wrong("cancellation")
def small_difference_of_exponentials():
    """expm1(x) − x has the derivative expm1(x), which exp(x) − 1 gives to three digits at 1e-13."""
    return (
        lambda x: np.sum(x**2 / 2 + x**3 / 6),
        np.array([1.1e-13, 2.3e-13, -3.7e-13]),
        lambda x: np.exp(x) - 1,
    )


@wrong("cancellation", "zero")
def probability_of_one():
    """−(1 − p) with a p that has been rounded to 1."""
    return lambda x: np.sum(np.log1p(np.exp(-x))), np.array([38.0, 40.0]), lambda x: -(1 - 1 / (1 + np.exp(-x)))


@wrong("cancellation", "nan-origin")
def variance_by_squares():
    """Layer norm of numbers around 1e8, the backward with σ² = E[x²] − E[x]²."""
    fun, (x, gamma, beta), _ = f.layer_norm(28, n=3, d=6)
    c = f.rng(28).normal(size=(3, 6))

    def grad(x):
        with np.errstate(all="ignore"):
            s = np.sqrt((x**2).mean(axis=1, keepdims=True) - x.mean(axis=1, keepdims=True) ** 2 + 1e-5)
            y, dy = (x - x.mean(axis=1, keepdims=True)) / s, c * gamma
            return (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True)) / s

    return lambda x: fun(x, gamma, beta), 30 * x + 3e7, grad


# ---- shapes and structures ----------------------------------------------------------------------------------------------
@wrong("wrong-shape")
def column_for_a_vector():
    return lambda x: np.sum(x**2), f.rng(29).normal(size=4), lambda x: 2 * x[:, None]


@wrong("wrong-shape")
def flat_for_a_matrix():
    fun, at, grad = f.logdet(30, n=3)
    return fun, at, lambda A: grad(A).ravel()


@wrong("wrong-shape", "wrong-axis")
def one_number_for_a_vector():
    return lambda x: np.sum(x), f.rng(31).normal(size=4), lambda x: 4.0


@wrong("wrong-shape")
def an_argument_too_few():
    fun, at, grad = f.conv1d(32)
    return fun, at, lambda x, k: grad(x, k)[:1]


@wrong("wrong-shape")
def a_key_missing():
    fun, at, grad = f.mlp(33)
    return fun, at, lambda layers: [{"W": p["W"]} for p in grad(layers)]


@wrong("wrong-shape")
def none_returned():
    return lambda x: np.sum(x**2), np.ones(3), lambda x: None


@wrong("wrong-shape")
def jacobian_for_one_row():
    fun, at, jac = f.arm(34)
    return fun, at, lambda q: jac(q)[0]
