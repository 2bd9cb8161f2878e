"""A source's SELECT over delivered files, with no cell read as a value that its text does not stand for.

The author's text runs as it stands, but for its calls of read_csv and read_json: in the place of each stands a
relation of ours, which reads the files' text and casts it. Of columns that the SELECT does not read, nothing is cast.
Where a cell does not stand for its value the query ends and names the column; it is run again without the rows in which
that column is wrong, and these rows are then read by the same SELECT, with NULL for the cell, and refused with the
reason.

That is done only where a row of the file makes a row of the source by itself. Where rows are joined, counted or
numbered the others would come out wrong without it: there the whole delivery is refused.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from jobs.facts.csv_files.calls import JSON_READERS, ReaderCall, in_place_of_calls, reader_calls
from jobs.facts.csv_files.cells import cast, stands_for, ways_to_stand
from jobs.facts.csv_files.formats import FileFormat, Found, format_of, json_format_of
from jobs.facts.csv_files.twins import refuse_keys_of_json, refuse_twins, refuse_twins_in
from warehouse.definitions import Source
from warehouse.errors import FileRefused
from warehouse.queries.allowed_functions import AGGREGATES, ORDERED_AGGREGATES
from warehouse.system_sql import exact_path, literal, quote, system_sql

#: The column of what `refused` rows are refused for.
REASON = "almanac: reason"
#: What the reason of each row says that is refused for a cell.
NOT_THE_VALUE = "does not stand for a"
#: What an error of ours begins with; the call's number and the column follow, as JSON.
_MARK = "almanac: a cell "
_SHOWN = 200
_numbers = itertools.count()


@dataclass(frozen=True)
class StrictReading:
    """What a SELECT gave.

    Attributes
    ----------
    refused
        The table of rows that were refused, with the reason as `almanac: reason` after the SELECT's columns; None if
        there are none.
    found
        What was found of the files of each reader, in the order of their calls; to be kept.
    """

    refused: str | None
    found: list[Found]


@dataclass
class _Relation:
    """What stands in a call's place: files in groups, each with how it is read; columns in which cells were wrong."""

    name: str
    groups: list[tuple[FileFormat, list[str]]]
    wrong: list[str]


def read_strictly(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    paths: Sequence[Path],
    kept: Sequence[Found],
    run: Callable[[str, dict[str, object]], None],
    text: str | None = None,
) -> StrictReading:
    """Run a source's SELECT over files.

    Parameters
    ----------
    connection
        Where; temporary views and tables are made in it.
    source
        Whose SELECT.
    paths
        What is bound as `$files`.
    kept
        What was found for the source's readers before, by their order; empty if nothing was.
    run
        Runs a text with its parameters, such as inside CREATE TABLE; it is called again if rows are refused.
    text
        Another text than the source's own.

    Raises
    ------
    FileRefused
        If a file would be read otherwise than those before, or a cell does not stand for its value and its row cannot
        be left out.
    duckdb.Error
        If the SELECT cannot be run over these files.
    """
    text = text or source.query.text
    # Not where files that were taken in before are looked at once more: nobody could do anything about those.
    refuse_twins_in(connection, paths, text)
    return _Reading(connection, source, paths, kept, text, takes_in=True).read(run)


def found_in(connection: duckdb.DuckDBPyConnection, source: Source, paths: Sequence[Path]) -> list[Found]:
    """Find out how files are read, without reading them."""
    return _Reading(connection, source, paths, [], source.query.text).found


def described(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: Sequence[Path], kept: Sequence[Found]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Give the columns and types of a source's SELECT over files, and those of the files by their readers' arguments.

    Parameters as `read_strictly` has them, and what is raised too.
    """
    reading = _Reading(connection, source, paths, kept, source.query.text)
    files: dict[str, dict[str, str]] = {}
    for number, relation in enumerate(reading.relations):
        reading._show(number, relation)
        for form, _ in relation.groups:
            files[reading.calls[number].files] = {**form.columns, **files.get(reading.calls[number].files, {})}
    text, parameters = reading._query([relation.name for relation in reading.relations])
    rows = connection.execute(f"DESCRIBE {text}", parameters or None).fetchall()
    return {str(row[0]): str(row[1]) for row in rows}, files


class _Reading:
    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        paths: Sequence[Path],
        kept: Sequence[Found],
        text: str,
        *,
        takes_in: bool = False,
    ) -> None:
        self.connection, self.source, self.text, self.takes_in = connection, source, text, takes_in
        self.patterns = [exact_path(path) for path in paths]
        self.calls = reader_calls(source, text)
        self.found = [kept[n] if n < len(kept) else Found() for n in range(len(self.calls))]
        self.relations = [self._relation(number, call) for number, call in enumerate(self.calls)]

    def read(self, run: Callable[[str, dict[str, object]], None]) -> StrictReading:
        """Run the SELECT, without the rows whose cells turn out wrong."""
        while True:
            for number, relation in enumerate(self.relations):
                self._show(number, relation)
            try:
                run(*self._query([relation.name for relation in self.relations]))
                break
            except duckdb.InvalidInputException as error:
                self._note(error)
        wrong = [number for number, relation in enumerate(self.relations) if relation.wrong]
        return StrictReading(self._refuse(wrong[0]) if wrong else None, self.found)

    def _query(self, names: list[str]) -> tuple[str, dict[str, object]]:
        text = in_place_of_calls(self.text, self.calls, names)
        return text, {"files": self.patterns} if "files" in self.source.query.parameters and "$files" in text else {}

    def _relation(self, number: int, call: ReaderCall) -> _Relation:
        parameters = {"files": self.patterns} if "$files" in call.files else None
        row = self.connection.execute(f"SELECT {call.files}", parameters).fetchone()
        value = row[0] if row else None
        paths = [str(path) for path in value] if isinstance(value, list) else [str(value)]
        groups = []
        without_calls = in_place_of_calls(self.text, self.calls, ["_"] * len(self.calls))
        # What stands in one line of names has one form; what has no such line is read as its first file is.
        for of_one_form in _grouped(paths, call):
            if call.function in JSON_READERS:
                form = json_format_of(self.connection, call, of_one_form, self.found[number])
                if self.takes_in:
                    refuse_keys_of_json(self.connection, call, of_one_form, [*form.columns], without_calls)
            else:
                form = format_of(self.connection, call, of_one_form[0], self.found[number])
                refuse_twins(without_calls, form.twins)
            self.found[number] = form.found
            groups.append((form, of_one_form))
        return _Relation(quote(f"almanac: read {next(_numbers)}"), groups, [])

    def _show(self, number: int, relation: _Relation) -> None:
        """Make the relation that stands in a call's place."""
        parts = [self._values(number, form, paths, relation.wrong) for form, paths in relation.groups]
        query = " UNION ALL BY NAME ".join(parts)
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {relation.name} AS {query}")

    def _values(self, number: int, form: FileFormat, paths: list[str], wrong: list[str]) -> str:
        listed = []
        for name, kind in form.columns.items():
            if not form.is_cast(name):
                listed.append(quote(name))
            elif name in wrong:
                listed.append(f"{_value(name)} AS {quote(name)}")
            else:
                ways = ways_to_stand(name, _value(name), kind, form.notation)
                branches = " ".join(f"WHEN {way} THEN {_value(name)}" for way in ways)
                told = literal(_MARK + json.dumps([number, name]))
                listed.append(
                    f"CASE WHEN {quote(name)} IS NULL THEN NULL {branches}"
                    f" ELSE error({told})::{kind} END AS {quote(name)}"
                )
        others = self._other_columns(form, paths)
        kept = " AND ".join(
            f"({quote(name)} IS NULL OR {stands_for(name, _value(name), form.columns[name], form.notation)})"
            for name in wrong
            if name in form.columns
        )
        return f"SELECT {', '.join([*listed, *others])} FROM {_cells(form, paths)} WHERE {kept or 'true'}"

    def _other_columns(self, form: FileFormat, paths: list[str]) -> list[str]:
        """Give the columns that a reader adds to those of the file, such as its name."""
        query = f"DESCRIBE FROM {form.reader(paths[:1])}"
        return [quote(row[0]) for row in self.connection.execute(query).fetchall() if row[0] not in form.columns]

    def _note(self, error: duckdb.Error) -> None:
        """Take note of the column that an error of ours names."""
        _, mark, told = str(error).partition(_MARK)
        if not mark:
            raise error
        number, name = json.JSONDecoder().raw_decode(told)[0]
        relation = self.relations[number]
        if name in relation.wrong:
            raise error
        if not _is_by_row(json.loads(self.source.query.tree)):
            reason = self._first_wrong(relation, name)
            raise FileRefused(
                f"{reason}. The SELECT does not make each of its rows from one of the file's,"
                " so that this row cannot be left out. Correct the file, or declare the column as VARCHAR and cast it"
                " in the SELECT."
            )
        relation.wrong.append(name)

    def _first_wrong(self, relation: _Relation, name: str) -> str:
        for form, paths in relation.groups:
            if name not in form.columns:
                continue
            query = system_sql(
                "ingest/wrong_cells",
                columns=quote(name),
                reason=_reason([name], form),
                cells=_cells(form, paths),
                wrong=_wrong([name], form),
            )
            row = self.connection.execute(f"{query} LIMIT 1").fetchone()
            if row:
                return str(row[-1])
        return f"the column {name} holds what is not of its type"

    def _refuse(self, number: int) -> str:
        """Read the rows with wrong cells by the same SELECT, with NULL in their place."""
        relation = self.relations[number]
        parts = []
        for form, paths in relation.groups:
            wrong = [name for name in relation.wrong if name in form.columns]
            if not wrong:
                continue
            columns = ", ".join(
                f"CASE WHEN {_stands(name, form)} THEN {_value(name)} END AS {quote(name)}"
                if form.is_cast(name)
                else quote(name)
                for name in form.columns
            )
            others = ", ".join(["", *self._other_columns(form, paths)])
            parts.append(
                system_sql(
                    "ingest/wrong_cells",
                    columns=columns + others,
                    reason=_reason(wrong, form),
                    cells=_cells(form, paths),
                    wrong=_wrong(wrong, form),
                )
            )
            self._require_some_right([name for name in wrong if name in form.notation.by_guess], form, paths)
        rows, refused = (quote(f"almanac: {word} {next(_numbers)}") for word in ("wrong", "refused"))
        self.connection.execute(f"CREATE TEMP TABLE {rows} AS {' UNION ALL BY NAME '.join(parts)}")
        without = f'(SELECT * EXCLUDE ("almanac: reason") FROM {rows})'
        text, parameters = self._query([without if n == number else each.name for n, each in enumerate(self.relations)])
        self.connection.execute(f"CREATE TEMP TABLE {refused} AS {text}", parameters or None)
        self._add_reasons(rows, refused)
        return refused

    def _add_reasons(self, rows: str, refused: str) -> None:
        """Put the reasons beside the rows: one for one where none was left out by the SELECT itself."""
        counts = [self.connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in (rows, refused)]
        statement = "ingest/refused_by_place" if counts[0] == counts[1] else "ingest/refused_in_general"
        self.connection.execute(system_sql(statement, refused=refused, rows=rows))

    def _require_some_right(self, wrong: list[str], form: FileFormat, paths: list[str]) -> None:
        """Refuse files in which no cell of a column stands for a value of the type that was found in those before."""
        for name in wrong:
            query = system_sql(
                "ingest/any_right", column=quote(name), stands=_stands(name, form), cells=_cells(form, paths)
            )
            row = self.connection.execute(query).fetchone()
            if row and not row[0]:
                raise FileRefused(
                    f"no cell of the column {name} is a"
                    f" {form.columns[name]}, such as {row[2]!r}; declare its type in the reader's call, or correct the"
                    " file."
                )


def _cells(form: FileFormat, paths: list[str]) -> str:
    """Give SQL of the files' cells, with the value of each as `almanac: NAME`."""
    values = ", ".join(
        f"{cast(name, kind, form.notation)} AS {_value(name)}"
        for name, kind in form.columns.items()
        if form.is_cast(name)
    )
    return f"(SELECT *{', ' + values if values else ''} FROM {form.reader(paths)})"


def _value(name: str) -> str:
    return quote(f"almanac: {name}")


def _stands(name: str, form: FileFormat) -> str:
    return stands_for(name, _value(name), form.columns[name], form.notation)


def _wrong(names: list[str], form: FileFormat) -> str:
    return " OR ".join(f"({quote(name)} IS NOT NULL AND NOT {_stands(name, form)})" for name in names)


def _reason(names: list[str], form: FileFormat) -> str:
    """Give SQL of the reason for which a row is refused."""
    told = [
        f"CASE WHEN {_wrong([name], form)} THEN {literal(f'{name}: the text ')} || chr(39) ||"
        f" left({quote(name)}::VARCHAR, {_SHOWN}) || chr(39) || {literal(f' {NOT_THE_VALUE} {form.columns[name]}')} END"
        for name in names
    ]
    return f"concat_ws('; ', {', '.join(told)})"


def _is_by_row(tree: Mapping[str, Any]) -> bool:
    """Tell whether each row of a query comes from one row of the file, whatever the others are."""
    aggregates = AGGREGATES | ORDERED_AGGREGATES

    def by_row(node: Any) -> bool:
        if isinstance(node, list):
            return all(map(by_row, node))
        if not isinstance(node, dict):
            return True
        kind = str(node.get("type"))
        if kind in ("JOIN", "SET_OPERATION_NODE", "LIMIT_MODIFIER", "DISTINCT_MODIFIER", "SUBQUERY"):
            # A relation in brackets in FROM is by row if it is one in itself; a subquery in an expression is none.
            return kind == "SUBQUERY" and node.get("class") is None and all(map(by_row, node.values()))
        if node.get("class") == "WINDOW" or node.get("group_expressions") or node.get("qualify"):
            return False
        if kind == "FUNCTION" and str(node.get("function_name", "")).lower() in aggregates:
            return False
        return all(map(by_row, node.values()))

    return by_row(tree)


def _grouped(paths: list[str], call: ReaderCall) -> list[list[str]]:
    """Sort files by their first line, where that bears the names of columns."""
    if call.function in JSON_READERS or call.options.get("header", "true").lower() == "false" or len(paths) == 1:
        return [paths]
    groups: dict[bytes, list[str]] = {}
    for path in paths:
        groups.setdefault(_first_line(path), []).append(path)
    return list(groups.values())


def _first_line(pattern: str) -> bytes:
    """Give the beginning of a file up to the end of its first line; of a packed one, what names no other file."""
    path = pattern.replace("[*]", "*").replace("[?]", "?").replace("[[]", "[")
    if path.endswith((".gz", ".zst")):
        return path.encode()
    try:
        with Path(path).open("rb") as stream:
            return stream.readline(1 << 20)
    except OSError:
        return path.encode()
