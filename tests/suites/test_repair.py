"""What is lost is taken out of the lake: all else works, and what can be had again is."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.states import page_states
from jobs.suite import Suite, open_suite
from jobs.suites import repair as repairing
from jobs.suites.deep import look_deep
from jobs.suites.repair import repair, repair_dry_run
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import page_rows, rows
from tests.page_makers import CONTEXT

DAY = timedelta(days=1)


@pytest.fixture
def three_pages(trained: Suite) -> Suite:
    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + 3 * DAY))
    return trained


def files_of(suite: Suite, schema: str, table: str) -> list[Path]:
    with suite.lake.reading() as connection:
        query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => $2) ORDER BY ALL"
        return [Path(row[0]) for row in connection.execute(query, [table, schema]).fetchall()]


def states(suite: Suite) -> set[str]:
    product = suite.definitions.product(PRODUCT)
    return {state.shown for state in page_states(suite, product, product.pages_between(PAGE, PAGE + 3 * DAY))}


def test_pages_of_lost_and_damaged_files_are_missing_and_can_be_made_again(three_pages: Suite) -> None:
    before = {kind: page_rows(three_pages, PRODUCT, kind) for kind in ("features", "labels", "predictions")}
    (predictions,) = files_of(three_pages, "predictions", PRODUCT)
    predictions.unlink()
    (labels,) = files_of(three_pages, "labels", PRODUCT)
    labels.write_bytes(b"\0" * labels.stat().st_size)
    three_pages.lake.close()
    told = repair_dry_run(three_pages)
    assert labels.exists()
    with pytest.raises(duckdb.Error):
        page_rows(three_pages, PRODUCT)
    found = repair(reopened(three_pages))
    assert found == told
    assert [(row["kind"], row["pages"], row["first"]) for row in found.pages] == [
        ("labels", 3, PAGE),
        ("predictions", 3, PAGE),
    ]
    assert [Path(path).name for path in found.set_aside] == [labels.name]
    assert found.is_whole
    assert page_rows(three_pages, PRODUCT) == page_rows(three_pages, PRODUCT, "labels") == []
    assert states(three_pages) == {"missing"}
    backfill(three_pages, BackfillOrder(PRODUCT, PAGE, PAGE + 3 * DAY))
    assert {kind: page_rows(three_pages, PRODUCT, kind) for kind in before} == before
    assert repair(three_pages).found_nothing


def test_facts_are_taken_in_again_or_their_files_are_asked_for(three_pages: Suite) -> None:
    facts = "SELECT * FROM sources.orders ORDER BY ALL"
    delivered = three_pages.root / "data/orders-2.csv"
    line = "O99999,north,Swift,1,2026-04-01 06:06:00,2026-04-03 06:06:00\n"
    delivered.write_text("order_id,depot,courier,parcels,ordered_at,promised_at\n" + line)
    ingest(three_pages, ["orders"])
    before = rows(three_pages, facts)
    for file in files_of(three_pages, "sources", "orders"):
        file.unlink()
    delivered.rename(three_pages.root / "elsewhere.csv")
    three_pages.lake.close()
    done = almanac(three_pages.root, "repair")
    assert done.returncode == 1
    assert "orders lost facts, and these files are to be put back" in done.stdout
    assert "data/orders-2.csv" in done.stdout
    assert "data/orders.csv" not in done.stdout
    (three_pages.root / "elsewhere.csv").rename(delivered)
    found = repair(reopened(three_pages))
    assert (found.dropped, found.deliver_again, found.left) == (["orders"], {}, [])
    ingest(reopened(three_pages), ["orders"])
    again = reopened(three_pages)
    assert rows(again, facts) == before
    assert rows(again, "SELECT count(*) FROM sources.orders_current") == [(len(before),)]
    assert states(again) == {"published"}
    assert repair(again).found_nothing


def test_what_only_a_backup_has_is_told(three_pages: Suite) -> None:
    (three_pages.lake.root / "data/ledger").mkdir(exist_ok=True)
    lost = [
        file for name in ("checks", "pages", "runs", "definitions") for file in files_of(three_pages, "ledger", name)
    ]
    lost[0].unlink()
    three_pages.lake.close()
    found = repair_dry_run(three_pages)
    assert not found.is_whole
    assert lost[0].name in found.left[0]
    assert "put it back from a backup" in found.left[0]
    assert any(lost[0].name in sentence for sentence in look_deep(three_pages).wrong)


def repair_until_killed(root: Path, before: str) -> None:
    """Die by a kill before a step of a repair."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(repairing, before, die)
    repair(open_suite(root, clock_at(NOW)))


def test_a_repair_that_was_killed_is_all_or_nothing_and_is_gone_on_with(three_pages: Suite) -> None:
    """All that it changes for readers is one commit: pages of a product, and facts of a source."""
    for schema, table in (("predictions", PRODUCT), ("features", PRODUCT), ("sources", "orders")):
        for file in files_of(three_pages, schema, table):
            file.unlink()
    three_pages.lake.close()
    snapshots = "SELECT count(*) FROM ducklake_snapshots('lake')"
    before = rows(three_pages, snapshots)[0][0]
    for step, n_commits in (("mark_lost", 0), ("_drop_facts", 0), ("end_files", 1)):
        three_pages.lake.close()
        killed = CONTEXT.Process(target=repair_until_killed, args=(three_pages.root, step))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        assert rows(three_pages, snapshots)[0][0] == before + n_commits
    found = repair(reopened(three_pages))
    assert found.is_whole
    assert page_rows(three_pages, PRODUCT) == []
    ingest(reopened(three_pages), ["orders"])
    backfill(reopened(three_pages), BackfillOrder(PRODUCT, PAGE, PAGE + 3 * DAY))
    assert states(three_pages) == {"published"}
    assert repair(three_pages).found_nothing
