"""The plan that DuckDB makes of an author's query: it may scan what the views of the sandbox scan, and nothing else.

DuckDB has no privileges: behind a view, names and files can be reached by whoever gets an expression past the check of
the text. So the plan is looked at too, before the query runs: each scan in it has to be one that a view by a name in
the query makes, with the view's own condition on it (which is where the future is left out), and there may not be more
of them than the query names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb

from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import CheckedQuery
from warehouse.system_sql import quote, system_sql

#: What stands at the bottom of a plan: its operator, what it reads, and the operator above with its condition.
Scan = tuple[str, str, str, str]
#: Operators at the bottom of a plan that read no table: constants, table functions that are allowed, and what other
#: parts of the same plan hand them.
_HARMLESS = frozenset(
    """
    DUMMY_SCAN EMPTY_RESULT COLUMN_DATA_SCAN CHUNK_GET EXPRESSION_GET DELIM_GET CTE_SCAN REC_CTE_SCAN UNNEST RANGE
    GENERATE_SERIES
    """.split()
)


def check_plan(
    connection: duckdb.DuckDBPyConnection,
    query: CheckedQuery,
    parameters: Mapping[str, object],
    of_views: dict[str, Counter[Scan]],
) -> None:
    """See that a query scans nothing but what the views that it names show.

    Parameters
    ----------
    connection
        Finds the views by their bare names, in an instance where EXPLAIN gives all plans.
    parameters
        Those of the query, as it will run.
    of_views
        What the views scan that were looked at before; others are added.

    Raises
    ------
    QueryRefused
        If it scans anything else.
    duckdb.Error
        If it does not bind.
    """
    left = scans(connection, query.text, parameters)
    for name, count in query.n_reads.items():
        if name not in of_views:
            of_views[name] = scans(connection, f"FROM {quote(name)}")
        for scan, each in of_views[name].items():
            left[scan] -= each * count
    if beyond := sorted(scan for scan, count in left.items() if count > 0):
        what = ", ".join(f"{operator} of {read or 'something'}" for operator, read, _, _ in beyond)
        raise QueryRefused(
            f"{query.where}: as DuckDB plans it, it reads more than the tables that it names ({what}); write it more"
            " plainly."
        )


def scans(
    connection: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, object] | None = None
) -> Counter[Scan]:
    """Count what a query scans, by its plan before it is optimised."""
    rows = connection.execute(system_sql("sandbox/explain", query=text), dict(parameters or {}) or None).fetchall()
    plans = json.loads(next(text for kind, text in rows if kind == "logical_plan"))
    return Counter(scan for plan in plans for scan in _bottom(plan, {}) if scan[0] not in _HARMLESS)


def _bottom(node: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[Scan]:
    if not node["children"]:
        yield node["name"].strip(), _read_by(node), above.get("name", ""), _condition(above)
    for child in node["children"]:
        yield from _bottom(child, node)


def _read_by(node: Mapping[str, Any]) -> str:
    info = node.get("extra_info") or {}
    return str(info.get("Table") or info.get("Function") or "")


def _condition(node: Mapping[str, Any]) -> str:
    return json.dumps((node.get("extra_info") or {}).get("Expressions", "")) if node.get("name") == "FILTER" else ""
