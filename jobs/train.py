"""Train: a model version from past pages and the labels known before its cut-off, in the ledger with its figures.

The newest pages are held out first, and predicted by models that could have existed before them; then the version
itself is trained on all pages. It goes live if the gates of its product pass; of a product without gates the first
version does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.evidence import Contender
from jobs.judging import Verdict, judge_contender
from jobs.metering import RunMeter
from jobs.models import surroundings
from jobs.models.artifacts import write_manifest, write_model
from jobs.models.estimators import make_estimator
from jobs.models.folds import time_ordered_folds
from jobs.models.versions import ModelHistory, model_history
from jobs.progress import Progress, Silent
from jobs.promotion import record_decision
from jobs.scoring import ParityReport, Scorer, estimator_input, ready_scorer
from jobs.suite import Suite
from jobs.training_data import LabelledPages, TrainingRows, ensure_feature_pages, model_features
from jobs.validation import Validation, can_be_learnt, validate
from warehouse import ledger
from warehouse.decisions import extend_ledger
from warehouse.definitions import Product
from warehouse.errors import RunFailed, UsageError
from warehouse.ledger import ModelRecord
from warehouse.publishing import record_definitions
from warehouse.query import fingerprint_of

if TYPE_CHECKING:
    pass

_PARITY_ROWS = 2_000


@dataclass(frozen=True)
class TrainResult:
    """A registered version; `went_live` tells whether it writes pages now, `why` why it does or does not."""

    model: ModelRecord
    went_live: bool
    why: str
    verdict: Verdict
    validation: Validation
    wall_s: float


def train(
    suite: Suite,
    product_name: str,
    as_of: datetime | None = None,
    progress: Progress | None = None,
    *,
    window: timedelta | None = None,
    reason: str | None = None,
    may_promote: bool = True,
) -> TrainResult:
    """Train a version as of an instant (default: now) on every page before it whose labels were known by then.

    Parameters
    ----------
    window
        Only the pages of the newest so much time; by default `model.train_on` of product.yaml, or all.
    reason
        Why it is trained, for the record.
    may_promote
        Whether it may go live if its gates pass.

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
    pages = pages_to_train_on(product, cutoff, window or product.header.model.train_on)
    with suite.lake.reading():  # says what to do if there is no lake yet
        pass
    ensure_feature_pages(suite, product, pages, progress)
    features = model_features(suite, product)
    with suite.staging(meter.run_id) as directory, LabelledPages(suite, product, pages, directory) as labelled:
        training = _Training(suite, product, cutoff, features, labelled, directory, meter, progress)
        return training.run(reason, may_promote)


def pages_to_train_on(product: Product, cutoff: datetime, window: timedelta | None) -> list[datetime]:
    """Give the pages before a cut-off, of the newest `window` if there is one.

    Raises
    ------
    UsageError
        If there are fewer than two.
    """
    since = product.header.pages.since
    pages = product.pages_between(max(since, cutoff - window) if window else since, cutoff)
    if len(pages) < 2:
        within = f" within {window} of it" if window else ""
        raise UsageError(
            f"{product.name} has {len(pages)} pages before {cutoff}{within}: its grid begins at {since}. Train with a"
            " later --as-of or a longer --window, or set `pages.since` earlier."
        )
    return pages


def model_definitions(suite: Suite, product: Product) -> str:
    """Hash what a version of this product is made from: its pages, its labels and its model's settings."""
    return fingerprint_of(
        suite.definitions.page_fingerprint(product),
        suite.definitions.label_fingerprint(product),
        product.header.model.model_dump(mode="json"),
    )


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

    def run(self, reason: str | None, may_promote: bool) -> TrainResult:
        """Validate, fit, make the scorer, judge, and register."""
        names = list(self.features)
        pages = self.labelled.pages
        self.progress.start("train", 3, "steps")
        rows = self.labelled.rows([*names, *self.product.keys], self.cutoff, pages[0], self.cutoff)
        self._require_labels(rows)
        self.progress.advance(1, rows.n_rows)
        validation = self._validate(rows, names)
        self.progress.advance(1)
        began = time.monotonic()
        estimator = self._fit(rows)
        fit_s = time.monotonic() - began
        scorer, report = ready_scorer(estimator, names, rows.features.slice(0, _PARITY_ROWS))
        self.progress.advance(1)
        self.progress.finish()
        trained = _Trained(estimator, scorer, report, rows, validation, fit_s)
        with self.suite.lake.reading() as connection:
            history = model_history(connection, self.product.name)
        verdict = self._judge(trained, history)
        return self._register(trained, verdict, history, reason, may_promote)

    def _judge(self, trained: _Trained, history: ModelHistory) -> Verdict:
        """Judge the version by what was known at its cut-off: its stand-in's predictions of the held-out pages."""
        candidate = Contender("this", self.cutoff, list(self.features), trained.scorer, trained.validation.held_out)
        return judge_contender(
            self.suite, self.labelled, candidate, history.live(self.cutoff), self.cutoff, trained.report
        )

    def _require_labels(self, rows: TrainingRows) -> None:
        if rows.n_rows == 0:
            raise UsageError(
                f"{self.product.name}: no label of its pages was known by {self.cutoff}. Ingest the facts that"
                f" {self.product.label.where} reads, or train with a later --as-of."
            )
        if not can_be_learnt(rows, self.product.header.label.kind):
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

    def _validate(self, rows: TrainingRows, names: Sequence[str]) -> Validation:
        settings = self.product.header.model.validation
        folds = time_ordered_folds(self.labelled.pages, self.cutoff, settings.folds, settings.share)
        validation = validate(self.labelled, rows, names, folds, self._fit)
        if validation.held_out is None:
            self.progress.warn(f"{self.product.name}: too few labelled pages to hold any out; no validation was made.")
        return validation

    def _register(
        self, trained: _Trained, verdict: Verdict, judged: ModelHistory, reason: str | None, may_promote: bool
    ) -> TrainResult:
        suite, product = self.suite, self.product
        staged = self.directory / "artifact"
        write_model(trained.estimator, staged, trained.validation.held_out)
        definitions = model_definitions(suite, product)
        with suite.lake.commit(f"train {product.name}, run {self.meter.run_id}") as commit:
            extend_ledger(commit)
            history = model_history(commit.connection, product.name)
            version = history.next_version()
            sha256 = write_manifest(staged, self.labelled.sandbox.suite_id, product.name, version)
            target = suite.lake.artifacts / product.name / f"{version}-{self.meter.run_id}"
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.rename(target)
            artifact = target.relative_to(suite.lake.root).as_posix()
            model = self._record(trained, version, definitions, artifact, sha256, reason)
            record_definitions(commit, product, definitions, suite.definitions.texts_of(product), suite.clock())
            ledger.append(commit, [model])
            goes_live, why = _goes_live(product, history, judged, model, verdict, may_promote)
            record_decision(
                commit,
                suite,
                model,
                verdict,
                "train",
                taken=goes_live,
                starts=[model.label_cutoff] if goes_live else [],
                reason=why,
            )
            figures = {"n_pages": model.n_pages, "n_rows": model.n_rows, "model_version": version}
            run = self.meter.record("succeeded", definitions=definitions, snapshot_id=commit.snapshot_id, **figures)
            ledger.append(commit, [run])
        return TrainResult(model, goes_live, why, verdict, trained.validation, self.meter.wall_s)

    def _record(
        self, trained: _Trained, version: str, definitions: str, artifact: str, sha256: str, reason: str | None
    ) -> ModelRecord:
        settings, pages, validation = self.product.header.model, self.labelled.pages, trained.validation
        run = self.meter.record("succeeded")
        return ModelRecord(
            product=self.product.name,
            version=version,
            label_cutoff=self.cutoff,
            trained_at=self.suite.clock(),
            run_id=self.meter.run_id,
            first_page=pages[0],
            last_page=pages[-1],
            n_pages=len(pages),
            n_rows=trained.rows.n_rows,
            definitions=definitions,
            ingest_id=self.labelled.sandbox.ingest_id,
            estimator=settings.estimator,
            parameters=json.dumps(settings.parameters, sort_keys=True),
            seed=settings.seed,
            features=list(self.features),
            metrics={**validation.metrics, "fit_s": trained.fit_s},
            libraries=surroundings.library_versions(),
            artifact=artifact,
            sha256=sha256,
            scorer=trained.scorer.kind,
            scorer_reason=trained.scorer.why,
            trained_by=surroundings.who(),
            reason=reason,
            threads=surroundings.threads(),
            platform=surroundings.platform_text(),
            rows_hash=trained.rows.hash(list(self.features)),
            validation=json.dumps({"folds": validation.folds, "calibration": validation.calibration}, default=str),
            importance=validation.importance,
            cost={
                "fit_s": trained.fit_s,
                "wall_s": run.wall_s,
                "cpu_s": run.cpu_s,
                "peak_memory_bytes": float(run.peak_memory_bytes),
            },
        )


@dataclass(frozen=True)
class _Trained:
    """What a training has come to."""

    estimator: Any
    scorer: Scorer
    report: ParityReport | None
    rows: TrainingRows
    validation: Validation
    fit_s: float


def _goes_live(
    product: Product,
    history: ModelHistory,
    judged: ModelHistory,
    model: ModelRecord,
    verdict: Verdict,
    may_promote: bool,
) -> tuple[bool, str]:
    """Tell whether a version that has just been trained goes live, and why."""
    if not verdict.passed:
        return False, f"gates did not pass: {verdict.failures()}"
    if not may_promote:
        return False, "it was not to be promoted (--no-promote)"
    if not history.promotions:
        return True, "the first version of the product"
    if product.header.gates is None:
        return False, "the product has no gates, so a person promotes its later versions"
    if len(history.promotions) != len(judged.promotions):
        return False, "another version was promoted while this one was judged"
    newest = max(promotion.effective_from for promotion in history.promotions)
    if model.label_cutoff < newest:
        return False, f"it was trained as of an instant before {newest}, where the newest promotion takes effect"
    return True, "its gates passed"
