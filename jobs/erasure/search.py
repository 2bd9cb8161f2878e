"""The proof of an erasure: every file and every table of a lake is searched for what names a person.

Parquet files are read by DuckDB, the tables of SQLite or of a server row by row, and the bytes of every file as they
are.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import duckdb

from jobs.erasure.marks import Marks
from jobs.erasure.named_values import named_in
from jobs.erasure.on_server import traces_on_server
from jobs.suite import Suite
from warehouse.lake.catalogues import CATALOGUE, OPERATIONS
from warehouse.lake.places import ERASING, IMMUTABLE
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.storage.storage import Storage
from warehouse.system_sql import exact_path, quote

#: A number stands behind the name of its column; more than so many rows at a time are not held in memory.
_ROWS = 10_000


def traces(suite: Suite, marks: Marks) -> list[str]:
    """Say where below a lake's directory the person is still named; models aside, which are named by themselves."""
    root = suite.lake.root
    suite.lake.close()
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name != ERASING and not _is_a_model(name):
            found += [f"lake/{name}{where}" for where in _in_file(path, marks)]
    storage = suite.lake.storage
    if not storage.is_directory:
        found += _in_bucket(storage, marks)
    catalogue = suite.lake.catalogue
    if isinstance(catalogue, PostgresCatalogue):
        found += traces_on_server(catalogue.server, marks)
    return list(dict.fromkeys(found))


def _in_bucket(storage: Storage, marks: Marks) -> Iterator[str]:
    for place in IMMUTABLE:
        for path in storage.files(place.rstrip("/")):
            if not _is_a_model(path):
                with storage.at_hand(path) as file:
                    yield from [f"{storage.place_of(path)}{where}" for where in _in_file(file, marks)]


def _is_a_model(name: str) -> bool:
    return name.startswith("artifacts/") and not name.endswith("held_out.parquet")


def _in_file(path: Path, marks: Marks) -> Iterator[str]:
    if path.name in (CATALOGUE, OPERATIONS):
        yield from _in_tables(path, marks)
    if path.suffix == ".parquet":
        with contextlib.suppress(duckdb.InvalidInputException), duckdb.connect() as connection:
            # One that is damaged is looked at byte by byte alone.
            reader = connection.execute("FROM read_parquet($1)", [exact_path(path)])
            names = [str(column[0]) for column in reader.description or []]
            if any(
                marks.are_in(_told(names, row)) for rows in iter(lambda: reader.fetchmany(_ROWS), []) for row in rows
            ):
                yield " (rows)"
    if marks.are_in(path.read_bytes().decode("latin-1")):
        yield " (bytes)"


def _in_tables(path: Path, marks: Marks) -> Iterator[str]:
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f"SELECT * FROM {quote(table)}")
            names = [column[0] for column in rows.description]
            if any(marks.are_in(_told(names, row)) for row in rows):
                yield f" ({table})"


def _told(names: list[str], row: tuple[object, ...]) -> str:
    cells = dict(zip(names, row, strict=True))
    return "\n".join([*(f"{name}: {value}" for name, value in cells.items()), *named_in(cells)])
