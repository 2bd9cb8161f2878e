"""Train: a model version from past pages and the labels known before its cut-off, in the ledger with its figures.

The last fifth of the labelled pages is held out first, and predicted by a model that could have existed before it; then
the version itself is trained on all of them. The first version of a product goes live by itself.
"""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from jobs.metering import RunMeter
from jobs.models.artifacts import write_manifest, write_model
from jobs.models.estimators import make_estimator
from jobs.models.metrics import METRICS
from jobs.models.versions import ModelHistory, model_history
from jobs.progress import Progress, Silent
from jobs.scoring import Scorer, estimator_input, ready_scorer
from jobs.suite import Suite
from jobs.training_data import LabelledPages, TrainingRows, ensure_feature_pages, model_features
from warehouse import ledger
from warehouse.definitions import Product
from warehouse.errors import RunFailed, UsageError
from warehouse.ledger import ModelRecord, Promotion
from warehouse.publishing import record_definitions
from warehouse.query import fingerprint_of

#: The share of pages, the newest ones, that validation holds out.
VALIDATION_SHARE = 0.2
_PARITY_ROWS = 2_000
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "polars", "pyarrow", "duckdb", "numba", "skops", "lightgbm", "xgboost")


@dataclass(frozen=True)
class TrainResult:
    """A registered version; `went_live` tells whether it was the product's first."""

    model: ModelRecord
    went_live: bool
    wall_s: float


def train(
    suite: Suite, product_name: str, as_of: datetime | None = None, progress: Progress | None = None
) -> TrainResult:
    """Train a version as of an instant (default: now) on every page before it whose labels were known by then.

    Raises
    ------
    UsageError
        If there are no pages or no labels before `as_of`.
    DefinitionError
        If the product's estimator is not one, or a query does not bind.
    """
    progress = progress or Silent()
    product = suite.definitions.product(product_name)
    cutoff = suite.clock() if as_of is None else as_of
    if cutoff > suite.clock():
        raise UsageError(f"--as-of {cutoff} lies in the future; labels are known up to now ({suite.clock()} UTC).")
    meter = RunMeter(suite, "train", product.name)
    since = product.header.pages.since
    window = product.header.model.train_on
    pages = product.pages_between(max(since, cutoff - window) if window else since, cutoff)
    if len(pages) < 2:
        raise UsageError(
            f"{product.name} has {len(pages)} pages before {cutoff}: its grid begins at {since}. Train with a later"
            " --as-of, or set `pages.since` earlier."
        )
    with suite.lake.reading():  # says what to do if there is no lake yet
        pass
    ensure_feature_pages(suite, product, pages, progress)
    features = model_features(suite, product)
    with suite.staging(meter.run_id) as directory, LabelledPages(suite, product, pages, directory) as labelled:
        return _Training(suite, product, cutoff, features, labelled, directory, meter, progress).run()


class _Training:
    """One training, from labelled pages to a registered version."""

    def __init__(
        self,
        suite: Suite,
        product: Product,
        cutoff: datetime,
        features: dict[str, str],
        labelled: LabelledPages,
        directory: Path,
        meter: RunMeter,
        progress: Progress,
    ) -> None:
        self.suite, self.product, self.cutoff, self.features = suite, product, cutoff, features
        self.labelled, self.directory, self.meter, self.progress = labelled, directory, meter, progress

    def run(self) -> TrainResult:
        """Validate, fit, make the scorer, and register."""
        names = list(self.features)
        pages = self.labelled.pages
        self.progress.start("train", 3, "steps")
        rows = self.labelled.rows(names, self.cutoff, pages[0], self.cutoff)
        self._require_labels(rows)
        self.progress.advance(1, rows.n_rows)
        metrics = self._validate(rows, names)
        self.progress.advance(1)
        began = time.monotonic()
        estimator = self._fit(rows)
        metrics["fit_s"] = time.monotonic() - began
        scorer, _ = ready_scorer(estimator, names, rows.features.slice(0, _PARITY_ROWS))
        self.progress.advance(1)
        self.progress.finish()
        return self._register(estimator, scorer, rows, metrics)

    def _require_labels(self, rows: TrainingRows) -> None:
        if rows.n_rows == 0:
            raise UsageError(
                f"{self.product.name}: no label of its pages was known by {self.cutoff}. Ingest the facts that"
                f" {self.product.label.where} reads, or train with a later --as-of."
            )
        if self.product.header.label.kind == "binary" and len(np.unique(rows.labels)) < 2:
            raise UsageError(
                f"{self.product.name}: all {rows.n_rows} labels known by {self.cutoff} are {rows.labels[0]:g}; a"
                " classifier needs both. Train on more pages, or look at label.sql."
            )

    def _fit(self, rows: TrainingRows) -> Any:
        estimator = make_estimator(self.product, self.features, self.suite.root)
        frame = estimator_input(rows.features, list(self.features))
        try:
            return estimator.fit(frame, rows.labels)
        except (ValueError, TypeError) as error:
            raise RunFailed(f"{self.product.name}: the estimator refused the training rows: {error}") from error

    def _validate(self, rows: TrainingRows, names: Sequence[str]) -> dict[str, float]:
        """Hold out the newest pages; the model that predicts them has seen only labels known before the first.

        Pages whose labels are not known yet, as the last 12 weeks' of a label that takes 12, are none to hold out.
        """
        from jobs.scoring import estimator_scorer

        pages = sorted(set(rows.pages))
        first_held_out = pages[-max(1, round(len(pages) * VALIDATION_SHARE))]
        before = self.labelled.rows(names, first_held_out, pages[0], first_held_out)
        held_out = np.array([page >= first_held_out for page in rows.pages])
        enough = before.n_rows and held_out.any()
        if not enough or (self.product.header.label.kind == "binary" and len(np.unique(before.labels)) < 2):
            self.progress.warn(f"{self.product.name}: too few labelled pages to hold any out; no validation was made.")
            return {}
        import pyarrow as pa

        scores = estimator_scorer(self._fit(before), names).predict(rows.features.filter(pa.array(held_out)))
        score = np.asarray(scores[:, 1] if self.product.header.label.kind == "binary" else scores, np.float64)
        figures = METRICS[self.product.header.label.kind](rows.labels[held_out], score)
        return {f"validation_{name}": value for name, value in figures.items()}

    def _register(self, estimator: Any, scorer: Scorer, rows: TrainingRows, metrics: dict[str, float]) -> TrainResult:
        suite, product, sandbox = self.suite, self.product, self.labelled.sandbox
        now = suite.clock()
        definitions = fingerprint_of(
            suite.definitions.page_fingerprint(product),
            suite.definitions.label_fingerprint(product),
            product.header.model.model_dump(mode="json"),
        )
        staged = self.directory / "artifact"
        write_model(estimator, staged, product.header.model.estimator)
        with suite.lake.commit(f"train {product.name}, run {self.meter.run_id}") as commit:
            history = model_history(commit.connection, product.name)
            version = history.next_version()
            sha256 = write_manifest(staged, sandbox.suite_id, product.name, version)
            target = suite.lake.artifacts / product.name / f"{version}-{self.meter.run_id}"
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.rename(target)
            model = ModelRecord(
                product=product.name,
                version=version,
                label_cutoff=self.cutoff,
                trained_at=now,
                run_id=self.meter.run_id,
                first_page=self.labelled.pages[0],
                last_page=self.labelled.pages[-1],
                n_pages=len(self.labelled.pages),
                n_rows=rows.n_rows,
                definitions=definitions,
                ingest_id=sandbox.ingest_id,
                estimator=product.header.model.estimator,
                parameters=json.dumps(product.header.model.parameters, sort_keys=True),
                seed=product.header.model.seed,
                features=list(self.features),
                metrics=metrics,
                libraries=_library_versions(),
                artifact=target.relative_to(suite.lake.root).as_posix(),
                sha256=sha256,
                scorer=scorer.kind,
                scorer_reason=scorer.why,
                trained_by=getpass.getuser(),
            )
            record_definitions(commit, product, definitions, suite.definitions.texts_of(product), now)
            ledger.append(commit, [model])
            promotion = _first_promotion(history, model)
            ledger.append(commit, [promotion] if promotion else [])
            figures = {"n_pages": model.n_pages, "n_rows": model.n_rows, "model_version": version}
            run = self.meter.record("succeeded", definitions=definitions, snapshot_id=commit.snapshot_id, **figures)
            ledger.append(commit, [run])
        return TrainResult(model, promotion is not None, self.meter.wall_s)


def _first_promotion(history: ModelHistory, model: ModelRecord) -> Promotion | None:
    """Make a product's first version live, for pages from its label cut-off on."""
    if history.promotions:
        return None
    reason = "the first version of the product"
    return Promotion(model.product, model.version, model.label_cutoff, model.trained_at, model.trained_by, reason)


def _library_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
