"""A new lake's catalogue is a copy of one that DuckLake made once, and nobody can tell."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.suite import open_suite
from tests.conftest import clock_at
from warehouse.errors import UsageError
from warehouse.lake import migrations, new_lakes
from warehouse.lake.lake import Lake
from warehouse.lake.migrations import MIGRATIONS, Migration

NOW = datetime(2026, 4, 10, 1, 2, 3, 456000)
#: What DuckLake draws or reads off its own clock, and what each lake has of its own.
DRAWN = ("schema_uuid", "table_uuid", "view_uuid", "snapshot_time")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where catalogues are kept, with none at first."""

    def private_directory(name: str) -> Path:
        (tmp_path / "cache" / name).mkdir(parents=True, exist_ok=True)
        return tmp_path / "cache" / name

    monkeypatch.setattr(new_lakes, "private_directory", private_directory)
    return tmp_path / "cache"


def made(place: Path, made_by: str = "this version") -> Lake:
    lake = Lake(place / "lake")
    lake.create(NOW, made_by)
    lake.close()
    return lake


@contextlib.contextmanager
def tables_of(lake: Lake) -> Iterator[dict[str, list[dict[str, object]]]]:
    """Give all rows of a closed lake's catalogue, by table."""
    file = lake.root / "catalogue.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        yield {name: [dict(row) for row in database.execute(f'SELECT * FROM "{name}"')] for name in names}


def without_what_is_its_own(tables: dict[str, list[dict[str, object]]], lake: Lake) -> dict[str, list[str]]:
    """Leave out what is drawn, and name tables and schemas, which DuckLake numbers in the order of a hash."""
    own = {lake.storage.data: "its data", _suite_of(tables): "its suite"}
    named = {
        f"{kind}_id": {row[f"{kind}_id"]: str(row[f"{kind}_name"]) for row in tables[f"ducklake_{kind}"]}
        for kind in ("schema", "table", "view")
    }
    inlined = {str(row["table_name"]): row["table_id"] for row in tables["ducklake_inlined_data_tables"]}

    def shown(column: str, value: object) -> object:
        if column == "changes_made":
            return sorted(str(value).split(","))
        if column == "scope_id":
            return named["schema_id"].get(value)
        value = named.get(column, {}).get(value, value)
        if (told := own.get(str(value), str(value))) in inlined:
            return named["table_id"][inlined[told]]
        return told

    return {
        named["table_id"][inlined[name]] if name in inlined else name: sorted(
            str({c: shown(c, v) for c, v in row.items() if c not in DRAWN}) for row in rows
        )
        for name, rows in tables.items()
    }


def _suite_of(tables: dict[str, list[dict[str, object]]]) -> str:
    [suite_id] = {str(row["suite_id"]) for rows in tables.values() for row in rows if "suite_id" in row}
    assert len(suite_id) == 32
    return suite_id


def test_a_copy_holds_what_ducklake_would_have_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = [made(tmp_path / name) for name in ("one", "another")]
    with monkeypatch.context() as nothing_is_kept:
        nothing_is_kept.setattr(new_lakes, "private_directory", lambda name: None)
        plain = made(tmp_path / "plain")
    found = []
    for lake in (*copies, plain):
        with tables_of(lake) as tables:
            found.append(tables)
    one, another, by_ducklake = map(without_what_is_its_own, found, (*copies, plain))
    assert one == another == by_ducklake
    suites = {_suite_of(tables) for tables in found}
    drawn = [
        {str(row[c]) for rows in tables.values() for row in rows for c in DRAWN[:3] if c in row} for tables in found
    ]
    assert len(suites) == 3
    assert not drawn[0] & drawn[1]
    with copies[0].reading() as connection:
        told = connection.execute("SELECT made_by, made_at FROM ledger.format WHERE made_at >= $1", [NOW]).fetchall()
        when = connection.execute(
            "SELECT max(snapshot_time) > now() - INTERVAL 1 HOUR FROM lake.snapshots()"
        ).fetchall()
    assert told == [("this version", NOW)]
    assert when == [(True,)]


def test_what_it_follows_from_is_part_of_its_name(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "new")
    monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS[:-1])
    earlier = made(tmp_path / "earlier")
    with tables_of(earlier) as tables:
        assert "segment_profiles" not in {row["table_name"] for row in tables["ducklake_table"]}
    assert len(list(cache.glob("catalogues-*/catalogue.sqlite"))) == 2
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, Migration("ledger/create", "nothing: it fails")))
    with pytest.raises(UsageError, match="could not be made"):
        made(tmp_path / "never")
    assert list((tmp_path / "never" / "lake").glob("*catalogue*")) == []


def test_a_lake_that_is_made_of_a_copy_takes_in_facts(starter: Path) -> None:
    suite = open_suite(starter, clock_at(NOW))
    assert all(result.ingestion is not None for result in ingest(suite))
    assert not [path.name for path in suite.lake.root.iterdir() if path.name.startswith(".")]
