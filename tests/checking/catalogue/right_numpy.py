"""Right gradients of functions on NumPy arrays: written by hand, or diffkit's own of a traced function."""

from __future__ import annotations

import itertools

import numpy as np

from . import functions as f
from .cases import Collection

NUMPY = Collection("numpy")
right = NUMPY.right

#: the functions of `functions`, with sizes from one entry to some hundreds
SIZES: dict = {
    f.linear_layer: [{}, {"n": 1, "inputs": 1, "outputs": 1}, {"n": 2, "outputs": 2}, {"n": 50, "inputs": 20, "outputs": 15}],
    f.softmax_cross_entropy: [{}, {"n": 1, "classes": 2}, {"n": 20, "classes": 20}, {"scale": 30.0}, {"n": 3, "scale": 0.0}],
    f.softmax_head: [{}, {"n": 2, "classes": 2}, {"n": 10, "classes": 12}],
    f.layer_norm: [{}, {"n": 1, "d": 2}, {"n": 8, "d": 16}, {"mean": 1e4}],
    f.conv1d: [{}, {"n": 3, "taps": 3}, {"n": 200, "taps": 7}],
    f.attention: [{}, {"n": 1, "d": 3}, {"n": 8, "d": 4}],
    f.lstm_cell: [{}, {"inputs": 1, "hidden": 1}, {"inputs": 5, "hidden": 6}],
    f.logistic: [{}, {"d": 1}, {"n": 200, "d": 80}, {"l2": 0.0}],
    f.mlp: [{}, {"n": 1, "sizes": (1, 1, 1)}, {"sizes": (3, 5, 5, 2)}],
    f.gaussian_log_likelihood: [{}, {"n": 1}, {"n": 1000}],
    f.logdet: [{}, {"n": 1}, {"n": 2}, {"n": 12}],
    f.trace_of_solve: [{}, {"n": 1}, {"n": 3}, {"n": 10}],
    f.quadratic: [{}, {"n": 1}, {"n": 2}, {"n": 150}],
    f.rosenbrock: [{}, {"n": 2}, {"n": 300}],
    f.euler: [{}, {"steps": 1}, {"steps": 200, "h": 0.02}],
    f.arm: [{}, {"joints": 1}, {"joints": 2}, {"joints": 12}],
    f.tanh_layer: [{}, {"inputs": 1, "outputs": 1}, {"inputs": 3, "outputs": 20}, {"inputs": 20, "outputs": 3}],
    f.spherical: [{}],
}  # fmt: skip

for _make, _variants in SIZES.items():
    for _k, _sizes in enumerate(_variants):
        NUMPY.add(f"{_make.__name__}-{_k}".replace("_", "-"), lambda m=_make, s=_sizes, k=_k: m(100 + k, **s))

for _make in (f.linear_layer, f.softmax_cross_entropy, f.layer_norm, f.logistic, f.quadratic):
    NUMPY.add(f"{_make.__name__}-float32".replace("_", "-"), lambda m=_make: m(120, dtype="float32"))

#: functions of an array as people write them, whose gradient is diffkit's own
TRACED = {
    "sum-of-squares": lambda x: np.sum(x**2),
    "mean-of-tanh": lambda x: np.mean(np.tanh(x)),
    "norm": lambda x: np.sqrt(np.sum(x**2)),
    "product": lambda x: np.prod(x),
    "largest": lambda x: np.max(x),
    "absolute": lambda x: np.sum(np.abs(x)),
    "clip": lambda x: np.sum(np.clip(x, -0.5, 0.5) ** 3),
    "where": lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), x**2)),
    "running-sum": lambda x: np.sum(np.cumsum(x) ** 2),
    "outer": lambda x: np.sum(np.outer(x, x) * np.arange(25).reshape(5, 5)),
    "slices": lambda x: np.sum(x[1:] * x[:-1] ** 2),
    "variance": lambda x: np.var(x),
    "sorted": lambda x: np.sum(np.sort(x) * np.arange(5)),
    "vector": lambda x: np.sin(x) * x[::-1],
    "matrix": lambda x: np.outer(x, np.cos(x)),
    "softmax-vector": lambda x: np.exp(x) / np.sum(np.exp(x)),
}
for _name, _f in TRACED.items():
    NUMPY.add(f"traced-{_name}", lambda g=_f: (g, np.array([0.31, -0.72, 1.4, 0.9, -1.1]), None))


@right
def scipy_rosen():
    from scipy.optimize import rosen, rosen_der

    return rosen, np.array([1.3, 0.7, 0.8, 1.9, 1.2]), rosen_der


@right
def gradient_as_a_list():
    return lambda x: x[0] ** 2 * x[1], np.array([1.5, -2.0]), lambda x: [2 * x[0] * x[1], x[0] ** 2]


@right
def list_of_numbers():
    return lambda p: p[0] * np.exp(p[1]), ([1.5, 0.3],), lambda p: [np.exp(p[1]), p[0] * np.exp(p[1])]


@right
def arguments_by_name():
    return (
        lambda mass, speed: 0.5 * mass * speed**2,
        {"mass": 2.0, "speed": 3.0},
        lambda mass, speed: {"mass": 0.5 * speed**2, "speed": mass * speed},
    )


@right
def nested_deeply():
    at = ({"a": [np.array([1.0, 2.0]), {"b": np.array([[0.5]])}], "c": 3.0},)
    return (
        lambda p: np.sum(p["a"][0] ** 2) * p["a"][1]["b"][0, 0] + p["c"] ** 3,
        at,
        lambda p: {
            "a": [2 * p["a"][0] * p["a"][1]["b"][0, 0], {"b": np.array([[np.sum(p["a"][0] ** 2)]])}],
            "c": 3 * p["c"] ** 2,
        },
    )


@right
def one_number():
    return lambda x: np.sin(x) * np.exp(x), 0.7, lambda x: (np.cos(x) + np.sin(x)) * np.exp(x)


@right
def zero_dimensional():
    return lambda x: x**3, np.array(1.2), lambda x: 3 * x**2


@right
def symmetric_gradient():
    """A gradient that equals its transpose."""
    return lambda A: np.trace(A @ A), f.positive_definite(f.rng(1), 4), lambda A: 2 * A.T


@right
def one_entry_matters():
    return lambda x: x[3] ** 2, f.rng(2).normal(size=8), lambda x: 2 * x * (np.arange(8) == 3)


@right
def unused_argument():
    return lambda a, b: np.sum(a**2), (np.array([1.0, 2.0]), np.array([3.0])), lambda a, b: (2 * a, np.zeros(1))


@right
def equal_gradients():
    return lambda a, b: np.sum((a + b) ** 2), (np.ones(3), 2 * np.ones(3)), lambda a, b: (2 * (a + b), 2 * (a + b))


@right
def integer_valued_floats():
    return lambda x: np.sum(x**3), np.arange(-3.0, 4.0), lambda x: 3 * x**2


@right
def seeded_dropout():
    mask = f.rng(3).random(10) < 0.5
    return lambda x: np.sum(np.exp(x) * mask), f.rng(4).normal(size=10), lambda x: np.exp(x) * mask


@right
def fresh_generator_in_every_call():
    def fun(x):
        return np.sum(np.sin(x) * np.random.default_rng(5).normal(size=6))

    return fun, f.rng(6).normal(size=6), lambda x: np.cos(x) * np.random.default_rng(5).normal(size=6)


@right
def cache_by_value():
    kept = {}

    def fun(x):
        key = x.tobytes()
        if key not in kept:
            kept[key] = np.sum(np.cosh(x))
        return kept[key]

    return fun, f.rng(7).normal(size=5), np.sinh


@right
def fortran_ordered_and_strided():
    x = np.asfortranarray(f.rng(8).normal(size=(6, 8)))[::2, ::-1]
    return lambda x: np.sum(x**2 * np.arange(8)), x, lambda x: 2 * x * np.arange(8)


@right
def read_only_input():
    x = f.rng(9).normal(size=4)
    x.flags.writeable = False
    return lambda x: np.sum(np.sin(x)), x, np.cos


@right
def hessian_as_jacobian_of_a_gradient():
    r = f.rng(10)
    A = r.normal(size=(4, 4))
    return lambda x: (A + A.T) @ x + 4 * x**3, r.normal(size=4), lambda x: A + A.T + np.diag(12 * x**2)


@right
def jacobian_of_a_matrix_function():
    """∂(A²)ᵢⱼ/∂Aₖₗ, an array (3, 3, 3, 3)."""
    eye = np.eye(3)

    def jac(A):
        return np.einsum("ik,lj->ijkl", eye, A) + np.einsum("ik,jl->ijkl", A, eye)

    return lambda A: A @ A, f.rng(11).normal(size=(3, 3)), jac


@right
def shapes_of_two_arguments():
    def jac(A, x):
        return np.einsum("ij,k->ijk", np.eye(3), x), A

    return lambda A, x: A @ x, (f.rng(12).normal(size=(3, 2)), f.rng(13).normal(size=2)), jac


@right
def softmax_jacobian_float32():
    def jac(x):
        s = f.softmax(x)
        return np.diag(s) - np.outer(s, s)

    return f.softmax, f.rng(14).normal(size=6).astype("float32"), jac


@right
def thirty_thousand_entries():
    a = f.rng(15).normal(size=30_000)
    return lambda x: np.sum(np.logaddexp(0, a * x)), f.rng(16).normal(size=30_000), lambda x: a * f.sigmoid(a * x)


@NUMPY.large
def a_million_entries():
    a = f.rng(17).normal(size=10**6)
    return lambda x: np.sum(np.sin(a * x)), f.rng(18).normal(size=10**6), lambda x: a * np.cos(a * x)


@right
def wide_layer():
    return f.linear_layer(19, n=40, inputs=200, outputs=150)


@NUMPY.large
def a_million_entries_in_float32():
    a = f.rng(20).normal(size=10**6).astype("float32")
    return lambda x: np.sum((x - a) ** 2), f.rng(21).normal(size=10**6).astype("float32"), lambda x: 2 * (x - a)


@right
def large_jacobian():
    """300 outputs of 500 entries."""
    A = f.rng(22).normal(size=(300, 500)) / 20
    return lambda x: np.tanh(A @ x), f.rng(23).normal(size=500), lambda x: (1 - np.tanh(A @ x) ** 2)[:, None] * A


for _n, _p in itertools.product((1, 3, 30), (1, 2, 3, 5)):
    NUMPY.add(
        f"power-{_p}-of-{_n}",
        lambda n=_n, p=_p: (lambda x: np.sum(x**p), f.rng(24).normal(size=n), lambda x: p * x ** (p - 1)),
    )
