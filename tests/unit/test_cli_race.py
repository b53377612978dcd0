"""`diffkit race`: what its argument may be, exit statuses, and what it writes. And commands are loaded when they are named."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from diffkit.cli import COMMANDS, main

FUNCTIONS = '''
import numpy as np

def bowl(w, b=1.0):
    """A bowl of two arguments."""
    return np.sum((w - 1) ** 2) + (b + 2.0) ** 2

number = 3
'''


def race(*words: str):
    return CliRunner().invoke(main, ["race", *words, "--quiet"])


def data(*words: str):
    done = race(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def functions(tmp_path):
    path = tmp_path / "functions.py"
    path.write_text(FUNCTIONS, encoding="utf-8")
    return f"{path}:bowl"


# ---- the group ----
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_with_help_and_examples(name):
    assert import_module(f"diffkit.cli.{name}")
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0 and (f"diffkit {name}" in done.stdout or name == "doctor")
    assert f"  {name}" in CliRunner().invoke(main, ["--help"]).stdout


def test_only_the_command_that_is_named_is_loaded():
    code = (
        "import sys\nfrom diffkit.cli import main\n"
        "try:\n    main(['grad', 'x', '--at', 'x=1'])\nexcept SystemExit:\n    pass\n"
        "loaded = [m for m in sys.modules if m.startswith('diffkit.cli.')]\n"
        "assert 'diffkit.cli.grad' in loaded and 'diffkit.cli.race' not in loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_is_told():
    done = CliRunner().invoke(main, ["rase"])
    assert done.exit_code == 2 and "No such command 'rase'" in done.output


def test_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "diffkit.cli", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "diffkit, version" in done.stdout


# ---- race ----
def test_a_table_of_the_catalogue():
    done = race("rosenbrock", "--optimizers", "sgd,lbfgs", "--steps", "60")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert any(w.startswith("lbfgs") and "at the" in w for w in lines) and any(w.startswith("sgd") for w in lines)
    assert "rates" in done.stdout and "f* = 0." in done.stdout


def test_list_names_every_problem():
    done = CliRunner().invoke(main, ["race", "--list"])
    assert done.exit_code == 0
    for line in ("quadratic:cond=100,n=2", "monkey-saddle", "Moré, Garbow and Hillstrom", "logistic:l2=0.001"):
        assert line in done.stdout


def test_start_and_grid_and_steps():
    found = data("rosenbrock", "--optimizers", "sgd", "--start", "x=-1.2,y=2", "--grid", "1e-4:1e-2:3", "--steps", "7")
    assert found["problem"]["start"] == [-1.2, 2.0] and found["steps"] == 7
    assert np.allclose(found["grid"], [1e-4, 1e-3, 1e-2])
    assert [t["learning_rate"] for t in found["optimizers"][0]["tries"]] == found["grid"]
    assert data("rosenbrock", "--start=-1.2,2", "--optimizers", "lbfgs")["problem"]["start"] == [-1.2, 2.0]
    assert data("rosenbrock", "--at", "y=3", "--optimizers", "lbfgs")["problem"]["start"] == [-1.2, 3.0]
    assert data("rosenbrock", "--grid", "0.001,0.01", "--optimizers", "sgd")["grid"] == [0.001, 0.01]


def test_a_formula():
    found = data("(1-x)**2+100*(y-x**2)**2", "--at", "x=-1", "y=2", "--optimizers", "newton,lbfgs")
    assert found["problem"]["start"] == [-1.0, 2.0] and not found["minimum_known"]
    assert all(abs(o["path"][-1][0] - 1) < 1e-6 for o in found["optimizers"])
    known = data("(x-1)**4", "--at", "x=3", "--minimum", "0", "--optimizers", "newton")
    assert known["minimum_known"] and known["minimum"] == 0


def test_a_start_in_the_order_of_the_variables(functions):
    found = data("(y-1)**2+(x-2)**2", "--start", "-1,2", "--optimizers", "newton")
    assert found["problem"]["start"] == [-1.0, 2.0] and found["minimum"] == 0
    several = data(functions, "--start", "w=3,4,b=-1", "--optimizers", "newton")
    assert several["problem"]["start"] == [3.0, 4.0, -1.0]
    assert data(functions, "--start", "3,4", "--optimizers", "newton")["problem"]["start"] == [3.0, 4.0]
    assert data("x*y", "--at", "x=1", "y=2", "--start", "3,4", "--optimizers", "lbfgs")["problem"]["start"] == [
        3.0,
        4.0,
    ]
    assert "--start has 3 numbers for the variables x, y" in race("x*y", "--start", "1,2,3").stderr


def test_a_minimum_that_is_none_is_not_believed():
    assert "is known, 0: leave minimum= out" in race("rosenbrock", "--minimum", "1").stderr
    found = data("x**2", "--at", "x=3", "--minimum", "1", "--optimizers", "newton")
    assert found["minimum"] == 0 and not found["minimum_known"]
    said = race("x**2", "--at", "x=3", "--minimum", "1", "--optimizers", "newton").stdout
    assert "below 1, which was said to be it" in " ".join(said.split())


def test_a_file_that_cannot_be_written_is_told_before_the_race(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = race("rosenbrock", "--out", str(tmp_path / "file" / "page.html"))
    assert done.exit_code == 2 and "file is no folder" in done.stderr and not done.stdout


def test_a_reader_that_has_read_enough():
    done = subprocess.run(
        f"{sys.executable} -m diffkit.cli race --list | head -1", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1 and not done.stderr


def test_a_function_of_a_file(functions):
    found = data(functions, "--at", "w=0,0,0", "b=1", "--optimizers", "lbfgs")
    assert found["problem"]["dimension"] == 4 and found["minimum"] < 1e-12
    assert np.allclose(found["optimizers"][0]["path"][-1], [1, 1, 1, -2], atol=1e-6)
    drawn = data(functions, "--at", "w=shape(2,3)", "--optimizers", "lbfgs", "--seed", "3")
    assert drawn["problem"]["dimension"] == 6 and drawn["minimum"] == pytest.approx(9)


def test_seeds_of_noise():
    words = ("noisy-quadratic", "--optimizers", "sgd", "--grid", "0.1", "--steps", "5")
    assert data(*words, "--seed", "4", "--seeds", "2")["seeds"] == [4, 5]
    assert data(*words)["seeds"] == [0, 1, 2, 3, 4]


def test_all_races_everybody():
    from diffkit.optim.racing.contestants import NAMES

    found = data("saddle", "--all", "--steps", "5", "--grid", "0.1")
    assert {o["name"] for o in found["optimizers"]} == set(NAMES)


def test_a_page_and_a_gif_are_written(tmp_path):
    page, picture = tmp_path / "in" / "race.html", tmp_path / "race.gif"
    done = race("beale", "--optimizers", "adam,bfgs", "--steps", "20", "--out", str(page), "--gif", str(picture))
    assert done.exit_code == 0 and f"written: {page}" in done.stderr
    assert "Beale" in page.read_text(encoding="utf-8")
    from PIL import Image

    with Image.open(picture) as image:
        assert image.format == "GIF" and image.n_frames == 60
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "race.gif"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rosenbrok"], "did you mean 'rosenbrock'"), (["rosenbrock", "--optimizers", "adma"], "did you mean 'adam'"),
        (["rosenbrock", "--grid", "1:0:3"], "LOW:HIGH:COUNT"), (["rosenbrock", "--grid", "0.1,x"], "--grid"),
        (["rosenbrock", "--start", "1,2,3"], "2 variables"), (["rosenbrock", "--start", "z=1"], "there is no 'z'"),
        (["x**2 + y"], "from which start"), (["x**2 + y", "--at", "x=1"], "no value for 'y'"),
        (["x**2", "--at", "x=1", "y=2"], "no variable 'y'"), (["x**2", "--at", "x=1,2"], "one number"),
        (["x**2 +", "--at", "x=1"], "character"), (["rosenbrock", "--all", "--optimizers", "sgd"], "exclude"),
        (["log(x)", "--at", "x=-1"], "at the start"), (["rosenbrock", "--bogus"], "No such option"),
        (["no_such_module:f", "--at", "x=1"], "cannot be imported"), (["rosenbrock", "--steps", "0"], "0"),
        (["x**2", "--at", "x=1", "--gif", "no.gif"], "two variables at least"),
    ],
)  # fmt: skip
def test_wrong_input_is_status_2_and_one_message(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = race(*words)
    assert done.exit_code == 2 and said in done.stderr, done.output
    assert "Traceback" not in done.output and not list(tmp_path.iterdir())


def test_functions_that_cannot_be_called_are_told(functions):
    assert "cannot be called with v" in race(functions, "--at", "v=1").stderr
    assert "is no function" in race(functions.replace("bowl", "number"), "--at", "x=1").stderr


def test_nobody_below_the_start_is_status_3():
    assert race("rosenbrock", "--optimizers", "sgd", "--grid", "10", "--steps", "20").exit_code == 3


def test_interruption_is_status_130(monkeypatch):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffkit.optim.racing.race", stopped)
    done = race("rosenbrock")
    assert done.exit_code == 130 and "interrupted" in done.stderr


def test_help_has_examples():
    assert "diffkit race quadratic:cond=1000,n=2" in CliRunner().invoke(main, ["race", "--help"]).stdout
    assert Path(import_module("diffkit.cli.race").__file__).name == "race.py"
