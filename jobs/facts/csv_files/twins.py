"""Columns of a CSV file that bear one name.

DuckDB 1.5 calls the second `NAME_1`, and a SELECT that names `NAME` reads the first without a word. Nobody can tell
which of them is meant, so such a file is refused unless the SELECT reads the others too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import duckdb

from warehouse.errors import FileRefused
from warehouse.system_sql import literal, quote

_NUMBERED = re.compile(r"(.+)_\d+", re.DOTALL)
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
    there = {name.lower() for name in names}
    if not any((found := _NUMBERED.fullmatch(name)) and found[1].lower() in there for name in names):
        return {}
    if options["header"] != "true":
        return {}
    columns = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names) + "}"
    given = "".join(f", {name} = {value}" for name, value in {**options, "header": "false"}.items())
    listed = ", ".join(map(quote, names))
    reader = f"read_csv({literal(path)}, auto_detect = false, columns = {columns}{given})"
    row = connection.execute(f"SELECT {listed} FROM {reader} LIMIT 1").fetchone() or ()
    by_name: dict[str, list[str]] = {}
    for written, name in zip(row, names, strict=False):
        by_name.setdefault(str(written).lower(), []).append(name)
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
