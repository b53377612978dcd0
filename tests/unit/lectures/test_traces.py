"""Trace tables on pages of the gallery, and columns of words."""

from __future__ import annotations

import re

import pytest

import diffkit as dk
from diffkit.lectures import Claim, Outcome, Table, all_rows, chosen_rows
from diffkit.report.lectures import index_html, row_html


@pytest.mark.parametrize(("mode", "count"), [("forward", 1), ("reverse", 2)])
def test_table_of_a_trace_has_its_cells_and_knows_its_columns_of_words(mode, count):
    trace = dk.trace_table("exp(x/y)", at={"x": 0.5, "y": 1.0}, mode=mode)
    tables = Table.of_trace(trace, "words below")
    assert len(tables) == count
    for table, grid in zip(tables, trace.grids(), strict=True):
        assert [list(row) for row in table.rows] == [list(map(str, row)) for row in grid.rows]
        assert list(table.columns) == [str(h) for h in grid.headings]
        assert table.words == frozenset(range(len(grid.headings))) - grid.numbers
        assert table.caption == "words below"


def test_words_are_aligned_on_the_left_and_do_not_break_until_they_are_long():
    short, long = "v1*v2", "a sentence that goes on until it is longer than a column"
    table = Table("t", ["node", "rule", "value"], [["a", short, "0.5"], ["b", long, "-1"]], words=frozenset({1}))
    page = row_html(Outcome(all_rows()[0], claims=[Claim("1", True)], tables=[table]))
    assert f'<td class="w">{short}</td><td>0.5</td>' in page
    assert f'<td class="l">{long}</td><td>−1</td>' in page
    assert '<th scope="col" class="w">rule</th>' in page


def test_index_says_how_many_systems_it_shows():
    rows = all_rows()[:3]
    assert "3 systems from five lectures" in index_html(rows, {})


def test_worked_example_shows_every_number_of_the_slide():
    (row,) = chosen_rows(["A5"])
    tables = row.tables(row.run())
    cells = {re.sub("−", "-", str(cell)) for table in tables for line in table.rows for cell in line}
    assert {"1.64872", "2.14872", "1.07436", "2.64872", "3.47308", "-2.14872", "-3.88526", "0.5", "0", "1"} <= cells
