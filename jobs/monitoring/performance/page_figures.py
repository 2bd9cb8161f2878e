"""Figures of published pages: the metrics of those whose labels have come, and what their predictions expect.

Metrics come from the same statements as `almanac evaluate` has, so that a page's are those of its full labels. What
predictions expect, and the loss row by row, is worked out on the same rows, sorted, so that equal rows give equal bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt

from jobs.monitoring.performance.calibration import Calibration, calibration_of
from jobs.monitoring.performance.cold import cold_column, is_cold
from jobs.monitoring.performance.losses import Expectation, Floats, losses
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.lake.lake import table_columns
from warehouse.ledger.records import PageRecord
from warehouse.pages.kind_columns import probability_list, quantile_list, score_of_kind
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are held in memory at a time, as far as a page has no more.
_ROWS_AT_A_TIME = 2_000_000
#: Of a column there are as many segments as this, the largest first; the others are not judged one by one.
MOST_SEGMENTS = 100
#: Stands for NULL among the values of a segment column, which text of a database cannot be.
_NULL = "\x00"
#: Page, version, segment column and its value; the last two None for a whole page.
Of = tuple[datetime, str, str | None, str | None]


@dataclass(frozen=True)
class PageFigures:
    """Figures of one version's predictions of a page, or of one segment of it.

    `metrics`, `loss` and `excess` are of labelled rows, where the page's labels have all come. `expected_loss` and
    `expected` are of the same rows then, and of all rows of a page whose labels have not come.
    """

    n_rows: int
    n_labelled: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    loss: float | None = None
    expected_loss: float | None = None
    row_variance: float = 0.0

    @property
    def excess(self) -> float | None:
        """Loss beyond what the predictions expected."""
        return None if self.loss is None or self.expected_loss is None else self.loss - self.expected_loss


@dataclass(frozen=True)
class Judged:
    """What is looked at: pages of a product, their labels, and by which columns."""

    product: Product
    labels: str
    segments: Sequence[str]
    expectations: Mapping[str, Expectation | None]

    def rows(self, connection: duckdb.DuckDBPyConnection, pages: Sequence[datetime]) -> str:
        """Give SQL of the predictions of some pages, each beside its label and with the segment columns."""
        product, keys = self.product, quote_all(self.product.keys)
        named = [name for name in self.segments if not is_cold(product, name)]
        joined = [f"features.{quote(name)}" for name in joined_columns(connection, product, named)]
        joined += [cold_column(connection, product)] if len(named) < len(self.segments) else []
        return system_sql(
            "performance/rows",
            table=quote(product.name),
            labels=self.labels,
            keys=keys,
            more="".join(f", {each}" for each in joined),
            features=f"JOIN features.{quote(product.name)} AS features USING (as_of, {keys})" if joined else "",
            score=score_of_kind(product),
            first=timestamp_literal(min(pages)),
            last=timestamp_literal(max(pages)),
            pages=", ".join(timestamp_literal(page) for page in pages),
        )


def joined_columns(connection: duckdb.DuckDBPyConnection, product: Product, wanted: Sequence[str]) -> list[str]:
    """Choose, of the columns that segments are made by, those that only feature pages have.

    Raises
    ------
    UsageError
        If neither predictions nor feature pages have one of them.
    """
    own = table_columns(connection, "predictions", product.name)
    features = table_columns(connection, "features", product.name)
    unknown = [name for name in wanted if name not in own and name not in features]
    if unknown:
        there = ", ".join(dict.fromkeys([*own, *features]))
        raise UsageError(f"{product.yaml_where}: `monitor` names {unknown}, which are no columns. There is: {there}.")
    return [name for name in wanted if name not in own]


def figures_of(
    connection: duckdb.DuckDBPyConnection, judged: Judged, pages: Sequence[PageRecord], mature: set[datetime]
) -> dict[Of, PageFigures]:
    """Work out the figures of some pages, as many at a time as fit into memory."""
    found: dict[Of, PageFigures] = {}
    for batch in _batches(pages):
        of_mature = [page for page in batch if page in mature]
        metrics = _metrics(connection, judged, of_mature) if of_mature else {}
        for of, figures in _of_rows(_scores(connection, judged, batch), judged, mature):
            found[of] = PageFigures(metrics=metrics.get(of, {}), **figures)
    return found


def parts_of(product: Product) -> dict[str, str]:
    """Give what queries over classes, or quantiles, have places for."""
    if product.quantiles:
        levels = ", ".join(repr(each) for each in product.quantiles)
        return {"levels": f"[{levels}]::DOUBLE[]", "quantiles": quantile_list(product)}
    if product.ranking is not None:
        items = [key for key in product.keys if key not in product.ranking.keys]
        return {
            "list": f"row({quote_all(product.ranking.keys)})",
            "items": f"row({quote_all(items)})",
            "candidates": f"features.{quote(product.name)}",
            "top": str(product.ranking.top),
        }
    if not product.classes:
        return {}
    listed = ", ".join(literal(name) for name in product.classes)
    return {"classes": f"[{listed}]", "probabilities": probability_list(product)}


def _batches(pages: Sequence[PageRecord]) -> Iterator[list[datetime]]:
    batch, n_rows = list[datetime](), 0
    for page in pages:
        if batch and n_rows + page.n_rows > _ROWS_AT_A_TIME:
            yield batch
            batch, n_rows = [], 0
        batch.append(page.as_of)
        n_rows += page.n_rows
    if batch:
        yield batch


def _metrics(
    connection: duckdb.DuckDBPyConnection, judged: Judged, pages: Sequence[datetime]
) -> dict[Of, dict[str, float]]:
    product, found = judged.product, dict[Of, dict[str, float]]()
    rows = system_sql("performance/labelled", rows=judged.rows(connection, pages))
    parts = parts_of(product)
    for segment in (None, *judged.segments):
        value = "NULL" if segment is None else f"{quote(segment)}::VARCHAR"
        by = f"{{'as_of': as_of, 'version': model_version, 'value': {value}}}"
        cursor = connection.execute(system_sql(f"evaluate/{product.kind.name}", by=by, rows=rows, **parts))
        names = [str(column[0]) for column in cursor.description]
        for group, *values in cursor.fetchall():
            of = group["as_of"], group["version"], segment, group["value"]
            found[of] = {
                name: float(each)
                for name, each in zip(names[1:], values, strict=True)
                if each is not None and each == each and name != "n_rows"
            }
    return found


def score_and_label(product: Product) -> tuple[str, str]:
    """Give SQL of a row's score and label as numbers: of classes or quantiles a list, and the place of the class."""
    parts = parts_of(product)
    if product.classes:
        return parts["probabilities"], f"(list_position({parts['classes']}, label) - 1)::DOUBLE"
    return parts["quantiles"] if product.quantiles else quote(product.score_column), "label::DOUBLE"


def _scores(connection: duckdb.DuckDBPyConnection, judged: Judged, pages: Sequence[datetime]) -> pa.Table:
    score, label = score_and_label(judged.product)
    segments = "".join(
        f", {quote(name)}::VARCHAR AS {quote(f'segment {place}')}" for place, name in enumerate(judged.segments)
    )
    rows = judged.rows(connection, pages)
    query = system_sql("performance/scores", score=score, label=label, segments=segments, rows=rows)
    return connection.execute(query).to_arrow_table()


def _of_rows(table: pa.Table, judged: Judged, mature: set[datetime]) -> Iterator[tuple[Of, dict[str, Any]]]:
    """Go through the pages and versions of a table that is sorted by them, and through their segments."""
    if table.num_rows == 0:
        return
    pages = table.column("as_of").to_numpy().astype("M8[us]")
    versions = table.column("model_version").to_numpy(zero_copy_only=False).astype(str)
    labels = np.asarray(table.column("label").to_numpy(), np.float64)
    product = judged.product
    scores = score_matrix(table, product)
    segments = [
        table.column(f"segment {place}").fill_null(_NULL).to_numpy(zero_copy_only=False).astype(str)
        for place in range(len(judged.segments))
    ]
    changes = np.flatnonzero((pages[1:] != pages[:-1]) | (versions[1:] != versions[:-1])) + 1
    for chosen in np.split(np.arange(len(pages)), changes):
        page, version = pages[chosen[0]].item(), str(versions[chosen[0]])
        expectation = judged.expectations.get(version)

        def figures(rows: Any, page: datetime = page, expectation: Expectation | None = expectation) -> dict[str, Any]:
            return _figures(labels[rows], scores[rows], product, expectation, page in mature)

        yield (page, version, None, None), figures(chosen)
        for name, column in zip(judged.segments, segments, strict=True):
            own = column[chosen]
            there, counts = np.unique(own, return_counts=True)
            for value in there[np.argsort(-counts, kind="stable")][:MOST_SEGMENTS]:
                text = None if value == _NULL else str(value)
                yield (page, version, name, text), figures(chosen[own == value])


def score_matrix(table: pa.Table, product: Product) -> Floats:
    """Give the column `score` of a table, (n_rows,), or (n_rows, n_classes or n_quantiles)."""
    n_columns = len(product.classes or product.quantiles)
    column = table.column("score").combine_chunks()
    if not n_columns:
        return np.asarray(column.to_numpy(), np.float64)
    flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(-1, n_columns)
    # A class that a version did not know has no probability.
    return np.nan_to_num(flat, nan=0.0)


def _figures(
    labels: Floats, scores: Floats, product: Product, expectation: Expectation | None, is_mature: bool
) -> dict[str, Any]:
    is_labelled = ~np.isnan(labels)
    found: dict[str, Any] = {"n_rows": len(labels), "n_labelled": int(is_labelled.sum())}
    if is_mature:
        labels, scores = labels[is_labelled], scores[is_labelled]
    if len(scores) == 0:
        return found
    order = np.lexsort((labels, scores)) if scores.ndim == 1 else np.lexsort((labels, *scores.T))
    labels, scores = labels[order], scores[order]
    if is_mature:
        found["loss"] = float(losses(labels, scores, product.kind.name, product.quantiles).mean())
    if expectation is not None:
        expected = expectation.loss(scores)
        found |= {"expected_loss": float(expected.mean()), "expected": expectation.metrics(scores)}
        found["row_variance"] = float(expectation.variance(scores).mean() / len(scores))
    return found


def labelled_rows(
    connection: duckdb.DuckDBPyConnection, judged: Judged, page: datetime, version: str
) -> tuple[npt.NDArray[np.str_], Floats, Floats]:
    """Give the group, the label and the score of each labelled row of a page; a group is named by its segments."""
    table = _scores(connection, judged, [page])
    labels = np.asarray(table.column("label").to_numpy(), np.float64)
    scores = score_matrix(table, judged.product)
    columns = [
        table.column(f"segment {place}").fill_null("NULL").to_numpy(zero_copy_only=False).astype(str)
        for place in range(len(judged.segments))
    ]
    groups = columns[0]
    for more in columns[1:]:
        groups = np.char.add(np.char.add(groups, ", "), more)
    versions = table.column("model_version").to_numpy(zero_copy_only=False).astype(str)
    chosen = ~np.isnan(labels) & (versions == version)
    # Rows come in any order; sums are taken in one, so that equal rows give equal bits.
    order = np.flatnonzero(chosen)
    order = order[np.lexsort((labels[order], scores[order] if scores.ndim == 1 else scores[order, 0]))]
    return groups[order], labels[order], scores[order]


def calibrations(
    connection: duckdb.DuckDBPyConnection, judged: Judged, pages: Sequence[Sequence[datetime]]
) -> list[Calibration | None]:
    """Give the calibration of each stretch of pages, as far as the label is binary."""
    everything = sorted({page for stretch in pages for page in stretch})
    if judged.product.kind.name != "binary" or not everything:
        return [None for _ in pages]
    rows = system_sql("performance/labelled", rows=judged.rows(connection, everything))
    table = connection.execute(system_sql("performance/log_odds", rows=rows)).to_arrow_table()
    at = table.column("as_of").to_numpy().astype("M8[us]")
    columns = [np.asarray(table.column(name).to_numpy(), np.float64) for name in ("log_odds", "n_rows", "ones")]
    found = []
    for stretch in pages:
        chosen = np.isin(at, np.array(stretch, "M8[us]"))
        found.append(calibration_of(at[chosen].astype(np.int64), *(column[chosen] for column in columns)))
    return found
