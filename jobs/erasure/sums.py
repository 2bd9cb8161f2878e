"""What the sums of labels of a fallback (`ledger.label_sums`) say of a person, who is one of those that they count.

A sum over many stays until the product's next page is made, as the page does that it belongs to. One that may be over
the rows of the person alone says what came of them, and goes.
"""

from __future__ import annotations

import duckdb

from jobs.erasure.person import any_of
from jobs.erasure.product_rows import ProductRows
from warehouse.lake.lake import Commit, table_columns
from warehouse.pages.fallback.view import names_of
from warehouse.system_sql import literal, quote, system_sql


def forget_lone_groups(commit: Commit, product: str, rows: ProductRows) -> int:
    """Forget the groups that may have nobody but the person in them, before their rows of pages go; give how many."""
    columns = table_columns(commit.connection, "features", product)
    rules = rows.rules_for(columns)
    if not rules:
        return 0
    theirs, values = any_of(rules)
    n_groups = 0
    for names in _levels(commit.connection, product):
        if not all(name in columns for name in names):
            continue
        listed = ", ".join(f"CAST({quote(name)} AS VARCHAR)" for name in names)
        query = system_sql(
            "erasure/lone_groups",
            group_values=f"[{listed}]::VARCHAR[]",
            table=quote(product),
            theirs=theirs,
            product=literal(product),
            names=names_of(names),
        )
        if found := commit.execute(query, values).fetchall():
            as_of, run_id, group = (list(each) for each in zip(*found, strict=True))
            commit.execute(system_sql("erasure/forget_groups"), [product, names, as_of, run_id, group])
            n_groups += len(found)
    return n_groups


def has_sums(connection: duckdb.DuckDBPyConnection, product: str) -> bool:
    """Tell whether a product has sums of labels."""
    return bool(_levels(connection, product))


def _levels(connection: duckdb.DuckDBPyConnection, product: str) -> list[list[str]]:
    query = 'SELECT DISTINCT "columns" FROM ledger.label_sums WHERE product = $1'
    return [row[0] for row in connection.execute(query, [product]).fetchall()]
