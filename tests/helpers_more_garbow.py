"""Test functions of Moré, Garbow and Hillstrom (ACM Trans. Math. Softw. 7, 1981), by their numbers, as sums of squares.

Each takes a vector of any dtype and NumPy's functions of it, so it is traced by diffkit and runs in SciPy as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """residuals: x (n,) -> a list of numbers or an array. start: (n,). minimum: of the sum of squares; a tuple of several."""

    name: str
    residuals: Callable
    start: list[float]
    minimum: float | tuple[float, ...]

    def __call__(self, x):
        r = self.residuals(x)
        return sum(v * v for v in r) if isinstance(r, list) else (r * r).sum()


def _helical(x):
    # θ by the two-argument arctangent is atan(x2/x1)/2π with 1/2 added for x1 < 0
    theta = np.arctan2(x[1], x[0]) / (2 * np.pi)
    return [10 * (x[2] - 10 * theta), 10 * ((x[0] ** 2 + x[1] ** 2) ** 0.5 - 1), x[2]]


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def _bard(x):
    u = np.arange(1.0, 16.0)
    v = 16 - u
    return _BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


_GAUSS = np.array([9, 44, 175, 540, 1295, 2420, 3521, 3989, 3521, 2420, 1295, 540, 175, 44, 9]) * 1e-4


def _gaussian(x):
    t = (8 - np.arange(1.0, 16.0)) / 2
    return x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2) - _GAUSS


def _box(x):
    t = 0.1 * np.arange(1.0, 11.0)
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


def _wood(x):
    return [
        10 * (x[1] - x[0] ** 2),
        1 - x[0],
        90**0.5 * (x[3] - x[2] ** 2),
        1 - x[2],
        10**0.5 * (x[1] + x[3] - 2),
        10**-0.5 * (x[1] - x[3]),
    ]


_KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
_KOWALIK_U = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def _kowalik(x):
    u = _KOWALIK_U
    return _KOWALIK_Y - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3])


def _brown_dennis(x):
    t = np.arange(1.0, 21.0) / 5
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


def _biggs(x):
    t = 0.1 * np.arange(1.0, 14.0)
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


def _watson(x):
    t = np.arange(1.0, 30.0)[:, None] / 29
    n = x.shape[0]
    j = np.arange(n)
    powers = t**j
    first = (powers[:, :-1] * (j[1:] * x[1:])).sum(axis=1)
    second = (powers * x).sum(axis=1)
    r = first - second**2 - 1
    return [*(r[k] for k in range(29)), x[0], x[1] - x[0] ** 2 - 1]


def _extended_rosenbrock(x):
    return np.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]])


def _extended_powell(x):
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    return np.concatenate([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def _penalty_1(x):
    return np.concatenate([1e-5**0.5 * (x - 1), ((x * x).sum() - 0.25).reshape(1)])


def _variably_dimensioned(x):
    j = np.arange(1.0, x.shape[0] + 1)
    s = (j * (x - 1)).sum()
    return np.concatenate([x - 1, s.reshape(1), (s * s).reshape(1)])


def _trigonometric(x):
    n = x.shape[0]
    return n - np.cos(x).sum() + np.arange(1.0, n + 1) * (1 - np.cos(x)) - np.sin(x)


def _brown_almost_linear(x):
    n = x.shape[0]
    return np.concatenate([x[:-1] + x.sum() - (n + 1), (np.prod(x) - 1).reshape(1)])


def _broyden_tridiagonal(x):
    zero = np.zeros(1)
    before, after = np.concatenate([zero, x[:-1]]), np.concatenate([x[1:], zero])
    return (3 - 2 * x) * x - before - 2 * after + 1


def _chebyquad(x):
    n = x.shape[0]
    before, now, r = 1.0 + 0.0 * x, 2 * x - 1, []
    for i in range(1, n + 1):
        r.append(now.sum() / n + (1.0 / (i * i - 1) if i % 2 == 0 else 0.0))
        before, now = now, 2 * (2 * x - 1) * now - before
    return r


PROBLEMS = [
    Problem("1 Rosenbrock", lambda x: [10 * (x[1] - x[0] ** 2), 1 - x[0]], [-1.2, 1], 0),
    Problem(
        "2 Freudenstein and Roth",
        lambda x: [-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]],
        [0.5, -2],
        (0, 48.98425367924003),
    ),
    Problem("3 Powell badly scaled", lambda x: [1e4 * x[0] * x[1] - 1, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001], [0, 1], 0),
    Problem("4 Brown badly scaled", lambda x: [x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2], [1, 1], 0),
    Problem("5 Beale", lambda x: [y - x[0] * (1 - x[1] ** k) for k, y in ((1, 1.5), (2, 2.25), (3, 2.625))], [1, 1], 0),
    Problem(
        "6 Jennrich and Sampson",
        lambda x: [2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1])) for i in range(1, 11)],
        [0.3, 0.4],
        124.36218235561473896,
    ),
    Problem("7 Helical valley", _helical, [-1, 0, 0], 0),
    Problem("8 Bard", _bard, [1, 1, 1], (8.214877306578963e-3, 17.4286)),
    Problem("9 Gaussian", _gaussian, [0.4, 1, 0], 1.127932769618559e-8),
    Problem("12 Box three-dimensional", _box, [0, 10, 20], 0),
    Problem("13 Powell singular", _extended_powell, [3, -1, 0, 1], 0),
    Problem("14 Wood", _wood, [-3, -1, -3, -1], 0),
    Problem("15 Kowalik and Osborne", _kowalik, [0.25, 0.39, 0.415, 0.39], (3.0750560384924e-4, 1.02734e-3)),
    Problem("16 Brown and Dennis", _brown_dennis, [25, 5, -5, -1], 85822.20162635628),
    Problem("18 Biggs EXP6", _biggs, [1, 2, 1, 1, 1, 1], (0, 5.655649925e-3, 0.30636677)),
    Problem("20 Watson", _watson, [0] * 6, 2.28767005355e-3),
    Problem("21 Extended Rosenbrock", _extended_rosenbrock, [-1.2, 1] * 10, 0),
    Problem("22 Extended Powell", _extended_powell, [3, -1, 0, 1] * 4, 0),
    Problem("23 Penalty I", _penalty_1, [1, 2, 3, 4], 2.24997750e-5),
    Problem("25 Variably dimensioned", _variably_dimensioned, [1 - j / 8 for j in range(1, 9)], 0),
    Problem("26 Trigonometric", _trigonometric, [0.1] * 10, (0, 2.795056e-5)),
    Problem("27 Brown almost-linear", _brown_almost_linear, [0.5] * 10, (0, 1)),
    Problem("30 Broyden tridiagonal", _broyden_tridiagonal, [-1] * 10, 0),
    Problem("35 Chebyquad", _chebyquad, [j / 9 for j in range(1, 9)], 3.516873725677e-3),
]  # fmt: skip
