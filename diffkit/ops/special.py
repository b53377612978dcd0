"""Error functions, log-gamma and its derivatives, and the smooth functions of machine learning.

SciPy's implementations are the definition; SciPy is loaded at the first call.
"""

from __future__ import annotations

import math

import numpy as np

from .kernels import exponential, special
from .op import define

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


def _scipy(name):
    def function(x):
        import scipy.special

        x = np.asarray(x)
        if x.dtype == np.longdouble:  # SciPy has no such loops; the range is what matters to those who ask
            return getattr(scipy.special, name)(x.astype(np.float64)).astype(np.longdouble)
        return getattr(scipy.special, name)(x)

    function.__name__ = name
    return function


def _library(name):
    """The C library's function: SciPy's erfc is off by a hundred ulp in the tail."""
    function = np.frompyfunc(getattr(math, name), 1, 1)

    def compute(x):
        x = np.asarray(x)
        return np.asarray(function(x), dtype=x.dtype if x.dtype.kind == "f" else np.float64)

    return compute


define(
    "erf", 1, "error function", _library("erf"), cost="special",
    kernel=special.erf,
    partials=lambda o, out, x: (_TWO_OVER_SQRT_PI * o.exp(-o.square(x)),),
    sympy=lambda s, x: s.erf(x),
    spelling={"numpy": "scipy.special.erf", "jax": "jax.scipy.special.erf", "torch": "torch.special.erf"},
)
define(
    "erfc", 1, "1 − erf, accurate for large x", _library("erfc"), cost="special",
    kernel=special.erfc,
    partials=lambda o, out, x: (-_TWO_OVER_SQRT_PI * o.exp(-o.square(x)),),
    sympy=lambda s, x: s.erfc(x),
    spelling={"numpy": "scipy.special.erfc", "jax": "jax.scipy.special.erfc", "torch": "torch.special.erfc"},
)
def _lgamma(x):
    """SciPy's; −log |x| for the smallest x, where SciPy's is infinite, and ∞ at −∞, as C has it, where SciPy's is −∞."""
    x = np.asarray(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(np.abs(x) < 1e-300, -np.log(np.abs(x)), _scipy("gammaln")(x))
    value = np.where(np.isinf(x), np.inf, value)
    return value.astype(x.dtype if x.dtype.kind == "f" else float)


define(
    "lgamma", 1, "log |Γ(x)|", _lgamma, cost="special", aliases=("gammaln", "loggamma"),
    kernel=special.lgamma,
    partials=lambda o, out, x: (o.digamma(x),),
    sympy=lambda s, x: s.lgamma(x),
    # near its zeros at 1 and 2, and between the poles, the bound is absolute
    magnitude=lambda out, x: np.abs(out) + 1 + np.where(x < 0, np.abs(x), 0),
    spelling={"numpy": "scipy.special.gammaln", "jax": "jax.scipy.special.gammaln", "torch": "torch.lgamma"},
    domain="not 0, −1, −2, …", intervals=((0, np.inf),),
)

#: B_{2k} for k = 1 … 8
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
#: the argument is raised by this much before the asymptotic series is used (its error is then below 1e-17)
_SHIFT = 10


def _series(o, coefficients, z):
    total = coefficients[-1] * z
    for c in coefficients[-2::-1]:
        total = (total + c) * z
    return total


def _digamma_right(o, x):
    """ψ(x), x ≥ ½: recurrence to x + 10, then ψ(y) ~ log y − 1/(2y) − Σ B_{2k}/(2k y^{2k}) (DLMF 5.5.2, 5.11.2)."""
    y = x + _SHIFT
    r = o.reciprocal(y)
    tail = _series(o, [b / (2 * k) for k, b in enumerate(_BERNOULLI, 1)], o.square(r))
    shifted = o.reciprocal(x)
    for k in range(1, _SHIFT):
        shifted = shifted + o.reciprocal(x + k)
    return o.log(y) - 0.5 * r - tail - shifted


def _to_pole(o, x):
    """x minus the nearest integer, exactly: sin and tan of π times it keep their period."""
    return x - o.round(x)


def _digamma(o, x):
    left = o.less(x, 0.5)
    value = _digamma_right(o, o.where(left, 1 - x, x))
    reflected = value - math.pi / o.tan(math.pi * _to_pole(o, x))  # DLMF 5.5.4
    at_infinity = o.where(o.equal(x, np.inf), np.inf, o.where(left, reflected, value))
    # at 0 the sign of zero says on which side of the pole x lies; at the other poles nothing does
    at_pole = o.where(o.equal(x, 0), -o.reciprocal(x), np.nan)
    return o.where(o.logical_and(o.less_equal(x, 0), o.equal(_to_pole(o, x), 0)), at_pole, at_infinity)


define(
    "digamma", 1, "derivative of lgamma", _scipy("psi"), cost="special", aliases=("psi",),
    kernel=special.digamma,
    partials=lambda o, out, x: (o.polygamma(x, n=1),),
    lower=_digamma,
    sympy=lambda s, x: s.digamma(x),
    magnitude=lambda out, x: np.abs(out) + 4 + np.where(x < 0, np.square(out) * np.abs(x), 0),
    spelling={"numpy": "scipy.special.digamma", "jax": "jax.scipy.special.digamma", "torch": "torch.digamma"},
    domain="not 0, −1, −2, …", intervals=((0, np.inf),),
)


def _polygamma_numpy(x, n):
    from scipy.special import zeta

    x = np.asarray(x)
    if x.dtype == np.longdouble:
        return _polygamma_numpy(x.astype(np.float64), n).astype(np.longdouble)
    right = (-1) ** (n + 1) * math.factorial(n) * zeta(n + 1, np.where(x > 0, x, np.nan))
    if n == 1:
        with np.errstate(all="ignore"):
            reflected = (np.pi / np.sin(np.pi * (x - np.round(x)))) ** 2 - zeta(2, np.where(x <= 0, 1 - x, np.nan))
        right = np.where(x > 0, right, reflected)
    return right


def _polygamma_right(o, x, n):
    """DLMF 5.15.1 and 5.15.8 with the recurrence 5.15.5."""
    sign = (-1.0) ** (n + 1)
    y = x + (_SHIFT + n)
    r = o.reciprocal(y)
    rn = o.pow(r, p=float(n))
    coefficients = [b * math.factorial(2 * k + n - 1) / math.factorial(2 * k) for k, b in enumerate(_BERNOULLI, 1)]
    total = math.factorial(n - 1) * rn + 0.5 * math.factorial(n) * rn * r + rn * _series(o, coefficients, o.square(r))
    for k in range(_SHIFT + n):
        total = total + math.factorial(n) * o.pow(o.reciprocal(x + k), p=float(n + 1))
    return sign * total


def _polygamma(o, x, n):
    if n > 1:
        return o.where(o.less_equal(x, 0), np.nan, _polygamma_right(o, x, n))
    left = o.less(x, 0.5)
    value = _polygamma_right(o, o.where(left, 1 - x, x), 1)
    return o.where(left, o.square(math.pi / o.sin(math.pi * _to_pole(o, x))) - value, value)


define(
    "polygamma", 1, "n-th derivative of digamma, n ≥ 1", _polygamma_numpy, cost="special", params={"n": 1},
    partials=lambda o, out, x, n: (o.polygamma(x, n=n + 1),),
    lower=_polygamma,
    sympy=lambda s, x, n: s.polygamma(n, x),
    magnitude=lambda out, x, n: np.abs(out) * (2 + n) + np.where(x < 0, np.abs(out) ** 1.5 * np.abs(x), 0),
    domain="x > 0 (n = 1: not 0, −1, −2, …)", intervals=((0, np.inf),),
)


def _sigmoid(o, x):
    e = o.exp(-o.abs(x))
    return o.where(o.less(x, 0), e, 1) / (1 + e)


define(
    "sigmoid", 1, "1 / (1 + e⁻ˣ)", _scipy("expit"), aliases=("expit", "logistic"),
    kernel=exponential.sigmoid,
    partials=lambda o, out, x: (out * o.sigmoid(-x),),  # not out·(1 − out), which cancels for large x
    lower=_sigmoid,
    sympy=lambda s, x: s.sigmoid(x),
    spelling={"numpy": "scipy.special.expit", "jax": "jax.nn.sigmoid", "torch": "torch.sigmoid"},
)
define(
    "softplus", 1, "log(1 + eˣ) without overflow", lambda x: np.logaddexp(x, 0),
    kernel=exponential.softplus,
    partials=lambda o, out, x: (o.sigmoid(x),),
    lower=lambda o, x: o.relu(x) + o.log1p(o.exp(-o.abs(x))),
    sympy=lambda s, x: s.softplus(x),
    spelling={"numpy": "numpy.logaddexp({0}, 0)", "jax": "jax.nn.softplus", "torch": "torch.logaddexp({0}, torch.zeros_like({0}))"},
)
