"""Reports: a corpus of formulas through all engines as HTML, Markdown and JSON; pages of a single comparison, of checks,
races, and the lectures."""

from __future__ import annotations

from ..lazy import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
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
    },
)
