"""Derivations under kills, upkeep and processes at work: old or new, nothing between, and no last holder goes."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.facts.ingest import ingest
from jobs.facts.replayable import drop_unused_derivations
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.pages.states import page_states
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import doctor
from jobs.training.reproduce import reproduce
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.facts.orders_suite import FIRST, SECOND, T1, T2, T3, THIRD, define, deliver, facts, rows_of, taken_in
from tests.page_makers import PageMaker
from warehouse.lake.lake import Commit

KNOWN_LATER = {"known_at": "placed + INTERVAL 2 DAY"}
LONG_AFTER = NOW + timedelta(days=400)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    root = tmp_path / "one"
    define(root)
    deliver(root, "1.csv", FIRST)
    taken_in(root, T1)
    deliver(root, "2.csv", SECOND)
    taken_in(root, T2)
    return root


def dies_at(suite: Suite, nth: int) -> None:
    """Ingest, and be killed at the nth step of a commit."""
    steps = 0

    def counted(step: Any) -> Any:
        def taken(*arguments: Any, **more: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **more)

        return taken

    Commit.execute = counted(Commit.execute)  # type: ignore[method-assign]
    Commit.add_file = counted(Commit.add_file)  # type: ignore[method-assign]
    ingest(suite)


def test_killed_between_any_two_steps_it_is_old_or_new(suite: Path) -> None:
    before = facts(suite)
    define(suite, **KNOWN_LATER)
    deliver(suite, "3.csv", THIRD)
    opened = open_suite(suite, clock_at(NOW))
    states = []
    for nth in range(1, 100, 2):
        maker = PageMaker(opened, dies_at, nth)
        maker.let_go()
        ended = maker.ended()
        tables = rows_of(suite, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'sources'")
        derivations = rows_of(suite, "SELECT count(*), max(derivation) FROM ledger.derivations")
        if derivations == [(1, 1)]:
            assert facts(suite) == before
            assert tables == [("orders",)]
        else:
            assert derivations == [(2, 2)]
            assert facts(suite, "orders@1") == before
            n_facts = rows_of(suite, "SELECT count(*) FROM sources.orders")[0][0]
            recorded = (
                "SELECT sum(rows_new + rows_restated + rows_withdrawn) FROM ledger.ingestions WHERE derivation = 2"
            )
            assert rows_of(suite, recorded) == [(n_facts,)]
        states.append((derivations[0][1], len(rows_of(suite, "FROM ledger.ingestions"))))
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert states == sorted(states), "nothing is undone"
    assert {state[0] for state in states} == {1, 2}
    assert len(states) > 4


def test_upkeep_drops_what_nobody_uses_and_what_is_made_again_is_equal(suite: Path) -> None:
    before = facts(suite)
    define(suite, **KNOWN_LATER)
    taken_in(suite, T3)
    opened = open_suite(suite, clock_at(NOW))
    assert drop_unused_derivations(opened, T2) == []
    assert drop_unused_derivations(opened, NOW) == ["orders@1"]
    assert rows_of(suite, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'sources'") == [("orders",)]
    assert rows_of(suite, "SELECT derivation, state FROM ledger.derivations ORDER BY derivation, state") == [
        (1, "dropped"),
        (1, "made"),
        (2, "made"),
    ]
    define(suite)
    done = taken_in(suite, T3)
    assert done.derived is not None
    assert done.derived.derivation == 3
    assert facts(suite) == before


def test_the_last_holder_of_a_fact_stays(suite: Path) -> None:
    define(suite, **KNOWN_LATER)
    taken_in(suite, T3)
    (suite / "data/1.csv").unlink()
    opened = open_suite(suite, clock_at(LONG_AFTER))
    assert drop_unused_derivations(opened, LONG_AFTER) == []
    define(suite)
    opened = open_suite(suite, clock_at(LONG_AFTER))
    assert drop_unused_derivations(opened, LONG_AFTER) == []
    found = {finding.subject: finding.detail for finding in doctor(suite, clock_at(T3)) if finding.state == "warning"}
    assert "1 of its 2 deliveries cannot be read again" in found["source orders"]


def edited(suite: Suite) -> Suite:
    path = suite.root / "sql/sources/orders.sql"
    path.write_text(path.read_text().replace("known_at: ordered_at", "known_at: ordered_at + INTERVAL 2 DAY"))
    return reopened(suite)


def test_going_back_reproduces_bit_for_bit_and_leaves_pages_as_good_as_they_were(published: Suite) -> None:
    product = published.definitions.product(PRODUCT)
    text = (published.root / "sql/sources/orders.sql").read_text()
    now_other = edited(published)
    ingest(now_other)
    (state,) = page_states(now_other, now_other.definitions.product(PRODUCT), [PAGE])
    assert state.stale
    assert state.why == "the definitions have changed"
    (published.root / "sql/sources/orders.sql").write_text(text)
    back = reopened(published)
    (state,) = page_states(back, product, [PAGE])
    assert not state.stale
    found = reproduce(back, PRODUCT, "v1")
    assert (found.same, found.same_rows) == (True, True)
    assert state.published is not None
    assert run_page(back, PRODUCT, PAGE).n_rows == state.published.n_rows


def ingests_meanwhile(suite: Suite) -> list[int | None]:
    return [result.derived.derivation if result.derived else None for result in ingest(suite)]


def test_a_backfill_under_way_ends_while_a_source_is_derived(trained: Suite) -> None:
    """It was begun under the old definitions, by a process that has read them; its ledger names its own derivation."""
    pages = 12

    class Meanwhile:
        done: list[int | None] | None = None

        def __call__(self) -> bool:
            if self.done is None:
                other = edited(trained)
                maker = PageMaker(other, ingests_meanwhile)
                maker.let_go()
                self.done = maker.told()
            return False

    meanwhile = Meanwhile()
    order = BackfillOrder(PRODUCT, start=PAGE, end=PAGE + timedelta(days=pages), pages_per_commit=4)
    result = backfill(trained, order, stop=meanwhile)
    assert meanwhile.done == [None, 2]
    assert sum(record.kind == "predictions" for record in result.published) == pages
    with trained.lake.reading() as connection:
        query = "SELECT DISTINCT derivations['orders'] FROM ledger.definitions JOIN ledger.pages USING (definitions)"
        assert connection.execute(query).fetchall() == [(1,)]
