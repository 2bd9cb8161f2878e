"""What a rollout means elsewhere: for targets, for who goes back to an older version, and where rows are lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.export.export import export
from jobs.models.model_table import live
from jobs.pages.outcomes import settle_labels
from jobs.pages.predict import predict_pages
from jobs.rollout.look import look
from jobs.rollout.promotion import promote, retire, rollback
from jobs.rollout.stages import abort, start
from jobs.suite import Suite
from tests.conftest import PRODUCT
from tests.export.targets import in_duckdb, in_files, in_sqlite, with_targets
from tests.lakes import rows
from tests.rollout.worlds import at, make, page_of, with_plan
from warehouse.errors import UsageError

P0 = datetime(2026, 2, 1, 18)
DAY = timedelta(days=1)
CANARY = "{stages: [{canary: {share: 40%, pages: 40}}], margin: 0.0, acute: {shift: 1}}"
EXPORT = """
export:
  app: {to: out/predictions.sqlite}
  analysts: {to: out/predictions.duckdb, table: late}
  files: {to: out/pages/, format: jsonl, columns: [order_id, probability, arm]}
"""


def given(suite: Suite) -> dict[str, list[tuple[Any, ...]]]:
    """Export what waits; give what each target has: order, probability and arm, those of files of the newest page."""
    assert not export(suite, PRODUCT).failed
    newest = max(in_files(suite).items())[1]
    query = "SELECT order_id, probability, arm FROM {} ORDER BY order_id"
    return {
        "app": in_sqlite(suite, query.format(PRODUCT)),
        "analysts": in_duckdb(suite, query.format("late")),
        "files": sorted((row["order_id"], row["probability"], row["arm"]) for row in newest),
    }


def test_targets_get_the_served_arm_of_each_entity_and_the_live_rows_after_the_end(rules: Path) -> None:
    make(rules, P0)
    plain = with_targets(at(rules, P0), EXPORT.replace(", arm", ""))
    assert not export(plain, PRODUCT).failed
    assert "arm" not in in_files(plain)[P0.isoformat()][0]
    with_targets(plain, EXPORT)
    with_plan(rules, CANARY)
    start(at(rules, P0 + DAY), PRODUCT, ["v2"])
    make(rules, P0 + DAY)
    suite = at(rules, P0 + DAY + timedelta(hours=1))
    served = rows(suite, f"SELECT order_id, probability, arm FROM predictions.{PRODUCT}_current ORDER BY order_id")
    assert {arm for _, _, arm in served} == {"v1", "v2"}
    assert len({order for order, _, _ in served}) == len(served)
    beside = rows(suite, f"SELECT order_id, probability, arm FROM predictions.{PRODUCT}_arms ORDER BY order_id")
    assert not set(beside) & set(served)
    of_page = rows(suite, f"SELECT order_id, probability, arm FROM predictions.{PRODUCT}_page ORDER BY order_id")
    assert given(suite) == {"app": served, "analysts": served, "files": of_page}

    # The end is a publication too: what goes out next is the live version's, row by row.
    abort(suite, PRODUCT, "enough")
    current, newest = ([(order, 0.5, "v1") for order, *_ in each] for each in (served, of_page))
    assert given(suite) == {"app": current, "analysts": current, "files": newest}
    make(rules, P0 + 2 * DAY)
    after = given(at(rules, P0 + 2 * DAY))
    assert {(probability, arm) for _, probability, arm in after["files"]} == {(0.5, None)}


def test_going_back_to_an_older_version_waits_for_the_end_of_a_rollout(rules: Path) -> None:
    with_plan(rules, CANARY)
    suite = at(rules, P0)
    promote(suite, PRODUCT, "v2", effective_from=P0, force=True, reason="it knows depots")
    make(rules, P0)
    start(at(rules, P0 + DAY), PRODUCT, ["v3"])
    make(rules, P0 + DAY)
    suite = at(rules, P0 + DAY + timedelta(hours=1))
    stood = page_of(suite, P0 + DAY), rows(suite, "FROM ledger.promotions ORDER BY ALL")
    with pytest.raises(UsageError, match="rollout"):
        rollback(suite, PRODUCT, reason="v2 reads a broken column")
    assert stood == (page_of(suite, P0 + DAY), rows(suite, "FROM ledger.promotions ORDER BY ALL"))
    abort(suite, PRODUCT, "v2 reads a broken column")
    rollback(suite, PRODUCT, reason="v2 reads a broken column")
    now = live(suite, PRODUCT, P0 + 2 * DAY).promotion
    assert now is not None
    assert now.version == "v1"
    retire(suite, PRODUCT, "v3")
    with pytest.raises(UsageError, match="retired"):
        start(suite, PRODUCT, ["v3"])


def test_rows_that_one_arm_loses_in_one_segment_are_found(rules: Path) -> None:
    with_plan(rules, CANARY.replace("margin: 0.0, ", "margin: 1, ") + "\nmonitor: {segments: [depot]}")
    start(at(rules, P0), PRODUCT, ["v3"], first_page=P0)
    # So many that a depot has enough units whichever are given to v3.
    pages = [P0 + n * DAY for n in range(32)]
    suite, now = at(rules, pages[-1]), pages[-1] + 5 * DAY
    predict_pages(suite, suite.definitions.product(PRODUCT), pages)
    settle_labels(at(rules, now), suite.definitions.product(PRODUCT))
    with suite.lake.commit("rows are lost") as commit:
        theirs = (
            f"SELECT as_of, order_id FROM predictions.{PRODUCT} JOIN features.{PRODUCT} USING (as_of, order_id)"
            " WHERE arm = 'v3' AND depot = 'east'"
        )
        commit.execute(f"DELETE FROM labels.{PRODUCT} WHERE (as_of, order_id) IN ({theirs})")
    found = look(at(rules, now), PRODUCT)
    assert found[-1].decision == "abort"
    assert "units in depot = east do not have the ratio of their shares" in found[-1].reason
    assert "v3 0 for" in found[-1].reason
