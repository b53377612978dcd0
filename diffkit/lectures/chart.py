"""What a row draws and lists, as plain data: `report/charts.py` makes pictures of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Line:
    """A curve or points: x and y of shape (n,); where either is not finite the curve is broken.

    kind: "line"; "dashed"; "dots"; "both", a line with dots; "theory", what is held against the others, dashed and without a
    colour of its own. colour: a number from 0, the next free one if None; lines that belong together may share one.
    """

    x: Any
    y: Any
    label: str = ""
    kind: str = "line"
    colour: int | None = None

    @classmethod
    def through(cls, points: Any, label: str = "", kind: str = "line", colour: int | None = None) -> Line:
        """Through points of the plane, shape (n, 2): the path of an optimiser."""
        x, y = np.asarray(points, float).T
        return cls(x, y, label, kind, colour)


@dataclass(frozen=True)
class Mark:
    """A point with a few words beside it. kind: "star" or "cross"."""

    x: float
    y: float
    label: str = ""
    kind: str = "star"


@dataclass(frozen=True)
class Landscape:
    """A function of two variables on a grid, drawn as level lines. x: (n,). y: (m,). z: (m, n)."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    levels: np.ndarray


@dataclass(frozen=True)
class Chart:
    """Axes with titles, and what lies on them. log: which axes are logarithmic, "", "x", "y" or "xy"."""

    title: str
    x: str
    y: str
    lines: Sequence[Line] = ()
    log: str = ""
    caption: str = ""
    landscape: Landscape | None = None
    marks: Sequence[Mark] = ()
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Table:
    """columns: titles; rows: texts and numbers, the first of each row its name. words: columns that are text (left-aligned)."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    words: frozenset[int] = frozenset()

    @classmethod
    def of_trace(cls, trace: Any, caption: str = "") -> list[Table]:
        """The tables of a `dk.trace_table`: one of forward mode; of reverse mode the values, and the adjoints."""
        found = []
        for grid in trace.grids():
            words = frozenset(range(len(grid.headings))) - grid.numbers
            found.append(
                cls(grid.title, list(map(str, grid.headings)), [list(map(str, r)) for r in grid.rows], caption, words)
            )
        return found


def landscape(
    f: Callable[[Any], Any], x: tuple[float, float], y: tuple[float, float], size: int = 81, levels: int = 12
) -> Landscape:
    """Of a function of an array of two entries, which works element by element on (x, y) grids of any shape.

    Levels lie closer together where the function is low: their distances from the lowest value grow like powers.
    """
    across, up = np.linspace(*x, size), np.linspace(*y, size)
    z = np.asarray(f(np.array(np.meshgrid(across, up))), float)
    low, high = np.nanmin(z), np.nanmax(z)
    return Landscape(across, up, z, low + (high - low) * np.linspace(0, 1, levels + 2)[1:-1] ** 3)
