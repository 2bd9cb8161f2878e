"""A delivery on its way to becoming facts: read, compared with what is held, judged, and staged.

The tables are temporary ones of one instance: `delivery` holds the rows as the source's SELECT gives them, `judged`
those that are not held yet, each dated and rejected with a reason or not. Whether what is held is a table of the lake
or one in the making is left to the caller.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import duckdb

from jobs.facts.complete import Lacking, show_nothing_delivered, withdraw_lacking
from jobs.facts.csv_files.formats import Found
from jobs.facts.csv_files.strict_reading import NOT_THE_VALUE
from jobs.facts.files.delivered_files import DeliveredFile
from jobs.facts.reading import Reading, is_of_a_file, read_delivery
from warehouse.definitions import Source
from warehouse.errors import DefinitionError, IngestFailed, RunFailed
from warehouse.facts.tombstones import leave_out_erased
from warehouse.facts.watermarks import later
from warehouse.lake.lake import table_columns
from warehouse.ledger.derivations import HeldFacts
from warehouse.queries.running import running
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql

#: The reason of rows that are turned away until their time has come.
LATER = "known_at is later than the ingestion"
_ROUNDED = ("FLOAT", "DOUBLE")
#: Types that Parquet does not keep as they are.
_UNUSABLE = re.compile(r'^ENUM|"NULL"|HUGEINT|INTERVAL|^BIT|BIGNUM|UNION|\[\d+\]')


@dataclass(frozen=True)
class Held:
    """What is held of a source already: relations of its facts and of its rejects, with their columns.

    `is_known` tells whether any delivery was taken in under the same definition, `formats` how its CSV files were
    read.
    """

    facts: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    rejects: str = ""
    reject_columns: Mapping[str, str] = field(default_factory=dict)
    is_known: bool = False
    formats: Sequence[Found] = ()


@dataclass(frozen=True)
class Counts:
    """How many rows of a delivery met which fate, and from when to when the accepted ones were known.

    `newest_fact` leaves out what is known from its ingestion on, such as a change.
    """

    rows_read: int
    rows_new: int
    rows_restated: int
    rows_withdrawn: int
    rows_rejected: int
    min_known_at: datetime | None
    max_known_at: datetime | None
    newest_fact: datetime | None = None
    n_lacking: int = 0

    @property
    def rows_unchanged(self) -> int:
        """How many were held already. What a complete delivery lacks is withdrawn, and was not read."""
        changed = self.rows_new + self.rows_restated + self.rows_withdrawn - self.n_lacking
        return self.rows_read - changed - self.rows_rejected

    def of_ledger(self) -> dict[str, int | datetime | None]:
        """Give them as the fields of an `Ingestion`."""
        found = {**vars(self), "rows_unchanged": self.rows_unchanged}
        del found["n_lacking"], found["newest_fact"]
        return found


#: Of a delivery without a row.
NOTHING = Counts(0, 0, 0, 0, 0, None, None)


def held_in_lake(connection: duckdb.DuckDBPyConnection, table: str) -> Held:
    """Say what the lake holds of a source in one of its tables, and in the table of rejects of the same name."""
    facts, rejects = table_columns(connection, "sources", table), table_columns(connection, "rejects", table)
    named = quote(table)
    return Held(
        f"lake.sources.{named}" if facts else "",
        facts,
        f"lake.rejects.{named}" if rejects else "",
        rejects,
        bool(facts),
    )


@dataclass(frozen=True)
class Judged:
    """What became of a delivery: how its files were read, its columns, and the fate of its rows."""

    reading: Reading
    columns: dict[str, str]
    counts: Counts
    lacking: Lacking = field(default_factory=Lacking)


def read_and_judge(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    files: Sequence[DeliveredFile],
    directory: Path,
    held: Held,
    ingested_at: datetime,
) -> Judged:
    """Read files, and compare their rows with what is held; where that fails over all of them, one by one.

    Parameters
    ----------
    held
        What they are compared with.
    ingested_at
        When the delivery reached us (naive UTC).

    Raises
    ------
    IngestFailed
        If the files cannot be read as the source declares.
    DefinitionError
        If the SELECT lacks a key column, or has one that the lake cannot hold.
    """
    judged = Judged(Reading(), {}, NOTHING)
    for one_by_one in (False, True):
        with readable(source, files):
            known = held.columns if held.is_known else None
            reading = read_delivery(connection, source, files, directory, known, held.formats, one_by_one=one_by_one)
            if has_rows := reading.has_rows:
                reading = replace(reading, n_erased=leave_out_erased(connection, source))
            if source.header.delivery is not None and reading.taken and held.facts and not has_rows:
                show_nothing_delivered(connection, held.facts, held.columns)
                has_rows = True
            columns = content_columns(connection, source) if has_rows else {}
            try:
                counts = judge_delivery(connection, source, columns, held, ingested_at) if columns else NOTHING
                lacking = Lacking()
                if source.header.delivery is not None and columns:
                    lacking = withdraw_lacking(connection, source, columns, ingested_at)
                    counts = _counted(connection, ingested_at, lacking.lacking)
                judged = Judged(reading, columns, counts, lacking)
                break
            except duckdb.Error as error:
                if one_by_one or not is_of_a_file(error):
                    raise
    return judged


def refuse_unread(source: Source, judged: Judged) -> None:
    """Refuse a recorded delivery of which a file cannot be read under this definition.

    Raises
    ------
    IngestFailed
        Naming the first such file.
    """
    for one in judged.reading.aside:
        raise IngestFailed(
            f"{source.file.where}: {one.file.path}, which was taken in before, cannot be read under the definition as"
            f" it is: {one.reason}. Correct the SELECT. Nothing was changed."
        )


def drop_parts(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop what a delivery was read into: of many deliveries one after the other, that would fill the memory."""
    tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
    for (table,) in tables:
        if table.startswith("part "):
            connection.execute(f"DROP TABLE temp.{quote(table)}")


@contextlib.contextmanager
def readable(source: Source, files: Sequence[DeliveredFile]) -> Iterator[None]:
    """Name the files where DuckDB says that they cannot be read."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise  # that is no matter of the files
    except duckdb.Error as error:
        names = ", ".join(file.path for file in files[:3]) + (" ..." if len(files) > 3 else "")
        raise IngestFailed(
            f"{source.file.where}: {names} cannot be read as the source declares it: {error}\n"
            "Correct the file or the SELECT. Nothing of this delivery was taken in."
        ) from error


def content_columns(connection: duckdb.DuckDBPyConnection, source: Source) -> dict[str, str]:
    """Give the columns of `delivery` that are the source's own.

    Raises
    ------
    DefinitionError
        If a key column is missing or would be rounded, or the lake cannot hold a column.
    """
    described = connection.execute("DESCRIBE delivery").fetchall()
    columns = {str(row[0]): str(row[1]) for row in described if row[0] not in ("known_at", "withdrawn")}
    named_by = [text.rpartition(".")[2] for text in source.header.subject.values()]
    missing = [name for name in (*source.key, *named_by) if name not in columns]
    if missing or "ingest_id" in columns:
        lacking = f"the column(s) {missing} of `key` or `subject` are not in its SELECT"
        wrong = lacking if missing else "it selects `ingest_id`"
        raise DefinitionError(f"{source.file.where}: {wrong}; the columns are: {', '.join(columns)}.")
    rounded = [f"{name} {kind}" for name, kind in columns.items() if name in source.key and kind in _ROUNDED]
    if rounded:
        raise DefinitionError(
            f"{source.file.where}: the key column(s) {', '.join(rounded)} would merge keys that differ in their last"
            " digits; declare or cast them as BIGINT, DECIMAL or VARCHAR."
        )
    unusable = [f"{name} {kind}" for name, kind in columns.items() if _UNUSABLE.search(kind)]
    if unusable:
        raise DefinitionError(f"{source.file.where}: the lake cannot hold {unusable}; cast to VARCHAR or another type.")
    return columns


def _show_held(
    connection: duckdb.DuckDBPyConnection, source: Source, columns: Mapping[str, str], held: Held, horizon: str
) -> tuple[str, str]:
    """Make `stored` and `newest` of what a delivery is compared with; give that, and the relation of earlier rejects.

    Of a complete delivery that is all that is held. Otherwise it is what is held of the facts of which it has rows.
    """
    key, near = quote_all(source.key), "near"
    known = ", ".join(quote(c) if c in held.columns else f"NULL::{kind} AS {quote(c)}" for c, kind in columns.items())
    if not held.facts:
        connection.execute(system_sql("ingest/nothing", columns=quote_all(columns)))
    elif source.header.delivery:
        near = f"(SELECT {known}, withdrawn, known_at, ingest_id FROM {held.facts})"
    else:
        connection.execute(system_sql("ingest/near", columns=known, facts=held.facts, key=key))
    connection.execute(system_sql("ingest/stored", columns=quote_all(columns), near=near))
    connection.execute(system_sql("ingest/newest", key=key, horizon=horizon, near=near))
    comparable = held.rejects and all(held.reject_columns.get(column) == kind for column, kind in columns.items())
    return near, held.rejects if comparable else "(SELECT *, NULL::VARCHAR AS reason FROM newest LIMIT 0)"


def _compare(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    columns: Mapping[str, str],
    near: str,
    rejected: str,
    horizon: str,
) -> str:
    """Make the table `compared` of the rows that are compared with others; give the relation of the rest.

    Most rows of most deliveries are the only ones of their keys, in the delivery and in the lake.
    """
    header, key = source.header, quote_all(source.key)
    same_type = ", ".join(f"TRY_CAST({quote(name)} AS {columns[name]})" for name in source.key)
    connection.execute(system_sql("ingest/ambiguous", key=key, same_type=same_type, near=near, rejected=rejected))
    connection.execute(
        system_sql(
            "ingest/fresh",
            columns=quote_all(columns),
            key=key,
            withdrawn=header.withdrawn or "false",
            stored="stored" if source.restated_at and not source.header.delivery else "newest",
            rejected=rejected,
            not_the_value=literal(NOT_THE_VALUE),
            later=literal(LATER),
            known_at=source.known_at,
            restated_at=source.restated_at or "NULL",
            horizon=horizon,
        )
    )
    same_key = " AND ".join(f"numbered.{quote(name)} = newest.{quote(name)}" for name in source.key)
    fragments = {"key": key, "restated_at": source.restated_at or "NULL", "same_key": same_key}
    connection.execute(system_sql("ingest/compared", **fragments))
    some = connection.execute("SELECT 1 FROM ambiguous LIMIT 1").fetchone()
    return system_sql("ingest/alone", key=key) if some else "FROM delivery"


def judge_delivery(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    columns: Mapping[str, str],
    held: Held,
    ingested_at: datetime,
) -> Counts:
    """Make the view `judged`: every row of `delivery` that is not held, dated, and rejected with a reason or not.

    Parameters
    ----------
    columns
        Those of the delivery.
    held
        What it is compared with.
    ingested_at
        When it reached us (naive UTC): a changed row is known from then on, unless the source says otherwise.
    """
    header, listed = source.header, quote_all(columns)
    withdrawn = header.withdrawn or "false"
    horizon = timestamp_literal(later(ingested_at, header.clock_skew))
    rules = {
        quote(f"almanac: rule {n}"): f"CASE WHEN NOT ({rule}) THEN {literal(title)} END"
        for n, (title, rule) in enumerate(header.rules.items())
    }
    with running(connection, source.file.where, header.query_timeout):
        near, rejected = _show_held(connection, source, columns, held, horizon)
        alone = _compare(connection, source, columns, near, rejected, horizon)
        connection.execute(system_sql("ingest/apart", columns=listed))
        connection.execute(
            system_sql(
                "ingest/judge",
                columns=listed,
                alone=alone,
                withdrawn=withdrawn,
                known_at=source.known_at,
                restated_at=source.restated_at or "NULL",
                rules=", ".join(f"{broken} AS {name}" for name, broken in rules.items()),
                broken="".join(f"{name}, " for name in rules),
                horizon=horizon,
                later=literal(LATER),
                key_is_null=" OR ".join(f"{quote(key)} IS NULL" for key in source.key),
                returns="true" if source.withdraws_what_lacks else "false",
                ingested_at=timestamp_literal(ingested_at),
            )
        )
        connection.execute(system_sql("ingest/judge_refused", columns=listed, withdrawn=withdrawn, rejected=rejected))
        return _counted(connection, ingested_at)


def _counted(connection: duckdb.DuckDBPyConnection, ingested_at: datetime, n_lacking: int = 0) -> Counts:
    query = system_sql("ingest/counts", ingested_at=timestamp_literal(ingested_at))
    read, new, restated, withdrawn, rejected, first, last, newest = connection.execute(query).fetchone() or ()
    return Counts(read, new, restated, withdrawn, rejected, first, last, newest, n_lacking)


def require_facts_are_there(source: Source, held: HeldFacts | None, table: str) -> None:
    """See that the facts to which rows are added are still those: upkeep may have dropped them meanwhile."""
    facts = held.of(source) if held is not None else None
    if held is not None and (facts is None or facts.table != table):
        raise RunFailed(
            f"the facts of {source.name} were made anew or dropped while a delivery was read; nothing of it was taken"
            " in. Run this again."
        )


def due_ingestions(
    connection: duckdb.DuckDBPyConnection, source: Source, table: str, ingested_at: datetime
) -> set[int]:
    """Give the ingestions of which rows were turned away as known too late, and could be taken in now."""
    header = source.header
    fragments = {"known_at": source.known_at, "restated_at": source.restated_at or "NULL", "later": literal(LATER)}
    query = system_sql("ingest/due", table=quote(table), **fragments)
    try:
        return {row[0] for row in connection.execute(query, [later(ingested_at, header.clock_skew)]).fetchall()}
    except duckdb.Error:  # There are no rejects, or what they lack is needed to tell.
        return set()


def stage_judged(
    connection: duckdb.DuckDBPyConnection, source: Source, judged: Judged, ingest_id: int, directory: Path
) -> dict[str, Path]:
    """Write the judged rows to Parquet files; give those that have rows, by the schema of the lake that they go to."""
    counts = judged.counts
    n_accepted = counts.rows_new + counts.rows_restated + counts.rows_withdrawn
    staged = {}
    for schema, statement, n_rows in (
        ("sources", "ingest/stage_facts", n_accepted),
        ("rejects", "ingest/stage_rejects", counts.rows_rejected),
    ):
        if n_rows:
            path = directory / f"{schema}.parquet"
            fragments = {
                "columns": quote_all(judged.columns),
                "key": quote_all(source.key),
                "ingest_id": str(ingest_id),
            }
            connection.execute(system_sql(statement, file=literal(str(path)), **fragments))
            staged[schema] = path
    return staged
