"""Two pages of a product side by side: why did this change since yesterday?

Rows are matched by the keys that last from page to page. Of each that changed the features that differ are given,
before and after, and of all of them how many rows each feature differs in; and which version wrote each page. The page
named second is `before`, as it is now. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from jobs.models.versions import model_history
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import NotFoundError, UsageError
from warehouse.ledger.records import PageRecord
from warehouse.pages.history import PastPage, past_page
from warehouse.pages.side_by_side import (
    LIMIT,
    Side,
    SideBySide,
    change_of_model,
    common_reasons,
    moved_contributions,
)
from warehouse.system_sql import quote, quote_all, system_sql


@dataclass(frozen=True)
class PagesDiff:
    """How two pages differ.

    Attributes
    ----------
    page, against_page
        After and before.
    keys
        By which columns rows are matched.
    n_same, n_changed, n_came, n_went
        How many rows have just the same score, another one, are not on the page before, are not on the page after.
    largest_change, mean_change
        Of those that changed, without the sign; None if none did.
    features
        Of each feature in how many of the rows that changed it differs, the most first.
    changed
        The first of those, the largest change first: keys, before, after, change (after - before), and `features`,
        each that differs with what it was before and is after; where both pages have reasons also `contributions`,
        likewise.
    came, went
        The first of those: keys, and the score that there is.
    """

    product: str
    page: datetime
    against_page: datetime
    keys: list[str]
    before: Side
    after: Side
    n_same: int
    n_changed: int
    n_came: int
    n_went: int
    largest_change: float | None
    mean_change: float | None
    why: list[str]
    features: list[dict[str, Any]]
    changed: list[dict[str, Any]]
    came: list[dict[str, Any]]
    went: list[dict[str, Any]]


def diff_pages(
    suite: Suite,
    product_name: str,
    page: datetime,
    against_page: datetime,
    keys: Sequence[str] = (),
    limit: int = LIMIT,
) -> PagesDiff:
    """Compare a published page with another one of the same product.

    Parameters
    ----------
    page, against_page
        The pages' `as_of`, naive UTC.
    keys
        The columns, of the page's keys or its features, by which rows are matched; by default the product's keys. Where
        those name something that is on one page only, name what lasts.
    limit
        How many rows of each fate are listed.

    Raises
    ------
    NotFoundError
        If a page is not published.
    UsageError
        If the pages are the same, a key is no column, or several rows of a page have the same keys.
    """
    product = suite.definitions.product(product_name)
    if page == against_page:
        raise UsageError(f"--page and --against-page are both {page}; to see what it was before, give --against.")
    with suite.lake.reading(all_cores=True) as connection:
        before, after = (_Rows.of(connection, product, as_of) for as_of in (against_page, page))
        matched = list(keys or product.keys)
        for rows in (before, after):
            rows.require_unique(connection, matched)
        version = after.record.model_version
        known = set(before.columns) & set(after.columns) - set(product.keys) - set(matched)
        models = model_history(connection, product.name)
        used = models.version(version).features if version else []
        features = [name for name in used if name in known]
        reasons = common_reasons(connection, before.relation, after.relation)
        columns = [*features, *(name for name in reasons if name not in features)]
        compared = SideBySide.of(connection, product, before.relation, after.relation, matched, columns)
        lists = {what: compared.listed(what, limit) for what in ("changed", "came", "went")}
        return PagesDiff(
            product.name,
            page,
            against_page,
            matched,
            Side.of(before.record),
            Side.of(after.record),
            **compared.figures(),
            why=_why(before.record, after.record),
            features=_differing(connection, compared.relation, features),
            changed=[_with_features(row, matched, features) for row in lists["changed"]],
            came=[_scored(row, matched, "after") for row in lists["came"]],
            went=[_scored(row, matched, "before") for row in lists["went"]],
        )


@dataclass(frozen=True)
class _Rows:
    """A page's predictions with their features: as SQL, with its columns."""

    record: PageRecord
    relation: str
    columns: list[str]

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, product: Product, as_of: datetime) -> _Rows:
        page = past_page(connection, product.name, "predictions", as_of)
        features = _features_of(connection, product, as_of)
        relation = page.relation
        if features is not None:
            reasons = common_reasons(connection, page.relation)
            taken = {row[0] for row in connection.execute(f"DESCRIBE FROM {features.relation}").fetchall()}
            relation = system_sql(
                "diff/with_features",
                scores=quote_all(list(product.kind.columns), "predictions."),
                reasons="".join(f", predictions.{quote(name)}" for name in reasons if name not in taken),
                keys=quote_all(product.keys),
                predictions=page.relation,
                features=features.relation,
            )
        described = connection.execute(f"DESCRIBE FROM {relation}").fetchall()
        return cls(page.record, relation, [str(row[0]) for row in described])

    def require_unique(self, connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
        """Refuse keys that are no columns, or that several rows share."""
        if unknown := [key for key in keys if key not in self.columns]:
            raise UsageError(f"--key {unknown[0]}: the page has no such column. It has: {', '.join(self.columns)}.")
        query = system_sql("diff/shared_keys", keys=quote_all(keys), relation=self.relation)
        row = connection.execute(query).fetchone()
        if row is not None:
            values = ", ".join(f"{key} {value}" for key, value in zip(keys, row, strict=False))
            raise UsageError(
                f"the page {self.record.as_of} has {row[-1]} rows of {values}: name keys of which each row has its own"
                " (--key, several times if need be)."
            )


def _features_of(connection: duckdb.DuckDBPyConnection, product: Product, as_of: datetime) -> PastPage | None:
    try:
        return past_page(connection, product.name, "features", as_of)
    except NotFoundError:  # an earlier version's upkeep may have expired them
        return None


def _why(before: PageRecord, after: PageRecord) -> list[str]:
    why = [f"time: {before.as_of} before, {after.as_of} after", *change_of_model(before, after)]
    if before.definitions != after.definitions:
        why.append("the definitions are others")
    return why


def _with_features(row: dict[str, Any], keys: Sequence[str], features: Sequence[str]) -> dict[str, Any]:
    before, after = row["almanac: before"], row["almanac: after"]
    pairs = {name: [row[f"before {name}"], row[f"after {name}"]] for name in features}
    differing = {name: pair for name, pair in pairs.items() if _differ(*pair)}
    figures = {"before": before, "after": after, "change": row["almanac: change"], "features": differing}
    moved = {"contributions": moved_contributions(row)} if "before reasons" in row else {}
    return {key: row[key] for key in keys} | figures | moved


def _differ(before: Any, after: Any) -> bool:
    both_nan = before != before and after != after
    return bool(before != after) and not both_nan


def _scored(row: dict[str, Any], keys: Sequence[str], side: str) -> dict[str, Any]:
    return {key: row[key] for key in keys} | {"score": row[f"almanac: {side}"]}


def _differing(connection: duckdb.DuckDBPyConnection, compared: str, features: Sequence[str]) -> list[dict[str, Any]]:
    if not features:
        return []
    counts = ", ".join(
        f"count(*) FILTER ({quote('before ' + name)} IS DISTINCT FROM {quote('after ' + name)})" for name in features
    )
    row = connection.execute(system_sql("diff/differing_features", counts=counts, compared=compared)).fetchone()
    found = [{"feature": name, "differs_in": n} for name, n in zip(features, row or (), strict=True) if n]
    return sorted(found, key=lambda one: -one["differs_in"])
