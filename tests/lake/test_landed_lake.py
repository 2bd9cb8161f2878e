"""A lake that an earlier version of Almanac made opens, works on, and has its facts made anew.

`landed_lake.tar.xz` was made by the code of the commit 0a3c549, of before there were derivations: sixty orders in two
deliveries, one of them restated by the second; a version trained on five pages; and two pages that it wrote.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.pages.states import page_states
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import doctor
from jobs.training.reproduce import reproduce
from jobs.training.train import train
from tests.changes.editing import edited
from tests.conftest import clock_at
from tests.lakes import rows

LANDED = Path(__file__).with_name("landed_lake.tar.xz")
PRODUCT = "open_orders"
NOW = datetime(2026, 1, 20)
PAGES = [datetime(2026, 1, day, 12) for day in (16, 17)]
SOURCE, GROUP = "sql/sources/orders.sql", "sql/features/of_depot.sql"
FACTS = "FROM sources.orders ORDER BY ALL"
SAID = "SELECT * EXCLUDE (run_id, published_at) FROM predictions.open_orders ORDER BY ALL"
DERIVED = "SELECT derivation, way, n_deliveries, n_gone FROM ledger.derivations ORDER BY ALL"


@pytest.fixture
def landed(tmp_path: Path) -> Suite:
    """A suite with a lake of the earlier version, elsewhere than where it was made."""
    with tarfile.open(LANDED) as archive:
        archive.extractall(tmp_path, filter="data")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def same_but_for_the_last_places(found: list[Any], said: list[Any]) -> bool:
    """Whether predictions are those of then: a linear model's last places depend on the processor that it ran on."""
    return [as_near(row) for row in found] == said


def as_near(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(pytest.approx(value, rel=1e-12, abs=0) if isinstance(value, float) else value for value in row)


def test_it_opens_and_goes_on_as_if_nothing_had_been(landed: Suite) -> None:
    product = landed.definitions.product(PRODUCT)
    assert {state.shown for state in page_states(landed, product, PAGES)} == {"published"}
    facts, said = rows(landed, FACTS), rows(landed, SAID)
    assert (len(facts), len(said)) == (61, 29)
    (result,) = ingest(landed)
    assert (result.ingestion, result.derived, result.caught_up) == (None, None, [])
    assert rows(landed, DERIVED) == [(1, "ingest", 0, 0)]
    run_page(landed, PRODUCT, PAGES[0])
    assert same_but_for_the_last_places(rows(landed, SAID), said)
    assert rows(landed, FACTS) == facts
    again = reproduce(landed, PRODUCT, "v1")
    assert again.same_rows
    assert again.largest_difference is not None
    assert again.largest_difference < 1e-12  # the last places of a linear model, which depend on the processor
    assert run_page(landed, PRODUCT, datetime(2026, 1, 18, 12)).published[-1].model_version == "v1"
    assert train(landed, PRODUCT, datetime(2026, 1, 18)).model.version == "v2"
    assert [found for found in doctor(landed.root, clock_at(NOW)) if found.state == "error"] == []


def test_a_column_more_is_there_on_all_its_facts(landed: Suite) -> None:
    before = rows(landed, "SELECT * EXCLUDE (ingest_id) FROM sources.orders ORDER BY ALL")
    suite = edited(landed, SOURCE, "SELECT id, depot, n, placed", "SELECT id, depot, n, placed, n > 3 AS is_big", NOW)
    (result,) = ingest(suite)
    assert result.derived is not None
    # Which columns each delivery had was not written down then, so that they are taken in again.
    assert (result.derived.way, result.derived.n_gone, result.ingestion) == ("replay", 0, None)
    assert rows(suite, "SELECT * EXCLUDE (ingest_id, is_big) FROM sources.orders ORDER BY ALL") == before
    assert rows(suite, "SELECT count(*) FROM sources.orders WHERE is_big IS NOT DISTINCT FROM (n > 3)") == [(61,)]
    # From then on it is: a column more is made of the facts.
    suite = edited(suite, SOURCE, "n > 3 AS is_big", "n > 3 AS is_big, n > 4 AS is_very_big", NOW)
    (result,) = ingest(suite)
    assert result.derived is not None
    assert result.derived.way == "facts"


def test_a_mended_known_at_has_its_deliveries_taken_in_again(
    landed: Suite, fresh: Callable[[Suite], list[Any]]
) -> None:
    suite = edited(landed, SOURCE, "known_at: placed", "known_at: placed + INTERVAL 1 DAY", NOW)
    (result,) = ingest(suite)
    assert result.derived is not None
    assert result.derived.way == "replay"
    assert rows(suite, "SELECT * EXCLUDE (ingest_id) FROM sources.orders ORDER BY ALL") == fresh(suite)
    assert [row[:2] for row in rows(suite, DERIVED)] == [(1, "ingest"), (2, "replay")]
    # The earlier definition has its facts still, and the pages made of them are as good as they were.
    back = edited(suite, SOURCE, "known_at: placed + INTERVAL 1 DAY", "known_at: placed", NOW)
    assert ingest(back)[0].derived is None
    states = page_states(back, back.definitions.product(PRODUCT), PAGES)
    assert {state.shown for state in states} == {"published"}


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[Suite], list[Any]]:
    """Give the facts of a new lake that takes the same deliveries, each at its instant."""

    def make(suite: Suite) -> list[Any]:
        root = tmp_path / "fresh"
        for now, name in ((datetime(2026, 1, 14), "1.csv"), (datetime(2026, 1, 19), "2.csv")):
            for path in (*suite.root.glob("sql/**/*.*"), suite.root / "data" / name):
                copy = root / path.relative_to(suite.root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
            opened = open_suite(root, clock_at(now))
            ingest(opened)
        return rows(opened, "SELECT * EXCLUDE (ingest_id) FROM sources.orders ORDER BY ALL")

    return make
