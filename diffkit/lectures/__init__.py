"""The gallery of the lectures: every system that they teach, run, drawn and judged.

`rows/` one file a row, found by its name; `row.py` what a row is; `chart.py` what it draws, as data; `running.py` runs it.
`report/lectures.py` makes pages of it.
"""

from __future__ import annotations

from .chart import Chart, Landscape, Line, Mark, Table, landscape
from .row import Claim, Row
from .running import Outcome, all_rows, chosen_rows, run_row

__all__ = [
    "Chart", "Claim", "Landscape", "Line", "Mark", "Outcome", "Row", "Table", "all_rows", "chosen_rows", "landscape", "run_row",
]  # fmt: skip
