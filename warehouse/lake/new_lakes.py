"""The catalogue of a new lake, which holds nothing but the ledger's empty tables.

DuckLake takes half a second to make them. So a catalogue in a file is made once for each version of the ledger and of
DuckDB, is kept where only this user can write (`warehouse.private_cache`), and is copied from then on. A copy differs
from what DuckLake would make in nothing but the numbers by which it would have drawn its identifiers. It gets the
catalogue's name once it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

from warehouse.lake import migrations
from warehouse.lake.catalogues import Catalogue, SqliteCatalogue
from warehouse.lake.extensions import open_instance, state_of_extensions
from warehouse.lake.migrations import migrate, newest_format
from warehouse.lake.postgres.fences import Fence
from warehouse.lake.storage.local_directory import LocalDirectory
from warehouse.lake.storage.storage import Storage
from warehouse.private_cache import private_directory
from warehouse.system_sql import quote, system_sql

_ROWS_IN_FILES = "ledger/rows_in_files"


@dataclass(frozen=True)
class NewLake:
    """What is each lake's own: its suite's id, who made it and when (naive UTC), and where its files lie."""

    suite_id: str
    made_by: str
    made_at: datetime
    data: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Give what of it stands in `ledger.format`, as DuckLake writes it."""
        at = str(self.made_at)
        return self.suite_id, self.made_by, at.rstrip("0") if "." in at else at


#: What stands in the kept catalogue instead.
_NOBODYS = NewLake("almanac: a suite", "almanac: a version", datetime(1999, 12, 31, 23, 59, 58), "")


def make_catalogue(catalogue: Catalogue, storage: Storage, new: NewLake, fence: Fence | None) -> None:
    """Make the catalogue of a new lake, under its writer lock; there is none, or one that was not finished.

    Raises
    ------
    duckdb.Error
        If DuckLake cannot make it.
    sqlite3.Error, OSError
        If the disk refuses.
    """
    kept = None
    if isinstance(catalogue, SqliteCatalogue) and not catalogue.exists():
        kept = _kept_catalogue(catalogue.file.name)
    if kept is None:
        _make(catalogue, storage, new, fence)
        return
    assert isinstance(catalogue, SqliteCatalogue)
    unnamed = catalogue.file.with_name(f".{uuid.uuid4().hex}")
    try:
        shutil.copyfile(kept, unnamed)
        _make_own(unnamed, new)
        unnamed.rename(catalogue.file)
    finally:
        unnamed.unlink(missing_ok=True)


def _make(catalogue: Catalogue, storage: Storage, new: NewLake, fence: Fence | None) -> None:
    """Have DuckLake make it."""
    with contextlib.closing(open_instance((*catalogue.extensions, *storage.extensions))) as connection:
        storage.make_ready(connection)
        catalogue.attach(connection, "lake", new.data, read_only=False, snapshot_id=None, fence=fence)
        connection.execute("USE lake")
        catalogue.guard()
        connection.execute("BEGIN")
        migrate(connection, since=0)
        values = [newest_format(), new.suite_id, new.made_by, new.made_at]
        connection.execute("INSERT INTO ledger.format VALUES ($1, $2, $3, $4)", values)
        connection.execute("COMMIT")
        # DuckLake sets options of committed schemas only. A lake without them is slower, and right.
        connection.execute(system_sql(_ROWS_IN_FILES))


def _kept_catalogue(name: str) -> Path | None:
    """Give the file that is copied, of this name, made where it is missing; None if nothing can be kept safely."""
    directory = private_directory(f"catalogues-{_what_it_follows_from()}")
    if directory is None:
        return None
    kept = directory / name
    if not kept.exists():
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=directory) as place:
            made = SqliteCatalogue(Path(place))
            _make(made, LocalDirectory(made.root), replace(_NOBODYS, data=f"{place}{os.sep}"), None)
            made.file.replace(kept)
    return kept if kept.exists() else None


def _what_it_follows_from() -> str:
    """Name the code that makes a catalogue, and what it goes by."""
    steps = [(one.sql, system_sql(one.sql)) for one in migrations.MIGRATIONS]
    parts = (_code(), state_of_extensions(), steps, system_sql(_ROWS_IN_FILES))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@cache
def _code() -> list[bytes]:
    return [Path(str(file)).read_bytes() for file in (__file__, migrations.__file__)]


def _make_own(file: Path, new: NewLake) -> None:
    """Write into a copy what is this lake's own, and that it was made just now."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.create_function("new_uuid", 0, lambda: str(uuid.uuid4()))
        for table, column in (("schema", "schema_uuid"), ("table", "table_uuid"), ("view", "view_uuid")):
            database.execute(f"UPDATE ducklake_{table} SET {column} = new_uuid()")
        database.execute("UPDATE ducklake_snapshot SET snapshot_time = strftime('%Y-%m-%d %H:%M:%f+00', 'now')")
        database.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [new.data])
        # DuckLake keeps so few rows in the catalogue, and their least and greatest values with the table.
        query = "SELECT inlined.table_name FROM ducklake_inlined_data_tables AS inlined JOIN ducklake_table AS tables"
        named = database.execute(f"{query} USING (table_id) WHERE tables.table_name = 'format'").fetchone()[0]
        database.execute(f"UPDATE {quote(named)} SET suite_id = ?, made_by = ?, made_at = ?", new.texts)
        of_values = "UPDATE ducklake_table_column_stats SET min_value = ?1, max_value = ?1 WHERE min_value = ?2"
        database.executemany(of_values, zip(new.texts, _NOBODYS.texts, strict=True))
    with file.open("rb+") as copied:
        os.fsync(copied)
