"""The report: reading corpora, broken rows, a small corpus end to end, and what is left when something goes wrong."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from diffkit.errors import ArgumentError, DataError
from diffkit.report import comparison_html, comparison_markdown, read_corpus, run_report
from diffkit.report import job as job_module
from diffkit.report.corpus import Formula, Unusable, Variable, parse_corpus, parse_ranges
from diffkit.report.job import anchors
from diffkit.report.mathml import mathml
from diffkit.report.measure import histogram
from diffkit.report.pool import Failed, run_all
from diffkit.report.svg import Figure, Log
from diffkit.report.words import figure_number, percent, plain_number

SMALL = """name,title,field,formula,variables,source,notes
lecture,Worked example,optimisation,(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2)),x1=0.2:2 x2=0.5:3,A lecture,
bell,Bell curve,statistics,exp(-x^2/2),x=-3:3[m],,A note
fold,Distance,,abs(x) + y,x=-1:1 y=0:1,,
"""


def one(text: str):
    """The only entry of a corpus of one row."""
    (entry,) = parse_corpus("name,formula,variables\n" + text)
    return entry


# ---- reading ----------------------------------------------------------------------------------------------------------
def test_own_corpus_is_all_usable():
    rows = read_corpus()
    assert len(rows) >= 60
    assert [r for r in rows if isinstance(r, Unusable)] == []
    assert len({r.name for r in rows}) == len(rows)
    assert any(v.unit for r in rows for v in r.variables)


def test_columns_in_any_order_others_passed_over():
    (entry,) = parse_corpus("output,Variables, NAME ,formula\nf,x=1:2,square,x^2\n")
    assert (entry.name, entry.text, entry.variables) == ("square", "x^2", (Variable("x", 1.0, 2.0),))


def test_quotes_blank_lines_bom_and_other_delimiters():
    text = '\ufeff\n\nname,formula,variables\n\nangle,"atan2(y, x)","x=1:2, y=1:2"\n\n'
    path_text = text.removeprefix("\ufeff")
    (entry,) = parse_corpus(path_text)
    assert entry.text == "atan2(y, x)"
    assert entry.line == 5
    (semicolons,) = parse_corpus("name;formula;variables\nangle;atan2(y, x);x=1:2 y=1:2\n")
    assert semicolons.variables == entry.variables


def test_byte_order_mark(tmp_path):
    path = tmp_path / "corpus.csv"
    path.write_bytes(b"\xef\xbb\xbfname,formula,variables\r\nbell,exp(-x^2),x=-1:1\r\n")
    assert isinstance(read_corpus(path)[0], Formula)


def test_feynman_collection():
    folder = os.environ.get("DIFFKIT_TEST_DATA")
    if not folder:
        pytest.skip("DIFFKIT_TEST_DATA is not set")
    rows = read_corpus(Path(folder) / "feynman.csv")
    assert len(rows) == 50
    assert all(isinstance(r, Formula) for r in rows)


def test_ranges_with_units_and_signs():
    a, b = parse_ranges(" v = -1e3:2.5E-3 [km s^-1] w=0:1")
    assert (a.low, a.high, a.unit) == (-1000.0, 0.0025, "km s^-1")
    assert b == Variable("w", 0.0, 1.0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"name,formula,variables\n", "no rows"),
        (b"title,formula,variables\na,x,x=1:2\n", "line 1: the header has no column 'name'"),
        (b"bell,exp(-x^2),x=1:2\n", "The first line must name the columns"),
        (b"name,formula,variables\nb\xe4r,x,x=1:2\n", "line 2: not UTF-8"),
        ("name,formula,variables\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_not_a_corpus(tmp_path, content, says):
    path = tmp_path / "corpus.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_corpus(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read_corpus(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a,x +* 2,x=1:2", "character 4"),
        ("a,,x=1:2", "the formula is empty"),
        ("a,x*y,x=1:2", "no range for y: add y=low:high"),
        ("a,2+2,", "no variable to differentiate by"),
        ("a,x,x=2:1", "the first number must be the smaller one"),
        ("a,x,x=1:1", "the first number must be the smaller one"),
        ("a,x,x=one:2", "'one' is not a number"),
        ("a,x,x=0:inf", "must be finite"),
        ("a,x,x=-1e308:1e308", "must be finite"),
        ("a,x,x=1-5", "write name=low:high"),
        ("a,x,x=1:2 x=2:3", "two ranges"),
        ("a,atan2(y, x),x=1:2 y=1:2", "in double quotes"),
        ("a,__import__('os'),x=1:2", "character"),
        ("a", "the formula is empty"),
    ],
)
def test_broken_row(row, says):
    entry = one(row + "\n")
    assert isinstance(entry, Unusable)
    assert entry.line == 2
    assert says in entry.reason


def test_broken_rows_do_not_stop_the_others():
    rows = parse_corpus("name,formula,variables\na,x,x=1:2\nb,x +,x=1:2\na,x^2,x=1:2\nd,x^3,x=1:2\n")
    assert [type(r) for r in rows] == [Formula, Unusable, Unusable, Formula]
    assert "line 2 has the same name" in rows[2].reason
    assert [r.line for r in rows] == [2, 3, 4, 5]


def test_control_characters_are_left_out():
    assert one("a\x1b[31m b\x07,x,x=1:2\n").name == "a[31m b"


def test_a_declared_but_unused_variable_is_remarked_on():
    assert one("a,x^2,x=1:2 y=1:2\n").unused == ("y",)


def test_long_line_is_a_row_that_cannot_be_used():
    entry = one("a," + "x+" * 500_000 + "1,y=1:2\n")
    assert isinstance(entry, Unusable)
    assert len(entry.reason) < 2000


def test_points_depend_on_seed_and_names_only():
    a = Formula("a", "x*y", (Variable("x", 1, 2), Variable("y", -1, 1)))
    b = Formula("a", "x", (Variable("y", -1, 1),))
    assert np.array_equal(a.points(10, 3)["y"], b.points(10, 3)["y"])
    assert not np.array_equal(a.points(10, 3)["y"], a.points(10, 4)["y"])
    assert np.array_equal(a.points(5, 3)["x"], a.points(10, 3)["x"][:5])
    drawn = a.points(10_000)["x"]
    assert 1 <= drawn.min() < 1.01 and 1.99 < drawn.max() <= 2


# ---- small parts ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("x", "shown"),
    [
        (None, "–"),
        (math.inf, "∞"),
        (0, "0"),
        (0.5, "0.5"),
        (3.14159, "3.1"),
        (420.4, "420"),
        (52_000_000, "5.2·10⁷"),
        (9.99e-8, "1.0·10⁻⁷"),
        (-1.5, "−1.5"),
        (5e-324, "4.9·10⁻³²⁴"),
    ],
)  # fmt: skip
def test_figure_number(x, shown):
    assert figure_number(x) == shown


def test_percent_is_never_rounded_up_to_all():
    assert percent(1.0) == "100 %"
    assert percent(0.9999999) == "99.99 %"


def test_plain_number():
    assert [plain_number(x) for x in (1.0, -0.25, 1e-27, 2.5e6, 1e14)] == ["1", "−0.25", "10⁻²⁷", "2500000", "10¹⁴"]


def test_histogram_counts_every_entry():
    found = histogram(np.array([0.0, 0.001, 0.3, 1.0, 1e20, np.inf]))
    assert sum(found["counts"]) == 5
    assert found["nonfinite"] == 1
    assert found["first"] == 0


def test_log_axis_labels():
    assert [label for _, label in Log(0, 1.4, 0, 1).ticks()] == ["1", "2", "5", "10", "20"]
    assert [label for _, label in Log(-4, 4, 0, 1).ticks(5)] == ["10⁻⁴", "10⁻²", "1", "100", "10⁴"]
    assert Log(0, 2, 0, 100)(1e9) == 100


def test_figures_escape_text():
    figure = Figure(10, 10, '"><script>')
    figure.text(0, 0, "<b>&")
    assert "<script>" not in str(figure) and "<b>" not in str(figure)


def test_mathml_escapes_text_and_keeps_what_it_cannot_read():
    assert "&lt;script&gt;" in mathml(r"\text{<script>}")
    assert mathml(r"a_b_c < 1") == "<code>a_b_c &lt; 1</code>"
    assert "<mi>atan2</mi>" in mathml(r"\operatorname{atan2}\left(y, x\right)")


def test_mathml_has_names_apart_from_arguments():
    assert '<mi>ln</mi><mspace width="0.17em"></mspace><mi>x</mi>' in mathml(r"\ln x")
    least = mathml(r"\min_w f(w)")
    assert "<msub><mi>min</mi><mi>w</mi></msub>" in least or "<munder><mi>min</mi><mi>w</mi></munder>" in least
    assert "mspace" not in mathml(r"\max\left(0, z\right)") and "mspace" not in mathml("a x")


def test_anchors_are_distinct():
    names = ["a b", "a-b", "A B", "ü", "", "a b--2"]
    assert len(set(anchors(names))) == len(names)


# ---- the pool ---------------------------------------------------------------------------------------------------------
def test_pool_survives_failures_overruns_and_deaths():
    assert dict(run_all(math.sqrt, [4.0, -1.0, 9.0], 2, 10)) == {
        0: 2.0,
        1: Failed("error", "ValueError: math domain error"),
        2: 3.0,
    }
    found = dict(run_all(time.sleep, [0, 60, 0], 1, 1.0))
    assert found[1].outcome == "timeout" and found[0] is None and found[2] is None
    found = dict(run_all(os._exit, [3], 1, 10))
    assert found[0] == Failed("error", "its process died (exit status 3)")


# ---- the job ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "corpus.csv").write_text(SMALL, encoding="utf-8")
    made = run_report(folder / "corpus.csv", folder / "out", points=50, progress=False, machine="numpy")
    return made, folder / "out"


def loaded(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_small_corpus(report):
    made, folder = report
    assert made.exit_status == 0, str(made)
    assert (made.formulas, made.agreeing, made.outside) == (3, 3, 0)
    results = loaded(folder)
    assert [f["name"] for f in results["formulas"]] == ["lecture", "bell", "fold"]
    lecture = results["formulas"][0]
    assert {e["engine"]: e["outcome"] for e in lecture["engines"]} == dict.fromkeys(
        ("symbolic", "forward", "reverse", "finite"), "ok"
    )
    assert lecture["certified"] == 50
    assert [d["wrt"] for d in lecture["derivatives"]] == ["x1", "x2"]
    assert lecture["step_curve"]["wrt"] in ("x1", "x2")
    for e in lecture["engines"]:
        assert e["entries"] == 100 and e["coverage"] == 1.0
        assert sum(e["ulp_histogram"]["counts"]) == 100
        assert all(
            math.isfinite(e[k]) for k in ("ratio_to_value", "build_seconds", "seconds_a_point")
        )  # measured, whatever it is


def test_page_is_self_contained(report):
    page = (report[1] / "index.html").read_text(encoding="utf-8")
    for loading in ("src=", "@import", "url(", '<link rel="stylesheet'):
        assert loading not in page
    assert "<math" in page and page.count("<svg") > 6
    assert 'id="f-lecture"' in page and 'href="#f-lecture"' in page


def test_markdown_has_tables_and_formulas(report):
    text = (report[1] / "index.md").read_text(encoding="utf-8")
    assert "$$f = \\left(e^{" in text
    assert "| formula | verdict | field |" in text
    assert text.count("| outcome | agrees |") == 3


def timeless(results: dict) -> dict:
    """Results without what depends on the day and the machine."""
    formulas = [
        {
            **f,
            "value_seconds_a_point": 0,
            "engines": [{**e, "build_seconds": 0, "seconds_a_point": 0, "ratio_to_value": 0} for e in f["engines"]],
        }
        for f in results["formulas"]
    ]
    return {
        k: formulas if k == "formulas" else v
        for k, v in results.items()
        if k not in ("date", "environment", "insights")
    }


def test_same_seed_same_report(report, tmp_path):
    (tmp_path / "corpus.csv").write_text(SMALL, encoding="utf-8")
    run_report(tmp_path / "corpus.csv", tmp_path / "out", points=50, workers=1, progress=False, machine="numpy")
    assert timeless(loaded(report[1])) == timeless(loaded(tmp_path / "out"))


def test_broken_row_is_listed_and_the_others_appear(tmp_path):
    (tmp_path / "c.csv").write_text(
        "name,formula,variables\nbell,exp(-x^2),x=-1:1\nbroken,exp(x,x=1:2\nroot,log(x),x=-2:-1\n", encoding="utf-8"
    )
    made = run_report(tmp_path / "c.csv", tmp_path, points=20, progress=False, machine="numpy")
    assert made.exit_status == 2
    assert [(u.line, u.name) for u in made.unusable] == [(3, "broken")]
    assert [name for name, _ in made.undecided] == ["root"]
    for file in ("index.html", "index.md"):
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert "broken" in text and "bell" in text
    assert loaded(tmp_path)["formulas"][1]["outcome"] == "nonfinite"


def test_a_formula_that_takes_too_long_is_listed(tmp_path, monkeypatch):
    def runs(work, items, workers, budget):
        for k in range(len(items)):
            yield k, Failed("timeout", "stopped after 60 s")

    monkeypatch.setattr(job_module, "run_all", runs)
    (tmp_path / "c.csv").write_text("name,formula,variables\nbell,exp(-x^2),x=-1:1\n", encoding="utf-8")
    made = run_report(tmp_path / "c.csv", tmp_path, points=20, progress=False, machine="numpy")
    assert made.exit_status == 3
    assert made.undecided == [("bell", "stopped after 60 s")]
    assert "stopped after 60 s" in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [{"points": 0}, {"seed": -1}, {"workers": 0}, {"engines": ("nothing",)}])
def test_bad_options(options):
    with pytest.raises(ArgumentError):
        run_report(progress=False, **options)


# ---- nothing half-written -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["_measured", "write"])
def test_interrupted_run_leaves_the_previous_report(tmp_path, monkeypatch, place):
    (tmp_path / "c.csv").write_text("name,formula,variables\nbell,exp(-x^2),x=-1:1\n", encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("index.html", "index.md", "results.json"):
        (out / name).write_text("before")

    def interrupted(*args):
        raise KeyboardInterrupt

    if place == "write":
        monkeypatch.setattr("diffkit.report.markdown.index_markdown", interrupted)
    else:
        monkeypatch.setattr(job_module, place, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_report(tmp_path / "c.csv", out, points=10, progress=False, machine="numpy")
    assert sorted(p.name for p in out.iterdir()) == ["index.html", "index.md", "results.json"]
    assert all(p.read_text() == "before" for p in out.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_ends_the_workers_and_writes_nothing(tmp_path):
    code = f"from diffkit.report import run_report; run_report(out={str(tmp_path / 'out')!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, env={**os.environ, "DIFFKIT_MARK": str(tmp_path)}
    )
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode != 0 and b"KeyboardInterrupt" in said
    assert not (tmp_path / "out").exists()
    time.sleep(0.3)
    assert not marked(str(tmp_path)), "a worker is still there"


def marked(value: str) -> list[str]:
    """Processes whose environment carries the mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"DIFFKIT_MARK={value}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


# ---- text from outside --------------------------------------------------------------------------------------------------
HOSTILE = """name,title,field,formula,variables,source,notes
"<script>alert(1)</script>","<img src=x onerror=alert(2)>","\"\"><svg onload=alert(3)>","x^2","x=1:2[<b onclick=alert(4)>]",\
"<!-- </style>","{{ 7*7 }} | `code` <script>"
"</script><script>alert(5)</script>",,,"x <script> y","x=1:2",,
"""


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_hostile_corpus_stays_text(tmp_path):
    (tmp_path / "c.csv").write_text(HOSTILE, encoding="utf-8")
    made = run_report(tmp_path / "c.csv", tmp_path, points=10, progress=False, machine="numpy")
    assert made.exit_status == 2
    tags = Tags()
    tags.feed((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert tags.tags.count("script") == 1
    assert "img" not in tags.tags and tags.handlers == []
    assert "{{ 7*7 }}" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "<img" not in (tmp_path / "index.md").read_text(encoding="utf-8")


# ---- a single comparison --------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def comparison():
    from diffkit.compare import compare

    return compare("exp(x/y)*log(x)", [{"x": 0.5, "y": 1.0}, {"x": -1.0, "y": 2.0}], machine="numpy")


def test_comparison_pages(comparison):
    page = comparison_html(comparison)
    assert (
        page.startswith("<!doctype html>")
        and "At the points" in page
        and repr(float(comparison.truth.gradient["x"][0])) in page
    )
    text = comparison_markdown(comparison)
    assert text.startswith("# exp(x/y)\\*log(x)") and "1 of 2 points have a certified derivative" in text


def test_comparison_figure(comparison):
    pytest.importorskip("matplotlib")
    from diffkit.report import comparison_figure

    figure = comparison_figure(comparison)
    assert len(figure.axes) >= 2
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["symbolic", "forward", "reverse", "finite"]


def test_importing_the_report_is_light():
    code = "import sys, diffkit.report; sys.exit(any(m in sys.modules for m in ('matplotlib', 'jinja2', 'sympy', 'numba')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
