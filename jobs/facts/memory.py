"""The memory that ingestion may take, whatever the size of a delivery: beyond it DuckDB spills to the run's files."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from warehouse.system_sql import literal

#: What DuckDB may hold. Readers' buffers, the process itself and what DuckDB does not count take 300 MB more.
_LIMIT = "600MB"
#: Each thread needs memory of its own to sort and to compare.
_MOST_THREADS = 4


def bound_memory(connection: duckdb.DuckDBPyConnection, directory: Path) -> None:
    """Let an instance that compares deliveries work on several cores, within the bound, and spill into a directory."""
    connection.execute(f"SET threads = {min(_MOST_THREADS, os.cpu_count() or 1)}")
    connection.execute(f"SET memory_limit = {literal(_LIMIT)}")
    connection.execute(f"SET temp_directory = {literal(str(directory / 'spill'))}")
