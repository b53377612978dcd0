"""Pages of the gallery: what is on them, what is escaped, and that a folder of them is whole at any time."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from diffkit.errors import ArgumentError, DataError
from diffkit.lectures import Chart, Claim, Line, Mark, Outcome, Table, all_rows, landscape
from diffkit.report.charts import Linear, chart_svg, colours, legend, prose
from diffkit.report.lectures import Gallery, highlighted, row_html

FIRST, SECOND = all_rows()[:2]
CLAIMS = [Claim("off by 3e-16, <b>", True, {"off": 3e-16, "none": float("nan")})]


def outcome(row=FIRST, **more):
    more = {
        "claims": CLAIMS,
        "charts": [Chart("A chart", "x", "y", [Line([1, 2], [3, 4], "curve")])],
        "seconds": 0.5,
    } | more
    return Outcome(row, **more)


def test_page_shows_formula_claims_chart_and_code():
    page = row_html(outcome(), None, SECOND)
    assert "<math" in page and "off by 3·10⁻¹⁶, &lt;b&gt;" in page and "A chart" in page
    assert f'<a rel="next" href="{SECOND.page}">' in page and 'rel="prev"' not in page
    shown = re.search(r'<pre class="card code" tabindex="0"><code>(.*?)</code>', page, re.S)[1]
    assert (
        re.sub(r"<[^>]+>", "", shown)
        .replace("&#34;", '"')
        .replace("&quot;", '"')
        .replace("&#x27;", "'")
        .replace("&gt;", ">")
        .replace("&lt;", "<")
        .replace("&amp;", "&")
        == FIRST.code
    )
    assert "http" not in re.sub(r"http-equiv", "", page), "nothing is fetched from anywhere"


def test_page_of_an_error_says_so():
    page = row_html(outcome(claims=(), charts=(), error="Traceback\n  <boom>"))
    assert "The run failed" in page and "&lt;boom&gt;" in page
    page = row_html(outcome(claims=(), charts=(), error="no module", missing="sklearn"))
    assert "needs the package sklearn" in page
    assert "Not run yet" in row_html(Outcome(FIRST))


def test_gallery_is_whole_and_a_row_replaces_its_own_results(tmp_path):
    gallery = Gallery(tmp_path)
    gallery.add(outcome())
    index = gallery.finish()
    assert index == tmp_path / "index.html"
    for page in tmp_path.glob("*.html"):
        for link in re.findall(r'href="([^"#:]+)"', page.read_text(encoding="utf-8")):
            if not link.startswith("data"):
                assert (tmp_path / link).exists(), f"{page.name} leads to {link}"
    kept = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [e["row"] for e in kept["rows"]] == [FIRST.id]
    assert kept["rows"][0]["claims"][0]["numbers"] == {"off": 3e-16, "none": None}, "NaN is null in JSON"

    again = Gallery(tmp_path)
    again.add(outcome(SECOND, claims=[Claim("no", False)]))
    text = again.finish().read_text(encoding="utf-8")
    assert [e["row"] for e in json.loads((tmp_path / "results.json").read_text())["rows"]] == [FIRST.id, SECOND.id]
    assert text.count("✓ holds") == 1 and text.count("✗ does not hold") == 1
    assert f"1 of {len(all_rows())}" in text and "rows not run yet" in text
    assert not list(tmp_path.glob(".*")), "nothing temporary is left"


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": [{}]}'])
def test_results_that_cannot_be_read_are_left_as_they_are(tmp_path, text):
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="remove it to begin anew"):
        Gallery(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == text


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ArgumentError, match="cannot be made"):
        Gallery(tmp_path / "file" / "out")


def test_tables_have_numbers_as_people_write_them():
    table = Table("A table", ["name", "value", "words"], [["row", 0.25, "1.0e-09 and a few words more than fit"]])
    page = row_html(outcome(tables=[table]))
    assert "<td>0.25</td>" in page and '<td class="l">1.0·10⁻⁹' in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3e-16", "3·10⁻¹⁶"), ("1e-6", "10⁻⁶"), ("8.8e-01", "0.88"), ("0e+00", "0"), ("at -2, x-2", "at −2, x-2"), ("0.02", "0.02"),
        ("1.5e+05", "1.5·10⁵"), ("2.3e-02", "0.023"), ("1e2", "100"), ("agree to 0e+00.", "agree exactly."),
    ],
)  # fmt: skip
def test_prose(text, shown):
    assert prose(text) == shown


# ---- charts -------------------------------------------------------------------------------------------------------
def test_what_is_not_finite_breaks_a_curve():
    y = np.array([1.0, 2, np.nan, 3, 4, np.inf, 5, 6])
    svg = str(chart_svg(Chart("t", "x", "y", [Line(np.arange(8), y)])))
    assert svg.count('class="s0"') == 3 and "nan" not in svg and "inf" not in svg
    log = str(chart_svg(Chart("t", "x", "y", [Line(np.arange(5), [1.0, 10, 0, 100, 1000])], "y")))
    assert log.count('<path class="s0"') == 2


def test_curve_beyond_the_axes_stays_small_numbers():
    svg = str(chart_svg(Chart("t", "x", "y", [Line([0, 1, 2], [0, 1e300, 2])], y_range=(0, 2))))
    assert max(abs(float(v)) for v in re.findall(r"-?\d+\.?\d*", svg)) <= 5000
    assert 'overflow="hidden"' in svg


def test_long_curves_are_thinned_and_keep_their_ends():
    svg = str(chart_svg(Chart("t", "x", "y", [Line(np.arange(100_000), np.arange(100_000))])))
    assert len(svg) < 12_000
    log = str(chart_svg(Chart("t", "x", "y", [Line(np.arange(1, 100_001), np.arange(1, 100_001))], "xy")))
    assert len(log) < 12_000


def test_flat_and_empty_curves_have_axes():
    for y in ([2.0, 2.0], [np.nan, np.nan], [0.0, 0.0]):
        for log in ("", "y"):
            assert "<svg" in str(chart_svg(Chart("t", "x", "y", [Line([0, 1], y)], log)))


def test_level_lines_and_marks():
    land = landscape(lambda x: x[0] ** 2 + x[1] ** 2, (-1, 1), (-1, 1))
    chart = Chart(
        "t",
        "x",
        "y",
        [Line([0], [0], "p", "dots")],
        landscape=land,
        marks=[Mark(0, 0, "min <f>"), Mark(1, 1, kind="cross")],
    )
    svg = str(chart_svg(chart))
    assert svg.count('class="level"') > 5 and "min &lt;f&gt;" in svg and 'class="mark cross"' in svg


def test_colours_are_shared_where_told_and_free_ones_go_in_turn():
    lines = [
        Line([], [], "a"),
        Line([], [], "b", colour=0),
        Line([], [], "t", "theory"),
        Line([], [], "c"),
        Line([], []),
    ]
    assert colours(lines) == [1, 0, 0, 2, 3]
    names = str(legend(Chart("t", "x", "y", lines)))
    assert names.count("<span>") == 4 and "theory" in names
    assert str(legend(Chart("t", "x", "y", [Line([1], [1])]))) == ""


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (0, 1e-7), (1e6, 3e6), (0.999, 1.001), (-1e-12, 1e-12)])
def test_linear_ticks_are_few_distinct_and_inside(low, high):
    ticks = Linear(low, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 9
    assert len({label for _, label in ticks}) == len(ticks), ticks
    assert all(low - 1e-9 * (high - low) <= v <= high + 1e-9 * (high - low) for v, _ in ticks)


def test_highlighting_changes_no_letter():
    code = 'def f(x):\n    return f"<{x}>" + "a" * 2  # a & b\n\n\nx = lambda: None\n'
    found = str(highlighted(code))
    assert '<span class="kw">def</span>' in found and "# a &amp; b</span>" in found
    assert (
        re.sub(r"<[^>]+>", "", found)
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#34;", '"')
        .replace("&quot;", '"')
        .replace("&amp;", "&")
        == code
    )
