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
        (
            "Largest error of every formula, by engine. A formula that is high in every column is itself to blame; one that is "
            "high in one column only, the engine. From 10¹⁶ no digit is right.",
            errors(entries, engines),
        ),
        (
            "Cost of value and gradient together, against the number of variables; the lines join the medians.",
            costs(entries, engines),
        ),
        (
            "Operations of SymPy’s derivatives against those of the formula. Written out they explode; as a graph, or after "
            "common subexpressions, they need not.",
            swell(entries),
        ),
    ]
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
    y = Log(-1, min(17, max(4, math.ceil(math.log10(max(e["max_ulp"] for *_, e in found) + 1)))), BOTTOM, TOP)
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
    """Moves a dot aside (right, left, further right, …) until it does not cover another; beyond the column's width they pile up."""

    APART = 5.2

    def __init__(self, middle: float, half: float) -> None:
        self.middle = middle
        self.offsets = sorted(
            (k * 2.6 for k in range(-int(half / 2.6), int(half / 2.6) + 1)), key=lambda x: (abs(x), x)
        )
        self.placed: list[tuple[float, float]] = []

    def place(self, y: float) -> float:
        near = [(px, py) for px, py in self.placed if abs(py - y) < self.APART]
        free = (
            x for x in self.offsets if all(math.hypot(self.middle + x - px, y - py) >= self.APART for px, py in near)
        )
        x = self.middle + next(free, self.offsets[len(self.placed) % len(self.offsets)])
        self.placed.append((x, y))
        return x


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
    figure.y_axis(y, LEFT, RIGHT, "operations, derivatives")
    legend = LEFT + 150.0
    for kind, (shape, label) in COUNTS.items():
        for i, s in found:
            figure.mark(
                shape, x(max(1, s["f"]["tree"])), y(max(1, s["derivative"][kind])), f"dot n-{kind}", f' data-f="{i}"'
            )
        figure.mark(shape, legend, TOP - 16, f"n-{kind}")
        figure.text(legend + 8, TOP - 12, label)
        legend += 30 + 5.4 * len(label)
    return str(figure)


#: the three counts: marker and name
COUNTS = {"tree": ("symbolic", "written out"), "graph": ("forward", "graph"), "cse": ("reverse", "after CSE")}
