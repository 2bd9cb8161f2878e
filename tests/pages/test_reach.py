"""Staleness knows how far back a product's queries look: a fact from before their windows makes no page stale."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.plan import plan
from jobs.pages.states import page_states
from jobs.suite import Suite
from tests.conftest import reopened
from tests.lakes import rows
from warehouse.batching.reach import Reach, _readings
from warehouse.queries.checked_query import check_query

SOURCES = {"facts", "other"}
AS_OF = datetime(2026, 3, 1, 18)
WEEK = "facts.known_at >= $as_of - INTERVAL 7 DAY"

#: Queries, and since when each of their readings of `facts` counts; None: from the first fact on, or not told.
BOUNDED = {
    "SELECT count(*) AS n FROM facts WHERE known_at >= $as_of - INTERVAL 28 DAY": [timedelta(days=28)],
    "SELECT count(*) AS n FROM facts WHERE $as_of - INTERVAL 28 DAY <= known_at AND x > 1": [timedelta(days=28)],
    "SELECT count(*) AS n FROM facts WHERE known_at BETWEEN $as_of - INTERVAL 2 DAY AND $as_of": [timedelta(days=2)],
    "SELECT count(*) AS n FROM facts WHERE known_at > $as_of - INTERVAL 1 DAY": [
        timedelta(days=1) - timedelta(microseconds=1)
    ],
    "SELECT count(*) AS n FROM facts WHERE known_at >= $as_of::DATE - 7": [timedelta(days=7, hours=18)],
    f"SELECT count(*) AS n FROM facts WHERE {WEEK} AND known_at >= $as_of - INTERVAL 3 DAY": [timedelta(days=3)],
    f"SELECT f.k FROM other JOIN facts AS f USING (k) WHERE {WEEK.replace('facts', 'f')}": [timedelta(days=7)],
    f"SELECT other.k FROM other LEFT JOIN facts ON other.k = facts.k WHERE {WEEK}": [timedelta(days=7)],
    f"WITH late AS (SELECT * FROM facts WHERE {WEEK}) SELECT k, row_number() OVER (ORDER BY k) AS n FROM late": [
        timedelta(days=7)
    ],
    f"SELECT k FROM other WHERE EXISTS (SELECT 1 FROM facts WHERE facts.k = other.k AND {WEEK})": [timedelta(days=7)],
    f"SELECT k FROM facts WHERE {WEEK} UNION ALL SELECT k FROM facts WHERE known_at >= $as_of - INTERVAL 9 DAY": [
        timedelta(days=7),
        timedelta(days=9),
    ],
}
UNBOUNDED = [
    "SELECT count(*) AS n FROM facts",
    # The filter is of an aggregate, and a row outside of it still makes a group.
    f"SELECT k, count(*) FILTER (WHERE {WEEK}) AS n FROM facts GROUP BY k",
    f"SELECT count(*) AS n FROM facts WHERE {WEEK} OR x > 1",
    f"SELECT count(*) AS n FROM facts WHERE NOT ({WEEK})",
    "SELECT count(*) AS n FROM facts WHERE known_at <= $as_of - INTERVAL 7 DAY",
    "SELECT count(*) AS n FROM facts WHERE known_at >= TIMESTAMP '2026-01-01'",
    "SELECT count(*) AS n FROM facts WHERE known_at >= $as_of - to_days(x)",
    # Of two tables it is not told which one's, or it is the other one's.
    "SELECT facts.k FROM facts JOIN other USING (k) WHERE other.known_at >= $as_of - INTERVAL 7 DAY",
    # The bound is on a column of the subquery, which may be anything.
    f"SELECT k FROM (SELECT k, max(known_at) AS known_at FROM facts GROUP BY k) f WHERE {WEEK.replace('facts', 'f')}",
    "SELECT k FROM facts QUALIFY row_number() OVER (PARTITION BY k ORDER BY known_at) = 1",
    # An ASOF join prefers one row before WHERE is asked.
    f"SELECT other.k FROM other ASOF JOIN facts ON other.k = facts.k AND other.known_at <= facts.known_at WHERE {WEEK}",
    f"SELECT k FROM facts WHERE {WEEK} UNION ALL SELECT k FROM facts",
    f"SELECT k FROM other JOIN facts USING (k) JOIN facts AS again USING (k) WHERE {WEEK}",
    f"SELECT k FROM facts AS renamed(k, x, known_at) WHERE {WEEK.replace('facts', 'renamed')}",
    f"WITH other AS (SELECT * FROM facts) SELECT k FROM other WHERE {WEEK.replace('facts', 'other')}",
]


def readings_of(text: str) -> list[Reach] | None:
    found = _readings(check_query(text, "test.sql", tables=SOURCES, parameters={"as_of"}), "facts")
    return None if found is None else [Reach((bounds,)) for bounds in found]


@pytest.mark.parametrize("text", BOUNDED)
def test_a_bound_on_known_at_in_where_tells_how_far_back_a_query_looks(text: str) -> None:
    found = readings_of(text)
    assert found is not None
    assert [AS_OF - since for reach in found if (since := reach.since(AS_OF))] == BOUNDED[text]


@pytest.mark.parametrize("text", UNBOUNDED)
def test_what_is_not_surely_a_bound_counts_from_the_first_fact_on(text: str) -> None:
    found = readings_of(text)
    assert found is None or any(reach.since(AS_OF) is None for reach in found)


def test_a_source_that_a_cte_hides_is_left_alone() -> None:
    text = f"WITH facts AS (SELECT * FROM other) SELECT count(*) AS n FROM facts WHERE {WEEK}"
    assert readings_of(text) in (None, [])


PRODUCT = """
description: How busy each depot is.
keys: [depot]
features: [depot_orders]
label: {kind: regression, matures_within: 1 day}
model: {estimator: ridge}
pages: {cron: "0 18 * * *", since: 2026-02-10}
valid_for: 1 day
"""
ENTITIES = "SELECT depot FROM orders WHERE known_at >= $as_of - INTERVAL 14 DAY GROUP BY depot"
LABEL = "SELECT depot, count(*) AS label FROM orders WHERE known_at >= $as_of GROUP BY depot"
GROUP = """
/*
description: x
key: [depot]
*/
SELECT depot, count(*) AS n, sum(parcels) AS parcels
FROM orders
WHERE known_at >= $as_of - INTERVAL 7 DAY
GROUP BY depot
"""


def with_windows(suite: Suite) -> Suite:
    """Add a product whose queries look 14 days back, and no further."""
    folder = suite.root / "sql/products/busy"
    folder.mkdir()
    (folder / "product.yaml").write_text(PRODUCT)
    (folder / "entities.sql").write_text(f"/* description: x */ {ENTITIES}\n")
    (folder / "label.sql").write_text(f"/* description: x */ {LABEL}\n")
    (suite.root / "sql/features/depot_orders.sql").write_text(GROUP.lstrip())
    return reopened(suite)


def deliver(root: Path, name: str, *orders: tuple[str, datetime]) -> None:
    lines = ["order_id,depot,courier,parcels,ordered_at,promised_at"]
    lines += [f"{order},north,c1,3,{at},{at + timedelta(days=2)}" for order, at in orders]
    (root / f"data/orders_{name}.csv").write_text("\n".join(lines) + "\n")


def test_late_facts_make_just_those_pages_stale_whose_windows_they_lie_in(ingested: Suite) -> None:
    suite = with_windows(ingested)
    product = suite.definitions.product("busy")
    end = datetime(2026, 4, 5)
    backfill(suite, BackfillOrder("busy", None, end, features_only=True))
    before = set(rows(suite, "FROM features.busy"))
    old, late = datetime(2009, 5, 1), datetime(2026, 2, 20, 12)
    deliver(suite.root, "late", ("old", old), ("late", late))
    ingest(suite)
    pages = product.pages_between(product.header.pages.since, end)
    states = page_states(suite, product, pages, "features")
    stale = {state.as_of for state in states if state.stale}
    assert stale == {page for page in pages if late < page <= late + timedelta(days=14)}
    assert plan(suite, "busy", None, end, features_only=True).n_stale == len(stale)
    # Whoever makes them all again finds the others as they were.
    backfill(suite, BackfillOrder("busy", None, end, only="all", features_only=True))
    changed = {row[1] for row in before ^ set(rows(suite, "FROM features.busy"))}
    assert changed
    assert changed <= stale
    # A correction of a fact within the window counts from when it is known.
    deliver(suite.root, "again", ("late", late + timedelta(minutes=1)))
    ingest(suite)
    assert not any(state.stale for state in page_states(suite, product, pages, "features"))
