"""Bad input gets a clear error that says what to do, the exit code of the style page, and nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at, reopened
from tests.lakes import rows
from warehouse.errors import AlmanacError, DefinitionError, IngestFailed, LakeFormatError, UsageError

YAML = "sql/products/late_order/product.yaml"
ENTITIES = "sql/products/late_order/entities.sql"
HISTORY = "sql/features/depot_history.sql"
LABEL = "sql/products/late_order/label.sql"
CHECK = "sql/products/late_order/checks/not_all_alike.sql"
ORDERS = "sql/sources/orders.sql"

#: A file of the starter, what is changed in it, and what the message must hold.
DEFINITIONS: dict[str, tuple[str, str, str, list[str]]] = {
    "an unknown key": (YAML, "owner: you", "ownr: you", ["product.yaml:3", "unknown key `ownr`", "`owner`"]),
    "a nested unknown key": (YAML, "kind: binary", "knd: binary", ["product.yaml", "`label.knd`", "`kind`"]),
    "a key given twice": (YAML, "owner: you", "owner: you\nowner: me", ["product.yaml:4", "twice"]),
    "no YAML": (YAML, "keys: [order_id]", "keys: [order_id", ["product.yaml:", "not valid YAML"]),
    "a value that is not allowed": (YAML, "kind: binary", "kind: binry", ["label.kind", "'binary'", "binry"]),
    "an unknown feature group": (YAML, "- depot_history", "- depot_histry", ["Did you mean `depot_history`"]),
    "a bad duration": (YAML, "5 days", "5 fortnights", ["label.matures_within", "fortnights", "days or weeks"]),
    "a bad cron expression": (YAML, "0 18 * * *", "0 25 * * *", ["pages", "25"]),
    "an unknown zone": (YAML, "Europe/London", "Europe/Londn", ["Londn"]),
    "two ways to be valid": (
        YAML,
        "valid_for: 24 hours",
        "valid_for: 1 day\nvalid_until: x",
        ["valid_for", "not both"],
    ),
    "no description": (HISTORY, "description: How each depot did of late.", "columns: {}", ["description", "missing"]),
    "a header that is none": (HISTORY, "/*", "--", ["depot_history.sql:1", "comment block"]),
    "SQL that does not parse": (HISTORY, "GROUP BY depot", "GRUP BY depot", ["depot_history.sql:", "depot"]),
    "a misspelt table": (
        HISTORY,
        "FROM deliveries",
        "FROM delivries",
        ["depot_history.sql:15", "Did you mean `deliveries`"],
    ),
    "a clock": (HISTORY, "avg((delivered_at > promised_at)::INTEGER) AS", "max(now()) AS", ["`now`"]),
    "a source of files that are not named": (ORDERS, "files: data/orders*.csv", "", ["files", "loader"]),
    "a label that reads a feature group": (
        LABEL,
        "JOIN deliveries",
        "JOIN depot_history",
        ["label.sql:7", "It may read"],
    ),
    "a check that reads a feature group": (CHECK, "FROM page", "FROM depot_history", ["It may read", "page"]),
    "something required for no package": (ORDERS, "owner: you", "requires: almanac[demo]", ["requires", "package:"]),
    "a rule that is no expression": (ORDERS, "parcels >= 1", "parcels >=", ["rules.an order has parcels"]),
}


@pytest.mark.parametrize("case", DEFINITIONS)
def test_a_mistake_in_a_definition_is_shown_where_it_stands(starter: Path, case: str) -> None:
    file, old, new, wanted = DEFINITIONS[case]
    text = (starter / file).read_text()
    assert old in text
    (starter / file).write_text(text.replace(old, new, 1))
    with pytest.raises(DefinitionError) as caught:
        open_suite(starter, clock_at(NOW))
    for part in wanted:
        assert part in str(caught.value)
    assert caught.value.exit_code == 2


#: A file of the starter that is copied to a name that something else bears already.
TAKEN: dict[str, tuple[str, str, list[str]]] = {
    "a source named as the page is": (ORDERS, "sql/sources/page.sql", ["sources/page.sql", "`page`", "rename"]),
    "a feature group named as the page is": (HISTORY, "sql/features/page.sql", ["features/page.sql", "`page`"]),
    "a feature group named as a source is": (HISTORY, "sql/features/orders.sql", ["`orders` is a source's too"]),
    "a product named as a view of another": (
        "sql/products/late_order",
        "sql/products/late_order_page",
        ["late_order_page/product.yaml", "a view of the product late_order already"],
    ),
    "a product with a name to be quoted": ("sql/products/late_order", "sql/products/Late-Order", ["`Late-Order`"]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_name_that_is_taken_is_refused(starter: Path, case: str) -> None:
    old, new, words = TAKEN[case]
    copy = shutil.copytree if (starter / old).is_dir() else shutil.copy
    copy(starter / old, starter / new)
    with pytest.raises(DefinitionError) as caught:
        open_suite(starter, clock_at(NOW))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_every_mistake_is_reported_at_once(starter: Path) -> None:
    for file, old, new in (
        (YAML, "owner: you", "ownr: you"),
        (HISTORY, "GROUP BY depot", "GRUP BY depot"),
        (ORDERS, "key: [order_id]", "kee: [order_id]"),
    ):
        (starter / file).write_text((starter / file).read_text().replace(old, new))
    with pytest.raises(DefinitionError) as caught:
        open_suite(starter, clock_at(NOW))
    assert len(caught.value.problems) >= 3


#: What is wrong with a delivery, made so by changing the starter's file, and what the message must hold.
DELIVERIES: dict[str, tuple[str, str, list[str]]] = {
    "a column is missing": ("parcels,ordered_at", "parcel,ordered_at", ["orders.csv", "parcels"]),
    "a row has too many cells": ("O00001,", "O00001,one,two,many,", ["orders.csv"]),
}


@pytest.mark.parametrize("case", DELIVERIES)
def test_a_delivery_that_cannot_be_read_is_not_taken_in(starter: Path, case: str) -> None:
    old, new, wanted = DELIVERIES[case]
    path = starter / "data" / "orders.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    suite = open_suite(starter, clock_at(NOW))
    with pytest.raises(IngestFailed) as caught:
        ingest(suite, ["orders"])
    for part in wanted:
        assert part in str(caught.value)
    assert caught.value.exit_code == 1
    assert rows(suite, "SELECT count(*) FROM ledger.ingestions") == [(0,)]


def test_a_source_without_files_says_where_they_should_be(starter: Path) -> None:
    (starter / "data/orders.csv").unlink()
    with pytest.raises(IngestFailed, match=r"no file matches `data/orders\*.csv`"):
        ingest(open_suite(starter, clock_at(NOW)), ["orders"])


def test_rows_that_break_a_rule_are_kept_with_the_reason(starter: Path) -> None:
    (starter / "data/orders_odd.csv").write_text(
        "order_id,depot,courier,parcels,ordered_at,promised_at\n"
        "X1,north,Swift,0,2026-01-01,2026-01-02\nX2,north,Swift,1,2026-01-03,2026-01-02\n"
        "X3,north,Swift,0,2026-01-03,2026-01-02\n,north,Swift,1,2026-01-01,2026-01-02\n"
        "X5,north,Swift,1,2026-01-01,2026-01-02\nX5,south,Swift,1,2026-01-01,2026-01-02\n"
    )
    suite = open_suite(starter, clock_at(NOW))
    done = ingest(suite, ["orders"])[0].ingestion
    assert done is not None
    assert done.rows_rejected == 6
    reasons = dict(rows(suite, "SELECT coalesce(order_id, 'none'), any_value(reason) FROM rejects.orders GROUP BY 1"))
    assert reasons["X1"] == "an order has parcels"
    assert reasons["X3"] == "an order has parcels; promised after it was ordered"
    assert reasons["none"] == "a key column is NULL"
    assert reasons["X5"] == "the delivery has different rows for this key"
    assert ingest(reopened(suite), ["orders"])[0].ingestion is None


Act = Callable[[Suite], object]
#: What is asked of a suite with a live model, and what the message must hold.
REQUESTS: dict[str, tuple[Act, list[str]]] = {
    "no such product": (lambda s: run_page(s, "late_ordr"), ["Did you mean `late_order`"]),
    "no such source": (lambda s: ingest(s, ["order"]), ["Did you mean `orders`"]),
    "a page off the grid": (lambda s: run_page(s, PRODUCT, PAGE + timedelta(hours=1)), ["no page", "the nearest are"]),
    "a page in the future": (lambda s: run_page(s, PRODUCT, datetime(2027, 1, 1, 18)), ["future"]),
    "a page before the grid": (lambda s: run_page(s, PRODUCT, datetime(2025, 1, 1, 18)), ["the first is 2026-01-15"]),
    "before any model": (lambda s: run_page(s, PRODUCT, datetime(2026, 2, 1, 18)), ["the first is v1", "2026-03-01"]),
    "before the label cut-off": (
        lambda s: run_page(s, PRODUCT, datetime(2026, 2, 1, 18), version="v1"),
        ["has seen labels up to 2026-03-01", "--hindsight"],
    ),
    "no such version": (lambda s: run_page(s, PRODUCT, PAGE, version="v9"), ["no model version `v9`", "v1"]),
    "training in the future": (lambda s: train(s, PRODUCT, datetime(2030, 1, 1)), ["future"]),
    "training before the grid": (lambda s: train(s, PRODUCT, datetime(2026, 1, 10)), ["0 pages before", "since"]),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_that_cannot_be_met_says_what_can(trained: Suite, case: str) -> None:
    act, wanted = REQUESTS[case]
    before = trained.lake.newest_snapshot()
    with pytest.raises(UsageError) as caught:
        act(trained)
    for part in wanted:
        assert part in str(caught.value)
    assert trained.lake.newest_snapshot() == before


def test_an_as_of_before_all_data_is_refused(trained: Suite) -> None:
    path = trained.root / YAML
    path.write_text(path.read_text().replace("since: 2026-01-15", "since: 2025-01-01"))
    with pytest.raises(UsageError, match="nothing is known before the page 2025-06-01"):
        run_page(reopened(trained), PRODUCT, datetime(2025, 6, 1, 17), version="v1", hindsight=True)


def test_a_product_without_a_live_model_says_how_to_get_one(ingested: Suite) -> None:
    with pytest.raises(UsageError, match=r"no live model; run `almanac train late_order`"):
        run_page(ingested, PRODUCT, PAGE)


def test_a_suite_without_a_lake_says_how_to_make_one(starter: Path) -> None:
    with pytest.raises(AlmanacError, match="almanac ingest"):
        run_page(open_suite(starter, clock_at(NOW)), PRODUCT, PAGE)


def test_an_empty_page_is_kept_back(trained: Suite) -> None:
    path = trained.root / ENTITIES
    path.write_text(path.read_text().replace("WHERE promised_at > $as_of", "WHERE promised_at > $as_of AND false"))
    result = run_page(reopened(trained), PRODUCT, PAGE)
    assert result.rejected == {PAGE}
    assert "page_not_empty" in {check.name for check in result.audit.complaints()}


def test_a_feature_that_is_gone_asks_for_a_new_version(trained: Suite) -> None:
    path = trained.root / ENTITIES
    path.write_text(path.read_text().replace("    parcels,\n", ""))
    with pytest.raises(AlmanacError, match="reads `parcels`, which the definitions do not give any more"):
        run_page(reopened(trained), PRODUCT, PAGE)


def test_a_column_that_keeps_its_name_and_changes_its_type_is_refused(trained: Suite) -> None:
    path = trained.root / HISTORY
    path.write_text(
        path.read_text().replace("count(*) AS depot_deliveries_28d", "count(*)::DOUBLE AS depot_deliveries_28d")
    )
    with pytest.raises(UsageError, match="columns keep their type"):
        run_page(reopened(trained), PRODUCT, PAGE)


def test_two_columns_of_one_name_are_refused(trained: Suite) -> None:
    path = trained.root / HISTORY
    path.write_text(path.read_text().replace("AS depot_deliveries_28d", "AS parcels"))
    with pytest.raises(DefinitionError, match="the column `parcels` comes from"):
        run_page(reopened(trained), PRODUCT, PAGE)


def test_a_lake_of_a_newer_version_is_refused(trained: Suite) -> None:
    with trained.lake.commit("as a newer version would") as commit:
        commit.execute("UPDATE ledger.format SET version = 99")
    with pytest.raises(LakeFormatError, match="Install a newer Almanac"):
        run_page(trained, PRODUCT, PAGE)


def test_a_directory_that_is_no_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="almanac init"):
        open_suite(tmp_path, clock_at(NOW))


@pytest.mark.parametrize("size", [20_000, 40_000, 70_000], ids=["cannot open", "cannot publish", "cannot settle"])
def test_a_full_disk_loses_nothing(published: Suite, size: int) -> None:
    """A child may write no file beyond a size, as if the disk were full."""
    of_page = "SELECT * FROM predictions.late_order WHERE as_of = $1 ORDER BY ALL"
    before = rows(published, of_page, [PAGE])
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f" resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
        " from jobs.cli import main; sys.argv[0] = 'almanac'; main()"
    )
    arguments = ["run", PRODUCT, "--as-of", "2026-03-11T18:00", "--suite", str(published.root)]
    # -B: CPython 3.11 takes no notice of a write that is cut short, and would keep half of a module's bytecode.
    command = [sys.executable, "-B", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "disk" in done.stderr
    assert rows(published, of_page, [PAGE]) == before
    next_page = PAGE + timedelta(days=1)
    there = len(rows(published, of_page, [next_page]))
    assert there in (0, run_page(published, PRODUCT, next_page).n_rows)


COMMANDS = {
    ("run", "nothing"): 2,
    ("run", PRODUCT, "--as-of", "yesterday"): 2,
    ("query", "SELECT * FROM nowhere"): 2,
    ("query", "DROP TABLE ledger.runs"): 2,
    ("query", "SELECT 1", "--format", "xml"): 2,
    ("evaluate", PRODUCT, "--from", "2026-03-01", "--to", "2026-04-01"): 2,
    ("nonsense",): 2,
    ("status", "--suite", "/nowhere"): 2,
}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_command_line_ends_with_the_right_code_and_no_traceback(trained: Suite, arguments: tuple[str, ...]) -> None:
    done = almanac(trained.root, *arguments)
    assert done.returncode == COMMANDS[arguments], done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_the_label_cutoff_is_what_training_was_told(trained: Suite) -> None:
    assert rows(trained, "SELECT label_cutoff FROM ledger.models") == [(TRAINED_AS_OF,)]
