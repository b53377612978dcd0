"""A comparison as a Matplotlib figure, for notebooks and papers. Matplotlib is imported when a figure is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .measure import describe
from .words import figure_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: colour and marker of every engine; the pages' light colours
LOOKS = {
    "symbolic": ("#0a66b0", "s"),
    "forward": ("#b86a00", "^"),
    "reverse": ("#00805d", "o"),
    "finite": ("#b0388a", "D"),
}
OTHER = ("#6a7078", "P")


def comparison_figure(c: Any) -> Any:
    """Errors in ulp, costs, and (where finite took part) difference quotients against the step, side by side."""
    from matplotlib.figure import Figure

    entry = describe(c)
    drawings = [
        _errors,
        *([_costs] if any(e["ratio_to_value"] for e in entry["engines"]) else []),
        *([_steps] if entry["step_curve"] else []),
    ]
    figure = Figure(figsize=(4.2 * len(drawings), 3.2), layout="constrained")
    for k, draw in enumerate(drawings):
        draw(figure.add_subplot(1, len(drawings), k + 1), c, entry)
    figure.suptitle(entry["name"], fontsize=10)
    return figure


def _look(engine: str) -> tuple[str, str]:
    return LOOKS.get(engine, OTHER)


def _errors(axes: Axes, c: Any, entry: dict[str, Any]) -> None:
    """Every entry a dot, spread out at random within its engine's row."""
    rng = np.random.default_rng(0)
    names = list(c.columns)
    for k, (name, column) in enumerate(c.columns.items()):
        found = np.concatenate([column.ulp[w][column.decided[w]].ravel() for w in column.ulp] or [np.empty(0)])
        found = np.maximum(found[np.isfinite(found)], 1e-2)[:5000]
        colour, marker = _look(name)
        axes.plot(
            found,
            k + rng.uniform(-0.28, 0.28, found.size) * (found.size > 1),
            marker,
            color=colour,
            ms=3,
            alpha=0.5,
            mew=0,
        )
        if found.size:
            axes.plot(np.median(found), k, marker, color=colour, ms=9, mec="white")
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(0.5, color="0.6", ls=":", lw=1)
    axes.set_xlabel("error in ulp (0.01 and less at the left)")


def _costs(axes: Axes, c: Any, entry: dict[str, Any]) -> None:
    shown = [e for e in entry["engines"] if e["ratio_to_value"]]
    for k, e in enumerate(shown):
        axes.barh(k, e["ratio_to_value"], height=0.5, color=_look(e["engine"])[0])
        axes.annotate(f" {figure_number(e['ratio_to_value'])} ×", (e["ratio_to_value"], k), va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [e["engine"] for e in shown])
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_xlabel("value and gradient ÷ value alone")


def _steps(axes: Axes, c: Any, entry: dict[str, Any]) -> None:
    curve = entry["step_curve"]
    for method, colour, style in (
        ("forward", "#b86a00", "-"),
        ("central", "#0a66b0", "-"),
        ("complex", "#00805d", "--"),
    ):
        if curve.get(method):
            errors = np.array([np.nan if e is None else max(e, 1e-17) for e in curve[method]])
            axes.loglog(
                curve["h"],
                errors,
                style,
                color=colour,
                lw=1.2,
                label={"forward": "one-sided", "complex": "complex step"}.get(method, method),
            )
    chosen = curve.get("richardson")
    if chosen and chosen["h"] and chosen["error"] is not None:
        axes.plot(chosen["h"], max(chosen["error"], 1e-17), "D", color=LOOKS["finite"][0], ms=7, label="Richardson")
    axes.set_ylim(3e-18, 30)
    axes.set_xlabel("step h")
    axes.set_ylabel("relative error")
    axes.legend(fontsize=8, frameon=False)
