"""The plane that a race's paths are shown in, and the levels of the function there.

Two variables are a plane by themselves; of more, the plane through the winner's end along the first two principal directions of the
paths is shown (Li, Xu, Taylor, Studer and Goldstein, NeurIPS 2018, section 7).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..optim.objective import Objective
from ..optim.racing.result import RaceResult
from .svg import num

#: points a side: of two variables, of more; and levels
POINTS, FEWER, LEVELS = 121, 61, 14
#: iterates of a run that principal directions are taken of
SAMPLE = 100


@dataclass(frozen=True)
class Plane:
    """origin: (n,). directions: (2, n), orthonormal. share: of the paths' variance that lies in the plane."""

    origin: np.ndarray
    directions: np.ndarray
    share: float = 1.0

    def within(self, points: np.ndarray) -> np.ndarray:
        """(k, n) -> (k, 2)."""
        return (points - self.origin) @ self.directions.T


@dataclass(frozen=True)
class Landscape:
    """x: (m,). y: (m,). z: (m, m), f − f* with rows along y. levels: ascending. names: of the axes."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    levels: np.ndarray
    plane: Plane
    names: tuple[str, str]

    def axes(self, left: float, right: float, bottom: float, top: float) -> tuple[Any, Any]:
        from .charts import Linear

        return (
            Linear(float(self.x[0]), float(self.x[-1]), left, right),
            Linear(float(self.y[0]), float(self.y[-1]), bottom, top),
        )

    def paths(self, x: Any, y: Any) -> Iterator[str]:
        """Of each level the region below it, as an SVG path whose holes are told by even and odd; the largest first."""
        from contourpy import FillType, contour_generator

        lines: Any = contour_generator(self.x, self.y, self.z, fill_type=FillType.OuterOffset)
        for level in self.levels[::-1]:
            pieces = []
            # below everything that there is
            points, offsets = lines.filled(float(self.z.min()) - 1.0, float(level))
            for outline, ends in zip(points, offsets, strict=True):
                for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                    ring = outline[a : b - 1 : 1 + (b - a) // 200]
                    pieces.append("M" + " ".join(f"{num(x(p))} {num(y(q))}" for p, q in ring.tolist()) + "z")
            if pieces:
                yield "".join(pieces)


def landscape(result: RaceResult) -> Landscape | None:
    """None of one variable, and where the paths or the values span no plane."""
    p = result.problem
    plane = Plane(np.zeros(2), np.eye(2)) if p.dimension == 2 else _principal(result)
    if plane is None:
        return None
    window = _window(result, plane)
    x, y = (np.linspace(low, high, POINTS if p.dimension == 2 else FEWER) for low, high in window)
    value = Objective(p.function, p.start).value
    with np.errstate(all="ignore"):
        z = (
            np.array([[value(plane.origin + np.array([a, b]) @ plane.directions) for a in x] for b in y])
            - result.minimum
        )
    finite = z[np.isfinite(z)]
    if finite.size < z.size / 2 or finite.max() <= max(finite.min(), 0.0):
        return None
    z = np.where(np.isfinite(z), z, finite.max())
    low, high = max(float(np.quantile(z, 0.002)), 1e-6 * float(z.max())), float(np.quantile(z, 0.97))
    levels = np.geomspace(low, high, LEVELS) if 0 < low < high else np.linspace(z.min(), high, LEVELS)[1:]
    names = p.variables if p.dimension == 2 else ("first direction", "second")
    return Landscape(x, y, z, levels, plane, (names[0], names[1]))


def _paths(result: RaceResult) -> list[np.ndarray]:
    """Iterates of the runs that did not diverge."""
    return [e.shown.points for e in result.entrants if e.state != "diverged"]


def _principal(result: RaceResult) -> Plane | None:
    paths = _paths(result)
    if not paths or result.problem.dimension < 2:
        return None
    origin = paths[0][-1]
    # as many iterates of every run, so that each has the same weight
    cloud = np.concatenate([q[np.linspace(0, len(q) - 1, SAMPLE).round().astype(int)] for q in paths]) - origin
    _, sizes, directions = np.linalg.svd(cloud, full_matrices=False)
    if not sizes[1] > 1e-12 * sizes[0]:
        return None
    return Plane(origin, directions[:2], float((sizes[:2] ** 2).sum() / (sizes**2).sum()))


def _window(result: RaceResult, plane: Plane) -> Any:
    """The problem's, widened to its start; else what the runs that did not diverge go through."""
    p = result.problem
    marks = [plane.within(p.start[None])]
    if p.window is not None:
        corners = np.array(p.window).T
        if ((corners[0] <= p.start) & (p.start <= corners[1])).all():
            return p.window
        marks.append(corners)
    else:
        marks += [plane.within(q) for q in _paths(result)]
        if p.dimension == 2:
            marks += [m[None] for m in p.minimisers]
    cloud = np.concatenate(marks)
    least, most = cloud.min(axis=0), cloud.max(axis=0)
    room = 0.12 * np.maximum(most - least, 1e-3 * np.maximum(np.abs(most), 1e-6))
    return tuple(zip((least - room).tolist(), (most + room).tolist(), strict=True))
