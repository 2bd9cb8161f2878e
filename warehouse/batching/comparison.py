"""Comparison of one page's rows, made many pages at a time, with the rows of the same page made by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import duckdb

from warehouse.system_sql import quote, quote_all, system_sql


def differing_rows(
    cursor: duckdb.DuckDBPyConnection,
    fast: str,
    plain: str,
    *,
    key: Collection[str],
    exact: Sequence[str],
    close: Sequence[str],
) -> int:
    """Count the rows that differ.

    Parameters
    ----------
    fast, plain
        SQL of the two relations.
    key
        What a row is told by.
    exact
        The columns that must be equal in every bit, the key among them.
    close
        Those that may differ by 1e-9 of their value, since they come from sums in floating point.
    """
    apart = " OR ".join(
        f"abs(fast.{quote(c)} - plain.{quote(c)}) > 1e-9 * greatest(abs(plain.{quote(c)}), 1e-9)"
        f" OR (fast.{quote(c)} IS NULL) <> (plain.{quote(c)} IS NULL)"
        for c in close
    )
    query = system_sql(
        "pages/differences",
        columns=quote_all(exact),
        fast=fast,
        plain=plain,
        same_key=" AND ".join(f"fast.{quote(k)} IS NOT DISTINCT FROM plain.{quote(k)}" for k in key),
        apart=apart or "false",
    )
    row = cursor.execute(query).fetchone()
    return int(row[0]) if row else 0
