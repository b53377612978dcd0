"""P2: the Jacobian of bundle adjustment, 2×15 an observation, one hundred thousand random observations, outputs reused.

The reprojection error of ADBench (Srajer, Kukelova and Fitzgibbon 2018): a camera (rotation r as angle times axis, centre C,
focal length f, principal point u0 v0, radial distortion k1 k2), a point X, a weight w and a measured feature. Derivatives of both
errors by the camera's 11 numbers, the point's 3 and the weight. Without rotation (r·r = 0) the rotation's formula is 0/0 and its
linear part takes its place; every thousandth observation is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .harness import Bench, Contestant, Run, ratio
from .peers import Problem, column_contestants, own

TITLE = "Bundle adjustment: Jacobian 2×15"
POINTS = {"tiny": 2_000, "full": 100_000}
NAMES = ("r1", "r2", "r3", "C1", "C2", "C3", "f", "u0", "v0", "k1", "k2", "X1", "X2", "X3", "w", "m1", "m2")
#: one without rotation among so many observations
UNROTATED = 1000


def reprojection_error(m: Any, *columns: Any) -> tuple[Any, Any]:
    """Both components, in the functions of any tool (peers.py); the last two columns are the measured feature."""
    r1, r2, r3, C1, C2, C3, f, u0, v0, k1, k2, X1, X2, X3, w, m1, m2 = columns
    Y1, Y2, Y3 = X1 - C1, X2 - C2, X3 - C3
    squared = r1 * r1 + r2 * r2 + r3 * r3
    rotated = m.greater(squared, 0.0)
    # 1, since in most tools the branch that is not taken must have finite derivatives all the same
    angle = m.sqrt(m.where(rotated, squared, 1.0))
    a1, a2, a3 = r1 / angle, r2 / angle, r3 / angle
    c, s = m.cos(angle), m.sin(angle)
    along = (a1 * Y1 + a2 * Y2 + a3 * Y3) * (1 - c)
    Z1 = m.where(rotated, Y1 * c + (a2 * Y3 - a3 * Y2) * s + a1 * along, Y1 + r2 * Y3 - r3 * Y2)
    Z2 = m.where(rotated, Y2 * c + (a3 * Y1 - a1 * Y3) * s + a2 * along, Y2 + r3 * Y1 - r1 * Y3)
    Z3 = m.where(rotated, Y3 * c + (a1 * Y2 - a2 * Y1) * s + a3 * along, Y3 + r1 * Y2 - r2 * Y1)
    u, v = Z1 / Z3, Z2 / Z3
    q = u * u + v * v
    distortion = 1 + q * (k1 + k2 * q)
    return w * (f * u * distortion + u0 - m1), w * (f * v * distortion + v0 - m2)


def by_hand(*columns: np.ndarray) -> list[np.ndarray]:
    """The 30 derivatives by the chain rule, each link derived by hand: the reference, and NumPy's contestant."""
    r, C, X, feature = columns[:3], columns[3:6], columns[11:14], columns[15:]
    f, u0, v0, k1, k2, w = *columns[6:11], columns[14]
    Z, dr, dX = _rotated(r, [x - c for x, c in zip(X, C, strict=True)])
    u, v = Z[0] / Z[2], Z[1] / Z[2]
    q = u * u + v * v
    distortion, slope = 1 + q * (k1 + k2 * q), 2 * (k1 + 2 * k2 * q)
    rows = []
    for image, other, at, centre, measured in ((u, v, 0, u0, feature[0]), (v, u, 1, v0, feature[1])):
        by_image, by_other = w * f * (distortion + image * image * slope), w * f * image * other * slope
        by_Z: list[Any] = [None, None, -(by_image * image + by_other * other) / Z[2]]
        by_Z[at], by_Z[1 - at] = by_image / Z[2], by_other / Z[2]
        by_r = [sum(g * d for g, d in zip(by_Z, column, strict=True)) for column in dr]
        by_X = [sum(g * d for g, d in zip(by_Z, column, strict=True)) for column in dX]
        by_centre = [w * (at == 0), w * (at == 1)]
        by_k = [w * f * image * q, w * f * image * q * q]
        rows += [*by_r, *(-g for g in by_X), w * image * distortion, *by_centre, *by_k, *by_X]
        rows.append(f * image * distortion + centre - measured)
    return rows


def _rotated(r: Any, Y: Any) -> tuple[list[Any], list[list[Any]], list[list[Any]]]:
    """Z = R(r) Y by Rodrigues' formula, its derivatives by every r_j and by every Y_j, component by component."""
    squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    still = squared == 0
    angle = np.sqrt(np.where(still, 1.0, squared))
    a = [x / angle for x in r]
    c, s = np.where(still, 1.0, np.cos(angle)), np.where(still, 0.0, np.sin(angle))
    sinc, cosc = np.where(still, 1.0, s / angle), (1 - c) / angle
    along, turned = a[0] * Y[0] + a[1] * Y[1] + a[2] * Y[2], _cross(a, Y)
    Z = [y * c + t * s + x * along * (1 - c) for y, t, x in zip(Y, turned, a, strict=True)]
    by_r, by_Y = [], []
    for j in range(3):
        unit = [float(i == j) for i in range(3)]
        across = [e - a[j] * x for e, x in zip(unit, a, strict=True)]  # times 1/angle, the derivative of the axis
        moved = _cross(across, Y)
        by_r.append(
            [
                a[j] * (turned[i] * c - Y[i] * s + a[i] * along * s)
                + sinc * moved[i]
                + cosc * (across[i] * along + a[i] * (Y[j] - a[j] * along))
                for i in range(3)
            ]
        )
        aside = _cross(a, unit)
        by_Y.append([unit[i] * c + aside[i] * s + a[i] * a[j] * (1 - c) for i in range(3)])
    return Z, by_r, by_Y


def _cross(x: Any, y: Any) -> list[Any]:
    return [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]


def observations(count: int, seed: int = 0) -> np.ndarray:
    """(17, count): cameras near the origin, points a few units in front of them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (len(NAMES), count))
    x[:3] *= 0.5
    x[:3, ::UNROTATED] = 0
    x[3:6] *= 0.2
    x[6] = rng.uniform(500, 600, count)
    x[9] *= 1e-2
    x[10] *= 1e-3
    x[13] = rng.uniform(2, 4, count)
    x[14] = rng.uniform(0.5, 1.5, count)
    return x


def stacked_contestants(p: Problem) -> list[Contestant]:
    """diffkit's public call: the Jacobian of a vector of two, whose blocks are arrays (points, 2)."""

    def build() -> Run:
        import diffkit as dk

        call = dk.jacobian(dk.stack(p.function(dk, *dk.symbols(" ".join(NAMES)))), wrt=NAMES[: p.wrt])
        given = dict(zip(NAMES, p.inputs, strict=True))
        out = {n: np.zeros((p.points, 2)) for n in call.wrt}

        def run() -> Any:
            call(given, out=out)
            return [out[n][:, k] for k in range(2) for n in NAMES[: p.wrt]]

        return run

    return own(build, "dk.jacobian of both errors stacked, arrays given", [("fused", None)], ", dk.jacobian")


def run(bench: Bench) -> None:
    p = Problem(
        reprojection_error, observations(POINTS[bench.size]), NAMES, outputs=2, wrt=len(NAMES) - 2, values=False
    )
    contestants = [*column_contestants(p, by_hand, tiny=bench.tiny), *stacked_contestants(p)]
    table = bench.table(TITLE, contestants, by_hand(*p.inputs), work=p.points, per="observation")
    best = table.best(lambda r: r.own and r.name != "diffkit, fused, 1 thread")
    bench.claim("diffkit ÷ best peer", ratio(best, table.best()), 1.0)
