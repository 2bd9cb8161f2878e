"""A catalogue's tables written anew by the server, so that nothing that was deleted is left in their files.

`VACUUM FULL` leaves what an open transaction may still look at, and says nothing of it: so all that were begun before
have to end first. What the server noted of the values of columns goes too: `ANALYZE` replaces it where a table has
rows, and where it has none, giving a column the type that it has lets the server forget it. The server's log of
changes (WAL), its replicas and backups of it are not ours to reach.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from warehouse.errors import RunFailed, UsageError
from warehouse.lake.postgres.sessions import session
from warehouse.system_sql import quote, system_sql
from warehouse.waiting import wait_s

if TYPE_CHECKING:
    import psycopg

#: The schemas that are ours.
SCHEMAS = ("public", "almanac")
_WAIT_S = 30.0
_BETWEEN_S = 0.2


def require_may_vacuum(server: str) -> None:
    """See that the lake's role may write all of it anew.

    Raises
    ------
    UsageError
        If it may not.
    """
    with session(server) as connection:
        row = connection.execute(system_sql("catalogue/may_vacuum")).fetchone()
        if row != (True,):
            raise UsageError(
                f"the lake's role at {server} has to own the database and its tables, so that it can write them anew"
                " (VACUUM FULL, ANALYZE): ALTER DATABASE ... OWNER TO it, or have its owner run this. Nothing was"
                " changed."
            )


def vacuum(server: str) -> None:
    """Write all tables anew, and what the server noted of their values. The caller has nothing of it open.

    Raises
    ------
    RunFailed
        If others have transactions open and do not end them, or the server refuses.
    """
    with session(server) as connection:
        connection.execute(f"SET lock_timeout = {max(1, round(1000 * wait_s(_WAIT_S)))}")
        for schema, table, columns in _without_rows(connection):
            changes = [f"ALTER COLUMN {quote(name)} TYPE {kind}" for name, kind in columns]
            connection.execute(_text(f"ALTER TABLE {quote(schema)}.{quote(table)} {', '.join(changes)}"))
        _wait_for_others(connection, server)
        query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2"
        for schema, table in connection.execute(query, [list(SCHEMAS)]).fetchall():
            connection.execute(_text(f"VACUUM (FULL, ANALYZE) {quote(schema)}.{quote(table)}"))
        # What was noted before is dead now, in a table of the server's own.
        _wait_for_others(connection, server)
        connection.execute("VACUUM FULL pg_catalog.pg_statistic")
        _checkpoint(connection)


def _without_rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Give the tables without rows of which the server has noted values, with those columns and their types."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for schema, table, column, kind in connection.execute(system_sql("catalogue/noted_columns")).fetchall():
        found.setdefault((schema, table), []).append((column, kind))
    for (schema, table), columns in found.items():
        there = connection.execute(_text(f"SELECT 1 FROM {quote(schema)}.{quote(table)} LIMIT 1")).fetchone()
        if there is None:
            yield schema, table, columns


def _wait_for_others(connection: psycopg.Connection[Any], server: str) -> None:
    """Wait until every transaction has ended that was open when this was called, and could see what was deleted."""
    query = system_sql("catalogue/open_transactions")
    first = dict(connection.execute(query).fetchall())
    until = time.monotonic() + wait_s(_WAIT_S)
    while left := {name: who for name, who in connection.execute(query).fetchall() if name in first}:
        if time.monotonic() > until:
            raise RunFailed(
                f"{next(iter(left.values()))} may still see what was deleted in {server}, and the server keeps it for"
                " that: let it end, or end it, and run this again."
            )
        time.sleep(_BETWEEN_S)


def _checkpoint(connection: psycopg.Connection[Any]) -> None:
    """Have the server remove the files of before at once; it does so by itself within minutes."""
    import psycopg

    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute("CHECKPOINT")


def _text(statement: str) -> Any:
    return statement
