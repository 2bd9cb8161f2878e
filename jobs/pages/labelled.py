"""What a model is trained on: feature pages of the past, and the labels that were known by the cut-off.

A model trained as of T sees the labels known before T, no others; the part that is held out for validation is
predicted by a model that saw only the labels known before the first page of that part.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jobs.models.arms.assignment import EXPLORE
from jobs.pages.batches import PagesWanted, make_in_batches
from jobs.pages.staleness import Staleness
from jobs.progress import Progress
from jobs.suite import Suite
from warehouse.batching.batch import Batch
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.lake.lake import table_columns
from warehouse.lake.registry import ARM_COLUMN
from warehouse.ledger import records as ledger
from warehouse.ledger.found_classes import finding_more
from warehouse.ledger.recorded_deliveries import facts_needed
from warehouse.pages.labels import compute_labels
from warehouse.pages.lists.kept import is_kept_whole
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.row_wise import columns_read
from warehouse.sandbox import Sandbox
from warehouse.system_sql import exact_path, literal, quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

#: DuckDB types that a model is given. Times, lists and structs stay in the table for people to read.
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "UTINYINT", "USMALLINT")
#: Pages that are made anew at a time.
_PAGES_ANEW = 64
_MORE_NUMBERS = ("UINTEGER", "UBIGINT", "DECIMAL")


@dataclass(frozen=True)
class TrainingRows:
    """Rows to learn from.

    Attributes
    ----------
    features
        The model's columns, and the keys.
    labels
        (n_rows,); of classes their places in the order that product.yaml declares.
    pages
        The as_of of each row, (n_rows,), datetime64 in microseconds, UTC.
    """

    features: pa.Table
    labels: npt.NDArray[np.float64]
    pages: npt.NDArray[np.datetime64]

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    def between(self, first: datetime, until: datetime) -> TrainingRows:
        """Give the rows of the pages with first <= as_of < until."""
        return self.where((self.pages >= np.datetime64(first, "us")) & (self.pages < np.datetime64(until, "us")))

    def distinct_pages(self) -> list[datetime]:
        """Give the pages that have rows, ascending."""
        found: list[datetime] = np.unique(self.pages).tolist()
        return found

    def where(self, chosen: npt.NDArray[np.bool_]) -> TrainingRows:
        """Give some of the rows."""
        import pyarrow as pa

        if chosen.all():
            return self
        return TrainingRows(self.features.filter(pa.array(chosen)), self.labels[chosen], self.pages[chosen])

    def in_order(self, places: npt.NDArray[np.int64]) -> TrainingRows:
        """Give the rows in another order."""
        return TrainingRows(self.features.take(places), self.labels[places], self.pages[places])

    def hash(self, names: Sequence[str]) -> str:
        """Hash the values of some columns, the labels and the pages, in their order."""
        import pyarrow as pa

        digest = hashlib.blake2b(digest_size=16)
        for name in names:
            column = self.features.column(name)
            digest.update(np.packbits(column.is_valid().to_numpy()).tobytes())
            values = column.drop_null()
            if pa.types.is_string(values.type):
                digest.update("\0".join(values.to_pylist()).encode())
            else:
                digest.update(values.cast(pa.float64(), safe=False).to_numpy().tobytes())
        digest.update(self.labels.tobytes())
        digest.update(self.pages.tobytes())
        return digest.hexdigest()


def ensure_feature_pages(suite: Suite, product: Product, pages: Sequence[datetime], progress: Progress) -> None:
    """Publish the feature pages that are missing or out of date; they are pages too, with no model."""
    with suite.lake.reading() as connection:
        present = ledger.published_pages(connection, product.name, "features")
        facts = facts_needed(connection, suite.definitions.sources_of(product))
        staleness = Staleness(suite.definitions, product, facts, connection)
        pages_wanted = [page for page in pages if page not in present or staleness.why(present[page])]
    progress.start("features", len(pages))
    progress.advance(len(pages) - len(pages_wanted))
    make_in_batches(suite, PagesWanted(product, pages_wanted, None), progress)
    progress.finish()


def model_features(suite: Suite, product: Product, made: Collection[str]) -> dict[str, str]:
    """Choose the columns of the feature pages that a model is given, categories first, with their types.

    Parameters
    ----------
    made
        The columns that pages have by the definitions as they are. The lake keeps those that they once had.
    """
    with suite.lake.reading() as connection:
        kept = table_columns(connection, "features", product.name)
    return choose_features(product, {name: kind for name, kind in kept.items() if name in made})


def choose_features(product: Product, columns: Mapping[str, str]) -> dict[str, str]:
    """Choose, among the columns of a feature table, those that a model is given; categories come first.

    A rule is given the keys and the columns that it names.

    Raises
    ------
    UsageError
        If `leave_out` or a rule names a column that is not there, or none remains.
    """
    if product.rule is not None:
        return _columns_of_rule(product, product.rule, columns)
    left_out = {*product.keys, "as_of", "valid_until", *product.header.model.leave_out}
    unknown = sorted(set(product.header.model.leave_out) - columns.keys())
    if unknown:
        raise UsageError(f"{product.yaml_where}: model.leave_out names {unknown}, which are no feature columns.")
    usable = {name: kind for name, kind in columns.items() if name not in left_out}
    texts = {name: kind for name, kind in usable.items() if kind == "VARCHAR"}
    numbers = {name: kind for name, kind in usable.items() if kind in _NUMBERS or kind.startswith(_MORE_NUMBERS)}
    if not texts and not numbers:
        raise UsageError(f"{product.yaml_where}: the feature pages have no column that a model can use: {columns}.")
    return texts | numbers


def _columns_of_rule(product: Product, rule: CheckedQuery, columns: Mapping[str, str]) -> dict[str, str]:
    # Names of columns do not depend on their case in DuckDB.
    known = {name.lower(): name for name in columns if name not in ("as_of", "valid_until")}
    named = [*product.keys, *columns_read(rule)]
    if unknown := [name for name in named if name.lower() not in known]:
        raise UsageError(f"{rule.where} reads {unknown}, which are no features. There is: {', '.join(known.values())}.")
    return {known[name.lower()]: columns[known[name.lower()]] for name in named}


def _numbers(labels: pa.ChunkedArray, classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Give labels as numbers; that each is one of the classes was seen when they were computed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if classes:
        labels = pc.index_in(labels, pa.array(classes, pa.string()))
    return np.asarray(labels.to_numpy(), np.float64)


class LabelledPages:
    """Feature pages with their labels, as known by an instant. Opened on one snapshot; close it after use."""

    def __init__(
        self, suite: Suite, product: Product, pages: Sequence[datetime], directory: Path, ingest_id: int | None = None
    ) -> None:
        """Open them; with `ingest_id`, as they were before later ingestions, made anew instead of read."""
        self.suite, self.product, self.pages, self.directory = suite, product, list(pages), directory
        self.sandbox = Sandbox(suite.lake, spill=directory / "spill")
        self._features = f"{self.sandbox.catalogue}.features.{quote(product.name)}"
        self._labels: dict[datetime, tuple[Path, set[datetime]]] = {}
        if ingest_id is not None:
            self.sandbox.ingest_id = ingest_id
            self._features = self._made_anew()

    def columns(self) -> dict[str, str]:
        """Give the columns that a page has by the definitions as they are, with their types."""
        with Batch(self.sandbox, self.suite.definitions, self.product) as batch:
            return batch.page_types(self.pages[-1])

    def columns_of_groups(self) -> dict[str, list[str]]:
        """Give the columns that come from each feature group by the definitions as they are."""
        with Batch(self.sandbox, self.suite.definitions, self.product) as batch:
            return batch.columns_of_groups(self.pages[-1])

    def _made_anew(self) -> str:
        """Compute the feature pages from the facts that the sandbox shows; give SQL of a relation that holds them."""
        for number, start in enumerate(range(0, len(self.pages), _PAGES_ANEW)):
            with Batch(self.sandbox, self.suite.definitions, self.product) as batch:
                file = self.directory / f"anew-{number:05}.parquet"
                batch.compute(self.pages[start : start + _PAGES_ANEW], file, os.cpu_count() or 1, lambda _: None)
        return f"read_parquet({literal(exact_path(self.directory) + '/anew-*.parquet')})"

    def __enter__(self) -> LabelledPages:
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.close()

    def rows(self, features: Sequence[str], known_by: datetime, first: datetime, until: datetime) -> TrainingRows:
        """Read the rows of the pages with first <= as_of < until whose label was known by `known_by`."""
        file = self._labels_known_by(known_by, [page for page in self.pages if first <= page < until] or [first])
        query = system_sql(
            "training/rows",
            columns=quote_all(features, "features."),
            table=self._features,
            keys=quote_all(self.product.keys),
            kept=is_kept_whole(self.product),
        )
        cursor = self.sandbox.cursor()
        try:
            parameters = {"labels": exact_path(file), "first": first, "until": until}
            table = cursor.execute(query, parameters).to_arrow_table()
        finally:
            cursor.close()
        labels = _numbers(table.column("label"), self.product.classes)
        pages = table.column("as_of").to_numpy().astype("M8[us]")
        return TrainingRows(table.drop_columns(["label", "as_of"]), labels, pages)

    def influenced_share(self, known_by: datetime, first: datetime, until: datetime) -> float | None:
        """Give the share of the labels of some pages that a prediction may have influenced; None without labels.

        What nobody chose for, and pages that were made when it was too late, count as not influenced.
        """
        product, catalogue = self.product, self.sandbox.catalogue
        with self.suite.lake.reading() as connection:
            columns = table_columns(connection, "predictions", product.name)
        if not columns:
            return 0.0
        query = system_sql(
            "training/influenced",
            unit=quote_all(product.ranking.keys if product.ranking else product.keys),
            predictions=f"{catalogue}.predictions.{quote(product.name)}",
            chosen=f"arm IS DISTINCT FROM {literal(EXPLORE)}" if ARM_COLUMN.keys() <= columns.keys() else "true",
        )
        file = self._labels_known_by(known_by, [page for page in self.pages if first <= page < until] or [first])
        values = {"labels": exact_path(file), "first": first, "until": until}
        with contextlib.closing(self.sandbox.cursor()) as cursor:
            n_rows, n_influenced = cursor.execute(query, values).fetchone() or (0, 0)
        return n_influenced / n_rows if n_rows else None

    def find_classes(self, known_by: datetime) -> None:
        """Let the classes of the product be those that were found before, and those of the labels known by an instant.

        Raises
        ------
        UsageError
            If there are too many of them, or two differ in case alone.
        """
        found = self.product
        # Without classes, any label may be one.
        self.product = replace(found, found_classes=())
        file = self._labels_known_by(known_by, self.pages)
        with contextlib.closing(self.sandbox.cursor()) as cursor:
            query = "SELECT DISTINCT label FROM read_parquet($1) WHERE label IS NOT NULL"
            labels = [str(row[0]) for row in cursor.execute(query, [exact_path(file)]).fetchall()]
        self.product = finding_more(found, labels)

    def _labels_known_by(self, known_by: datetime, pages: Sequence[datetime]) -> Path:
        """Compute the labels of some pages as known by an instant; give the file, which may hold other pages' too.

        Folds, ways of training and gates ask about the same instants again.
        """
        file, present = self._labels.get(known_by, (None, set[datetime]()))
        if file is None or not present.issuperset(pages):
            file = self.directory / f"labels-{len(self._labels)}.parquet"
            compute_labels(self.sandbox, self.suite.definitions, self.product, pages, known_by, file)
            self._labels[known_by] = (file, set(pages))
        return file
