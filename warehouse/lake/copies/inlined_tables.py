"""Empty tables of a PostgreSQL catalogue for the rows that come ten or fewer at a time, as a SQLite catalogue has them.

DuckLake makes such a table with each table of a lake. Where one is lacking it makes it at the next commit that needs
it, and DuckLake 1.5.5 then misnames those of tables that the same commit makes, so that the commit fails, now and
always: `relation "ducklake_inlined_data_69_12" does not exist`. Their columns' types differ by the kind of catalogue;
so DuckLake makes them itself, in a schema of its own, and they are put into the catalogue from there.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.lake.extensions import FORMAT, open_instance
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.servers import connection_text
from warehouse.lake.postgres.sessions import libpq_settings, session
from warehouse.system_sql import attach_statement, literal, quote, system_sql

if TYPE_CHECKING:
    import duckdb

#: The schema in which DuckLake makes them. It is there while a lake is being put into the database.
MADE_IN = "almanac_moving"


@dataclass(frozen=True)
class InlinedTable:
    """One of them: the name that it was made by, the number of the table whose rows it is for, and their version."""

    made_as: str
    table_id: int
    version: int

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        return f"ducklake_inlined_data_{self.table_id}_{self.version}"


def make_inlined_tables(file: Path, catalogue: PostgresCatalogue) -> list[InlinedTable]:
    """Have DuckLake make the tables that a SQLite catalogue has, empty, in a schema that the caller drops.

    Parameters
    ----------
    file
        The SQLite catalogue.
    catalogue
        Of the database in which they are made.
    """
    data = f"{file.parent / 'data'}/"  # nothing is read or written there
    with session(catalogue.server) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {MADE_IN} CASCADE")
        connection.execute(f"CREATE SCHEMA {MADE_IN}")
    drivers = ("sqlite_scanner", *catalogue.extensions)
    with contextlib.closing(open_instance(drivers)) as instance:
        instance.execute(f"ATTACH {literal(str(file))} AS old (TYPE sqlite, READ_ONLY)")
        wanted = instance.execute(system_sql("catalogue/tables_for_inlined_rows")).fetchall()
        instance.execute("DETACH old")
        before = attach_statement(f"{FORMAT}:sqlite:{file}", "before", data, read_only=True, snapshot_id=None)
        instance.execute(before)
        place = f"{FORMAT}:postgres:{connection_text(libpq_settings(catalogue.server))}"
        options = (f"METADATA_SCHEMA {literal(MADE_IN)}",)
        instance.execute(attach_statement(place, "made", data, read_only=False, snapshot_id=None, options=options))
        instance.execute("BEGIN")
        for schema, table, number, _ in wanted:
            columns = _columns(instance, f"before.{quote(schema)}.{quote(table)}")
            instance.execute(f"CREATE TABLE made.main.{quote(f't{number}')} ({columns})")
        instance.execute("COMMIT")
    versions = {f"t{number}": (int(number), int(version)) for _, _, number, version in wanted}
    query = (
        f"SELECT tables.table_name, inlined.table_name FROM {MADE_IN}.ducklake_inlined_data_tables AS inlined"
        f" JOIN {MADE_IN}.ducklake_table AS tables USING (table_id) ORDER BY tables.table_id"
    )
    with session(catalogue.server) as connection:
        made = connection.execute(query).fetchall()
    return [InlinedTable(made_as, *versions[name]) for name, made_as in made]


def _columns(instance: duckdb.DuckDBPyConnection, table: str) -> str:
    return ", ".join(f"{quote(row[0])} {row[1]}" for row in instance.execute(f"DESCRIBE {table}").fetchall())


def putting(tables: list[InlinedTable]) -> list[str]:
    """Give what puts them into the catalogue, and drops the schema that they were made in, for one transaction."""
    statements = ["DELETE FROM public.ducklake_inlined_data_tables"]
    for table in tables:
        # In two steps, for a name of now may be another one's to come.
        statements += [
            f"ALTER TABLE {MADE_IN}.{table.made_as} RENAME TO to_be_{table.name}",
            f"ALTER TABLE {MADE_IN}.to_be_{table.name} SET SCHEMA public",
            f"ALTER TABLE public.to_be_{table.name} RENAME TO {table.name}",
            "INSERT INTO public.ducklake_inlined_data_tables (table_id, table_name, schema_version)"
            f" VALUES ({table.table_id}, '{table.name}', {table.version})",
        ]
    return [*statements, f"DROP SCHEMA {MADE_IN} CASCADE"]
