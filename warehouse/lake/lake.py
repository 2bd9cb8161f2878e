"""The lake: DuckLake under a suite's `lake/` directory, or where it says, and the one way to write to it.

Where its files lie, a directory or a bucket, `warehouse.lake.storage` knows. In its directory on this host are

    lake/catalogue.sqlite   DuckLake's catalogue, unless it is in PostgreSQL; see `warehouse.lake.catalogues`
    lake/data/              committed Parquet
    lake/staging/           rows on their way, one directory a run
    lake/artifacts/         models
    lake/writer.lock        held while a commit is made, for milliseconds

Writers compute and stage outside any transaction, then take the lock, begin, write and commit: on a SQLite
catalogue a commit makes every older open transaction fail at its own. Readers wait for no writer.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse.errors import AlmanacError, NotFoundError, PublishFailed, UsageError
from warehouse.lake.catalogues import CATALOGUE, Catalogue, catalogue_of
from warehouse.lake.connections import First, Instances, end_transaction, nothing_written_yet, reads_only
from warehouse.lake.extensions import open_instance
from warehouse.lake.migrations import migrate, newest_format
from warehouse.lake.new_lakes import NewLake, make_catalogue
from warehouse.lake.postgres.addresses import root_of_lake
from warehouse.lake.postgres.fences import Fence, end_commit
from warehouse.lake.questions import answers, format_and_suite, lost, why_not_opened
from warehouse.lake.questions import check_format as check_format
from warehouse.lake.questions import newest_snapshot as newest_snapshot
from warehouse.lake.questions import one_transaction as one_transaction
from warehouse.lake.questions import table_columns as table_columns
from warehouse.lake.questions import use_all_cores as use_all_cores
from warehouse.lake.staged_files import require_columns
from warehouse.lake.storage.choice import require_directory, storage_of
from warehouse.lake.storage.out_of_reach import is_out_of_reach, out_of_reach
from warehouse.lake.storage.storage import Sent, Storage, Turn
from warehouse.queries.wrong_answers import switch_off_wrong_optimizers
from warehouse.system_sql import exact_path, quote


@dataclass(frozen=True)
class Lake:
    """One lake. Hold it freely: it keeps no connection open.

    Of a scratch lake `linked` is the lake that it was made of, whose data files it reads.
    """

    root: Path
    linked: Lake | None = None

    @property
    def catalogue(self) -> Catalogue:
        """DuckLake's catalogue, with the locks and the state beside it."""
        return catalogue_of(self.root)

    @property
    def storage(self) -> Storage:
        """Where its files lie: a directory, or a bucket."""
        return storage_of(self.root, None if self.linked is None else self.linked.storage)

    @property
    def data(self) -> Path:
        """The directory of committed Parquet files; who has a use for it refuses lakes in a bucket first."""
        require_directory(self.root, "what needs the lake's files as files of this host", "")
        return self.root / "data"

    @property
    def staging(self) -> Path:
        """Where runs put rows that are not committed yet."""
        return self.root / "staging"

    @property
    def artifacts(self) -> Path:
        """Where models lie, by product and version."""
        return self.root / "artifacts"

    def exists(self) -> bool:
        """Tell whether the lake has been made."""
        return self.catalogue.exists()

    def connect(
        self,
        *,
        read_only: bool = True,
        snapshot_id: int | None = None,
        first: First | None = None,
        name: str = "lake",
        fence: Fence | None = None,
        for_authors: bool = False,
    ) -> duckdb.DuckDBPyConnection:
        """Open a database instance of its own with this lake attached, as `name`, and in use.

        It works on one core: so it is attached in half the time, and answers questions to the catalogue and the
        ledger in half the time. For what reads many rows, see `use_all_cores`.

        Parameters
        ----------
        read_only
            Refuse writes. Only `commit` opens one for writing.
        snapshot_id
            Show the lake as of this snapshot, whatever is committed meanwhile.
        first
            Is handed the instance before the lake is attached.
        fence, for_authors
            See `Catalogue.attach`.

        Raises
        ------
        NotFoundError
            If there is no lake, or no such snapshot.
        LakeFormatError
            If the catalogue is not one that this DuckLake can read.
        """
        if not self.exists():
            raise NotFoundError(f"there is no lake in {self.root.parent}; run `almanac ingest` to make and fill it.")
        connection = self._instance()
        connection.execute("SET threads = 1")
        try:
            if first is not None:
                first(connection)
            self.catalogue.attach(
                connection,
                name,
                self.storage.data,
                read_only=read_only,
                snapshot_id=snapshot_id,
                fence=fence,
                for_authors=for_authors,
            )
            connection.execute(f"USE {quote(name)}")
        except duckdb.Error as error:
            connection.close()
            raise why_not_opened(self.root, self.catalogue, error, snapshot_id) from error
        return connection

    def _instance(self) -> duckdb.DuckDBPyConnection:
        storage = self.storage
        connection = open_instance((*self.catalogue.extensions, *storage.extensions))
        storage.make_ready(connection)
        return connection

    def open(self, *, hold: bool = False, writing: bool = False) -> None:
        """Open the instance that this process keeps, if there is a lake and it is not open yet.

        `hold` it where the process ends soon: see `warehouse.lake.connections`. `writing`: one that commits too.
        """
        if self.exists():
            _kept_instance(self, read_only=not writing, hold=hold)

    def close(self) -> None:
        """Close what this process keeps open of the lake; it is opened again by whoever asks for it."""
        _instances.close(self.catalogue)

    def newest_snapshot(self) -> int:
        """Give the id of the newest committed state."""
        with self.reading() as connection:
            return newest_snapshot(connection)

    @contextlib.contextmanager
    def reading(
        self, snapshot_id: int | None = None, *, all_cores: bool = False, follow: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the lake for reading, after a look at its format, and close it at the end.

        Without a snapshot it is shown as of the first statement, in one transaction, or, with `follow`, each statement
        sees the newest commit. What is given then, unless `all_cores` are to answer, is a cursor on one instance that
        the process keeps: attaching a lake and reading its catalogue takes ten times as long as a question.
        """
        instance = _kept_instance(self, read_only=True) if snapshot_id is None and not all_cores else None
        connection = instance.cursor() if instance else self.connect(snapshot_id=snapshot_id)
        with _instances.read(instance, follow=follow):
            try:
                if instance:
                    if not follow:
                        connection.execute("BEGIN TRANSACTION READ ONLY")
                    connection.execute("USE lake")
                    reads_only(connection, self.catalogue, one_state=not follow)
                else:
                    check_format(connection, self.root)
                    if snapshot_id is not None:
                        switch_off_wrong_optimizers(connection, reads_the_past=True)
                    use_all_cores(connection)
                yield connection
            except duckdb.Error as error:
                if self.catalogue.is_shared and not answers(connection):
                    raise lost(self.root, error) from error
                if is_out_of_reach((self.linked or self).storage.data, error):
                    raise out_of_reach((self.linked or self).storage.data, error) from error
                raise
            finally:
                end_transaction(connection, self.catalogue)
                connection.close()

    def writer_lock(self, timeout_s: float | None = None) -> AbstractContextManager[Fence | None]:
        """Hold the lake's one writer lock; see `Catalogue.writer_lock`."""
        return self.catalogue.writer_lock(timeout_s)

    @contextlib.contextmanager
    def commit(
        self, message: str, ahead: Collection[tuple[str, str, Path]] = (), kept: Mapping[str, Path] | None = None
    ) -> Iterator[Commit]:
        """Make one commit: under the writer lock, in one transaction, all of it or nothing.

        `ahead` are staged files that it may add, with schema and table, and `kept` files and directories on this host
        by the path under which it may have them kept (`Turn.keep`): they are sent to a bucket before the lock.

        Raises
        ------
        PublishFailed
            If the catalogue or the disk refuses; what was there before is still there.
        """
        sent = self.storage.send_ahead(ahead, kept or {})
        with self.writer_lock() as fence, self.storage.turn(fence, sent) as turn, _writing(self) as connection:
            try:
                connection.execute("USE lake")
                connection.execute("BEGIN")
                with nothing_written_yet(connection, self.catalogue):
                    lake_format, _ = format_and_suite(connection, self.root)
                    commit = Commit(self, connection, newest_snapshot(connection) + 1, turn)
                migrate(connection, lake_format)
                yield commit
                end_commit(connection, message, fence, commit.snapshot_id)
            except (duckdb.Error, OSError) as error:
                raise PublishFailed(
                    f"the commit «{message}» did not take place: {error}. What was published before is unchanged;"
                    " free disk space if that was the cause, and run this again."
                ) from error

    @contextlib.contextmanager
    def maintaining(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the lake under the writer lock for one of DuckLake's own calls, which commit by themselves.

        Raises
        ------
        PublishFailed
            If the catalogue or the disk refuses; what was there before is still there.
        """
        with (
            self.writer_lock() as fence,
            self.storage.turn(fence, Sent()),
            contextlib.closing(self.connect(read_only=False, fence=fence)) as connection,
        ):
            try:
                check_format(connection, self.root)
                use_all_cores(connection)
                yield connection
            except (duckdb.Error, OSError) as error:
                raise PublishFailed(
                    f"upkeep of the lake {self.root} went wrong: {error}. What is published is unchanged; see that"
                    " the disk has room, and run this again."
                ) from error

    def create(self, now: datetime, made_by: str) -> None:
        """Make the lake if there is none, with its ledger. Safe under several processes at once."""
        self.storage.prepare()
        # What the process keeps open knows, and is used next; another one may be in the middle of making the lake.
        with contextlib.suppress(AlmanacError, duckdb.Error), self.reading():
            return
        self.catalogue.prepare()
        with self.writer_lock() as fence:
            if self.exists() and _is_whole(self):
                return
            try:
                new = NewLake(uuid.uuid4().hex, made_by, now, self.storage.data)
                make_catalogue(self.catalogue, self.storage, new, fence)
            except (duckdb.Error, sqlite3.Error, OSError) as error:
                raise UsageError(f"the lake {self.root} could not be made: {error}") from error


@dataclass(frozen=True)
class Commit:
    """A transaction that is being put together. `snapshot_id` is the one that it will have once committed.

    What jobs have written in this host's directory of the lake is handed to `turn`, to be kept.
    """

    lake: Lake
    connection: duckdb.DuckDBPyConnection
    snapshot_id: int
    turn: Turn

    def execute(self, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Run one statement inside the transaction."""
        return self.connection.execute(query, parameters)

    def add_file(self, schema: str, table: str, staged: Path) -> None:
        """Put a staged Parquet file into the lake and add it to a table, without copying its rows.

        Raises
        ------
        PublishFailed
            If its columns or their types are not just the table's.
        """
        require_columns(self.connection, schema, table, staged)
        place = self.turn.place(staged, schema, table)
        self.connection.execute("CALL ducklake_add_data_files('lake', $1, $2, schema => $3)", [table, place, schema])

    def add_rows(self, schema: str, table: str, staged: Path, *, as_it_is: bool) -> None:
        """Add the rows of a staged file: the file itself if its types are the table's, otherwise row by row."""
        if as_it_is:
            self.add_file(schema, table, staged)
        else:
            target = f"{quote(schema)}.{quote(table)}"
            self.execute(f"INSERT INTO {target} BY NAME SELECT * FROM read_parquet($1)", [exact_path(staged)])


def lake_of(suite_root: Path) -> Lake:
    """Give a suite's lake: in its directory `lake/`, or where ALMANAC_LAKE or its `lake.yaml` says.

    Raises
    ------
    UsageError
        If those cannot be used.
    """
    return Lake(root_of_lake(suite_root, CATALOGUE))


_instances = Instances()


def _kept_instance(
    lake: Lake, *, read_only: bool, hold: bool = False, locked: bool = False
) -> duckdb.DuckDBPyConnection:
    """Give this process's instance that sees a lake's newest state, and open it if there is none yet."""

    def check(opened: duckdb.DuckDBPyConnection) -> None:
        lake_format, _ = format_and_suite(opened, lake.root)
        if lake_format < newest_format() and not locked:  # a commit, which holds the lock, does it itself
            _bring_up_to_date(lake)
        # Where a table is not there, DuckDB would look through all of them for what was meant: 3 ms each time.
        opened.execute("SET GLOBAL catalog_error_max_schemas = 0")

    def get() -> duckdb.DuckDBPyConnection:
        return _instances.get(
            lake.catalogue,
            lambda first: lake.connect(read_only=read_only, first=first),
            check,
            read_only=read_only,
            hold=hold,
        )

    try:
        instance = get()
        lake.storage.make_ready(instance)
        if lake.catalogue.is_shared and not answers(instance):
            # Nothing mends an instance whose server was restarted (DuckDB 1.5.5): another one takes its place.
            _instances.drop(instance)
            instance = get()
    except duckdb.Error as error:
        raise lost(lake.root, error) from error
    return instance


@contextlib.contextmanager
def _writing(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a cursor of this process's instance that writes; one on which anything went wrong is not used again."""
    instance = _kept_instance(lake, read_only=False, locked=True)
    try:
        with contextlib.closing(instance.cursor()) as connection:
            try:
                yield connection
            except BaseException:
                end_transaction(connection, lake.catalogue)
                raise
    except BaseException:
        _instances.drop(instance)
        raise


def _bring_up_to_date(lake: Lake) -> None:
    """Give a lake that an earlier version of Almanac made what it lacks, before it is read."""
    with (
        # A lake that may not be written to can be read all the same.
        contextlib.suppress(AlmanacError, OSError, duckdb.Error),
        lake.writer_lock(timeout_s=5) as fence,
        contextlib.closing(lake.connect(read_only=False, fence=fence)) as connection,
    ):
        lake_format, _ = format_and_suite(connection, lake.root)
        connection.execute("BEGIN")
        migrate(connection, lake_format)
        connection.execute("CALL lake.set_commit_message('almanac', 'brought up to date by a newer version')")
        connection.execute("COMMIT")


def _is_whole(lake: Lake) -> bool:
    """Tell whether making the lake got as far as its ledger (a kill may have come between)."""
    with contextlib.closing(lake.connect()) as connection:
        return bool(table_columns(connection, "ledger", "format"))
