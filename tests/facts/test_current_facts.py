"""`sources.NAME_current` has one row a fact, and lasts through new columns and definitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, clock_at, reopened
from tests.lakes import rows
from warehouse.errors import DefinitionError

HEADER = "order_id,depot,courier,parcels,ordered_at,promised_at\n"


def counted(suite: Suite) -> tuple[int, int, int]:
    query = "SELECT count(*), count(DISTINCT order_id), sum(parcels)::BIGINT FROM sources.orders_current"
    return rows(suite, query)[0]  # type: ignore[no-any-return]


def test_a_restated_fact_counts_once_and_a_new_column_is_shown(ingested: Suite) -> None:
    before = counted(ingested)
    ((order, parcels),) = rows(ingested, "SELECT order_id, parcels FROM sources.orders ORDER BY 1 LIMIT 1")
    more = f"{order},east,Metro,{parcels + 10},2026-03-31 12:11:00,2026-04-05 12:11:00\n"
    (ingested.root / "data/orders-2.csv").write_text(HEADER + more)
    ingest(ingested, ["orders"])
    assert rows(ingested, "SELECT count(*) FROM sources.orders") == [(before[0] + 1,)]
    assert counted(ingested) == (before[0], before[1], before[2] + 10)
    file = ingested.root / "sql/sources/orders.sql"
    file.write_text(file.read_text().replace("SELECT order_id, depot", "SELECT parcels > 2 AS is_big, order_id, depot"))
    ingest(reopened(ingested), ["orders"])
    assert counted(ingested) == (before[0], before[1], before[2] + 10)
    wrong = "SELECT count(*) FROM sources.orders_current WHERE is_big IS DISTINCT FROM (parcels > 2)"
    assert rows(ingested, wrong) == [(0,)]


def test_a_lake_without_the_view_gets_it_and_an_ingest_without_news_changes_nothing(ingested: Suite) -> None:
    with ingested.lake.commit("as an earlier version made it") as commit:
        commit.execute("DROP VIEW sources.orders_current")
    ingest(ingested)
    assert counted(ingested)[0] > 0
    before = ingested.lake.newest_snapshot()
    ingest(ingested)
    assert ingested.lake.newest_snapshot() == before


def test_a_source_cannot_bear_the_name_of_such_a_view(starter: Path) -> None:
    text = (starter / "sql/sources/orders.sql").read_text()
    (starter / "sql/sources/orders_current.sql").write_text(text)
    with pytest.raises(DefinitionError, match="orders_current"):
        open_suite(starter, clock_at(NOW))
