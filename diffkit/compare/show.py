"""A comparison as a table for a terminal, a small HTML table for notebooks, and plain data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..expr.printing import brief

if TYPE_CHECKING:
    from .result import Column, Comparison

#: gradients are listed point by point up to this many points
LISTED_POINTS = 4
HEADINGS = (
    "engine",
    "outcome",
    "max ulp",
    "median ulp",
    "max rel. error",
    "inside bar",
    "time",
    "× value",
    "build",
    "operations",
    "evaluations",
)


def number(x: float, digits: int = 3) -> str:
    if x is None or (isinstance(x, float) and math.isnan(x)):
        return "–"
    return "∞" if x == math.inf else f"{x:.{digits}g}"


def seconds(x: float) -> str:
    """A time with the unit that suits it."""
    if math.isnan(x):
        return "–"
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if x >= scale:
            return f"{x / scale:.3g} {unit}"
    return f"{x / 1e-9:.3g} ns"


def row(c: Column) -> list[str]:
    share = c.coverage
    return [
        c.engine, c.outcome, number(c.max_ulp), number(c.median_ulp), number(c.max_rel_error),
        "–" if math.isnan(share) else f"{100 * share:.4g} %", seconds(c.seconds), number(c.ratio_to_value),
        seconds(c.build_seconds),
        str(c.ops.get("total", "–")), str(c.evaluations or "–"),
    ]  # fmt: skip


def headline(c: Comparison) -> str:
    apart = {o: int(np.sum(c.point_outcome == o)) for o in ("kink", "nonfinite", "undecided")}
    others = "".join(f", {n} {o}" for o, n in apart.items() if n)
    verdict = {"ok": "all engines agree", "mismatch": "an engine is outside its error bar"}.get(
        c.outcome, f"not decided: {c.outcome}"
    )
    return f"{verdict} ({c.decided} of {c.points} points certified{others})"


def to_terminal(c: Comparison, width: int | None = None) -> str:
    """The table that `print(c)` shows."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=width or 144, color_system=None)
    table = Table(title=None, box=None, padding=(0, 2, 0, 0), header_style="bold")
    for k, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if k < 2 else "right", no_wrap=True)
    for column in c.columns.values():
        table.add_row(*row(column))
    with console.capture() as captured:
        console.print(table)
    lines = [f"{brief(c.f)}", headline(c), "", *(line.rstrip() for line in captured.get().splitlines())]
    for column in c.columns.values():
        if column.reason:
            lines.append(f"{column.engine}: {column.reason}")
    lines += _entries(c)
    swell = c.columns["symbolic"].swell if "symbolic" in c.columns else None
    if swell:
        f, d = swell["f"], swell["derivative"]
        after = "CSE took too long" if d["cse"] is None else f"{d['cse']} after CSE"
        lines.append(
            f"swell: {f['tree']} operations in f; in its derivative {d['tree']} as a tree, {d['graph']} as a graph, {after}"
        )
    lines += [
        f"point {k}: {c.point_outcome[k]}: {c.point_reason[k]}" for k in range(c.points) if c.point_outcome[k] != "ok"
    ][:LISTED_POINTS]
    return "\n".join(lines)


def _entries(c: Comparison) -> list[str]:
    """Value and derivative by each engine, for a few points."""
    gradients = (g for column in c.columns.values() for g in column.gradient.values())
    if c.points > LISTED_POINTS or any(v.ndim > 1 for v in (*c.at.values(), *gradients)):
        return []
    lines, width = [""], max(map(len, c.columns), default=0)
    for k in range(c.points):
        lines.append("at " + ", ".join(f"{n} = {float(v[k])!r}" for n, v in c.at.items()))
        for w in c.wrt:
            if c.point_outcome[k] == "ok":
                lines.append(f"  d/d{w} = {float(c.truth.gradient[w][k])!r} (certified)")
            for column in c.columns.values():
                if w in column.gradient:
                    bar = f" ± {column.error_bar[w][k]:.2g}" if w in column.error_bar else ""
                    if c.point_outcome[k] == "kink" and w in column.slopes:
                        left, right = column.slopes[w]
                        bar += f"  (slope {left[k]:.6g} from the left, {right[k]:.6g} from the right)"
                    lines.append(f"    {column.engine:<{width}}  {float(column.gradient[w][k])!r}{bar}")
    return lines


def to_html_table(c: Comparison) -> str:
    """A plain table, for notebooks."""
    from html import escape

    head = "".join(f"<th>{escape(h)}</th>" for h in HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{escape(x)}</td>" for x in row(col)) + "</tr>" for col in c.columns.values())
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p><code>{escape(brief(c.f))}</code><br>{escape(headline(c))}</p>{table}"


def finite_or_none(x: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(x, dict):
        return {k: finite_or_none(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [finite_or_none(v) for v in x]
    if isinstance(x, (np.integer, np.bool_)):
        return x.item()
    if isinstance(x, (float, np.floating)):
        return float(x) if math.isfinite(x) else None
    return x


def column_dict(c: Column) -> dict[str, Any]:
    """The figures of a column, without its arrays."""
    return finite_or_none({
        "engine": c.engine, "outcome": c.outcome, "reason": c.reason, "max_ulp": c.max_ulp, "median_ulp": c.median_ulp,
        "max_rel_error": c.max_rel_error, "coverage": c.coverage, "tightness": c.tightness, "seconds": c.seconds,
        "ratio_to_value": c.ratio_to_value, "build_seconds": c.build_seconds, "ops": c.ops, "bytes": c.bytes,
        "evaluations": c.evaluations, "swell": c.swell,
    })  # fmt: skip


def to_dict(c: Comparison) -> dict[str, Any]:
    from .. import __version__

    return {
        "diffkit": __version__,
        "expression": brief(c.f, 10_000),
        "variables": list(c.at),
        "wrt": list(c.wrt),
        "points": c.points,
        "certified": c.decided,
        "outcome": c.outcome,
        "agree": c.agree,
        "machine": c.machine,
        "seconds_value": finite_or_none(c.seconds_value),
        "value_ops": c.value_ops,
        "at": {n: v.tolist() for n, v in c.at.items()},
        "truth": {w: finite_or_none(g.tolist()) for w, g in c.truth.gradient.items()},
        "point_outcome": c.point_outcome.tolist(),
        "engines": {
            n: {**column_dict(col), "gradient": finite_or_none({w: g.tolist() for w, g in col.gradient.items()}),
                "error_bar": finite_or_none({w: b.tolist() for w, b in col.error_bar.items()})}
            for n, col in c.columns.items()
        },
    }  # fmt: skip
