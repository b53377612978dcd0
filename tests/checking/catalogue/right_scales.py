"""Right gradients of functions that are hard on differences: scales, kinks nearby, oscillation, borders of domains, noise."""

from __future__ import annotations

import numpy as np
from scipy import special

from . import functions as f
from .cases import Collection

NUMPY = Collection("numpy")
right, noisy = NUMPY.right, NUMPY.noisy

#: x, given elementwise; each is summed: (function, derivative, points)
ELEMENTWISE: dict = {
    "sine-fast": (lambda x: np.sin(1e4 * x), lambda x: 1e4 * np.cos(1e4 * x), [0.1234, -0.7, 0.0]),
    "sine-slow": (lambda x: np.sin(1e-6 * x), lambda x: 1e-6 * np.cos(1e-6 * x), [0.3, 5.0]),
    "chirp": (lambda x: np.sin(300 * x * x), lambda x: 600 * x * np.cos(300 * x * x), [1.1, 2.3]),
    "exponential-stiff": (lambda x: np.exp(-1e3 * x), lambda x: -1e3 * np.exp(-1e3 * x), [1e-3, 5e-3, 0.02]),
    "exponential-huge": (np.exp, np.exp, [200.0, 600.0]),
    "exponential-tiny": (np.exp, np.exp, [-50.0, -300.0]),
    "gauss-narrow": (lambda x: np.exp(-1e8 * x * x), lambda x: -2e8 * x * np.exp(-1e8 * x * x), [1e-4, -2e-5]),
    "flat-eighth-power": (lambda x: x**8, lambda x: 8 * x**7, [1e-3, 0.02, 0.0]),
    "flat-exponential": (lambda x: np.exp(-1 / x**2), lambda x: 2 / x**3 * np.exp(-1 / x**2), [0.3, 0.2]),
    "square-at-zero": (np.square, lambda x: 2 * x, [0.0, 0.0]),
    "cube-at-zero": (lambda x: x**3, lambda x: 3 * x * x, [0.0]),
    "cosine-at-zero": (np.cos, lambda x: -np.sin(x), [0.0, np.pi]),
    "linear-at-zero": (lambda x: 3 * x, lambda x: 3 + 0 * x, [0.0, 1e-20]),
    "tiny-inputs": (lambda x: x**2, lambda x: 2 * x, [1e-10, -3e-12]),
    "very-tiny-inputs": (lambda x: 5e30 * x, lambda x: 5e30 + 0 * x, [1e-30, 2e-31]),
    "huge-inputs": (lambda x: x**2, lambda x: 2 * x, [1e10, -3e12]),
    "very-huge-inputs": (np.sqrt, lambda x: 0.5 / np.sqrt(x), [1e30, 4e40]),
    "mixed-inputs": (lambda x: x**2, lambda x: 2 * x, [1e-8, 1.0, 1e8]),
    "reciprocal-near-zero": (lambda x: 1 / x, lambda x: -1 / x**2, [1e-6, -1e-3]),
    "root-near-zero": (np.sqrt, lambda x: 0.5 / np.sqrt(x), [1e-12, 1e-4, 1e-8]),
    "logarithm-near-zero": (np.log, lambda x: 1 / x, [1e-12, 1e-3]),
    "logarithm-near-one": (np.log, lambda x: 1 / x, [1 + 1e-9, 1 - 1e-6]),
    "entropy-near-zero": (lambda x: x * np.log(x), lambda x: np.log(x) + 1, [1e-9, 1e-3]),
    "arcsine-near-one": (np.arcsin, lambda x: 1 / np.sqrt((1 - x) * (1 + x)), [1 - 1e-6, -1 + 1e-4]),
    "logit-near-one": (lambda x: np.log(x) - np.log1p(-x), lambda x: 1 / (x * (1 - x)), [1 - 1e-6, 1e-6]),
    "tangent-near-pole": (np.tan, lambda x: 1 + np.tan(x) ** 2, [np.pi / 2 - 1e-3]),
    "tanh-saturated": (np.tanh, lambda x: 1 / np.cosh(x) ** 2, [5.0, -8.0]),
    "softplus": (lambda x: np.logaddexp(0, x), f.sigmoid, [-30.0, 0.0, 500.0]),
    "sigmoid-tails": (special.expit, lambda x: special.expit(x) * special.expit(-x), [-20.0, 3.0]),
    "bessel": (special.j0, lambda x: -special.j1(x), [0.5, 30.0]),
    "gamma": (special.gammaln, special.digamma, [0.1, 3.5, 200.0]),
    "normal-distribution": (special.ndtr, lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi), [0.3, -4.0]),
    "step-within": (lambda x: np.where(x > 0, 1.0, -1.0), lambda x: 0 * x, [0.5, -2.0]),
    "floor-within": (np.floor, lambda x: 0 * x, [0.5, 1.3]),
    "constant": (lambda x: 0 * x + 7.0, lambda x: 0 * x, [0.3, 1.0]),
    "one-minus-cosine-written-out": (lambda x: 1 - np.cos(x), np.sin, [1e-2, 1e-3]),
    "exponential-minus-one": (np.expm1, np.exp, [1e-12, -1e-5]),
}  # fmt: skip
for _name, (_f, _g, _points) in ELEMENTWISE.items():
    NUMPY.add(_name, lambda f=_f, g=_g, p=_points: (lambda x: np.sum(f(x)), np.array(p), lambda x: g(x) + 0.0))

#: kinks at one: function, derivative
KINKS: dict = {
    "absolute": (lambda x: np.abs(x - 1), lambda x: np.sign(x - 1)),
    "relu": (lambda x: np.maximum(x - 1, 0), lambda x: (x > 1).astype(x.dtype)),
    "maximum": (lambda x: np.maximum(x, x**2), lambda x: np.where(x > x**2, 1, 2 * x)),
    "clip": (lambda x: np.clip(x, -1, 1) * 2, lambda x: 2 * (np.abs(x) < 1).astype(x.dtype)),
    "hinge": (lambda x: np.maximum(0, 1 - x) * 3, lambda x: -3 * (x < 1).astype(x.dtype)),
    "huber": (
        lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5),
        lambda x: np.where(np.abs(x) < 1, x, np.sign(x)),
    ),
    "jump": (lambda x: np.where(x > 1, x**2 + 5, x), lambda x: np.where(x > 1, 2 * x, 1)),
}
for _name, (_f, _g) in KINKS.items():
    for _distance in (1e-3, 1e-6, 1e-9, -1e-3, -1e-6):
        NUMPY.add(
            f"{_name}-{_distance:g}-from-its-kink",
            lambda f=_f, g=_g, d=_distance: (lambda x: np.sum(f(x)), np.array([1 + d, 0.4]), lambda x: g(x) + 0.0),
        )
for _distance in (1e-3, 1e-6, 1e-9):
    NUMPY.add(
        f"absolute-{_distance:g}-from-zero",
        lambda d=_distance: (lambda x: np.sum(np.abs(x)), np.array([d, -d]), np.sign),
    )


# ---- badly scaled -------------------------------------------------------------------------------------------------------
@right
def entries_over_twenty_decades():
    """Each entry is a summand of its own size, and is seen only as far as the sum allows."""
    scale = 10.0 ** np.arange(-10, 11, 2)
    return lambda x: np.sum(scale * np.sin(x)), f.rng(1).uniform(0.2, 1.2, size=11), lambda x: scale * np.cos(x)


@right
def inputs_over_twenty_decades():
    x = 10.0 ** np.arange(-10, 11, 4)
    return lambda x: np.sum(np.log(x)), x, lambda x: 1 / x


@right
def huge_offset():
    return lambda x: 1e12 + np.sum(x**2), np.array([300.0, -200.0]), lambda x: 2 * x


@right
def large_value_small_slopes():
    return lambda x: 1e6 + np.sum(np.sin(x)), f.rng(2).normal(size=4), np.cos


@right
def physical_units():
    """Planck's law in SI units."""
    h, c, k = 6.62607015e-34, 299792458.0, 1.380649e-23

    def fun(frequency, temperature):
        return 2 * h * frequency**3 / c**2 / np.expm1(h * frequency / (k * temperature))

    def grad(frequency, temperature):
        x = h * frequency / (k * temperature)
        value, share = fun(frequency, temperature), x * np.exp(x) / np.expm1(x)
        return {"frequency": value / frequency * (3 - share), "temperature": value / temperature * share}

    return fun, {"frequency": 5e14, "temperature": 5800.0}, grad


@right
def tiny_values():
    return lambda x: 1e-200 * np.sum(x**2), np.array([1.0, 2.0]), lambda x: 2e-200 * x


@right
def huge_values():
    return lambda x: 1e200 * np.sum(x**3), np.array([1.0, -2.0]), lambda x: 3e200 * x**2


@right
def ill_conditioned_quadratic():
    d = np.array([1e-6, 1.0, 1e6])
    return lambda x: 0.5 * np.sum(d * x**2), np.array([1.0, 2.0, 3.0]), lambda x: d * x


@right
def exactly_linear():
    c = f.rng(3).normal(size=30)
    return lambda x: c @ x, f.rng(4).normal(size=30), lambda x: c.copy()


@right
def exactly_constant():
    return lambda x: 3.5, f.rng(5).normal(size=5), np.zeros_like


@right
def at_a_minimum():
    return lambda x: np.sum((x - 1) ** 2), np.ones(4), lambda x: 2 * (x - 1)


@right
def near_a_minimum():
    return lambda x: np.sum((x - 1) ** 4) + 2, 1 + 1e-4 * f.rng(6).normal(size=4), lambda x: 4 * (x - 1) ** 3


@right
def at_a_saddle():
    return lambda x: x[0] ** 2 - x[1] ** 2, np.zeros(2), lambda x: np.array([2 * x[0], -2 * x[1]])


@right
def rosenbrock_at_its_minimum():
    fun, at, grad = f.rosenbrock(7, n=5)
    return fun, np.ones_like(at), grad


@right
def border_of_a_domain():
    """√(1 − |x|²) a millionth inside the sphere."""
    x = np.array([0.6, 0.8]) * (1 - 1e-6)
    return lambda x: np.sqrt(1 - x @ x), x, lambda x: -x / np.sqrt(1 - x @ x)


@right
def outside_it_raises():
    """A function that raises beyond its domain, 1e-4 away."""
    import math

    return lambda x: math.log(x) + math.sqrt(x), 1e-4, lambda x: 1 / x + 0.5 / math.sqrt(x)


@right
def at_the_border_with_zero_weight():
    return lambda x: np.sum(x**2 * np.sqrt(x)), np.array([1e-5, 1.0]), lambda x: 2.5 * x**1.5


# ---- float32 -----------------------------------------------------------------------------------------------------------
F32: dict = {
    "squares": (np.square, lambda x: 2 * x, [0.5, -1.5, 3.0]),
    "exponentials": (np.exp, np.exp, [-2.0, 0.0, 5.0]),
    "sines": (np.sin, np.cos, [0.3, 2.0, -1.0]),
    "logarithms": (np.log, lambda x: 1 / x, [0.01, 1.0, 100.0]),
    "roots": (np.sqrt, lambda x: np.float32(0.5) / np.sqrt(x), [1e-4, 1.0, 1e4]),
    "hyperbolic": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, [0.1, -0.6, 1.5]),
    "large": (np.square, lambda x: 2 * x, [1e6, -1e5]),
    "offset": (lambda x: np.float32(1e3) + x**2, lambda x: 2 * x, [3.0, -2.0]),
    "linear": (lambda x: 3 * x, lambda x: 3 + 0 * x, [0.0, 1.0]),
    "absolute": (np.abs, np.sign, [1e-3, -1e-2]),
    "constant": (lambda x: 0 * x + 1, lambda x: 0 * x, [1.0, 2.0]),
}
for _name, (_f, _g, _points) in F32.items():
    NUMPY.add(f"float32-{_name}", lambda f=_f, g=_g, p=_points: (lambda x: np.sum(f(x)), np.array(p, "float32"), g))


@right
def float32_two_hundred_entries():
    a = f.rng(8).normal(size=200).astype("float32")
    return lambda x: np.sum((x - a) ** 2), f.rng(9).normal(size=200).astype("float32"), lambda x: 2 * (x - a)


@right
def float32_gradient_of_a_float64_function():
    """The gradient is rounded to float32 on its way; it is as right as its dtype allows."""
    return lambda x: np.sum(np.sin(x)), f.rng(10).normal(size=6), lambda x: np.cos(x).astype("float32")


# ---- noise --------------------------------------------------------------------------------------------------------------
def hashed(x):
    """Deterministic noise: what the bits of the sum leave of a large product, in [−1, 1]."""
    return np.sin(1e15 * float(np.sum(x * np.sqrt(np.arange(2.0, 2 + np.size(x))))))


def noisy_square(level):
    r = f.rng(11)
    return lambda x: np.sum(x**2) * (1 + level * r.normal()), np.array([1.0, 2.0, -1.5]), lambda x: 2 * x


def noisy_exponential(level):
    return lambda x: np.sum(np.exp(x)) * (1 + level * hashed(x)), np.array([0.2, 1.0, -0.5, 0.7]), np.exp


for _level in (1e-8, 1e-6, 1e-4):
    for _what, _make in (("random", noisy_square), ("repeatable", noisy_exponential)):
        NUMPY.add_noisy(f"{_what}-noise-{_level:g}", lambda m=_make, e=_level: m(e))


@noisy
def float32_inside():
    """A float64 function that computes in float32: steps of 6e-8."""
    return lambda x: float(np.sum(np.sin(x.astype("float32")))), f.rng(12).normal(size=5), np.cos


@noisy
def rounded_output():
    return lambda x: np.round(np.sum(np.sin(x)), 8), f.rng(13).normal(size=3), np.cos


@noisy
def root_found_to_a_tolerance():
    """y³ + y = x by bisection to 1e-8."""

    def fun(x):
        low, high = 0.0, 10.0
        while high - low > 1e-8:
            middle = (low + high) / 2
            low, high = (middle, high) if middle**3 + middle < x else (low, middle)
        return (low + high) / 2

    def grad(x):
        y = np.roots([1, 0, 1, -x])
        y = y[np.argmin(np.abs(y.imag))].real
        return 1 / (3 * y * y + 1)

    return fun, 3.7, grad


@noisy
def quadrature_that_stops_early():
    """∫₀¹ e^(−xt) dt by the trapezoidal rule, whose number of points depends on x."""

    def fun(x):
        t = np.linspace(0, 1, 4000 + int(1e7 * x) % 7)
        return np.trapezoid(np.exp(-x * t), t)

    return fun, 1.3, lambda x: (np.exp(-x) * (x + 1) - 1) / x**2


@noisy
def variance_by_mean_squares():
    """E[x²] − E[x]² of numbers around 1e5."""
    x = 1e5 + f.rng(14).normal(size=8)
    return lambda x: np.mean(x**2) - np.mean(x) ** 2, x, lambda x: 2 * (x - x.mean()) / 8


@noisy
def divided_difference_near_zero():
    """(eˣ − 1 − x)/x², written out, at 1e-4."""

    def grad(x):
        return 1 / 6 + x / 12 + x * x / 40

    return lambda x: (np.exp(x) - 1 - x) / x**2, 1e-4, grad


@noisy
def lost_in_a_large_constant():
    return lambda x: 1e12 + np.sum(np.sin(x)), f.rng(15).normal(size=3), np.cos


@noisy
def minibatch_loss():
    r, data = f.rng(16), f.rng(17).normal(size=500)
    return lambda m: np.mean((m - data[r.integers(500, size=400)]) ** 2), 0.3, lambda m: 2 * (m - data.mean())


@noisy
def polynomial_written_out():
    """(x − 1)⁷ expanded, near 1: nothing but rounding."""
    c = np.array([1.0, -7, 21, -35, 35, -21, 7, -1])
    return lambda x: np.polyval(c, x), 1.001, lambda x: 7 * (x - 1) ** 6
