"""A race as a table in the terminal."""

from __future__ import annotations

import io
import math
from typing import Any

from .result import TOLERANCES, Entrant, RaceResult


def table(result: RaceResult) -> Any:
    """A Rich table, best first."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("", no_wrap=True)
    for head in ("rate", "loss − f*", *(f"to {t:.0e}".replace("e-0", "e-") for t in TOLERANCES), "seconds"):
        made.add_column(head, justify="right", no_wrap=True)
    made.add_column("")
    for e in result.entrants:
        style = {"diverged": "red", "stopped": ""}.get(e.state, "")
        cells = [e.name, rate(e), gap(e, result), *(evaluations(e.reached[t]) for t in TOLERANCES), f"{e.seconds:.3f}"]
        made.add_row(*cells, remark(e), style=style)
    return made


def rate(e: Entrant) -> str:
    return "own" if e.rate is None else f"{e.rate:.3g}{' ⚠' if e.at_edge else ''}"


def gap(e: Entrant, result: RaceResult) -> str:
    return f"{e.final - result.minimum:.3g}" if math.isfinite(e.final) else "not finite"


def evaluations(n: int | None) -> str:
    return "–" if n is None else f"{n:,}"


def remark(e: Entrant) -> str:
    """What there is to be said: how it ended, and how many rates diverged."""
    words = []
    if e.state == "stopped":
        words.append("at the minimum" if e.reached[TOLERANCES[-1]] is not None else f"stopped: {e.message}")
    elif e.state == "diverged":
        words.append(f"diverged: {e.message}" if e.message else "diverged: ended higher than it began")
    bad = sum(r.state == "diverged" for r in e.runs)
    if bad and e.state != "diverged":
        words.append(f"{bad} of {len(e.runs)} seeds diverged")
    lost = sum(t.state == "diverged" for t in e.tries)
    if lost and len(e.tries) > 1:
        words.append(f"{lost} of {len(e.tries)} rates diverged")
    return "; ".join(words)


def text(result: RaceResult, width: int = 120) -> str:
    """Title, table and rules, without colours."""
    from rich.console import Console

    out = io.StringIO()
    show(result, Console(file=out, width=width, color_system=None))
    return out.getvalue().rstrip("\n")


def show(result: RaceResult, console: Any) -> None:
    p = result.problem
    console.print(f"{p.title}, {p.name}" if p.title != p.name else p.name, style="bold", highlight=False, markup=False)
    if p.formula:
        console.print(p.formula, highlight=False, markup=False)
    console.print()
    console.print(table(result))
    console.print()
    for sentence in (*result.rules(), *legend(result)):
        console.print(sentence, highlight=False, markup=False)


def legend(result: RaceResult) -> list[str]:
    """What the table's signs mean."""
    said = ["to 1e-2, 1e-4, 1e-8: evaluations until f − f* was at most this part of f(start) − f*; –, never."]
    if any(e.at_edge for e in result.entrants):
        said.append("⚠ the best rate is at the edge of the grid: a better one may lie beyond.")
    return said
