"""Reports: a corpus of formulas through all engines as HTML, Markdown and JSON; pages of a single comparison, of checks,
races, and the lectures."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "run_report": ".job",
    "Summary": ".job",
    "read_corpus": ".corpus",
    "Formula": ".corpus",
    "Unusable": ".corpus",
    "index_html": ".pages",
    "index_markdown": ".markdown",
    "comparison_html": ".pages",
    "comparison_markdown": ".markdown",
    "comparison_figure": ".plot",
    "check_html": ".checks",
    "write_checks": ".checks",
    "checks_index": ".checks",
    "index_row": ".checks",
    "page_name": ".checks",
    "race_html": ".race",
    "write_race": ".race",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name], __name__), name)
    globals()[name] = value
    return value
