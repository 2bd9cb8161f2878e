"""One page or a thousand: however pages are made, their rows are those of the daily runs."""

from __future__ import annotations

import csv
import random
import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from jobs.training.train import train
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.effort import times
from tests.lakes import compared_columns, rows
from warehouse.lake.lake import table_columns

N_PAGES = 6

#: How far into the first weeks of March the changes of facts reach.
CHANGED_FROM, CHANGED_UNTIL = datetime(2026, 3, 2), datetime(2026, 3, 30)
VOLUME = """/*
description: How busy each depot is; one source and one window, so that many pages are made in one pass.
key: [depot]
*/
SELECT depot, count(*) AS depot_orders_7d, sum(parcels) AS depot_parcels_7d, avg(parcels) AS depot_mean_parcels_7d
FROM orders
WHERE known_at >= $as_of - INTERVAL 7 DAY
GROUP BY depot
"""
Rows = dict[datetime, list[Any]]


class Truth:
    """A suite with no page yet, and what its daily runs publish: before later news of its facts, and after.

    Not a dataclass: Hypothesis would print every row of it.
    """

    def __init__(self, root: Path, before: dict[str, Rows], after: dict[str, Rows]) -> None:
        self.root, self.before, self.after = root, before, after


def with_changing_orders(root: Path) -> None:
    """Let orders be restated and withdrawn, at times that a column tells."""
    source = root / "sql/sources/orders.sql"
    text = source.read_text()
    text = text.replace("known_at: ordered_at ", "restated_at: changed_at\nwithdrawn: gone\nknown_at: ordered_at ")
    text = text.replace("ordered_at, promised_at\nFROM", "ordered_at, promised_at, changed_at, gone\nFROM")
    text = text.replace(
        "'promised_at': 'TIMESTAMP'", "'promised_at': 'TIMESTAMP',\n'changed_at': 'TIMESTAMP', 'gone': 'BOOLEAN'"
    )
    source.write_text(text)
    (root / "sql/features/depot_volume.sql").write_text(VOLUME)
    product = root / "sql/products/late_order/product.yaml"
    product.write_text(product.read_text().replace("  - courier_load\n", "  - courier_load\n  - depot_volume\n"))
    orders = root / "data/orders.csv"
    write(orders, [{**row, "changed_at": "", "gone": "false"} for row in read(orders)])


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def write(path: Path, content: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, content[0])
        writer.writeheader()
        writer.writerows(content)


def change_orders(root: Path, name: str, seed: int) -> None:
    """Deliver a file that restates 60 orders and withdraws 20, as known at moments spread over March."""
    dice = random.Random(seed)
    orders = [row for row in read(root / "data/orders.csv") if row["ordered_at"] > "2026-02-20"]
    changed = []
    for number, row in enumerate(dice.sample(orders, 80)):
        earliest = max(CHANGED_FROM, datetime.fromisoformat(row["ordered_at"]))
        at = earliest + dice.random() * (CHANGED_UNTIL - earliest)
        courier, parcels = dice.choice(["Swift", "Royal", "Metro"]), str(dice.randint(1, 40))
        told = {"changed_at": f"{at:%Y-%m-%d %H:%M:%S}", "gone": str(number < 20).lower()}
        changed.append({**row, "courier": courier, "parcels": parcels, **told})
    write(root / f"data/orders_{name}.csv", changed)


def copied(root: Path, directory: Path, name: str) -> Suite:
    shutil.copytree(root, directory / name)
    return open_suite(directory / name, clock_at(NOW))


def hear_the_news(suite: Suite) -> None:
    change_orders(suite.root, "news", seed=2)
    done = ingest(suite, ["orders"])[0].ingestion
    assert done is not None
    assert done.rows_restated > 40
    assert done.rows_withdrawn > 10


def published(suite: Suite, schema: str) -> Rows:
    """Give the rows of each page, sorted, without what differs from run to run."""
    with suite.lake.reading() as connection:
        if not table_columns(connection, schema, PRODUCT):
            return {}
    found: Rows = {}
    # Features of earlier pages are those that the model learned from.
    query = f"SELECT as_of, {compared_columns(schema)} FROM {schema}.{PRODUCT} WHERE as_of >= $1 ORDER BY ALL"
    for row in rows(suite, query, [PAGE]):
        found.setdefault(row[0], []).append(row[1:])
    return found


def tables(suite: Suite) -> dict[str, Rows]:
    return {schema: published(suite, schema) for schema in ("features", "predictions")}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    directory = tmp_path_factory.mktemp("same_rows")
    make_starter(directory / "shop")
    with_changing_orders(directory / "shop")
    change_orders(directory / "shop", "changes", seed=1)
    suite = open_suite(directory / "shop", clock_at(NOW))
    ingest(suite)
    train(suite, PRODUCT, TRAINED_AS_OF)
    told, heard = copied(suite.root, directory, "before"), copied(suite.root, directory, "after")
    hear_the_news(heard)
    for each in (told, heard):
        for page in all_pages(each):
            # A daily run, ten minutes after its page.
            daily = open_suite(each.root, clock_at(page + timedelta(minutes=10)))
            assert run_page(daily, PRODUCT).published
    return Truth(suite.root, tables(told), tables(heard))


def all_pages(suite: Suite) -> list[datetime]:
    return suite.definitions.product(PRODUCT).pages_between(PAGE, PAGE + timedelta(days=N_PAGES))


@st.composite
def backfills(draw: st.DrawFn, first: int, last: int) -> dict[str, Any]:
    """Draw any part of a range, made in any of the ways that the command offers."""
    low = draw(st.integers(first, last))
    return {
        "span": (low, draw(st.integers(low, last))),
        "reverse": draw(st.booleans()),
        "workers": draw(st.integers(1, 3)),
        "pages_per_commit": draw(st.sampled_from([None, 1, 2, 3, 5])),
        "features_only": draw(st.booleans()),
        "only": draw(st.sampled_from([None, None, "all"])),
    }


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], int, dict[str, Any]]:
    """Draw some backfills, the moment of the news among them, and the one at the end that makes all the rest."""
    first = draw(st.integers(0, N_PAGES - 2))
    last = draw(st.integers(first + 1, min(first + 6, N_PAGES - 1)))
    parts = draw(st.lists(backfills(first, last), max_size=2))
    whole = {**draw(backfills(first, last)), "span": (first, last), "features_only": False, "only": None}
    return parts, draw(st.integers(0, len(parts))), whole


def make(suite: Suite, drawn: dict[str, Any], **changes: Any) -> None:
    settings = {**drawn, **changes}
    pages = all_pages(suite)
    low, high = settings.pop("span")
    result = backfill(suite, BackfillOrder(PRODUCT, pages[low], pages[high] + timedelta(minutes=1), **settings))
    assert not result.failed
    assert not result.rejected


def of(pages: Iterable[datetime], expected: Rows) -> Rows:
    return {page: expected[page] for page in pages}


@settings(max_examples=times(3), deadline=None, phases=[Phase.explicit, Phase.generate])
@given(story=stories())
def test_however_pages_are_made_their_rows_are_those_of_the_daily_runs(truth: Truth, story: Any) -> None:
    parts, moment, whole = story
    with tempfile.TemporaryDirectory() as directory:
        suite = copied(truth.root, Path(directory), "shop")
        for drawn in parts[:moment]:
            make(suite, drawn)
        if moment:
            for schema, found in tables(suite).items():
                assert found == of(found, truth.before[schema])
        hear_the_news(suite)
        for drawn in parts[moment:]:
            make(suite, drawn)
        make(suite, whole)
        make(suite, whole, only="stale")
        low, high = whole["span"]
        pages = all_pages(suite)[low : high + 1]
        for schema, found in tables(suite).items():
            assert found == of(pages, truth.after[schema])


def test_the_news_changes_pages(truth: Truth) -> None:
    """Else the test above would show less than it says."""
    for schema in ("features", "predictions"):
        changed = [page for page, found in truth.before[schema].items() if truth.after[schema][page] != found]
        assert len(changed) > N_PAGES / 2
