"""`unless: nothing new`: pages that would say what the page before says are not made, and no others are left out."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.schedule.nothing_new import why_nothing_new
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.schedule.clock_suites import run, run_json
from warehouse.ledger import records as ledger
from warehouse.ledger.records import Promotion

HALF = timedelta(minutes=30)
SCHEDULE = f"""
jobs:
  pages: {{run: {{predict: {PRODUCT}}}, every: 30 minutes, unless: nothing new}}
  after_each: {{run: {{monitor: {PRODUCT}}}, every: 30 minutes, after: pages}}
"""


def facts_of(root: Path) -> list[datetime]:
    found = []
    for name, place in (("orders", 4), ("deliveries", 1)):
        with (root / "data" / f"{name}.csv").open(newline="") as file:
            found += [datetime.fromisoformat(row[place]) for row in list(csv.reader(file))[1:]]
    return sorted(found)


def quiet_page(root: Path) -> datetime:
    """Find a page in the half hour after which nothing becomes known, while something does in the one after that."""
    facts, page = facts_of(root), PAGE
    while any(page <= at < page + HALF for at in facts) or not any(page + HALF <= at < page + 2 * HALF for at in facts):
        page += HALF
    return page


def every_half_hour(suite: Suite) -> Suite:
    header = suite.root / "sql" / "products" / PRODUCT / "product.yaml"
    text = header.read_text()
    # The labels of so many pages would cost much, and say nothing here.
    grid = text[text.index("pages:") : text.index("valid_for:")]
    header.write_text(text.replace(grid, f"pages: {{every: 30 minutes, zone: UTC, since: {PAGE:%Y-%m-%d}}}\n"))
    return open_suite(suite.root, clock_at(NOW))


def why(suite: Suite, page: datetime) -> str | None:
    with suite.lake.reading() as connection:
        return why_nothing_new(connection, suite.definitions, suite.definitions.product(PRODUCT), page)


def test_the_clock_makes_no_page_that_would_say_what_the_page_before_says(trained: Suite) -> None:
    every_half_hour(trained)
    page = quiet_page(trained.root)
    (trained.root / "schedules.yaml").write_text(SCHEDULE)
    run(trained.root, "tick", "--now", str(page - timedelta(minutes=1)))
    outcomes = []
    for n in range(3):
        done = run_json(trained.root, "tick", "--now", str(page + n * HALF))
        outcomes.append([(end["job"], end["outcome"]) for end in done["settled"]])
    ran, skipped = [("pages", "ran"), ("after_each", "ran")], [("pages", "skipped"), ("after_each", "skipped")]
    assert outcomes == [ran, skipped, ran]
    ticks = run_json(trained.root, "ticks", "pages")
    assert [one["reason"] for one in ticks if one["state"] == "skipped"] == [f"nothing new since the page {page}"]


def test_whatever_would_change_a_page_is_new(trained: Suite) -> None:
    suite = every_half_hour(trained)
    page = quiet_page(suite.root)
    # Without a page before there is nothing to compare with.
    assert why(suite, page) is None
    run_page(suite, PRODUCT, page)
    nothing = f"nothing new since the page {page}"
    assert why(suite, page + HALF) == nothing
    assert why(suite, page + 2 * HALF) is None
    # The page itself is made again by who asks for it.
    assert why(suite, page) is None
    # One that would be staler than is promised before the next one comes is replaced.
    header = suite.root / "sql" / "products" / PRODUCT / "product.yaml"
    said = header.read_text()
    header.write_text(f"{said}fresh_within: 45 minutes\n")
    assert why(open_suite(suite.root, clock_at(NOW)), page + HALF) is None
    header.write_text(said)
    # A fact of before the page that comes late.
    path = suite.root / "data" / "orders.csv"
    with path.open("a") as file:
        file.write(f"O99999,north,Swift,1,{page - HALF},{page + 2 * HALF}\n")
    suite = open_suite(suite.root, clock_at(NOW + HALF))
    ingest(suite)
    assert why(suite, page + HALF) is None
    run_page(suite, PRODUCT, page)
    assert why(suite, page + HALF) == nothing
    # Predictions that end before the next ones come.
    assert why(suite, page + 47 * HALF) is None
    # Another version, and other definitions.
    with suite.lake.commit("another version") as commit:
        ledger.append(commit, [Promotion(PRODUCT, "v9", page + 2 * HALF, NOW, "a test", None)])
    assert why(suite, page + HALF) == nothing
    assert why(suite, page + 2 * HALF) is None
    entities = suite.root / "sql" / "products" / PRODUCT / "entities.sql"
    entities.write_text(entities.read_text().replace("SELECT", "SELECT 1 AS one,", 1))
    assert why(open_suite(suite.root, clock_at(NOW)), page + HALF) is None
