"""What changed on a page since a snapshot, and what would change under another version."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.pages.diff import diff
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lakes import page_rows, rows
from tests.versions import SECOND_FROM
from warehouse.errors import NotFoundError, UsageError

ENTITIES = "sql/products/late_order/entities.sql"
SCORES = "SELECT order_id, probability FROM predictions.late_order WHERE as_of = $1"


def scores(suite: Suite, snapshot_id: int | None = None) -> dict[str, float]:
    return dict(rows(suite, SCORES, [PAGE], snapshot_id))


def snapshots_of(suite: Suite) -> list[int]:
    query = "SELECT snapshot_id FROM ledger.pages WHERE kind = 'predictions' AND as_of = $1 ORDER BY snapshot_id"
    return [row[0] for row in rows(suite, query, [PAGE])]


@pytest.fixture(scope="module")
def _made_again(_published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made_again") / "shop"
    shutil.copytree(_published, root)
    depots = root / "sql/features/depot_history.sql"
    depots.write_text(depots.read_text().replace("delivered_at > promised_at", "order_id[-1] < '7'"))
    entities = root / ENTITIES
    narrower = "WHERE promised_at > $as_of + INTERVAL 6 HOUR"
    wider = "UNION ALL BY NAME SELECT order_id || '-copy' AS order_id, depot, courier, parcels, 1 AS promised_hours,"
    wider += " 1 AS hours_left FROM orders WHERE promised_at > $as_of + INTERVAL 47 HOUR"
    entities.write_text(entities.read_text().replace("WHERE promised_at > $as_of", f"{narrower}\n{wider}"))
    run_page(open_suite(root, clock_at(NOW)), PRODUCT, PAGE)
    return root


@pytest.fixture
def made_again(_made_again: Path, tmp_path: Path) -> Suite:
    """A suite whose page was published twice: then with other features, without some entities and with others."""
    shutil.copytree(_made_again, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def test_against_a_snapshot_it_says_who_changed_came_and_went(made_again: Suite) -> None:
    first, second = snapshots_of(made_again)
    before, after = scores(made_again, first), scores(made_again, second)
    both = before.keys() & after.keys()
    changes = {key: after[key] - before[key] for key in both if after[key] != before[key]}
    found = diff(made_again, PRODUCT, PAGE, str(first), limit=1000)
    assert (found.before.snapshot_id, found.after.snapshot_id) == (first, second)
    assert {row["order_id"]: row["change"] for row in found.changed} == changes
    assert [abs(row["change"]) for row in found.changed] == sorted(map(abs, changes.values()), reverse=True)
    assert {row["order_id"] for row in found.came} == after.keys() - before.keys()
    assert {row["order_id"] for row in found.went} == before.keys() - after.keys()
    assert min(found.n_changed, found.n_came, found.n_went) > 0
    assert found.n_same == len(both) - len(changes)
    assert found.largest_change == max(map(abs, changes.values()))
    assert found.why == ["the definitions have changed"]


def test_without_against_it_is_what_the_newest_publication_replaced(made_again: Suite) -> None:
    run_page(made_again, PRODUCT, PAGE + timedelta(days=1))
    assert diff(made_again, PRODUCT, PAGE) == diff(made_again, PRODUCT, PAGE, str(snapshots_of(made_again)[0]))


def test_only_so_many_are_listed_and_all_are_counted(made_again: Suite) -> None:
    few, all_of_them = diff(made_again, PRODUCT, PAGE, limit=2), diff(made_again, PRODUCT, PAGE, limit=1000)
    assert few.changed == all_of_them.changed[:2]
    assert few.n_changed == all_of_them.n_changed > 2


def test_a_page_made_again_in_the_same_way_has_not_changed(published: Suite) -> None:
    made = run_page(published, PRODUCT, PAGE)
    found = diff(published, PRODUCT, PAGE)
    assert (found.n_same, found.n_changed, found.n_came, found.n_went) == (made.n_rows, 0, 0, 0)
    assert (found.largest_change, found.why) == (None, [])


def test_against_a_version_it_says_what_that_would_write(trained: Suite) -> None:
    """What was said it would write is just what it then does write."""
    page = SECOND_FROM + timedelta(hours=18)
    run_page(trained, PRODUCT, page)
    version = train(trained, PRODUCT, SECOND_FROM).model.version
    at, before = trained.lake.newest_snapshot(), page_rows(trained, PRODUCT)
    found = diff(trained, PRODUCT, page, version, limit=1000)
    assert (trained.lake.newest_snapshot(), page_rows(trained, PRODUCT)) == (at, before)
    assert (found.before.model_version, found.after.model_version) == ("v1", version)
    assert (found.n_came, found.n_went) == (0, 0)
    assert found.n_changed > 0
    assert found.why == [f"the model: v1 before, {version} after"]
    run_page(trained, PRODUCT, page, version=version)
    written = diff(trained, PRODUCT, page, limit=1000)
    assert written.changed == found.changed


def test_a_version_that_has_seen_the_outcomes_is_said_to_have(published: Suite) -> None:
    version = train(published, PRODUCT, SECOND_FROM).model.version
    assert any("hindsight" in line for line in diff(published, PRODUCT, PAGE, version).why)


def test_what_cannot_be_compared_is_refused_with_what_there_is(trained: Suite) -> None:
    with pytest.raises(NotFoundError, match=r"2026-03-10 18:00:00 of late_order is not published. It never was"):
        diff(trained, PRODUCT, PAGE)
    run_page(trained, PRODUCT, PAGE)
    (published,) = snapshots_of(trained)
    with pytest.raises(UsageError, match=rf"only once, at snapshot {published}: name a model version"):
        diff(trained, PRODUCT, PAGE)
    with pytest.raises(NotFoundError, match=rf"was, at snapshot 1, not published. .* snapshots {published} \(v1\)"):
        diff(trained, PRODUCT, PAGE, "1")
    with pytest.raises(NotFoundError, match=r"no model version `v7`. There is: v1"):
        diff(trained, PRODUCT, PAGE, "v7")


def test_the_command_prints_tables_and_json(made_again: Suite) -> None:
    command = ["diff", PRODUCT, "--page", "2026-03-10T18:00"]
    text = said(made_again.root, *command, "--limit", "3")
    assert "the definitions have changed" in text
    assert "Entities that changed: the first 3 of" in text
    found = json.loads(said(made_again.root, *command, "--against", str(snapshots_of(made_again)[0]), "--json"))
    assert found["n_changed"] == diff(made_again, PRODUCT, PAGE).n_changed
    assert found["changed"][0]["change"] == diff(made_again, PRODUCT, PAGE).changed[0]["change"]
