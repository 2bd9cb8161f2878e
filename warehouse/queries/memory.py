"""How much memory an instance of DuckDB keeps in which an author's queries run; what goes beyond is spilled to disk."""

from __future__ import annotations

import os

import duckdb

from warehouse.errors import UsageError
from warehouse.system_sql import literal

_VARIABLE = "ALMANAC_MEMORY_LIMIT"


def limit_memory(instance: duckdb.DuckDBPyConnection, limit: str, *, at_least: str) -> None:
    """Let an instance of DuckDB keep no more than a limit in memory, unless `ALMANAC_MEMORY_LIMIT` says otherwise.

    Of what the machine or the container lets DuckDB have it takes a quarter at most, or `at_least` where that is more.

    Raises
    ------
    UsageError
        If the variable is no size.
    """
    wanted = os.environ.get(_VARIABLE) or _that_the_machine_has(instance, limit, at_least)
    try:
        instance.execute(f"SET memory_limit = {literal(wanted)}")
    except duckdb.ParserException as error:
        raise UsageError(f"{_VARIABLE} is `{wanted}`; give a size such as 500MiB or 4GiB.") from error


def _that_the_machine_has(instance: duckdb.DuckDBPyConnection, limit: str, at_least: str) -> str:
    own = "parse_formatted_bytes(current_setting('memory_limit'))"
    quarter = f"greatest({own} // 4, parse_formatted_bytes({literal(at_least)}))"
    row = instance.execute(f"SELECT least(parse_formatted_bytes({literal(limit)}), {quarter})").fetchone()
    return f"{row[0] if row else 0} bytes"
