"""The benchmarks' harness, and every workload once at its tiny size with diffkit alone. No test judges a time."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from diffkit.cli import benchmarks, main
from diffkit.errors import ArgumentError, DataError

harness, results, runner, peers = (benchmarks(name) for name in ("harness", "results", "run", "peers"))
WORKLOADS = list(benchmarks().WORKLOADS)
MACHINE = {
    "processor": "P", "processors": 2, "caches": "L1 1K", "memory_gb": 1.0, "system": "S", "python": "3", "numpy": "2",
    "diffkit": "0", "date": "now",
    "ceilings": {
        "instruction_set": "sse4.2", "fused": True,
        **{k: {"threads": n, "copy_gb_s": 1.0, "triad_gb_s": 1.0, "gflop_s": 1.0} for k, n in (("one", 1), ("all", 2))},
    },
}  # fmt: skip


def contestant(name: str, build: Callable, tool: str = "numpy", **more: Any) -> Any:
    return harness.Contestant(tool, name, "somehow", build, **more)


def gives(*answer: Any) -> Callable:
    return lambda: lambda: [np.asarray(a) for a in answer]


def rows(*contestants: Any, reference: Any = None, rounds: int = 3) -> dict[str, Any]:
    bench = harness.Bench("tiny", rounds=rounds)
    return {r.name: r for r in bench.table("T", contestants, reference).rows}


# ---- agreement --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], 0.0),
        ([[1.0, 2.2]], [[1.0, 2.0]], 0.1),
        ([[1e-9, 1.0, 2.0]], [[0.0, 1.0, 2.0]], 1e-9),
        ([[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], math.inf),
        ([[1.0, 2.0, 3.0]], [[1.0, 2.0]], math.inf),
        ([[np.nan, 2.0]], [[1.0, 2.0]], math.inf),
        ([[1.0, 2.0]], [[np.nan, 2.0]], math.inf),
        ([[np.inf, 2.0]], [[-np.inf, 2.0]], math.inf),
        ([[np.nan, np.inf]], [[np.nan, np.inf]], 0.0),
        ([[0.0, 0.0]], [[0.0, 0.0]], 0.0),
    ],
)
def test_difference(answer: Any, reference: Any, expected: float) -> None:
    assert harness.difference(answer, [np.array(r) for r in reference]) == pytest.approx(expected)


def test_one_that_disagrees_is_not_timed_and_no_peer_to_beat() -> None:
    found = rows(
        contestant("right", gives([1.0, 2.0])), contestant("wrong", gives([1.0, 2.1])), reference=[np.array([1.0, 2.0])]
    )
    assert found["right"].outcome == "measured" and found["right"].median > 0
    assert (
        found["wrong"].outcome == "disagrees" and found["wrong"].median is None and "5.0e-02" in found["wrong"].reason
    )


def test_without_a_reference_the_first_answer_is_one() -> None:
    found = rows(contestant("first", gives([1.0])), contestant("second", gives([2.0])))
    assert (found["first"].outcome, found["second"].outcome) == ("measured", "disagrees")


# ---- who is there -----------------------------------------------------------------------------------------------------
def failing(problem: Exception) -> Callable:
    def build() -> Any:
        raise problem

    return build


def test_missing_and_broken_tools_are_said_and_the_others_go_on() -> None:
    found = rows(
        contestant("absent", gives([1.0]), tool="no_such_tool_at_all"),
        contestant("unfit", failing(harness.UnavailableError("needs a compiler"))),
        contestant("broken", failing(ValueError("oh"))),
        contestant("ours", failing(ImportError("cannot import x", name="diffkit.x")), tool="diffkit"),
        contestant("there", gives([1.0])),
    )
    assert {n: (r.outcome, r.reason) for n, r in found.items() if n != "there"} == {
        "absent": ("skipped", "no_such_tool_at_all is not installed"),
        "unfit": ("skipped", "needs a compiler"),
        "broken": ("failed", "ValueError: oh"),
        "ours": ("failed", "ImportError: cannot import x"),
    }
    assert found["there"].outcome == "measured"


def test_a_run_is_sound_unless_diffkit_fails() -> None:
    bench = harness.Bench("tiny")
    bench.table("T", [contestant("peer", failing(ValueError("oh")))])
    assert bench.sound
    bench.table("T", [contestant("ours", failing(ValueError("oh")), tool="diffkit")])
    assert not bench.sound


def test_only_chosen_peers_take_part() -> None:
    bench = harness.Bench("tiny", tools=["jax"])
    assert bench.takes_part("jax") and bench.takes_part("diffkit") and not bench.takes_part("torch")
    assert all(harness.Bench("tiny").takes_part(t) for t in peers.TOOLS)


# ---- order ------------------------------------------------------------------------------------------------------------
def test_turns_are_interleaved_and_the_order_rotates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "TURN_SECONDS", 0.0)
    said: list[str] = []

    def named(name: str) -> Any:
        return contestant(name, gives([1.0]), prepare=lambda: said.append(name))

    found = rows(named("a"), named("b"), named("c"), rounds=3)
    assert said == [*"aabbcc", *"abc", *"bca", *"cab"]  # each prepared to be built, to be gauged, and before every turn
    assert all(r.rounds == 3 and r.low <= r.median <= r.high for r in found.values())


def test_one_that_has_used_its_time_sits_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "BUDGET_SECONDS", 0.0)
    assert rows(contestant("slow", gives([1.0])), rounds=20)["slow"].rounds == harness.LEAST_ROUNDS


# ---- targets ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("figure", "at_least", "met"),
    [(1.0, False, True), (3.0, False, False), (3.0, True, True), (None, False, None), (math.nan, False, None)],
)
def test_claims(figure: float | None, at_least: bool, met: bool | None) -> None:
    assert harness.Claim("c", figure, 2.0, at_least).met is met


def test_figures_of_a_table() -> None:
    table = harness.Table("T", "point", [
        harness.Row("ours", "diffkit", "", median=1.0, first=9.0), harness.Row("a", "jax", "", median=4.0),
        harness.Row("b", "jax", "", median=2.0), harness.Row("c", "torch", "", outcome="skipped"),
    ])  # fmt: skip
    assert (table.figure("ours"), table.figure("ours", "first"), table.figure("c"), table.figure("nobody")) == (
        1,
        9,
        None,
        None,
    )
    assert table.best() == 2 and table.best(lambda r: r.own) == 1 and table.best(lambda r: r.tool == "torch") is None
    assert harness.ratio(None, 2.0) is None and harness.ratio(1.0, None) is None and harness.ratio(1.0, 2.0) == 0.5


# ---- what is written --------------------------------------------------------------------------------------------------
def measured(name: str = "p1", title: str = "A title") -> dict[str, Any]:
    bench = harness.Bench("tiny")
    ours, peer = contestant("ours", gives([1.0]), tool="diffkit"), contestant("NumPy", gives([1.0]))
    bench.table(title, [ours, peer, contestant("wrong | one", gives([2.0]))])
    bench.claim("ours ÷ best", 0.5, 1.0)
    bench.claim("not judged", None, 1.0, unit="GB")
    return results.entry(title, bench, MACHINE)


def test_data_markdown_and_picture(tmp_path: Path) -> None:
    data = {**results.read(tmp_path), "machine": MACHINE}
    data["workloads"]["p1"] = measured()
    results.write(tmp_path, data, WORKLOADS)
    assert results.read(tmp_path) == json.loads(json.dumps(data))
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    for part in (
        "## P1 A title",
        "| ours |",
        "wrong \\| one | disagrees",
        "| ours ÷ best | ≤ 1 | 0.5 | yes |",
        "not measured",
        "sse4.2",
    ):
        assert part in text
    picture = (tmp_path / "results.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(picture).tag.endswith("svg") and "P1 A title" in picture
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["results.json", "results.md", "results.svg"]


def test_the_summary_fills_a_document(tmp_path: Path) -> None:
    data = {**results.read(tmp_path), "machine": MACHINE, "workloads": {"p1": measured()}}
    results.write(tmp_path, data, WORKLOADS)
    document = tmp_path / "page.md"
    document.write_text("before\n" + "\nold\n".join(results.MARKS) + "\nafter\n", encoding="utf-8")
    for _ in range(2):
        results.fill_document(document, tmp_path)
        text = document.read_text(encoding="utf-8")
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
        assert (
            text.count("| P1 | A title (times per point) |") == 1 and "| P1 | ours ÷ best | ≤ 1 | 0.5 | yes |" in text
        )
    document.write_text("no marks", encoding="utf-8")
    with pytest.raises(DataError, match="no place"):
        results.fill_document(document, tmp_path)


def test_another_run_replaces_its_own_entry_only(tmp_path: Path) -> None:
    data = {
        **results.read(tmp_path),
        "machine": MACHINE,
        "workloads": {"p3": measured(title="Three"), "p1": measured(title="Old")},
    }
    results.write(tmp_path, data, WORKLOADS)
    again = results.read(tmp_path)
    assert list(again["workloads"]) == ["p1", "p3"]
    again["workloads"]["p1"] = measured(title="New")
    results.write(tmp_path, again, WORKLOADS)
    assert {n: e["title"] for n, e in results.read(tmp_path)["workloads"].items()} == {"p1": "New", "p3": "Three"}


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "something else"}'])
def test_a_file_that_is_something_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="another folder"):
        results.read(tmp_path)


def test_no_nan_in_json(tmp_path: Path) -> None:
    entry = measured()
    entry["tables"][0]["rows"][0]["difference"] = math.inf
    results.write(
        tmp_path, {"format": results.FORMAT, "version": 1, "machine": MACHINE, "workloads": {"p1": entry}}, WORKLOADS
    )
    assert results.read(tmp_path)["workloads"]["p1"]["tables"][0]["rows"][0]["difference"] is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (2.5, "2.5 s"), (0.1234, "123 ms"), (9.94e-5, "99.4 µs"), (1.25e-8, "12.5 ns"), (1e-10, "0.1 ns")],
)
def test_times_are_read_at_a_glance(seconds: float | None, text: str) -> None:
    assert results.time_text(seconds) == text


# ---- the run and the command ------------------------------------------------------------------------------------------
@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without measuring the machine."""
    monkeypatch.setattr(runner, "facts", lambda tiny: MACHINE)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_runs(name: str, tmp_path: Path, light: None) -> None:
    assert runner.run_benchmarks([name], [], "tiny", tmp_path, repeats=3, progress=False)
    entry = results.read(tmp_path)["workloads"][name]
    assert entry["error"] == "" and entry["claims"] and entry["tables"]
    assert {r["outcome"] for t in entry["tables"] for r in t["rows"]} == {"measured"}
    assert {r["tool"] for t in entry["tables"] for r in t["rows"]} == {"diffkit"}


def test_every_workload_runs_without_any_peer(tmp_path: Path, light: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("autograd", "casadi", "heyoka", "jax", "torch"):
        monkeypatch.setitem(sys.modules, tool, None)  # importing it fails
    assert runner.run_benchmarks([], None, "tiny", tmp_path, repeats=1, progress=False)


def test_numpy_by_hand_agrees(tmp_path: Path, light: None) -> None:
    assert runner.run_benchmarks(["p1", "p2", "p3"], ["numpy"], "tiny", tmp_path, progress=False)
    for entry in results.read(tmp_path)["workloads"].values():
        (row,) = (r for t in entry["tables"] for r in t["rows"] if r["tool"] == "numpy")
        assert row["outcome"] == "measured"


def test_a_workload_that_breaks_leaves_its_error(tmp_path: Path, light: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(bench: Any) -> None:
        bench.table("T", [contestant("there", gives([1.0]))])
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(runner, "module", lambda name: SimpleNamespace(TITLE="Breaks", run=breaks))
    assert not runner.run_benchmarks(["p1"], [], "tiny", tmp_path, progress=False)
    entry = results.read(tmp_path)["workloads"]["p1"]
    assert entry["error"] == "ZeroDivisionError: by zero" and [t["title"] for t in entry["tables"]] == ["T"]


def test_interrupted_keeps_what_is_finished(tmp_path: Path, light: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(bench: Any) -> None:
        raise KeyboardInterrupt

    done = SimpleNamespace(TITLE="Done", run=lambda bench: None)
    monkeypatch.setattr(
        runner, "module", lambda name: done if name == "p1" else SimpleNamespace(TITLE="Not", run=interrupted)
    )
    found = CliRunner().invoke(main, ["bench", "p1", "p2", "--size", "tiny", "--out", str(tmp_path), "--quiet"])
    assert found.exit_code == 130 and "interrupted" in found.stderr
    assert list(results.read(tmp_path)["workloads"]) == ["p1"]


def test_the_command(tmp_path: Path, light: None) -> None:
    out = str(tmp_path / "bench")
    found = CliRunner().invoke(main, ["bench", "P3", "--peers", "numpy", "--size", "tiny", "--out", out, "--quiet"])
    assert found.exit_code == 0, found.output
    assert "NumPy by hand" in found.stdout and "diffkit ÷ heyoka" in found.stdout and "results.json" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["p99"], "no workload 'p99'; choose from p1, p1c"),
        (["p1", "--peers", "mathematica"], "no peer 'mathematica'; choose from jax"),
    ],
)
def test_unknown_names_are_clear_errors(arguments: list[str], message: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["bench", *arguments, "--out", str(tmp_path)])
    assert found.exit_code == 2 and message in found.stderr
    assert not list(tmp_path.iterdir())


def test_help_has_examples() -> None:
    found = CliRunner().invoke(main, ["bench", "--help"])
    assert found.exit_code == 0 and "diffkit bench p1 p2 --peers heyoka,jax" in found.stdout


def test_the_benchmarks_are_one_package_wherever_they_lie() -> None:
    assert benchmarks() is benchmarks() and benchmarks("p1") is benchmarks("p1_black_scholes")
    assert benchmarks("p1").__name__ == "diffkit.benchmarks.p1_black_scholes"


def test_benchmarks_that_are_not_there_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setattr("diffkit.__file__", str(tmp_path / "diffkit" / "__init__.py"))
    monkeypatch.delitem(sys.modules, "diffkit.benchmarks")
    with pytest.raises(ArgumentError, match="the benchmarks are neither in"):
        benchmarks()


def test_the_machine_is_measured() -> None:
    found = benchmarks("machine").ceilings(tiny=True)
    for label in ("one", "all"):
        assert all(found[label][k] > 0 for k in ("threads", "copy_gb_s", "triad_gb_s", "gflop_s"))
    assert found["instruction_set"]


@pytest.mark.parametrize("out", ["/proc/nosuch", "{tmp}/a_file/below"])
def test_a_folder_that_cannot_be_written_is_said_before_the_work(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_file").write_text("", encoding="utf-8")
    monkeypatch.setattr(runner, "facts", lambda tiny: pytest.fail("measured"))
    found = CliRunner().invoke(main, ["bench", "p3", "--size", "tiny", "--out", out.format(tmp=tmp_path), "--quiet"])
    assert found.exit_code == 2 and "results cannot be written to" in found.stderr and "another folder" in found.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a_file"]
