"""Every table and view of a lake is in the registry, with its columns, and docs/ledger.md has them all."""

from __future__ import annotations

import contextlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.lakes import rows
from warehouse.label_kinds import COLUMNS_OF_KINDS, KINDS
from warehouse.lake import registry
from warehouse.lake.registry import AUTHORS, OPERATIONS, TABLES, Kept, Table
from warehouse.ledger import (
    alarms,
    decisions,
    derivations,
    drift,
    exports,
    measurements,
    records,
    rollouts,
    trials,
    triggers,
)
from warehouse.ledger.records import Record
from warehouse.operations.state import open_operations
from warehouse.pages import profiled_pages

DOCS = Path(__file__).parent.parent.parent / "docs"
RECORDS: list[type[Record]] = [
    records.Ingestion,
    records.PageRecord,
    records.RunRecord,
    records.CheckRecord,
    records.WrongRow,
    records.DefinitionsRecord,
    records.GridRecord,
    records.ModelRecord,
    records.Promotion,
    records.Rollback,
    decisions.Decision,
    derivations.Derivation,
    decisions.GateRecord,
    exports.OutboxRecord,
    exports.ExportRecord,
    profiled_pages.Profile,
    profiled_pages.Centre,
    drift.Drift,
    drift.TrainingProfile,
    alarms.Alarm,
    rollouts.Rollout,
    rollouts.Step,
    rollouts.LookRecord,
    rollouts.ArmPage,
    triggers.Trigger,
    trials.TrialRecord,
    measurements.FreshnessRecord,
    measurements.FreshnessFigure,
    measurements.RehearsalRecord,
    measurements.RehearsedPolicy,
]
OF_A_LAKE = (
    "SELECT schema_name, table_name, list(column_name ORDER BY column_index), list(data_type ORDER BY column_index)"
    " FROM duckdb_columns() WHERE database_name = 'lake' GROUP BY ALL ORDER BY ALL"
)


def differences(suite: Suite) -> list[str]:
    """Say which tables of a suite's lake are not what the registry has of them."""
    found = []
    for schema, name, names, kinds in rows(suite, OF_A_LAKE):
        columns = dict(zip(names, kinds, strict=True))
        listed = registry.table(schema, name)
        if listed is None:
            found.append(f"{schema}.{name} is not registered")
        elif AUTHORS not in listed.person and columns != dict(listed.columns):
            found.append(f"{schema}.{name} has other columns")
        elif not listed.columns.items() <= columns.items():
            found.append(f"{schema}.{name} lacks columns")
    return found


def test_every_table_of_a_lake_is_registered_with_its_columns(published: Suite) -> None:
    assert differences(published) == []
    there = {(schema, name) for schema, name, _, _ in rows(published, OF_A_LAKE)}
    fixed = {(each.schema, each.name) for each in TABLES if each.schema == "ledger"}
    of_product = {
        (t.schema, t.name.replace("PRODUCT", PRODUCT))
        for t in TABLES
        if t.is_of_a_product and t.kept != Kept.ARMS and t.name != "PRODUCT_fallback"
    }
    assert fixed | of_product <= there
    assert all((schema, name) in fixed for schema, name in there if schema == "ledger")


def test_a_table_or_column_that_nobody_registered_is_found(published: Suite) -> None:
    with published.lake.commit("a table that nobody knows") as commit:
        commit.execute("CREATE TABLE ledger.extra (product VARCHAR)")
        commit.execute("ALTER TABLE ledger.rollbacks ADD COLUMN extra VARCHAR")
        commit.execute("ALTER TABLE predictions.late_order DROP COLUMN hindsight")
    assert differences(published) == [
        "ledger.extra is not registered",
        "ledger.rollbacks has other columns",
        "predictions.late_order lacks columns",
    ]


def test_predictions_have_the_registered_columns_in_order(published: Suite) -> None:
    columns = rows(published, "SELECT column_name, column_type FROM (DESCRIBE predictions.late_order)")
    assert columns == [("order_id", "VARCHAR"), *registry.prediction_columns(KINDS["binary"].columns).items()]


def test_every_table_of_the_operational_state_is_registered_with_its_columns(tmp_path: Path) -> None:
    with contextlib.closing(open_operations(tmp_path)) as db:
        names = db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        found = {
            str(name): {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({name})").fetchall()}
            for (name,) in names
        }
    assert found == {each.name: dict(each.columns) for each in TABLES if each.schema == OPERATIONS}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.TABLE)
def test_a_record_has_the_columns_of_its_table(record: type[Record]) -> None:
    listed = registry.table("ledger", record.TABLE)
    assert listed is not None
    kinds = {spec.name: records._KINDS[spec.type.removesuffix(" | None")] for spec in fields(record)}
    assert kinds == dict(listed.columns)


def test_columns_that_are_named_are_among_the_columns() -> None:
    odd = [
        f"{each.schema}.{each.name}: {name}"
        for each in TABLES
        for name in (each.product, *each.person)
        if name not in (None, AUTHORS, "label", *each.columns, *each.optional, *COLUMNS_OF_KINDS)
    ]
    assert odd == []
    assert len({(each.schema, each.name) for each in TABLES}) == len(TABLES)


def test_a_name_is_found_as_the_table_or_view_that_it_is() -> None:
    found = [
        registry.table(*name.split("."))
        for name in ("predictions.late_order", "predictions.late_order_current", "rejects.files", "rejects.orders")
    ]
    assert [each.name for each in found if each] == ["PRODUCT", "PRODUCT_current", "files", "SOURCE"]
    assert registry.table("ledger", "nothing") is None
    assert registry.views_of_products() == ("current", "page", "fallback", "outcomes")


def test_a_rolled_back_page_leaves_nothing_unregistered(published: Suite) -> None:
    first = published.lake.newest_snapshot()
    run_page(published, PRODUCT, PAGE)
    rollback(published, PRODUCT, PAGE, first)
    assert differences(published) == []


def documented() -> dict[str, dict[str, str]]:
    """Read the tables of docs/ledger.md: of each the columns, with their types."""
    text = (DOCS / "ledger.md").read_text()
    found = {}
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        name = section.split()[0].strip("`")
        found[name] = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, flags=re.MULTILINE))
    return found


def title(each: Table) -> str:
    return f"{each.schema}.{each.name}"


def test_the_documentation_has_every_table_and_column() -> None:
    assert documented() == {title(each): {**each.columns, **each.optional} for each in TABLES}


def test_the_documentation_says_how_long_rows_are_kept_and_where_persons_may_be() -> None:
    sections = re.split(r"^### ", (DOCS / "ledger.md").read_text(), flags=re.MULTILINE)[1:]
    for each, section in zip(TABLES, sections, strict=True):
        assert section.startswith(f"`{title(each)}`")
        assert f"Kept {each.kept.value}." in section
        named = [f"`{name}`" for name in each.person if name != AUTHORS]
        assert all(name in section for name in named)
        assert ("Data of persons" in section) == bool(each.person)
