"""The formats of the ledger: one ordered list of the steps that made it what it is.

A lake's format is how many of the steps it has seen. A new lake takes them all; one that an earlier version made takes
those that it lacks in the next commit, or when it is opened to be read, all in one commit. So whoever adds a table or
a column adds a step at the end, and a step that has been released is never changed. Lakes of format 1 may have seen
later steps, which earlier versions took when they first needed them: each step but the first leaves alone what is
there already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from warehouse.lake.mending import put_right
from warehouse.system_sql import quote, system_sql


@dataclass(frozen=True)
class Migration:
    """One step: a file under `sql/system/`, what it brings, and what is done to lakes that existed before it."""

    sql: str
    brings: str
    then: Callable[[duckdb.DuckDBPyConnection], None] | None = None


#: In order; the format after each is its place in the list, counted from 1.
MIGRATIONS: tuple[Migration, ...] = (
    Migration("ledger/create", "schemas, and the ledger's first tables"),
    Migration("ledger/extend", "how versions were trained, and decisions with their gates"),
    Migration("ledger/create_rollbacks", "pages that were rolled back"),
    Migration("ledger/views", "published pages and costs as views"),
    Migration("ledger/create_derivations", "which facts are facts under which definition of their source"),
    Migration("ledger/create_mends", "what earlier versions had left wrong, put right", put_right),
    Migration("ledger/create_csv_formats", "how a source's CSV files are read"),
    Migration("ledger/what_versions_read", "the columns and the label of versions, and the columns of pages"),
    Migration("ledger/create_compiled_models", "compiled files that versions got after they were registered"),
    Migration("ledger/leases_of_runs", "which run of the clock a run is part of"),
    Migration("ledger/lost_pages", "pages whose data files were lost are published no more"),
    Migration("ledger/create_reasons", "how predictions are explained, and which runs wrote reasons"),
    Migration("ledger/create_exports", "which publications targets are to hold, and what became of them"),
    Migration("ledger/create_profiles", "how the values of pages are spread"),
    Migration("ledger/create_drift", "how far pages differ from those before them, and alarms"),
    Migration("ledger/create_performance", "how published predictions did, page by page"),
    Migration("ledger/create_fairness", "how predictions of groups of entities compare"),
    Migration("ledger/create_rollouts", "by which stages versions became live, each look, and who served whom"),
    Migration("ledger/bases_of_reasons", "what the reasons of each class are counted from"),
    Migration("ledger/create_carried", "what the judgement of the next page takes from those before it"),
    Migration("ledger/compress", "files that DuckLake writes are as small as those that are staged"),
    Migration("ledger/create_triggers", "whether products were trained again, and why or why not"),
    Migration("ledger/create_deployments", "which definitions went live when, and what checks of them found"),
    Migration("ledger/create_trials", "what searches for a better model have tried"),
    Migration("ledger/create_erasures", "which persons were erased, by keyed hashes"),
    Migration("ledger/create_measurements", "what fresh data is worth, and what rehearsed policies came to"),
    Migration("ledger/create_label_sums", "what labels known at a page came to, for entities that it has not"),
    Migration("ledger/create_segment_profiles", "how the values of the segments of pages are spread"),
)


def newest_format() -> int:
    """Give the format that this version of Almanac makes, the newest that it reads."""
    return len(MIGRATIONS)


def migrate(connection: duckdb.DuckDBPyConnection, since: int) -> None:
    """Take the steps after a format, inside the caller's transaction.

    Parameters
    ----------
    connection
        One that writes to the lake, with a transaction open.
    since
        The lake's format; 0 if it has no ledger yet, whose row of `ledger.format` the caller then writes.
    """
    if since >= newest_format():
        return
    before = _tables(connection)
    for migration in MIGRATIONS[since:]:
        connection.execute(system_sql(migration.sql))
    for table in sorted(_tables(connection) - before):
        _have_statistics(connection, table)
    if since:
        for migration in MIGRATIONS[since:]:
            if migration.then is not None:
                migration.then(connection)
        connection.execute("UPDATE ledger.format SET version = $1", [newest_format()])


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'ledger'"
    return {str(name) for (name,) in connection.execute(query).fetchall()}


def _have_statistics(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Give a new table of the ledger a row, and take it away again.

    DuckLake 1.5 keeps the statistics of a table that has had a row. For one that never had any it asks the catalogue
    anew in each query, column by column: reading no promotion took eight times as long as reading one.
    """
    connection.execute(f"INSERT INTO ledger.{quote(table)} DEFAULT VALUES")
    connection.execute(f"DELETE FROM ledger.{quote(table)}")
