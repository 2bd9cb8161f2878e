"""Sources of several formats: `deliveries:` in the header, and a SELECT for each in `sql/sources/SOURCE.NAME.sql`.

All of them give the source's columns; what they are like otherwise is told when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from warehouse.definitions.product import PlainHeader
from warehouse.definitions.source import Source, SourceHeader
from warehouse.definitions.sql_file import SqlFile, read_header, read_sql_file
from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import check_query


def is_of_an_entry(path: Path) -> bool:
    """Tell whether a file of `sql/sources` holds the SELECT of one format of a source."""
    return "." in path.stem


def read_entries(name: str, file: SqlFile, header: SourceHeader, root: Path, problems: list[str]) -> list[Source]:
    """Read the SELECT of each format of a source; what is wrong is added to `problems`."""
    if file.statement.strip():
        problems.append(
            f"{file.where}: it names `deliveries`, each with a SELECT of its own, and has a SELECT besides; move it to"
            f" sql/sources/{name}.{(header.deliveries or [])[0].name}.sql."
        )
    found = []
    for entry in header.deliveries or ():
        path = root / f"sql/sources/{name}.{entry.name}.sql"
        if not path.exists():
            problems.append(f"{file.at('deliveries')}: the file sql/sources/{path.name} is missing, with the SELECT.")
            continue
        text = read_sql_file(path, root, problems)
        if text is None or read_header(PlainHeader, text, problems) is None:
            continue
        try:
            query = check_query(text.statement, text.where, tables=(), parameters={"files"}, reads_files=True)
        except QueryRefused as error:
            problems.extend(error.problems)
            continue
        alone = header.model_copy(update={"files": entry.files, "deliveries": None})
        found.append(Source(name, text, alone, query))
    return found


def stray_entries(root: Path, sources: Mapping[str, Source]) -> Iterable[str]:
    """Find files that are named as a format's SELECT, of which no source says so."""
    for path in sorted((root / "sql/sources").glob("[!.]*.sql")):
        if is_of_an_entry(path):
            name, _, entry = path.stem.partition(".")
            source = sources.get(name)
            if source is not None and entry not in {each.name for each in source.header.deliveries or ()}:
                yield (
                    f"sql/sources/{path.name}: `deliveries` of sql/sources/{name}.sql names no `{entry}`. Name it"
                    " there, or remove this."
                )
            elif not (root / f"sql/sources/{name}.sql").exists():
                yield f"sql/sources/{path.name}: there is no sql/sources/{name}.sql whose `deliveries` names `{entry}`."
