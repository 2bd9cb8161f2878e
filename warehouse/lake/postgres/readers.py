"""The role by which authors' queries read a catalogue in PostgreSQL: it may SELECT there, and nothing else.

The sandbox lets no query ask the server for anything. This is the line behind it: what gets past the sandbox meets a
server that lets it write nothing, whatever it asks. The role is the one that `ALMANAC_LAKE_READER` names. Where that is
not set, the lake's own role makes one if it may, whose password nobody has to keep: it is derived from its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warehouse.errors import RunFailed, UsageError
from warehouse.lake.postgres.sessions import connect, session
from warehouse.system_sql import literal, quote, system_sql

if TYPE_CHECKING:
    import duckdb
    import psycopg

#: The name of a role, and its password where that does not come from a passfile or a service file.
READER_VARIABLE = "ALMANAC_LAKE_READER"
PASSWORD_VARIABLE = "ALMANAC_LAKE_READER_PASSWORD"
#: What DuckDB knows the role by while it attaches the catalogue.
_SECRET = "almanac_reader"
#: One of several processes at a time makes the role; see `warehouse.lake.postgres.catalogue`.
_LOCK = (0x416C6D61, 5)


@dataclass(frozen=True)
class Reader:
    """A role that may only SELECT. `password` None: libpq finds it where it finds others."""

    role: str
    password: str | None

    def __repr__(self) -> str:
        """Show the role only."""
        return f"Reader({self.role!r})"


#: Those that this process has tried, by server, lake and what the environment said; None: there is none.
_known: dict[tuple[str | None, ...], Reader | None] = {}


def reader_of(server: str, lake: str) -> Reader | None:
    """Give the role of a lake that may only SELECT; None if there is none and the lake's own role may not make one.

    Raises
    ------
    UsageError
        If the role that the environment names is not there, may write, or may not read.
    RunFailed
        If the server cannot be reached, or does not let that role in.
    """
    named, password = os.environ.get(READER_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    key = (server, lake, named, password)
    if key not in _known:
        _known[key] = _named_reader(server, named, password) if named else _own_reader(server, lake)
    return _known[key]


@contextlib.contextmanager
def as_reader(connection: duckdb.DuckDBPyConnection, reader: Reader) -> Iterator[str]:
    """Let DuckDB log in as a role, by a secret that is gone at the end; gives the option of ATTACH that names it.

    What it has attached it can connect to again. A password in the text of ATTACH would be in `duckdb_databases()`.
    """
    password = "" if reader.password is None else f", PASSWORD {literal(reader.password)}"
    connection.execute(f"CREATE SECRET {_SECRET} (TYPE postgres, USER {literal(reader.role)}{password})")
    try:
        yield f"META_SECRET {literal(_SECRET)}"
    except BaseException:
        # Another one may do: the role can have gone, or have another password.
        _known.clear()
        raise
    finally:
        connection.execute(f"DROP SECRET {_SECRET}")


def _named_reader(server: str, role: str, password: str | None) -> Reader:
    with session(server) as connection:
        may = _may(connection, role)
    if may is None or may == (False, True):
        raise UsageError(
            f"the role {role} that {READER_VARIABLE} names is not there, or may not read all of DuckLake's tables; as"
            f" the lake's own role run: GRANT USAGE ON SCHEMA public TO {quote(role)}; GRANT SELECT ON ALL TABLES IN"
            f" SCHEMA public TO {quote(role)}; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO"
            f" {quote(role)}."
        )
    if may[0]:
        raise UsageError(
            f"the role {role} that {READER_VARIABLE} names may write in the database, or become a role that does; name"
            " one that may only SELECT (before PostgreSQL 15 everybody may write: REVOKE CREATE ON SCHEMA public FROM"
            " PUBLIC)."
        )
    reader = Reader(role, password)
    _log_in(server, reader)
    return reader


def _own_reader(server: str, lake: str) -> Reader | None:
    with session(server) as connection:
        secret = connection.info.password
        key = hmac.new(secret.encode(), f"almanac reads {lake}".encode(), hashlib.sha256).hexdigest()
        reader = Reader(f"almanac_reader_{lake[:12]}", key if secret else None)
        if _may(connection, reader.role) == (False, False):
            with contextlib.suppress(RunFailed):
                return _log_in(server, reader)
        query = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        if connection.execute(query).fetchone() != (True,):
            return None
        return reader if _made(connection, server, reader) else None


def _made(connection: psycopg.Connection[Any], server: str, reader: Reader) -> bool:
    """Make the role, or mend it; tell whether it can be used then."""
    import psycopg

    # What the server is told is made from the password, and cannot be used in its place.
    verifier = connection.pgconn.encrypt_password(
        (reader.password or "").encode(), reader.role.encode(), b"scram-sha-256"
    )
    fragments = {
        "role": quote(reader.role),
        "role_as_text": literal(reader.role),
        "verifier": literal(verifier.decode()) if reader.password else "NULL",
        "database": quote(connection.info.dbname),
    }
    try:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)
            connection.execute(system_sql("catalogue/reader", **fragments))
        may = _may(connection, reader.role)
        _log_in(server, reader)
    except (psycopg.Error, RunFailed):
        return False
    return may == (False, False)


def _may(connection: psycopg.Connection[Any], role: str) -> tuple[bool, bool] | None:
    """Tell whether a role may write, and whether it lacks something to read; None if there is no such role."""
    row = connection.execute(system_sql("catalogue/reader_may"), [role]).fetchone()
    return None if row is None else (bool(row[0]), bool(row[1]))


def _log_in(server: str, reader: Reader) -> Reader:
    with contextlib.closing(connect(server, reader=(reader.role, reader.password))):
        return reader
