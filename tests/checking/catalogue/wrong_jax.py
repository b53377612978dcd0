"""Wrong gradients in JAX's dress: `custom_vjp`s and `custom_jvp`s with a wrong rule, `stop_gradient`, NaN from `where`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .cases import Collection

jax.config.update("jax_enable_x64", True)

JAX = Collection("jax")
wrong = JAX.wrong


def normal(seed: int, *shape: int, dtype: str = "float64") -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def function(forward: Any, backward: Any) -> Any:
    """A custom_vjp; `backward(cotangent, *arguments)` gives a tuple."""
    made = jax.custom_vjp(forward)
    made.defvjp(lambda *args: (forward(*args), args), lambda args, g: backward(g, *args))
    return made


# ---- custom rules -----------------------------------------------------------------------------------------------------
@wrong("factor")
def square_without_its_two():
    square = function(jnp.square, lambda g, x: (g * x,))
    return lambda x: square(x).sum(), normal(1, 6), None


@wrong("factor")
def tangent_twice_in_float32():
    @jax.custom_jvp
    def tanh(x):
        return jnp.tanh(x)

    tanh.defjvps(lambda t, y, x: 2 * t * (1 - y * y))
    return lambda x: tanh(x).sum(), normal(2, 5, dtype="float32"), None


@wrong("factor")
def off_by_a_hundred_thousandth():
    scaled = function(lambda x: jnp.exp(x), lambda g, x: (g * jnp.exp(x) * 1.00001,))
    return lambda x: scaled(x).sum(), normal(3, 4), None


@wrong("sign")
def reciprocal_without_minus():
    reciprocal = function(lambda x: 1 / x, lambda g, x: (g / x**2,))
    return lambda x: reciprocal(x).sum(), 2 + normal(4, 5) ** 2, None


@wrong("sign")
def difference_with_two_pluses():
    difference = function(lambda a, b: a - b, lambda g, a, b: (g, g))
    return lambda a, b: jnp.sum(difference(a, b) ** 3), (normal(5, 4), normal(6, 4)), None


@wrong("mean-or-sum")
def mean_with_the_backward_of_a_sum():
    mean = function(lambda x: jnp.mean(x), lambda g, x: (g * jnp.ones_like(x),))
    return lambda x: mean(jnp.sin(x)), normal(7, 11), None


@wrong("transposed")
def logdet_without_the_transpose():
    logdet = function(lambda a: jnp.linalg.slogdet(a)[1], lambda g, a: (g * jnp.linalg.inv(a),))
    return logdet, normal(8, 4, 4) + 4 * jnp.eye(4), None


@wrong("transposed")
def weights_transposed():
    product = function(lambda w, x: w @ x, lambda g, w, x: (jnp.outer(x, g), w.T @ g))
    return lambda w, x: jnp.sum(jnp.tanh(product(w, x))), (normal(9, 5, 5), normal(10, 5)), None


@wrong("permuted")
def arguments_exchanged():
    power = function(lambda a, b: a**2 * jnp.cos(b), lambda g, a, b: (-g * a**2 * jnp.sin(b), 2 * g * a * jnp.cos(b)))
    return lambda a, b: jnp.sum(power(a, b)), (normal(11, 5), normal(12, 5)), None


@wrong("permuted")
def flipped():
    flip = function(lambda x: x[::-1], lambda g, x: (g,))
    return lambda x: normal(13, 7) @ flip(x), normal(14, 7), None


@wrong("shifted")
def rolled_the_same_way_again():
    rolled = function(lambda x: jnp.roll(x, 1), lambda g, x: (jnp.roll(g, 1),))
    return lambda x: normal(15, 8) @ jnp.exp(rolled(x)), jnp.zeros(8), None


@wrong("missing-term")
def half_of_the_product_rule():
    swish = function(lambda x: x * jax.nn.sigmoid(x), lambda g, x: (g * jax.nn.sigmoid(x),))
    return lambda x: jnp.sum(swish(x)), normal(16, 7), None


@wrong("extra-term")
def decay_in_the_rule():
    linear = function(lambda w, x: x @ w, lambda g, w, x: (x.T @ g + 0.05 * w, g @ w.T))
    return lambda w: jnp.mean(linear(w, normal(17, 12, 4)) ** 2), normal(18, 4, 3), None


@wrong("wrong-axis")
def bias_summed_over_features():
    biased = function(lambda x, b: x + b, lambda g, x, b: (g, g.sum(1)))
    return lambda x, b: jnp.sum(jnp.sin(biased(x, b))), (normal(19, 4, 4), normal(20, 4)), None


@wrong("wrong-axis")
def softmax_over_the_wrong_axis():
    def backward(g, x):
        s = jax.nn.softmax(x, axis=1)
        return (s * (g - (g * s).sum(0, keepdims=True)),)

    soft = function(lambda x: jax.nn.softmax(x, axis=1), backward)
    return lambda x: jnp.sum(normal(21, 5, 5) * soft(x)), normal(22, 5, 5), None


@wrong("single-entry")
def first_entry_counted_twice():
    total = function(lambda x: jnp.sum(x), lambda g, x: (jnp.full_like(x, g).at[0].set(2 * g),))
    return lambda x: total(jnp.exp(x)), normal(23, 9), None


@wrong("zero")
def rule_that_gives_zeros():
    logistic = function(jax.nn.sigmoid, lambda g, x: (jnp.zeros_like(x),))
    return lambda x: jnp.sum(logistic(x)), normal(24, 5), None


@wrong("step-function")
def straight_through():
    return lambda x: jnp.sum(x + lax.stop_gradient(jnp.round(x) - x)), normal(25, 5), None


@wrong("step-function")
def sign_with_a_rule():
    binary = function(jnp.sign, lambda g, x: (g * (jnp.abs(x) < 1),))
    return lambda x: normal(26, 4) @ binary(x), jnp.array([0.3, -0.8, 0.5, -0.1]), None


@wrong("wrong-shape")
def rule_with_a_shape_of_its_own():
    product = function(lambda w, x: w @ x, lambda g, w, x: (jnp.outer(x, g), w.T @ g))
    return lambda w, x: jnp.sum(product(w, x)), (normal(27, 3, 5), normal(28, 5)), None


# ---- graphs that are cut ------------------------------------------------------------------------------------------------
@wrong("zero")
def one_parameter_stopped():
    x = normal(29, 8, 3)

    def fun(p):
        return jnp.mean((jnp.tanh(x @ p["w"] + lax.stop_gradient(p["b"])) @ p["out"]) ** 2)

    return fun, ({"w": normal(30, 3, 4), "b": normal(31, 4), "out": normal(32, 4)},), None


@wrong("missing-term", "zero")
def variance_stopped_in_a_layer_norm():
    weight = normal(33, 3, 5)
    return (
        lambda x: jnp.sum(weight * (x - x.mean(1, keepdims=True)) / lax.stop_gradient(x.std(1, keepdims=True))),
        normal(34, 3, 5),
        None,
    )


@wrong("missing-term", "zero")
def truncated_back_propagation():
    """The carry of a recurrent network is stopped at every step."""
    xs = normal(35, 5, 3)

    def fun(w):
        h = jnp.zeros(3)
        for x in xs:
            h = jnp.tanh(w @ lax.stop_gradient(h) + x)
        return jnp.sum(h)

    return fun, normal(36, 3, 3) / 2, None


@wrong("zero")
def all_of_it_stopped():
    return lambda x: lax.stop_gradient(jax.nn.logsumexp(x)), normal(37, 5), None


# ---- kinks, NaN, overflow, chance ------------------------------------------------------------------------------------------
@wrong("kink")
def absolute_value_at_zero():
    return lambda x: jnp.sum(jnp.abs(x)), jnp.array([1.0, 0.0, -2.0]), None


@wrong("kink")
def maximum_of_two_equal():
    return lambda x: jnp.max(x), jnp.array([2.0, 1.0, 2.0]), None


@wrong("nan-origin")
def logarithm_in_a_where():
    return lambda x: jnp.sum(jnp.where(x > 0, x**2 * jnp.log(x), 0.0)), jnp.array([2.0, 0.0, 1.5]), None


@wrong("nan-origin")
def square_root_in_a_where():
    return lambda x: jnp.sum(jnp.where(x < 1, x, jnp.sqrt(x - 1))), jnp.array([0.5, 3.0]), None


@wrong("nan-origin")
def cube_of_a_norm_at_the_origin():
    return lambda x: jnp.linalg.norm(x) ** 3, jnp.zeros(3), None


@wrong("overflow", "nan-origin")
def softplus_written_out():
    return lambda x: jnp.sum(jnp.log1p(jnp.exp(x))), jnp.array([1.0, 800.0]), None


@wrong("overflow", "nan-origin")
def sigmoid_rule_that_overflows():
    softplus = function(lambda x: jnp.logaddexp(x, 0.0), lambda g, x: (g * jnp.exp(x) / (1 + jnp.exp(x)),))
    return lambda x: jnp.sum(softplus(x)), jnp.array([1.0, 750.0]), None


@wrong("nondeterministic", "dropout-active")
def dropout_with_a_fresh_key():
    draws = np.random.default_rng(38)

    def fun(x):
        kept = jax.random.bernoulli(jax.random.key(int(draws.integers(2**31))), 0.5, x.shape)
        return jnp.sum(jnp.where(kept, jnp.exp(x) / 0.5, 0.0))

    return fun, normal(39, 20), None


# ---- gradients written by hand ------------------------------------------------------------------------------------------
@wrong("missing-term")
def prior_forgotten():
    X, y = normal(40, 20, 4), normal(41, 20)
    grad = jax.grad(lambda w: 0.5 * jnp.sum((X @ w - y) ** 2))
    return lambda w: 0.5 * jnp.sum((X @ w - y) ** 2) + 2.0 * jnp.sum(w**2), normal(42, 4), grad


@wrong("mean-or-sum", "factor")
def mean_of_a_batch_by_hand():
    X, y = normal(43, 25, 4), normal(44, 25)
    return lambda w: jnp.mean((X @ w - y) ** 2), normal(45, 4), lambda w: 2 * X.T @ (X @ w - y)
