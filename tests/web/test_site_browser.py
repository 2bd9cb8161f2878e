"""The site in a real browser: nothing in the console, nothing serious for axe, in light, dark and on a telephone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import pytest

from tests.command_line import said
from tests.conftest import NOW
from tests.web.conftest import Site
from tests.web.crawled import SAMPLES, sample
from tests.web.seen_suite import TAG

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

KINDS: dict[str, tuple[Literal["light", "dark"], int]] = {
    "dark": ("dark", 1280),
    "telephone": ("light", 375),
}


@pytest.fixture
def complaints(request: pytest.FixtureRequest) -> list[str]:
    """What the browser says of a page that it should not have to say."""
    return []


def opened_page(browser: Browser, complaints: list[str], scheme: str = "light", width: int = 1280) -> Page:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
    page.on("requestfailed", lambda request: complaints.append(f"not answered: {request.url}"))
    return page


def serious(page: Page) -> list[tuple[str, str]]:
    """Give what axe finds serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    # Without its preload, which asks for the style sheet by script: the page's own policy forbids that.
    found: dict[str, Any] = Axe().run(page, options={"preload": False}).response
    return [
        (rule["id"], rule["nodes"][0]["html"])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


#: What a page lacks that a screen reader or a keyboard goes by, asked of the page itself.
LACKING = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)], found = [];
    const levels = all("h1, h2, h3, h4").map((head) => Number(head.tagName[1]));
    if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) found.push(`headings ${levels}`);
    if (levels.some((level, n) => n > 0 && level > levels[n - 1] + 1)) found.push(`a heading is left out: ${levels}`);
    for (const landmark of ["header", "main", "footer"])
        if (all(`body > ${landmark}`).length !== 1) found.push(`not one ${landmark}`);
    const names = all("nav").map((nav) => nav.getAttribute("aria-label"));
    if (names.includes(null) || new Set(names).size !== names.length)
        found.push(`ways that are not told apart: ${names}`);
    for (const table of all("table"))
        if (!table.querySelector("thead th") || table.querySelector("th:not([scope])"))
            found.push("a table without heads");
    for (const section of all("section"))
        if (!document.getElementById(section.getAttribute("aria-labelledby"))) found.push("a section without a name");
    const reached = all("a[href], button, input, summary, [tabindex]");
    if (reached.some((one) => one.tabIndex !== 0)) found.push("something is out of the order of the keyboard");
    for (const one of reached)
        if (!(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
            found.push(one.outerHTML);
    return found;
}"""


@pytest.mark.parametrize("path", SAMPLES)
def test_each_kind_of_page_is_shown_without_complaint_and_can_be_used_by_all(
    site: Site, browser: Browser, complaints: list[str], path: str
) -> None:
    page = opened_page(browser, complaints)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.address}/{sample(site.root, path)}")
    assert page.evaluate(LACKING) == []
    for kind, (scheme, width) in KINDS.items():
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        # Nothing is wider than the screen but what scrolls by itself.
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], (kind, wide)
        paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (paper == "rgb(20, 23, 27)") == (scheme == "dark")
        assert not serious(page), kind
        if pictures := os.environ.get("ALMANAC_PICTURES"):
            Path(pictures).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{pictures}/{path.replace('/', '_').replace('*', 'x')}-{kind}.png", full_page=True)
    assert not complaints
    assert asked
    assert all(url.startswith((site.address, "data:")) for url in asked)
    page.context.close()


def test_a_look_up_is_made_by_keyboard_and_text_like_html_stays_text(
    site: Site, browser: Browser, complaints: list[str]
) -> None:
    page = opened_page(browser, complaints)
    page.goto(f"{site.address}/products/late_order/index.html")
    # What a screen reader is told: where one is, the ways from here, and parts with names, in the order of the page.
    told = page.locator("body").aria_snapshot()
    parts = (
        'link "To the content"', "banner", 'navigation "Areas"', "main", 'navigation "Way"', "level=1",
        'navigation "Views"', 'region "How it stands', 'region "Open alarms', 'region "Look up by key',
        'textbox "order_id"', 'region "Newest predictions', 'columnheader "order id"', "contentinfo",
    )  # fmt: skip
    places = [told.find(f"- {part}" if part != "level=1" else part) for part in parts]
    assert -1 not in places, told[:3000]
    assert places == sorted(places)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.get_by_label("order_id").focus()
    page.keyboard.type(f"X{TAG}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**?{urlencode({'order_id': f'X{TAG}'}).replace('*', '%2A')}**")
    assert page.locator("#look-up-by-key").count() == 1
    shown = page.locator("section[aria-labelledby=look-up-by-key] tbody tr")
    assert shown.count() == 1
    assert f"X{TAG}" in shown.inner_text()
    assert page.locator("img").count() == 0
    assert page.get_by_label("order_id").input_value() == f"X{TAG}"
    # A summary opens by keyboard, and its text is there to be copied.
    page.locator("section[aria-labelledby=look-up-by-key] summary").focus()
    page.keyboard.press("Enter")
    assert "FROM" in page.locator("section[aria-labelledby=look-up-by-key] pre").first.inner_text()
    assert not complaints
    page.context.close()


def test_a_script_that_got_into_a_page_would_not_run(site: Site, browser: Browser, complaints: list[str]) -> None:
    page = opened_page(browser, complaints)
    page.goto(f"{site.address}/index.html")
    before = list(complaints)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    }""")
    assert page.evaluate("window.ran") is None
    assert complaints[len(before) :]
    page.context.close()


def test_files_of_an_export_are_shown_as_they_are(
    seen_root: Path, browser: Browser, complaints: list[str], tmp_path: Path
) -> None:
    said(seen_root, "web", "--export", str(tmp_path / "site"), "--pages", "0", "--now", f"{NOW:%Y-%m-%d}")
    page = opened_page(browser, complaints)
    page.goto((tmp_path / "site/index.html").as_uri())
    page.get_by_role("link", name="late_order").first.click()
    page.get_by_role("link", name="Monitoring").click()
    assert page.locator("h1").inner_text() == "late_order, monitoring"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(251, 250, 247)"
    assert not complaints
    page.context.close()
