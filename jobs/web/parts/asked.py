"""Questions to the lake, and the same questions as SQL that somebody can ask again.

What a page shows is the answer to a file under `sql/system/`; the text beside it is that file with the values that were
bound put in, so that `almanac query` gives the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from warehouse.system_sql import literal, system_sql

_PARAMETER = re.compile(r"\$(\d+)(::\w+)?")


@dataclass(frozen=True)
class Asked:
    """The rows of an answer, and the SQL that was asked."""

    names: list[str]
    rows: list[tuple[Any, ...]]
    sql: str

    def dicts(self) -> list[dict[str, Any]]:
        """Give the rows by the names of their columns."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


def ask(
    connection: duckdb.DuckDBPyConnection, name: str, values: Sequence[str | int | datetime | None] = (), **parts: str
) -> Asked:
    """Ask the lake a question of `sql/system/NAME.sql`; `parts` fill its placeholders."""
    text = system_sql(name, **parts)
    cursor = connection.execute(text, list(values))
    names = [str(column[0]) for column in cursor.description]
    return Asked(names, cursor.fetchall(), with_values(text, values))


def with_values(text: str, values: Sequence[str | int | datetime | None]) -> str:
    """Put values in the place of `$1`, `$2`, ... of a text of SQL."""
    return _PARAMETER.sub(lambda found: f"{_written(values[int(found[1]) - 1])}{found[2] or ''}", text).strip()


def _written(value: str | int | datetime | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value}'"
    return literal(value) if isinstance(value, str) else str(value)
