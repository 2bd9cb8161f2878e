"""Rows that a Python function of the suite yields as Arrow batches, since an instant: a source as a database is one.

What the function yields is written to a Parquet file batch by batch, and taken in from there as rows of a database are:
the lake keeps them, the cursor's place stands in the ledger, and a function that fails commits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from jobs.facts.database_rows import RowReading, columns_of, kept_file, newest_delivery
from jobs.facts.databases.opening import DuckdbReads
from jobs.facts.fact_tables import due_ingestions
from jobs.facts.files.delivered_files import DeliveredFile, loaded_function
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import IngestFailed
from warehouse.lake.extensions import open_instance
from warehouse.ledger.records import SourceFacts
from warehouse.system_sql import literal, quote, system_sql

if TYPE_CHECKING:
    import pyarrow

Since = datetime | date | int | None


def next_batches(
    connection: duckdb.DuckDBPyConnection, suite: Suite, source: Source, facts: SourceFacts, directory: Path
) -> list[DeliveredFile]:
    """Write what a function yields that the source does not have yet to a file; no file if there is nothing.

    Raises
    ------
    IngestFailed
        If the function fails, or what it yields are no Arrow batches of one schema.
    DefinitionError
        If it cannot be imported.
    """
    known = connection.execute(system_sql("ingest/known_files"), [source.name, facts.derivation]).fetchall()
    due = due_ingestions(connection, source, facts.table, suite.clock())
    newest = newest_delivery(known)
    since = None if due else _since(source, newest.up_to, kept_file(suite.lake, newest)) if newest else None
    file = directory / "batches.parquet"
    for asked in (since, None):
        if not _write(source, suite.root, asked, file):
            return []
        instance = open_instance()
        try:
            reads = DuckdbReads(instance, file)
            reading = RowReading(reads, source, suite.clock(), columns_of(reads, source))
            before, read_again = reading.before(known)
            if asked is not None and before is None:
                continue  # it has other columns now: what was taken in is to have them too
            again = sorted(due - read_again)
            return reading.deliver(before, kept_file(suite.lake, before), directory, again)
        finally:
            instance.close()
    raise AssertionError("the second call asks for everything")


def _since(source: Source, up_to: str | None, kept: Path | None) -> Since:
    """Give the cursor's place less the overlap, as Python has it; instants are naive UTC."""
    cursor = source.header.cursor
    if cursor is None or up_to is None or kept is None:
        return None
    place = [literal(str(kept)), quote(cursor), literal(up_to)]
    query = system_sql("databases/since", file=place[0], cursor=place[1], up_to=place[2])
    instance = open_instance()
    try:
        kind, number, day, instant = instance.execute(query).fetchone() or (None, None, None, None)
    finally:
        instance.close()
    if f"{kind}".endswith(("INT", "INTEGER")):
        return int(number)
    found: datetime | date = day if kind == "DATE" else instant
    return found - source.header.overlap


def _write(source: Source, root: Path, since: Since, file: Path) -> bool:
    """Write the batches to a file, one after the other; tell whether there are any."""
    import pyarrow
    import pyarrow.parquet

    name = source.header.batches or ""
    function = loaded_function(source, name, root)
    writer: pyarrow.parquet.ParquetWriter | None = None
    try:
        for batch in _batches(function(since)):
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(file, batch.schema, compression="zstd")
            writer.write_table(pyarrow.table(batch))
    except Exception as error:  # it is the suite's own code, and may raise anything
        raise IngestFailed(
            f"{source.file.at('batches')}: `{name}` failed, or yields no Arrow batches of one schema: {error!r}."
            " Nothing was taken in; the next ingestion calls it with the same instant."
        ) from error
    finally:
        if writer is not None:
            writer.close()
    return writer is not None


def _batches(yielded: object) -> Iterable[pyarrow.RecordBatch | pyarrow.Table]:
    import pyarrow

    if isinstance(yielded, pyarrow.RecordBatch | pyarrow.Table):
        return [yielded]
    if not isinstance(yielded, Iterable):
        raise TypeError(f"it returned {type(yielded).__name__}, and Arrow batches were expected")
    return yielded
