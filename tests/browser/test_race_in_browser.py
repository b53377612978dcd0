"""The page of a race in a browser: play, slider and keys, who is shown, widths, colours. Needs Playwright and Chromium."""

from __future__ import annotations

import numpy as np
import pytest

from diffkit.optim.racing import race
from diffkit.report.race import race_html

pytestmark = pytest.mark.browser
#: opened where a test names no other (conftest.py)
PAGE = "plane.html"

STEPS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "plane": race("rosenbrock", steps=STEPS),
        "space": race("powell-singular", ["sgd", "adam", "lbfgs"], steps=STEPS),
        "odd": race(
            lambda x: np.sum(x**4),
            {"<b>& very long name of an optimiser": lambda r: _sgd(r)},
            start=[1.0, 2.0],
            steps=5,
        ),
    }
    for name, result in pages.items():
        (folder / f"{name}.html").write_text(race_html(result), encoding="utf-8")
    return folder


def _sgd(rate):
    import diffkit as dk

    return dk.optim.SGD(rate)


PLACES = (
    "[...document.querySelectorAll('circle[data-run]')].map((c) => ['cx', 'cy'].map((n) => Number(c.getAttribute(n))))"
)


def place(page, k):
    """Where the dot of run k of the contours is."""
    return page.locator(f'.pictures figure:first-child circle[data-run="{k}"]').evaluate(
        "c => [Number(c.getAttribute('cx')), Number(c.getAttribute('cy'))]"
    )


def test_the_slider_moves_the_dots_along_their_paths(visit):
    page = visit()
    slider = page.locator("#evaluations")
    assert page.locator("#spent").inner_text() == f"{STEPS} of {STEPS} evaluations"
    ends = page.evaluate(PLACES)
    slider.fill("0")
    start = [place(page, k) for k in range(11)]
    assert all(s == start[0] for s in start), "all start from the same place"
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#spent").inner_text() == f"1 of {STEPS} evaluations"
    assert place(page, 0) != start[0] or place(page, 5) != start[5]
    page.keyboard.press("End")
    assert page.evaluate(PLACES) == ends


def test_between_two_iterates_the_dot_is_between(visit):
    page = visit("space.html")
    path = page.locator("path.run[data-e]").first
    at = [int(n) for n in path.get_attribute("data-e").split()]
    whole = [float(n) for n in path.get_attribute("d")[1:].split()]
    k = next((k for k in range(len(at) - 1) if at[k + 1] - at[k] > 1), None)
    time = at[k] + 1 if k is not None else at[1]
    page.locator("#evaluations").fill(str(time))
    now = [float(n) for n in path.get_attribute("d")[1:].split()]
    assert now[: len(now) - 2] == whole[: len(now) - 2] and len(now) < len(whole)


def test_nothing_moves_by_itself_where_calm_is_asked_for(visit):
    page = visit()
    before = page.evaluate(PLACES)
    page.wait_for_timeout(300)
    assert page.evaluate(PLACES) == before and page.locator("#play").inner_text() == "↻ replay"


def moved_beyond(page, value):
    """Wait until the slider is beyond a value."""
    for _ in range(100):
        if int(page.locator("#evaluations").input_value()) > value:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the slider stays at {value}")


def test_it_plays_pauses_and_goes_on(visit):
    page = visit(motion="no-preference")
    button = page.locator("#play")
    assert button.inner_text() == "❚❚ pause"
    moved_beyond(page, 0)
    button.focus()
    page.keyboard.press("Space")
    assert button.inner_text() == "▶ play"
    value = page.locator("#evaluations").input_value()
    page.wait_for_timeout(200)
    assert page.locator("#evaluations").input_value() == value
    page.keyboard.press("Enter")
    moved_beyond(page, int(value))
    page.locator("#evaluations").fill("3")
    page.wait_for_timeout(100)
    assert page.locator("#spent").inner_text().startswith("3 of"), "the slider stops it"


def test_runs_are_hidden_and_shown(visit):
    page = visit()
    name = page.locator(".who button").nth(2)
    parts = page.locator('.pictures [data-run="2"]')
    assert parts.first.is_visible()
    name.click()
    assert name.get_attribute("aria-pressed") == "false" and not any(p.is_visible() for p in parts.all())
    name.press("Enter")
    assert name.get_attribute("aria-pressed") == "true"
    assert parts.first.is_visible()


def test_tries_and_formulas_unfold(visit):
    page = visit()
    tries = page.locator("details", has_text="All learning rates")
    assert not page.locator(".tries").is_visible()
    tries.locator("summary").click()
    assert page.locator(".tries").is_visible()
    assert page.locator(".tries tbody tr").count() == 7 and page.locator(".tries td.best").count() == 7
    assert page.locator(".tries td.lost").count() > 0


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_pages_do_not_scroll_sideways(visit, width):
    for name in ("plane", "space", "odd"):
        page = visit(f"{name}.html", width=width)
        for fold in page.locator("details summary").all():
            fold.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_text_and_lines_stand_out_in_both_schemes(visit):
    contrast = """() => {
      const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
      const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(linear); return .2126 * r + .7152 * g + .0722 * b; };
      const back = light(getComputedStyle(document.querySelector('.card')).backgroundColor);
      const against = (c) => { const [a, b] = [light(c), back].sort((x, y) => y - x); return (a + .05) / (b + .05); };
      const style = (s) => [...document.querySelectorAll(s)].map((e) => getComputedStyle(e));
      return [Math.min(...style('.results td, .results th, .play output').map((s) => against(s.color)), ...style('.fig text').map((s) => against(s.fill))),
              Math.min(...style('path.run').map((s) => against(s.stroke)))];
    }"""  # noqa: E501
    for scheme in ("light", "dark"):
        text, lines = visit(scheme=scheme).evaluate(contrast)
        assert text >= 4.5 and lines >= 3


def test_names_from_outside_are_text(visit):
    page = visit("odd.html")
    assert page.locator(".results:not(.tries) tbody th").inner_text() == "<b>& very long name of an optimiser"
    assert page.locator(".results b").count() == 0


def test_without_script_all_can_be_read(browser, folder):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{folder / 'plane.html'}")
    assert page.locator("h1").inner_text() == "Rosenbrock’s valley"
    assert not page.locator("#play").is_visible() and page.locator(".pictures path.run").first.is_visible()
    assert page.locator(".results:not(.tries) tbody tr").count() == 11
    context.close()
