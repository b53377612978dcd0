"""Pages of checks in a browser: numbers under the pointer and the arrow keys, colours, widths. Needs Playwright and Chromium."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.report import check_html

pytestmark = pytest.mark.browser
#: opened where a test names no other (conftest.py)
PAGE = "one.html"

rng = np.random.default_rng(0)
A, X = rng.normal(size=(4, 6)), rng.normal(size=6)


def wrong(a, x):
    found = 2 * np.outer(a @ x, x)
    found[2, 3] = np.nan
    found[1] *= 2
    return found, 2 * a.T @ (a @ x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    fun = lambda a, x: np.sum((a @ x) ** 2)
    bad = dk.check_gradient(fun, (A, X), wrong)
    long = rng.normal(size=1200)
    others = [
        dk.check_gradient("sin(x)*y", {"x": 0.3, "y": 2.0}, {"x": "cos(x)*y", "y": "sin(x)"}),
        dk.check_gradient(lambda v: np.sum(v**3), long, lambda v: 3 * v**2 + (np.arange(1200) == 700)),
        dk.check_gradient(lambda v: np.sum(np.abs(v)), np.array([0.0, 1.0]), np.sign),
    ]
    (folder / "one.html").write_text(check_html([bad], ["quadratic <i>form</i>"]), encoding="utf-8")
    names = ["quadratic", "text", "long", "a kink with a name that is far too long for a telephone of any width at all"]
    (folder / "many.html").write_text(check_html([bad, *others], names), encoding="utf-8")
    return folder


def test_pointing_at_a_cell_shows_its_numbers(visit):
    page = visit()
    heat = page.locator(".heat").first
    assert heat.locator("output").inner_text().startswith("worst: a[2, 3]: given nan, expected ")
    box = heat.locator(".frame").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 4.5 / 6, box["y"] + box["height"] * 1.5 / 4)
    given, expected = wrong(A, X)[0][1, 4], 2 * np.outer(A @ X, X)[1, 4]
    said = heat.locator("output").inner_text()
    assert said.startswith("a[1, 4]: given ")
    numbers = [
        float(word) for word in said.removeprefix("a[1, 4]: given ").replace(", expected", "").split(" ± ")[0].split()
    ]
    assert np.allclose(numbers, [given, expected], rtol=1e-8)
    page.mouse.move(5, 5)
    assert heat.locator("output").inner_text().startswith("worst: ")


def test_arrow_keys_move_over_the_cells(visit):
    page = visit()
    heat = page.locator(".heat").first
    frame = heat.locator(".frame")
    for _ in range(60):
        page.keyboard.press("Tab")
        if frame.evaluate("f => f === document.activeElement"):
            break
    said = lambda: heat.locator("output").inner_text().split(":")[0]
    assert said() == "a[2, 3]"
    for key, expected in (("ArrowUp", "a[1, 3]"), ("ArrowRight", "a[1, 4]"), ("Home", "a[1, 0]"), ("End", "a[1, 5]")):
        frame.press(key)
        assert said() == expected
    frame.press("ArrowRight")
    assert said() == "a[1, 5]", "there is nothing beyond the edge"


def test_table_sorts_filters_and_leads_to_sections(visit):
    page = visit("many.html")
    names = lambda: page.locator("#summary tbody tr:visible th").all_inner_texts()
    assert names()[0] == "quadratic"
    page.locator('#summary th[data-name="off"] button').click()
    assert names()[:2] == ["quadratic", "long"]
    page.fill("#filter", "pass")
    assert names() == ["text"]
    page.press("#filter", "Escape")
    page.click('#summary a[href="#c-3"]')
    assert page.locator("#c-3").evaluate("d => d.open")
    assert page.locator("#c-3 .heat img").evaluate("i => i.complete && i.naturalWidth > 0")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_pages_do_not_scroll_sideways(visit, width):
    for name in ("one.html", "many.html"):
        page = visit(name, width=width)
        if name == "many.html":
            page.click("#all")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_text_stands_out_in_both_schemes(visit):
    contrast = """() => {
      const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
      const rgb = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(linear);
      const light = (c) => { const [r, g, b] = rgb(c); return .2126 * r + .7152 * g + .0722 * b; };
      const back = getComputedStyle(document.querySelector('.card')).backgroundColor;
      return ['.says-it', '.badge', '.code', '.soft', '.heat output', '.evidence dt', '.fig text', '.notice, .says-it'].map((s) => {
        const e = document.querySelector(s), style = getComputedStyle(e);
        const own = style.backgroundColor === 'rgba(0, 0, 0, 0)' ? back : style.backgroundColor;
        const [a, b] = [light(s.startsWith('.fig') ? style.fill : style.color), light(own)].sort((x, y) => y - x);
        return (a + .05) / (b + .05);
      });
    }"""
    for scheme in ("light", "dark"):
        assert min(visit(scheme=scheme).evaluate(contrast)) >= 4.5


def test_without_script_everything_can_be_read(browser, folder):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{folder / 'one.html'}")
    assert page.locator("h1").inner_text() == "quadratic <i>form</i>"
    assert "worst: a[2, 3]" in page.locator(".heat output").first.inner_text()
    context.close()
