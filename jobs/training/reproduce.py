"""Reproduce: a version trained again from its record, and compared; or what stands in the way.

The pages are made anew from the facts that the training saw (later ingestions left out), the estimator is fitted
with the same settings, seed and number of threads, and both models score the training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from jobs.metering import RunMeter
from jobs.models import environment
from jobs.models.versions import left_out_pages, load_estimator, model_history
from jobs.pages.labelled import LabelledPages, model_features
from jobs.progress import Progress, Silent
from jobs.scoring import estimator_scorer
from jobs.suite import Suite
from jobs.training.fit import Stateful, Stateless, Way, model_definitions
from jobs.training.search import as_searched
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.ledger.records import ModelRecord

#: Rows on which raw predictions are compared: spread evenly over the training rows.
_ROWS = 20_000


@dataclass(frozen=True)
class Reproduction:
    """How the second training compares.

    Attributes
    ----------
    same
        Whether every raw prediction compared is the same in every bit; None if it was not trained again.
    n_rows
        How many were compared.
    largest_difference
        Between two raw predictions.
    same_rows
        Whether the training rows, labels and pages are those of the record; None where it has no hash of them.
    differences
        What is not as the record says: definitions, pages, libraries, platform, threads.
    """

    product: str
    version: str
    same: bool | None
    n_rows: int
    largest_difference: float | None
    same_rows: bool | None
    differences: list[str]


def reproduce(suite: Suite, product_name: str, version: str, progress: Progress | None = None) -> Reproduction:
    """Train a version again from its record and compare raw predictions. Nothing is registered.

    Raises
    ------
    NotFoundError
        If there is no such version, or the one that it continues is gone.
    UsageError
        If it was not trained.
    """
    progress = progress or Silent()
    product = suite.definitions.product(product_name)
    with suite.lake.reading() as connection:
        history = model_history(connection, product.name)
    model = history.version(version)
    if model.is_rule:
        raise UsageError(
            f"{product.name} {version} is a text of SQL, which was not trained: there is nothing to train again. Its"
            f" text lies in {model.artifact}."
        )
    product = as_searched(product, model.validation)
    parent = history.version(model.parent) if model.parent else None
    if model.is_imported:
        raise UsageError(f"{product.name} {version} was trained elsewhere: there is nothing to train again.")
    differences = _differences(suite, product, model)
    pages = _pages(product, model, parent)
    if pages is None or model.definitions != model_definitions(suite, product):
        return Reproduction(product.name, version, None, 0, None, None, differences)
    run_id = RunMeter(suite, "reproduce", product.name).run_id
    progress.start("reproduce", 2, "steps")
    with (
        suite.staging(run_id) as directory,
        LabelledPages(suite, product, pages, directory, model.ingest_id) as labelled,
        environment.limited_to(model.threads or environment.threads()),
    ):
        kinds = model_features(suite, product, labelled.columns())
        features = {name: kinds[name] for name in model.features}
        way: Way = Stateless(suite, labelled, features)
        if parent is not None:
            way = Stateful(suite, labelled, features, parent)
        rows = way.rows(model.writes_from)
        progress.advance(1, rows.n_rows)
        again = estimator_scorer(way.fit(rows).estimator, model.features)
        progress.advance(1)
        chosen = np.unique(np.linspace(0, rows.n_rows - 1, min(_ROWS, rows.n_rows)).astype(np.int64))
        sample = rows.features.take(chosen)
        before = estimator_scorer(load_estimator(suite.lake, model), model.features).raw(sample)
        after = again.raw(sample)
    progress.finish()
    same_rows = None if model.rows_hash is None else rows.hash(model.features) == model.rows_hash
    if same_rows is False:
        differences.append(f"training rows: {model.n_rows:,} in the record, {rows.n_rows:,} now, or other values")
    same = before.shape == after.shape and bool(np.array_equal(before, after, equal_nan=True))
    largest = float(np.nanmax(np.abs(before - after))) if before.shape == after.shape else None
    return Reproduction(product.name, version, same, len(sample), largest, same_rows, differences)


def _pages(product: Product, model: ModelRecord, parent: ModelRecord | None) -> list[datetime] | None:
    """Give the pages of the training, or None if the grid has others now."""
    left_out = left_out_pages(model)
    pages = product.pages_between(model.first_page, model.writes_from)
    pages = [page for page in pages if page not in left_out]
    return pages if parent is not None or len(pages) == model.n_pages else None


def _differences(suite: Suite, product: Product, model: ModelRecord) -> list[str]:
    """Say what is not as it was when the version was trained."""
    found = []
    if model.definitions != (now := model_definitions(suite, product)):
        found.append(
            f"definitions: {model.definitions} then, {now} now; their text of then is in ledger.definitions. Check"
            " them out, and reproduce again"
        )
    if _pages(product, model, None) is None and model.parent is None:
        found.append(f"page grid: {model.n_pages} pages then, another number now")
    installed = environment.library_versions()
    for name in sorted({*model.libraries, *installed}):
        if model.libraries.get(name) != installed.get(name):
            found.append(f"library {name}: {model.libraries.get(name)} then, {installed.get(name)} now")
    if model.platform and model.platform != environment.platform_text():
        found.append(f"platform: {model.platform} then, {environment.platform_text()} now")
    if model.threads and model.threads > environment.threads():
        found.append(f"threads: {model.threads} then, {environment.threads()} here at most")
    return found
