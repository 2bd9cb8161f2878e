"""What a query gave against the rows that an example expects, in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from jobs.examples.files import Row
from jobs.examples.values import columns_of, insert_rows
from warehouse.errors import DefinitionError
from warehouse.system_sql import quote, quote_all

#: How far two DOUBLEs may lie apart and be one to an author who wrote ten digits.
_RELATIVE = 1e-9
_FLOATING = ("DOUBLE", "FLOAT")


def differences(
    connection: duckdb.DuckDBPyConnection, found: str, expected: Sequence[Row], key: Sequence[str], place: str
) -> list[str]:
    """Compare a relation with the rows that are expected of it, by the columns that those name.

    Parameters
    ----------
    found
        The relation.
    key
        The columns that tell its rows apart. Without any, rows are compared as they are, however often each.

    Raises
    ------
    DefinitionError
        If the example names columns that are not there, or values that are none of their types.
    """
    types = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {found}").fetchall()}
    columns = columns_of(expected)
    if unknown := [name for name in columns if name not in types]:
        raise DefinitionError(
            f"{place}: `expect` names {', '.join(unknown)}; the columns are: {', '.join(types) or 'none'}."
        )
    if incomplete := [row for row in expected if any(name not in row for name in (key or columns))]:
        needed = f"the key ({', '.join(key)})" if key else "the same columns in each row"
        raise DefinitionError(f"{place}: `expect` needs {needed}: {_shown(incomplete[0])} lacks some of it.")
    listed = columns or list(key) or list(types)
    there = _rows(connection, f"SELECT {quote_all(listed)} FROM {found}", listed)
    wanted = _as_stored(connection, expected, {name: types[name] for name in columns}, place)
    if not key:
        return _by_rows(there, wanted)
    return _by_key(there, wanted, key, types)


def _rows(connection: duckdb.DuckDBPyConnection, query: str, columns: Sequence[str]) -> list[Row]:
    return [dict(zip(columns, row, strict=True)) for row in connection.execute(query).fetchall()]


def _as_stored(
    connection: duckdb.DuckDBPyConnection, expected: Sequence[Row], types: Mapping[str, str], place: str
) -> list[Row]:
    """Give rows with their values as DuckDB has them in columns of these types; each keeps the columns it names."""
    if not types:
        return []
    declared = ", ".join(f"{quote(name)} {kind}" for name, kind in types.items())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE expected ({declared})")
    insert_rows(connection, "temp.expected", expected, types, f"{place}: expect")
    stored = _rows(connection, f"SELECT {quote_all(types)} FROM temp.expected ORDER BY rowid", list(types))
    return [{name: got[name] for name in row} for row, got in zip(expected, stored, strict=True)]


def _by_rows(there: Sequence[Row], wanted: Sequence[Row]) -> list[str]:
    found, hoped = (Counter(_shown(row) for row in rows) for rows in (there, wanted))
    missing = [f"{row}: expected, and not there" for row in (hoped - found).elements()]
    return [*missing, *(f"{row}: there, and not expected" for row in (found - hoped).elements())]


def _by_key(there: Sequence[Row], wanted: Sequence[Row], key: Sequence[str], types: Mapping[str, str]) -> list[str]:
    told: list[str] = []
    found: dict[tuple[Any, ...], Row] = {}
    for row in there:
        if (name := _key(row, key)) in found:
            told.append(f"{_shown({column: row[column] for column in key})}: there twice; its key is to be unique")
        found[name] = row
    for row in wanted:
        shown = _shown({column: row[column] for column in key})
        got = found.pop(_key(row, key), None)
        if got is None:
            told.append(f"{shown}: expected, and not there")
            continue
        told += [
            f"{shown}: {name} is {_text(got[name])}, expected {_text(value)}"
            for name, value in row.items()
            if not _is_same(got[name], value, types[name])
        ]
    told += [f"{_shown({column: row[column] for column in key})}: there, and not expected" for row in found.values()]
    return told


def _key(row: Row, key: Sequence[str]) -> tuple[Any, ...]:
    return tuple(_text(row[name]) for name in key)


def _is_same(got: Any, expected: Any, kind: str) -> bool:
    if kind in _FLOATING and got is not None and expected is not None:
        return math.isclose(got, expected, rel_tol=_RELATIVE) or (math.isnan(got) and math.isnan(expected))
    return bool(got == expected)


def _shown(row: Row) -> str:
    return ", ".join(f"{name}={_text(value)}" for name, value in row.items())


def _text(value: Any) -> str:
    return "NULL" if value is None else str(value)
