"""Query: one SELECT over the lake, read-only, now, as of a snapshot or an instant, in the form that is wanted.

Values are shown as DuckDB writes them: what Python has no value for (a date in the year 20000, infinity, a sum of 38
digits) would be lost on the way, or end the command.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from jobs.suite import Suite
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.lake import Lake
from warehouse.pages.profiles import is_number
from warehouse.queries.reading_only import ReadingQuery, require_reading
from warehouse.queries.running import QUERY_TIMEOUT, running
from warehouse.queries.wrong_answers import switch_off_wrong_optimizers
from warehouse.reader import LakeReader
from warehouse.system_sql import literal

FORMATS = {"csv": "FORMAT csv, HEADER true", "json": "FORMAT json, ARRAY true", "parquet": "FORMAT parquet"}
#: In DuckDB's JSON: a string, which is left alone, or a number that JSON does not have.
_STRING_OR_NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)')
_PIECE = 1 << 20


@dataclass(frozen=True)
class Answer:
    """Rows as text, as DuckDB writes each value; None is NULL. `numbers` are the places of columns of numbers."""

    names: list[str]
    rows: list[tuple[str | None, ...]]
    numbers: frozenset[int]

    @property
    def shown(self) -> list[tuple[str, ...]]:
        """The rows with NULL written out."""
        return [tuple("NULL" if value is None else value for value in row) for row in self.rows]


def query_rows(
    suite: Suite,
    sql: str,
    *,
    at_snapshot: int | None = None,
    at_time: datetime | None = None,
    limit: int | None = None,
    timeout: timedelta = QUERY_TIMEOUT,
) -> Answer:
    """Run a SELECT and give its rows, at most `limit` of them.

    Parameters
    ----------
    at_snapshot, at_time
        As the lake was at a snapshot, or at an instant (naive UTC); by default as it is.
    timeout
        How long it may take.

    Raises
    ------
    RunFailed
        If it takes longer.
    UsageError
        If it does not only read, or DuckDB refuses it; the message is DuckDB's own.
    """
    with _asking(suite, at_snapshot, at_time, timeout) as connection:
        query = _checked(connection, sql)
        if query.explains:
            found = connection.execute(query.text)
            return Answer([column[0] for column in found.description or ()], found.fetchall(), frozenset())
        relation = connection.sql(query.text)
        numbers = {place for place, kind in enumerate(relation.types) if is_number(str(kind))}
        shown = relation if limit is None else relation.limit(limit)
        texts = shown.select("COLUMNS(*)::VARCHAR")
        return Answer(texts.columns, texts.fetchall(), frozenset(numbers))


def query_to_file(
    suite: Suite,
    sql: str,
    form: str,
    target: Path,
    *,
    at_snapshot: int | None = None,
    at_time: datetime | None = None,
    timeout: timedelta = QUERY_TIMEOUT,
) -> None:
    """Run a SELECT and write its rows to a file as csv, json or parquet, streaming.

    JSON has no infinities: there `Infinity`, `-Infinity` and `NaN` are strings.
    """
    with _asking(suite, at_snapshot, at_time, timeout) as connection:
        query = _checked(connection, sql)
        rows = _as_rows(connection, query)
        try:
            with _first_written_to(target, form) as file:
                connection.execute(f"COPY ({rows}\n) TO {literal(str(file))} ({FORMATS[form]})")
                if file != target:
                    _quote_what_is_no_number(file, target)
        except (duckdb.IOException, OSError) as error:
            raise UsageError(f"the rows cannot be written to {target}: {error}") from error


def _checked(connection: duckdb.DuckDBPyConnection, sql: str) -> ReadingQuery:
    query = require_reading(connection, sql)
    if query.reads_the_past:
        switch_off_wrong_optimizers(connection, reads_the_past=True)
    return query


def _as_rows(connection: duckdb.DuckDBPyConnection, query: ReadingQuery) -> str:
    """Give a query as COPY takes it, with each of its columns under a name of its own."""
    if query.explains:
        connection.register("explained", connection.execute(query.text).to_arrow_table())
        return "FROM explained"
    names = [name.lower() for name in connection.sql(query.text).columns]
    return query.text if query.is_plain and len(names) == len(set(names)) else f"FROM ({query.text}\n)"


@contextlib.contextmanager
def _first_written_to(target: Path, form: str) -> Iterator[Path]:
    """Give the file that DuckDB writes; for JSON one beside the target, since it is gone over."""
    if form != "json":
        yield target
        return
    beside = target.parent if target.is_file() or not target.exists() else None
    with tempfile.TemporaryDirectory(dir=beside) as directory:
        yield Path(directory) / "rows.json"


def _quote_what_is_no_number(source: Path, target: Path) -> None:
    """Copy JSON as DuckDB writes it, one row a line, with infinities and NaN as strings."""
    with source.open("rb") as rows, target.open("wb") as quoted:
        while piece := rows.read(_PIECE):
            whole = piece + rows.readline()
            if b"Infinity" in whole or b"NaN" in whole:
                whole = _STRING_OR_NO_NUMBER.sub(lambda m: b'"' + m[1] + b'"' if m[1] else m[0], whole)
            quoted.write(whole)


@contextlib.contextmanager
def _asking(
    suite: Suite, at_snapshot: int | None, at_time: datetime | None, timeout: timedelta
) -> Iterator[duckdb.DuckDBPyConnection]:
    with (
        _reading(suite, at_snapshot, at_time) as connection,
        _understood(connection, suite.lake),
        running(connection, "almanac query", timeout),
    ):
        yield connection


@contextlib.contextmanager
def _reading(suite: Suite, at_snapshot: int | None, at_time: datetime | None) -> Iterator[duckdb.DuckDBPyConnection]:
    if at_time is not None:
        if at_snapshot is not None:
            raise UsageError("--at-snapshot and --at-time both say as of when; give one of them.")
        at_snapshot = snapshot_at(suite, at_time)
    with suite.lake.reading(at_snapshot, all_cores=True) as connection:
        # A name that is no table's would else be looked for among the variables of this program.
        connection.execute("SET python_enable_replacements = false")
        yield connection


def snapshot_at(suite: Suite, at: datetime) -> int:
    """Give the snapshot that was the lake's newest at an instant.

    Raises
    ------
    UsageError
        If the instant is still to come.
    NotFoundError
        If the lake is younger, or what it was then is not kept any more.
    """
    if at > suite.clock():
        raise UsageError(f"--at-time {at} lies in the future; the lake's newest state is what a plain query shows.")
    return LakeReader(suite.lake).snapshot_at(at)


@contextlib.contextmanager
def _understood(connection: duckdb.DuckDBPyConnection, lake: Lake) -> Iterator[None]:
    """Say what DuckDB refuses in its own words, and what there is where a name is not known."""
    try:
        yield
    except duckdb.CatalogException as error:
        known = [row[0] for row in connection.execute("SELECT schema || '.' || name FROM (SHOW ALL TABLES)").fetchall()]
        raise NotFoundError(f"{error}\nThe lake {lake.root} holds: {', '.join(sorted(known))}.") from error
    except duckdb.Error as error:
        raise UsageError(str(error)) from error
