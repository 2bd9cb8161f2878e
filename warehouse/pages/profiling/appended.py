"""Profiles written to the ledger, inside the commit of the pages that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.pages.profiled_pages import Profile

#: Profiles are written as values that are bound to the statement, up to so many, and so many bins and categories of
#: theirs; by Arrow where there are more.
_MOST_BOUND = 100
_MOST_COUNTED = 10_000


def append_profiles(commit: Commit, profiles: Sequence[Profile]) -> None:
    """Append profiles to the ledger inside a commit; as JSON they take longer to write than to make."""
    if not profiles:
        return
    columns = {spec.name: [getattr(one, spec.name) for one in profiles] for spec in fields(Profile)}
    kinds = ledger.sql_kinds(Profile)
    n_counted = sum(len(one.bins) + len(one.top_values) for one in profiles)
    # DuckDB 1.5 binds NaN as NULL; no profile should have one.
    is_nan = any(one != one for name in ("low", "high", "centre") for one in columns[name])
    if len(profiles) <= _MOST_BOUND and n_counted <= _MOST_COUNTED and not is_nan:
        # DuckDB 1.5 imports pyarrow.dataset for whatever is registered, for longer than it takes to bind so few.
        given = ", ".join(f"unnest(CAST(${n} AS {kinds[name]}[])) AS {name}" for n, name in enumerate(columns, 1))
        commit.execute(f"INSERT INTO ledger.profiles BY NAME SELECT {given}", list(columns.values()))
        return
    import pyarrow as pa

    arrow = {"VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "TIMESTAMP": pa.timestamp("us")}
    arrow |= {f"{kind}[]": pa.list_(of_each) for kind, of_each in arrow.items()}
    table = pa.table({name: pa.array(values, arrow[kinds[name]]) for name, values in columns.items()})
    commit.connection.register("new_profiles", table)
    commit.execute("INSERT INTO ledger.profiles BY NAME SELECT * FROM new_profiles")
    commit.connection.unregister("new_profiles")
