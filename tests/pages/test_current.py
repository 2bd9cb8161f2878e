"""What is current: the views name their pages as literals, and show the same rows as the ledger looked up each time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.rollback import rollback
from jobs.suite import Suite
from tests.conftest import NOW, PAGE, PRODUCT
from tests.lakes import rows
from warehouse.ledger.records import PageRecord
from warehouse.pages.publishing import StagedRows, publish

FIRST = datetime(2026, 2, 1, 18)
COLUMNS = {
    "order_id": "VARCHAR",
    "as_of": "TIMESTAMP",
    "valid_until": "TIMESTAMP",
    "probability": "DOUBLE",
    "model_version": "VARCHAR",
}
#: How `late_order_current` was defined before it named pages: the ledger says which can hold a valid row.
BY_THE_LEDGER = """
WITH pages AS (
    SELECT as_of, valid_until
    FROM ledger.published_pages
    WHERE product = 'late_order' AND kind = 'predictions'
),
newest AS (SELECT max(as_of) AS as_of FROM pages)
SELECT *
FROM predictions.late_order
WHERE
    as_of IN (
        SELECT pages.as_of FROM pages, newest WHERE pages.as_of = newest.as_of OR pages.valid_until > newest.as_of
    )
    AND (valid_until > (SELECT as_of FROM newest) OR as_of = (SELECT as_of FROM newest))
QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY as_of DESC) = 1
"""
NEWEST_PAGE = """
FROM predictions.late_order
WHERE as_of = (SELECT max(as_of) FROM ledger.published_pages WHERE product = 'late_order' AND kind = 'predictions')
ORDER BY ALL
"""
CURRENT = "FROM predictions.late_order_current ORDER BY ALL"

#: A page's rows: an order's number, and for how many hours it is valid; None: no valid_until.
Rows = dict[int, int | None]


def put(suite: Suite, pages: dict[datetime, Rows], *, hindsight: bool = False, more_follow: bool = False) -> int:
    """Publish pages in one commit, as a run does, or a backfill that goes on; gives its snapshot."""
    product = suite.definitions.product(PRODUCT)
    made_at = suite.lake.newest_snapshot()
    with suite.staging("by-hand") as directory:
        file = directory / "predictions.parquet"
        listed = [
            [f"order {order}", page, page + timedelta(hours=hours) if hours is not None else None]
            for page, held in pages.items()
            for order, hours in held.items()
        ]
        with suite.lake.reading() as connection:
            connection.execute(
                "COPY (SELECT r[1] AS order_id, r[2]::TIMESTAMP AS as_of, r[3]::TIMESTAMP AS valid_until,"
                " hash(r)::DOUBLE AS probability, $2::VARCHAR AS model_version FROM unnest($1::VARCHAR[][]) AS t (r)"
                f" ORDER BY as_of) TO '{file}' (FORMAT parquet)",
                [[[str(cell) if cell is not None else None for cell in row] for row in listed], str(made_at)],
            )
        records = [record_of(page, held, hindsight) for page, held in pages.items()]
        with suite.lake.commit("pages made by hand") as commit:
            publish(commit, product, [StagedRows("predictions", file, COLUMNS, records)], more_follow=more_follow)
            return commit.snapshot_id


def record_of(page: datetime, held: Rows, hindsight: bool) -> PageRecord:
    ends = [page + timedelta(hours=hours) for hours in held.values() if hours is not None]
    return PageRecord(
        product=PRODUCT,
        kind="predictions",
        as_of=page,
        state="published",
        run_id="by-hand",
        definitions="",
        ingest_id=2,
        recorded_at=NOW,
        snapshot_id=0,
        n_rows=len(held),
        model_version="v1",
        hindsight=hindsight,
        valid_until=max(ends, default=None),
    )


def shown(suite: Suite) -> list[Any]:
    """Give what is current, after a look that it is what the ledger says, and that the newest page is the newest."""
    current = rows(suite, CURRENT)
    assert current == rows(suite, f"{BY_THE_LEDGER} ORDER BY ALL")
    assert rows(suite, "FROM predictions.late_order_page ORDER BY ALL") == rows(suite, NEWEST_PAGE)
    return current


@dataclass
class History:
    """A history of pages, made up as it goes."""

    suite: Suite
    chance: random.Random
    published: dict[datetime, list[int]] = field(default_factory=dict)

    def step(self) -> None:
        """Do one of the things that change what is current."""
        ways = [self.daily, self.daily, self.backfill, self.again, self.roll_back]
        self.chance.choice(ways if self.published else [self.daily])()

    def daily(self) -> None:
        newest = max(self.published, default=FIRST)
        self.publish([newest + timedelta(days=self.chance.randint(1, 3))])

    def backfill(self) -> None:
        among = [FIRST + timedelta(days=day) for day in range((max(self.published) - FIRST).days + 3)]
        self.publish(sorted(self.chance.sample(among, min(len(among), 4))))

    def again(self) -> None:
        self.publish([self.chance.choice(sorted(self.published))], hindsight=True)

    def roll_back(self) -> None:
        page = self.chance.choice(sorted(self.published))
        if len(self.published[page]) > 1:
            to = self.chance.choice(self.published[page][:-1])
            self.published[page].append(rollback(self.suite, PRODUCT, page, to).page.snapshot_id)

    def publish(self, pages: Sequence[datetime], *, hindsight: bool = False) -> None:
        more_follow = self.chance.random() < 0.4
        rows_of = {page: self.made_up() for page in pages}
        snapshot_id = put(self.suite, rows_of, hindsight=hindsight, more_follow=more_follow)
        for page in pages:
            self.published.setdefault(page, []).append(snapshot_id)

    def made_up(self) -> Rows:
        """Rows of a page, at times none; some valid for days, some run out as they come, some without an end."""
        orders = self.chance.sample(range(6), self.chance.choice([0, 1, 3, 5]))
        return {order: self.chance.choice([None, 0, 12, 24, 36, 100, 1000]) for order in orders}


@pytest.mark.parametrize("seed", range(3))
def test_what_is_current_is_what_the_ledger_says_through_any_history(ingested: Suite, seed: int) -> None:
    history = History(ingested, random.Random(seed))
    seen: dict[int, list[Any]] = {}
    for _ in range(10):
        history.step()
        seen[ingested.lake.newest_snapshot()] = shown(ingested)
    for snapshot_id in history.chance.sample(sorted(seen), 2):
        assert rows(ingested, CURRENT, snapshot_id=snapshot_id) == seen[snapshot_id]


def schema_version(suite: Suite) -> int:
    return int(rows(suite, "SELECT max(schema_version) FROM ducklake_snapshots('lake')")[0][0])


def texts_of_views(suite: Suite) -> list[str]:
    endings = "('late_order_current', 'late_order_page')"
    return [text for (text,) in rows(suite, f"SELECT sql FROM duckdb_views() WHERE view_name IN {endings}")]


def test_a_view_is_replaced_only_where_the_pages_that_it_names_change(ingested: Suite) -> None:
    days = [FIRST + timedelta(days=day) for day in range(6)]
    put(ingested, {days[1]: {1: 24}, days[2]: {1: 24}})
    before = schema_version(ingested)
    put(ingested, {days[0]: {1: 24}})  # too old to hold a valid row
    put(ingested, {days[2]: {1: 24, 2: 24}})
    assert schema_version(ingested) == before
    put(ingested, {days[0]: {3: 1000}}, hindsight=True)
    assert schema_version(ingested) > before
    assert {row[0] for row in shown(ingested)} == {"order 1", "order 2", "order 3"}
    before = schema_version(ingested)
    put(ingested, {days[3]: {1: 24}})
    assert schema_version(ingested) > before
    assert {row[0] for row in shown(ingested)} == {"order 1", "order 3"}


def test_where_the_newest_row_has_null_no_older_value_stands(ingested: Suite) -> None:
    days = [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=2)]
    put(ingested, {days[0]: {1: 1000, 2: 1000}, days[1]: {1: 1000}, days[2]: {3: 1000}})
    with ingested.lake.commit("not told") as commit:
        commit.execute("UPDATE predictions.late_order SET probability = NULL WHERE as_of = $1", [days[1]])
    assert [row[3] is None for row in shown(ingested)] == [True, False, False]


def test_views_are_replaced_twice_by_a_run_of_many_commits(ingested: Suite) -> None:
    days = [FIRST + timedelta(days=day) for day in range(5)]
    put(ingested, {days[0]: {1: 24}})
    seen = []
    for day in days[1:]:
        put(ingested, {day: {1: 1000, 2: 24}}, more_follow=day != days[-1])
        seen.append(schema_version(ingested))
        assert {row[1] for row in shown(ingested)} == {day}
        assert all(("ledger" in text) == (day != days[-1]) for text in texts_of_views(ingested))
    assert seen[0] == seen[1] == seen[2] < seen[3]


def test_a_backfill_that_ends_early_leaves_views_that_name_their_pages(trained: Suite) -> None:
    days = [PAGE + timedelta(days=day) for day in range(4)]
    seen = []

    def stop() -> bool:
        seen.append([("ledger" in text) for text in texts_of_views(trained)])
        if seen[-1]:
            shown(trained)
        return len(seen) > 2

    done = backfill(trained, BackfillOrder(PRODUCT, days[0], days[-1], pages_per_commit=1), stop=stop)
    assert [len(done.published), len(done.left)] == [4, 1]
    assert seen == [[], [True, True], [True, True]]
    assert not any("ledger" in text for text in texts_of_views(trained))
    assert {row[1] for row in shown(trained)} == {days[1]}
    backfill(trained, BackfillOrder(PRODUCT, days[0], days[-1], pages_per_commit=1))
    assert not any("ledger" in text for text in texts_of_views(trained))
    assert max(row[1] for row in shown(trained)) == days[2]


def test_rolling_back_the_page_that_holds_the_oldest_valid_row_changes_what_is_current(ingested: Suite) -> None:
    days = [FIRST + timedelta(days=day) for day in range(3)]
    first = put(ingested, {days[0]: {1: 1}})
    put(ingested, {days[1]: {2: 24}})
    put(ingested, {days[0]: {1: 1000, 4: 1000}})
    assert {row[0] for row in shown(ingested)} == {"order 1", "order 2", "order 4"}
    rollback(ingested, PRODUCT, days[0], first)
    assert {row[0] for row in shown(ingested)} == {"order 2"}


def test_a_lake_with_the_views_of_an_earlier_version_gets_the_present_ones_with_its_next_page(ingested: Suite) -> None:
    put(ingested, {FIRST: {1: 48, 2: 24}})
    with ingested.lake.commit("the views of an earlier version") as commit:
        query = BY_THE_LEDGER
        commit.execute(f"CREATE OR REPLACE VIEW predictions.late_order_current AS {query}")
    put(ingested, {FIRST - timedelta(days=1): {1: 1}})  # changes nothing of what is current
    text = rows(ingested, "SELECT sql FROM duckdb_views() WHERE view_name = 'late_order_current'")[0][0]
    assert "ledger" not in text
    assert len(shown(ingested)) == 2


def test_what_is_current_is_read_in_one_pass_over_the_table(ingested: Suite) -> None:
    put(ingested, {FIRST: {1: 48, 2: 24}, FIRST + timedelta(days=1): {2: 24}})
    plan = rows(ingested, "EXPLAIN FROM predictions.late_order_current WHERE order_id = 'order 1'")[0][1]
    assert plan.count("DUCKLAKE_SCAN") == 1
