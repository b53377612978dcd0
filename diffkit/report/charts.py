"""A chart of the lectures as SVG: linear and logarithmic axes, curves, points and level lines in the page's own colours.

The legend is HTML beside the picture, so that it covers nothing; whatever leaves the axes is clipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from markupsafe import Markup

from ..lectures.chart import Chart, Landscape, Line
from .svg import _SUPERSCRIPTS, Figure, Log, num

WIDTH, HEIGHT = 420, 286
LEFT, RIGHT, TOP, BOTTOM = 52, 408, 26, 246
#: points that a curve of this width can show
MOST_POINTS = 400
COLOURS = 8
_POWER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)\b")
_MINUS = re.compile(r"(?<![\w⁻])-(?=\d)")
_STAR = "M0-6 1.6-1.9 6-1.9 2.5.8 3.8 5 0 2.4-3.8 5-2.5.8-6-1.9-1.6-1.9z"
_CROSS = "M-4-4 4 4M-4 4 4-4"


class Linear:
    """An axis from low to high over the pixels start … end."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        at = self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
        return min(max(at, -5000.0), 5000.0)

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        """Multiples of 1, 2 or 5 times a power of ten, with as many digits as tell them apart."""
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        largest = max(abs(first), abs(last)) * step
        if largest >= 1e5 or largest < 1e-3:
            return [(k * step, f"{k * step:.3g}".replace("-", "−")) for k in range(first, last + 1)]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(k * step, f"{k * step:.{digits}f}".replace("-", "−")) for k in range(first, last + 1)]


def chart_svg(chart: Chart) -> Markup:
    """The picture."""
    figure = Figure(WIDTH, HEIGHT, f"{chart.title}: {chart.y} against {chart.x}")
    land, lines, marks = chart.landscape, chart.lines, chart.marks
    x = _axis(
        [*(c.x for c in lines), [m.x for m in marks]], "x" in chart.log, chart.x_range, land and land.x, LEFT, RIGHT
    )
    y = _axis(
        [*(c.y for c in lines), [m.y for m in marks]], "y" in chart.log, chart.y_range, land and land.y, BOTTOM, TOP
    )
    figure.x_axis(x, TOP, BOTTOM, chart.x)
    figure.y_axis(y, LEFT, RIGHT, chart.y)
    figure.parts.append(
        f'<svg x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}" '
        f'viewBox="{LEFT} {TOP} {RIGHT - LEFT} {BOTTOM - TOP}" overflow="hidden">'
    )
    if chart.landscape is not None:
        _levels(figure, chart.landscape, x, y)
    for line, colour in zip(chart.lines, colours(chart.lines), strict=True):
        _line(figure, line, colour, x, y, "x" in chart.log)
    figure.parts.append("</svg>")
    for mark in chart.marks:
        at = x(mark.x), y(mark.y)
        shape, kind = (_STAR, "star") if mark.kind == "star" else (_CROSS, "cross")
        figure.parts.append(f'<path class="mark {kind}" d="{shape}" transform="translate({num(at[0])} {num(at[1])})"/>')
        if mark.label:
            room = 16 + 6 * len(mark.label)
            right = at[0] < LEFT + room or (LEFT + RIGHT) / 2 < at[0] < RIGHT - room  # away from the middle
            figure.text(at[0] + (8 if right else -8), at[1] - 6, mark.label, "halo" if right else "halo end")
    return Markup(str(figure))


def legend(chart: Chart) -> Markup:
    """The names of the curves, each with a sample; empty where there are none."""
    parts = []
    for line, colour in zip(chart.lines, colours(chart.lines), strict=True):
        if line.label:
            parts.append(
                f'<span><svg viewBox="0 0 22 10" aria-hidden="true">{_sample(line, colour)}</svg>{escape(prose(line.label))}</span>'
            )
    return Markup(f'<div class="legend fig">{"".join(parts)}</div>' if parts else "")


def prose(text: str) -> str:
    """Numbers as people write them: 3e-16 is 3·10⁻¹⁶, 8.8e-01 is 0.88, agreement to 0e+00 is exact, a minus no hyphen."""
    text = text.replace("to 0e+00", "exactly")
    return _MINUS.sub("−", _POWER.sub(lambda m: _written(m[1], int(m[2])), text))


def _written(mantissa: str, power: int) -> str:
    if float(mantissa) == 0:
        return "0"
    if -3 <= power <= 2:
        digits = max(len(mantissa.replace(".", "")), power + 1)
        return f"{float(mantissa) * 10.0**power:.{digits}g}"
    return f"{mantissa}·10{str(power).translate(_SUPERSCRIPTS)}".removeprefix("1·")


def colours(lines: Sequence[Line]) -> list[int]:
    """A number for each curve: its own, or the next that is free."""
    free = [c for c in range(COLOURS) if c not in {line.colour for line in lines}]
    found, taken = [], 0
    for line in lines:
        if line.colour is not None:
            found.append(line.colour % COLOURS)
        elif line.kind == "theory" or not free:
            found.append(0)
        else:
            found.append(free[taken % len(free)])
            taken += 1
    return found


def _class(line: Line, colour: int) -> str:
    return "theory" if line.kind == "theory" else f"s{colour} dashes" if line.kind == "dashed" else f"s{colour}"


def _sample(line: Line, colour: int) -> str:
    name = _class(line, colour)
    dot = f'<circle class="{name}" cx="11" cy="5" r="3"/>'
    stroke = f'<path class="{name}" d="M1 5H21"/>'
    return dot if line.kind == "dots" else stroke + dot if line.kind == "both" else stroke


def _axis(
    series: list[Any], log: bool, given: tuple[float, float] | None, grid: Any, start: float, end: float
) -> Any:  # fmt: skip
    """An axis with room for everything that is finite (and positive, where it is logarithmic)."""
    if given is None and grid is not None:
        given = float(grid[0]), float(grid[-1])
    values = np.concatenate([np.asarray(s, float).ravel() for s in series]) if given is None else np.asarray(given)
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 10.0)
    if log:
        low, high = math.log10(low), math.log10(high)
    if given is None:
        room = 0.04 * (high - low) or (0.5 if log else 0.05 * abs(high) or 1.0)
        low, high = low - room, high + room
    return (Log if log else Linear)(low, high, start, end)


def _line(figure: Figure, line: Line, colour: int, x: Any, y: Any, log_x: bool) -> None:
    across, up = np.broadcast_arrays(np.asarray(line.x, float), np.asarray(line.y, float))
    keep = _shown(len(across), log_x and line.kind != "dots")
    name = _class(line, colour)
    bad_x, bad_y = (lambda v, a: not math.isfinite(v) or (isinstance(a, Log) and v <= 0),) * 2
    run: list[tuple[float, float]] = []
    dots: list[tuple[float, float]] = []
    for a, b in zip(across[keep].tolist(), up[keep].tolist(), strict=True):
        if bad_x(a, x) or bad_y(b, y):
            figure.polyline(run, name)
            run = []
            continue
        run.append((_at(x, a), _at(y, b)))
        dots.append(run[-1])
    if line.kind != "dots":
        figure.polyline(run, name)
    if line.kind in ("dots", "both"):
        figure.parts += [f'<circle class="{name}" cx="{num(a)}" cy="{num(b)}" r="2.6"/>' for a, b in dots]


def _at(axis: Any, value: float) -> float:
    """A pixel; of a logarithmic axis also beyond its ends, where the picture is clipped."""
    if isinstance(axis, Log):
        at = axis.start + (math.log10(value) - axis.low) / (axis.high - axis.low) * (axis.end - axis.start)
        return min(max(at, -5000.0), 5000.0)
    return axis(value)


def _shown(n: int, log: bool) -> np.ndarray:
    """Which of n points are drawn."""
    if n <= MOST_POINTS:
        return np.arange(n)
    spaced = np.geomspace(1, n, MOST_POINTS) - 1 if log else np.linspace(0, n - 1, MOST_POINTS)
    return np.unique(np.round(spaced).astype(int))


def _levels(figure: Figure, land: Landscape, x: Any, y: Any) -> None:
    from contourpy import contour_generator

    lines = contour_generator(land.x, land.y, land.z)
    for level in land.levels:
        d = ""
        for piece in lines.lines(float(level)):
            points = np.asarray(piece)
            some = np.unique([*range(0, len(points), max(1, len(points) // 90)), len(points) - 1])
            d += "M" + " ".join(f"{num(x(a))} {num(y(b))}" for a, b in points[some].tolist())
        if d:
            figure.path(d, "level")
