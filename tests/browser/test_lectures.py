"""The gallery of the lectures in a browser: keys, colours, widths. Needs Playwright and Chromium."""

from __future__ import annotations

import pytest

from diffkit.lectures import all_rows, run_row
from diffkit.report.lectures import Gallery

pytestmark = pytest.mark.browser
#: opened where a test names no other (conftest.py)
PAGE = "b4.html"

#: quick ones; B4 has level lines, B14 a table with words
RUN = ("B3", "B4", "B5", "E2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lectures")
    gallery = Gallery(folder)
    for row in all_rows():
        if row.id in RUN:
            gallery.add(run_row(row))
    gallery.finish()
    return folder


def test_arrow_keys_lead_to_the_neighbours(visit):
    page = visit()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/b5.html")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/b4.html")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/b3.html")
    page.keyboard.press("Alt+ArrowDown")
    assert page.url.endswith("b3.html")


def test_index_has_a_tick_a_row_and_leads_there(visit):
    page = visit("index.html")
    ticked = page.locator(".rows a", has=page.locator(".badge.ok"))
    assert [text.split()[0] for text in ticked.all_inner_texts()] == list(RUN)
    assert page.locator(".rows a").count() == len(all_rows())
    ticked.first.click()
    page.wait_for_url("**/b3.html")
    assert "Gradient accumulation" in page.locator("h1").inner_text()


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_pages_do_not_scroll_sideways(visit, width):
    for name in ("index.html", *(f"{r.lower()}.html" for r in RUN)):
        page = visit(name, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_curves_and_words_stand_out(visit, scheme):
    page = visit("b4.html", scheme=scheme)
    contrast = """() => {
      const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
      const rgb = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number).map(linear);
      const light = (c) => { const [r, g, b] = rgb(c); return .2126 * r + .7152 * g + .0722 * b; };
      const back = light(getComputedStyle(document.querySelector('.card')).backgroundColor);
      const against = (c) => { const own = light(c); return (Math.max(own, back) + .05) / (Math.min(own, back) + .05); };
      const svg = document.querySelector('.charts svg'), curves = [...Array(8).keys()].map((k) => {
        const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
        path.setAttribute('class', `s${k}`); svg.append(path);
        return against(getComputedStyle(path).stroke);
      });
      const words = ['.claims li', '.legend span', 'figcaption', '.code .kw', '.code .str', '.code .com', '.tick'];
      return [Math.min(...curves), Math.min(...words.map((s) => against(getComputedStyle(document.querySelector(s)).color)))];
    }"""
    curves, words = page.evaluate(contrast)
    assert curves >= 3 and words >= 4.5


def test_charts_are_drawn_within_their_axes(visit):
    page = visit("b4.html")
    assert page.locator(".charts figure").count() == 3
    assert page.locator(".charts path.level").count() > 5
    frame, inner = (
        page.locator(".charts figure").first.bounding_box(),
        page.locator(".charts svg.fig > svg").first.bounding_box(),
    )
    assert inner["x"] >= frame["x"] and inner["x"] + inner["width"] <= frame["x"] + frame["width"]


def test_without_script_everything_can_be_read(browser, folder):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{folder / 'b4.html'}")
    assert page.locator("h1").inner_text() == "Momentum"
    assert page.locator(".claims li.yes").count() == 4 and "dk.optim.SGD" in page.locator("pre.card.code").inner_text()
    context.close()


def test_code_is_copied(visit, browser):
    page = visit("b4.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("button.copy").first
    button.click()
    page.wait_for_function("document.querySelector('button.copy').textContent !== 'copy'")
    assert button.inner_text() in ("copied", "selected")
    if button.inner_text() == "copied":
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.locator("pre.card.code").inner_text() and copied.rstrip().endswith("print(example())")


def test_print_shows_whole_lines_of_code(visit):
    page = visit("b4.html", width=700)
    page.emulate_media(media="print")
    wide = "const p = document.querySelector('pre.card.code'); p.scrollWidth > p.clientWidth + 1"
    assert not page.evaluate(f"(() => {{ {wide.replace('; p', '; return p')} }})()")
    assert not page.locator("button.copy").first.is_visible()
