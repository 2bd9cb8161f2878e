"""Two sets of a product's predictions side by side: what became of each row, counted and listed.

Which two is left to the jobs that compare: two states of one page, or two pages. Nothing but the counts and the
rows listed comes to Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from warehouse.definitions import Product
from warehouse.ledger.records import PageRecord
from warehouse.system_sql import quote, quote_all, system_sql

#: How many rows of each fate are listed, unless told otherwise.
LIMIT = 20


@dataclass(frozen=True)
class Side:
    """One of the two that are compared. `snapshot_id` is None for what a version would say."""

    model_version: str | None
    snapshot_id: int | None
    recorded_at: datetime | None

    @classmethod
    def of(cls, record: PageRecord) -> Side:
        """Describe a published page."""
        return cls(record.model_version, record.snapshot_id, record.recorded_at)


@dataclass(frozen=True)
class SideBySide:
    """Rows before and after, as one relation of SQL.

    Attributes
    ----------
    relation
        Of each row its keys, `almanac: what` became of it (same, changed, came or went), `almanac: before` and
        `almanac: after`, and of each feature `before NAME` and `after NAME`.
    keys
        By which columns rows are matched.
    """

    connection: duckdb.DuckDBPyConnection
    relation: str
    keys: Sequence[str]

    @classmethod
    def of(
        cls,
        connection: duckdb.DuckDBPyConnection,
        product: Product,
        before: str,
        after: str,
        keys: Sequence[str],
        features: Sequence[str] = (),
    ) -> SideBySide:
        """Put two relations of SQL side by side; both have `as_of`, the score, the keys and the features."""
        relation = system_sql(
            "diff/side_by_side",
            match=" AND ".join(f"before.{quote(key)} IS NOT DISTINCT FROM after.{quote(key)}" for key in keys),
            keys=", ".join(f"coalesce(after.{quote(key)}, before.{quote(key)}) AS {quote(key)}" for key in keys),
            score=quote(product.score_column),
            features="".join(
                f", before.{quote(name)} AS {quote('before ' + name)}, after.{quote(name)} AS {quote('after ' + name)}"
                for name in features
            ),
            before=before,
            after=after,
        )
        return cls(connection, relation, keys)

    def figures(self) -> dict[str, Any]:
        """Count the rows of each fate, and say by how much those that changed did so."""
        counts = self.connection.execute(system_sql("diff/counts", compared=self.relation)).fetchone()
        assert counts is not None
        names = ("n_same", "n_changed", "n_came", "n_went", "largest_change", "mean_change")
        return dict(zip(names, counts, strict=True))

    def listed(self, what: str, limit: int) -> list[dict[str, Any]]:
        """List the rows of one fate, the largest change first, with `almanac: change` (after - before)."""
        query = system_sql("diff/largest", compared=self.relation, keys=quote_all(self.keys))
        cursor = self.connection.execute(query, [what, limit])
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def change_of_model(before: PageRecord, after: PageRecord) -> list[str]:
    """Say that two pages were written by different versions, if they were."""
    if before.model_version == after.model_version:
        return []
    return [f"the model: {before.model_version} before, {after.model_version} after"]
