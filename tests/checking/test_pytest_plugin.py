"""The fixture `check_gradient` and the option --diffkit-report, in runs of pytest of their own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import diffkit

pytest_plugins = ["pytester"]
ROOT = Path(diffkit.__file__).parents[1]
PLUGIN = "diffkit.check.pytest_plugin"

TESTS = """
import numpy as np
import pytest
import diffkit as dk

x = np.array([1.0, 2.0])
square = lambda x: np.sum(x**2)

def test_right(check_gradient):
    result = check_gradient(square, x, lambda x: 2 * x)
    assert result.verdict == "pass"

def test_wrong(check_gradient):
    check_gradient(square, x, lambda x: 2 * x)
    check_gradient(square, x, lambda x: x)

def test_kink(check_gradient):
    check_gradient(lambda x: np.sum(np.abs(x)), np.array([0.0]), np.sign)

def test_kink_allowed(check_gradient):
    for allow in ("kink", ["noise", "kink"]):
        assert check_gradient(lambda x: np.sum(np.abs(x)), np.array([0.0]), np.sign, allow=allow).verdict == "kink"

def test_options(check_gradient):
    check_gradient(square, x, lambda x: 2.001 * x, rtol=0.01)

def fails_here(x):
    raise ValueError("inside")

def test_raises(check_gradient):
    check_gradient(fails_here, x, fails_here)

def test_errors_can_be_caught(check_gradient):
    with pytest.raises(dk.ArgumentError, match="inside"):
        check_gradient(fails_here, x, fails_here)

@pytest.fixture
def checked_before(check_gradient):
    check_gradient(square, x, lambda x: x)

def test_setup(checked_before):
    pass

def test_misspelt(check_gradient):
    check_gradient(square, x, lambda x: 2 * x, allow="kinks")
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """A run in a process of its own, so that this one's modules stay as they are."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    installed = any(e.value == PLUGIN for e in entry_points(group="pytest11"))
    pytester.makepyfile(test_gradients=TESTS)
    words = () if installed else ("-p", PLUGIN)
    return lambda *more: pytester.runpytest_subprocess(*words, *more)


def test_the_report_is_the_failure(run):
    result = run("-q")
    result.assert_outcomes(passed=4, failed=4, errors=1)
    out = result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            ">       check_gradient(square, x, lambda x: x)",
            "E       Failed: check_gradient: fail: <lambda>: *",
            "E           factor: the gradient is 1/2 times the right one",
            "* checks of gradients in this test *",
            "pass  test_gradients.py::test_wrong: <lambda>",
            "fail  test_gradients.py::test_wrong (2): <lambda>",
        ]
    )
    assert "E       Failed: check_gradient: kink: " in out
    assert "allow= has 'kinks'; verdicts are pass, fail, kink" in out
    for ours in ("checking.py", "pytest_plugin.py", "function.py", "numpy_functions.py"):
        assert ours not in out, f"{ours} is diffkit's inside"


def test_errors_show_the_users_lines_alone(run):
    result = run("-q", "-k", "test_raises")
    result.stdout.fnmatch_lines(
        ['>       raise ValueError("inside")', ">       check_gradient(fails_here, x, fails_here)"]
    )
    assert "diffkit/check" not in result.stdout.str()


@pytest.mark.parametrize("processes", [0, 2])
def test_report_of_every_check_and_an_index(run, pytester, processes):
    if processes:
        pytest.importorskip("xdist")
    result = run(
        "-q", "--diffkit-report=pages", "-k", "right or wrong or allowed or setup", *("-n", "2")[: 2 * bool(processes)]
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)
    index = (pytester.path / "pages" / "index.html").read_text(encoding="utf-8")
    pages = {p.name for p in (pytester.path / "pages").iterdir()} - {"index.html"}
    assert len(pages) == 6
    assert all(f'href="{page}"' in index for page in pages)
    assert "test_gradients.py::test_wrong (2)" in index
    result.stdout.fnmatch_lines(["*checks of gradients: 6 in pages*index.html*"])


def test_without_checks_there_is_no_index(run, pytester):
    pytester.makepyfile(test_gradients="def test_nothing(): pass")
    result = run("-q", "--diffkit-report=pages")
    result.stdout.fnmatch_lines(["*checks of gradients: none were made*"])
    assert not (pytester.path / "pages").exists()


def test_the_plugin_is_published():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"diffkit": PLUGIN}


def test_the_plugin_is_light():
    """It is imported by every run of pytest where diffkit is installed."""
    heavy = {"numpy", "scipy", "numba", "sympy", "jinja2", "optree", "matplotlib", "diffkit.check.gradients"}
    code = f"import sys, {PLUGIN}; found = {heavy!r} & set(sys.modules); assert not found, found"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
