"""Wrong gradients of functions on NumPy arrays: the mistakes that people make in the pattern of the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import functions as f
from .cases import Collection

NUMPY = Collection("numpy")
wrong = NUMPY.wrong


def but(triple: f.Triple, change: Callable[..., Any]) -> tuple[Any, ...]:
    """The problem with `change(gradient, *arguments)` for its gradient."""
    fun, at, grad = triple
    return fun, at, lambda *args: change(grad(*args), *args)


# ---- factors and signs ------------------------------------------------------------------------------------------------
@wrong("factor")
def power_rule_forgotten():
    return but(f.quadratic(1), lambda g, x: g / 2)


@wrong("factor")
def half_forgotten():
    """The loss has no ½, the gradient thinks it has."""
    fun, at, grad = f.linear_layer(2, n=11, inputs=5, outputs=3)
    return fun, at, lambda W, b: tuple(a / 2 for a in grad(W, b))


@wrong("factor")
def factor_two_of_a_pendulum():
    return lambda q: 9.81 * (1 - np.cos(q)), 0.7, lambda q: 2 * 9.81 * np.sin(q)


@wrong("factor")
def degrees_for_radians():
    return lambda x: np.sum(np.sin(np.deg2rad(x))), f.rng(3).uniform(10, 80, size=7), lambda x: np.cos(np.deg2rad(x))


@wrong("factor")
def factor_in_float32():
    return but(f.linear_layer(4, n=11, inputs=7, outputs=5, dtype="float32"), lambda g, W, b: tuple(2 * a for a in g))


@wrong("factor")
def one_per_mille_too_large():
    return but(f.logdet(5, n=6), lambda g, A: g * 1.001)


@wrong("factor")
def constant_to_five_digits():
    """A molar gas constant of 8.3145 in the gradient, of 8.31446 in the function: 5e-6."""
    return (
        lambda T: 8.31446261815324 * np.sum(T * np.log(T)),
        f.rng(6).uniform(200, 400, size=5),
        lambda T: 8.3145 * (np.log(T) + 1),
    )


@wrong("factor")
def one_percent_in_float32():
    return but(f.logistic(7, dtype="float32"), lambda g, w: g * np.float32(1.01))


@wrong("sign")
def ascent_for_descent():
    fun, at, grad = f.gaussian_log_likelihood(8)
    return fun, at, lambda mu, s: {k: -v for k, v in grad(mu, s).items()}


@wrong("sign")
def trace_of_inverse_without_minus():
    return but(f.trace_of_solve(9), lambda g, A: -g)


@wrong("sign")
def sign_of_one_argument():
    return but(f.attention(10, n=5, d=3), lambda g, Q, K, V: (g[0], -g[1], g[2]))


@wrong("sign")
def sign_at_a_single_number():
    return lambda x: np.exp(-x) * x, 2.5, lambda x: -np.exp(-x) * (1 - x)


# ---- means and sums -----------------------------------------------------------------------------------------------------
@wrong("mean-or-sum")
def mean_of_seven_summed():
    return lambda x: np.mean(np.exp(x)), f.rng(11).normal(size=7), np.exp


@wrong("mean-or-sum")
def sum_meant_mean_taken():
    return lambda x: np.sum(np.log(x)), f.rng(12).uniform(0.5, 3, size=9), lambda x: 1 / x / len(x)


@wrong("mean-or-sum", "factor")
def mean_of_two():
    return lambda x: np.mean(x**3), np.array([0.7, -1.3]), lambda x: 3 * x**2


@wrong("mean-or-sum", "factor")
def cross_entropy_divided_by_the_classes():
    """Divided by the number of classes, 5, in place of that of the rows, 15."""
    return but(f.softmax_cross_entropy(13, n=15, classes=5), lambda g, z: g * 15 / 5)


@wrong("mean-or-sum", "factor")
def batch_mean_forgotten():
    return but(f.softmax_cross_entropy(14, n=6, classes=3), lambda g, z: g * 6)


@wrong("mean-or-sum", "factor")
def bias_averaged_over_the_batch():
    """The batch has 16 rows, which the shapes of the arguments do not show."""
    return but(f.linear_layer(15, n=16, inputs=4, outputs=3), lambda g, W, b: (g[0], g[1] / 16))


@wrong("mean-or-sum")
def mean_of_a_matrix_summed_in_float32():
    x = f.rng(16).normal(size=(13, 5)).astype("float32")
    return lambda x: np.mean(np.tanh(x)), x, lambda x: 1 - np.tanh(x) ** 2


# ---- transposed, permuted, shifted -------------------------------------------------------------------------------------
@wrong("transposed")
def logdet_without_the_transpose():
    return but(f.logdet(17, n=5), lambda g, A: g.T)


@wrong("transposed")
def weights_transposed_in_a_square_layer():
    return but(f.linear_layer(18, n=9, inputs=4, outputs=4), lambda g, W, b: (g[0].T, g[1]))


@wrong("transposed", "wrong-shape")
def weights_transposed_in_an_oblong_layer():
    return but(f.linear_layer(19, n=9, inputs=4, outputs=3), lambda g, W, b: (g[0].T, g[1]))


@wrong("transposed")
def jacobian_transposed():
    return but(f.tanh_layer(20), lambda J, x: J.T)


@wrong("transposed", "wrong-shape")
def oblong_jacobian_transposed():
    return but(f.arm(21, joints=4), lambda J, q: J.T)


@wrong("transposed")
def two_by_two_transposed():
    return but(f.trace_of_solve(22, n=2), lambda g, A: g.T)


@wrong("permuted")
def channels_last_in_a_cube():
    c = f.rng(23).normal(size=(4, 4, 4))
    return (
        lambda x: np.sum(c * np.sin(x)),
        f.rng(24).normal(size=(4, 4, 4)),
        lambda x: (c * np.cos(x)).transpose(1, 2, 0),
    )


@wrong("permuted", "wrong-shape")
def height_and_width_exchanged():
    c = f.rng(25).normal(size=(2, 3, 4))
    return lambda x: np.sum(c * x**2), f.rng(26).normal(size=(2, 3, 4)), lambda x: (2 * c * x).transpose(0, 2, 1)


@wrong("permuted")
def query_and_key_exchanged():
    return but(f.attention(27), lambda g, Q, K, V: (g[1], g[0], g[2]))


@wrong("permuted")
def arguments_exchanged():
    return (
        lambda a, b: np.sum(a**2 * b),
        (np.array([1.0, 2, 3]), np.array([4.0, -5, 6])),
        lambda a, b: (a**2, 2 * a * b),
    )


@wrong("permuted", "wrong-shape")
def arguments_of_two_shapes_exchanged():
    return but(f.conv1d(28), lambda g, x, k: g[::-1])


@wrong("permuted")
def kernel_flipped():
    """Correlation for convolution: the gradient by the taps comes backwards."""
    return but(f.conv1d(29, n=14, taps=5), lambda g, x, k: (g[0], g[1][::-1]))


@wrong("shifted")
def shifted_around():
    return but(f.rosenbrock(30, n=8), lambda g, x: np.roll(g, 1))


@wrong("shifted")
def shifted_with_a_lost_end():
    return but(f.rosenbrock(31, n=9), lambda g, x: np.concatenate([g[1:], [0.0]]))


@wrong("shifted")
def shifted_the_other_way():
    fun, at, grad = f.conv1d(32, n=20)
    return fun, at, lambda x, k: (np.concatenate([[0.0], grad(x, k)[0][:-1]]), grad(x, k)[1])


@wrong("shifted")
def rows_shifted_in_a_matrix():
    return but(f.softmax_cross_entropy(33, n=7, classes=5), lambda g, z: np.roll(g, -1, axis=0))


# ---- terms --------------------------------------------------------------------------------------------------------------
@wrong("missing-term")
def weight_decay_forgotten():
    fun, at, _ = f.logistic(34)
    return fun, at, f.logistic(34, l2=0.0)[2]


@wrong("extra-term")
def weight_decay_twice():
    fun, at, _ = f.logistic(35, l2=0.3)
    return fun, at, f.logistic(35, l2=0.6)[2]


@wrong("missing-term")
def weight_decay_forgotten_in_float32():
    fun, at, _ = f.logistic(36, l2=1.5, dtype="float32")
    return fun, at, f.logistic(36, l2=0.0, dtype="float32")[2]


@wrong("extra-term")
def weight_decay_in_the_gradient_only():
    return but(f.linear_layer(37), lambda g, W, b: (g[0] + 0.01 * W, g[1]))


@wrong("missing-term")
def ridge_forgotten_in_many_unknowns():
    """400 unknowns and a penalty of 1e-3."""
    r = f.rng(38)
    A, y = r.normal(size=(600, 400)) / 20, r.normal(size=600)
    return lambda x: 0.5 * np.sum((A @ x - y) ** 2) + 5e-4 * (x @ x), r.normal(size=400), lambda x: A.T @ (A @ x - y)


@wrong("missing-term")
def product_rule_half_done():
    return lambda x: np.sum(x * np.sin(x)), f.rng(39).uniform(0.5, 3, size=6), np.sin


@wrong("missing-term")
def linear_term_forgotten():
    """b·x: what is missing is the same everywhere."""
    r = f.rng(40)
    A = r.normal(size=(6, 6))
    return lambda x: x @ A @ x + 3 * np.sum(x), r.normal(size=6), lambda x: (A + A.T) @ x


@wrong("missing-term")
def only_one_side_of_a_quadratic_form():
    return (
        lambda x: x @ np.array([[1.0, 4], [-2, 3]]) @ x,
        np.array([0.3, -1.1]),
        lambda x: np.array([[1.0, 4], [-2, 3]]) @ x,
    )


@wrong("single-entry", "missing-term")
def last_entry_forgotten():
    fun, at, grad = f.rosenbrock(41, n=10)

    def loop(x):
        g = np.zeros_like(x)
        g[:-1] = grad(x)[:-1]
        return g

    return fun, at, loop


@wrong("single-entry")
def one_entry_of_a_matrix():
    def change(g, A):
        g = g.copy()
        g[2, 3] *= 1.5
        return g

    return but(f.trace_of_solve(42, n=5), change)


@wrong("single-entry")
def one_entry_of_three_hundred_by_a_thousandth():
    c = f.rng(43).normal(size=300)

    def grad(x):
        g = c * np.cosh(x)
        g[211] += 1e-3
        return g

    return lambda x: np.sum(c * np.sinh(x)), f.rng(44).normal(size=300), grad


@wrong("single-entry")
def border_of_a_laplacian():
    """½·Σ (differences)²: the left end treated like the inside."""

    def grad(u):
        g = np.empty_like(u)
        g[1:-1] = 2 * u[1:-1] - u[:-2] - u[2:]
        g[0] = 2 * u[0] - u[1]
        g[-1] = u[-1] - u[-2]
        return g

    return lambda u: 0.5 * np.sum(np.diff(u) ** 2), f.rng(45).normal(size=20) + 2, grad


@wrong("zero")
def one_argument_not_differentiated():
    return but(f.conv1d(46), lambda g, x, k: (g[0], np.zeros_like(k)))


@wrong("zero")
def gradient_never_filled_in():
    return but(f.mlp(47), lambda g, layers: [{k: np.zeros_like(v) for k, v in p.items()} for p in g])


@wrong("zero")
def biases_frozen_in_a_nested_argument():
    return but(f.mlp(48), lambda g, layers: [{"W": p["W"], "b": 0 * p["b"]} for p in g])


# ---- axes -------------------------------------------------------------------------------------------------------------
@wrong("wrong-axis")
def bias_summed_over_the_wrong_axis():
    r = f.rng(49)
    X, Y, W = r.normal(size=(5, 3)), r.normal(size=(5, 5)), r.normal(size=(3, 5))
    return lambda b: 0.5 * np.sum((X @ W + b - Y) ** 2), r.normal(size=5), lambda b: (X @ W + b - Y).sum(axis=1)


@wrong("wrong-axis")
def bias_of_a_layer_over_the_wrong_axis():
    """Rows and outputs are both four: both arguments are given, and only the bias is off."""
    r = f.rng(50)
    X, Y = r.normal(size=(4, 3)), r.normal(size=(4, 4))

    def grad(W, b):
        residual = X @ W + b - Y
        return X.T @ residual, residual.sum(axis=1)

    return lambda W, b: 0.5 * np.sum((X @ W + b - Y) ** 2), (r.normal(size=(3, 4)), r.normal(size=4)), grad


@wrong("wrong-axis")
def softmax_backward_over_the_wrong_axis():
    fun, at, _ = f.softmax_head(51, n=4, classes=4)
    c = f.rng(51).normal(size=(4, 4))

    def grad(z):
        s = f.softmax(z)
        return s * (c - (c * s).sum(axis=0, keepdims=True))

    return fun, at, grad


@wrong("wrong-axis")
def softmax_forward_over_the_wrong_axis():
    fun, at, _ = f.softmax_cross_entropy(52, n=5, classes=5)
    labels = f.rng(52).integers(5, size=5)

    def grad(z):
        g = f.softmax(z, axis=0)
        g[np.arange(5), labels] -= 1
        return g / 5

    return fun, at, grad


@wrong("wrong-axis")
def layer_norm_sums_over_the_wrong_axis():
    fun, at, grad = f.layer_norm(53, n=5, d=5)
    c = f.rng(53).normal(size=(5, 5))

    def bad(x, gamma, beta):
        y = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
        dy = c * gamma
        dx = (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return dx, *grad(x, gamma, beta)[1:]

    return fun, at, bad


@wrong("wrong-axis")
def gain_summed_over_the_wrong_axis():
    fun, at, grad = f.layer_norm(54, n=4, d=4)
    c = f.rng(54).normal(size=(4, 4))
    return fun, at, lambda x, gamma, beta: (*grad(x, gamma, beta)[:2], c.sum(axis=1))


@wrong("wrong-axis")
def summed_where_it_should_not_be():
    """Each entry has its own derivative; the gradient has their sum everywhere."""
    x = f.rng(55).normal(size=6)
    return lambda x: np.sum(np.exp(x)), x, lambda x: np.full_like(x, np.exp(x).sum())


@wrong("wrong-axis")
def rows_scaled_for_columns():
    """Each row has a weight; the gradient gives the weights to the columns."""
    weight = np.array([1.0, 2, 5, -3, 0.5])
    return (
        lambda x: np.sum(weight[:, None] * np.sin(x)),
        f.rng(56).normal(size=(5, 5)),
        lambda x: weight * np.cos(x),
    )


# ---- large --------------------------------------------------------------------------------------------------------------
@wrong("factor")
def factor_of_forty_thousand_entries():
    a = f.rng(57).normal(size=40_000)
    return lambda x: np.sum((x - a) ** 2), f.rng(58).normal(size=40_000), lambda x: x - a


@wrong("sign", slow=True)
def sign_of_a_million_entries():
    a = f.rng(59).normal(size=10**6)
    return lambda x: np.sum(a * np.sin(x)), f.rng(60).normal(size=10**6), lambda x: -a * np.cos(x)


@wrong("single-entry")
def one_entry_of_twenty_thousand():
    a = f.rng(61).normal(size=20_000)

    def grad(x):
        g = a * np.cos(x)
        g[12_345] += 1.0
        return g

    return lambda x: np.sum(a * np.sin(x)), f.rng(62).normal(size=20_000), grad


@wrong("transposed")
def transposed_two_hundred_by_two_hundred():
    r = f.rng(63)
    X, Y = r.normal(size=(50, 200)) / 10, r.normal(size=(50, 200))
    return lambda W: 0.5 * np.sum((X @ W - Y) ** 2), r.normal(size=(200, 200)) / 10, lambda W: (X.T @ (X @ W - Y)).T


@wrong("missing-term")
def weight_decay_forgotten_among_thirty_thousand():
    a = f.rng(64).normal(size=30_000)
    return (
        lambda x: np.sum(np.logaddexp(0, a * x)) + 0.05 * np.sum(x**2),
        f.rng(65).normal(size=30_000),
        lambda x: a * f.sigmoid(a * x),
    )
