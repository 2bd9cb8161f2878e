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
from warehouse.lake.registry import REASON_COLUMN
from warehouse.ledger.records import PageRecord
from warehouse.pages.kind_columns import PROBABILITIES, probability_of, quantile_fields
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
            differ=_differ(product),
            change=_change(product),
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


def _differ(product: Product) -> str:
    """Give SQL of whether a row's prediction is another one after than before.

    A class that a side says nothing of has no probability there: that a field has come is no other prediction.
    """
    columns = [name for name in product.kind.columns if name != PROBABILITIES]
    pairs = [(f"before.{quote(name)}", f"after.{quote(name)}") for name in columns]
    for name in product.classes:
        both = (probability_of(product, name, of) for of in ("before.", "after."))
        before, after = (f"coalesce({one}, 0)" for one in both)
        pairs.append((before, after))
    return " OR ".join(f"{before} IS DISTINCT FROM {after}" for before, after in pairs)


def _change(product: Product) -> str:
    """Give SQL of a row's change: of a number by how much it grew, of classes and quantiles the largest of one."""
    if not product.classes and not product.quantiles:
        score = quote(product.score_column)
        return f"after.{score} - before.{score}"
    pairs = [
        (probability_of(product, name, "after."), probability_of(product, name, "before.")) for name in product.classes
    ]
    pairs += zip(quantile_fields(product, "after."), quantile_fields(product, "before."), strict=True)
    changes = ", ".join(f"abs(coalesce({after}, 0) - coalesce({before}, 0))" for after, before in pairs)
    return f"CASE WHEN before.as_of IS NOT NULL AND after.as_of IS NOT NULL THEN greatest({changes}) END"


def common_reasons(connection: duckdb.DuckDBPyConnection, *relations: str) -> list[str]:
    """Give the column of reasons, for `SideBySide.of`, if all of some relations have it."""
    described = [connection.execute(f"DESCRIBE FROM {relation}").fetchall() for relation in relations]
    columns = [{str(row[0]): str(row[1]) for row in rows} for rows in described]
    # A feature may bear the name, and is of another type.
    return [name for name, kind in REASON_COLUMN.items() if all(one.get(name) == kind for one in columns)]


def moved_contributions(row: dict[str, Any]) -> dict[str, list[float | None]]:
    """Give the contributions that differ between before and after in a listed row, the largest change first.

    Parameters
    ----------
    row
        With its reasons before and after, which are taken out of it.

    Returns
    -------
    dict
        Of each feature what it contributed before and after; None where it is not among the reasons.
    """
    sides = [
        {one["feature"]: one["contribution"] for one in row.pop(f"{side} reasons") or []}
        for side in ("before", "after")
    ]
    names = dict.fromkeys([*sides[0], *sides[1]])
    pairs = {name: [side.get(name) for side in sides] for name in names if sides[0].get(name) != sides[1].get(name)}
    return dict(sorted(pairs.items(), key=lambda pair: -abs((pair[1][1] or 0.0) - (pair[1][0] or 0.0))))


def change_of_model(before: PageRecord, after: PageRecord) -> list[str]:
    """Say that two pages were written by different versions, if they were."""
    if before.model_version == after.model_version:
        return []
    return [f"the model: {before.model_version} before, {after.model_version} after"]
