"""Bundle adjustment: the sparse Jacobian of all reprojection and weight errors.

n cameras of 11 numbers (rotation r as angle times axis, centre C, focal length f, principal point u0 v0, radial
distortion k1 k2), m points X in space, p observations: a camera, a point, a weight w and the place in the image where
the point was seen. With Y = X − C,

    Z = R(r) Y,   u = (Z1/Z3, Z2/Z3),   s = |u|²,   error = w (f u (1 + k1 s + k2 s²) + (u0, v0) − seen),   weight
    error = 1 − w²

F = [2p reprojection errors | p weight errors]; its columns are [cameras | points | weights]. Rows 2i and 2i+1 hold 15
stored entries each, row 2p+i one. As the columns of a row stand in that order, the values of the CSR matrix are the
observations' 2×15 blocks one after another, and then the weights' derivatives: no entry has to be moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..array_peers import functions
from . import Numbers

CAMERA, POINT = 11, 3
BLOCK = CAMERA + POINT + 1
#: below this |r|² a turn is Y + r×Y to the last bit, in value and derivative (what is left out is |r| times smaller), and the other
#: formula divides by a square that underflows
STILL = 1e-34


@dataclass(frozen=True, eq=False)
class Scene:
    """cameras (n, 11), points (m, 3), weights (p,), seen (p, 2); observation i is point `of_point[i]` by camera
    `by_camera[i]`.
    """

    cameras: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    seen: np.ndarray
    by_camera: np.ndarray
    of_point: np.ndarray

    @property
    def observations(self) -> int:
        return len(self.weights)

    @property
    def shape(self) -> tuple[int, int]:
        """Of the Jacobian."""
        p = self.observations
        return 3 * p, self.cameras.size + self.points.size + p

    @cached_property
    def pattern(self) -> tuple[np.ndarray, np.ndarray]:
        """(indptr, indices) of the Jacobian in CSR, structural zeros included: 31 entries an observation."""
        p, every = self.observations, np.arange(self.observations)
        indices = np.empty(31 * p, np.int32)
        blocks = indices[: 30 * p].reshape(p, 2, BLOCK)
        blocks[..., :CAMERA] = (CAMERA * self.by_camera[:, None] + np.arange(CAMERA))[:, None]
        start = self.cameras.size
        blocks[..., CAMERA:-1] = (start + POINT * self.of_point[:, None] + np.arange(POINT))[:, None]
        indices[30 * p :] = start + self.points.size + every
        blocks[..., -1] = indices[30 * p :, None]
        indptr = np.concatenate([BLOCK * np.arange(2 * p), BLOCK * 2 * p + np.arange(p + 1)]).astype(np.int32)
        return indptr, indices

    def matrix(self, data: np.ndarray) -> Any:
        """The values of the Jacobian, in the order of the pattern, as a scipy.sparse CSR array (nothing is copied)."""
        from scipy.sparse import csr_array

        indptr, indices = self.pattern
        return csr_array((data, indices, indptr), shape=self.shape)

    def columns(self) -> np.ndarray:
        """(17, p): every observation's camera, point, weight and place in the image."""
        gathered = self.cameras[self.by_camera], self.points[self.of_point], self.weights[:, None], self.seen
        return np.ascontiguousarray(np.concatenate(gathered, 1).T)


def read(path: str | Path) -> Scene:
    """ADBench's file: n m p, and one camera, point, weight and feature, which stand for all. DataError if it is none.

    Observation i is of point i mod m by camera i mod n.
    """
    numbers = Numbers(path)
    n, m, p = numbers.sizes(3)
    camera, point, weight, seen = (numbers.take(k) for k in (CAMERA, POINT, 1, 2))
    numbers.end()
    cameras, points = np.tile(camera, (n, 1)), np.tile(point, (m, 1))
    return Scene(cameras, points, np.tile(weight, p), np.tile(seen, (p, 1)), np.arange(p) % n, np.arange(p) % m)


def generate(n: int, m: int, p: int, seed: int = 0, still: float = 0.05, nearly: float = 0.05) -> Scene:
    """Random cameras near the origin and points in front of them; a share of the cameras does not turn (r = 0),
    another hardly (|r| from 1e-200 to 1e-3)."""
    rng = np.random.default_rng(seed)
    cameras = rng.uniform(-1, 1, (n, CAMERA))
    cameras[:, :3] *= 0.5
    kind = rng.permutation(n)
    resting, slow = kind[: round(still * n)], kind[round(still * n) : round((still + nearly) * n)]
    cameras[slow, :3] *= 10.0 ** rng.uniform(-12, -3, (len(slow), 1))
    cameras[slow[: len(slow) // 3], :3] *= 1e-160
    cameras[resting, :3] = 0
    cameras[:, 3:6] *= 0.2
    cameras[:, 6] = rng.uniform(500, 600, n)
    cameras[:, 9] *= 1e-2
    cameras[:, 10] *= 1e-3
    points = np.column_stack([rng.uniform(-1, 1, (m, 2)), rng.uniform(2, 4, m)])
    weights, seen = rng.uniform(0.5, 1.5, p), rng.uniform(-1, 1, (p, 2))
    return Scene(cameras, points, weights, seen, rng.integers(0, n, p), rng.integers(0, m, p))


# ---- the objective ----------------------------------------------------------------------------------------------------------
def reprojection(xp: Any, columns: Sequence[Any]) -> tuple[Any, Any]:
    """Both components of the weighted error from 17 columns: camera, point, weight, place in the image.

    1 − cos t is written 2 sin²(t/2), or nothing would be left of its derivative at small angles.
    """
    r1, r2, r3, C1, C2, C3, f, u0, v0, k1, k2, X1, X2, X3, w, m1, m2 = columns
    Y1, Y2, Y3 = X1 - C1, X2 - C2, X3 - C3
    squared = r1 * r1 + r2 * r2 + r3 * r3
    turned = xp.greater(squared, STILL)
    # 1, for the branch that is not taken must have finite derivatives in most tools
    angle = xp.sqrt(xp.where(turned, squared, 1.0))
    a1, a2, a3 = r1 / angle, r2 / angle, r3 / angle
    s, c = xp.sin(0.5 * angle), xp.cos(0.5 * angle)
    sine, versine = 2 * s * c, 2 * s * s
    cosine, along = 1 - versine, (a1 * Y1 + a2 * Y2 + a3 * Y3) * versine
    Z1 = xp.where(turned, Y1 * cosine + (a2 * Y3 - a3 * Y2) * sine + a1 * along, Y1 + r2 * Y3 - r3 * Y2)
    Z2 = xp.where(turned, Y2 * cosine + (a3 * Y1 - a1 * Y3) * sine + a2 * along, Y2 + r3 * Y1 - r1 * Y3)
    Z3 = xp.where(turned, Y3 * cosine + (a1 * Y2 - a2 * Y1) * sine + a3 * along, Y3 + r1 * Y2 - r2 * Y1)
    u, v = Z1 / Z3, Z2 / Z3
    q = u * u + v * v
    distortion = 1 + q * (k1 + k2 * q)
    return w * (f * u * distortion + u0 - m1), w * (f * v * distortion + v0 - m2)


def residuals(cameras: Any, points: Any, weights: Any, scene: Scene, xp: Any = None) -> Any:
    """F, of shape (3p,), as a function of all cameras, points and weights: what `dk.jacobian(…, sparse=True)` takes."""
    xp = xp or functions()
    camera, point = cameras[scene.by_camera], points[scene.of_point]
    columns = [*(camera[:, k] for k in range(CAMERA)), *(point[:, k] for k in range(POINT)), weights, *scene.seen.T]
    both = xp.reshape(xp.stack(reprojection(xp, columns), -1), (2 * scene.observations,))
    return xp.concatenate([both, 1 - weights * weights], 0)


# ---- the assembled Jacobian ---------------------------------------------------------------------------------------------------
def block(machine: str = "cpu", engine: str = "reverse") -> Any:
    """The 2×15 Jacobian of one observation by a shift of its [camera | point | weight], a callable over any number of observations.

    By a shift, so that the three may lie apart in memory, while the block is one array.
    """
    import diffkit as dk

    shift, weight = dk.symbol("shift", shape=(BLOCK,)), dk.symbol("weight")
    camera, point, seen = (dk.symbol(n, shape=(k,)) for n, k in (("camera", CAMERA), ("point", POINT), ("seen", 2)))
    columns = [*(camera[k] for k in range(CAMERA)), *(point[k] for k in range(POINT)), weight]
    moved = [x + shift[k] for k, x in enumerate(columns)]
    both = dk.stack(reprojection(functions(), [*moved, seen[0], seen[1]]))
    return dk.jacobian(both, wrt="shift", engine=engine, machine=machine)


class Assembled:
    """The whole Jacobian: pattern and arrays made once, values written in place at every call."""

    def __init__(self, scene: Scene, machine: str = "cpu", engine: str = "reverse") -> None:
        self.scene, p = scene, scene.observations
        self.data, self._shift = np.full(31 * p, 0.0), np.zeros(BLOCK)
        self._camera, self._point = np.full((p, CAMERA), 0.0), np.full((p, POINT), 0.0)
        self.matrix = scene.matrix(self.data)
        self._blocks, self._block = self.data[: 30 * p].reshape(p, 2, BLOCK), block(machine, engine)
        self._in_place = engine != "finite"

    def __call__(self, cameras: np.ndarray, points: np.ndarray, weights: np.ndarray) -> Any:
        """The Jacobian at these cameras (n, 11), points (m, 3) and weights (p,): always the same CSR array, written anew."""
        scene = self.scene
        # "clip" writes without a buffer; no index is out of range
        np.take(cameras, scene.by_camera, 0, out=self._camera, mode="clip")
        np.take(points, scene.of_point, 0, out=self._point, mode="clip")
        given = {
            "shift": self._shift, "camera": self._camera, "point": self._point, "weight": weights, "seen": scene.seen,
        }  # fmt: skip
        if self._in_place:
            self._block(given, out=self._blocks)
        else:
            self._blocks[...] = self._block(given)
        np.multiply(weights, -2.0, out=self.data[30 * scene.observations :])
        return self.matrix


def by_hand(scene: Scene) -> np.ndarray:
    """The values of the Jacobian with each link of the chain derived by hand: the oracle.

    The derivative of a turned vector is −R [Y]ₓ (a aᵀ − sin t/t [a]ₓ² − (1 − cos t)/t [a]ₓ), with t = |r| and a = r/t
    (Gallego and Yezzi 2015, with [a]ₓ³ = −[a]ₓ).
    """
    columns = scene.columns()
    r, Y, X = columns[:3].T, (columns[11:14] - columns[3:6]).T, np.eye(3)
    f, k1, k2, w, centre, seen = columns[6], columns[9], columns[10], columns[14], columns[7:9].T, columns[15:].T
    squared = (r * r).sum(1)
    turned = squared > STILL
    t = np.sqrt(np.where(turned, squared, 1.0))[:, None, None]
    a = r / t[:, 0]
    A = _cross(a)
    sine, versine = np.sin(t), 2 * np.sin(0.5 * t) ** 2
    R = np.where(turned[:, None, None], X + sine * A + versine * (A @ A), X + _cross(r))
    axis = np.where(turned[:, None, None], a[:, :, None] * a[:, None, :] - sine / t * (A @ A) - versine / t * A, X)
    by_r = -np.where(turned[:, None, None], R, X) @ _cross(Y) @ axis
    Z = (R @ Y[:, :, None])[..., 0]
    u = Z[:, :2] / Z[:, 2:]
    s = (u * u).sum(1)
    distortion, slope = 1 + s * (k1 + k2 * s), 2 * (k1 + 2 * k2 * s)
    by_u = (w * f)[:, None, None] * (
        distortion[:, None, None] * np.eye(2) + slope[:, None, None] * u[:, :, None] * u[:, None, :]
    )
    by_Z = by_u @ np.concatenate([np.broadcast_to(np.eye(2), (len(u), 2, 2)), -u[:, :, None]], 2) / Z[:, 2:, None]
    made = np.zeros((len(u), 2, BLOCK))
    made[..., :3], made[..., 3:6], made[..., 11:14] = by_Z @ by_r, -by_Z @ R, by_Z @ R
    made[..., 6] = (w * distortion)[:, None] * u
    made[:, 0, 7] = made[:, 1, 8] = w
    made[..., 9], made[..., 10] = (w * f * s)[:, None] * u, (w * f * s * s)[:, None] * u
    made[..., 14] = (f * distortion)[:, None] * u + centre - seen
    return np.concatenate([made.reshape(-1), -2.0 * scene.weights])


def _cross(v: np.ndarray) -> np.ndarray:
    """[v]ₓ of every row: the matrix whose product with x is v × x."""
    made = np.zeros((len(v), 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        made[:, i, j], made[:, j, i] = -v[:, k], v[:, k]
    return made
