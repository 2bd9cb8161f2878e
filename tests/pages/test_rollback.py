"""A page becomes again what it was, in one commit with who and why, and nobody undoes that unawares."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.metering import who
from jobs.pages.backfill import BackfillOrder, backfill, prepare_backfill
from jobs.pages.plan import plan
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.pages.states import PageState, page_states
from jobs.suite import Suite, open_suite
from tests.command_line import said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from tests.versions import train_and_promote_a_second_version
from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.operations.leases import Leases

UNTIL = PAGE + timedelta(days=1)
COURIER = "sql/features/courier_load.sql"
WHY = "parcels counted five times"


class Told:
    """A listener that keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None: ...
    def advance(self, done: int = 1, rows: int = 0) -> None: ...
    def finish(self, summary: str = "") -> None: ...
    def warn(self, message: str) -> None:
        self.warnings.append(message)


def page_of(suite: Suite, schema: str = "predictions", snapshot_id: int | None = None) -> list[Any]:
    return rows(suite, f"FROM {schema}.late_order WHERE as_of = $1 ORDER BY ALL", [PAGE], snapshot_id)


def state_of(suite: Suite) -> PageState:
    return page_states(suite, suite.definitions.product(PRODUCT), [PAGE])[0]


@pytest.fixture(scope="module")
def _made_wrong(_published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made_wrong") / "shop"
    shutil.copytree(_published, root)
    path = root / COURIER
    path.write_text(path.read_text().replace("sum(parcels)", "5 * sum(parcels)"))
    run_page(open_suite(root, clock_at(NOW)), PRODUCT, PAGE)
    return root


@pytest.fixture
def made_wrong(_made_wrong: Path, tmp_path: Path) -> tuple[Suite, int]:
    """A suite whose page was published, and then again with a feature spoilt; and the snapshot of the first."""
    shutil.copytree(_made_wrong, tmp_path / "shop")
    suite = open_suite(tmp_path / "shop", clock_at(NOW))
    first, _ = snapshots_of(suite)
    assert page_of(suite) != page_of(suite, snapshot_id=first)
    return suite, first


def snapshots_of(suite: Suite) -> list[int]:
    query = "SELECT snapshot_id FROM ledger.pages WHERE kind = 'predictions' AND as_of = $1 ORDER BY snapshot_id"
    return [row[0] for row in rows(suite, query, [PAGE])]


def test_the_page_is_what_it_was_to_the_last_column_and_so_are_its_features(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    before = {schema: page_of(suite, schema, first) for schema in ("predictions", "features")}
    snapshot = suite.lake.newest_snapshot()
    done = rollback(suite, PRODUCT, PAGE, first, WHY)
    assert {schema: page_of(suite, schema) for schema in before} == before
    assert done.page.snapshot_id == suite.lake.newest_snapshot() == snapshot + 1
    assert done.with_features
    assert rows(suite, "SELECT DISTINCT as_of FROM predictions.late_order_current") == [(PAGE,)]


def test_the_ledger_says_who_did_it_and_why(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    done = rollback(suite, PRODUCT, PAGE, first, WHY)
    found = rows(suite, "SELECT product, as_of, to_snapshot, snapshot_id, rolled_back_by, reason FROM ledger.rollbacks")
    assert found == [(PRODUCT, PAGE, first, done.page.snapshot_id, who(), WHY)]
    run = rows(suite, "SELECT job, state, n_rows, snapshot_id FROM ledger.runs WHERE run_id = $1", [done.page.run_id])
    assert run == [("rollback", "succeeded", done.page.n_rows, done.page.snapshot_id)]


def test_the_plan_calls_it_rolled_back_and_no_backfill_undoes_it_unasked(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    rollback(suite, PRODUCT, PAGE, first, WHY)
    then = page_of(suite)
    found = plan(suite, PRODUCT, PAGE, UNTIL)
    assert [(group.state, group.n_pages) for group in found.groups] == [("rolled back", 1)]
    assert f"rolled back to snapshot {first} by {who()}" in (found.groups[0].why or "")
    assert f"{WHY}; the definitions have changed" in (found.groups[0].why or "")
    assert (found.n_wanted, found.n_stale, found.n_rolled_back) == (0, 0, 1)
    told = Told()
    for only in (None, "missing", "failed", "stale"):
        backfill(suite, BackfillOrder(PRODUCT, PAGE, UNTIL, only=only), told)  # type: ignore[arg-type]
    assert page_of(suite) == then
    assert told.warnings == ["1 page that had been rolled back: left as it was put back."] * 4


@pytest.mark.parametrize("only", ["rolled-back", "all"])
def test_a_backfill_that_is_told_to_makes_it_again_and_says_so(made_wrong: tuple[Suite, int], only: Any) -> None:
    suite, first = made_wrong
    wrong = page_of(suite, "features")
    rollback(suite, PRODUCT, PAGE, first, WHY)
    order = BackfillOrder(PRODUCT, PAGE, UNTIL, only=only)
    assert prepare_backfill(suite, order).n_rolled_back == 1
    told = Told()
    assert backfill(suite, order, told).published
    assert told.warnings == ["1 page that had been rolled back: made again, which undoes that."]
    assert page_of(suite, "features") == wrong
    assert state_of(suite).shown == "published"


def test_a_daily_run_leaves_it_alone_unless_it_is_named(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    rollback(suite, PRODUCT, PAGE, first, WHY)
    then, told = page_of(suite), Told()
    morning = reopened(suite, PAGE + timedelta(hours=12))
    assert run_page(morning, PRODUCT, progress=told).published == []
    assert page_of(suite) == then
    assert run_page(morning, PRODUCT, PAGE, progress=told).published
    assert page_of(suite) != then
    assert ["left so" in told.warnings[0], "undoes that" in told.warnings[1]] == [True, True]


def test_a_page_tried_in_vain_since_is_still_not_made_unasked(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    rollback(suite, PRODUCT, PAGE, first, WHY)
    (suite.root / "sql/products/late_order/checks/none.sql").write_text(
        "/*\ndescription: none may be likely\n*/\nSELECT * FROM page WHERE probability >= 0\n"
    )
    strict = reopened(suite)
    assert run_page(strict, PRODUCT, PAGE).rejected == {PAGE}
    state = state_of(strict)
    assert (state.state, state.is_wanted(None), state.is_wanted("rolled-back")) == ("rejected", False, True)


def test_a_run_that_began_before_the_rollback_does_not_undo_it(made_wrong: tuple[Suite, int]) -> None:
    """Leases keep it from that on one host; elsewhere the writer lock does."""
    from warehouse.ledger import records as ledger
    from warehouse.pages.publishing import StagedRows, publish

    suite, first = made_wrong
    began_at = suite.lake.newest_snapshot()
    rollback(suite, PRODUCT, PAGE, first, WHY)
    then = page_of(suite)
    with suite.lake.reading() as connection:
        record = ledger.published_pages(connection, PRODUCT, "predictions")[PAGE]
    staged = StagedRows("predictions", suite.root / "never_read.parquet", {}, [record])
    with suite.lake.commit("a late one") as commit:
        assert publish(commit, suite.definitions.product(PRODUCT), [staged], None, began_at) == []
    assert page_of(suite) == then


def test_a_backfill_under_way_takes_a_rollback_as_done(made_wrong: tuple[Suite, int]) -> None:
    """It has the page still to make when somebody rolls it back."""
    suite, first = made_wrong
    later = PAGE + timedelta(days=2)

    class RollsBack(Told):
        def advance(self, done: int = 1, rows: int = 0) -> None:
            if done and not self.warnings:
                self.warn("rolled back")
                rollback(suite, PRODUCT, PAGE, first, WHY)

    order = BackfillOrder(PRODUCT, PAGE, later, only="all", reverse=True, pages_per_commit=1)
    result = backfill(suite, order, RollsBack())
    assert {record.as_of for record in result.published} == {PAGE + timedelta(days=1)}
    assert state_of(suite).shown == "rolled back"


def test_a_page_that_is_being_made_is_not_rolled_back(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    with Leases(suite.lake) as leases:
        leases.take(PRODUCT, [PAGE])
        with pytest.raises(RunFailed, match=r"2026-03-10 18:00:00 of late_order is just being made by process \d+"):
            rollback(suite, PRODUCT, PAGE, first, WHY)


def test_what_is_there_or_never_was_is_refused(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    with pytest.raises(UsageError, match=r"is what it was at snapshot .* Name an earlier one"):
        rollback(suite, PRODUCT, PAGE, suite.lake.newest_snapshot())
    with pytest.raises(NotFoundError, match=rf"was, at snapshot 2, not published. .* snapshots {first} \(v1\), "):
        rollback(suite, PRODUCT, PAGE, 2)


def test_the_version_that_wrote_it_is_said_to_have(trained: Suite) -> None:
    first = run_page(trained, PRODUCT, PAGE).published[-1].snapshot_id
    second = train_and_promote_a_second_version(trained)
    run_page(trained, PRODUCT, PAGE, version=second, hindsight=True)
    rollback(trained, PRODUCT, PAGE, first)
    found = rows(
        trained, "SELECT DISTINCT model_version, hindsight FROM predictions.late_order WHERE as_of = $1", [PAGE]
    )
    assert found == [("v1", False)]
    record = state_of(trained).record
    assert record is not None
    assert (record.model_version, record.hindsight) == ("v1", False)


def test_a_lake_from_before_there_were_rollbacks_can_do_it(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    with suite.lake.commit("as it was before") as commit:
        commit.execute("DROP TABLE ledger.rollbacks")
        commit.execute("UPDATE ledger.format SET version = 2")
    assert state_of(suite).rolled_back is None
    rollback(suite, PRODUCT, PAGE, first, WHY)
    assert state_of(suite).shown == "rolled back"


def test_the_command_says_what_it_did(made_wrong: tuple[Suite, int]) -> None:
    suite, first = made_wrong
    command = ["rollback", PRODUCT, "--page", "2026-03-10T18:00", "--to", str(first), "--reason", WHY]
    printed = said(suite.root, *command)
    assert f"late_order: rolled back to snapshot {first} by" in printed
    assert "almanac diff late_order --page 2026-03-10T18:00" in printed
    assert json.loads(said(suite.root, *command, "--json"))["rollback"]["reason"] == WHY
    assert "rolled back" in said(suite.root, "pages", PRODUCT, "--from", "2026-03-10", "--to", "2026-03-11")
