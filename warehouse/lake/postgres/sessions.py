"""Sessions on the server of a catalogue, by psycopg: for locks, the fence, and the operational state.

DuckDB's extension draws its connections from a pool, where nobody can tell which of them holds a lock; so these are
sessions of our own. The settings have the server notice within half a minute that a host is gone: it then ends the
session, and with it what that held.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from warehouse.errors import RunFailed, UsageError
from warehouse.lake.postgres.servers import settings_of

if TYPE_CHECKING:
    import psycopg

#: What the server is told at the begin of each connection. With a role that bears the name of a schema, that schema
#: would come before `public`.
OPTIONS = (
    "search_path=public",
    "timezone=UTC",
    "tcp_keepalives_idle=10",
    "tcp_keepalives_interval=5",
    "tcp_keepalives_count=3",
    "tcp_user_timeout=25000",
    "idle_in_transaction_session_timeout=600000",
)


def libpq_settings(server: str, *more: str) -> dict[str, str]:
    """Give libpq's settings for a server, with the options of each connection, and further ones, `NAME=VALUE`."""
    settings = settings_of(server, "the catalogue's URL", "Give the password by PGPASSWORD or a passfile.")
    options = " ".join(f"-c {option}" for option in (*OPTIONS, *more))
    return settings | {"options": f"{settings.get('options', '')} {options}".strip()}


def connect(
    server: str,
    *,
    row_factory: Any = None,
    client_side: bool = False,
    reader: tuple[str, str | None] | None = None,
) -> psycopg.Connection[Any]:
    """Open a session; each statement is a transaction of its own.

    Parameters
    ----------
    server
        The database's URL.
    row_factory
        What makes rows; tuples by default.
    client_side
        Whether values are put into the text of statements by the client, so that the server infers no types.
    reader
        Another role than the URL's, and its password, if that is not found as others are.

    Raises
    ------
    UsageError
        If psycopg is not installed.
    RunFailed
        If the server cannot be reached, or lets nobody in.
    """
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            "a lake with its catalogue in PostgreSQL needs the package psycopg; run: pip install"
            " 'almanac[postgres-lake]'"
        ) from error
    options: dict[str, Any] = {"row_factory": row_factory} if row_factory else {}
    if client_side:
        options["cursor_factory"] = psycopg.ClientCursor
    settings = libpq_settings(server)
    if reader is not None:
        settings |= {"user": reader[0]} | ({} if reader[1] is None else {"password": reader[1]})
    try:
        return psycopg.connect(**settings, autocommit=True, **options)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise RunFailed(f"the catalogue {server} cannot be reached: {one_line(error)}. Nothing was changed.") from error


@contextlib.contextmanager
def session(server: str) -> Iterator[psycopg.Connection[Any]]:
    """Open a session, and end it.

    Raises
    ------
    RunFailed
        If the server cannot be reached, is lost meanwhile, or refuses what it is asked for.
    """
    with contextlib.closing(connect(server)) as connection:
        import psycopg

        try:
            yield connection
        except psycopg.Error as error:
            raise RunFailed(
                f"the catalogue {server} was lost, or refused: {one_line(error)}. Run this again once it answers."
            ) from error


def one_line(error: Exception) -> str:
    """Write an error in one line."""
    return " ".join(str(error).split())[:600]
