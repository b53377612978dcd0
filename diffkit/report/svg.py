"""A little SVG: logarithmic axes, marks and labels, for figures inside an HTML page.

Colours, fonts and dashes come from the page's style sheet (classes), so that a figure follows the page into dark mode, and
markers are drawn once a page and used by reference. A figure is 1 to 4 KB and takes a fraction of a millisecond;
Matplotlib's SVG of the same content measured 18 KB and 93 ms, which for three figures of 200 formulas is 10 MB and a minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

#: the marker of every engine, as a path around the origin; peers share the last one
MARKERS = {
    "symbolic": "M-4-4h8v8h-8z",
    "forward": "M0-5 5 4H-5z",
    "reverse": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "finite": "M0-5.5 5.5 0 0 5.5-5.5 0z",
    "peer": "M-4-1.3h2.7V-4h2.6v2.7H4v2.6H1.3V4h-2.6V1.3H-4z",
}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def marker_class(engine: str) -> str:
    return engine if engine in MARKERS else "peer"


def marker_definitions() -> str:
    """The markers, once a page."""
    return (
        '<svg class="defs" aria-hidden="true"><defs>'
        + "".join(f'<path id="m-{n}" d="{d}"/>' for n, d in MARKERS.items())
        + "</defs></svg>"
    )


def num(x: float) -> str:
    """A coordinate: one decimal at most."""
    text = f"{x:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def power_of_ten(k: int) -> str:
    return str(10**k) if 0 <= k <= 2 else f"10{str(k).translate(_SUPERSCRIPTS)}"


class Log:
    """A logarithmic axis from 10**low to 10**high over the pixels start … end; values outside are drawn at its ends."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        exponent = math.log10(value) if value > 0 else self.low
        exponent = min(max(exponent, self.low), self.high)
        return self.start + (exponent - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        """Values to be labelled: whole decades evenly spaced, and 2 and 5 between them where there are few."""
        first, last = math.ceil(self.low), math.floor(self.high)
        if self.high - self.low < 2:
            values = [(m, k) for k in range(first - 1, last + 1) for m in (1, 2, 5)]
            return [(m * 10.0**k, _tick(m, k)) for m, k in values if self.low <= math.log10(m) + k <= self.high]
        step = next(s for s in (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 400) if (last - first) / s <= most - 1)
        return [(10.0**k, power_of_ten(k)) for k in range(first, last + 1) if k % step == 0]


def _tick(m: int, k: int) -> str:
    """m·10ᵏ: 0.002, 5·10⁻⁷."""
    if -4 <= k <= 4:
        return f"{m * 10.0**k:g}"
    return power_of_ten(k) if m == 1 else f"{m}·{power_of_ten(k)}"


class Figure:
    """Collects elements; `str(figure)` is the SVG."""

    def __init__(self, width: int, height: int, label: str) -> None:
        self.width, self.height, self.label = width, height, label
        self.parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.parts.append(f'<path class="{kind}" d="M{num(x1)} {num(y1)}{_to(x2 - x1, y2 - y1)}"/>')

    def lines(self, ends: Iterable[tuple[float, float, float, float]], kind: str) -> None:
        """Many lines in one path."""
        self.parts.append(
            f'<path class="{kind}" d="'
            + "".join(f"M{num(a)} {num(b)}{_to(c - a, d - b)}" for a, b, c, d in ends)
            + '"/>'
        )

    def polyline(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        if len(points) > 1:
            self.parts.append(f'<path class="{kind}" d="M' + " ".join(f"{num(x)} {num(y)}" for x, y in points) + '"/>')

    def path(self, d: str, kind: str) -> None:
        self.parts.append(f'<path class="{kind}" d="{d}"/>')

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        classes = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text x="{num(x)}" y="{num(y)}"{classes}>{escape(text)}</text>')

    def mark(self, engine: str, x: float, y: float, kind: str = "", more: str = "") -> None:
        name = marker_class(engine)
        classes = f"{name} {kind}".strip()
        self.parts.append(f'<use href="#m-{name}" class="{classes}" x="{num(x)}" y="{num(y)}"{more}/>')

    def x_axis(self, axis: Log, top: float, bottom: float, title: str, most: int = 7) -> None:
        ticks = axis.ticks(most)
        self.lines([(axis(v), top, axis(v), bottom) for v, _ in ticks], "grid")
        for v, label in ticks:
            self.text(axis(v), bottom + 14, label, "mid")
        if title:
            self.text((axis.start + axis.end) / 2, bottom + 29, title, "mid title")

    def y_axis(self, axis: Log, left: float, right: float, title: str, most: int = 6) -> None:
        ticks = axis.ticks(most)
        self.lines([(left, axis(v), right, axis(v)) for v, _ in ticks], "grid")
        for v, label in ticks:
            self.text(left - 5, axis(v) + 3.5, label, "end")
        if title:
            self.text(4, min(axis.start, axis.end) - 12, title, "title")

    def slope(self, x: Log, y: Log, through: tuple[float, float], power: float, kind: str) -> None:
        """The line of y ∝ x**power through a point, within both axes."""
        at, level = math.log10(through[0]), math.log10(through[1])
        ends = sorted(at + (e - level) / power for e in (y.low, y.high))
        low, high = max(ends[0], x.low), min(ends[1], x.high)
        if low < high:
            (x1, y1), (x2, y2) = ((x(10.0**u), y(10.0 ** (level + power * (u - at)))) for u in (low, high))
            self.line(x1, y1, x2, y2, kind)

    def __str__(self) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" class="fig" role="img" aria-label="{escape(self.label)}">'
            + "".join(self.parts)
            + "</svg>"
        )


def _to(dx: float, dy: float) -> str:
    """A straight line by (dx, dy)."""
    return f"h{num(dx)}" if abs(dy) < 0.05 else f"v{num(dy)}" if abs(dx) < 0.05 else f"l{num(dx)} {num(dy)}"
