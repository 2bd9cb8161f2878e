"""An erasure where the catalogue and the operational state are in PostgreSQL: who is at work, texts, and the proof.

What was deleted there is taken out of the server's files by `warehouse.lake.postgres.vacuum`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.erasure.marks import Marks
from jobs.erasure.named_values import named_in
from jobs.suite import Suite
from warehouse.lake.postgres.catalogue import LOCKS, STATE
from warehouse.lake.postgres.owners import living
from warehouse.lake.postgres.sessions import session
from warehouse.lake.postgres.vacuum import SCHEMAS
from warehouse.system_sql import quote, system_sql

#: A lock of a file may not reach from one host to another: a run that began so long ago is taken to be gone.
_LASTS = timedelta(days=1)
#: Bytes, as PostgreSQL writes them in a list of values.
_BYTES = re.compile(r"\\+x([0-9a-f]*)")
_ROWS = 10_000


def at_work_elsewhere(suite: Suite, server: str) -> list[str]:
    """Name what is under way on any host that shares the lake, or may be: for what its locks of files do not show."""
    began = suite.clock() - _LASTS
    staged = [path for path in suite.lake.staging.glob("[!.]*") if path.is_dir()]
    young = [path for path in staged if datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None) > began]
    owners = [f"`{sign.command}` on {sign.host}" for sign in living(server).values()]
    return [*owners, *(f"{path}, unless it was killed: then delete that directory" for path in young)]


def blot_on_server(server: str, marks: Marks) -> None:
    """Take the person's marks out of every text of schema `almanac`; where two rows become the same, one goes."""
    import psycopg

    with session(server) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS, STATE])
        for table, column in connection.execute(system_sql("erasure/texts_on_server")).fetchall():
            place, named = f"almanac.{quote(table)}", quote(column)
            found = connection.execute(_text(f"SELECT DISTINCT {named} FROM {place}")).fetchall()
            for (before,) in found:
                after = marks.blotted(before)
                if after != before:
                    try:
                        with connection.transaction():
                            change = f"UPDATE {place} SET {named} = %s WHERE {named} = %s"
                            connection.execute(_text(change), [after, before])
                    except psycopg.errors.UniqueViolation:
                        connection.execute(_text(f"DELETE FROM {place} WHERE {named} = %s"), [before])


def traces_on_server(server: str, marks: Marks) -> list[str]:
    """Say in which tables of the server the person is still named, or in what it has noted of their values."""
    with session(server) as connection:
        query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2"
        tables = connection.execute(query, [list(SCHEMAS)]).fetchall()
        found = [
            f"the catalogue's database: {schema}.{table}"
            for schema, table in tables
            if any(marks.are_in(text) for text in _rows(connection, f"SELECT * FROM {quote(schema)}.{quote(table)}"))
        ]
        noted = _rows(connection, system_sql("erasure/noted_on_server"))
        if any(marks.are_in(text) for text in noted):
            found.append("the catalogue's database: what the server has noted of values (pg_statistic)")
        return found


def _rows(connection: Any, query: str) -> Iterator[str]:
    """Give rows as texts, each value behind the name of its column, some at a time."""
    with connection.transaction(), connection.cursor(name="rows") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(query)
        names = [column.name for column in cursor.description]
        for row in cursor:
            cells = {name: _as_text(value) for name, value in zip(names, row, strict=True)}
            yield "\n".join([*(f"{name}: {value}" for name, value in cells.items()), *named_in(cells)])


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return _BYTES.sub(lambda found: _from_hex(found[1]), value) if isinstance(value, str) else str(value)


def _from_hex(digits: str) -> str:
    return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("utf-8", errors="replace")


def _text(statement: str) -> Any:
    return statement
