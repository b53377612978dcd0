"""Problems of Moré, Garbow and Hillstrom: sums of squares of residuals, with the paper's starts and minima.

Where the paper gives a minimum to six digits, the ones here have been found again to double precision. Numbers in sources are the
paper's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .problems import Facts, even, listed, squares

_PAPER = "Moré, Garbow and Hillstrom, ACM Trans. Math. Softw. 7 (1981)"

#: (minimum, minimiser …) where they are no round numbers
BARD = (8.214877306578979e-3, 0.08241055974978896, 1.1330360920297222, 2.3436951786425366)
BROWN_DENNIS = (85822.20162635634, -11.594439904762165, 13.203630051207202, -0.4034394881768595, 0.2367787744557362)
CHEBYQUAD = (
    3.516873725677926e-3, 0.04315276015101663, 0.19309084038418609, 0.26632870689027294, 0.5,
    0.5, 0.7336712931097271, 0.8069091596158139, 0.9568472398489833,
)  # fmt: skip
GAUSSIAN = (1.1279327696186557e-8, 0.3989561378387567, 1.0000190844878059, 0.0)
JENNRICH_SAMPSON = (124.36218235561481, 0.2578252136703641, 0.2578252136703641)
KOWALIK = (
    3.0750560384923747e-4, 0.19280693457903794, 0.19128232873436618, 0.12305650692632097, 0.13606233068379445
)  # fmt: skip
PENALTY = (2.2499775008999375e-5, 0.2500074995875379, 0.2500074995875379, 0.2500074995875379, 0.2500074995875379)
WATSON = (
    2.287670053552350e-3, -0.015725086401458494, 1.0124348693691096, -0.23299162595673387,
    1.2604300877995942, -1.5137289227222608, 0.992996432431126,
)  # fmt: skip
#: minimisers where every residual is zero
BROYDEN = (
    -0.5707221320112247, -0.6818069499842749, -0.7022100760176601, -0.7055106298950804, -0.7049061557287436,
    -0.7014966070298512, -0.6918893223547983, -0.6657965144058537, -0.5960351090263658, -0.4164122575286934,
)  # fmt: skip
POWELL_BADLY_SCALED = (1.0981593296997999e-5, 9.10614673986667)


@listed("Rosenbrock’s valley", "Σ 100(x₂ − x₁²)² + (1 − x₁)², over pairs", f"{_PAPER}, 1 and 21")
def rosenbrock(n: int = 2) -> Facts:
    start = [-1.2, 1.0] * (even(n) // 2)
    window = ((-2.0, 2.0), (-1.0, 3.0)) if n == 2 else None
    if n == 2:
        return squares(lambda x: [10 * (x[1] - x[0] ** 2), 1 - x[0]], start, 0.0, [np.ones(n)], window)
    return squares(lambda x: np.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]]), start, 0.0, [np.ones(n)])


@listed("Freudenstein and Roth", "two cubics; a second minimum, 48.98 at (11.41, −0.8968)", f"{_PAPER}, 2")
def freudenstein_roth() -> Facts:
    return squares(
        lambda x: [-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]],
        [0.5, -2],
        0.0,
        [(5, 4)],
        ((-4.0, 16.0), (-4.0, 6.0)),
    )


@listed("Powell, badly scaled", "(10⁴xy − 1)² + (e⁻ˣ + e⁻ʸ − 1.0001)²", f"{_PAPER}, 3")
def powell_badly_scaled() -> Facts:
    return squares(
        lambda x: [1e4 * x[0] * x[1] - 1, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001],
        [0, 1],
        0.0,
        [POWELL_BADLY_SCALED],
        ((-1e-4, 2e-4), (0.0, 10.0)),
    )


@listed("Brown, badly scaled", "(x − 10⁶)² + (y − 2·10⁻⁶)² + (xy − 2)²", f"{_PAPER}, 4")
def brown_badly_scaled() -> Facts:
    return squares(lambda x: [x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2], [1, 1], 0.0, [(1e6, 2e-6)])


@listed("Beale’s function", "Σ (yᵢ − x(1 − yⁱ))², i = 1, 2, 3", f"{_PAPER}, 5")
def beale() -> Facts:
    return squares(
        lambda x: [y - x[0] * (1 - x[1] ** k) for k, y in ((1, 1.5), (2, 2.25), (3, 2.625))],
        [1, 1],
        0.0,
        [(3, 0.5)],
        ((-1.0, 4.5), (-1.5, 1.5)),
    )


@listed("Jennrich and Sampson", "Σ (2 + 2i − e^(ix) − e^(iy))², i = 1 … 10", f"{_PAPER}, 6")
def jennrich_sampson() -> Facts:
    return squares(
        lambda x: [2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1])) for i in range(1, 11)],
        [0.3, 0.4],
        JENNRICH_SAMPSON[0],
        [JENNRICH_SAMPSON[1:]],
        ((0.0, 0.45), (0.0, 0.45)),
    )


@listed("Helical valley", "100(z − 10θ)² + 100(√(x² + y²) − 1)² + z², 2πθ the angle of (x, y)", f"{_PAPER}, 7")
def helical_valley() -> Facts:
    def residuals(x: Any) -> Any:
        # the paper's angle is this one wherever x > 0; where x < 0 it is atan(y/x) + π, and both agree for y ≥ 0
        theta = np.arctan2(x[1], x[0]) / (2 * np.pi)
        return [10 * (x[2] - 10 * theta), 10 * ((x[0] ** 2 + x[1] ** 2) ** 0.5 - 1), x[2]]

    return squares(residuals, [-1, 0, 0], 0.0, [(1, 0, 0)])


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


@listed("Bard", "Σ (yᵢ − x₁ − u/(v·x₂ + w·x₃))², 15 measurements", f"{_PAPER}, 8")
def bard() -> Facts:
    u = np.arange(1.0, 16.0)
    v = 16 - u
    w = np.minimum(u, v)
    return squares(lambda x: _BARD - (x[0] + u / (v * x[1] + w * x[2])), [1, 1, 1], BARD[0], [BARD[1:]])


_GAUSS = np.array([9, 44, 175, 540, 1295, 2420, 3521, 3989, 3521, 2420, 1295, 540, 175, 44, 9]) * 1e-4


@listed("Gaussian", "Σ (x₁·exp(−½x₂(tᵢ − x₃)²) − yᵢ)², 15 measurements", f"{_PAPER}, 9")
def gaussian() -> Facts:
    t = (8 - np.arange(1.0, 16.0)) / 2
    return squares(
        lambda x: x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2) - _GAUSS, [0.4, 1, 0], GAUSSIAN[0], [GAUSSIAN[1:]]
    )


@listed("Box, three-dimensional", "Σ (e^(−tx) − e^(−ty) − z(e⁻ᵗ − e^(−10t)))², t = 0.1 … 1", f"{_PAPER}, 12")
def box() -> Facts:
    t = 0.1 * np.arange(1.0, 11.0)
    return squares(
        lambda x: np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t)),
        [0, 10, 20],
        0.0,
        [(1, 10, 1), (10, 1, -1)],
    )


@listed(
    "Powell, singular", "(x₁ + 10x₂)² + 5(x₃ − x₄)² + (x₂ − 2x₃)⁴ + 10(x₁ − x₄)⁴, over fours", f"{_PAPER}, 13 and 22"
)
def powell_singular(n: int = 4) -> Facts:
    def residuals(x: Any) -> Any:
        a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
        return np.concatenate([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])

    return squares(residuals, [3, -1, 0, 1] * (even(n, 4) // 4), 0.0, [np.zeros(n)])


@listed("Wood", "two valleys of Rosenbrock’s kind, tied together", f"{_PAPER}, 14")
def wood() -> Facts:
    return squares(
        lambda x: [
            10 * (x[1] - x[0] ** 2),
            1 - x[0],
            90**0.5 * (x[3] - x[2] ** 2),
            1 - x[2],
            10**0.5 * (x[1] + x[3] - 2),
            10**-0.5 * (x[1] - x[3]),
        ],
        [-3, -1, -3, -1],
        0.0,
        [np.ones(4)],
    )


_KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
_KOWALIK_U = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


@listed("Kowalik and Osborne", "Σ (yᵢ − x₁(u² + ux₂)/(u² + ux₃ + x₄))², 11 measurements", f"{_PAPER}, 15")
def kowalik_osborne() -> Facts:
    u = _KOWALIK_U
    return squares(
        lambda x: _KOWALIK_Y - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3]),
        [0.25, 0.39, 0.415, 0.39],
        KOWALIK[0],
        [KOWALIK[1:]],
    )


@listed("Brown and Dennis", "Σ ((x₁ + tx₂ − eᵗ)² + (x₃ + x₄·sin t − cos t)²)², t = 0.2 … 4", f"{_PAPER}, 16")
def brown_dennis() -> Facts:
    t = np.arange(1.0, 21.0) / 5
    return squares(
        lambda x: (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2,
        [25, 5, -5, -1],
        BROWN_DENNIS[0],
        [BROWN_DENNIS[1:]],
    )


@listed("Biggs EXP6", "Σ (x₃e^(−tx₁) − x₄e^(−tx₂) + x₆e^(−tx₅) − yᵢ)², t = 0.1 … 1.3", f"{_PAPER}, 18")
def biggs_exp6() -> Facts:
    t = 0.1 * np.arange(1.0, 14.0)
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    return squares(
        lambda x: x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y,
        [1, 2, 1, 1, 1, 1],
        0.0,
        [(1, 10, 1, 5, 4, 3)],
    )


@listed("Watson", "residuals of a differential equation, solved by a polynomial of degree n − 1", f"{_PAPER}, 20")
def watson() -> Facts:
    t = np.arange(1.0, 30.0)[:, None] / 29
    j = np.arange(6)
    powers = t**j

    def residuals(x: Any) -> Any:
        first = (powers[:, :-1] * (j[1:] * x[1:])).sum(axis=1)
        second = (powers * x).sum(axis=1)
        return np.concatenate([first - second**2 - 1, x[:1], (x[1] - x[0] ** 2 - 1).reshape(1)])

    return squares(residuals, np.zeros(6), WATSON[0], [WATSON[1:]])


@listed("Penalty I", "10⁻⁵ Σ (xᵢ − 1)² + (Σ xᵢ² − ¼)²", f"{_PAPER}, 23")
def penalty() -> Facts:
    return squares(
        lambda x: np.concatenate([1e-5**0.5 * (x - 1), ((x * x).sum() - 0.25).reshape(1)]),
        [1, 2, 3, 4],
        PENALTY[0],
        [PENALTY[1:]],
    )


@listed("Variably dimensioned", "Σ (xᵢ − 1)² + s² + s⁴, s = Σ i(xᵢ − 1)", f"{_PAPER}, 25")
def variably_dimensioned(n: int = 8) -> Facts:
    even(n, 1)
    j = np.arange(1.0, n + 1)

    def residuals(x: Any) -> Any:
        s = (j * (x - 1)).sum()
        return np.concatenate([x - 1, s.reshape(1), (s * s).reshape(1)])

    return squares(residuals, 1 - j / n, 0.0, [np.ones(n)])


@listed(
    "Trigonometric",
    "Σ (n − Σ cos xⱼ + i(1 − cos xᵢ) − sin xᵢ)²; a second minimum, 2.795·10⁻⁵, for n = 10",
    f"{_PAPER}, 26",
)
def trigonometric(n: int = 10) -> Facts:
    j = np.arange(1.0, even(n, 1) + 1)
    # at the origin every residual is zero
    return squares(
        lambda x: n - np.cos(x).sum() + j * (1 - np.cos(x)) - np.sin(x), np.full(n, 1 / n), 0.0, [np.zeros(n)]
    )


@listed("Brown, almost linear", "xᵢ + Σ xⱼ − (n + 1), and Π xⱼ − 1; a second minimum, 1", f"{_PAPER}, 27")
def brown_almost_linear(n: int = 10) -> Facts:
    even(n, 1)
    return squares(
        lambda x: np.concatenate([x[:-1] + x.sum() - (n + 1), (np.prod(x) - 1).reshape(1)]),
        np.full(n, 0.5),
        0.0,
        [np.ones(n)],
    )


@listed("Broyden, tridiagonal", "Σ ((3 − 2xᵢ)xᵢ − xᵢ₋₁ − 2xᵢ₊₁ + 1)²", f"{_PAPER}, 30")
def broyden_tridiagonal() -> Facts:
    def residuals(x: Any) -> Any:
        zero = np.zeros(1)
        before, after = np.concatenate([zero, x[:-1]]), np.concatenate([x[1:], zero])
        return (3 - 2 * x) * x - before - 2 * after + 1

    return squares(residuals, np.full(10, -1.0), 0.0, [BROYDEN])


@listed(
    "Chebyquad", "quadrature with equal weights: what Chebyshev’s polynomials’ means are off by, n = 8", f"{_PAPER}, 35"
)
def chebyquad() -> Facts:
    n = 8

    def residuals(x: Any) -> Any:
        before, now, r = 1.0 + 0.0 * x, 2 * x - 1, []
        for i in range(1, n + 1):
            r.append(now.sum() / n + (1.0 / (i * i - 1) if i % 2 == 0 else 0.0))
            before, now = now, 2 * (2 * x - 1) * now - before
        return r

    return squares(residuals, np.arange(1, n + 1) / (n + 1), CHEBYQUAD[0], [CHEBYQUAD[1:]])
