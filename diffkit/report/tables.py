"""What the tables of a page show: columns and cells of the summary, rows of an engine-by-engine table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..compare.show import seconds
from .words import VERDICTS, count, figure_number, memory, percent

#: errors in the summary are drawn as bars on a logarithmic scale up to this many ulp
BAR_DECADES = 16.0


class Cell(NamedTuple):
    text: str
    #: what it is sorted by; "" comes last
    v: str
    kind: str = ""
    #: length of the bar, 0 … 1
    w: str = ""


class Column(NamedTuple):
    label: str
    name: str
    help: str
    kind: str = ""
    first: str = "ascending"


def summary_columns(engines: Sequence[str]) -> list[Column]:
    """The columns of the summary, in the order of `summary_cells` (the first four are written by the template)."""
    columns = [
        Column("formula", "formula", "the formula’s name", "name"),
        Column("verdict", "verdict", "whether every engine’s error bar holds the truth at every point", "l"),
        Column("field", "field", "where it is from", "l"),
        Column("vars", "variables", "number of variables"),
    ]
    for k, e in enumerate(engines):
        columns.append(
            Column(
                e,
                f"largest error of {e} in ulp",
                f"largest error of {e} in ulp",
                "accuracy" + " g" * (not k),
                "descending",
            )
        )
    if "finite" in engines:
        columns.append(
            Column(
                "relative",
                "scaled error of finite",
                "largest error of finite over max(|g|, |f/x|)",
                "accuracy",
                "descending",
            )
        )
    for k, e in enumerate(engines):
        columns.append(
            Column(
                e,
                f"cost of {e}",
                f"time of value and gradient by {e} over the time of the value",
                "cost" + " g" * (not k),
                "descending",
            )
        )
    for k, e in enumerate(engines):
        columns.append(
            Column(
                e,
                f"time to make {e}",
                f"milliseconds to make the program of {e}",
                "build" + " g" * (not k),
                "descending",
            )
        )
    columns.append(
        Column(
            "tree → CSE",
            "swell",
            "operations of SymPy’s derivatives, written out and after common subexpressions",
            "build g",
            "descending",
        )
    )
    return columns


def summary_cells(entry: dict[str, Any], engines: Sequence[str]) -> list[Cell]:
    """The cells of a formula after the first four."""
    by = {e["engine"]: e for e in entry["engines"]}
    cells = [_ulp(by.get(e), e, "accuracy" + " g" * (not k)) for k, e in enumerate(engines)]
    if "finite" in engines:
        cells.append(_plain((by.get("finite") or {}).get("max_scaled_error"), "accuracy"))
    cells += [_plain((by.get(e) or {}).get("ratio_to_value"), "cost" + " g" * (not k)) for k, e in enumerate(engines)]
    for k, e in enumerate(engines):
        made = (by.get(e) or {}).get("build_seconds")
        cells.append(_plain(None if made is None else 1e3 * made, "build" + " g" * (not k)))
    s = swell_of(entry)
    cells.append(
        Cell(
            f"{count(s['derivative']['tree'])} → {count(s['derivative']['cse'])}",
            str(s["derivative"]["tree"]),
            "build g",
        )
        if s
        else Cell("–", "", "build g none")
    )
    return cells


def _plain(x: float | None, kind: str) -> Cell:
    return Cell(figure_number(x), f"{x:.6g}", kind) if x is not None else Cell("–", "", f"{kind} none")


def _ulp(e: dict[str, Any] | None, engine: str, kind: str) -> Cell:
    """The largest error with a bar; a tick or cross says whether the engine kept its word. Other outcomes in words."""
    if e is None or e["outcome"] not in ("ok", "mismatch"):
        return Cell(VERDICTS.get(e["outcome"], e["outcome"]) if e else "–", "", f"{kind} none")
    x = largest_ulp(e)
    length = f"{min(1.0, max(0.015, math.log10(1 + x) / BAR_DECADES)):.2f}".lstrip("0") if math.isfinite(x) else "1"
    sign, more = ("✓", "") if e["outcome"] == "ok" else ("✗", " bad")
    return Cell(
        f"{sign} {figure_number(x)}", f"{x:.6g}" if math.isfinite(x) else "1e999", f"{kind} bar {engine}{more}", length
    )


def largest_ulp(e: dict[str, Any]) -> float:
    """The largest error; infinite where an answer is not finite (which JSON cannot hold), NaN where there is none."""
    if e["max_ulp"] is not None:
        return e["max_ulp"]
    return math.inf if e["ulp_histogram"]["nonfinite"] else math.nan


def swell_of(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Operation counts of the symbolic engine: of the formula and of its derivatives."""
    return next((e["swell"] for e in entry["engines"] if e["swell"]), None)


def engine_rows(entry: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """(what, one cell an engine) for the table of one formula; rows that nobody has are left out."""

    def number(key: str) -> Callable[[dict], str]:
        return lambda e: figure_number(e[key])

    def time(key: str) -> Callable[[dict], str]:
        return lambda e: "–" if e[key] is None else seconds(e[key])

    def condition(which: str) -> Callable[[dict], str]:
        return lambda e: figure_number(e["program_condition"][which]) if e["program_condition"] else "–"

    rows: list[tuple[str, Callable[[dict], str]]] = [
        ("outcome", lambda e: "agrees" if e["outcome"] == "ok" else VERDICTS.get(e["outcome"], e["outcome"])),
        ("median ulp", number("median_ulp")),
        ("max ulp", lambda e: figure_number(largest_ulp(e))),
        ("max rel. error", number("max_rel_error")),
        ("max scaled error", number("max_scaled_error")),
        ("inside the bar", lambda e: percent(e["coverage"])),
        ("bar ÷ error", number("tightness")),
        ("condition, median", condition("median")),
        ("condition, max", condition("max")),
        ("operations", lambda e: count(e["ops"].get("total")) if e["ops"] else "–"),
        ("evaluations", lambda e: count(e["evaluations"]) if e["evaluations"] else "–"),
        ("registers", lambda e: memory(e["bytes"])),
        ("time a point", time("seconds_a_point")),
        ("× value", number("ratio_to_value")),
        ("to make", time("build_seconds")),
    ]
    made = [(label, [cell(e) for e in entry["engines"]]) for label, cell in rows]
    return [(label, cells) for label, cells in made if any(c != "–" for c in cells)]
