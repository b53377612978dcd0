"""Finding rows and running them. A row that fails is a row that failed: it is told on its page, and the others go on."""

from __future__ import annotations

import pkgutil
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from time import perf_counter
from typing import Any

from ..errors import ArgumentError
from . import rows as folder
from .chart import Chart, Table
from .row import Claim, Row


@dataclass(frozen=True)
class Outcome:
    """A row that ran. error: the traceback where it did not; missing: the package that it lacked, "" if none."""

    row: Row
    claims: Sequence[Claim] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    seconds: float = 0.0
    error: str = ""
    missing: str = ""

    @property
    def holds(self) -> bool:
        return not self.error and bool(self.claims) and all(c.holds for c in self.claims)

    def to_dict(self) -> dict[str, Any]:
        """What results.json keeps of it."""
        return {
            "row": self.row.id,
            "title": self.row.title,
            "holds": self.holds,
            "claims": [{"says": c.says, "holds": bool(c.holds), "numbers": c.numbers} for c in self.claims],
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "missing": self.missing,
        }


@cache
def all_rows() -> tuple[Row, ...]:
    """Every module of `rows/` has one, named ROW."""
    found = [import_module(f"{folder.__name__}.{m.name}").ROW for m in pkgutil.iter_modules(folder.__path__)]
    return tuple(sorted(found, key=lambda row: row.order))


def chosen_rows(names: Iterable[str] = ()) -> list[Row]:
    """Rows by their names (B1, b1), or whole parts (B); all without names. ArgumentError tells of a name that there is not."""
    rows, chosen = all_rows(), []
    wanted = [n.strip().upper() for n in names]
    ids = [row.id for row in rows]
    for name in wanted:
        fitting = [row for row in rows if name in (row.id, row.id[0])]
        if not fitting:
            close = get_close_matches(name, ids, 3, 0.5) or [n for n in ids if n[0] == name[:1]][:3]
            hint = f"did you mean {', '.join(close)}?" if close else f"there are {ids[0]} to {ids[-1]}"
            raise ArgumentError(f"the lectures have no row {name!r}; {hint}")
        chosen += [row for row in fitting if row not in chosen]
    return sorted(chosen, key=lambda row: row.order) if wanted else list(rows)


def run_row(row: Row) -> Outcome:
    """Run its example, and judge and draw what came of it."""
    begin = perf_counter()
    try:
        result = row.run()
        seconds = perf_counter() - begin
        return Outcome(row, list(row.claims(result)), list(row.charts(result)), list(row.tables(result)), seconds)
    except Exception as problem:
        name = problem.name or "" if isinstance(problem, ModuleNotFoundError) else ""
        own = name.partition(".")[0] == __name__.partition(".")[0]
        error = _told(traceback.format_exc())
        return Outcome(row, seconds=perf_counter() - begin, error=error, missing="" if own else name)


def _told(trace: str) -> str:
    """A traceback from the example on: what ran it is of no interest."""
    head, mark, tail = trace.partition('  File "<lecture')
    return f"{head.splitlines()[0]}\n{mark}{tail}" if mark else trace
