"""Values as YAML has them, made into columns of a type, or refused where YAML may have read another value."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeGuard

import duckdb

from jobs.examples.files import Row
from warehouse.errors import DefinitionError
from warehouse.system_sql import quote

#: What each type of YAML is, where nothing else tells a column's type.
_TYPES: Mapping[type, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
    datetime: "TIMESTAMP",
    date: "DATE",
}
_WIDER = ({int, float}, {date, datetime})


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Give the columns that rows have between them, in the order in which they come up."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def types_of(rows: Sequence[Row], known: Mapping[str, str], place: str, table: str) -> dict[str, str]:
    """Give the columns of rows with their types: those that are known, and else those of the values.

    Raises
    ------
    DefinitionError
        If neither tells a column's type.
    """
    found = {}
    for name in columns_of(rows):
        kind = known.get(name) or _type_of([row.get(name) for row in rows])
        if kind is None:
            raise DefinitionError(
                f"{place}: the type of {table}.{name} cannot be told from its values; add it at the top of the file,"
                f" as `types: {{{table}: {{{name}: VARCHAR}}}}`."
            )
        found[name] = kind
    return found


def _type_of(values: Sequence[Any]) -> str | None:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1:
        return _TYPES.get(kinds.pop())
    return next((_TYPES[float if float in wide else datetime] for wide in _WIDER if kinds == wide), None)


def insert_rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row], types: Mapping[str, str], place: str
) -> None:
    """Add rows to a table whose first columns are those of `types`; what a row lacks is NULL.

    Raises
    ------
    DefinitionError
        If a value is none of its column's type.
    """
    casts = ", ".join(f"CAST(${n} AS {kind})" for n, kind in enumerate(types.values(), start=1))
    listed = ", ".join(map(quote, types))
    for row in rows:
        values = [row.get(name) for name in types]
        for (name, kind), value in zip(types.items(), values, strict=True):
            _refuse_unquoted(name, kind, value, place)
        with told(f"{place}: the row {row}"):
            got = connection.execute(f"INSERT INTO {table} ({listed}) VALUES ({casts}) RETURNING {listed}", values)
        for name, value, stored in zip(types, values, got.fetchone() or (), strict=True):
            if _is_number(value) and _is_number(stored) and types[name] != "FLOAT" and float(stored) != float(value):
                raise DefinitionError(f"{place}: {name} is {value}, which {types[name]} holds as {stored}.")


def _is_number(value: Any) -> TypeGuard[int | float | Decimal]:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and value == value


def _refuse_unquoted(name: str, kind: str, value: Any, place: str) -> None:
    """Refuse what YAML did not read as text where a text is wanted: 007 is a number to it, and no is a word."""
    if kind == "VARCHAR" and value is not None and not isinstance(value, str):
        raise DefinitionError(f"{place}: {name} is a text, and {value} is none to YAML; put it in quotes.")


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """Turn what DuckDB says of an example into a mistake of its file, at `place`, in one line."""
    try:
        yield
    except duckdb.Error as error:
        raise DefinitionError(f"{place}: {str(error).splitlines()[0]}") from error
