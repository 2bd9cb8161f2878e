"""Columns of a file that bear one name, but for capital and small letters, whatever its format.

DuckDB 1.5 calls the second `NAME_1`, and a SELECT that names `NAME` silently reads the first. Nobody can tell
which of them is meant, so such a file is refused unless the SELECT reads the others too. Of objects of JSON it cannot:
by `NAME_1` DuckDB looks for a key of that name. SQLite and DuckDB allow no such columns; those of PostgreSQL, and such
keys below the first level of JSON, DuckDB refuses by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from jobs.facts.csv_files.calls import EXCEL_READERS, ReaderCall, calls_of
from warehouse.errors import FileRefused
from warehouse.system_sql import exact_path, literal, quote, system_sql

_NUMBERED = re.compile(r"(.+)_\d+", re.DOTALL)
_ANY_NUMBERED = re.compile(r"_\d")
#: Options that bear on which keys an object of JSON has, and on where the names stand in a sheet.
_OF_JSON = ("format", "compression", "ignore_errors", "maximum_object_size")
_OF_SHEETS = ("sheet", "range", "stop_at_empty")
_ALL_COLUMNS = re.compile(r"(\bselect\s|,|\.)\s*\*|\bcolumns\s*\(|^\s*from\b", re.IGNORECASE)


def twins_in(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], options: Mapping[str, str], path: str
) -> dict[str, list[str]]:
    """Find columns that a file calls by one name, in capital or small letters.

    Parameters
    ----------
    connection
        Where DuckDB looks at the file.
    names
        The columns as DuckDB calls them.
    options
        The options of a reader of the file's text.
    path
        The file, as a pattern.

    Returns
    -------
    dict[str, list[str]]
        What DuckDB calls the later ones, by what it calls the first.
    """
    if not _may_be_twins(names) or options["header"] != "true":
        return {}
    columns = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names) + "}"
    given = "".join(f", {name} = {value}" for name, value in {**options, "header": "false"}.items())
    listed = ", ".join(map(quote, names))
    reader = f"read_csv({literal(path)}, auto_detect = false, columns = {columns}{given})"
    row = connection.execute(f"SELECT {listed} FROM {reader} LIMIT 1").fetchone() or ()
    return _alike(row, names)


def refuse_keys_of_json(
    connection: duckdb.DuckDBPyConnection, call: ReaderCall, paths: Sequence[str], names: Sequence[str], text: str
) -> None:
    """Refuse JSON whose objects write a key in two ways, or otherwise than the call declares it, if it is read.

    Parameters
    ----------
    connection, call
        Where DuckDB looks at the files, and the reader's call.
    paths
        The files, as patterns.
    names
        The columns as DuckDB calls them, or as the call declares them.
    text
        The SELECT without its calls of readers.

    Raises
    ------
    FileRefused
        With what to do.
    """
    is_declared = "columns" in call.options
    if not is_declared and not _may_be_twins(names):
        return
    given = "".join(f", {name} = {call.options[name]}" for name in _OF_JSON if name in call.options)
    if "ndjson" in call.function and "format" not in call.options:
        given += ", format = 'newline_delimited'"
    listed = "[" + ", ".join(map(literal, paths)) + "]"
    rows = connection.execute(system_sql("ingest/keys_of_json", files=listed, options=given)).fetchall()
    ways: dict[str, set[str]] = {}
    for (key,) in rows:
        ways.setdefault(key.lower(), set()).add(key)
    for name in names:
        found = ways.get(name.lower(), set()) | ({name} if is_declared and name.lower() in ways else set())
        if len(found) > 1 and (_names(text, name) or _ALL_COLUMNS.search(text)):
            listed = " and ".join(f"`{way}`" for way in sorted(found))
            declared = f"; `{name}` is what `columns` of the SELECT declares" if is_declared else ""
            raise FileRefused(
                f"the key of one column is written {listed}, and DuckDB would read one of them and NULL for the"
                f" other{declared}; write it in one way in all objects"
            )


def refuse_twins_in(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], text: str) -> None:
    """Refuse Parquet files and sheets of Excel with columns of one name of which the SELECT reads the first alone.

    Parameters
    ----------
    connection
        Where DuckDB looks at the files.
    paths
        The files that the SELECT reads.
    text
        The SELECT.

    Raises
    ------
    FileRefused
        With what to do.
    """
    for path in paths:
        with path.open("rb") as stream:
            is_parquet = stream.read(4) == b"PAR1"
        if is_parquet:
            described = connection.execute("DESCRIBE FROM read_parquet($1)", [exact_path(path)]).fetchall()
            if any(_ANY_NUMBERED.search(f"{row[0]} {row[1]}") for row in described):
                refuse_twins(text, _alike(_written_in_parquet(path), [str(row[0]) for row in described]))
    for call in calls_of(text, EXCEL_READERS):
        given = {"files": [exact_path(path) for path in paths]} if "$files" in call.files else None
        options = "".join(f", {name} = {value}" for name, value in call.options.items())
        described = connection.execute(f"DESCRIBE FROM read_xlsx({call.files}{options})", given).fetchall()
        names = [str(row[0]) for row in described]
        if _may_be_twins(names):
            place = "".join(f", {name} = {call.options[name]}" for name in _OF_SHEETS if name in call.options)
            cells = f"FROM read_xlsx({call.files}, header = false, all_varchar = true{place}) LIMIT 1"
            refuse_twins(text, _alike(connection.execute(cells, given).fetchone() or (), names))


def _written_in_parquet(path: Path) -> list[str]:
    """Give the names of a Parquet file's columns as they are written, if those of the fields inside each differ."""
    from pyarrow import parquet, types

    def look_inside(column: str, kind: Any) -> None:
        inside = [kind.field(number) for number in range(kind.num_fields)]
        names = [field.name.lower() for field in inside]
        if types.is_struct(kind) and len({*names}) < len(names):
            raise FileRefused(
                f"inside its column `{column}` several fields bear one name ({', '.join(f.name for f in inside)}), and"
                " DuckDB would read the first for each; correct the file"
            )
        for field in inside:
            look_inside(column, field.type)

    schema = parquet.read_schema(path)
    for column in schema:
        look_inside(column.name, column.type)
    return list(schema.names)


def _may_be_twins(names: Sequence[str]) -> bool:
    """Tell whether DuckDB may have given a column its name because another one has its own."""
    there = {name.lower() for name in names}
    return any((found := _NUMBERED.fullmatch(name)) and found[1].lower() in there for name in names)


def _alike(written: Sequence[object], names: Sequence[str]) -> dict[str, list[str]]:
    """Give what DuckDB calls the later columns of one written name, by what it calls the first."""
    by_name: dict[str, list[str]] = {}
    for text, name in zip(written, names, strict=False):
        by_name.setdefault(str(text).lower(), []).append(name)
    return {first: later for first, *later in by_name.values() if later}


def refuse_twins(text: str, twins: Mapping[str, Sequence[str]]) -> None:
    """Refuse a file of whose columns of one name the SELECT reads the first and not the others.

    Parameters
    ----------
    text
        The SELECT without its calls of readers.
    twins
        What `twins_in` found.

    Raises
    ------
    FileRefused
        With what to do.
    """
    for first, later in twins.items():
        unread = [name for name in later if not _names(text, name)]
        if unread and _names(text, first) and not _ALL_COLUMNS.search(text):
            raise FileRefused(
                f"it has {len(later) + 1} columns called `{first}`, and which of them is meant cannot be told;"
                f" correct the file, or name the others in the SELECT as DuckDB does ({', '.join(later)})"
            )


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None
