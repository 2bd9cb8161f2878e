"""The site of a year of flights: every link answers, and each kind of page is shown in a browser without complaint.

It takes some minutes of CPU, and so runs with ALMANAC_YEAR=1 alone; a path there keeps the suite, or takes the one that
was kept. Pictures go to ALMANAC_PICTURES, if it is set.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.suites.demo import PRODUCT
from jobs.web.parts import paths
from jobs.web.site.application import application
from jobs.web.site.opened import OpenedSuite
from jobs.web.site.routes import ROUTES
from tests.conftest import clock_at
from tests.lakes import rows
from tests.web.conftest import Site, answering
from tests.web.crawled import Read, leads_to
from tests.web.flights_year import SEEN_AT, make_year
from tests.web.test_site_browser import KINDS, LACKING, opened_page, serious

if TYPE_CHECKING:
    from playwright.sync_api import Browser

YEAR = os.environ.get("ALMANAC_YEAR", "")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not YEAR, reason="takes minutes: ALMANAC_YEAR=1")]
#: Of pages of one kind beyond so many, as many are asked for; which, is drawn by chance with a fixed seed.
MOST_OF_A_KIND = 12


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site of the year."""
    root = Path(YEAR) if "/" in YEAR else tmp_path_factory.mktemp("year") / "flights"
    if not (root / "lake").exists():
        make_year(root).lake.close()
    opened = OpenedSuite(root, clock_at(SEEN_AT))
    with answering(application(opened, None, ("127.0.0.1",)), root) as running:
        yield running
    opened.suite().lake.close()


def test_a_year_of_flights_is_shown_and_its_links_answer(year: Site, browser: Browser) -> None:
    complaints: list[str] = []
    found, texts = crawl(year)
    kinds = {route.pattern: [path for path in sorted(texts) if route.match(path) is not None] for route in ROUTES}
    absent = [pattern for pattern, of in kinds.items() if not of and "{day}" not in pattern]
    assert not absent
    with OpenedSuite(year.root, clock_at(SEEN_AT)).seen() as seen:
        assert len(rows(seen.suite, f"SELECT * FROM ledger.published_pages WHERE product = '{PRODUCT}'")) >= 700
    assert len([path for path in found if "/pages/" in path]) > 300
    for path, text in texts.items():
        for link in Read(text).links:
            there, anchor = leads_to(path, link.partition("?")[0] if "?" in link else link)
            assert not anchor or there not in texts or anchor in Read(texts[there]).ids, (path, link)
    for of in kinds.values():
        for path in [path for path in of if PRODUCT in path or "products/" not in path][:1]:
            look_at(year, browser, complaints, path)
    assert not complaints


def crawl(site: Site) -> tuple[set[str], dict[str, str]]:
    """Ask for what links lead to, of a kind with many some of them; gives all paths, and the texts of those asked."""
    chance, waiting, found = random.Random(7), [paths.HOME], {paths.HOME}
    texts: dict[str, str] = {}
    asked: dict[str, int] = {}
    while waiting:
        path = waiting.pop(chance.randrange(len(waiting)))
        kind = next((route.pattern for route in ROUTES if route.match(path) is not None), path)
        if asked.get(kind, 0) >= MOST_OF_A_KIND:
            continue
        asked[kind] = asked.get(kind, 0) + 1
        status, text, _ = site.get(path)
        assert status == 200, (path, text)
        texts[path] = text
        for link in Read(text).links:
            there, _ = leads_to(path, link)
            if there not in found and "?" not in link and not link.startswith("data:"):
                found.add(there)
                waiting.append(there)
    return found, texts


def look_at(site: Site, browser: Browser, complaints: list[str], path: str) -> None:
    """Show a page in light, in dark and on a telephone; each must be usable by all."""
    page = opened_page(browser, complaints)
    page.goto(f"{site.address}/{path}")
    assert page.evaluate(LACKING) == [], path
    for kind, (scheme, width) in {"light": ("light", 1280), **KINDS}.items():
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], (path, kind, wide)
        assert not serious(page), (path, kind)
        if pictures := os.environ.get("ALMANAC_PICTURES"):
            Path(pictures).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{pictures}/{path.replace('/', '_')}-{kind}.png", full_page=True)
    page.context.close()
