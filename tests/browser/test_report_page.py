"""The report in a browser: sorting, filtering, addresses, colours, and what it must not do. Needs Playwright and Chromium."""

from __future__ import annotations

import pytest

from diffkit.report import run_report

pytestmark = pytest.mark.browser
#: opened where a test names no other (conftest.py)
PAGE = "index.html"

CORPUS = """name,title,field,formula,variables
zeta,Zeta term,physics,1/s^x,s=1.5:3 x=1:3
bell,Bell curve,statistics,exp(-x^2/2),x=-3:3[m]
angle,"Angle <script>alert(1)</script>",physics,"atan2(y, x)*a*b*c*d*e",x=1:2 y=1:2 a=1:2 b=1:2 c=1:2 d=1:2 e=1:2
long,A name that goes on and on and is far too long for a telephone,chemistry,(x - y)/(x + y)*exp(-x*y)*log(x*x + y*y),x=1:2 y=3:4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "corpus.csv").write_text(CORPUS, encoding="utf-8")
    run_report(folder / "corpus.csv", folder, points=40, progress=False)
    return folder


def names(page) -> list[str]:
    return page.locator("#summary tbody tr:visible th").all_inner_texts()


def head(page, name: str):
    return page.locator(f'#summary th[data-name="{name}"]')


def test_sort_by_click_and_by_keyboard(visit):
    page = visit()
    assert names(page)[0] == "Zeta term"
    head(page, "formula").locator("button").click()
    assert head(page, "formula").get_attribute("aria-sort") == "ascending"
    ascending = names(page)
    assert ascending == sorted(ascending, key=str.lower)
    head(page, "formula").locator("button").press("Enter")
    assert head(page, "formula").get_attribute("aria-sort") == "descending"
    assert names(page) == ascending[::-1]
    variables = head(page, "variables").locator("button")
    variables.focus()
    variables.press("Space")
    assert head(page, "formula").get_attribute("aria-sort") is None
    assert names(page)[0] == "Bell curve"


def test_every_column_can_be_sorted(visit):
    page = visit()
    page.click('[data-columns="all"]')
    before = sorted(names(page))
    for button in page.locator("#summary thead button").all():
        button.click()
        assert sorted(names(page)) == before
    page.click('[data-columns="all"]')
    column = page.locator("#summary thead tr:nth-child(2) th").evaluate_all(
        "hs => hs.findIndex(h => h.dataset.name === 'cost of finite')"
    )
    head(page, "cost of finite").locator("button").click()
    values = [
        float(v)
        for v in page.locator(f"#summary tbody tr td:nth-child({column + 1})").evaluate_all(
            "cs => cs.map(c => c.dataset.v)"
        )
    ]
    assert values == sorted(values, reverse=True)


def test_filter(visit):
    page = visit()
    page.fill("#filter", "physics angle")
    assert len(names(page)) == 1
    assert page.inner_text("#shown") == "1 of 4"
    assert page.locator("details.formula:visible").count() == 1
    page.press("#filter", "Escape")
    assert len(names(page)) == 4


def test_section_opens_by_address_and_by_link(visit):
    page = visit(f"{PAGE}#f-bell")
    assert page.locator("#f-bell").evaluate("d => d.open")
    assert not page.locator("#f-zeta").evaluate("d => d.open")
    page.click('#summary a[href="#f-zeta"]')
    assert page.locator("#f-zeta").evaluate("d => d.open")
    assert page.locator("#f-zeta math").first.is_visible()


def test_dots_lead_to_their_formula(visit):
    page = visit()
    page.locator('.overview use[data-f="1"]').first.dispatch_event("click")
    page.wait_for_function("location.hash === '#f-bell'")


def test_dark_toggle_is_remembered(visit):
    page = visit()
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark
    assert visit(scheme="dark").evaluate(background) == dark


def test_text_stands_out_in_both_schemes(visit):
    contrast = """() => {
      const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
      const rgb = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(linear);
      const light = (c) => { const [r, g, b] = rgb(c); return .2126 * r + .7152 * g + .0722 * b; };
      const back = getComputedStyle(document.querySelector('.card')).backgroundColor;
      return ['.verdict span', '.environment', '.badge.ok', '.soft', '#summary thead th', '.fig text'].map((s) => {
        const e = document.querySelector(s), style = getComputedStyle(e);
        const own = style.backgroundColor === 'rgba(0, 0, 0, 0)' ? back : style.backgroundColor;
        const [a, b] = [light(s.startsWith('.fig') ? style.fill : style.color), light(own)].sort((x, y) => y - x);
        return (a + .05) / (b + .05);
      });
    }"""
    for scheme in ("light", "dark"):
        assert min(visit(scheme=scheme).evaluate(contrast)) >= 4.5


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_page_does_not_scroll_sideways(visit, width):
    page = visit(width=width, height=844)
    page.click("#all")
    page.click('[data-columns="all"]')
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_script_everything_can_be_read(browser, folder):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{folder / PAGE}")
    assert len(names(page)) == 4
    assert not page.locator("#filter").is_visible()
    page.locator("#f-bell > summary").click()
    assert page.locator("#f-bell .typeset").is_visible()
    context.close()
