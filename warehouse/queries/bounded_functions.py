"""Functions that make strings and lists out of nothing, with bounds (`BOUNDED` of `allowed_functions`).

DuckDB looks for no interrupt inside a call, and its memory limit does not hold there. So they stand, under their own
names, before DuckDB's wherever the SQL of authors runs: pages and labels (`warehouse.sandbox`), and the SELECTs and
expressions of sources.
"""

from __future__ import annotations

import duckdb

from warehouse.system_sql import system_sql


def bound_functions(connection: duckdb.DuckDBPyConnection, schema: str | None = None) -> None:
    """Bound the functions that make strings and lists.

    Parameters
    ----------
    schema
        Where they are put; whoever has it first in the search path finds them. Without it they are temporary, and
        hold for all that runs on this connection.
    """
    macro = "MACRO" if schema else "TEMP MACRO"
    connection.execute(system_sql("sandbox/bounded", macro=macro, schema=schema or "temp"))
