"""What an example gives, as a sandbox would show it: a source's facts as they were known at one instant.

A text or a file is read by the source's own SELECT, and judged by its own rules, as a delivery is. Rows are facts as
the SELECT gives them. Where rows say `known_at` themselves, each is a version of its fact.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePath

import duckdb

from jobs.examples.files import FileGiven, Row
from jobs.examples.values import insert_rows, told, types_of
from jobs.facts.fact_tables import Held, content_columns, judge_delivery, read_and_judge, refuse_unread
from jobs.facts.files.delivered_files import described_file
from jobs.facts.source_columns import declared_columns
from warehouse.definitions import Source
from warehouse.errors import DefinitionError
from warehouse.queries.bounded_functions import bound_functions
from warehouse.sandbox import earlier, timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql

#: When a delivery of an example reaches us: what it says of the time at which it was known is not doubted.
_INGESTED_AT = datetime(9000, 1, 1)
_BINARY = frozenset({".zip", ".gz", ".zst", ".parquet", ".xlsx"})
_KNOWN_AT = "known_at"


@dataclass
class GivenFacts:
    """The facts that one example gives, as tables of one instance in memory.

    Attributes
    ----------
    connection
        The instance.
    root
        The suite, for files that are given by their paths.
    directory
        Where texts are put as files.
    place
        The example, as shown to people.
    types
        Types that the file of examples declares, by table and column.
    declared
        What sources' SELECTs yield, as far as they were asked; None where a SELECT does not tell.
    """

    connection: duckdb.DuckDBPyConnection
    root: Path
    directory: Path
    place: str
    types: Mapping[str, Mapping[str, str]]
    declared: dict[str, dict[str, str] | None] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def read(self, source: Source, given: Sequence[Row] | FileGiven | str) -> tuple[str, str]:
        """Make the tables of a source's facts and rejects; give their names."""
        if isinstance(given, str):
            return self._deliver(source, self._file_of_text(source, given))
        if isinstance(given, FileGiven):
            return self._deliver(source, self._file_at(given.path))
        if any(_KNOWN_AT in row for row in given):
            return self._versions(source, given)
        return self._facts(source, given)

    def table(self, name: str, rows: Sequence[Row], columns: Mapping[str, str] | None = None) -> str:
        """Make a table of rows, with the types that the examples or `columns` declare; give its name."""
        known = {**(columns or {}), **self.types.get(name, {})}
        types = types_of(rows, known, self.place, name) or known
        if not types:
            raise DefinitionError(
                f"{self.place}: no row of `{name}` is given, which it reads, and its columns cannot be told without"
                f" one; give rows, or declare its columns at the top of the file: `types: {{{name}: ...}}`."
            )
        table = self._new_table()
        # What a table is declared to have and no row gives is NULL there.
        declared = {**types, **{column: kind for column, kind in known.items() if column not in types}}
        listed = ", ".join(f"{quote(column)} {kind}" for column, kind in declared.items())
        with told(f"{self.place}: `types` of {name}"):
            self.connection.execute(f"CREATE TABLE {table} ({listed})")
        insert_rows(self.connection, table, rows, types, f"{self.place}: {name}")
        return table

    def show(self, source: Source, facts: str, schema: str, instant: datetime) -> None:
        """Make the view in which a query sees a source's facts at an instant, as a sandbox has it."""
        columns = [row[0] for row in self.connection.execute(f"DESCRIBE {facts}").fetchall()]
        shown = [column for column in columns if column not in ("ingest_id", "withdrawn")]
        view = {
            "view": f"{schema}.{quote(source.name)}",
            "columns": quote_all(shown),
            "key": quote_all(source.key),
            "source": facts,
            "horizon": timestamp_literal(earlier(instant, source.header.arrives_within)),
            "ingest_id": str(2**62),
        }
        self.connection.execute(system_sql("sandbox/versioned_source", **view))

    def _declared(self, source: Source) -> dict[str, str]:
        if source.name not in self.declared:
            self.declared[source.name] = declared_columns(source)
        return self.declared[source.name] or {}

    def _new_table(self) -> str:
        return f"memory.main.{quote(f'almanac: {next(self._numbers)}')}"

    def _file_of_text(self, source: Source, text: str) -> Path:
        pattern = source.parts[0].header.files
        suffix = PurePath(pattern if isinstance(pattern, str) else (pattern or ["x.csv"])[0]).suffix or ".csv"
        if source.reads_rows or source.header.product is not None or suffix in _BINARY:
            what = "reads no files" if suffix not in _BINARY else f"reads {suffix} files"
            raise DefinitionError(
                f"{self.place}: {source.name} {what}; give its facts as rows, or (of files) as `{{path: FILE}}`."
            )
        path = self.directory / f"{next(self._numbers)}{suffix}"
        path.write_text(text, encoding="utf-8")
        return path

    def _file_at(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise DefinitionError(f"{self.place}: there is no file {name} in the suite.")
        return path

    def _deliver(self, source: Source, path: Path) -> tuple[str, str]:
        file = described_file(path, path.name)
        directory = self.directory / f"unpacked {next(self._numbers)}"
        with self._apart() as connection:
            judged = read_and_judge(connection, source, [file], directory, Held(), _INGESTED_AT)
            refuse_unread(source, judged)
            if not judged.columns:
                raise DefinitionError(f"{self.place}: what is given of {source.name} is empty; give a header at least.")
            return self._judged(connection, judged.columns)

    def _facts(self, source: Source, rows: Sequence[Row]) -> tuple[str, str]:
        table = self.table(source.name, rows, self._declared(source))
        with self._apart() as connection:
            connection.execute(f"CREATE TEMP VIEW delivery AS FROM {table}")
            connection.execute(system_sql("ingest/nothing_refused"))
            columns = content_columns(connection, source)
            with told(f"{self.place}: {source.name}"):
                judge_delivery(connection, source, columns, Held(), _INGESTED_AT)
                return self._judged(connection, columns)

    @contextlib.contextmanager
    def _apart(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection for one delivery: what it is read into is temporary, and of the same names each time."""
        with contextlib.closing(self.connection.cursor()) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            bound_functions(connection)
            yield connection

    def _judged(self, connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str]) -> tuple[str, str]:
        facts, rejects, listed = self._new_table(), self._new_table(), quote_all(columns)
        connection.execute(system_sql("examples/facts", facts=facts, columns=listed))
        connection.execute(system_sql("examples/rejects", rejects=rejects, columns=listed))
        return facts, rejects

    def _versions(self, source: Source, rows: Sequence[Row]) -> tuple[str, str]:
        """Make facts of rows that say when they became known; none may break a rule."""
        own = [{"almanac: position": n, "almanac: known_at": row.get(_KNOWN_AT)} for n, row in enumerate(rows)]
        content = [{name: value for name, value in row.items() if name != _KNOWN_AT} for row in rows]
        columns = self._declared(source)
        types = {"almanac: known_at": "TIMESTAMP", **columns}
        given = self.table(source.name, [{**c, **o} for c, o in zip(content, own, strict=True)], types)
        header = source.header
        rules = [f"CASE WHEN NOT ({rule}) THEN {literal(title)} END" for title, rule in header.rules.items()]
        rules += [f"CASE WHEN {quote(key)} IS NULL THEN 'a key column is NULL' END" for key in source.key]
        names = [row[0] for row in self.connection.execute(f"DESCRIBE {given}").fetchall()]
        kept = [name for name in names if not name.startswith("almanac: ")]
        facts = self._new_table()
        fragments = {"columns": quote_all(kept), "given": given, "facts": facts, "known_at": source.known_at}
        with told(f"{self.place}: {source.name}"):
            broken = system_sql("examples/broken_rules", given=given, broken=", ".join(rules))
            if wrong := self.connection.execute(broken).fetchone():
                raise DefinitionError(f"{self.place}: {source.name} would turn a row away: {wrong[0]}.")
            self.connection.execute(system_sql("examples/versions", withdrawn=header.withdrawn or "false", **fragments))
        rejects = self._new_table()
        self.connection.execute(f"CREATE TABLE {rejects} AS SELECT *, '' AS reason FROM {facts} LIMIT 0")
        return facts, rejects
