"""The report, and a single comparison, as Markdown: the same content without the figures. Formulas stand in $$…$$."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from .pages import ENGINES_IN_WORDS, cards, environment_line, truth_in_words, ways
from .tables import engine_rows, summary_cells, summary_columns, swell_of
from .words import VERDICTS, count, listed, plain_number, plural

#: characters of a derivative's LaTeX; with more, the file would be too large for sites that show Markdown
LONGEST_DERIVATIVE = 300


def plain(text: str) -> str:
    """Text from outside, so that it is neither markup nor a new cell or line."""
    text = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|$#~])", r"\\\1", text)


def code(text: str) -> str:
    """Text from outside as code, fenced by more backticks than it contains."""
    longest = max((len(m) for m in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose first `left` columns are aligned left, the others right. Cells are Markdown already."""
    rule = ["---" if k < left else "---:" for k in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def index_markdown(results: dict[str, Any]) -> str:
    engines, entries, options = results["options"]["engines"], results["formulas"], results["options"]
    parts = [
        f"# {plural(len(entries), 'formula')}, differentiated {ways(len(engines))}",
        f"Each formula was differentiated by {listed([ENGINES_IN_WORDS.get(e, e) for e in engines])}, independently of each "
        f"other, at {plural(options['points'], 'point')} drawn in its ranges. Every answer is held against a certified truth and "
        "against the error bar that the engine itself states. `index.html` beside this file is the same with figures.",
        "\n".join(f"- **{c['number']}** {c['words']}" for c in cards(results)),
        plain(environment_line(results)),
    ]
    if results["unusable"]:
        rows = [[str(u["line"]), plain(u["name"]), plain(u["reason"])] for u in results["unusable"]]
        parts += ["## Rows that could not be used", table(["line", "name", "reason"], rows, left=3)]
    if entries:
        parts += ["## What the numbers say", "\n".join(f"- {plain(s)}" for s in results["insights"])]
        parts += ["## All formulas", _summary(entries, engines)]
        parts += ["## Formula by formula", *(entry_markdown(e, 3) for e in entries)]
    return "\n\n".join(parts) + "\n"


def _summary(entries: Sequence[dict[str, Any]], engines: Sequence[str]) -> str:
    columns = summary_columns(engines)
    groups = {"accuracy": "ulp", "cost": "×"}
    head = [c.label if k < 4 else _heading(c.label, c.name, groups) for k, c in enumerate(columns)]
    rows = [
        [
            f"[{plain(e['title'] or e['name'])}](#{e['id']})",
            VERDICTS.get(e["outcome"], e["outcome"]),
            plain(e["field"]) or "–",
            str(len(e["variables"])),
            *(c.text for c in summary_cells(e, engines)),
        ]
        for e in entries
    ]
    return table(head, rows, left=3)


def _heading(label: str, name: str, groups: dict[str, str]) -> str:
    if name.startswith("largest error"):
        return f"{label}, ulp"
    return (
        f"{label}, × value"
        if name.startswith("cost")
        else f"{label}, ms to make"
        if name.startswith("time to make")
        else label
    )


def entry_markdown(e: dict[str, Any], level: int) -> str:
    """One formula."""
    anchor = f'<a id="{e["id"]}"></a>' if "id" in e else ""
    parts = [f"{'#' * level} {anchor}{plain(e['title'] or e['name'])}", code(e["text"])]
    if e["latex"]:
        parts.append(f"$$f = {e['latex']}$$")
    facts = [f"**{VERDICTS.get(e['outcome'], e['outcome'])}**", *([plain(e["field"])] if e["field"] else [])]
    parts.append(" · ".join(facts) + (f": {plain(e['reason'])}" if e["reason"] else ""))
    if e["certified"] < e["points"]:
        reasons = "; ".join(f"{plain(r['reason'])} ({plural(r['points'], 'point')})" for r in e["point_reasons"])
        parts.append(
            f"{e['certified']:,} of {e['points']:,} points have a certified derivative. The others: {reasons}."
        )
    ranges = [
        f"{plain(v['name'])} = {plain_number(v['low'])} … {plain_number(v['high'])} {plain(v['unit'])}".rstrip()
        for v in e["variables"]
    ]
    parts.append(", ".join(ranges))
    for key, words in (("source", "Source"), ("notes", "Note")):
        if e[key]:
            parts.append(f"{words}: {plain(e[key])}")
    if e["truth"]:
        parts.append(f"Truth: {plain(truth_in_words(e['truth']))}.")
    if e["engines"]:
        parts.append(
            table(
                ["", *(g["engine"] for g in e["engines"])],
                [[label, *cells] for label, cells in engine_rows(e) if label not in ("registers", "condition, median")],
            )
        )
        parts += [f"{g['engine']}: {plain(g['reason'])}" for g in e["engines"] if g["outcome"] == "unsupported"]
    s = swell_of(e)
    if s:
        d, f = s["derivative"], s["f"]
        parts.append(
            f"Swell: {count(f['tree'])} operations in the formula; in its derivatives {count(d['tree'])} as a tree, "
            f"{count(d['graph'])} as a graph, {count(d['cse'])} after CSE."
        )
    for d in e["derivatives"]:
        right = d["latex"] if len(d["latex"]) <= LONGEST_DERIVATIVE else rf"\text{{({d['operations']:,} operations)}}"
        parts.append(rf"$$\frac{{\partial f}}{{\partial {d['wrt_latex']}}} = {right}$$")
    return "\n\n".join(parts)


def comparison_markdown(c: Any) -> str:
    """One comparison; what `c.to_markdown(path)` writes."""
    from ..compare.show import headline
    from .measure import describe
    from .pages import few_points

    e = describe(c)
    parts = [entry_markdown(e, 1), headline(c) + "."]
    for p in few_points(c):
        rows = [[f"$\\partial f/\\partial {row['latex']}$", *row["cells"]] for row in p["rows"]]
        parts += [
            ": ".join(filter(None, [f"At {plain(p['at'])}", plain(p["reason"])])),
            table(["", "truth", *(g["engine"] for g in e["engines"])], rows),
        ]
    return "\n\n".join(parts) + "\n"
