"""Pages of the gallery of the lectures: an index with a tick for every row, and a page a row.

A row that is run again replaces its own page and its own entry of results.json; the index shows all there are.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import keyword
import os
import tokenize
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .. import __version__
from ..errors import ArgumentError, DataError
from ..lectures import Outcome, Row, all_rows
from ..tape.store import write_atomically
from .charts import chart_svg, legend, prose
from .pages import _asset, environment
from .words import figure_number

#: the parts, in the words of the list of all systems
PARTS = {
    "A": "Ways to differentiate",
    "B": "Optimisers",
    "C": "Regularisation and data",
    "D": "Layers, activations, losses",
    "E": "Second order",
}
RESULTS = "results.json"


class Gallery:
    """A folder of pages. `add` writes the page of a row that ran, `finish` the index and results.json."""

    def __init__(self, out: Any) -> None:
        """Raises ArgumentError for a folder that cannot be made or written into, DataError for a damaged results.json."""
        self.out = Path(out)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise ArgumentError(f"the folder {self.out} cannot be made: {problem.strerror or problem}") from None
        if not os.access(self.out, os.W_OK):
            raise ArgumentError(f"the folder {self.out} cannot be written into: permission denied")
        self.results = _results(self.out / RESULTS)
        self.rows = all_rows()

    def add(self, outcome: Outcome) -> None:
        self.results[outcome.row.id] = outcome.to_dict()
        write_atomically(self.out / outcome.row.page, row_html(outcome, *self._beside(outcome.row)))

    def finish(self) -> Path:
        """The index's path. Rows that never ran have a page that says so: no link leads nowhere."""
        for row in self.rows:
            if not (self.out / row.page).exists():
                self.results.pop(row.id, None)
                write_atomically(self.out / row.page, row_html(Outcome(row), *self._beside(row)))
        entries = [self.results[row.id] for row in self.rows if row.id in self.results]
        document = {"diffkit": __version__, "date": datetime.now(UTC).date().isoformat(), "rows": entries}
        write_atomically(self.out / RESULTS, json.dumps(_plain(document), ensure_ascii=False, indent=1))
        index = self.out / "index.html"
        write_atomically(index, index_html(self.rows, self.results))
        return index

    def _beside(self, row: Row) -> tuple[Row | None, Row | None]:
        place = [r.id for r in self.rows].index(row.id)
        return (self.rows[place - 1] if place else None), (self.rows[place + 1] if place + 1 < len(self.rows) else None)


def _results(path: Path) -> dict[str, dict[str, Any]]:
    """What earlier runs left there."""
    try:
        return {entry["row"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(
            f"{path} is not what diffkit lectures writes ({problem}): remove it to begin anew, or choose another folder"
        ) from None


def _plain(x: Any) -> Any:
    """JSON without NaN: null."""
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_plain(v) for v in x]
    if hasattr(x, "item"):
        x = x.item()
    return None if isinstance(x, float) and x - x != 0 else x


def index_html(rows: Sequence[Row], results: dict[str, dict[str, Any]]) -> str:
    """All rows, part by part. results: entries as in results.json, by row."""
    parts = [(PARTS[p], [(r, results.get(r.id)) for r in rows if r.id[0] == p]) for p in PARTS]
    ran = [results[r.id] for r in rows if r.id in results]
    return _rendered(
        "lectures.html.j2", parts=[p for p in parts if p[1]], count=len(rows), cards=_cards(ran, len(rows))
    )


def row_html(outcome: Outcome, before: Row | None = None, after: Row | None = None) -> str:
    """The page of a row, with links to its neighbours."""
    drawn = [(chart, chart_svg(chart), legend(chart)) for chart in outcome.charts]
    return _rendered(
        "lecture.html.j2",
        o=outcome,
        row=outcome.row,
        part=PARTS[outcome.row.id[0]],
        charts=drawn,
        code=highlighted(outcome.row.code),
        judging=highlighted(outcome.row.judging),
        before=before,
        after=after,
    )


def _cards(entries: list[dict[str, Any]], count: int) -> list[dict[str, str]]:
    holding = sum(e["holds"] for e in entries)
    claims = [c for e in entries for c in e["claims"]]
    held, failed = sum(c["holds"] for c in claims), sum(bool(e["error"]) for e in entries)
    cards = [
        _card(f"{holding} of {count}", "rows whose claims all hold", holding == len(entries)),
        _card(f"{held} of {len(claims)}", "claims that hold on this run", held == len(claims)),
        {"number": f"{sum(e['seconds'] for e in entries):.0f} s", "words": "to run them", "kind": ""},
    ]
    more = [{"number": f"{count - len(entries)}", "words": "rows not run yet", "kind": ""}] * (len(entries) < count)
    more += [_card(f"{failed}", "rows that could not be run", False)] * bool(failed)
    return cards + more


def _card(number: str, words: str, good: bool) -> dict[str, str]:
    return {"number": number, "words": words, "kind": "good" if good else "bad"}


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return prose(value)
    return f"{value:,}" if isinstance(value, int) else figure_number(float(value))


def highlighted(code: str) -> Markup:
    """Python with keywords, strings and comments in colours of their own."""
    parts: list[str] = []
    lines = code.splitlines(keepends=True)
    at = (1, 0)
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        kind = _kind(token)
        if kind:
            parts += [escape(_between(lines, at, token.start)), f'<span class="{kind}">{escape(token.string)}</span>']
            at = token.end
    parts.append(escape(_between(lines, at, (len(lines) + 1, 0))))
    return Markup("".join(parts))


def _kind(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME and keyword.iskeyword(token.string):
        return "kw"
    name = tokenize.tok_name[token.type]
    return {"COMMENT": "com", "STRING": "str"}.get(name, "str" if name.startswith("FSTRING") else "")


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return lines[start[0] - 1][start[1] :] + "".join(lines[start[0] : end[0] - 1]) + last


def _rendered(template: str, **values: Any) -> str:
    script = _asset("page.js") + _asset("lectures.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    env = environment()
    env.filters["prose"] = prose
    return env.get_template(template).render(
        **values,
        cell=_cell,
        lecture_style=Markup(_asset("lectures.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )
