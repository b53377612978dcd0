"""What was found, as data (results.json), to be read (results.md, the terminal) and as a picture (results.svg).

results.json keeps one entry a workload; measuring a workload again replaces its entry alone. Markdown and picture are
drawn from the data, never from the run.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffkit.errors import DataError
from diffkit.tape.store import write_atomically

from .harness import DISAGREES, MEASURED, Bench

FORMAT, VERSION = "diffkit-benchmarks", 1

Data = dict[str, Any]


# ---- data -------------------------------------------------------------------------------------------------------------
def entry(title: str, bench: Bench, machine: Mapping[str, Any], error: str = "") -> Data:
    """What one workload leaves. Its machine stands with it: entries of one file may come from several."""
    return {
        "title": title,
        "size": bench.size,
        "rounds": bench.rounds,
        "machine": {k: machine[k] for k in ("processor", "processors", "diffkit", "date")},
        "error": error,
        "tables": [t.as_dict() for t in bench.tables],
        "claims": [c.as_dict() for c in bench.claims],
    }


def read(folder: Path) -> Data:
    """The results in a folder; empty ones where there are none. DataError for a file that is something else."""
    path = folder / "results.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"format": FORMAT, "version": VERSION, "machine": None, "workloads": {}}
    except ValueError as problem:
        raise DataError(f"{path} is not JSON: {problem}. Move it away, or choose another folder") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
        raise DataError(f"{path} holds no benchmark results of this version. Move it away, or choose another folder")
    return data


def write(folder: Path, data: Data, order: Sequence[str]) -> None:
    """results.json, results.md and results.svg, workloads in the given order; each whole or as it was before."""
    known = sorted(data["workloads"], key=lambda n: order.index(n) if n in order else len(order))
    data = {**data, "workloads": {n: data["workloads"][n] for n in known}}
    write_atomically(folder / "results.json", json.dumps(_no_nan(data), ensure_ascii=False, indent=1) + "\n")
    write_atomically(folder / "results.svg", figure(data))
    write_atomically(folder / "results.md", markdown(data))


def _no_nan(x: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(x, dict):
        return {k: _no_nan(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_no_nan(v) for v in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x


# ---- words ------------------------------------------------------------------------------------------------------------
def time_text(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "–"
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if seconds >= scale or unit == "ns":
            value = seconds / scale
            return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.3g} {unit}"
    raise AssertionError


def quantity(x: float | None, unit: str) -> str:
    return "–" if x is None else time_text(x) if unit == "s" else f"{x:.3g} ×"


def best_peer(table: Data) -> float | None:
    found = [r["median"] for r in table["rows"] if r["tool"] != "diffkit" and r["outcome"] == MEASURED]
    return min((m for m in found if m), default=None)


COLUMNS = ("", "median", "range", "÷ best peer", "first answer", "configuration")
CLAIM_COLUMNS = ("target", "limit", "measured", "met")


def cells(row: Data, table: Data, best: float | None) -> list[str]:
    """A row of a table as text; why there is no figure, where there is none."""
    how = f"{row['version']}: {row['how']}" if row["version"] else row["how"]
    if row["outcome"] != MEASURED:
        return [row["name"], row["outcome"], "", "", time_text(row["first"]) if row["first"] else "", row["reason"]]
    low, high = (quantity(row[key], table["unit"]) for key in ("low", "high"))
    spread = "" if row["low"] is None else f"{low} … {high}"
    over = f"{row['median'] / best:.2f}" if best and table["unit"] == "s" else ""
    first = time_text(row["first"]) if row["first"] else ""
    return [row["name"], quantity(row["median"], table["unit"]), spread, over, first, how]


def heading(table: Data) -> str:
    return f"{table['title']} (times per {table['per']})" if table["per"] else table["title"]


def claim_cells(claim: Data) -> list[str]:
    unit = "" if claim["unit"] == "×" else f" {claim['unit']}"
    limit = f"{'≥' if claim['at_least'] else '≤'} {claim['limit']:g}{unit}"
    found = "not measured" if claim["figure"] is None else f"{claim['figure']:.3g}{unit}"
    return [claim["what"], limit, found, {True: "yes", False: "no", None: ""}[claim["met"]]]


def machine_lines(machine: Data) -> list[str]:
    """The machine and its ceilings."""
    lines = [
        f"{machine['processor']}, {machine['processors']} processors, caches {machine['caches']}, {machine['memory_gb']} GB",
        f"{machine['system']}; Python {machine['python']}, NumPy {machine['numpy']}, diffkit {machine['diffkit']}",
        f"Instruction set: {machine['ceilings']['instruction_set']}",
    ]
    for label in ("one", "all"):
        c = machine["ceilings"][label]
        kind = "fused multiply-adds" if machine["ceilings"]["fused"] else "multiplications and additions"
        lines.append(
            f"{c['threads']} thread{'s' * (c['threads'] > 1)}: copy {c['copy_gb_s']:.1f} GB/s, triad {c['triad_gb_s']:.1f} GB/s, "
            f"{c['gflop_s']:.0f} Gflop/s of {kind} in float64"
        )
    return lines


# ---- Markdown ---------------------------------------------------------------------------------------------------------
def markdown(data: Data) -> str:
    """The whole of the results. It is also what docs/benchmarks.md takes its table from."""
    parts = ["# Benchmarks\n", "Made by `diffkit bench`; how to read it: docs/benchmarks.md.\n"]
    if data["machine"]:
        parts += [*(f"- {line}" for line in machine_lines(data["machine"])), ""]
    parts.append("![Time of every tool over the best of diffkit](results.svg)\n")
    for name, found in data["workloads"].items():
        parts.append(f"## {name.upper()} {found['title']}\n")
        parts.append(f"Size {found['size']}, {found['rounds']} rounds, {found['machine']['date']}")
        other = data["machine"] and found["machine"]["processor"] != data["machine"]["processor"]
        parts[-1] += f", on {found['machine']['processor']}.\n" if other else ".\n"
        if found["error"]:
            parts.append(f"**Ended early:** {found['error']}\n")
        if found["claims"]:
            parts.append(_markdown_table(CLAIM_COLUMNS, map(claim_cells, found["claims"])))
        for table in found["tables"]:
            best = best_peer(table)
            parts.append(f"**{heading(table)}**\n")
            parts.append(_markdown_table(COLUMNS, (cells(r, table, best) for r in table["rows"])))
            if table["note"]:
                parts.append(f"{table['note']}\n")
    return "\n".join(parts)


MARKS = ("<!-- results: begin -->", "<!-- results: end -->")


def summary(data: Data) -> str:
    """The results in short: for every table diffkit's best beside the best peer, and all targets."""
    compared, targets = [], []
    for name, found in data["workloads"].items():
        for table in found["tables"]:
            measured = [r for r in table["rows"] if r["outcome"] == MEASURED and r["median"]]
            ours, peers = ([r for r in measured if (r["tool"] == "diffkit") is own] for own in (True, False))
            if ours and peers:
                a, b = (min(rows, key=lambda r: r["median"]) for rows in (ours, peers))
                both = [f"{quantity(r['median'], table['unit'])} ({r['name']})" for r in (a, b)]
                compared.append([name.upper(), heading(table), *both, f"{a['median'] / b['median']:.2f}"])
        targets += [[name.upper(), *claim_cells(c)] for c in found["claims"]]
    return "\n".join(
        [
            _markdown_table(("", "work", "diffkit's best", "best peer", "÷"), compared),
            _markdown_table(("", *CLAIM_COLUMNS), targets),
        ]
    )


def fill_document(path: str | Path, folder: str | Path) -> None:
    """Replace what stands between the marks of a document by the summary of the results in a folder."""
    text, data = Path(path).read_text(encoding="utf-8"), read(Path(folder))
    before, begin, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise DataError(f"{path} has no place for results between {MARKS[0]} and {MARKS[1]}")
    machine = "".join(f"- {line}\n" for line in machine_lines(data["machine"])) if data["machine"] else ""
    write_atomically(path, f"{before}{begin}\n{machine}\n{summary(data)}{end}{after}")


def _markdown_table(head: Sequence[str], rows: Any) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows), ""])


# ---- terminal ---------------------------------------------------------------------------------------------------------
def show(name: str, found: Data, console: Any) -> None:
    """One workload as Rich tables."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    def printed(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
        table = Table(title=Text(title), title_justify="left", title_style="bold", header_style="dim", box=SIMPLE)
        for k, h in enumerate(head):
            table.add_column(h, justify="left" if k == 0 else "right", no_wrap=k > 0)
        for row, style in zip(rows, styles, strict=True):
            table.add_row(*map(Text, row), style=style)
        console.print(table)

    for table in found["tables"]:
        best, rows = best_peer(table), table["rows"]
        styles = ["red" if r["outcome"] == DISAGREES else "bold" if r["tool"] == "diffkit" else "" for r in rows]
        printed(f"{name.upper()} {heading(table)}", COLUMNS[:-1], [cells(r, table, best)[:-1] for r in rows], styles)
        for r in rows:
            if r["outcome"] != MEASURED:
                console.print(Text(f"  {r['name']} {r['outcome']}: {r['reason']}", style="dim"))
        if table["note"]:
            console.print(Text(table["note"], style="dim"))
    if found["claims"]:
        colours = {True: "green", False: "yellow", None: "dim"}
        title = f"{name.upper()} targets" + " (meant for the full size)" * (found["size"] == "tiny")
        rows = [claim_cells(c) for c in found["claims"]]
        printed(title, CLAIM_COLUMNS, rows, [colours[c["met"]] for c in found["claims"]])
    if found["error"]:
        console.print(Text(f"{name.upper()} ended early: {found['error']}", style="red"))


# ---- picture ----------------------------------------------------------------------------------------------------------
COLOURS = {
    "diffkit": "#d62728", "heyoka": "#1f77b4", "jax": "#2ca02c", "torch": "#ff7f0e", "casadi": "#9467bd",
    "autograd": "#8c564b", "sympy": "#7f7f7f", "numpy": "#17becf", "ctypes": "#bcbd22",
}  # fmt: skip


def figure(data: Data) -> str:
    """SVG: for every table a line, on it every tool's best time over diffkit's best, on a logarithmic axis."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    lines = []
    for name, found in data["workloads"].items():
        for table in found["tables"]:
            best = _best_by_tool(table)
            if "diffkit" in best and len(best) > 1 and table["unit"] == "s":
                lines.append((f"{name.upper()} {_shortened(table['title'])}", best))
    drawing = Figure(figsize=(9, 1.6 + 0.4 * max(1, len(lines))), layout="constrained")
    axes = drawing.add_subplot()
    for y, (_, best) in enumerate(reversed(lines)):
        for tool, seconds in best.items():
            marker, colour = "D" if tool == "diffkit" else "o", COLOURS.get(tool, "#000000")
            axes.plot(seconds / best["diffkit"], y, marker, color=colour, markersize=8, alpha=0.75)
    for tool in dict.fromkeys(t for _, best in lines for t in best):
        axes.plot([], [], "D" if tool == "diffkit" else "o", color=COLOURS.get(tool, "#000000"), label=tool)
    axes.set_yticks(range(len(lines)), [label for label, _ in reversed(lines)])
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.set_xscale("log")
    axes.axvline(1, color="#d62728", linewidth=0.8)
    axes.grid(True, axis="x", linewidth=0.4)
    axes.set_xlabel("time of a tool's best ÷ time of diffkit's best")
    if lines:
        drawing.legend(loc="outside upper center", ncols=8, frameon=False)
    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": FORMAT}):
        FigureCanvasSVG(drawing).print_svg(out, metadata={"Date": None})
    return out.getvalue()


def _best_by_tool(table: Data) -> dict[str, float]:
    best: dict[str, float] = {}
    for r in table["rows"]:
        if r["outcome"] == MEASURED and r["median"]:
            best[r["tool"]] = min(r["median"], best.get(r["tool"], math.inf))
    return best


def _shortened(title: str, most: int = 58) -> str:
    return title if len(title) <= most else title[: most - 1] + "…"
