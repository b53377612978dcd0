"""The figures of a check: given against expected, the V-curve of the worst entry, Taylor's remainders, the heat maps' key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..check.gradients import CheckResult
from .heat import COLOURS, HIGH, LOW, entry_name, palette
from .svg import Figure, Log, num, power_of_ten
from .words import figure_number

WIDTH, HEIGHT = 380, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 370, 34, 206
#: points of a scatter: the worst, and as many more evenly among the rest
WORST, OTHERS = 300, 300
#: decades of a logarithmic axis at most
MOST_DECADES = 40


class Signed(Log):
    """An axis of numbers of either sign: linear, or where most are much smaller than the largest, logarithmic beyond a knee."""

    def __init__(self, values: np.ndarray, start: float, end: float) -> None:
        sizes = np.abs(values[values != 0])
        largest, usual = (float(sizes.max()), float(np.median(sizes))) if sizes.size else (1.0, 1.0)
        self.knee = usual / 10 if largest > 300 * usual else 0.0
        self.unit = largest
        low, high = (self._bent(float(v)) for v in (values.min(initial=0.0), values.max(initial=0.0)))
        room = 0.05 * (high - low) or 1.0
        super().__init__(low - room, high + room, start, end)

    def _bent(self, value: float) -> float:
        return math.asinh(value / self.knee) if self.knee else value / self.unit

    def __call__(self, value: float) -> float:
        at = min(max(self._bent(value), self.low), self.high)
        return self.start + (at - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        if self.knee:
            return self._powers(abs(self.end - self.start) / most)
        low, high = self.low * self.unit, self.high * self.unit
        rough = (high - low) / (most - 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        values = [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
        return [(v, figure_number(v, 3)) for v in values]

    def _powers(self, apart: float) -> list[tuple[float, str]]:
        """Zero, and of powers of ten of either sign, the largest first, those with room."""
        kept = [(0.0, "0")]
        for k in range(math.floor(math.log10(self.unit)), math.ceil(math.log10(self.knee)) - 1, -1):
            for sign in (1, -1):
                value = sign * 10.0**k
                inside = self.low <= self._bent(value) <= self.high
                if inside and all(abs(self(value) - self(v)) >= apart for v, _ in kept):
                    kept.append((value, "−" * (sign < 0) + power_of_ten(k)))
        return kept


@dataclass(frozen=True)
class Point:
    name: str
    given: float
    expected: float
    bar: float
    off: bool


def scatter_figure(result: CheckResult) -> str:
    """Given against expected; on the diagonal a gradient is right."""
    points = [p for p in _points(result) if all(math.isfinite(v) for v in (p.given, p.expected))]
    if not points:
        return ""
    x = Signed(np.array([p.expected for p in points]), LEFT, RIGHT)
    y = Signed(np.array([p.given for p in points]), BOTTOM, TOP)
    figure = Figure(WIDTH, HEIGHT, "Given against expected derivatives")
    figure.x_axis(x, TOP, BOTTOM, "expected", 6)
    figure.y_axis(y, LEFT, RIGHT, "given")
    diagonal = np.linspace(min(p.expected for p in points), max(p.expected for p in points), 60)
    inside = [(x(v), y(v)) for v in diagonal if y.low <= y._bent(float(v)) <= y.high]
    figure.polyline(inside, "half")
    for p in sorted(points, key=lambda p: p.off):
        px, py = x(p.expected), y(p.given)
        kind = "off" if p.off else "agrees"
        if math.isfinite(p.bar):
            low, high = x(p.expected - p.bar), x(p.expected + p.bar)
            if high - low > 1.5:
                figure.line(low, py, high, py, f"whisker {kind}")
        title = f"{p.name}: given {p.given:.8g}, expected {p.expected:.8g} ± {p.bar:.1g}"
        figure.parts.append(
            f'<circle class="{kind}" cx="{num(px)}" cy="{num(py)}" r="3"><title>{_escaped(title)}</title></circle>'
        )
    return str(figure)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _points(result: CheckResult) -> list[Point]:
    found = []
    for leaf in result.leaves:
        if leaf.expected is None or leaf.bar is None:
            continue
        off = np.zeros(leaf.given.shape, bool) if leaf.off is None else leaf.off
        with np.errstate(all="ignore"):
            size = np.where(off, np.nan_to_num(np.abs(leaf.given - leaf.expected), nan=0.0, posinf=0.0), -1.0).reshape(
                -1
            )
        for k in _chosen(size):
            at = tuple(int(i) for i in np.unravel_index(k, leaf.given.shape)) if leaf.given.shape else ()
            found.append(
                Point(
                    entry_name(leaf.name, at, leaf.output_axes),
                    float(leaf.given[at]),
                    float(leaf.expected[at]),
                    float(leaf.bar[at]),
                    bool(off[at]),
                )
            )
    known = {p.name for p in found}
    found += [Point(e.name, e.given, e.expected, e.bar, True) for e in result.entries if e.name not in known]
    if len(found) <= WORST + OTHERS:
        return found
    found.sort(key=lambda p: -p.off)
    wrong = sum(p.off for p in found)
    return [*_evenly(found[:wrong], WORST), *_evenly(found[wrong:], OTHERS)]


def _evenly(points: Sequence[Point], most: int) -> list[Point]:
    if len(points) <= most:
        return list(points)
    return [points[k] for k in np.linspace(0, len(points) - 1, most).astype(int)]


def _chosen(size: np.ndarray) -> list[int]:
    """The worst entries, and others evenly."""
    order = np.argsort(-size, kind="stable")
    if len(order) <= WORST + OTHERS:
        return order.tolist()
    rest = order[WORST:]
    return [*order[:WORST].tolist(), *rest[np.linspace(0, len(rest) - 1, OTHERS).astype(int)].tolist()]


def curve_figure(result: CheckResult) -> str:
    """The V-curve of the worst entry: how far difference quotients are from what was given and from what is expected."""
    c = result.curve
    if c is None or not len(c.steps):
        return ""
    with np.errstate(all="ignore"):
        lines = {"given": np.abs(c.quotients - c.given), "expected": np.abs(c.quotients - c.expected)}
    x, y = _axes(c.steps, [*lines.values(), c.noise, np.array([c.bar])])
    if x is None or y is None:
        return ""
    figure = Figure(WIDTH, HEIGHT, f"Difference quotients of {c.name} by step")
    figure.x_axis(x, TOP, BOTTOM, "step")
    figure.y_axis(y, LEFT, RIGHT, "")
    band = [(x(h), y(n)) for h, n in zip(c.steps, c.noise, strict=True) if math.isfinite(n) and n > 0]
    if len(band) > 1:
        corners = " ".join(f"{num(a)} {num(b)}" for a, b in band)
        figure.path(f"M{num(band[0][0])} {num(BOTTOM)}L{corners}V{num(BOTTOM)}z", "band")
    if c.bar > 0:
        figure.line(LEFT, y(c.bar), RIGHT, y(c.bar), "half")
        figure.text(RIGHT, y(c.bar) - 4, "error bar", "end")
    drawn = []
    for name, values in lines.items():
        seen = [(x(h), y(v)) for h, v in zip(c.steps, values, strict=True) if math.isfinite(v)]
        drawn += [(f"vee {name}", f"to {name}")] * bool(seen)
        figure.polyline(seen, f"vee {name}")
        figure.parts += [f'<circle class="{name}" cx="{num(a)}" cy="{num(b)}" r="2.2"/>' for a, b in seen]
    if math.isfinite(c.step) and c.steps.min() <= c.step <= c.steps.max():
        figure.line(x(c.step), TOP, x(c.step), BOTTOM, "half")
        figure.text(x(c.step) + 3, BOTTOM - 5, "taken", "start")
    _legend(figure, (*drawn, ("band", "noise")))
    return str(figure)


def taylor_figure(result: CheckResult) -> str:
    """Remainders of the first-order model by distance: of a right gradient they fall with its square."""
    if result.taylor is None:
        return ""
    distances, remainders = (np.asarray(a, float) for a in result.taylor)
    order = np.argsort(distances)
    distances, remainders = distances[order], remainders[order]
    seen = np.isfinite(remainders) & (remainders > 0) & (distances > 0)
    x, y = _axes(distances, [remainders])
    if x is None or y is None or seen.sum() < 2:
        return ""
    figure = Figure(WIDTH, HEIGHT, "Taylor remainders by distance")
    figure.x_axis(x, TOP, BOTTOM, "distance")
    figure.y_axis(y, LEFT, RIGHT, "")
    through = (float(distances[seen][-1]), float(remainders[seen][-1]))
    figure.slope(x, y, through, 1, "guide one")
    figure.slope(x, y, through, 2, "guide two")
    kind = "given" if abs(result.taylor_order - 2) > 0.5 else "expected"
    marks = [(x(a), y(b)) for a, b in zip(distances[seen], remainders[seen], strict=True)]
    figure.parts += [f'<circle class="{kind}" cx="{num(a)}" cy="{num(b)}" r="3"/>' for a, b in marks]
    _legend(figure, (("guide one", "slope 1: wrong"), ("guide two", "slope 2: right")))
    return str(figure)


def _axes(steps: np.ndarray, series: Sequence[np.ndarray]) -> tuple[Log | None, Log | None]:
    positive = steps[np.isfinite(steps) & (steps > 0)]
    values = np.concatenate([s[np.isfinite(s) & (s > 0)] for s in series])
    if not positive.size or not values.size:
        return None, None
    low, high = math.log10(positive.min()), math.log10(positive.max())
    x = Log(low - 0.1, high + 0.1, LEFT, RIGHT)
    top = math.log10(values.max())
    bottom = max(math.log10(values.min()), top - MOST_DECADES)
    return x, Log(math.floor(bottom - 0.2), math.ceil(top + 0.1), BOTTOM, TOP)


def _legend(figure: Figure, items: Sequence[tuple[str, str]]) -> None:
    at = float(LEFT)
    for kind, label in items:
        if kind == "band":
            figure.path(f"M{num(at)} 8h16v8h-16z", kind)
        else:
            figure.line(at, 12, at + 16, 12, kind)
        figure.text(at + 21, 15.5, label, "name")
        at += 34 + 6.2 * len(label)


def heat_key() -> str:
    """What the colours of the heat maps mean."""
    left, right, top = 6, 294, 4
    figure = Figure(300, 34, "Colours: error in tolerances")
    colours = palette()[:COLOURS]
    wide = 6  # whole pixels, so that no seams show
    step = COLOURS * wide // (right - left)
    for k in range(0, COLOURS, step):
        x, colour = left + k // step * wide, bytes(colours[k]).hex()
        figure.parts.append(
            f'<rect x="{x}" y="{top}" width="{wide}" height="10" fill="#{colour}" shape-rendering="crispEdges"/>'
        )
    axis = Log(LOW, HIGH, left, right)
    for value, label in axis.ticks(7):
        figure.text(axis(value), top + 23, label, "mid")
    figure.line(axis(1), top - 3, axis(1), top + 12, "bound")
    return str(figure)


#: kind, title, how to draw it, what to see in it
FIGURES = (
    ("scatter", "Given against expected", scatter_figure,
     "On the dashed diagonal the gradient is right. Horizontal whiskers are error bars where they can be seen."),
    ("curve", "V-curve of the worst entry", curve_figure,
     "How far difference quotients are, by step, from the derivative that was given and from the one that is expected. Small steps "
     "drown in noise, large ones in curvature; a derivative that quotients approach nowhere is wrong."),
    ("taylor", "Taylor remainder", taylor_figure,
     "What the given gradient’s first-order model is off by, along a random direction."),
)  # fmt: skip
