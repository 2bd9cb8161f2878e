"""Questions to a lake that is attached: its format, its newest state, its tables, whether it still answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from warehouse.errors import AlmanacError, LakeFormatError, NotFoundError, RunFailed
from warehouse.lake.catalogues import Catalogue
from warehouse.lake.connections import remembered, seen_snapshot
from warehouse.lake.migrations import newest_format
from warehouse.system_sql import quote


@contextlib.contextmanager
def one_transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let statements see one state of the lake, and take effect together; see `Lake.reading` for what that spares."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # what went wrong is told, and not that this could not be undone
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def use_all_cores(connection: duckdb.DuckDBPyConnection) -> None:
    """Let an instance that `Lake.connect` has opened work on as many cores as there are."""
    connection.execute("RESET threads")


def table_columns(connection: duckdb.DuckDBPyConnection, schema: str, table: str, lake: str = "lake") -> dict[str, str]:
    """Give the columns and DuckDB types of a table of the lake attached as `lake`, in order; empty if there is none."""
    try:
        rows = connection.execute(f"DESCRIBE {quote(lake)}.{quote(schema)}.{quote(table)}").fetchall()
    except duckdb.CatalogException:
        return {}
    return {str(row[0]): str(row[1]) for row in rows}


def check_format(connection: duckdb.DuckDBPyConnection, root: Path) -> str:
    """Refuse a lake of a newer format; give the suite's id.

    Raises
    ------
    LakeFormatError
        If the lake is newer than this version of Almanac, or holds no ledger.
    """
    return format_and_suite(connection, root)[1]


@remembered
def format_and_suite(connection: duckdb.DuckDBPyConnection, root: Path) -> tuple[int, str]:
    """Give the format of a lake and the suite's id; see `check_format`."""
    try:
        # All of it: a result that is not read to its end keeps its transaction open, and with it the catalogue.
        found = connection.execute("SELECT version, suite_id, made_by FROM ledger.format").fetchall()
    except duckdb.CatalogException as error:
        raise LakeFormatError(f"{root} holds a DuckLake without Almanac's ledger; name another directory.") from error
    row = found[0] if found else None
    if row is None or row[0] > newest_format():
        said = "none" if row is None else f"{row[0]}, made by Almanac {row[2]}"
        raise LakeFormatError(
            f"the lake {root} has the format {said}; this version reads up to {newest_format()}. Install a newer"
            " Almanac."
        )
    return int(row[0]), str(row[1])


def newest_snapshot(connection: duckdb.DuckDBPyConnection) -> int:
    """Give the id of the state of the lake that a connection's transaction sees."""
    if (seen := seen_snapshot(connection)) is not None:
        return seen
    # DuckLake knows it of the transaction. The greatest of `ducklake_snapshots` took 8 ms at 150, and more with each.
    row = connection.execute("SELECT id FROM ducklake_current_snapshot('lake')").fetchone()
    return int(row[0]) if row else 0


def answers(instance: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether the catalogue of the lake that is attached as `lake` can still be asked."""
    with contextlib.closing(instance.cursor()) as connection:
        try:
            connection.execute("SELECT id FROM ducklake_current_snapshot('lake')").fetchall()
        except duckdb.Error:
            return False
        return True


def lost(root: Path, error: duckdb.Error) -> RunFailed:
    """Give the error of who was reading a lake when its files or its server went away."""
    return RunFailed(
        f"the lake {root} cannot be read: {error}. See that its files, or the server of its catalogue, can be reached,"
        " and run this again; nothing was changed."
    )


def why_not_opened(root: Path, catalogue: Catalogue, error: duckdb.Error, snapshot_id: int | None) -> AlmanacError:
    """Say why a lake cannot be opened, or not as of a snapshot."""
    if snapshot_id is not None and "snapshot" in str(error).lower():
        return NotFoundError(
            f"the lake has no snapshot {snapshot_id}, or upkeep has let go of it; `almanac status` names the newest."
        )
    if catalogue.is_of_another_kind(error):
        return LakeFormatError(
            f"the lake {root} is not one that this DuckLake can read: {error}. If a newer version of Almanac or DuckDB"
            " made it, use that; `almanac doctor` shows the versions installed here."
        )
    return RunFailed(
        f"the lake {root} cannot be opened: {error}. See that the disk has room and that its files can be read and"
        " written. Nothing was changed."
    )
