"""The lake's storage after a person's rows were deleted: what still holds them on the disk goes.

A deleted row stays in its data file, in the statistics of files and tables, and in snapshots; in SQLite it stays on
pages that are free. Tried in every other order: each leaves traces.
"""

from __future__ import annotations

import contextlib

from jobs.erasure.marks import Marks
from jobs.erasure.on_server import blot_on_server
from jobs.erasure.person import Person
from jobs.suite import Suite
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.operations.state import open_operations, writing
from warehouse.system_sql import quote, system_sql


def rewrite_files(suite: Suite) -> None:
    """Write every data file anew of which any row was deleted; that makes its table's statistics anew, too."""
    with suite.lake.maintaining() as connection:
        connection.execute(system_sql("erasure/rewrite"))


def expire_all(suite: Suite) -> None:
    """Let go of every snapshot but the newest, those of trainings too."""
    with suite.lake.maintaining() as connection:
        numbers = [row[0] for row in connection.execute(system_sql("upkeep/snapshots")).fetchall()]
        if numbers[:-1]:
            connection.execute(system_sql("upkeep/expire", versions=str(numbers[:-1])))


def clean_up(suite: Suite) -> None:
    """Delete the files that no snapshot shows, and those that no commit refers to."""
    with suite.lake.maintaining() as connection:
        connection.execute(system_sql("upkeep/delete_retired", dry_run="false"))
        connection.execute(system_sql("upkeep/delete_orphans", dry_run="false"))


def check_statistics(suite: Suite, person: Person) -> None:
    """Put right what the catalogue says of least and greatest values that were the person's.

    A table's statistics only widen: a value that was replaced long ago can still be its greatest. Those of a data file
    are of the rows that it was written with, and files with rows of the person are gone by now.
    """
    with suite.lake.maintaining() as connection:
        values = [person.all_values, "|".join(person.marks.patterns)]
        for schema, table, table_id, column_id, column in connection.execute(
            system_sql("erasure/wrong_table_statistics"), values
        ).fetchall():
            place = f"{quote(schema)}.{quote(table)}"
            query = f"SELECT CAST(min({quote(column)}) AS VARCHAR), CAST(max({quote(column)}) AS VARCHAR) FROM {place}"
            low, high = connection.execute(query).fetchone() or (None, None)
            connection.execute(system_sql("erasure/put_statistics_right"), [table_id, column_id, low, high])


def blot_operations(suite: Suite, marks: Marks) -> None:
    """Take the person's marks out of every text of the operational state."""
    catalogue = suite.lake.catalogue
    if isinstance(catalogue, PostgresCatalogue):
        blot_on_server(catalogue.server, marks)
        return
    if not suite.lake.catalogue.operations.exists():
        return
    with contextlib.closing(open_operations(suite.lake.root)) as state:
        state.create_function("blotted", 1, marks.blotted, deterministic=True)
        tables = [row[0] for row in state.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        with writing(state):
            for table in tables:
                for column in [row["name"] for row in state.execute(f"PRAGMA table_info({quote(table)})")]:
                    named = quote(column)
                    query = f"UPDATE OR REPLACE {quote(table)} SET {named} = blotted({named})"
                    state.execute(f"{query} WHERE blotted({named}) IS NOT {named}")


def vacuum(suite: Suite) -> None:
    """Write the catalogue and the operational state anew, so that no free page holds what was deleted, nor a version.

    Raises
    ------
    RunFailed
        If another process is in the way.
    """
    suite.lake.close()
    with suite.lake.writer_lock():
        suite.lake.storage.forget_deleted()
        suite.lake.catalogue.vacuum()
