"""Evaluate: published predictions against the labels known since, in all or by a column.

Rows without a label are left out, and counted; so are pages made with hindsight. The figures are worked out
in SQL, in memory that does not grow with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from jobs.models.columns.requirements import label_notes, unseen_notes
from jobs.monitoring.performance.cold import COLD, cold_column, is_cold
from jobs.monitoring.performance.page_figures import parts_of
from jobs.monitoring.performance.unfinished import Unfinished, find_unfinished
from jobs.pages.outcomes import settle_labels
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.lake.lake import table_columns
from warehouse.ledger import records as ledger
from warehouse.pages.kind_columns import lacks_fields, score_of_kind
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql


@dataclass(frozen=True)
class Evaluation:
    """How a range of pages did. `groups` has one row a group (one in all without a column); figures by name.

    `confusion` has, of classes, how many rows of each were taken for each. `notes` name the versions among `versions`
    that learnt another label than the one that they are measured by, and those that have never seen a class; and pages
    that are left out because their labels are not finished.
    """

    product: str
    first: datetime
    until: datetime
    n_predictions: int
    n_labelled: int
    n_hindsight: int
    n_pages: int
    versions: list[str]
    by: str | None
    groups: list[dict[str, Any]] = field(default_factory=list)
    calibration: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    confusion: list[dict[str, Any]] = field(default_factory=list)


def evaluate(suite: Suite, product_name: str, first: datetime, until: datetime, by: str | None = None) -> Evaluation:
    """Evaluate the published pages with first <= as_of < until.

    Parameters
    ----------
    suite, product_name
        Whose predictions.
    first, until
        Naive UTC.
    by
        A column of the predictions or of the features, to give the figures for each of its values.

    Raises
    ------
    UsageError
        If the range holds no prediction, none of them has a label yet, or there is no such column.
    """
    product = suite.definitions.product(product_name)
    settle_labels(suite, product)
    unfinished = _unfinished(suite, product, until)
    until = min([until, *(unfinished.pages[:1] if unfinished else [])])
    with suite.lake.reading(all_cores=True) as connection:
        if not table_columns(connection, "labels", product.name):
            raise UsageError(f"{product.name} has no published predictions with labels; run `almanac run` first.")
        _require_score(connection, product)
        keys, score = quote_all(product.keys), score_of_kind(product)
        coverage = system_sql("evaluate/coverage", table=quote(product.name), keys=keys, score=score)
        row = connection.execute(coverage, [first, until]).fetchone() or (0, 0, 0, 0, [], 0)
        if not row[1]:
            raise UsageError(
                f"{product.name}: of {row[0]} predictions from {first} until {until} none has a known label"
                f" ({row[2]} more were made with hindsight, and do not count). Choose another range."
            )
        rows = _rows(connection, product, first, until, by)
        figures = system_sql(
            f"evaluate/{product.kind.name}", by=quote(by) if by else "'all'", rows=rows, **parts_of(product)
        )
        groups = _records(connection, figures)
        if by is None and is_cold(product, COLD):
            groups += _cold_groups(connection, product, first, until)
        calibration = []
        if product.kind.is_calibrated:
            calibration = _records(connection, _calibration(product, rows, keys))
        confusion = []
        if product.classes:
            confusion = _records(connection, system_sql("evaluate/confusion", rows=rows))
        versions = row[4] or []
        models = [model for model in ledger.models(connection, product.name) if model.version in versions]
    notes = [*label_notes(suite.definitions, product, models), *unseen_notes(product, models)]
    if unfinished:
        notes.append(f"{unfinished.in_words(product)} They are left out here.")
    if row[5]:
        kind = product.kind.name
        notes.append(f"{row[5]:,} predictions of versions that did not learn a {kind} label are left out.")
    return Evaluation(
        product.name, first, until, row[0], row[1], row[2], row[3], versions, by, groups, calibration, notes, confusion
    )


def _unfinished(suite: Suite, product: Product, until: datetime) -> Unfinished | None:
    """Find out whether pages before `until` have labels that will be others."""
    with suite.lake.reading() as connection:
        pages = sorted(ledger.published_pages(connection, product.name, "predictions"))
    with suite.staging("evaluate") as directory, Sandbox(suite.lake, spill=directory) as sandbox:
        before = [page for page in pages if page < until]
        return find_unfinished(sandbox, suite, product, before, suite.clock(), directory)


def _cold_groups(
    connection: duckdb.DuckDBPyConnection, product: Product, first: datetime, until: datetime
) -> list[dict[str, Any]]:
    """Give the figures of entities of which little is known, and of the others, beside those of all."""
    rows = _rows(connection, product, first, until, COLD)
    query = system_sql(f"evaluate/{product.kind.name}", by=quote(COLD), rows=rows, **parts_of(product))
    found = _records(connection, query)
    return [{**one, "group": f"{COLD}: {str(one['group']).lower()}"} for one in found]


def _calibration(product: Product, rows: str, keys: str) -> str:
    if product.quantiles:
        return system_sql("evaluate/quantile_calibration", rows=rows, **parts_of(product))
    name = "class_calibration" if product.classes else "calibration"
    return system_sql(f"evaluate/{name}", rows=rows, keys=keys, **parts_of(product))


def _require_score(connection: duckdb.DuckDBPyConnection, product: Product) -> None:
    """See that predictions of the declared kind of label were ever published."""
    if lacks_fields(product, table_columns(connection, "predictions", product.name)):
        raise UsageError(
            f"{product.name}: label.kind of {product.yaml_where} is {product.kind.name}, and no version of that"
            f" kind has written a page yet. Train one (almanac train {product.name}), make it live and make pages."
        )


def _rows(
    connection: duckdb.DuckDBPyConnection, product: Product, first: datetime, until: datetime, by: str | None
) -> str:
    own = table_columns(connection, "predictions", product.name)
    features = table_columns(connection, "features", product.name)
    cold = cold_column(connection, product) if is_cold(product, by) else None
    if by is not None and cold is None and by not in own and by not in features:
        raise UsageError(f"{product.name} has no column `{by}`. It has: {', '.join(dict.fromkeys([*own, *features]))}.")
    joined = by is not None and by not in own
    keys = quote_all(product.keys)
    lists = {"list": quote_all(product.ranking.keys)} if product.ranking else {}
    return system_sql(
        "evaluate/ranked_rows" if lists else "evaluate/rows",
        **lists,
        table=quote(product.name),
        keys=keys,
        by_column=f", {cold or f'features.{quote(by)}'}" if joined and by else "",
        features=f"JOIN features.{quote(product.name)} AS features USING (as_of, {keys})" if joined else "",
        score=score_of_kind(product),
        first=timestamp_literal(first),
        until=timestamp_literal(until),
    )


def _records(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
