"""A deep look at a lake: every file is read, and compared with what the catalogue and the ledger say of it.

Parquet files have no checksum of their own: a changed byte is seen if it cannot be read, or changes how many rows or
bytes there are. `almanac backup --full` compares whole files with what they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

from jobs.models.artifacts import manifest_files
from jobs.suite import Suite
from jobs.suites.lost_files import what_was_held
from warehouse.errors import AlmanacError
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.lake.extensions import open_instance
from warehouse.lake.lake import Lake, check_format
from warehouse.lake.staged_files import sha256_of
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord
from warehouse.system_sql import exact_path, system_sql
from warehouse.wording import counted


@dataclass(frozen=True)
class DeepLook:
    """What was read, and a sentence on each thing that is wrong."""

    n_files: int
    n_bytes: int
    wrong: list[str]

    @property
    def shown(self) -> str:
        """What was read, in words."""
        return f"{counted(self.n_files, 'file')} of {self.n_bytes:,} bytes read"


def look_deep(suite: Suite) -> DeepLook:
    """Read every data file of every snapshot, every model, and every copy of a delivery.

    Raises
    ------
    NotFoundError, LakeFormatError, RunFailed
        If the lake cannot be opened.
    """
    lake = suite.lake
    files = data_files(lake)
    with lake.reading() as connection:
        suite_id = check_format(connection, lake.root)
        products = [row[0] for row in connection.execute(system_sql("ledger/products_with_models")).fetchall()]
        models = [model for product in products for model in ledger.models(connection, product)]
    with opened_reader() as reader:
        wrong = [sentence for file in files if (sentence := _wrong_file(reader, lake, file))]
    wrong += [sentence for model in models for sentence in _wrong_artifact(lake, suite_id, model)]
    wrong += list(_wrong_copies(lake))
    return DeepLook(len(files), sum(file.n_bytes for file in files), wrong)


@contextlib.contextmanager
def opened_reader() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an instance that reads a lake's files one by one, past the catalogue."""
    with contextlib.closing(open_instance(SqliteCatalogue.EXTENSIONS)) as reader:
        yield reader


class DataFile(NamedTuple):
    """A row of doctor/all_files.sql; `is_data` is false of a file that says which rows were deleted."""

    schema: str
    table: str
    path: str
    n_rows: int
    n_bytes: int
    first: str | None
    last: str | None
    is_newest: bool
    is_data: bool


def data_files(lake: Lake) -> list[DataFile]:
    """List the data files of every snapshot that can be read."""
    with lake.reading() as connection:
        return [DataFile(*row) for row in connection.execute(system_sql("doctor/all_files")).fetchall()]


def what_is_wrong(reader: duckdb.DuckDBPyConnection, lake: Lake, file: DataFile) -> str | None:
    """Read a data file, all of it; say what is wrong with it, None if nothing is.

    A bucket's file is copied to this host first: so a line to the bucket that breaks is no damage of the file.

    Raises
    ------
    RunFailed
        If the bucket cannot be asked.
    """
    try:
        with lake.storage.at_hand(f"data/{file.path}") as here:
            n_bytes, place = here.stat().st_size, exact_path(here)
            try:
                found = reader.execute(system_sql("doctor/read_file"), [place]).fetchone()
            except duckdb.Error as error:
                said = " ".join(str(error).replace(place, Path(file.path).name).split())
                return f"is damaged ({said[:200]})"
    except FileNotFoundError:
        return "is missing"
    if n_bytes == file.n_bytes and found is not None and found[0] == file.n_rows:
        return None
    n_rows = found[0] if found else 0
    return f"has {n_rows:,} rows and {n_bytes:,} bytes, where {file.n_rows:,} and {file.n_bytes:,} were written"


def _wrong_file(reader: duckdb.DuckDBPyConnection, lake: Lake, file: DataFile) -> str | None:
    what = what_is_wrong(reader, lake, file)
    if what is None:
        return None
    held, again = what_was_held(file.schema, file.table, file.first, file.last)
    if not file.is_newest:
        held, again = f"{held}, as earlier snapshots show them", ""
    place = lake.storage.place_of(f"data/{file.path}")
    return f"{place} {what}; it held {held}. Put it back from a backup, under that name{again}"


def _wrong_artifact(lake: Lake, suite_id: str, model: ModelRecord) -> Iterator[str]:
    """Compare the files of a version with the hashes in its manifest, and that with the ledger."""
    name = f"the version {model.version} of {model.product}"
    try:
        for file, sha256 in manifest_files(model, lake.root, suite_id).items():
            if sha256_of(lake.storage.fetch_anew(f"{model.artifact}/{file}")) != sha256:
                yield f"{name}: {model.artifact}/{file} has changed; put it back from a backup, or train anew"
    except (AlmanacError, OSError) as error:
        yield f"{name}: {error}"


def _wrong_copies(lake: Lake) -> Iterator[str]:
    """Compare copies of deliveries with the hashes that they are named by."""
    for path in lake.storage.files("deliveries"):
        copy = lake.storage.fetch_anew(path)
        if sha256_of(copy) != copy.parent.name:
            place = lake.storage.place_of(path)
            yield f"{place} has changed: facts can no longer be made anew from it; put it back from a backup"
