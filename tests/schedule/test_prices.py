"""Costs in money: CPU hours of each month, and what the lake keeps of each product."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from jobs.schedule.costs import costs
from jobs.schedule.prices import kept_by, priced
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite
from tests.command_line import said
from tests.conftest import NOW, PRODUCT
from tests.lakes import rows
from warehouse.definitions.yaml.suite_file import Prices


def test_money_is_cpu_hours_and_what_is_kept_by_team_and_month(published: Suite) -> None:
    header = published.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace("owner: you\n", "owner: you\nteam: harbour\n"))
    (published.root / "suite.yaml").write_text("prices: {cpu_hour: 3600, gib_month: 1000000, currency: EUR}\n")
    found = json.loads(said(published.root, "costs", "--by", "product", "--per", "month", "--json"))
    ((cpu_s,),) = rows(published, "SELECT sum(cpu_s) FROM ledger.runs WHERE product IS NOT NULL")
    mine = [row for row in found if row["product"] == PRODUCT]
    assert sum(row["cpu_money"] for row in mine) == pytest.approx(cpu_s)
    assert all(row["kept_money"] == pytest.approx(1e6 * row["gib_months"]) for row in found)
    assert all(row["money"] == pytest.approx(row["cpu_money"] + row["kept_money"]) for row in found)
    assert {row["currency"] for row in found} == {"EUR"}
    assert {row["month"] for row in found if row["runs"]} == {f"{NOW:%Y-%m}"}
    # Features and predictions are the team's; facts and the ledger are nobody's.
    by_team = json.loads(said(published.root, "costs", "--by", "team", "--json"))
    kept = {row["team"]: row["gib_months"] for row in by_team}
    assert kept["harbour"] > 0
    assert kept[None] > 0


def test_what_is_kept_is_its_bytes_times_the_share_of_the_month(ingested: Suite) -> None:
    ((newest,),) = rows(ingested, "SELECT max(snapshot_time)::TIMESTAMP FROM ducklake_snapshots('lake')")
    start = datetime(newest.year + 1, 1, 1)
    ends = {1: datetime(start.year, 2, 1), 2: datetime(start.year, 2, 15)}
    files = [path.stat().st_size for path in Path(ingested.lake.data).rglob("*.parquet")]
    january = kept_by(ingested.lake, ingested.definitions, "team", start, ends[1])
    assert january == [(f"{start:%Y-%m}", None, pytest.approx(sum(files) / 2**30))]
    both = kept_by(ingested.lake, ingested.definitions, "team", start, ends[2])
    assert both[1][2] == pytest.approx(january[0][2] * 14 / (29 if start.year % 4 == 0 else 28))


def test_months_are_apart_and_without_prices_there_is_no_money(ingested: Suite) -> None:
    store = TickStore.open(ingested.lake.root)
    together = costs(ingested.lake, store, "job", None, None)
    apart = costs(ingested.lake, store, "job", None, None, per_month=True)
    assert [{**row, "month": f"{NOW:%Y-%m}"} for row in together] == apart
    assert "money" not in said(ingested.root, "costs")
    none = priced(apart, [], Prices(), "job", per_month=True)
    assert [row["money"] for row in none] == [0.0] * len(none)
