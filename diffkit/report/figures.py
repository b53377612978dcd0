"""The figures of one formula, drawn from its data (measure.py)."""

from __future__ import annotations

import math
from typing import Any

from ..compare.show import seconds
from .measure import BINS_PER_DECADE, FIRST_DECADE
from .svg import Figure, Log, marker_class
from .tables import largest_ulp
from .words import figure_number

WIDTH = 380
LEFT, RIGHT = 78, 322
ROW = 38
#: an error of 10¹⁶ ulp leaves no digit; larger ones are drawn at the end of the axis
LAST_DECADE = 17


def errors_figure(entry: dict[str, Any]) -> str:
    """How the errors of every engine are distributed over the entries: a histogram with median and maximum."""
    shown = [e for e in entry["engines"] if e["ulp_histogram"]["counts"]]
    if not shown:
        return ""
    last = max(e["ulp_histogram"]["first"] + len(e["ulp_histogram"]["counts"]) for e in shown)
    axis = Log(FIRST_DECADE, min(LAST_DECADE, max(1, math.ceil(FIRST_DECADE + last / BINS_PER_DECADE))), LEFT, RIGHT)
    top, bottom = 14, 18 + ROW * len(shown)
    figure = Figure(WIDTH, bottom + 36, "Distribution of the errors of every engine, in ulp")
    figure.x_axis(axis, top, bottom, "error in ulp (0.01 and less at the left end)")
    figure.line(axis(0.5), top - 4, axis(0.5), bottom, "half")
    figure.text(axis(0.5), top - 5, "½", "mid")
    figure.text(WIDTH - 2, top - 4, "max", "end")
    for k, e in enumerate(shown):
        base = 16 + ROW * (k + 1) - 6
        figure.mark(e["engine"], 9, base - 7)
        figure.text(20, base - 3, e["engine"], "name")
        figure.path(_ridge(e["ulp_histogram"], axis, base), f"ridge {marker_class(e['engine'])}")
        figure.line(LEFT, base, RIGHT, base, "base")
        figure.mark(e["engine"], axis(e["median_ulp"] or 0.0), base, "ring")
        figure.text(WIDTH - 2, base - 3, figure_number(largest_ulp(e)), "end name")
    return str(figure)


def _ridge(histogram: dict[str, Any], axis: Log, base: float) -> str:
    """The outline of a histogram; heights as square roots, so that the few large errors can be seen."""
    room = int((axis.high - axis.low) * BINS_PER_DECADE) - histogram["first"]
    counts = histogram["counts"]
    counts = [*counts[: room - 1], sum(counts[room - 1 :])] if room >= 1 else [sum(counts)]
    width = (axis.end - axis.start) / (axis.high - axis.low) / BINS_PER_DECADE
    x = min(axis.start + histogram["first"] * width, axis.end - width)
    heights = [round(26 * math.sqrt(n / max(counts))) for n in counts]
    steps = "".join(f"v{a - b}h{width:.2f}" for a, b in zip([0, *heights], heights, strict=False))
    return f"M{x:.1f} {base:g}{steps}v{heights[-1]}z"


def costs_figure(entry: dict[str, Any]) -> str:
    """Time of value and gradient over the time of the value alone, and the time to make each engine's program."""
    shown = [e for e in entry["engines"] if e["ratio_to_value"]]
    if not shown:
        return ""
    most = max(e["ratio_to_value"] for e in shown)
    axis = Log(math.log10(0.7), max(1.0, math.log10(most) + 0.1), LEFT, RIGHT - 52)
    top, bottom = 14, 18 + ROW * len(shown)
    figure = Figure(WIDTH, bottom + 36, "Cost of every engine, over the cost of the value alone")
    figure.x_axis(axis, top, bottom, "time of value and gradient ÷ time of the value")
    figure.text(WIDTH - 2, top - 4, "to make", "end")
    figure.line(axis(1), top - 4, axis(1), bottom, "half")
    for k, e in enumerate(shown):
        y = 16 + ROW * (k + 1) - 16
        x, name = axis(e["ratio_to_value"]), marker_class(e["engine"])
        figure.mark(e["engine"], 9, y)
        figure.text(20, y + 4, e["engine"], "name")
        figure.line(axis(1), y, x, y, f"bar {name}")
        figure.mark(e["engine"], x, y)
        figure.text(x + 9, y + 4, f"{figure_number(e['ratio_to_value'])} ×", "name")
        figure.text(WIDTH - 2, y + 4, seconds(e["build_seconds"]) if e["build_seconds"] else "–", "end")
    return str(figure)


#: difference quotients in the order of drawing: style, label
QUOTIENTS = {"forward": ("c1", "one-sided"), "central": ("c2", "central"), "complex": ("c3", "complex step")}


def steps_figure(entry: dict[str, Any]) -> str:
    """Error of difference quotients against the step: rounding to the left, truncation to the right."""
    curve = entry["step_curve"]
    if not curve:
        return ""
    steps = [h for h in curve["h"] if h and h > 0]
    x = Log(math.log10(min(steps)), math.log10(max(steps)), 46, WIDTH - 8)
    y = Log(-17, 1, 186, 34)
    figure = Figure(WIDTH, 222, "Error of difference quotients against the step")
    figure.x_axis(x, 34, 186, "step h")
    figure.y_axis(y, 46, WIDTH - 8, "relative error")
    _guides(figure, curve, x, y)
    legend = 130.0
    for name, (kind, label) in QUOTIENTS.items():
        errors = curve.get(name)
        if not errors:
            continue
        figure.polyline(
            [(x(h), y(max(e, 1e-17))) for h, e in zip(curve["h"], errors, strict=True) if e is not None], kind
        )
        figure.line(legend, 12, legend + 16, 12, kind)
        figure.text(legend + 20, 15.5, label)
        legend += 30 + 5.6 * len(label)
    chosen = curve.get("richardson")
    if chosen and chosen.get("h") and chosen.get("error") is not None:
        px, py = x(chosen["h"]), y(max(chosen["error"], 1e-17))
        figure.mark("finite", px, py)
        right = px < WIDTH - 90
        figure.text(px + (9 if right else -9), py + 4, "Richardson", "name" if right else "name end")
    return str(figure)


def _guides(figure: Figure, curve: dict[str, Any], x: Log, y: Log) -> None:
    """The two slopes of a central difference: rounding falls with u/h, truncation rises with h²."""
    for key, power in (("rounding", -1.0), ("truncation", 2.0)):
        if curve.get(key):
            figure.slope(x, y, (1.0, curve[key]), power, "guide")


FIGURES = (
    ("errors", "Errors in ulp", errors_figure),
    ("costs", "Cost", costs_figure),
    ("steps", "Difference quotients against the step", steps_figure),
)

#: what to see in each
CAPTIONS = {
    "errors": "How many entries have an error of each size; the mark is the median. Left of ½ an answer is correctly rounded.",
    "costs": "Value and gradient over the value alone, on the same machine; at the right, the time to make the program.",
    "steps": "Too small a step drowns in rounding (falling dots), too large a one in truncation (rising dots).",
}
