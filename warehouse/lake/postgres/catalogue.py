"""A catalogue in PostgreSQL: several hosts share the lake, and the files lie in a directory that all of them see.

DuckLake's tables are in the schema `public` of the database, and what Almanac keeps beside them in the schema
`almanac`. The writer lock is a lock of the server, held by a session, together with a fence that the catalogue checks
at each commit; see `warehouse.lake.postgres.fences`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from warehouse.errors import PublishFailed, RunFailed, UsageError
from warehouse.lake.postgres.addresses import MARKER
from warehouse.lake.postgres.arrivals import noted_lake, require_arrived
from warehouse.lake.postgres.departures import require_not_moved
from warehouse.lake.postgres.fences import Fence, raise_fence
from warehouse.lake.postgres.owners import require_leases
from warehouse.lake.postgres.readers import READER_VARIABLE, as_reader, reader_of
from warehouse.lake.postgres.servers import connection_text
from warehouse.lake.postgres.sessions import libpq_settings, one_line, session
from warehouse.lake.postgres.vacuum import vacuum
from warehouse.system_sql import attach_statement, literal, system_sql
from warehouse.waiting import INGEST_LOCK_TIMEOUT_S, WRITER_LOCK_TIMEOUT_S, wait_s

if TYPE_CHECKING:
    import duckdb
    import psycopg

#: The locks of the server that are ours, each within one database: a number for all of them, and one for each.
LOCKS = 0x416C6D61
WRITER, INGEST, STATE, MAKING = 1, 2, 3, 4
#: Catalogues of which this process knows that they have been made.
_made: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class PostgresCatalogue:
    """A catalogue in a PostgreSQL database: many hosts, many processes.

    Attributes
    ----------
    root
        The lake's directory, which all hosts share.
    server
        The URL of the database, without a password.
    lake
        The lake's id; the database holds the same.
    """

    root: Path
    server: str
    lake: str

    #: DuckDB's extensions that it needs besides DuckLake.
    extensions: ClassVar[Sequence[str]] = ("postgres_scanner",)
    #: Several hosts share it, and a connection to it can break.
    is_shared: ClassVar[bool] = True

    def exists(self) -> bool:
        """Tell whether it has been made.

        Raises
        ------
        UsageError
            If the database holds another lake.
        RunFailed
            If the server cannot be reached, or a lake is being copied to there.
        """
        if (self.server, self.lake) in _made:
            return True
        with session(self.server) as connection:
            noted = noted_lake(connection)
        if noted is None:
            return False
        if noted.lake != self.lake:
            raise UsageError(
                f"the database {self.server} holds another lake than {self.root} has the files of: name the directory"
                " of that one, or another database."
            )
        require_arrived(noted, self.server)
        if noted.copied_by is None:
            _made.add((self.server, self.lake))
        return True

    def is_arriving(self) -> bool:
        """Tell whether this lake is being copied to there, or was by a command that was broken off."""
        with session(self.server) as connection:
            noted = noted_lake(connection)
        return noted is not None and noted.copied_by is not None and noted.lake == self.lake

    def forget_made(self) -> None:
        """Have this process ask again whether it has been made."""
        _made.discard((self.server, self.lake))

    def identity(self) -> Hashable:
        """Give this process, the file that names the catalogue, and the lake's id."""
        return os.getpid(), self.root.absolute() / MARKER, (self.server, self.lake)

    def attach(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        data: str,
        *,
        read_only: bool,
        snapshot_id: int | None,
        fence: Fence | None = None,
        for_authors: bool = False,
    ) -> None:
        """Attach the lake, see `Catalogue.attach`; DuckLake's own calls bear `fence`."""
        more = [f"almanac.fence={fence.number}"] if fence is not None else []
        if read_only:
            # A second line: what reads is refused by the server too when it writes.
            more.append("default_transaction_read_only=on")
        settings = libpq_settings(self.server, *more)
        reader = reader_of(self.server, self.lake) if for_authors else None
        with contextlib.nullcontext(None) if reader is None else as_reader(connection, reader) as secret:
            if secret is not None:
                settings.pop("user", None)
            place = f"ducklake:postgres:{connection_text(settings)}"
            options = [] if secret is None else [secret]
            connection.execute(
                attach_statement(place, name, data, read_only=read_only, snapshot_id=snapshot_id, options=options)
            )

    def doubt(self) -> str | None:
        """Tell where authors' queries read by the lake's own role; see `warehouse.lake.postgres.readers`."""
        if reader_of(self.server, self.lake) is not None:
            return None
        return (
            "authors' queries read by the lake's own role, which may write, and only the sandbox keeps them from it:"
            f" let that role make another (ALTER ROLE ... CREATEROLE), or name one that may only SELECT by"
            f" {READER_VARIABLE}; see docs/catalogues.md"
        )

    def is_of_another_kind(self, error: duckdb.Error) -> bool:
        """Tell by the words that DuckLake has for it."""
        return "catalog version" in str(error).lower()

    def hold(self, instance: duckdb.DuckDBPyConnection) -> None:
        """Hold nothing: nobody waits for who opens it."""
        return

    def prepare(self) -> None:
        """Make what Almanac keeps beside DuckLake's tables, before there are any.

        Raises
        ------
        UsageError
            If there is something else in the database.
        """
        with session(self.server) as connection:
            connection.execute("SELECT pg_advisory_lock(%s, %s)", [LOCKS, MAKING])
            if noted_lake(connection) is None:
                row = connection.execute("SELECT to_regclass('public.ducklake_snapshot') IS NOT NULL").fetchone()
                if row == (True,):
                    query = "SELECT count(*) FROM public.ducklake_snapshot WHERE snapshot_id > 0"
                    if connection.execute(query).fetchone() != (0,):
                        raise UsageError(f"the database {self.server} holds a DuckLake that is not Almanac's.")
            connection.execute(system_sql("catalogue/create"))

    def guard(self) -> None:
        """Put the guard at DuckLake's commits, and note that the catalogue is made."""
        with session(self.server) as connection, connection.transaction():
            for statement in self.guarding():
                connection.execute(statement)

    def guarding(self) -> list[str]:
        """Give what `guard` has the server do, all of it in one transaction."""
        values = f"(1, {literal(self.lake)}, clock_timestamp())"
        note = f"INSERT INTO almanac.lake (id, lake, made_at) VALUES {values} ON CONFLICT DO NOTHING"
        return [system_sql("catalogue/guard"), note]

    @contextlib.contextmanager
    def writer_lock(self, timeout_s: float | None = None) -> Iterator[Fence]:
        """Hold the writer lock, and begin a turn; see `warehouse.lake.postgres.fences`."""
        timeout_s = wait_s(WRITER_LOCK_TIMEOUT_S) if timeout_s is None else timeout_s
        held = PublishFailed(
            f"another process has held the writer lock of {self.server} for {timeout_s:g} s; `SELECT holder, taken_at"
            " FROM almanac.writer` there says which one. Run this again. Nothing was changed."
        )
        with self._lock(WRITER, timeout_s, held) as connection:
            require_leases(connection, self.server)
            require_arrived(noted_lake(connection), self.server)
            require_not_moved(connection, self.server)
            yield Fence(self.server, raise_fence(connection, f"{socket.gethostname()} {os.getpid()}"))

    @contextlib.contextmanager
    def ingest_lock(self, timeout_s: float | None = None) -> Iterator[None]:
        """Hold the lock under which deliveries are taken in, on whichever host."""
        timeout_s = wait_s(INGEST_LOCK_TIMEOUT_S) if timeout_s is None else timeout_s
        held = RunFailed(f"another ingest of this lake has been running for {timeout_s:g} s; try later.")
        with self._lock(INGEST, timeout_s, held):
            yield

    @contextlib.contextmanager
    def _lock(self, which: int, timeout_s: float, held: Exception) -> Iterator[psycopg.Connection[Any]]:
        """Hold a lock of the server by a session of its own; it goes with the session, however that ends."""
        with session(self.server) as connection:
            from psycopg.errors import LockNotAvailable

            try:
                # Zero would be for ever.
                connection.execute(f"SET lock_timeout = {max(1, round(1000 * timeout_s))}")
                connection.execute("SELECT pg_advisory_lock(%s, %s)", [LOCKS, which])
                connection.execute("SET lock_timeout = 0")
            except LockNotAvailable as error:
                raise held from error
            except Exception as error:
                raise RunFailed(f"{self.server} gave no lock: {one_line(error)}. Nothing was changed.") from error
            yield connection

    def vacuum(self) -> None:
        """Write its tables anew, see `warehouse.lake.postgres.vacuum`."""
        vacuum(self.server)

    @property
    def operations(self) -> Path:
        """Give lake/operations.sqlite."""
        return self.root / "operations.sqlite"

    @property
    def owners(self) -> Path:
        """Give lake/owners."""
        return self.root / "owners"
