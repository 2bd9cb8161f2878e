"""The files of a delivery, read: together where they are of one kind, and one by one where together they fail.

A file that cannot be read is set aside with the reason, and the rest is taken in. What was read is the relation
`delivery`. A list under `files` is one delivery, and is read or set aside as a whole.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from jobs.facts.csv_files.calls import reader_calls
from jobs.facts.csv_files.culprits import located, reason_of
from jobs.facts.csv_files.formats import Found
from jobs.facts.csv_files.heads import head_of, is_empty
from jobs.facts.csv_files.strict_reading import REASON, read_strictly
from jobs.facts.files.delivered_files import DeliveredFile
from jobs.facts.lacking import columns_not_found, without_columns
from warehouse.definitions import Source
from warehouse.errors import FileRefused, IngestFailed
from warehouse.lake.extensions import load_excel
from warehouse.lake.tables import is_related
from warehouse.queries.running import running
from warehouse.system_sql import quote, system_sql

#: Errors that say nothing about a file.
_OF_THE_MACHINE = (
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.PermissionException,
    duckdb.ConnectionException,
)
_OF_THE_SELECT = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
_QUOTED = re.compile("\"[^\"]*\"|'[^']*'")
_CHANGED = "it changed while it was read; write it under another name, and rename it when it is whole"
_numbers = itertools.count()


@dataclass(frozen=True)
class SetAside:
    """A file that could not be read, and why."""

    file: DeliveredFile
    reason: str


@dataclass(frozen=True)
class Reading:
    """What became of the files of a delivery.

    Attributes
    ----------
    taken
        Those that were read, files of no bytes among them.
    aside
        Those that were not.
    lacking
        The columns that files lack and that are NULL for it, by path.
    has_rows
        Whether there is a relation `delivery`: whether any file had more than no bytes. There is a relation `refused`
        then too: rows with a cell that does not stand for its value, which is NULL there, and the reason.
    found
        What was found of how CSV files are read, by the order of their readers.
    n_erased
        How many rows were left out because a person whom they are about was erased.
    """

    taken: list[DeliveredFile] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)
    lacking: dict[str, list[str]] = field(default_factory=dict)
    has_rows: bool = False
    found: list[Found] = field(default_factory=list)
    n_erased: int = 0


@dataclass
class _Part:
    """Files that were read together, as a table. `assumed` are columns that are NULL because a file lacks others.

    `entry` is the place of their format among the source's. `respelled` tells whether the files write the names of
    `columns` otherwise (`TRIP` for `trip`).
    """

    files: list[DeliveredFile]
    paths: list[Path]
    table: str
    refused: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    assumed: frozenset[str] = frozenset()
    entry: int = 0
    respelled: bool = False


def is_of_a_file(error: Exception) -> bool:
    """Tell whether an error may come from what is in a file, and not from the machine."""
    said = _QUOTED.sub("", str(error))  # without the names of files, which may hold any word
    return isinstance(error, duckdb.Error) and not (
        isinstance(error, _OF_THE_MACHINE)
        or (isinstance(error, duckdb.IOException) and ("write" in said or "space" in said))
    )


def read_delivery(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    files: Sequence[DeliveredFile],
    directory: Path,
    held: Mapping[str, str] | None,
    kept: Sequence[Found] = (),
    *,
    one_by_one: bool = False,
) -> Reading:
    """Read the files of a delivery into the relation `delivery`.

    Parameters
    ----------
    connection
        Where; the lake need not be in it.
    source
        Whose SELECT reads them.
    files
        The files.
    directory
        A place for what is unpacked.
    held
        The columns that the lake has of this source, if it has taken in a delivery under the same definition.
    kept
        What was found before of how its CSV files are read.
    one_by_one
        Try each file alone, the expressions of the header included: for where those fail over all of them.

    Raises
    ------
    IngestFailed
        If no file can be read, and it may be the SELECT that is wrong.
    duckdb.Error
        If the machine, and not a file, is at fault.
    """
    return _Reader(connection, source, directory, held, kept, one_by_one).read(files)


class _Reader:
    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        directory: Path,
        held: Mapping[str, str] | None,
        kept: Sequence[Found],
        one_by_one: bool,
    ) -> None:
        self.connection, self.source, self.directory = connection, source, directory
        self.held, self.one_by_one = held, one_by_one
        self.found = list(kept)
        #: How the names of columns are written, by the names in small letters, as DuckDB compares them.
        self.names = {name.lower(): name for name in [*(held or {}), *source.key]}
        self.is_one_delivery = isinstance(source.header.files, list)
        self.result = Reading()
        self.parts: list[_Part] = []
        self.failed: list[tuple[_Part, duckdb.Error]] = []

    def read(self, files: Sequence[DeliveredFile]) -> Reading:
        """Read, sort out, and put together."""
        for part in self._parts_of(files):
            self._try(part)
        self._look_for_lacking_columns()
        if self.failed and not self.parts and self.held is None:
            self._refuse_if_the_select_is_wrong()
        for part, error in self.failed:
            self._set_aside(part, self._why(part, error))
        self._agree_on_columns()
        self.result.aside.sort(key=lambda one: one.file.path)
        self.result.taken.extend(file for part in self.parts for file in part.files)
        return self._put_together()

    def _parts_of(self, files: Sequence[DeliveredFile]) -> list[_Part]:
        """Sort files into those that are read together."""
        unpacked: list[tuple[DeliveredFile, list[Path]]] = []
        for file in files:
            try:
                if file.unreadable or not file.found.exists():
                    raise IngestFailed(file.unreadable or _CHANGED)
                unpacked.append((file, file.readable(self.directory)))
            except IngestFailed as error:
                damaged = list(files) if self.is_one_delivery else [file]
                self.result.aside.extend(SetAside(each, str(error)) for each in damaged)
                if self.is_one_delivery:
                    return []
        if self.is_one_delivery:
            return [self._part(list(files), [path for _, paths in unpacked for path in paths])]
        kinds: dict[tuple[object, ...], _Part] = {}
        for file, paths in unpacked:
            has_header = self._has_header(self.source.parts[file.entry])
            full = [path for path in paths if not is_empty(path)]
            if not full:
                self.result.taken.append(file)
                continue
            heads = {head_of(self.connection, path, has_header=has_header) for path in full}
            alone = self.one_by_one or len(heads) > 1
            kind = (file.entry, file.path) if alone else (file.entry, *heads.pop())
            part = kinds.setdefault(kind, self._part([], [], file.entry))
            part.files.append(file)
            part.paths.extend(full)
        return list(kinds.values())

    def _part(self, files: list[DeliveredFile], paths: Sequence[Path], entry: int = 0) -> _Part:
        return _Part(files, list(paths), quote(f"part {next(_numbers)}"), entry=entry)

    def _has_header(self, source: Source) -> bool:
        """Tell whether the SELECT reads texts whose first line is one of names, without parsing it where it may be."""
        return "header=false" not in "".join(source.query.text.lower().split())

    def _try(self, part: _Part) -> None:
        """Read some files; where they fail together, each alone."""
        error = self._attempt(part, part.paths)
        if error is None:
            self.parts.append(part)
        elif len(part.files) == 1 or self.is_one_delivery:
            self.failed.append((part, error))
        else:
            for file in part.files:
                self._try(self._part([file], file.readable(self.directory), part.entry))

    def _attempt(self, part: _Part, paths: Sequence[Path], text: str | None = None) -> duckdb.Error | None:
        """Read paths into the part's table; give the error if that does not go for what is in the files."""
        source = self.source.parts[part.entry]
        if "read_xlsx" in source.query.text.lower():
            load_excel(self.connection)
        # What was found of the readers of each SELECT stands one after the other.
        before = sum(len(reader_calls(one, one.query.text)) for one in self.source.parts[: part.entry])

        def run(query: str, parameters: dict[str, object]) -> None:
            with running(self.connection, source.file.where, source.header.query_timeout):
                self.connection.execute(system_sql("ingest/part", part=part.table, query=query), parameters or None)

        try:
            reading = read_strictly(self.connection, source, paths, self.found[before:], run, text)
            part.refused = reading.refused
            here = [*self.found[:before], *[Found()] * (before - len(self.found)), *reading.found]
            self.found = here if not self.source.entries else [*here, *self.found[len(here) :]]
            described = self.connection.execute(f"DESCRIBE {part.table}").fetchall()
            part.columns = {self.names.setdefault(str(row[0]).lower(), str(row[0])): str(row[1]) for row in described}
            part.respelled = [*part.columns] != [str(row[0]) for row in described]
            if self.one_by_one:
                self._probe(part)
            self._refuse_changed(part)
        except FileRefused as error:
            return duckdb.InvalidInputException(str(error))
        except duckdb.Error as error:
            if not is_of_a_file(error):
                raise
            return error
        return None

    def _refuse_changed(self, part: _Part) -> None:
        """Refuse a file that is still being written: what was read of it may be half a row, or not what was hashed."""
        if any(file.has_changed() for file in part.files):
            raise FileRefused(_CHANGED)

    def _probe(self, part: _Part) -> None:
        from warehouse.lineage.binding import header_expressions

        expressions = ", ".join(f"max(hash({text}))" for text in header_expressions(self.source).values())
        with running(self.connection, self.source.file.where, self.source.header.query_timeout):
            self.connection.execute(system_sql("ingest/probe", expressions=expressions, part=part.table)).fetchall()

    def _look_for_lacking_columns(self) -> None:
        """Read files once more without columns that they lack, if any file had them."""
        if self.is_one_delivery or not (self.parts or self.held is not None):
            return
        waiting, self.failed = self.failed, []
        for part, error in waiting:
            lacking: list[str] = []
            found: duckdb.Error | None = error
            while found is not None and (names := [n for n in columns_not_found(found) if n not in lacking]):
                lacking += names
                without = without_columns(self.source.parts[part.entry], lacking)
                if without.why_not:
                    self._set_aside(part, without.why_not)
                    break
                part.assumed = without.affected
                found = self._attempt(part, part.paths, without.text)
            else:
                if found is not None:
                    self.failed.append((part, found))
                    continue
                self.parts.append(part)
                self.result.lacking.update({file.path: lacking for file in part.files})

    def _refuse_if_the_select_is_wrong(self) -> None:
        """Refuse a delivery that does not even bind, of a source of which none ever did: nobody knows who is wrong."""
        if all(isinstance(error, _OF_THE_SELECT) for _, error in self.failed):
            files = [file.path for part, _ in self.failed for file in part.files]
            names = ", ".join(files[:3]) + (" ..." if len(files) > 3 else "")
            where = self.source.parts[self.failed[0][0].entry].file.where
            raise IngestFailed(
                f"{where}: {names} cannot be read as the source declares it: {self.failed[0][1]}\n"
                "Correct the file or the SELECT. Nothing of this delivery was taken in."
            ) from self.failed[0][1]

    def _why(self, part: _Part, error: duckdb.Error) -> str:
        if any(file.has_changed() for file in part.files):
            return _CHANGED
        if len(part.paths) != 1:
            return reason_of(error)
        trial, found = self._part(part.files, part.paths, part.entry), self.found
        try:
            return located(error, part.paths[0], self.directory, lambda path: self._attempt(trial, [path]))
        finally:
            self.found = found  # What part of a file that is set aside looks like is not kept.

    def _set_aside(self, part: _Part, reason: str) -> None:
        self.result.aside.extend(SetAside(file, reason) for file in part.files)

    def _agree_on_columns(self) -> None:
        """Set aside the files that would be read with other types than the rest, or without a column of the key."""
        kinds: dict[str, Counter[str]] = {}
        for part in self.parts:
            for name, kind in part.columns.items():
                # A column that is all NULL for want of another has the type that NULL has by itself: it says nothing.
                kinds.setdefault(name, Counter())[kind] += 0 if name in part.assumed else len(part.files)
        self.wanted = {name: (self.held or {}).get(name) or found.most_common(1)[0][0] for name, found in kinds.items()}
        for part in list(self.parts):
            reason = self._why_it_differs(part) if len(self.parts) > 1 or self.held is not None else ""
            if reason:
                self.parts.remove(part)
                self._set_aside(part, reason)

    def _why_it_differs(self, part: _Part) -> str:
        for name, kind in part.columns.items():
            wanted = self.wanted.get(name, kind)
            if name not in part.assumed and not is_related(kind, wanted):
                return f"`{name}` is read as {kind}, and elsewhere as {wanted}; declare its type in the SELECT"
        missing = [name for name in self.wanted if name not in part.columns]
        if missing and len(self.parts) > 1:
            without = without_columns(self.source.parts[part.entry], missing)
            if without.why_not:
                return without.why_not
            self.result.lacking.update({file.path: missing for file in part.files})
        return ""

    def _put_together(self) -> Reading:
        if not self.parts:
            return self.result
        parts = " UNION ALL BY NAME ".join(self._select(part, part.table) for part in self.parts)
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW delivery AS {parts}")
        reason = quote(REASON)
        refused = [self._select(part, part.refused, f", {reason}") for part in self.parts if part.refused]
        empty = f"SELECT *, NULL::VARCHAR AS {reason} FROM delivery LIMIT 0"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW refused AS {' UNION ALL BY NAME '.join(refused) or empty}"
        )
        return Reading(self.result.taken, self.result.aside, self.result.lacking, has_rows=True, found=self.found)

    def _select(self, part: _Part, table: str, more: str = "") -> str:
        """Give SQL of a part's rows with the columns and types that all parts have."""
        if len(self.parts) == 1 and not part.assumed and not part.respelled:
            return f"FROM {table}"
        return f"SELECT {', '.join(self._column(part, *wanted) for wanted in self.wanted.items())}{more} FROM {table}"

    def _column(self, part: _Part, name: str, kind: str) -> str:
        if name not in part.columns:
            return f"NULL::{kind} AS {quote(name)}"
        return f"{quote(name)}{f'::{kind}' if name in part.assumed else ''} AS {quote(name)}"
