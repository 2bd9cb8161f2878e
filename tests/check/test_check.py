"""What a change would do is told before it counts, and production's lake is none the wiser."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.backup.scratch import SCRATCH, clear_scratch, scratch_lake, snapshot_copied
from jobs.check.check import Order, check
from jobs.check.quality import why_worse
from jobs.check.results import CheckResult, ProductCheck, Quality
from jobs.cli.output.checked import markdown, sections_of
from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.command_line import almanac
from tests.conftest import NOW, PRODUCT, TRAINED_AS_OF, clock_at
from tests.lakes import rows
from warehouse.definitions import load_definitions
from warehouse.errors import DefinitionError, NotFoundError
from warehouse.lake.lake import Lake
from warehouse.system_sql import quote

FIRST, LAST = datetime(2026, 3, 4), datetime(2026, 3, 11)
#: What the changed feature group gives one courier more of.
COURIER = "Swift"
YAML = f"sql/products/{PRODUCT}/product.yaml"
BOUNDS = "check: {predictions_changed: at most 0.5 %, metrics: not_worse, cost: at most 1000 x}\n"
GATES = "gates: {metrics: {roc_auc: {at_least: 0.999}}}\nexport: {app: {to: out/app.sqlite}}\n"
WRONG = (
    "/*\ndescription: No order has hours left.\nseverity: warning\n*/\nSELECT order_id FROM page WHERE hours_left > 0\n"
)
KEPT_BACK = (
    "/*\ndescription: No more pages.\n*/\nSELECT order_id FROM page WHERE $as_of > TIMESTAMP '2026-03-10 12:00:00'\n"
)


def changed(root: Path, path: str, was: str, now: str) -> None:
    text = (root / path).read_text()
    assert was in text
    (root / path).write_text(text.replace(was, now))


def hashes(root: Path) -> dict[str, str]:
    """Hash all that a lake has; SQLite's logs come and go with those who read."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock")))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def production(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """A suite that has published seven pages, all of whose labels have matured."""
    root = tmp_path_factory.mktemp("production") / "shop"
    shutil.copytree(_ingested, root)
    changed(root, YAML, "since: 2026-01-15", "since: 2026-02-18")
    suite = open_suite(root, clock_at(NOW))
    train(suite, PRODUCT, TRAINED_AS_OF)
    backfill(suite, BackfillOrder(PRODUCT, FIRST, LAST))
    suite.lake.close()
    return suite


def working_copy(production: Suite, directory: Path) -> Path:
    root = directory / "working"
    shutil.copytree(production.root, root, ignore=shutil.ignore_patterns("lake", SCRATCH))
    return root


@pytest.fixture(scope="module")
def of_a_change(production: Suite, tmp_path_factory: pytest.TempPathFactory) -> tuple[CheckResult, Path]:
    """The check of a working copy in which a feature, the label and a check are others than in production."""
    root = working_copy(production, tmp_path_factory.mktemp("change"))
    was = "sum(parcels) AS courier_open_parcels"
    now = f"sum(parcels) + 1000 * (courier = '{COURIER}')::INTEGER AS courier_open_parcels, max(parcels) AS largest"
    changed(root, "sql/features/courier_load.sql", was, now)
    changed(
        root, f"sql/products/{PRODUCT}/label.sql", "delivered_at > promised_at)::", "delivered_at <= promised_at)::"
    )
    (root / YAML).write_text((root / YAML).read_text() + BOUNDS + GATES)
    (root / f"sql/products/{PRODUCT}/checks/no_hours.sql").write_text(WRONG)
    (root / f"sql/products/{PRODUCT}/checks/no_more.sql").write_text(KEPT_BACK)
    before = hashes(production.lake.root)
    result = check(open_suite(root, clock_at(NOW)), Order(production.root, n_pages=6))
    assert hashes(production.lake.root) == before
    return result, root


def only(result: CheckResult) -> ProductCheck:
    (product,) = result.products
    return product


def test_files_and_what_depends_on_them_are_told(of_a_change: tuple[CheckResult, Path]) -> None:
    result, _ = of_a_change
    assert result.files == {
        "added": [f"sql/products/{PRODUCT}/checks/no_hours.sql", f"sql/products/{PRODUCT}/checks/no_more.sql"],
        "removed": [],
        "changed": ["sql/features/courier_load.sql", f"sql/products/{PRODUCT}/label.sql", YAML],
    }
    assert only(result).changed == ["features", "label", "checks"]
    touched = {(row["what"], row["name"]): row["columns"] for row in result.touched}
    assert "largest" in touched["page", PRODUCT]
    assert touched["model", PRODUCT] == ["next", "v1"]
    assert ("predictions", PRODUCT) in touched
    assert ("export", f"{PRODUCT}.app") in touched


def test_columns_differ_in_as_many_rows_as_they_do(production: Suite, of_a_change: tuple[CheckResult, Path]) -> None:
    found = only(of_a_change[0])
    pages = sorted(row[0] for row in rows(production, "SELECT DISTINCT as_of FROM predictions.late_order"))[-6:]
    # The newest is kept back.
    made = pages[:-1]
    ((n_rows, n_theirs),) = rows(
        production, "SELECT count(*), count(*) FILTER (courier = $1) FROM features.late_order WHERE as_of = ANY($2)",
        [COURIER, made],
    )  # fmt: skip
    assert (found.first, found.last, found.n_pages) == (pages[0], pages[-1], 6)
    assert [(one.column, one.what) for one in found.columns] == [
        ("largest", "added"),
        ("courier_open_parcels", "values"),
    ]
    values = found.columns[1]
    assert (values.n_rows, values.share, values.largest) == (n_theirs, n_theirs / n_rows, 1000)
    assert found.rows is not None
    assert (found.rows.n_before, found.rows.n_after, found.rows.n_came, found.rows.n_went) == (n_rows, n_rows, 0, 0)


def test_a_version_that_knows_no_more_than_the_live_one_writes_the_pages(
    production: Suite, of_a_change: tuple[CheckResult, Path]
) -> None:
    found = only(of_a_change[0])
    assert (found.before_versions, found.version, found.trained_as_of) == (["v1"], "v2", TRAINED_AS_OF)
    assert rows(production, "SELECT version FROM ledger.models") == [("v1",)]


def test_a_check_that_keeps_pages_back_speaks_against_the_change(of_a_change: tuple[CheckResult, Path]) -> None:
    result, _ = of_a_change
    found = only(result)
    spoke = {(one.name, one.severity): one.n_pages for one in found.speaks if one.kind == "check" and one.is_new}
    assert (spoke["no_hours", "warning"], spoke["no_more", "error"]) == (6, 1)
    assert not result.passed
    assert any("no_more keeps back 1 page" in failure for failure in found.failures)


def test_gates_that_would_speak_are_told(of_a_change: tuple[CheckResult, Path]) -> None:
    (gate,) = (one for one in only(of_a_change[0]).speaks if one.kind == "gate")
    assert "roc_auc" in gate.name


def test_labels_predictions_and_metrics_are_compared(production: Suite, of_a_change: tuple[CheckResult, Path]) -> None:
    found = only(of_a_change[0])
    query = "SELECT as_of, count(*) FROM predictions.late_order_outcomes WHERE label IS NOT NULL GROUP BY 1 ORDER BY 1"
    labelled = [n_rows for _, n_rows in rows(production, query)]
    assert found.labels is not None
    assert found.labels.n_changed == found.labels.n_before == found.labels.n_after > 50
    assert found.predictions is not None
    assert found.predictions.share == 1
    assert (
        found.predictions.first[0]["change"]
        == found.predictions.first[0]["after"] - found.predictions.first[0]["before"]
    )
    assert any(failure.startswith("predictions_changed: 100 %") for failure in found.failures)
    # By the new label production foretells the opposite, so that what is trained on it does better.
    assert (found.quality.n_pages, found.quality.n_rows) == (5, sum(labelled[1:-1]))
    assert {row["metric"]: row["verdict"] for row in found.quality.rows}["roc_auc"] == "better"
    assert not any("metrics" in failure for failure in found.failures)


def test_stale_pages_and_costs_are_told(of_a_change: tuple[CheckResult, Path]) -> None:
    cost = only(of_a_change[0]).cost
    assert cost is not None
    assert cost.n_stale == 7
    assert cost.cpu_before is not None
    assert cost.cpu_after is not None
    assert cost.factor == pytest.approx(cost.cpu_after / cost.cpu_before)


def test_the_scratch_lake_is_gone(production: Suite, of_a_change: tuple[CheckResult, Path]) -> None:
    _, root = of_a_change
    assert [path.name for path in (root / SCRATCH).iterdir()] == [".gitignore"]
    assert not (production.root / SCRATCH).exists()


def test_markdown_has_what_was_found_and_no_markup_of_others(of_a_change: tuple[CheckResult, Path]) -> None:
    text = markdown(sections_of(of_a_change[0]))
    assert text.startswith("# Check failed: ")
    assert "| courier\\_open\\_parcels | values |" in text
    assert "AGAINST IT: late\\_order: the check no\\_more keeps back 1 page" in text


def test_a_comment_changes_nothing_and_late_facts_are_told_apart(production: Suite, tmp_path: Path) -> None:
    late = tmp_path / "late"
    shutil.copytree(production.root, late)
    line = "O99999,north,Swift,1,2026-03-09 06:06:00,2026-03-20 06:06:00\n"
    (late / "data/orders-2.csv").write_text("order_id,depot,courier,parcels,ordered_at,promised_at\n" + line)
    ingest(open_suite(late, clock_at(NOW)))
    changed(late, "sql/features/courier_load.sql", "key: [courier]", "key: [courier]  # who carries it")
    (late / YAML).write_text((late / YAML).read_text() + BOUNDS)
    # Against its own lake, of which the ledger alone tells what production is.
    done = almanac(late, "check", "--record", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    (found,) = result["products"]
    assert (found["changed"], found["made_again"], found["version"]) == ([], 2, "v1")
    assert found["predictions"]["share"] == 0
    assert {row["verdict"] for row in found["quality"]["rows"]} == {"the same"}
    assert found["cost"]["factor"] == 1
    assert result["origin"].startswith("what the ledger keeps")
    suite = open_suite(late, clock_at(NOW))
    recorded = rows(suite, "SELECT check_id, definitions, lake_snapshot, passed, failures FROM ledger.check_results")
    assert recorded == [(result["check_id"], result["definitions"], result["snapshot_id"], True, [])]
    # The two pages are as stale in production as they were.
    assert rows(suite, "SELECT count(*) FROM ledger.pages WHERE kind = 'predictions'") == [(7,)]


def test_facts_of_a_changed_source_are_made_anew_beside_production(production: Suite, tmp_path: Path) -> None:
    root = working_copy(production, tmp_path)
    changed(
        root, "sql/sources/orders.sql", "courier, parcels, ordered_at", "courier, parcels + 1 AS parcels, ordered_at"
    )
    before = hashes(production.lake.root)
    result = check(open_suite(root, clock_at(NOW)), Order(production.root, n_pages=3, version="v1"))
    assert hashes(production.lake.root) == before
    found = only(result)
    assert any(note.startswith("orders: its definition has changed") for note in found.notes)
    assert found.failures == []
    # The version that was named wrote them, and nothing was trained.
    assert (found.changed, found.version, found.trained_as_of) == (["features", "label"], "v1", None)
    assert {one.column: one.largest for one in found.columns}["parcels"] == 1
    assert found.labels is not None
    assert found.labels.n_changed == 0
    touched = {(row["what"], row["name"]) for row in result.touched}
    assert {("source", "orders"), ("group", "courier_load"), ("group", "depot_history")} <= touched


def test_what_cannot_be_made_speaks_against_the_change(production: Suite, tmp_path: Path) -> None:
    root = working_copy(production, tmp_path)
    changed(root, "sql/features/courier_load.sql", "sum(parcels)", "sum(boxes)")
    result = check(open_suite(root, clock_at(NOW)), Order(production.root))
    assert not result.passed
    assert "boxes" in only(result).failures[0]


def test_metrics_that_nobody_can_tell_are_not_passed_over() -> None:
    worse = {"metric": "mae", "before": 1.0, "after": 2.0, "low": 0.5, "high": 1.5, "verdict": "worse"}
    assert "mae is worse" in why_worse(Quality(n_pages=9, rows=[worse]), [])[0]
    assert "only 3 matured pages" in why_worse(Quality(n_pages=3, rows=[worse]), [])[0]
    assert why_worse(Quality(why_not="no labels"), []) == ["metrics: no labels"]
    assert why_worse(Quality(n_pages=9, rows=[{**worse, "verdict": "not told apart"}]), []) == []


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ("{predictions_changed: 5}", "at most 5 %"),
        ("{predictions_changed: at most 2 x}", "at most 5 %"),
        ("{predictions_changed: at most 500 %}", "at most 5 %"),
        ("{cost: at most 5 %}", "at most 2 x"),
        ("{metrics: better}", "not_worse"),
        ("{costs: at most 2 x}", "cost"),
    ],
)
def test_a_bound_that_is_none_is_a_mistake_in_the_file(starter: Path, bounds: str, said: str) -> None:
    (starter / YAML).write_text((starter / YAML).read_text() + f"check: {bounds}\n")
    with pytest.raises(DefinitionError, match=said) as error:
        load_definitions(starter)
    assert f"{YAML}:21" in str(error.value)


def test_without_a_lake_there_is_nothing_to_check_against(starter: Path) -> None:
    with pytest.raises(NotFoundError, match="--against"):
        check(open_suite(starter, clock_at(NOW)))


def test_what_a_killed_check_left_is_cleared_by_the_next(published: Suite) -> None:
    left = published.root / SCRATCH / "0123456789ab"
    (left / "lake").mkdir(parents=True)
    (left / "scratch.lock").touch()
    before = hashes(published.lake.root)
    newest = published.lake.newest_snapshot()
    with scratch_lake(published.lake, published.root) as scratch:
        assert not left.exists()
        assert snapshot_copied(scratch) == newest
        # One that is at work is left alone.
        assert clear_scratch(published.root) == 0
        tried = Suite(published.root, published.definitions, scratch, published.clock)
        backfill(tried, BackfillOrder(PRODUCT, FIRST, FIRST + timedelta(days=2)))
        assert rows(tried, f"SELECT count(DISTINCT as_of) FROM predictions.{quote(PRODUCT)}") == [(3,)]
    assert hashes(published.lake.root) == before
    assert rows(published, f"SELECT count(DISTINCT as_of) FROM predictions.{quote(PRODUCT)}") == [(1,)]
    assert isinstance(scratch, Lake)


def test_a_check_that_is_killed_leaves_production_as_it_was(production: Suite, tmp_path: Path) -> None:
    root = working_copy(production, tmp_path)
    changed(root, "sql/features/courier_load.sql", "sum(parcels)", "sum(parcels) + 1")
    before = hashes(production.lake.root)
    command = [sys.executable, "-m", "jobs", "--suite", str(root), "check", "--against", str(production.root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 300
        # Something is written in the scratch lake: its own files are no links.
        while time.monotonic() < until and not any(
            file.is_file() and not file.is_symlink() for file in root.glob(f"{SCRATCH}/*/lake/data/**/*.parquet")
        ):
            time.sleep(0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert hashes(production.lake.root) == before
    assert len(list((root / SCRATCH).glob("[!.]*"))) == 1
    assert clear_scratch(root) == 1
    assert hashes(production.lake.root) == before
