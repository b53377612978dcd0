"""Pages of checks of gradients: one check, many on a page, or a folder of pages with an index."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..check.gradients import CODES, CheckResult
from ..check.gradients.show import WORDS
from ..check.running import Outcome
from ..tape.store import write_atomically
from .check_figures import FIGURES, heat_key
from .heat import heat_maps, left_out
from .pages import _asset, _card, environment
from .words import figure_number, plural

#: the badge's colour by verdict; "undecided" for the others
BADGES = {"pass": "ok", "fail": "mismatch", "error": "error"}
ERROR_WORDS = "the check raised an error"
#: what verdicts mean, for the page's glossary
VERDICT_WORDS = {**WORDS, "error": ERROR_WORDS}


def check_html(results: Sequence[CheckResult], names: Sequence[str] | None = None) -> str:
    """One page of one or many checks, without anything from elsewhere. names: one a result; by default the functions'."""
    names = names or [r.name for r in results]
    return _page([_entry(r, name) for r, name in zip(results, names, strict=True)])


def write_checks(path: str | os.PathLike[str], outcomes: Sequence[Outcome]) -> None:
    """One page of all where the path ends in .html; else a folder with a page a check and an index."""
    entries = [_of_outcome(o) for o in outcomes]
    if Path(path).suffix in (".html", ".htm"):
        write_atomically(path, _page(entries))
        return
    rows = []
    for o, entry in zip(outcomes, entries, strict=True):
        page = f"{page_name(o.label)}.html"
        write_atomically(Path(path) / page, _page([entry]))
        rows.append({**entry, "href": page})
    write_atomically(Path(path) / "index.html", _index(rows))


def index_row(name: str, result: CheckResult, href: str) -> dict[str, Any]:
    """What an index says about a check, as plain data."""
    kept = ("label", "title", "verdict", "framework", "judged", "wrong", "says", "seconds")
    entry = _summary(result, name)
    return {k: entry[k] for k in kept} | {"href": href}


def checks_index(rows: Sequence[dict[str, Any]]) -> str:
    """The index of a folder of pages, of rows as `index_row` makes them."""
    return _index(list(rows))


def page_name(label: str) -> str:
    """A file's name for a check, unlike any other's."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")[:80]
    return f"{plain}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


# ---- what a page says ----
def _of_outcome(o: Outcome) -> dict[str, Any]:
    if o.result is not None:
        return _entry(o.result, o.label, o.title)
    return {
        "label": o.label, "title": o.title, "verdict": "error", "headline": ERROR_WORDS, "error": o.error, "result": None,
        "framework": "", "judged": 0, "wrong": 0, "says": o.error.strip().splitlines()[-1], "seconds": o.seconds,
    }  # fmt: skip


def _summary(r: CheckResult, label: str, title: str = "") -> dict[str, Any]:
    return {
        "label": label, "title": title, "verdict": r.verdict, "headline": WORDS[r.verdict], "error": "", "result": r,
        "framework": r.framework, "judged": r.judged, "wrong": r.wrong, "says": str(r.suspects[0]) if r.suspects else "",
        "seconds": r.seconds,
    }  # fmt: skip


def _entry(r: CheckResult, label: str, title: str = "") -> dict[str, Any]:
    drawn = [(kind, name, Markup(draw(r)), caption) for kind, name, draw, caption in FIGURES]
    unmapped = [leaf.name for leaf in r.leaves if leaf.expected is None]
    return _summary(r, label, title) | {
        "evidence": _evidence(r), "maps": heat_maps(r), "left_out": left_out(r), "unmapped": unmapped,
        "rows": [_row(e) for e in r.entries],
        "figures": [f for f in drawn if f[2]], "kinky": any(not math.isnan(e.left) for e in r.entries),
    }  # fmt: skip


def _row(e: Any) -> dict[str, str]:
    return {
        "name": e.name, "given": f"{e.given:.10g}", "expected": f"{e.expected:.10g}", "bar": f"{e.bar:.1e}",
        "ulps": figure_number(e.ulps), "left": f"{e.left:.6g}", "right": f"{e.right:.6g}",
    }  # fmt: skip


def _evidence(r: CheckResult) -> list[tuple[str, str]]:
    found = [
        ("looked at", f"{plural(r.judged, 'derivative')}: {r.method}"),
        ("off", f"{r.wrong:,}" if r.wrong else "none"),
    ]
    if not math.isnan(r.taylor_order):
        found.append(("Taylor remainder", f"grows with the power {r.taylor_order:.2f} of the distance"))
    if r.kinks:
        found.append(("kinks", f"left and right slopes differ at {r.kinks:,}"))
    if r.unresolved:
        found.append(("not resolved", f"{r.unresolved:,} are smaller than what can be told from the values"))
    found += [
        ("noise of the values", figure_number(r.noise)),
        ("between two calls", figure_number(r.spread) if r.spread else "no difference"),
        ("calls", f"{r.calls:,} of the function, {r.gradient_calls:,} of the gradient"),
        ("time", f"{r.seconds:.2g} s"),
        ("computed in", f"{r.dtype}, {r.framework}"),
    ]
    return found


def _page(entries: list[dict[str, Any]]) -> str:
    return _rendered("check.html.j2", entries=entries, cards=_cards(entries), key=Markup(heat_key()))


def _index(rows: list[dict[str, Any]]) -> str:
    return _rendered("checks.html.j2", entries=rows, cards=_cards(rows))


def _cards(entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    counts: dict[str, int] = {}
    for e in entries:
        counts[e["verdict"]] = counts.get(e["verdict"], 0) + 1
    kinds = {"pass": "good", "fail": "bad", "error": "bad"}
    passed = counts.pop("pass", 0)
    cards = [_card(f"{passed:,} of {len(entries):,}", "pass", "good" if passed == len(entries) else "warn")]
    order = [v for v in VERDICT_WORDS if v in counts]
    return [*cards, *(_card(f"{counts[v]:,}", f"{v}: {VERDICT_WORDS[v]}", kinds.get(v, "warn")) for v in order)]


def _rendered(template: str, **values: Any) -> str:
    script = _asset("page.js") + _asset("check.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment()
        .get_template(template)
        .render(
            **values,
            badges=BADGES,
            codes=CODES,
            verdicts=VERDICT_WORDS,
            check_style=Markup(_asset("check.css")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )
