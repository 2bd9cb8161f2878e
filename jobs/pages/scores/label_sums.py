"""What the labels known at a page came to, by group, where the product's `fallback` is of labels.

They are the labels of the newest pages that had matured by the page's instant, as they were known then, beside the
features of their pages: what a training as of that instant would be given of them. Only the newest page has them, as
only the newest page's are shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from jobs.suite import Suite
from warehouse.batching.batch import Batch
from warehouse.definitions import Product
from warehouse.definitions.export import FallbackSettings
from warehouse.errors import RunFailed
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.pages.fallback.sums import LabelSums
from warehouse.pages.fallback.view import LABEL, names_of, where_known
from warehouse.pages.labels import compute_labels, settled_by
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import exact_path, literal, quote, quote_all, system_sql

_MOMENT = timedelta(microseconds=1)


def stage_label_sums(
    suite: Suite,
    product: Product,
    pages: Collection[datetime],
    ingest_id: int,
    directory: Path,
    judge_of: Callable[[Product], Callable[[PageRecord], bool]],
    tell: Callable[[str], None],
) -> LabelSums:
    """Stage the sums for the newest of some pages that are about to be published.

    Parameters
    ----------
    pages
        Those that are.
    ingest_id
        The newest ingestion that the pages were made from: later ones are left out here too.
    directory
        Where the run stages.
    judge_of
        Gives what tells whether a published feature page is what would be made anew.
    tell
        Told why there are none, where labels cannot be made: the page is published all the same.
    """
    settings = product.header.fallback
    if settings is None or settings.of != "labels" or not pages:
        return LabelSums()
    page = max(pages)
    with suite.lake.reading() as connection:
        if any(other > page for other in ledger.published_pages(connection, product.name, "predictions")):
            return LabelSums()
    try:
        with Sandbox(suite.lake, spill=directory / "spill-of-labels") as sandbox:
            sandbox.ingest_id = ingest_id
            return _Sums(suite, product, settings, sandbox, directory).of(page, judge_of(product))
    except RunFailed as error:
        tell(f"{product.name}_fallback says nothing on the page {page}: {error}")
        return LabelSums()


class _Sums:
    """The labels known at a page, with what they are grouped by."""

    def __init__(
        self, suite: Suite, product: Product, settings: FallbackSettings, sandbox: Sandbox, directory: Path
    ) -> None:
        self.definitions, self.product, self.settings = suite.definitions, product, settings
        self.sandbox, self.directory = sandbox, directory

    def of(self, page: datetime, is_fresh: Callable[[PageRecord], bool]) -> LabelSums:
        matured = self._matured(page)
        if not matured:
            return LabelSums()
        labels, file = self.directory / "known-labels.parquet", self.directory / "label-sums.parquet"
        compute_labels(self.sandbox, self.definitions, self.product, matured, page, labels)
        columns = self.settings.columns
        said = {"product": literal(self.product.name), "page": timestamp_literal(page)}
        query = system_sql(
            "fallback/sums",
            columns=quote_all(columns, "features.") or "NULL AS nothing",
            labels=literal(exact_path(labels)),
            features=self._features(matured, is_fresh),
            keys=quote_all(self.product.keys),
            levels="\nUNION ALL\n".join(self._level(level, said) for level in self.settings.levels.values()),
            file=literal(str(file)),
        )
        self.sandbox.cursor().execute(query)
        return LabelSums(page, file)

    def _matured(self, page: datetime) -> list[datetime]:
        """Give the newest pages whose labels had all had the time to come by the page's instant."""
        settled = settled_by(self.sandbox, self.definitions, self.product, page)
        at, found = min(settled - self.product.maturity, page - _MOMENT), list[datetime]()
        while len(found) < self.settings.n_pages and (earlier := self.product.page_at(at)) is not None:
            found.append(earlier)
            at = earlier - _MOMENT
        return sorted(found)

    def _features(self, pages: Sequence[datetime], is_fresh: Callable[[PageRecord], bool]) -> str:
        """Give SQL of the features of pages: as they are published, and worked out where they are not or are stale."""
        with self.sandbox.ledger_reading() as (connection, _):
            published = ledger.published_pages(connection, self.product.name, "features", pages)
        there = [page for page in pages if page in published and is_fresh(published[page])]
        lacking = [page for page in pages if page not in there]
        parts = []
        if there:
            listed, table = ", ".join(map(timestamp_literal, there)), quote(self.product.name)
            parts.append(system_sql("pages/reused", lake=self.sandbox.catalogue, table=table, pages=listed))
        if lacking:
            file = self.directory / "features-of-labels.parquet"
            with Batch(self.sandbox, self.definitions, self.product) as batch:
                made = batch.compute(lacking, file, os.cpu_count() or 1, lambda _: None)
                if batch.failed:
                    failed, why = min(batch.failed.items())
                    raise RunFailed(f"the features of {failed} cannot be made: {why}")
            parts.append(f"(FROM read_parquet({literal(exact_path(made.file))}))")
        return parts[0] if len(parts) == 1 else f"({' UNION ALL BY NAME '.join(parts)})"

    def _level(self, columns: Sequence[str], said: dict[str, str]) -> str:
        return system_sql(
            "fallback/sums_of_level",
            names=names_of(columns),
            group_values=f"[{', '.join(f'{quote(name)}::VARCHAR' for name in columns)}]::VARCHAR[]",
            sums=self._sum(),
            known=where_known(columns),
            by=f"GROUP BY {quote_all(columns)}" if columns else "",
            **said,
        )

    def _sum(self) -> str:
        """Give SQL of what is summed up; no sum depends on the order of rows."""
        if self.product.kind.has_classes:
            return "histogram(label)"
        total = "sum(label)" if self.product.kind.name == "binary" else "list_sum(list(label ORDER BY label))"
        return f"MAP {{{literal(LABEL)}: {total}}}"
