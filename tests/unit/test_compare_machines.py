"""compare(machines=…): the engines on further machines, each in a column of its own, judged by the same truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import diffkit as dk
from diffkit.cli import main
from diffkit.errors import ArgumentError, UnavailableError

pytest.importorskip("numba")
TEXT, AT = "(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2))", {"x1": 0.5, "x2": np.array([1.0, 1.5])}


def compared(**options: Any) -> Any:
    return dk.compare(TEXT, AT, **{"timing": False, **options})


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffkit.machines import cuda

    def compile_(self: Any, tape: Any) -> Any:
        raise UnavailableError("no GPU")

    monkeypatch.setattr(cuda.CudaMachine, "compile", compile_)


def test_every_engine_has_a_column_a_machine() -> None:
    c = compared(engines=("reverse", "finite"), machines=["numpy"], timing=True)
    assert list(c.columns) == ["reverse", "finite", "reverse on numpy", "finite on numpy"] == list(c.engines)
    assert c.agree and c.machine == "cpu"
    for name, column in c.columns.items():
        assert column.engine == name and column.outcome == "ok" and column.coverage == 1 and column.max_ulp < 1e6
        assert column.seconds > 0 and column.ratio_to_value > 0
    assert c["reverse on numpy"].ops == c["reverse"].ops


def test_programs_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffkit.engines import engine

    made, reverse = [], type(engine("reverse"))
    program = reverse.program
    monkeypatch.setattr(reverse, "program", lambda self, *a, **k: made.append(1) or program(self, *a, **k))
    compared(engines=("reverse",), machine="numpy")
    alone = len(made)
    compared(engines=("reverse",), machine="numpy", machines=("cpu",))
    assert len(made) == 2 * alone


def test_the_machine_itself_is_not_repeated() -> None:
    assert list(compared(engines=("reverse",), machine="numpy", machines="numpy").columns) == ["reverse"]


def test_one_that_is_not_there_is_said_and_does_not_count(no_gpu: None) -> None:
    c = compared(engines=("reverse", "forward"), machines=("cuda",), timing=True)
    assert c.agree and c.outcome == "ok"
    for name in ("reverse on cuda", "forward on cuda"):
        assert (c[name].outcome, c[name].reason) == ("unsupported", "no GPU")
    with pytest.raises(UnavailableError, match="no GPU"):
        compared(machine="cuda")


def test_a_wrong_answer_on_another_machine_is_a_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffkit.machines import machine

    kind = type(machine("numpy"))
    right = kind.compile

    def wrong(self: Any, tape: Any) -> Any:
        run = right(self, tape)

        class Wrong:
            register_bytes = 0

            def __call__(self, values: Any, out: Any = None) -> Any:
                return [r * (1 + 1e-9) for r in run(values)]

        return Wrong()

    monkeypatch.setattr(kind, "compile", wrong)
    c = compared(engines=("reverse",), machines=("numpy",))
    assert c["reverse"].outcome == "ok" and c["reverse on numpy"].outcome == "mismatch"
    assert not c.agree and c.outcome == "mismatch"


def test_without_a_truth_machines_do_not_confirm_each_other() -> None:
    """Two engines on one machine are two; one engine on two machines is one."""
    x = dk.symbol("x", shape=(3, 3))
    f = dk.eigvalsh(x).sum()
    at = {"x": np.diag([1.0, 2.0, 4.0])}
    c = dk.compare(f, at, engines=("reverse",), machine="numpy", machines=("cpu",), timing=False)
    if c.truth.method != "none":
        pytest.skip("there is a truth for eigenvalues")
    assert "within the bars" not in c["reverse"].reason + c["reverse on cpu"].reason


def test_all_forms_show_them(tmp_path: Path) -> None:
    c = compared(engines=("symbolic", "reverse"), machines=("numpy",), timing=True)
    for name in ("html", "markdown", "json"):
        getattr(c, f"to_{name}")(tmp_path / name)
        assert "reverse on numpy" in (tmp_path / name).read_text(encoding="utf-8")
    assert "reverse on numpy" in str(c) and "evaluations" in str(c) and "reverse on numpy" in c._repr_html_()
    c.plot()


def test_an_unknown_machine_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="choose one of cpu, cuda, numpy"):
        compared(machines=("tpu",))


def test_on_the_command_line() -> None:
    words = ["compare", "x**2", "x=3", "--engines", "reverse", "--machines", "numpy", "--json", "-"]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 0 and list(json.loads(found.stdout)["engines"]) == ["reverse", "reverse on numpy"]


def test_on_the_simulated_gpu() -> None:
    code = (
        f"import diffkit as dk; c = dk.compare({TEXT!r}, {{'x1': 0.5, 'x2': 1.0}}, machines='cuda', timing=False);"
        "assert c.agree, c; assert [c[n + ' on cuda'].outcome for n in ('symbolic', 'forward', 'reverse', 'finite')] == ['ok'] * 4"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False,
        cwd=Path(dk.__file__).parents[1], env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_engines_are_given_by_name() -> None:
    assert list(compared(engines="forward").columns) == ["forward"]
    for wrong in (["fwd"], [dk.grad], "fwd"):
        with pytest.raises(ArgumentError, match="symbolic, forward, reverse, finite"):
            compared(engines=wrong)
