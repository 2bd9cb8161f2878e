"""How a PostgreSQL server is reached, by an environment variable that says where, and never with a password in it.

The password comes from where libpq looks for it (PGPASSWORD, a passfile, a service file), or from the variable of the
same name with `_PASSWORD` behind it, which is handed to libpq by a passfile that only this user can read. Whatever
stands in the text by which DuckDB attaches a database is in its errors and in `duckdb_databases()`; the place of a
passfile may be.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb

from warehouse.errors import UsageError
from warehouse.lake.extensions import load_postgres
from warehouse.lake.postgres.servers import connection_text, names_postgres, settings_of
from warehouse.system_sql import literal, quote, system_sql


def connection_settings(variable: str, where: str) -> dict[str, str]:
    """Read where a server is from a variable, `postgresql://USER@HOST:PORT/DATABASE?SETTING=VALUE`.

    Raises
    ------
    UsageError
        If it is not set, is no such URL, or holds a password. What it is instead is not shown.
    """
    value = os.environ.get(variable, "")
    advice = (
        f"Put the password into {variable}_PASSWORD, PGPASSWORD, a passfile (~/.pgpass) or a service file"
        f" (postgresql://?service=NAME), and leave it out of {variable}."
    )
    if not names_postgres(value) or "://" not in value:
        raise UsageError(
            f"{where}: the environment variable {variable} has to be set, to postgresql://USER@HOST:PORT/DATABASE."
            f" {advice}"
        )
    return settings_of(value, f"{where}: {variable}", advice)


def attach_postgres(
    connection: duckdb.DuckDBPyConnection, variable: str, where: str, alias: str, *, read_only: bool
) -> contextlib.AbstractContextManager[None]:
    """Attach the database that a variable names, for as long as the context lasts.

    Parameters
    ----------
    where
        What is told of where the variable is named.
    alias
        What the database is called in DuckDB.
    read_only
        Whether nothing may be written.

    Raises
    ------
    UsageError
        If the variable cannot be used, or the extension is not installed.
    duckdb.Error
        If the server cannot be reached, or lets nobody in.
    """
    return _attached(connection, variable, where, alias, "READ_ONLY" if read_only else "READ_WRITE")


@contextlib.contextmanager
def _attached(
    connection: duckdb.DuckDBPyConnection, variable: str, where: str, alias: str, mode: str
) -> Iterator[None]:
    settings = connection_settings(variable, where)
    load_postgres(connection)
    with _passfile(variable, where) as passfile:
        settings |= {"passfile": str(passfile)} if passfile else {}
        text = connection_text(settings)
        connection.execute(system_sql("databases/attach_postgres", place=literal(text), alias=quote(alias), mode=mode))
        try:
            yield
        finally:
            # A connection that broke cannot be taken leave of, and need not be.
            with contextlib.suppress(duckdb.Error):
                connection.execute(f"DETACH {quote(alias)}")


@contextlib.contextmanager
def _passfile(variable: str, where: str) -> Iterator[Path | None]:
    """Write the password of a variable to a file that only this user can read, for as long as it is needed."""
    name = f"{variable}_PASSWORD"
    secret = os.environ.get(name)
    if secret is None:
        yield None
        return
    if os.environ.get("PGPASSWORD", secret) != secret:
        raise UsageError(
            f"{where}: both {name} and PGPASSWORD are set, and PostgreSQL would take the latter. Unset one."
        )
    if not secret or "\n" in secret:
        raise UsageError(f"{where}: {name} is empty or of several lines. Set it to the password, or unset it.")
    with tempfile.TemporaryDirectory(prefix="almanac-") as directory:
        path = Path(directory) / "passfile"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write("*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", secret) + "\n")
        yield path


def short_error(error: duckdb.Error) -> str:
    """Give what the server said: an error without DuckDB's words around it, and without the text of the connection."""
    text = str(error)
    found = re.search(r"(?:FATAL|ERROR|PANIC):\s+(.+)", text, re.DOTALL)
    if found is not None:
        text = re.split(r"\n(?:LINE \d|QUERY:|CONTEXT:)", found[1])[0]
    return " ".join(re.sub(r'"[^"\n]*passfile=[^"\n]*"', "the server", text).split())[:600]
