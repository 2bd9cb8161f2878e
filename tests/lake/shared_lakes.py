"""A small lake with its catalogue in PostgreSQL, and processes that replace its pages, to be killed."""

from __future__ import annotations

import contextlib
import faulthandler
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import pytest

from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite, open_suite
from tests.command_line import almanac
from tests.conftest import NOW, clock_at
from tests.page_makers import CONTEXT, kill, process_of  # forked off a process that has imported all of it
from tests.postgres_server import PASSWORD, Server
from warehouse.errors import AlmanacError
from warehouse.lake.lake import Commit, Lake
from warehouse.lake.postgres.addresses import Address, mark

#: So many rows are a page's.
ROWS = 20


@contextlib.contextmanager
def password() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        yield


def new_database(server: Server, name: str) -> str:
    with server.connect() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    return server.url(name)


def moved(server: Server, name: str, made: Path, place: Path) -> Suite:
    """Copy a suite that was made, and move its lake to a database of that name."""
    root = place / "shop"
    shutil.copytree(made, root)
    with contextlib.closing(TickStore.open(root / "lake")) as store, store.writing():
        store.note_fact("noted", "before")
    done = almanac(root, "move-lake", f"{new_database(server, name)}?data={place / 'data of all'}", "--json")
    assert done.returncode == 0, done.stderr
    return open_suite(root, clock_at(NOW))


def new_lake(server: Server, name: str, directory: Path) -> Lake:
    """Make a lake with a table of pages, and one that says who wrote which at which snapshot."""
    mark(Address(new_database(server, name), directory))
    lake = Lake(directory)
    lake.create(NOW, "tests")
    with lake.commit("tables") as commit:
        commit.execute("CREATE TABLE sources.pages (page INTEGER, writer VARCHAR, r BIGINT)")
        commit.execute("CREATE TABLE sources.told (page INTEGER, writer VARCHAR, snapshot BIGINT)")
    return lake


def staged(lake: Lake, page: int, writer: str) -> Path:
    file = lake.staging / f"{uuid.uuid4().hex}.parquet"
    query = f"SELECT {page}::INTEGER AS page, '{writer}' AS writer, r FROM range({ROWS}) rows(r)"
    duckdb.sql(f"COPY ({query}) TO '{file}'")
    return file


def put(commit: Commit, page: int, writer: str, file: Path) -> None:
    """Replace a page, as publishing does."""
    commit.execute("DELETE FROM sources.pages WHERE page = $1", [page])
    commit.add_file("sources", "pages", file)
    commit.execute("DELETE FROM sources.told WHERE page = $1", [page])
    commit.execute("INSERT INTO sources.told VALUES ($1, $2, $3)", [page, writer, commit.snapshot_id])


def replace(lake: Lake, page: int, writer: str, *, ahead: bool = False) -> None:
    file = staged(lake, page, writer)
    with lake.commit(f"{page} by {writer}", [("sources", "pages", file)] if ahead else ()) as commit:
        put(commit, page, writer, file)


def check_pages(lake: Lake) -> dict[int, str]:
    """See that each page is whole and one writer's, and told as such with its snapshot; give the writers."""
    with lake.reading() as connection:
        counts = "count(*), count(DISTINCT r), count(DISTINCT writer), min(writer)"
        pages = connection.execute(f"SELECT page, {counts} FROM sources.pages GROUP BY page").fetchall()
        told = connection.execute("SELECT page, writer, snapshot FROM sources.told").fetchall()
        query = "SELECT snapshot_id, commit_message FROM ducklake_snapshots('lake')"
        made = dict(connection.execute(query).fetchall())
    assert [row for row in pages if row[1:4] != (ROWS, ROWS, 1)] == []
    assert {page: writer for page, writer, _ in told} == {row[0]: row[4] for row in pages}
    assert len(told) == len(pages)
    assert [row for row in told if made[row[2]] != f"{row[0]} by {row[1]}"] == []
    return {row[0]: row[4] for row in pages}


class Writer:
    """A process that replaces pages of a lake, and tells of each that was committed."""

    def __init__(self, lake: Lake, writer: str, pages: list[int], *, again: bool = False, ahead: bool = False) -> None:
        self._begins = (lake.root, writer, pages, again, ahead)
        self.committed: list[int] = []
        self._start()

    def _start(self) -> None:
        self._line, theirs = CONTEXT.Pipe()
        self.process = process_of(_write, theirs, *self._begins)
        self.process.start()
        theirs.close()

    def wait_for(self, count: int) -> None:
        """Wait until it has told of so many pages in all; one that DuckDB took down with its server begins anew."""
        while len(self.committed) < count:
            try:
                self.committed.append(self._line.recv())
            except EOFError:
                self.process.join()
                assert self.process.exitcode == -signal.SIGABRT
                self._start()

    def kill(self) -> None:
        kill(self.process)
        self.read_on()

    def read_on(self) -> None:
        """Read all that it still tells, to its end."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                self.committed.append(self._line.recv())


def _write(line: Connection, root: Path, writer: str, pages: list[int], again: bool, ahead: bool) -> None:
    faulthandler.dump_traceback_later(300, exit=True)
    lake = Lake(root)
    while True:
        for page in pages:
            while True:
                try:
                    replace(lake, page, f"{writer}-{uuid.uuid4().hex[:4]}", ahead=ahead)
                    break
                except AlmanacError:  # the server is away
                    if not again:
                        raise
                    time.sleep(0.05)
            line.send(page)
        if not again:
            return
