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
        Column("field", "field", "where it is from", "l"),
        Column("vars", "variables", "number of variables"),
        Column("verdict", "verdict", "whether every engine’s error bar holds the truth at every point", "l"),
    ]
    for k, e in enumerate(engines):
        columns.append(Column(e, f"largest error of {e} in ulp", f"largest error of {e} in ulp", "accuracy" + " g" * (not k), "descending"))
    if "finite" in engines:
        columns.append(Column("finite, rel.", "scaled error of finite", "largest error of finite over max(|g|, |f/x|)", "accuracy", "descending"))
    for k, e in enumerate(engines):
        columns.append(Column(e, f"cost of {e}", f"time of value and gradient by {e} over the time of the value", "cost" + " g" * (not k), "descending"))
    for k, e in enumerate(engines):
        columns.append(Column(e, f"time to make {e}", f"milliseconds to make the program of {e}", "cost" + " g" * (not k), "descending"))
    columns.append(Column("tree → CSE", "swell", "operations of SymPy’s derivatives, written out and after common subexpressions", "cost g", "descending"))
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
        cells.append(_plain(None if made is None else 1e3 * made, "cost" + " g" * (not k)))
    s = swell_of(entry)
    cells.append(Cell(f"{count(s['derivative']['tree'])} → {count(s['derivative']['cse'])}", str(s["derivative"]["tree"]), "cost g") if s else Cell("–", "", "cost g none"))
    return cells


def _plain(x: float | None, kind: str) -> Cell:
    return Cell(figure_number(x), f"{x:.6g}", kind) if x is not None else Cell("–", "", f"{kind} none")


def _ulp(e: dict[str, Any] | None, engine: str, kind: str) -> Cell:
    """The largest error with a bar; in front of it the outcome, where that is not ok."""
    if e is None:
        return Cell("–", "", f"{kind} none")
    x = e["max_ulp"]
    if e["outcome"] != "ok":
        # a mismatch has an error, and infinity is left out of JSON
        shown = figure_number(x) if x is not None else ""
        return Cell(f"{VERDICTS.get(e['outcome'], e['outcome'])} {shown}".strip(), "" if x is None else f"{x:.6g}", f"{kind} bad")
    if x is None:
        return Cell("∞" if e["entries"] else "–", "1e400" if e["entries"] else "", kind)
    length = math.log10(1 + x) / BAR_DECADES
    return Cell(f"✓ {figure_number(x)}", f"{x:.6g}", f"{kind} bar {engine}", f"{min(1.0, max(0.015, length)):.2f}".lstrip("0") or "0")


def swell_of(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Operation counts of the symbolic engine: of the formula and of its derivatives."""
    return next((e["swell"] for e in entry["engines"] if e["swell"]), None)


def engine_rows(entry: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """(what, one cell an engine) for the table of one formula; rows that nobody has are left out."""

    def number(key: str) -> Callable[[dict], str]:
        return lambda e: figure_number(e[key], 3)

    def time(key: str) -> Callable[[dict], str]:
        return lambda e: "–" if e[key] is None else seconds(e[key])

    def spread(key: str) -> Callable[[dict], str]:
        return lambda e: "–" if not e[key] else f"{figure_number(e[key]['median'])} / {figure_number(e[key]['max'])}"

    points = entry["points"]
    rows: list[tuple[str, Callable[[dict], str]]] = [
        ("outcome", lambda e: VERDICTS.get(e["outcome"], e["outcome"]) if e["outcome"] != "ok" else "agrees"),
        ("median error, ulp", number("median_ulp")),
        ("largest error, ulp", number("max_ulp")),
        ("largest relative error", number("max_rel_error")),
        ("largest scaled error", number("max_scaled_error")),
        ("truth inside the bar", lambda e: percent(e["coverage"])),
        ("bar ÷ error, median", number("tightness")),
        ("program condition, median / max", spread("program_condition")),
        ("operations", lambda e: count(e["ops"].get("total")) if e["ops"] else "–"),
        ("evaluations of the value", lambda e: count(e["evaluations"]) if e["evaluations"] else "–"),
        ("registers", lambda e: memory(e["bytes"])),
        ("time a point", lambda e: "–" if e["seconds"] is None else seconds(e["seconds"] / points)),
        ("× value", number("ratio_to_value")),
        ("to make", time("build_seconds")),
    ]
    made = [(label, [cell(e) for e in entry["engines"]]) for label, cell in rows]
    return [(label, cells) for label, cells in made if any(c != "–" for c in cells)]
