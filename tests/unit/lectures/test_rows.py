"""The gallery of the lectures: every row runs, its claims hold, and what is shown is what ran."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import re
import textwrap
from functools import cache

import numpy as np
import pytest

from diffkit.errors import ArgumentError
from diffkit.lectures import Chart, Claim, Line, Row, all_rows, chosen_rows, landscape, run_row
from diffkit.lectures.row import CALL, PREAMBLE

ROWS = all_rows()
IDS = [row.id for row in ROWS]


@pytest.fixture(scope="module")
def outcomes():
    """Rows that ran, each once."""
    return cache(lambda name: run_row(next(row for row in ROWS if row.id == name)))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_row_runs_and_all_its_claims_hold(row, outcomes):
    outcome = outcomes(row.id)
    if outcome.missing:
        pytest.skip(f"needs {outcome.missing}")
    assert not outcome.error, outcome.error
    assert outcome.claims and not [c.says for c in outcome.claims if not c.holds]
    assert outcome.holds


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_claims_state_numbers_and_no_nan(row, outcomes):
    for claim in outcomes(row.id).claims:
        assert isinstance(claim.holds, (bool, np.bool_)), claim
        assert re.search(r"\d", claim.says), "a claim states what was measured"
        assert "nan" not in claim.says.split() and "inf" not in claim.says.split(), claim.says
        assert all(isinstance(v, (int, float, np.number)) for v in claim.numbers.values()), claim.numbers


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_charts_have_axes_titles_and_something_to_show(row, outcomes):
    charts = outcomes(row.id).charts
    assert charts, "a row shows something"
    for chart in charts:
        assert chart.title and chart.x and chart.y and chart.lines
        assert len(chart.lines) == 1 or any(line.label for line in chart.lines), "several curves have names"
        for line in chart.lines:
            x, y = np.broadcast_arrays(np.asarray(line.x, float), np.asarray(line.y, float))
            assert x.ndim == 1 and np.isfinite(x).all()
            assert np.isfinite(y).any(), f"{chart.title}: nothing of {line.label} can be drawn"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_code_shown_is_the_code_that_runs_and_needs_nothing_else(row):
    own = inspect.getsource(row.example)
    assert row.code == PREAMBLE + own + CALL.format(name=row.example.__name__)
    (function,) = [n for n in ast.parse(row.code).body if isinstance(n, ast.FunctionDef)]
    assert ast.get_docstring(function) is None and not function.args.args
    assert "fmt:" not in row.code and "noqa" not in row.code, "no tool's remarks in what learners read"
    assert "diffkit.lectures" not in row.code, "an example uses what everybody can import"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_row_is_told_in_words(row):
    assert re.fullmatch(r"[A-E]\d+", row.id) and row.title and row.sources
    assert len(row.says) > 40 and row.formulas
    module = inspect.getmodule(row.claims)
    assert module.__name__.rsplit(".", 1)[1].startswith(f"{row.id[0].lower()}{int(row.id[1:]):02d}_"), (
        "the file has the row's name"
    )
    assert module.__doc__.startswith(f"{row.id}:")


def test_rows_come_in_order_and_are_chosen_by_name_or_part():
    assert len(set(IDS)) == len(IDS)
    assert [r.id for r in chosen_rows(["b10", "B2", "B2"])] == ["B2", "B10"]
    assert [r.id for r in chosen_rows(["e"])] == [i for i in IDS if i[0] == "E"]
    assert chosen_rows() == list(ROWS)
    with pytest.raises(ArgumentError, match=r"no row 'B99'; did you mean B9"):
        chosen_rows(["B99"])
    with pytest.raises(ArgumentError, match=r"no row 'MOMENTUM'"):
        chosen_rows(["momentum"])


# ---- a row that goes wrong ----------------------------------------------------------------------------------------
def _row(example, claims=lambda r: [Claim("1 is 1", True)]):
    return Row(id="B1", title="t", says="s", formulas=(), example=example, claims=claims)


def _broken() -> dict:
    return {"x": np.ones(2) @ np.ones(3)}


def _lacking() -> dict:
    import a_package_that_nobody_has

    return {"x": a_package_that_nobody_has}


def _lacking_ours() -> dict:
    import diffkit.a_module_that_is_gone

    return {"x": diffkit.a_module_that_is_gone}


def _good() -> dict:
    return {"x": np.arange(3.0)}


def test_error_is_told_from_the_example_on():
    outcome = run_row(_row(_broken))
    assert not outcome.holds and not outcome.missing
    assert outcome.error.splitlines()[0].startswith("Traceback")
    assert '"<lecture B1>", line 7' in outcome.error and "np.ones(2) @ np.ones(3)" in outcome.error
    assert "running.py" not in outcome.error


def test_missing_package_is_no_failure_but_a_missing_module_of_ours_is():
    assert run_row(_row(_lacking)).missing == "a_package_that_nobody_has"
    ours = run_row(_row(_lacking_ours))
    assert ours.missing == "" and "a_module_that_is_gone" in ours.error


def test_verdict_is_that_of_all_claims():
    both = run_row(_row(_good, lambda r: [Claim("yes", True), Claim("no", False)]))
    assert not both.error and not both.holds
    assert run_row(_row(_good)).holds
    assert not run_row(_row(_good, lambda r: [])).holds, "a row without claims proves nothing"
    plain = both.to_dict()
    assert [c["holds"] for c in plain["claims"]] == [True, False] and plain["row"] == "B1"


def test_code_runs_as_text_of_its_own():
    row = dataclasses.replace(_row(_good))
    assert row.code == PREAMBLE + textwrap.dedent(inspect.getsource(_good)) + CALL.format(name="_good")
    space = {}
    exec(row.code, space)
    assert np.array_equal(space["_good"]()["x"], row.run()["x"])


def test_landscape_is_evaluated_on_its_grid():
    land = landscape(lambda x: x[0] ** 2 + 10 * x[1], (-1, 2), (0, 3), size=5, levels=4)
    assert land.z.shape == (5, 5) and land.z[4, 0] == 1 + 30 and land.z[0, 4] == 4
    assert len(land.levels) == 4 and (np.diff(land.levels) > 0).all()
    assert land.z.min() < land.levels[0] and land.levels[-1] < land.z.max()
    line = Line.through([[0, 1], [2, 3]], "path")
    assert line.x.tolist() == [0, 2] and line.y.tolist() == [1, 3]
    assert math.isclose(float(np.asarray(Chart("t", "x", "y", [line]).lines[0].x).sum()), 2)
