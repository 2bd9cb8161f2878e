"""Compaction: many small files merged into few, and files written anew of whose rows many have been replaced.

A daily run adds a file to each of several tables, and a query opens each of them. Every snapshot shows the same rows
after as before. Each step is a commit of its own, so that jobs wait for the writer lock no longer than one large
file takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from warehouse.errors import PublishFailed
from warehouse.lake.lake import Lake
from warehouse.lake.mending import write_anew
from warehouse.system_sql import system_sql

#: Files of up to this size are merged; larger ones are left, so that no row is written again and again.
SMALL_BYTES = 64 * 2**20
#: From so many small files of a table on they are merged.
MERGE_FROM_FILES = 8
#: Files are written anew once this share of their rows has been replaced.
REPLACED_SHARE = 0.25


@dataclass
class Compaction:
    """How many files were read, and how many written instead of them; tables that were left, and why."""

    files_before: int = 0
    files_after: int = 0
    left: dict[str, str] = field(default_factory=dict)


def flush_inlined(lake: Lake) -> None:
    """Write the rows that the catalogue holds itself into data files.

    On one core, since they are few: with two, DuckDB 1.5.5 aborted the process at times.

    Raises
    ------
    PublishFailed
        If the catalogue or the disk refuses; the lake shows the same rows as before.
    """
    with lake.maintaining() as connection:
        connection.execute("SET threads = 1")
        connection.execute(system_sql("upkeep/flush"))


def compact(lake: Lake) -> Compaction:
    """Compact every table of a lake, step by step, each under the writer lock.

    A table for which DuckLake refuses it is left as it is. DuckLake 1.0 does so where columns were added to a table
    while some of its rows were few enough to be kept in the catalogue.
    """
    with lake.reading() as connection:
        tables = connection.execute(system_sql("reading/tables")).fetchall()
    done = Compaction()
    for schema, table in tables:
        try:
            _compact_table(lake, schema, table, done)
        except PublishFailed as error:
            done.left[f"{schema}.{table}"] = str(error)
    return done


def _compact_table(lake: Lake, schema: str, table: str, done: Compaction) -> None:
    with lake.reading() as connection:
        replaced = connection.execute(system_sql("upkeep/replaced_rows"), [table, schema, REPLACED_SHARE]).fetchall()
    for (file,) in replaced:
        with lake.maintaining() as connection:
            connection.execute("BEGIN")
            write_anew(connection, schema, table, file)
            connection.execute("COMMIT")
        done.files_before += 1
        done.files_after += 1
    # Small files can be left that do not merge, such as those from before a column was added.
    while _n_small_files(lake, schema, table) >= MERGE_FROM_FILES:
        if not _step(lake, "upkeep/merge", [table, schema, SMALL_BYTES], done):
            return


def _n_small_files(lake: Lake, schema: str, table: str) -> int:
    with lake.reading() as connection:
        row = connection.execute(system_sql("upkeep/small_files"), [table, schema, SMALL_BYTES]).fetchone()
    return int(row[0]) if row else 0


def _step(lake: Lake, query: str, values: list[object], done: Compaction) -> bool:
    """Make one step, and tell whether it did anything."""
    with lake.maintaining() as connection:
        found = connection.execute(system_sql(query), values).fetchall()
    for _, _, before, after in found:
        done.files_before += before
        done.files_after += after
    return bool(found)
