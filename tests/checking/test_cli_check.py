"""`diffkit check`: what its argument may be, exit statuses, and what it writes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from diffkit.check.running import Check, Item, exit_status, random_array, run, summary, to_junit
from diffkit.cli import main

CHECKS = '''
import numpy as np
import diffkit as dk
from diffkit.check.running import Check

square = lambda x: np.sum(x**2)

def check_right():
    """The square, by hand."""
    return dk.check_gradient(square, np.arange(3.0), lambda x: 2 * x)

def check_several():
    """At three points."""
    for x in (0.5, 1.0, 2.0):
        yield Check(lambda x: x**3, x, lambda x: 3 * x**2, name=f"cube at {x}")

def helper(x, y=2.0):
    return np.sum(x) * y**2

def helper_gradient(x, y=2.0):
    return np.full(np.shape(x), y**2), 2 * np.sum(x) * y

def cube(x):
    return np.sum(x**3)

def cube_gradient(x):
    return 3 * x**2

def cube_hessian(x):
    return np.diag(6 * x)

def unit_vector(x, y):
    return x / np.hypot(x, y), y / np.hypot(x, y)
'''
WRONG = '''
def check_wrong():
    """Half of it."""
    return Check(square, np.arange(3.0), lambda x: x)
'''
RAISES = """
def check_raises():
    yield Check(square, np.ones(2), lambda x: 2 * x)
    raise ValueError("\\x1b[31m<odd> & bad")
"""
KINK = """
def check_kink():
    return Check(lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0]), np.sign)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def call(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["check", *words])
    assert done.exit_code == status, done.output
    return done.output


def write(folder: Path, *parts: str, name: str = "checks.py") -> str:
    (folder / name).write_text("".join([CHECKS, *parts]), encoding="utf-8")
    return name


# ---- formulas ----
def test_formula_with_right_gradients():
    out = call("sin(x)*y", "--at", "x=0.3", "y=2", "--grad", "x=cos(x)*y", "--grad", "y=sin(x)")
    assert out.startswith("pass  text::sin(x)*y  (2 derivatives, ")
    assert "1 check: 1 pass" in out


def test_formula_with_a_wrong_gradient_names_the_cause():
    out = call("sin(x)*y", "--at", "x=0.3", "y=2", "--grad", "x=cos(x)", "--grad", "y=sin(x)", status=1)
    assert "factor: the gradient is 1/2 times the right one" in out


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_formula_against_an_engine(engine):
    call("exp(-x)*y", "--at", "x=0.3,0.7", "y=2", "--engine", engine)


def test_formula_of_one_variable_needs_no_name():
    call("x**3", "--at", "x=2", "--grad", "3*x**2")
    assert "write NAME=FORMULA" in call("x*y", "--at", "x=2", "y=1", "--grad", "y", status=2)
    assert "two gradients by 'x'" in call("x*y", "--at", "x=2", "y=1", "--grad", "x=y", "--grad", "x=1", status=2)


def test_tolerances_and_order_are_handed_on():
    off = ("x**3", "--at", "x=2", "--grad", "3*x**2*1.0001")
    call(*off, status=1)
    call(*off, "--rtol", "1e-3")
    call(*off, "--atol", "0.01")
    call("x**3*y", "--at", "x=2", "y=1", "--order", "2")


def test_formula_that_cannot_be_read_is_status_2():
    assert "error" in call("sin(x", "--at", "x=1", status=2)


# ---- functions ----
@pytest.mark.parametrize("place", ["checks", "checks.py"])
def test_function_with_its_gradient(folder, place):
    write(folder)
    call(f"{place}:helper", "--at", "x=shape(2, 3)", "y=2", "--grad", f"{place}:helper_gradient")


def test_function_with_diffkits_gradient_and_defaults_left_out(folder):
    write(folder)
    assert "(3 derivatives" in call("checks:helper", "--at", "x=1,2,3")


def test_arguments_are_told_by_the_functions_own_names(folder):
    write(folder)
    assert "no argument named z" in call("checks:helper", "--at", "x=1", "z=2", status=2)
    assert "no value for x" in call("checks:helper", "--at", "y=2", status=2)
    assert "at which point?" in call("checks:helper", status=2)


def test_second_derivatives_of_a_function(folder):
    write(folder)
    words = ("checks:cube", "--at", "x=1,2,3", "--grad", "checks:cube_gradient", "--grad")
    call(*words, "checks:cube_hessian", "--order", "2")
    assert "error" in call(*words, "checks:cube_hessian", status=2)
    assert "has one --grad" in call(*words, "checks:cube", "--grad", "checks:cube", status=2)


def test_what_cannot_be_found_is_said(folder):
    write(folder)
    assert "has no 'nothing'; its functions are" in call("checks:nothing", "--at", "x=1", status=2)
    assert "no_such_module cannot be imported" in call("no_such_module:f", "--at", "x=1", status=2)
    assert "there is no file" in call("none.py", status=2)
    assert "has no file check_*.py" in call(".", status=2)


def test_built_in_functions_take_values_in_order(folder):
    write(folder)
    call("math:sin", "--at", "x=0.3", "--grad", "math:cos")
    call("math:hypot", "--at", "b=3", "a=4", "--grad", "checks:unit_vector")


@pytest.mark.parametrize(("framework", "function"), [("torch", "torch:tanh"), ("jax", "jax.numpy:tanh")])
def test_functions_of_frameworks(framework, function):
    pytest.importorskip(framework)
    call(function, "--at", "x=0.3,2", f"--{framework}")


def test_random_arrays_come_from_the_seed_and_the_name():
    assert np.array_equal(random_array("x", (3,), 1), random_array("x", (3,), 1))
    assert not np.array_equal(random_array("x", (3,), 1), random_array("y", (3,), 1))
    assert not np.array_equal(random_array("x", (3,), 1), random_array("x", (3,), 2))
    assert random_array("x", (), 0).shape == ()


# ---- files ----
def test_file_of_checks(folder):
    out = call(write(folder))
    assert "pass  checks::check_right  The square, by hand.  (3 derivatives" in out
    assert "pass  checks::check_several[2]  cube at 2.0" in out
    assert "4 checks: 4 pass" in out


def test_a_function_of_a_file_of_checks(folder):
    out = call(f"{write(folder)}:check_right")
    assert "1 check: 1 pass" in out


def test_folder_of_checks(folder):
    write(folder, name="check_a.py")
    write(folder, name="check_b.py")
    write(folder, name="other.py")
    out = call(str(folder))
    assert "check_a::check_right" in out
    assert "check_b::check_right" in out
    assert "8 checks: 8 pass" in out


def test_a_file_that_cannot_be_imported_is_an_error_and_the_others_run(folder):
    write(folder, name="check_a.py")
    (folder / "check_b.py").write_text("import no_such_module", encoding="utf-8")
    out = call(".", status=2)
    assert "error  check_b::import" in out
    assert "No module named 'no_such_module'" in out
    assert "4 pass, 1 error" in out


def test_a_file_of_checks_takes_no_point(folder):
    assert "a file of checks, which know their points" in call(write(folder), "--at", "x=1", status=2)
    (folder / "empty.py").write_text("x = 1", encoding="utf-8")
    assert "has no function check_…" in call("empty.py", status=2)


def test_statuses(folder):
    """1 before 2 before 3."""
    call(write(folder, KINK), status=3)
    call(write(folder, KINK, RAISES, name="second.py"), status=2)
    call(write(folder, KINK, RAISES, WRONG, name="third.py"), status=1)


def test_a_check_that_raises_is_told_from_the_users_line_on(folder):
    out = call(write(folder, RAISES, WRONG), status=1)
    assert "in check_raises" in out
    assert "running/outcome.py" not in out
    assert "5 pass, 1 fail, 1 error" in out


def test_checks_that_return_nothing_useful():
    items = [Item("g", "none", "", lambda: None), Item("g", "empty", "", list), Item("g", "text", "", lambda: ["a"])]
    errors = [o.error for o in run(items)]
    assert "none gave a NoneType" in errors[0]
    assert "empty made no check" in errors[1]
    assert "text gave a str" in errors[2]


def test_a_check_that_raises_does_not_end_its_function():
    def boom(x):
        raise ZeroDivisionError("boom")

    def both():
        yield Check(boom, 1.0, boom)
        yield Check(lambda x: x**2, 1.0, lambda x: 2 * x)

    first, second = run([Item("g", "both", "", both)])
    assert (first.name, first.verdict, second.name, second.verdict) == ("both[0]", "error", "both[1]", "pass")
    assert "boom" in first.error
    assert exit_status([first, second]) == 2
    assert summary([first, second]) == {"pass": 1, "error": 1}


def test_words_select(folder):
    assert "3 checks: 3 pass" in call(write(folder), "-k", "CHECKS several")
    assert "no check has the words" in call("checks.py", "-k", "nothing", status=2)


def test_fail_fast_and_quiet(folder):
    out = call(write(folder, WRONG, KINK), "--fail-fast", "--quiet", status=1)
    assert "check_right" not in out
    assert "check_kink" not in out
    assert "check_wrong" in out


# ---- what is written ----
def test_json(folder):
    data = json.loads(call(write(folder, WRONG, RAISES), "--json", "-", status=1))
    assert data["summary"] == {"pass": 5, "fail": 1, "error": 1}
    assert data["exit_status"] == 1
    assert not data["interrupted"]
    wrong = next(c for c in data["checks"] if c["check"] == "check_wrong")
    assert (wrong["verdict"], wrong["title"]) == ("fail", "Half of it.")
    assert wrong["result"]["suspects"][0]["code"] == "factor"
    call("checks.py", "--json", "out/all.json", status=1)
    assert json.loads((folder / "out" / "all.json").read_text())["summary"] == data["summary"]


def test_interruption_writes_what_is_done(folder):
    stop = "\ndef check_stop():\n    yield Check(square, np.ones(1), lambda x: 2 * x)\n    raise KeyboardInterrupt\n"
    out = call(write(folder, stop, WRONG), "--json", "o.json", "--junit", "o.xml", "--html", "o.html", status=130)
    assert "interrupted" in out
    data = json.loads((folder / "o.json").read_text())
    assert data["interrupted"]
    assert data["summary"] == {"pass": 5}
    assert ElementTree.parse(folder / "o.xml").getroot().get("tests") == "5"
    assert "check_stop[0]" in (folder / "o.html").read_text()


#: element -> (attributes that it must have, that it may have, children), as Jenkins' xUnit schema has them
SCHEMA = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors", "skipped"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname", "id", "package"},
        {"testcase", "properties", "system-out", "system-err"},
    ),
    "testcase": ({"name", "classname"}, {"time"}, {"failure", "error", "skipped", "system-out", "system-err"}),
    "failure": (set(), {"message", "type"}, set()),
    "error": (set(), {"message", "type"}, set()),
}


def test_junit_follows_the_schema(folder):
    call(write(folder, WRONG, RAISES, KINK, name="check_a.py"), "--junit", "o.xml", status=1)
    root = ElementTree.parse(folder / "o.xml").getroot()
    assert root.tag == "testsuites"
    for element in root.iter():
        must, may, children = SCHEMA[element.tag]
        assert must <= set(element.attrib) <= must | may
        assert {child.tag for child in element} <= children
        for name in ("tests", "failures", "errors", "skipped"):
            assert element.get(name, "0").isdigit()
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+|-)\d\d:\d\d", element.get("timestamp", "2000-01-01T00:00:00+00:00")
        )
    (suite,) = root
    assert [suite.get(n) for n in ("tests", "failures", "errors", "skipped")] == ["8", "1", "2", "0"]
    kinds = {c.get("name"): [(e.tag, e.get("type")) for e in c] for c in suite}
    assert kinds["check_right"] == []
    assert kinds["check_wrong"] == [("failure", "fail")]
    assert kinds["check_raises"] == [("error", "error")]
    assert kinds["check_kink"] == [("error", "kink")]
    assert "suspected causes" in next(suite.iter("failure")).text


def test_junit_holds_what_xml_cannot():
    def odd():
        raise ValueError("\x1b[31m\x00\ud800 <&>")

    (outcome,) = run([Item("g\x01", "odd", "", odd)])
    found = ElementTree.fromstring(to_junit([outcome]).encode().split(b"\n", 1)[1])
    assert "<&>" in next(found.iter("error")).text


def test_html_page_and_folder(folder):
    write(folder, WRONG, RAISES)
    call("checks.py", "--html", "one.html", "--quiet", status=1)
    assert "check_wrong" in (folder / "one.html").read_text()
    call("checks.py", "--html", "pages", "--quiet", status=1)
    index = (folder / "pages" / "index.html").read_text()
    pages = {p.name for p in (folder / "pages").iterdir()} - {"index.html"}
    assert len(pages) == 7
    assert all(f'href="{page}"' in index for page in pages)


def test_help_tells_the_rule_of_statuses():
    out = " ".join(call("--help").split())
    assert "1 if any gradient is wrong, else 2 if any input could not be used" in out
    assert "--junit" in out
