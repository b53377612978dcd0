"""The three figures over all formulas: errors, cost against the number of variables, and swell. A dot is a formula."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from .svg import Figure, Log, marker_class
from .tables import swell_of

WIDTH, HEIGHT = 400, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 392, 30, 252


def overview(entries: Sequence[dict[str, Any]], engines: Sequence[str]) -> list[tuple[str, str]]:
    """(caption, SVG) of the figures that there is something to show in."""
    drawn = [
        ("Largest error of every formula, by engine. A formula at the top of all columns is itself to blame; one that is high in one column only, its engine.", errors(entries, engines)),
        ("Cost over the number of variables. Reverse stays level; forward and finite grow with the variables.", costs(entries, engines)),
        ("Operations of SymPy’s derivatives over those of the formula: written out (squares), as a graph (triangles), after common subexpressions (circles).", swell(entries)),
    ]  # fmt: skip
    return [(caption, svg) for caption, svg in drawn if svg]


def _columns(entries: Sequence[dict[str, Any]], key: str) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    for i, entry in enumerate(entries):
        for e in entry["engines"]:
            if e[key] is not None:
                yield i, entry, e


def errors(entries: Sequence[dict[str, Any]], engines: Sequence[str]) -> str:
    found = list(_columns(entries, "max_ulp"))
    if not found:
        return ""
    y = Log(-1, max(4, math.ceil(math.log10(max(e["max_ulp"] for *_, e in found) + 1))), BOTTOM, TOP)
    figure = Figure(WIDTH, HEIGHT, "Largest error of every formula in ulp, by engine")
    figure.y_axis(y, LEFT, RIGHT, "largest error, ulp", most=9)
    width = (RIGHT - LEFT) / len(engines)
    for k, engine in enumerate(engines):
        middle = LEFT + width * (k + 0.5)
        figure.text(middle, BOTTOM + 18, engine, "mid name")
        swarm = _Swarm(middle, width / 2 - 6)
        for i, _, e in sorted((row for row in found if row[2]["engine"] == engine), key=lambda row: row[2]["max_ulp"]):
            py = y(e["max_ulp"])
            figure.mark(engine, swarm.place(py), py, "dot", f' data-f="{i}"')
    return str(figure)


class _Swarm:
    """Moves dots of equal height aside: 0, right, left, further right, …"""

    STEP, BIN = 5.0, 5.0

    def __init__(self, middle: float, half: float) -> None:
        self.middle, self.half = middle, half
        self.used: dict[int, int] = defaultdict(int)

    def place(self, y: float) -> float:
        n = self.used[round(y / self.BIN)]
        self.used[round(y / self.BIN)] += 1
        offset = (n + 1) // 2 * self.STEP * (1 if n % 2 else -1)
        room = self.half // self.STEP * self.STEP
        return self.middle + (offset if abs(offset) <= room else math.fmod(offset, room or 1.0))


def costs(entries: Sequence[dict[str, Any]], engines: Sequence[str]) -> str:
    found = list(_columns(entries, "ratio_to_value"))
    if not found:
        return ""
    most = max(len(entry["variables"]) for _, entry, _ in found)
    y = Log(math.log10(0.7), max(1.3, math.log10(max(e["ratio_to_value"] for *_, e in found)) + 0.1), BOTTOM, TOP)
    figure = Figure(WIDTH, HEIGHT, "Cost of every engine over the number of variables")
    figure.y_axis(y, LEFT, RIGHT, "time of value and gradient ÷ time of the value")
    each = (RIGHT - LEFT) / most
    for n in range(1, most + 1):
        figure.text(LEFT + each * (n - 0.5), BOTTOM + 16, str(n), "mid")
    figure.text((LEFT + RIGHT) / 2, BOTTOM + 34, "variables", "mid title")
    shift = min(7.0, each / (len(engines) + 1))
    middles: dict[str, list[tuple[float, float]]] = {}
    for k, engine in enumerate(engines):
        groups: dict[int, list[float]] = defaultdict(list)
        for i, entry, e in found:
            if e["engine"] == engine:
                n = len(entry["variables"])
                groups[n].append(e["ratio_to_value"])
                px = LEFT + each * (n - 0.5) + shift * (k - (len(engines) - 1) / 2)
                figure.mark(engine, px, y(e["ratio_to_value"]), "dot", f' data-f="{i}"')
        middles[engine] = [(LEFT + each * (n - 0.5), y(_median(groups[n]))) for n in sorted(groups)]
    for engine, points in middles.items():
        figure.polyline(points, f"trend {marker_class(engine)}")
    return str(figure)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def swell(entries: Sequence[dict[str, Any]]) -> str:
    found = [(i, s) for i, entry in enumerate(entries) if (s := swell_of(entry))]
    if not found:
        return ""
    x = Log(0, max(1, math.ceil(math.log10(max(s["f"]["tree"] for _, s in found) + 1))), LEFT, RIGHT)
    y = Log(0, max(2, math.log10(max(s["derivative"]["tree"] for _, s in found) + 1) + 0.1), BOTTOM, TOP)
    figure = Figure(WIDTH, HEIGHT, "Operations of the derivatives over operations of the formula")
    figure.x_axis(x, TOP, BOTTOM, "operations of the formula")
    figure.y_axis(y, LEFT, RIGHT, "operations of all its derivatives")
    for kind, shape in (("tree", "symbolic"), ("graph", "forward"), ("cse", "reverse")):
        for i, s in found:
            figure.mark(shape, x(max(1, s["f"]["tree"])), y(max(1, s["derivative"][kind])), f"dot c-{kind}", f' data-f="{i}"')
    return str(figure)
