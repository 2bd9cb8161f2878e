"""Rows of a database as what a source delivers: all of a table or query, or those that a cursor says are new.

What comes over the wire is written to a Parquet file, which the source's SELECT reads as it would read any file, and
which the lake keeps, so that facts can be made anew from it. How far the cursor has come stands in the delivery's name
in the ledger, written in the commit that takes it in: a read that is cut begins again where it began.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from jobs.facts.complete import ALL_COMPARED
from jobs.facts.databases.database import Database
from jobs.facts.databases.memory import bound_memory
from jobs.facts.databases.opening import open_database
from jobs.facts.fact_tables import due_ingestions
from jobs.facts.files.delivered_files import DeliveredFile
from jobs.facts.reading import Reading
from jobs.facts.recorded import kept_copy
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import IngestFailed
from warehouse.lake.lake import Lake
from warehouse.lake.staged_files import sha256_of
from warehouse.ledger.records import SourceFacts
from warehouse.queries.running import running
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import literal, quote, system_sql

#: What a delivery's path says: what was read (with a hash of all that bears on it), how far the cursor came, and which
#: ingestions had turned rows away that were read again.
_PATH = re.compile(
    r"rows of .* \((\w{16})\)(?: up to (.+?))?(?:, with what ingestions ([\d, ]+) turned away)?(?:, all compared)?"
)
_NOTHING = "Nothing was taken in."
_INSTANTS = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
#: Types that Parquet does not keep as they are.
_UNUSABLE = re.compile(r'"NULL"|HUGEINT|INTERVAL|\bBIT\b|BIGNUM|UNION|\bTIME WITH|TIME_NS')


def next_rows(
    connection: duckdb.DuckDBPyConnection, suite: Suite, source: Source, facts: SourceFacts, directory: Path
) -> list[DeliveredFile]:
    """Write what a database has that the source does not have yet to a file; no file if there is nothing.

    Parameters
    ----------
    connection
        One that reads the lake.
    facts
        Which facts of the source are asked for what they hold already.
    directory
        Where to write.

    Raises
    ------
    IngestFailed
        If the database cannot be read, or read as the header says.
    UsageError
        If the environment variable is not set, or names nothing that can be read.
    """
    known = connection.execute(system_sql("ingest/known_files"), [source.name, facts.derivation]).fetchall()
    due = due_ingestions(connection, source, facts.table, suite.clock())
    own = directory / "database"  # two instances spill, each into a directory of its own
    own.mkdir()
    with (
        open_database(suite, source, lambda instance: bound_memory(instance, own)) as database,
        running(database.connection, source.file.where, source.header.query_timeout),
    ):
        reading = RowReading(database, source, suite.clock(), columns_of(database, source))
        before, read_again = reading.before(known)
        compare = source.header.compare is not None and _is_to_be_compared(connection, reading, known)
        kept = kept_file(suite.lake, before)
        return reading.deliver(before, kept, directory, sorted(due - read_again), compare=compare)


def _is_to_be_compared(
    connection: duckdb.DuckDBPyConnection, reading: RowReading, known: Sequence[tuple[str, str, int]]
) -> bool:
    """Tell whether all rows were read to find deleted ones so long ago that it is time again, or never."""
    ingestions = [row[2] for row in known if row[1].endswith(ALL_COMPARED) and f"({reading.identity})" in row[1]]
    if not ingestions:
        return True
    row = connection.execute(system_sql("databases/taken_at"), [max(ingestions)]).fetchone()
    return row is None or row[0] <= reading.now - (reading.source.header.compare or timedelta(0))


def refuse_rows_aside(source: Source, reading: Reading) -> None:
    """Refuse rows that the SELECT cannot read: set aside as a file is, they would not be asked for again.

    Raises
    ------
    IngestFailed
        With the reason.
    """
    origin = source.header.database or source.header.batches
    for one in reading.aside if origin else ():
        raise IngestFailed(
            f"{source.file.where}: the rows that {origin} gave cannot be read by the SELECT:"
            f" {one.reason}. Correct the SELECT or the rows. Nothing was taken in; the next ingestion begins where this"
            " one did."
        )


@dataclass(frozen=True)
class Delivered:
    """The delivery before: its hash, and how far the cursor had come."""

    sha256: str
    up_to: str | None


def newest_delivery(known: Sequence[tuple[str, str, int]]) -> Delivered | None:
    """Give the newest delivery of rows, whatever its columns were; `known`: hash, path, ingestion."""
    found = [(row, match) for row in known if (match := _PATH.fullmatch(row[1]))]
    if not found:
        return None
    (sha256, _, _), match = max(found, key=lambda each: each[0][2])
    return Delivered(sha256, match[2])


def kept_file(lake: Lake, before: Delivered | None) -> Path | None:
    """Give the copy of a delivery that the lake keeps."""
    return next(kept_copy(lake, before.sha256).glob("*"), None) if before else None


def columns_of(database: Database, source: Source) -> dict[str, str]:
    """Give the columns of what is read, with their types.

    Raises
    ------
    IngestFailed
        If one has a type that Parquet does not keep as it is.
    """
    rows = system_sql("databases/rows", relation=database.relation(source), condition="true")
    found = database.connection.execute(f"DESCRIBE FROM {database.answer(rows)}").fetchall()
    columns = {str(row[0]): str(row[1]) for row in found}
    for name, kind in columns.items():
        if _UNUSABLE.search(kind):
            raise IngestFailed(
                f"{source.file.where}: the column `{name}` is {kind}, which cannot be kept as it is. Name the columns"
                f" under `query`, with a CAST of this one, for example to DECIMAL or VARCHAR. {_NOTHING}"
            )
    return columns


@dataclass(frozen=True)
class RowReading:
    """One look at a database, in its transaction."""

    database: Database
    source: Source
    now: datetime
    columns: Mapping[str, str]

    @property
    def identity(self) -> str:
        """A hash of what is read: where anything of it has changed, all is read again."""
        header = self.source.header
        own = (header.batches,) if header.batches else ()
        parts = (header.database, header.table, header.query, header.cursor, list(self.columns.items()), *own)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def before(self, known: Sequence[tuple[str, str, int]]) -> tuple[Delivered | None, set[int]]:
        """Give the delivery before, and the ingestions whose rows were read again; `known`: hash, path, ingestion."""
        earlier = [(row, match) for row in known if (match := _PATH.fullmatch(row[1])) and match[1] == self.identity]
        read_again = {int(number) for _, match in earlier for number in (match[3] or "").split(", ") if number}
        if not earlier:
            return None, read_again
        (sha256, _, _), match = max(earlier, key=lambda each: each[0][2])
        return Delivered(sha256, match[2]), read_again

    def deliver(
        self,
        before: Delivered | None,
        kept: Path | None,
        directory: Path,
        again: Sequence[int],
        *,
        compare: bool = False,
    ) -> list[DeliveredFile]:
        """Write the rows to a file, and name it by how far they go.

        Rows that ingestions turned away until their time had come (`again`) are read with all others, as they are now;
        so are all that are to be compared with what is held (`compare`), which is noted even if nothing came of it.
        """
        header, up_to = self.source.header, None
        condition = "true"
        if header.cursor is not None:
            self._require_cursor(header.cursor)
            condition = (
                self._newer_than(before.up_to) if before and before.up_to and not again and not compare else "true"
            )
        file = directory / "rows.parquet"
        self._stage(file, condition)
        if condition != "true" and not self._reaches(file, before.up_to if before else None):
            condition = "true"
            self._stage(file, condition)
        digest = sha256_of(file)
        if before is not None and not again and not compare and self._is_old(file, digest, before, kept, condition):
            return []
        place = f"{header.table or 'a query'} in {header.database}" if header.database else header.batches
        name = f"rows of {place} ({self.identity})"
        if header.cursor is not None:
            up_to = self._newest(header.cursor, file) or (before.up_to if before else None)
            name += f" up to {up_to}" if up_to else ""
        name += f", with what ingestions {', '.join(map(str, again))} turned away" if again else ""
        name += ALL_COMPARED if compare else ""
        return [DeliveredFile(name, digest, file.stat().st_size, file)]

    def _require_cursor(self, cursor: str) -> None:
        where = self.source.file.at("cursor")
        kind = self.columns.get(cursor)
        if kind is None:
            raise IngestFailed(
                f"{where}: there is no column `{cursor}`; there are {', '.join(self.columns)}. {_NOTHING}"
            )
        if kind not in (*_INSTANTS, *_NUMBERS):
            raise IngestFailed(
                f"{where}: `{cursor}` is {kind}, and a cursor has to be an instant, a date or a whole number. Write a"
                f" `query` that gives it as one: SELECT *, CAST({cursor} AS TIMESTAMP) AS {cursor}_at FROM ...;"
                f" and name that. {_NOTHING}"
            )
        if kind in _NUMBERS and self.source.header.overlap:
            raise IngestFailed(
                f"{where}: `{cursor}` is {kind}, and `overlap` goes with cursors that are instants. {_NOTHING}"
            )

    def _stage(self, file: Path, condition: str) -> None:
        self.database.require_exact(self.source, self.columns, condition)
        rows = system_sql("databases/rows", relation=self.database.relation(self.source), condition=condition)
        values = {"rows": self.database.answer(rows), "file": literal(str(file))}
        self.database.connection.execute(system_sql("databases/stage", **values))

    def _since(self, up_to: str) -> str:
        """Give SQL of a cursor, in DuckDB's words and in PostgreSQL's."""
        return f"CAST({literal(up_to)} AS {self.columns[self.source.header.cursor or '']})"

    def _newer_than(self, up_to: str) -> str:
        """Give SQL of the rows to read."""
        cursor, since = quote(self.source.header.cursor or ""), self._since(up_to)
        if self.source.header.overlap:
            since = f"{since} - INTERVAL '{self.source.header.overlap.total_seconds()} seconds'"
        # A row that came at the very same instant is not lost, nor is one without a cursor.
        return f"({cursor} >= {since} OR {cursor} IS NULL)"

    def _reaches(self, file: Path, up_to: str | None) -> bool:
        """Tell whether rows go as far as what was taken in; if not, the table has gone back, and all of it is new."""
        values = {"cursor": quote(self.source.header.cursor or ""), "since": self._since(up_to or "")}
        query = system_sql("databases/reaches", file=literal(str(file)), **values)
        return self.database.connection.execute(query).fetchone() == (True,)

    def _is_old(self, file: Path, digest: str, before: Delivered, kept: Path | None, condition: str) -> bool:
        """Tell whether a file says nothing that the delivery before did not say."""
        if digest == before.sha256:
            return True
        # Without a cursor a row that is gone is news too.
        if self.source.header.cursor is None or kept is None:
            return False
        values = {"file": literal(str(file)), "before": literal(str(kept)), "condition": condition}
        return self.database.connection.execute(system_sql("databases/has_other_rows", **values)).fetchone() == (False,)

    def _newest(self, cursor: str, file: Path) -> str | None:
        kind = self.columns[cursor]
        now = timestamp_literal(self.now) if kind in _INSTANTS else f"max({quote(cursor)})"
        values = {"cursor": quote(cursor), "now": now, "kind": kind, "file": literal(str(file))}
        row = self.database.connection.execute(system_sql("databases/newest", **values)).fetchone()
        return row[0] if row else None
