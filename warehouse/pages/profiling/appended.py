"""Profiles written to the ledger, inside the commit of the pages that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from warehouse.arrow_arrays import registered_once
from warehouse.lake.lake import Commit
from warehouse.ledger.records import PageRecord

if TYPE_CHECKING:
    import pyarrow as pa


def append_profiles(commit: Commit, tables: Sequence[pa.Table], published: Sequence[PageRecord]) -> None:
    """Append the profiles of those pages that were published to the ledger, inside a commit."""
    import pyarrow as pa

    there = [_of_pages(table, published) for table in tables]
    there = [table for table in there if table.num_rows]
    if there:
        with registered_once(commit.connection, "new_profiles", pa.concat_tables(there)):
            commit.execute("INSERT INTO ledger.profiles BY NAME SELECT * FROM new_profiles")


def _of_pages(table: pa.Table, published: Sequence[PageRecord]) -> pa.Table:
    """Give the profiles of some pages out of a table of one kind of them."""
    import numpy as np

    if not table.num_rows:
        return table
    kind = table.column("kind")[0].as_py()
    instants = np.array([page.as_of for page in published if page.kind == kind], "datetime64[us]")
    is_of = np.isin(table.column("as_of").to_numpy(), instants)
    return table if is_of.all() else table.filter(is_of)
