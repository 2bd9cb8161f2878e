"""The memory that ingestion may take, whatever the size of a delivery: beyond it DuckDB spills to the run's files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import duckdb

from warehouse.errors import UsageError
from warehouse.system_sql import literal

#: What DuckDB may hold unless this variable says otherwise. Readers' buffers, the process itself and what DuckDB does
#: not count take 300 MB more.
VARIABLE = "ALMANAC_INGEST_MEMORY"
_LIMIT = "600MB"
#: Each thread needs memory of its own to sort and to compare.
_MOST_THREADS = 4


def bound_memory(connection: duckdb.DuckDBPyConnection, directory: Path) -> None:
    """Let an instance that compares deliveries work on several cores, within the bound, and spill into a directory.

    Raises
    ------
    UsageError
        If `ALMANAC_INGEST_MEMORY` is no size.
    """
    limit = os.environ.get(VARIABLE, _LIMIT)
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[MG]i?B", limit):
        raise UsageError(f"{VARIABLE}={limit}: expected a size, such as 600MB or 4GB.")
    connection.execute(f"SET threads = {min(_MOST_THREADS, os.cpu_count() or 1)}")
    connection.execute(f"SET memory_limit = {literal(limit)}")
    connection.execute(f"SET temp_directory = {literal(str(directory / 'spill'))}")


def what_to_set(error: duckdb.OutOfMemoryException) -> str:
    """Say what to do where a SELECT, or what it gives, cannot be spilled."""
    return (
        f"it needs more memory than ingestion may take: {str(error).splitlines()[0]}. Set {VARIABLE} to more, such as"
        " 4GB, and run this again. Nothing of this delivery was taken in."
    )
