"""A small table and its four forms: terminal, Markdown, HTML, LaTeX. Cells are text; a `Formula` brings its own LaTeX."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ..expr import latex
from .nodes import Formula

#: columns of a terminal that tables are made for
NARROWEST, WIDEST = 80, 120


@dataclass(frozen=True)
class Grid:
    """Title, headings, rows of cells; `numbers` are the columns to be aligned on the right."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()

    def to_text(self, width: int | None = None) -> str:
        from io import StringIO

        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        width = width or min(WIDEST, max(NARROWEST, shutil.get_terminal_size((100, 24)).columns))
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for k, heading in enumerate(self.headings):
            table.add_column(Text(heading), justify="right" if k in self.numbers else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        stream = StringIO()
        Console(file=stream, width=width, color_system=None, force_terminal=False).print(table)
        lines = [line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n")]
        return "\n".join([self.title, *lines])

    def to_markdown(self) -> str:
        rule = ["---:" if k in self.numbers else "---" for k in range(len(self.headings))]
        lines = [self.headings, rule, *([_code(c) for c in row] for row in self.rows)]
        return "\n".join([f"**{_plain(self.title)}**", "", *("| " + " | ".join(line) + " |" for line in lines)])

    def to_html(self) -> str:
        right = ' style="text-align:right"'
        head = "".join(f"<th{right * (k in self.numbers)}>{escape(h)}</th>" for k, h in enumerate(self.headings))
        rows = "".join(
            "<tr>" + "".join(f"<td{right * (k in self.numbers)}>{escape(c)}</td>" for k, c in enumerate(row)) + "</tr>"
            for row in self.rows
        )
        return (
            f"<table><caption>{escape(self.title)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def to_latex(self) -> str:
        """An array, for display mathematics."""
        columns = "".join("r" if k in self.numbers else "l" for k in range(len(self.headings)))
        head = " & ".join(map(_latex, self.headings))
        body = " \\\\\n".join(" & ".join(map(_latex, row)) for row in self.rows)
        return f"\\begin{{array}}{{{columns}}}\n{head} \\\\ \\hline\n{body}\n\\end{{array}}"


def _plain(text: str) -> str:
    """Markdown's own characters taken literally."""
    return "".join(f"\\{c}" if c in "*_|\\`" else c for c in text)


def _code(cell: str) -> str:
    return f"`{cell}`".replace("|", "\\|") if isinstance(cell, Formula) else _plain(cell)


def _latex(cell: str) -> str:
    if isinstance(cell, Formula):
        return cell.latex
    if not cell:
        return ""
    try:
        return latex.number(float(cell))
    except ValueError:
        return rf"\text{{{cell}}}"


def number(value: Any, digits: int = 6) -> str:
    """A value in a cell: six significant digits; a small array in brackets, a large one with its middle cut out."""
    if value is None:
        return "–"
    array = np.asarray(value)
    if array.ndim:
        return np.array2string(array, precision=digits - 2, threshold=8, edgeitems=2, separator=", ").replace("\n", "")
    if array.dtype == bool:
        return "true" if array else "false"
    text = f"{float(array):.{digits}g}"
    return "0" if text == "-0" else text
