"""`diffkit lectures`: what it writes, and its exit status."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

import diffkit.lectures
from diffkit.cli import main
from diffkit.lectures import Claim, all_rows


@pytest.fixture
def run(tmp_path):
    return lambda *arguments: CliRunner().invoke(main, ["lectures", *arguments, "--out", str(tmp_path / "out")])


def _changed(monkeypatch, **more):
    """Row B3 in another state."""
    row = dataclasses.replace(next(r for r in all_rows() if r.id == "B3"), **more)
    monkeypatch.setattr(diffkit.lectures, "chosen_rows", lambda names: [row])


def test_one_row_is_run_and_written(run, tmp_path):
    done = run("b3")
    assert done.exit_code == 0, done.output
    assert "B3" in done.output and "1 of 1 rows hold" in done.output
    entries = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["rows"]
    assert [(e["row"], e["holds"]) for e in entries] == [("B3", True)]
    assert "micro-gradients" in (tmp_path / "out" / "b3.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "index.html").exists()


def test_list_names_every_row():
    done = CliRunner().invoke(main, ["lectures", "--list"])
    assert done.exit_code == 0 and [line.split()[0] for line in done.output.splitlines()] == [r.id for r in all_rows()]


def test_quiet_names_only_rows_that_do_not_hold(run):
    assert run("B3", "--quiet").output.splitlines()[0].startswith("1 of 1 rows hold")


def test_unknown_row_is_status_2_with_near_ones(run, tmp_path):
    done = run("B33")
    assert done.exit_code == 2 and "no row 'B33'" in done.output and "B3" in done.output.split("did you mean")[1]
    assert not (tmp_path / "out").exists()


def test_claim_that_does_not_hold_is_status_1(run, monkeypatch):
    _changed(monkeypatch, claims=lambda r: [Claim("2 is 3", False)])
    done = run()
    assert done.exit_code == 1 and "does not hold: 2 is 3" in done.output


def _fails() -> dict:
    raise ValueError("no luck")


def _lacks() -> dict:
    import a_package_that_nobody_has

    return {"x": a_package_that_nobody_has}


def test_error_is_status_1_and_missing_package_3(run, monkeypatch, tmp_path):
    _changed(monkeypatch, example=_fails)
    done = run()
    assert done.exit_code == 1 and "ValueError: no luck" in done.output
    assert "no luck" in (tmp_path / "out" / "b3.html").read_text(encoding="utf-8")
    _changed(monkeypatch, example=_lacks)
    done = run()
    assert done.exit_code == 3 and "needs a_package_that_nobody_has" in done.output


def _stopped() -> dict:
    raise KeyboardInterrupt


def test_stopped_from_the_keyboard_leaves_a_whole_folder(run, monkeypatch, tmp_path):
    _changed(monkeypatch, example=_stopped)
    done = run()
    assert done.exit_code == 130 and "0 of 0 rows" in done.output
    assert f"1 rows are left: diffkit lectures B3 --out {tmp_path / 'out'}" in done.output
    assert "Not run yet" in (tmp_path / "out" / "b3.html").read_text(encoding="utf-8")


def test_help_tells_of_rows_and_status():
    done = CliRunner().invoke(main, ["lectures", "--help"])
    assert done.exit_code == 0 and "Exit status" in done.output and "reports/lectures" in done.output
