"""Pages of checks: what they say, and the numbers behind their pictures."""

from __future__ import annotations

import base64
import html
import json
import re
import struct
import zlib

import numpy as np
import pytest

import diffkit as dk
from diffkit.check.running import Check, Item, run
from diffkit.report import check_html, checks_index, index_row, page_name, write_checks
from diffkit.report.check_figures import FIGURES, Signed
from diffkit.report.heat import COLOURS, MOST_SIDE, decades, heat_maps, palette

rng = np.random.default_rng(0)
W, B, X = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(7, 5))


def loss(w, b):
    return np.sum(np.tanh(X @ w + b) ** 2)


def gradient(w, b):
    h = np.tanh(X @ w + b)
    d = 2 * h * (1 - h * h)
    return X.T @ d, d.sum(0)


def wrong_gradient(w, b):
    dw, db = gradient(w, b)
    dw[3, 1] *= -1
    dw[0, 2] = np.nan
    return dw, db


@pytest.fixture(scope="module")
def right():
    return dk.check_gradient(loss, (W, B), gradient)


@pytest.fixture(scope="module")
def wrong():
    return dk.check_gradient(loss, (W, B), wrong_gradient)


@pytest.fixture(scope="module")
def jacobian():
    def fun(x):
        return x[1:] * x[:-1]

    def jac(x):
        found = np.zeros((len(x) - 1, len(x)))
        k = np.arange(len(x) - 1)
        found[k, k], found[k, k + 1] = x[1:], x[:-1]
        found[4] *= 2
        return found

    return dk.check_gradient(fun, rng.normal(size=12), jac)


def sections(page: str) -> list[str]:
    return re.findall(r"<h3>([^<]+)</h3>", page)


def maps(page: str) -> list[dict]:
    found = []
    for attributes in re.findall(r'<figure class="heat" ([^>]+)>', page):
        values = dict(re.findall(r'data-(\w+)="([^"]*)"', attributes))
        about = json.loads(html.unescape(values["about"]))
        for name in ("given", "expected", "bar"):
            about[name] = np.frombuffer(base64.b64decode(values[name]), "<f8")
        about["places"] = np.frombuffer(base64.b64decode(values["places"]), "<i4")
        found.append(about)
    return found


def pixels(png: str) -> np.ndarray:
    """Palette places of a picture."""
    data = base64.b64decode(png)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        chunks[kind], at = body, at + 12 + length
    columns, rows = struct.unpack(">II", chunks[b"IHDR"][:8])
    assert len(chunks[b"PLTE"]) == palette().size
    return np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, columns + 1)[:, 1:]


# ---- pages ----
def test_page_of_a_wrong_gradient_says_what_is_wrong_first(wrong):
    page = check_html([wrong])
    assert page.index("2 of 18 derivatives are off") < page.index("Suspected cause") < page.index("w[0, 2]")
    found = sections(page)
    assert "Entries that are off" in found
    assert "Error of every entry, in tolerances" in found
    assert "Given against expected" in found


def test_page_of_a_right_gradient(right):
    page = check_html([right])
    assert '<span class="badge ok">pass</span>' in page
    assert "Entries that are off" not in sections(page)
    assert "Taylor remainder" in sections(page)
    assert [m["name"] for m in maps(page)] == ["w", "b"]


def test_page_needs_nothing_from_elsewhere(right, wrong):
    page = check_html([right, wrong])
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "url(" not in page


def test_page_of_many_has_a_table_and_sections(right, wrong, jacobian):
    page = check_html([right, wrong, jacobian], ["first", "second <b>", "third"])
    assert "<title>diffkit check: 3 gradients</title>" in page
    assert page.count('<details class="formula"') == 3
    assert "second &lt;b&gt;" in page
    assert "second <b>" not in page


@pytest.mark.parametrize(
    ("fun", "at", "grad", "says"),
    [
        (lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0]), np.sign, "left and right slopes differ"),
        (lambda x: np.sum(x**2), np.ones(3), lambda x: np.ones(4), "wrong-shape"),
        (lambda x: np.sum(np.log(x)), np.array([-1.0]), lambda x: 1 / x, "nan-origin"),
        (lambda x: np.sum(x**2), np.arange(3000.0), lambda x: x, "too large to measure every entry"),
    ],
    ids=["kink", "shape", "nan", "large"],
)
def test_pages_of_all_kinds_of_results(fun, at, grad, says):
    assert says in check_html([dk.check_gradient(fun, at, grad)])


def test_to_html_writes_the_page(right, tmp_path):
    right.to_html(tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_pages_of_a_run_hold_errors_too(tmp_path):
    def boom():
        raise ValueError("<script>boom</script>")

    square = Check(lambda x: x**2, 1.0, lambda x: 2 * x)
    outcomes = list(run([Item("g", "boom", "", boom), Item("g", "square", "A title", lambda: square)]))
    write_checks(tmp_path / "pages", outcomes)
    index = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert "ValueError: &lt;script&gt;boom" in index
    assert "A title" in index
    page = (tmp_path / "pages" / f"{page_name('g::boom')}.html").read_text(encoding="utf-8")
    assert "Traceback" in page
    assert "<script>boom" not in page


def test_index_of_rows(right):
    rows = [index_row("tests/test_a.py::test_b", right, "page.html")]
    assert json.loads(json.dumps(rows)) == rows
    assert 'href="page.html"' in checks_index(rows)


def test_names_of_pages_differ():
    assert page_name("a::b") != page_name("a--b")
    assert re.fullmatch(r"[A-Za-z0-9-]+", page_name("../a b::ü" * 50))
    assert len(page_name("x" * 1000)) < 100


# ---- heat maps ----
def test_the_numbers_behind_a_map(wrong):
    page = check_html([wrong])
    found = {m["name"]: m for m in maps(page)}
    w = found["w"]
    expected = gradient(W, B)[0].reshape(-1)
    assert (w["rows"], w["columns"], w["shape"], w["outputs"]) == (5, 3, [5, 3], 0)
    assert np.array_equal(w["places"], np.arange(15))
    assert np.allclose(w["expected"], expected, rtol=1e-7)
    assert np.isnan(w["given"][2])
    assert w["worst"] == 2
    assert maps(page)[0]["name"] == "w", "the worst argument comes first"


def test_colours_tell_what_is_off(wrong):
    (picture,) = (m for m in heat_maps(wrong) if m.name == "w")
    bound = (0.0 - -3.0) / 12 * (COLOURS - 1)
    shown = pixels(picture.png)
    off = np.zeros((5, 3), bool)
    off[3, 1] = off[0, 2] = True
    assert np.array_equal(shown > bound, off)
    assert shown[0, 2] == COLOURS + 1, "not a number has a colour of its own"


def test_what_the_check_calls_off_is_shown_as_off(right, wrong):
    for result in (right, wrong):
        for leaf in result.leaves:
            assert np.array_equal(decades(leaf) > 0, leaf.off)


def test_map_of_a_jacobian_names_outputs(jacobian):
    (m,) = heat_maps(jacobian)
    assert (m.rows, m.columns, m.outputs) == (11, 12, 1)
    assert "worst: out[4] by x[" in m.caption
    assert "outputs down" in m.slice


def test_arguments_of_one_number_share_a_strip():
    result = dk.check_gradient("x*y**2*z", {"x": 1.0, "y": 2.0, "z": 3.0}, {"x": "y**2*z", "y": "x*y*z", "z": "x*y**2"})
    (m,) = heat_maps(result)
    assert m.labels == ("x", "y", "z")
    assert "worst: y: given 6, expected 12" in m.caption


def test_arrays_of_more_axes_are_sliced_the_worst_first():
    a = rng.normal(size=(7, 4, 5))

    def grad(a):
        found = 3 * a**2
        found[5, 1, 2] += 1
        return found

    found = heat_maps(dk.check_gradient(lambda a: np.sum(a**3), a, grad))
    assert len(found) == 4
    picture = next(m for m in found if m.lead == (5,))
    assert picture.slice == "[5, :, :], the worst 4 of 7 slices"
    assert "worst: a[5, 1, 2]" in picture.caption


def test_long_vectors_are_made_coarser_by_their_worst_entries():
    x = rng.normal(size=1500)

    def grad(x):
        found = 3 * x**2
        found[777] += 1.0
        return found

    (m,) = heat_maps(dk.check_gradient(lambda x: np.sum(x**3), x, grad))
    assert m.rows == 1
    assert m.columns <= MOST_SIDE
    assert m.block == (1, 8)
    places = np.frombuffer(base64.b64decode(m.places), "<i4")
    assert places[m.worst] == 777
    assert np.array_equal(places // 8, np.arange(m.columns))
    assert "a cell is the worst of 1 × 8 entries" in m.caption


# ---- figures ----
def test_figures_are_drawn_where_there_is_something_to_see(right, wrong, jacobian):
    draw = {kind: function for kind, _, function, _ in FIGURES}
    assert not draw["curve"](right)
    for kind in ("curve", "taylor"):
        assert draw[kind](jacobian).startswith("<svg")
    assert draw["scatter"](wrong).count('class="off"') == 1, "a NaN has no place on an axis"
    assert draw["scatter"](right).count('class="agrees"') == 18


def test_scatter_of_many_entries_is_thinned_out_but_keeps_the_worst():
    x = rng.normal(size=1800)
    grad = lambda x: 3 * x**2 + (np.arange(1800) == 900)
    svg = next(f for kind, _, f, _ in FIGURES if kind == "scatter")(dk.check_gradient(lambda x: np.sum(x**3), x, grad))
    assert 300 < svg.count("<circle") <= 600
    assert svg.count('class="off"') == 1
    assert "x[900]: given" in svg


def test_of_many_arguments_the_worst_are_drawn():
    arrays = {f"p{k:02}": rng.normal(size=30) for k in range(40)}

    def grad(p):
        return {k: 3 * v**2 + (k == "p37") * (np.arange(30) == 5) for k, v in p.items()}

    result = dk.check_gradient(lambda p: sum(np.sum(v**3) for v in p.values()), arrays, grad)
    page = check_html([result])
    assert len(maps(page)) == 24
    assert maps(page)[0]["name"] == "p.p37"
    assert "16 further arguments, with smaller errors, not drawn." in page
    svg = next(f for kind, _, f, _ in FIGURES if kind == "scatter")(result)
    assert svg.count("<circle") <= 600
    assert "p.p37[5]: given" in svg


@pytest.mark.parametrize(
    "values", [[-1.0, 2.0, 0.0], [1e-8, 1.0, -1e-6, 1e-7], [0.0], [5.0, 5.0], [1e300, -1e300], [1e-300, 0.0]]
)
def test_signed_axes(values):
    axis = Signed(np.array(values), 50, 350)
    at = [axis(v) for v in sorted(values)]
    assert at == sorted(at)
    assert all(50 <= a <= 350 for a in at)
    ticks = axis.ticks()
    assert len({label for _, label in ticks}) == len(ticks)
    assert 1 <= len(ticks) <= 9
