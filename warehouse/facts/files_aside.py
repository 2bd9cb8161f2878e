"""The files that could not be read, as `rejects.files` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.lake.lake import table_columns
from warehouse.system_sql import system_sql


@dataclass(frozen=True)
class AsideFile:
    """A file that is set aside: whose it is, why, under which definition of its source, and since when."""

    source: str
    path: str
    sha256: str
    reason: str
    definition: str
    since: datetime
    forgotten_at: datetime | None = None


def files_aside(
    connection: duckdb.DuckDBPyConnection, source: str | None = None, *, forgotten: bool = False
) -> list[AsideFile]:
    """List the files that are set aside, of one source or of all; with `forgotten`, those too that were forgotten."""
    if not table_columns(connection, "rejects", "files"):
        return []
    rows = connection.execute(system_sql("ingest/files_aside"), [source, forgotten]).fetchall()
    return [AsideFile(*row) for row in rows]
