"""A source's SELECT bound over small files made up for it, so that the author's text runs as it stands.

A file of one row, with the columns that a reader declares or that were seen in the real file, is enough for DuckDB
to say what the SELECT yields; without one of the columns, it says whether that breaks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import duckdb
import sqlglot
from sqlglot import exp

from warehouse.definitions import Source
from warehouse.errors import DefinitionError
from warehouse.lake.extensions import load_excel
from warehouse.lineage.files import FileReader, file_reader
from warehouse.queries.bounded_functions import bound_functions
from warehouse.system_sql import literal, quote

#: A value of each type that DuckDB's sniffer takes for that type again; text otherwise.
_VALUES = {
    "BOOLEAN": "true",
    "TINYINT": "1",
    "SMALLINT": "1",
    "INTEGER": "1",
    "BIGINT": "1",
    "FLOAT": "1.5",
    "DOUBLE": "1.5",
    "DATE": "2000-01-02",
    "TIME": "03:04:05",
    "TIMESTAMP": "2000-01-02 03:04:05",
}


def readers_of(source: Source) -> list[FileReader]:
    """Give the file readers in a source's SELECT, in the order in which they stand."""
    query = sqlglot.parse_one(source.query.text, read="duckdb")
    found: dict[str, FileReader] = {}
    for item in query.find_all(exp.Table):
        reader = file_reader(item.this) if isinstance(item.this, exp.Expr) else None
        if reader is not None:
            found.setdefault(reader.files, reader)
    return list(found.values())


def describe(text: str, files: list[str], where: str) -> dict[str, str]:
    """Give the columns and types of a query over files.

    Raises
    ------
    DefinitionError
        With DuckDB's reason, if it does not run.
    """
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if "read_xlsx" in text.lower():
            load_excel(connection)
        # To describe a query is to work out its constants.
        bound_functions(connection)
        try:
            parameters = {"files": files} if "$files" in text else None
            rows = connection.execute(f"DESCRIBE {text}", parameters).fetchall()
        except duckdb.Error as error:
            raise DefinitionError(f"{where}: {str(error).splitlines()[0]}") from error
    return {str(row[0]): str(row[1]) for row in rows}


def describe_over_samples(
    source: Source, columns: Mapping[str, Mapping[str, str]], directory: Path
) -> dict[str, str] | None:
    """Give what a source's SELECT yields over files with these columns; None if no such files can be made up.

    Parameters
    ----------
    columns
        Column names and types of each file, by the reader's first argument.
    directory
        Where the files are put.

    Raises
    ------
    DefinitionError
        With DuckDB's reason, if the SELECT does not run over them.
    """
    header = source.header
    places = {"$files": 0} | {f"$files[{n}]": n - 1 for n in range(1, 1 + len(header.files or []))}
    readers = readers_of(source)
    if not readers or any(reader.files not in places or not columns.get(reader.files) for reader in readers):
        return None
    paths = ["" for _ in range(max(places[reader.files] for reader in readers) + 1)]
    for number, reader in enumerate(readers):
        path = directory / f"sample_{number}.{reader.form}"
        if not _write(path, reader, columns[reader.files]):
            return None
        paths[places[reader.files]] = str(path)
    return describe(source.query.text, paths, source.file.where)


def _write(path: Path, reader: FileReader, columns: Mapping[str, str]) -> bool:
    values = {name: _VALUES.get(kind.partition("(")[0].upper(), "text") for name, kind in columns.items()}
    if reader.form == "xlsx":
        return False
    if reader.form == "parquet":
        listed = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in columns.items())
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"COPY (SELECT {listed}) TO {literal(str(path))} (FORMAT parquet)")
    elif reader.form == "json":
        path.write_text(json.dumps(values) + "\n", encoding="utf-8")
    elif reader.has_header or reader.declares_all:
        rows = [[*values.keys()], [*values.values()]] if reader.has_header else [[*values.values()]]
        lines = [reader.separator.join(row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        return False
    return True
