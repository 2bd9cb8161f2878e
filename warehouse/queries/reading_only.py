"""A person's query over the lake, checked before it runs: it reads, and does nothing else.

A statement of DuckDB's type SELECT may act all the same: `FROM ducklake_merge_adjacent_files('lake')` merges files, and
EXPLAIN ANALYZE carries out whatever follows it. So the syntax tree is looked at: table functions must be on a list of
those that only read, functions with side effects are refused, and what EXPLAIN explains must be a SELECT itself.

Left to others: what the sandbox asks of authors' queries (`warehouse.queries.checked_query`), which is much more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from warehouse.errors import UsageError

#: Table functions that read. DuckLake's have two names: the full one, and one as a function of the lake.
READING_TABLE_FUNCTIONS = frozenset(
    """
    range generate_series unnest repeat repeat_row histogram histogram_values summary glob
    json_each json_tree pg_timezone_names icu_calendar_names test_all_types test_vector_types
    read_csv read_csv_auto read_parquet parquet_scan read_json read_json_auto read_json_objects read_json_objects_auto
    read_ndjson read_ndjson_auto read_ndjson_objects read_text read_blob sniff_csv
    parquet_metadata parquet_schema parquet_file_metadata parquet_kv_metadata parquet_full_metadata parquet_bloom_probe
    duckdb_columns duckdb_constraints duckdb_databases duckdb_dependencies duckdb_extensions duckdb_functions
    duckdb_indexes duckdb_keywords duckdb_memory duckdb_optimizers duckdb_schemas duckdb_sequences duckdb_settings
    duckdb_tables duckdb_temporary_files duckdb_types duckdb_variables duckdb_views
    pragma_database_size pragma_platform pragma_show pragma_storage_info pragma_table_info pragma_user_agent
    pragma_version
    ducklake_snapshots ducklake_current_snapshot ducklake_last_committed_snapshot ducklake_table_info
    ducklake_list_files ducklake_options ducklake_settings
    ducklake_table_changes ducklake_table_insertions ducklake_table_deletions
    snapshots current_snapshot last_committed_snapshot table_info list_files options settings
    table_changes table_insertions table_deletions
    """.split()
)
#: Of the functions that DuckDB marks as having side effects, those that differ from call to call and change nothing.
_HARMLESS = frozenset(
    """
    random uuid uuidv4 uuidv7 gen_random_uuid current_query current_query_id current_connection_id
    current_transaction_id error sleep_ms stats setseed
    """.split()
)
_EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b)?(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_OPTIONS = re.compile(r"\s*\([^()]*\)(?P<rest>.*)", re.DOTALL)
_ONLY = "one SELECT (or DESCRIBE, SHOW, SUMMARIZE, or EXPLAIN of a SELECT) is allowed; the lake is written by jobs only"


@dataclass(frozen=True)
class ReadingQuery:
    """A query that only reads.

    `is_plain` ones stand inside COPY as they are, `explains` ones nowhere; `reads_the_past` if it names a snapshot.
    """

    text: str
    is_plain: bool
    explains: bool
    reads_the_past: bool = False


def require_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> ReadingQuery:
    """Check that a statement reads and does nothing else.

    Raises
    ------
    UsageError
        If it is no single statement that only reads; the message says why.
    duckdb.Error
        If it cannot be parsed.
    """
    statements = connection.extract_statements(sql)
    kinds = [statement.type for statement in statements]
    if len(kinds) != 1:
        raise UsageError(f"{len(kinds)} statements were given: {_ONLY}. Write a pivot with IN, which makes it one.")
    text = sql.strip().rstrip(";").rstrip()
    explains = kinds[0] == duckdb.StatementType.EXPLAIN
    if not explains and kinds[0] != duckdb.StatementType.SELECT:
        raise UsageError(f"a statement of the kind {kinds[0].name} does not only read: {_ONLY}.")
    tree = _explained(connection, statements[0].query) if explains else _tree(connection, statements[0].query)
    if tree is None:
        raise UsageError(f"it is not known whether this statement only reads: {_ONLY}.")
    _require_reading_functions(connection, tree)
    first = re.match(r"\W*(\w+)", re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL))
    is_plain = first is not None and first[1].upper() in ("SELECT", "FROM", "WITH", "VALUES", "TABLE")
    reads_the_past = any(node.get("at_clause") is not None for node in _nodes(tree))
    return ReadingQuery(text, is_plain, explains, reads_the_past)


def _tree(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    """Give DuckDB's syntax tree of a SELECT; None if it is none, or the tree cannot be had."""
    row = connection.execute("SELECT json_serialize_sql($1)", [text]).fetchone()
    assert row is not None
    parsed: dict[str, Any] = json.loads(row[0])
    return None if parsed.get("error") or len(parsed["statements"]) != 1 else parsed["statements"][0]


def _explained(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    """Give the tree of what an EXPLAIN explains; None if that is not a SELECT."""
    explain = _EXPLAIN.fullmatch(text)
    if explain is None:
        return None
    tree = _tree(connection, explain["rest"])
    options = _OPTIONS.fullmatch(explain["rest"]) if tree is None else None
    return _tree(connection, options["rest"]) if options is not None else tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Give every node of a tree, whatever key it stands under."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _require_reading_functions(connection: duckdb.DuckDBPyConnection, tree: Any) -> None:
    in_from = [node["function"] for node in _nodes(tree) if node.get("type") == "TABLE_FUNCTION"]
    names = {str(function.get("function_name", "")).lower() for function in in_from}
    if refused := sorted(names - READING_TABLE_FUNCTIONS):
        raise UsageError(
            f"`{refused[0]}` in FROM is not known to do nothing but read: {_ONLY}. Of DuckLake's functions, snapshots,"
            " table_info, list_files, table_changes and the like may be read; `almanac upkeep` merges and clears away."
        )
    called = {str(node["function_name"]).lower() for node in _nodes(tree) if node.get("function_name")} - names
    query = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE has_side_effects"
    acting = {name for (name,) in connection.execute(query).fetchall()} - _HARMLESS
    if refused := sorted(called & acting):
        raise UsageError(f"the function `{refused[0]}` acts on the database: {_ONLY}.")
