"""The site shows what the lake has, whole, to whom it may, links to nothing that is not there, and writes nothing."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from jobs.bundles.key_columns import micros
from jobs.export.export import export
from jobs.pages.predict import predict_pages, run_page
from jobs.suite import Suite, open_suite
from jobs.suites.query import query_rows
from jobs.web.parts import paths
from jobs.web.parts.cells import words
from jobs.web.site.application import POLICY, _bears, application
from jobs.web.site.opened import OpenedSuite
from jobs.web.site.rendering import Frame, html_of
from jobs.web.site.routes import ROUTES, document_of
from jobs.web.site.serve_site import look_up_service
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lakes import rows
from tests.web.bundles import with_bundle
from tests.web.conftest import Site, answering
from tests.web.crawled import SAMPLES, Read, leads_to, sample
from tests.web.seen_suite import TAG, copy_of


def state_of_files(root: Path) -> dict[str, tuple[int, int]]:
    """Give the size and time of change of a suite's files, but for what SQLite keeps beside a file for readers."""
    found = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.fixture(scope="module")
def crawled(site: Site) -> dict[str, str]:
    """Every page of the site that any of its pages links to, by path; nothing was written meanwhile."""
    before = state_of_files(site.root)
    waiting, found = ["index.html"], {}
    while waiting:
        path = waiting.pop()
        status, text, headers = site.get(path)
        assert status == 200, (path, text)
        assert headers["content-security-policy"] == POLICY
        found[path] = text
        for link in Read(text).links:
            there, _ = leads_to(path, link)
            if there not in found and there not in waiting and "?" not in link and not link.startswith("data:"):
                waiting.append(there)
    assert state_of_files(site.root) == before
    return found


def test_every_link_answers_and_every_kind_of_page_is_reached(site: Site, crawled: dict[str, str]) -> None:
    on_no_calendar = {"products/late_order/days/2026-03-10.html"}
    assert {sample(site.root, path) for path in SAMPLES} <= crawled.keys() | on_no_calendar
    for route in ROUTES:
        if "{day}" not in route.pattern:
            assert any(route.match(path) is not None for path in crawled), route.pattern
    pages = {path: Read(text) for path, text in crawled.items()}
    for path, read in pages.items():
        assert len(read.ids) == len(set(read.ids)), path
        for link in read.links:
            there, anchor = leads_to(path, link.partition("?")[0] if "?" in link else link)
            assert not anchor or anchor in pages[there].ids, (path, link)
    assert site.get("")[1].count("<h1>") == 1
    assert site.get("products/late_order/")[0] == 200


def test_home_shows_what_the_clock_does_next(site: Site) -> None:
    _, text, _ = site.get("")
    to_come = text[text.index("To come") :]
    assert [word for word in ("predict late_order", "almanac agenda") if word not in to_come] == []


def test_texts_that_look_like_html_stay_texts(crawled: dict[str, str]) -> None:
    escaped = html.escape(TAG)
    for path, text in crawled.items():
        if path.endswith(".html"):
            assert TAG not in text, path
            assert {"script", "img", "iframe", "style"}.isdisjoint(Read(text).tags), path
            assert " style=" not in text.replace(escaped, ""), path
    shown = {path for path, text in crawled.items() if escaped in text}
    # It is in descriptions, owners, data, rejected rows, files set aside and reasons.
    assert {"index.html", "products/late_order/index.html", "sources/orders.html"} <= shown
    assert any(path.startswith("products/late_order/rollouts/") for path in shown)


def test_what_does_not_exist_is_said_and_an_error_stays_text(site: Site) -> None:
    for path in ("nothing.html", "products/no/index.html", "products/late_order/pages/2026-03-10T180001Z.html",
                 "products/late_order/pages/x.html", "products/late_order/versions/v9.html", "sources/no.html",
                 "products/late_order/days/2026-99-01.html", "products/late_order/calendar-1999.html",
                 "lineage/orders/no.html", "products/late_order/rollouts/no.html", "../../etc/passwd",
                 f"products/{quote(TAG)}/index.html", f"{quote(TAG)}.html"):  # fmt: skip
        status, text, _ = site.get(path)
        assert status == 404, path
        assert TAG not in text
    status, text, _ = site.get(f"products/late_order/days/{quote(TAG)}.html")
    assert status == 404
    assert html.escape(TAG) in text


@pytest.mark.parametrize("path", SAMPLES)
def test_the_sql_that_is_shown_gives_the_rows_that_are_shown(seen_root: Path, path: str) -> None:
    opened = OpenedSuite(seen_root, clock_at(NOW))
    path = sample(seen_root, path)
    with opened.seen() as seen:
        document = document_of(seen, path)
    suite = opened.suite()
    for section in document.sections:
        if not section.sql or "'...'" in section.sql:
            continue
        answer = query_rows(suite, section.sql)
        heads = [name.replace("_", " ") for name in answer.names]
        if section.table is not None and section.table.heads == heads:
            assert len(answer.rows) == len(section.table.rows), section.title
            for shown, told in zip(section.table.rows, answer.rows, strict=True):
                for cell, value in zip(shown, told, strict=True):
                    assert (cell.text == "") == (value in (None, "", "[]", "{}")), (section.title, cell, value)
                    if value is not None and cell.text and not cell.instant and value.isalpha():
                        assert cell.text in (value, {"true": "yes", "false": "no"}.get(value)), section.title


def test_a_look_up_by_key_gives_what_sql_gives(site: Site, seen_root: Path) -> None:
    suite = open_suite(seen_root, clock_at(NOW))
    asked = "SELECT order_id, probability, model_version FROM predictions.late_order_current ORDER BY order_id"
    known = rows(suite, asked)
    assert any(TAG in key for key, _, _ in known)
    for key, probability, version in [known[0], known[-1], *[row for row in known if TAG in row[0]]]:
        _, text, _ = site.get(f"products/late_order/index.html?{urlencode({'order_id': key})}")
        part = text[text.index('id="look-up-by-key"') : text.index('id="newest-predictions"')]
        found = [row for row in Read(part).rows if row]
        assert len(found) == 1
        cells = [cell.strip() for cell in found[0]]
        assert cells[0] == key
        assert words(probability) in cells
        assert version in cells
    _, text, _ = site.get("products/late_order/index.html?order_id=nobody%27%20OR%201%3D1")
    assert "Nothing is predicted of this key" in text


def test_a_job_that_writes_meanwhile_is_seen_whole_or_not_at_all(seen_root: Path, tmp_path: Path) -> None:
    root = copy_of(seen_root, tmp_path / "shop")
    page = NOW - timedelta(hours=7)
    opened = OpenedSuite(root, clock_at(NOW))
    path = paths.of_product(PRODUCT)
    with opened.seen() as seen:
        before = html_of(document_of(seen, path), Frame("shop", seen.snapshot_id, NOW))[0]
    with opened.seen() as seen:
        # The state is chosen; what is committed from here on is not seen by this request, in none of its parts.
        run_page(open_suite(root, clock_at(NOW)), PRODUCT, page)
        during = html_of(document_of(seen, path), Frame("shop", seen.snapshot_id, NOW))[0]
    with opened.seen() as seen:
        after = html_of(document_of(seen, path), Frame("shop", seen.snapshot_id, NOW))[0]
    assert during == before
    assert after != before
    assert paths.stamp(page) in after
    assert "2026-04-09: published" in after


def test_ten_readers_at_once_see_whole_states_while_pages_are_backfilled(seen_root: Path, tmp_path: Path) -> None:
    root = copy_of(seen_root, tmp_path / "shop")
    suite = open_suite(root, clock_at(NOW))
    product = suite.definitions.product(PRODUCT)
    missing = product.pages_between(datetime(2026, 3, 2), datetime(2026, 3, 5))

    def read(site: Site) -> tuple[int, int]:
        status, text, _ = site.get(paths.of_product(PRODUCT))
        assert status == 200
        # The number of pages and the calendar are answers to two questions, of one state.
        n_pages = re.search(r"<dt>Pages</dt><dd>\s*(\d+)", text)
        assert n_pages is not None
        return int(n_pages[1]), text.count(": published")

    opened = OpenedSuite(root, clock_at(NOW))
    with answering(application(opened, None, ("127.0.0.1",)), root) as site, ThreadPoolExecutor(10) as readers:
        before, _ = read(site)
        asked = [readers.submit(read, site) for _ in range(20)]
        for page in missing:
            predict_pages(suite, product, [page])
        told = [one.result() for one in asked]
        assert all(n_pages == n_days and before <= n_pages <= before + len(missing) for n_pages, n_days in told)
        assert read(site) == (before + len(missing), before + len(missing))


def test_a_wrong_edit_is_told_and_what_was_right_goes_on(seen_root: Path, tmp_path: Path) -> None:
    root = copy_of(seen_root, tmp_path / "shop")
    opened = OpenedSuite(root, clock_at(NOW))
    first = opened.suite()
    header = root / "sql/products/late_order/product.yaml"
    header.write_text(header.read_text() + f"\nunknown: '{TAG}'\n")
    assert opened.suite() is first
    assert "unknown" in opened.refused[0]
    header.write_text(header.read_text().replace(f"\nunknown: '{TAG}'\n", "\n"))
    assert opened.suite() is not first
    assert not opened.refused


def test_an_export_is_the_same_site_as_files_whose_links_all_lead_somewhere(
    seen_root: Path, crawled: dict[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / "site"
    done = almanac(seen_root, "web", "--export", str(directory), "--pages", "3", "--now", f"{NOW:%Y-%m-%d}")
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stdout
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    for name in files - {".almanac-site"}:
        for link in Read((directory / name).read_text()).links:
            there, _ = leads_to(name, link)
            assert link.startswith("data:") or there in files, (name, link)
    assert files - {".almanac-site"} <= crawled.keys()
    assert len([name for name in files if "/pages/" in name]) == 3
    (directory / "old.html").write_text("of an earlier export")
    again = almanac(seen_root, "web", "--export", str(directory), "--pages", "0", "--now", f"{NOW:%Y-%m-%d}", "--json")
    assert again.returncode == 0
    assert '"n_files"' in again.stdout
    assert not (directory / "old.html").exists()
    assert not any("/pages/" in str(path) for path in directory.rglob("*.html"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/kept.txt").write_text("mine")
    refused = almanac(seen_root, "web", "--export", str(tmp_path / "other"))
    assert refused.returncode == 2
    assert (tmp_path / "other/kept.txt").exists()


def test_only_this_machine_or_who_bears_the_token_is_answered(site: Site, seen_root: Path) -> None:
    assert site.get("", {"Host": "evil.example"})[0] == 421
    assert site.get("", {"Host": "127.0.0.1:1"})[0] == 200
    token = "0123456789abcdef"
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    assert _bears(f"Bearer {token}", token)
    assert _bears(f"Basic {basic}", token)
    for wrong in (
        "",
        "Bearer",
        f"Bearer {token}x",
        "Basic !",
        f"Basic {base64.b64encode(b'a:b').decode()}",
        "Bearer é",
    ):
        assert not _bears(wrong, token)
    done = almanac(seen_root, "web", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "ALMANAC_WEB_TOKEN" in done.stderr


def test_look_ups_are_answered_beside_the_site_where_a_product_has_a_bundle(published: Suite, tmp_path: Path) -> None:
    assert look_up_service(published, None, (), tmp_path) is None
    suite = with_bundle(published)
    export(suite, PRODUCT)
    counts = tmp_path / "counts"
    counts.mkdir()
    service = look_up_service(suite, None, ("127.0.0.1",), counts, micros(PAGE + timedelta(hours=1)))
    key, probability = rows(suite, "SELECT order_id, probability FROM predictions.late_order_current ORDER BY 1")[0]
    opened = OpenedSuite(suite.root, clock_at(NOW))
    with answering(application(opened, None, ("127.0.0.1",), service), suite.root) as both:
        assert both.get("products/late_order/index.html")[0] == 200
        status, text, _ = both.get(f"look-up/v1/{PRODUCT}/predictions?order_id={key}")
        assert status == 200
        assert (json.loads(text)["keys"], json.loads(text)["probability"]) == ({"order_id": key}, probability)
        assert both.get("look-up/openapi.json")[0] == 200
        assert both.get("look-up/openapi.json", {"Host": "evil.example"})[0] == 421


def test_without_its_packages_the_command_says_what_to_install(
    seen_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = almanac(seen_root, "web")
    assert done.returncode == 2
    assert "install almanac[web]" in done.stderr


def test_a_young_suite_has_every_page_too(ingested: Suite, tmp_path: Path) -> None:
    (ingested.root / "schedules.yaml").unlink()
    done = almanac(ingested.root, "web", "--export", str(tmp_path / "site"), "--now", f"{NOW:%Y-%m-%d}")
    assert done.returncode == 0, done.stderr
    assert "No page is published yet." in (tmp_path / "site/products/late_order/index.html").read_text()
    assert "None was made yet." in (tmp_path / "site/products/late_order/retraining.html").read_text()
    assert "almanac ingest" in (tmp_path / "site/sources.html").read_text()
    assert "schedules.yaml does not exist" in (tmp_path / "site/clock.html").read_text()


def test_a_suite_without_a_lake_says_what_to_do(starter: Path) -> None:
    done = almanac(starter, "web", "--export", str(starter / "site"))
    assert done.returncode == 2
    assert "almanac ingest" in done.stderr
    assert not (starter / "site").exists()


def test_a_name_becomes_a_path_that_is_its_own_and_leads_nowhere_else() -> None:
    names = ["a", "A b", "a/b", "..", ".", "", "é", "~", "~7e", "a.b", "<i>", "x" * 300, "x" * 301, "\ud800"]
    slugs = [paths.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(set(one) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.~") for one in slugs)
    assert not any(one.startswith(".") or len(one) > 150 for one in slugs)
    for at in (NOW, NOW + timedelta(microseconds=5)):
        assert paths.instant_of(paths.stamp(at)) == at
    assert paths.instant_of("2026-1-1T000000Z") is None
