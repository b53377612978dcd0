"""HTML pages: the report of a corpus, and a single comparison. Everything from outside goes through Jinja's escaping."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .. import __version__
from ..compare.show import headline
from .figures import CAPTIONS, FIGURES
from .mathml import mathml
from .measure import BATCH
from .overview import overview
from .svg import marker_class, marker_definitions
from .tables import engine_rows, summary_cells, summary_columns, swell_of
from .words import VERDICTS, count, figure_number, listed, plain_number, plural

NUMBERS = {1: "one way", 2: "two ways", 3: "three ways", 4: "four ways", 5: "five ways", 6: "six ways", 7: "seven ways"}


ENGINES_IN_WORDS = {
    "symbolic": "SymPy’s symbolic derivative",
    "forward": "forward mode",
    "reverse": "reverse mode",
    "finite": "differences of values",
}


def ways(n: int) -> str:
    return NUMBERS.get(n, f"{n} ways")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    env = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        undefined=StrictUndefined,
    )
    env.filters.update(
        mathml=mathml,
        count=count,
        plural=plural,
        listed=listed,
        plain=plain_number,
        number=figure_number,
        figures=_figures,
        swell_of=swell_of,
        engine_rows=engine_rows,
        marker_class=marker_class,
        verdict=lambda outcome: VERDICTS.get(outcome, outcome),
        words=_words,
        truth=truth_in_words,
    )
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # ours, not a reader's: styles, script and markers go in as they are
    env.globals.update(
        version=__version__,
        style=Markup(_asset("style.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        marker_definitions=Markup(marker_definitions()),
    )
    return env


def _figures(entry: dict[str, Any]) -> list[tuple[str, str, str, Markup]]:
    drawn = [(kind, title, CAPTIONS[kind], draw(entry)) for kind, title, draw in FIGURES]
    return [(kind, title, caption, Markup(svg)) for kind, title, caption, svg in drawn if svg]


def _words(entry: dict[str, Any]) -> str:
    """What the filter looks through."""
    return " ".join(
        [entry["name"], entry["title"], entry["field"], entry["outcome"], VERDICTS.get(entry["outcome"], "")]
    ).lower()


def truth_in_words(truth: dict[str, Any]) -> str:
    """How the truth of a formula was certified."""
    bits = f"in balls of up to {plural(truth['bits'], 'bit')}"
    if not truth["method"].startswith("sympy"):
        return f"differences of the value alone, {bits}" + (f" ({truth['reason']})" if truth["reason"] else "")
    return f"SymPy’s derivative {bits}" + (
        f", cross-checked by differences at {plural(truth['checked'], 'point')}" if truth["checked"] else ""
    )


def index_html(results: dict[str, Any]) -> str:
    """The whole report as one page; `results` is what results.json holds."""
    engines = results["options"]["engines"]
    return (
        environment()
        .get_template("index.html.j2")
        .render(
            r=results,
            ways=ways(len(engines)),
            engines_in_words=listed([ENGINES_IN_WORDS.get(e, e) for e in engines]),
            cards=cards(results),
            environment=environment_line(results),
            has_finite=int("finite" in engines),
            batch=max(BATCH, results["options"]["points"]),
            columns=summary_columns(engines),
            overview=[(caption, Markup(svg)) for caption, svg in overview(results["formulas"], engines)],
            rows=[(e, summary_cells(e, engines)) for e in results["formulas"]],
        )
    )


def cards(results: dict[str, Any]) -> list[dict[str, str]]:
    """The verdict in a few large numbers."""
    t = results["totals"]
    made = [
        _card(
            f"{t['agreeing']:,} of {t['formulas']:,}",
            "formulas on which all engines agree",
            "good" if t["agreeing"] == t["formulas"] else "warn",
        ),
        _card(f"{t['answers']:,}", "answers judged (entries × engines)", ""),
        _card(f"{t['outside']:,}", "answers outside their own error bar", "bad" if t["outside"] else "good"),
        _card(f"{t['kink_points'] + t['nonfinite_points']:,}", "points set apart: on a kink, or not finite", ""),
    ]
    if t["mismatches"]:
        made.append(_card(f"{t['mismatches']:,}", "formulas with a mismatch", "bad"))
    if t["undecided"]:
        made.append(_card(f"{t['undecided']:,}", "formulas not decided", "warn"))
    if t["unusable"]:
        made.append(
            _card(f"{t['unusable']:,}", plural(t["unusable"], "row").split()[1] + " that could not be used", "warn")
        )
    return made


def _card(number: str, words: str, kind: str) -> dict[str, str]:
    return {"number": number, "words": words, "kind": kind}


def environment_line(results: dict[str, Any]) -> str:
    env, options = results["environment"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in env["versions"].items())
    return (
        f"{options['corpus']} · {plural(options['points'], 'point')} a formula, seed {options['seed']} · {env['processor']}, "
        f"{plural(env['cores'], 'core')}, {env['system']} · {versions} · {results['date']}"
    )


# ---- a single comparison --------------------------------------------------------------------------------------------
def comparison_html(c: Any) -> str:
    """A page about one comparison; what `c.to_html(path)` writes."""
    from .measure import describe

    entry = describe(c)
    return (
        environment()
        .get_template("single.html.j2")
        .render(e=entry, ways=ways(len(entry["engines"])), headline=headline(c), points=few_points(c))
    )


def few_points(c: Any, most: int = 4) -> list[dict[str, Any]]:
    """Truth and every engine's answer at each point, where the points are few and the variables scalars."""
    from ..expr.latex import name

    if c.points > most or any(v.ndim > 1 for v in c.at.values()):
        return []
    points = []
    for k in range(c.points):
        decided = c.point_outcome[k] == "ok"
        rows = [
            {
                "wrt": w,
                "latex": name(w),
                "cells": [
                    repr(float(c.truth.gradient[w][k])) if decided else "–",
                    *(_answer(col, w, k) for col in c.columns.values()),
                ],
            }
            for w in c.wrt
        ]
        reason = "" if decided else c.point_reason[k] or str(c.point_outcome[k])
        points.append(
            {"at": ", ".join(f"{n} = {float(v[k])!r}" for n, v in c.at.items()), "reason": reason, "rows": rows}
        )
    return points


def _answer(column: Any, w: str, k: int) -> str:
    if w not in column.gradient:
        return "–"
    bar = f" ± {column.error_bar[w][k]:.1g}" if w in column.error_bar else ""
    return f"{float(column.gradient[w][k])!r}{bar}"
