"""Registering: a trained version goes into the ledger, its artifact into place, and it is decided if it goes live."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.metering import RunMeter, who
from jobs.models import environment
from jobs.models.artifacts import write_manifest, write_model
from jobs.models.reasons.explaining import Reasons, Version, first_reasons
from jobs.models.versions import ModelHistory, model_history
from jobs.pages.labelled import LabelledPages
from jobs.rollout.judge import Verdict
from jobs.rollout.promotion import record_decision
from jobs.suite import Suite
from jobs.training.fit import model_definitions, pipeline_text
from jobs.training.recalled import Fitted
from warehouse.definitions import Product
from warehouse.lake.lake import Commit, check_format
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.rollouts import is_in_rollout
from warehouse.pages.publishing import record_definitions

#: The metric of a version that says which share of its labels predictions may have influenced.
INFLUENCED = "influenced_labels"


@dataclass(frozen=True)
class Trained:
    """What a training has come to: what it found out, as of which instant, and which version it continues.

    `left_out` are the pages of the grid that it was not to learn from. `search` says which trial of which search it
    was. `is_shared` tells that it was made before, for another registration: it costs what it cost then.
    """

    fitted: Fitted
    cutoff: datetime
    parent: ModelRecord | None
    left_out: tuple[datetime, ...] = ()
    search: dict[str, Any] | None = None
    is_shared: bool = False


@dataclass(frozen=True)
class Order:
    """What was asked of a training.

    Attributes
    ----------
    reason
        Why it is made.
    may_promote
        Whether it may go live if its gates pass; `why_not` says why it may not.
    leave_out
        Pages that it is not to learn from.
    along
        Writes what whoever ordered it wants written in the commit of the registration.
    """

    reason: str | None = None
    may_promote: bool = True
    why_not: str = "it was not to be promoted (--no-promote)"
    leave_out: tuple[datetime, ...] = ()
    along: Callable[[Commit, ModelRecord], None] | None = None


def register(
    suite: Suite,
    labelled: LabelledPages,
    meter: RunMeter,
    trained: Trained,
    verdict: Verdict,
    judged: ModelHistory,
    order: Order,
) -> tuple[ModelRecord, bool, str]:
    """Register a version in one commit; give its record, whether it went live, and why.

    Parameters
    ----------
    labelled
        The pages that it comes from; their directory is where the artifact is staged.
    verdict, judged
        What its gates found, and the versions and promotions that there were then.
    """
    product = labelled.product
    staged = labelled.directory / "artifact"
    settings = product.header.model
    steps = pipeline_text(settings.pipeline)
    fitted = trained.fitted
    compiled = getattr(fitted.scorer, "filed", None)
    write_model(fitted.learnt.estimator, staged, settings.estimator, steps, fitted.validation.held_out, compiled)
    definitions = model_definitions(suite, product)
    reasons = _reasons(suite, labelled, trained)
    files = StagedVersion.foreseen(suite, product.name, staged, meter.run_id, trained.parent)
    background = reasons.ahead(files.place, meter.run_id, labelled.directory) if reasons is not None else {}
    with suite.lake.commit(f"train {product.name}, run {meter.run_id}", kept=files.ahead | background) as commit:
        history = model_history(commit.connection, product.name)
        version = history.next_version(trained.parent)
        where, sha256 = files.put(commit, version)
        model = _record(suite, labelled, meter, trained, (version, definitions, where, sha256), order.reason)
        record_definitions(commit, product, definitions, suite.definitions, suite.clock())
        ledger.append(commit, [model])
        tried = is_in_rollout(commit.connection, product.name)
        live, why = goes_live(product, history, judged, model, verdict, order, tried)
        starts = [trained.cutoff] if live else []
        record_decision(commit, suite, model, verdict, "train", taken=live, starts=starts, reason=why)
        figures = {"n_pages": model.n_pages, "n_rows": model.n_rows, "model_version": version}
        run = meter.record("succeeded", definitions=definitions, snapshot_id=commit.snapshot_id, **figures)
        ledger.append(commit, [run])
        if reasons is not None:
            named = replace(reasons, record=replace(reasons.record, version=version))
            named.commit(commit, suite.lake, where, meter.run_id, suite.clock(), wrote=False)
        if order.along is not None:
            order.along(commit, model)
    return model, live, why


def _reasons(suite: Suite, labelled: LabelledPages, trained: Trained) -> Reasons | None:
    """Check how the version is explained, if its product wants reasons."""
    product, fitted = labelled.product, trained.fitted
    features = fitted.learnt.names
    settings = product.header.reasons
    if settings is None:
        return None
    pages = labelled.pages if trained.parent is None else fitted.rows.pages
    version = Version(product, "the version", features, trained.cutoff, pages[0], pages[-1], fitted.learnt.classes)
    sample = fitted.rows.sample.select(features)
    with suite.lake.reading() as connection:
        return first_reasons(connection, settings, version, fitted.scorer, sample)


@dataclass(frozen=True)
class StagedVersion:
    """The staged files of a version that is to be registered, under the number that it will have.

    So they can be sent to a bucket before the commit. If another version comes in between, this one gets the next
    number, and is sent once more.
    """

    directory: Path
    product: str
    run_id: str
    suite_id: str
    version: str
    sha256: str

    @classmethod
    def foreseen(
        cls, suite: Suite, product: str, directory: Path, run_id: str, parent: ModelRecord | None = None
    ) -> StagedVersion:
        """Ask the ledger for the number, and write the manifest."""
        with suite.lake.reading() as connection:
            version = model_history(connection, product).next_version(parent)
            suite_id = check_format(connection, suite.lake.root)
        sha256 = write_manifest(directory, suite_id, product, version)
        return cls(directory, product, run_id, suite_id, version, sha256)

    @property
    def place(self) -> str:
        """Where they will lie, as the ledger keeps it."""
        return f"artifacts/{self.product}/{self.version}-{self.run_id}"

    @property
    def ahead(self) -> dict[str, Path]:
        """Name them for `Lake.commit`, which sends them ahead."""
        return {self.place: self.directory}

    def put(self, commit: Commit, version: str) -> tuple[str, str]:
        """Move them to where artifacts lie, under a number; give their place, and the SHA-256 of their manifest."""
        numbered = self
        if version != self.version:
            sha256 = write_manifest(self.directory, self.suite_id, self.product, version)
            numbered = replace(self, version=version, sha256=sha256)
        target = commit.lake.root / numbered.place
        target.parent.mkdir(parents=True, exist_ok=True)
        self.directory.rename(target)
        commit.turn.keep(numbered.place)
        return numbered.place, numbered.sha256


def _record(
    suite: Suite,
    labelled: LabelledPages,
    meter: RunMeter,
    trained: Trained,
    made: tuple[str, str, str, str],
    reason: str | None,
) -> ModelRecord:
    version, definitions, artifact, sha256 = made
    fitted = trained.fitted
    settings, validation, rows = labelled.product.header.model, fitted.validation, fitted.rows
    pages = labelled.pages if trained.parent is None else rows.pages
    run = meter.record("succeeded")
    before = (fitted.wall_s, fitted.cpu_s) if trained.is_shared else (0.0, 0.0)
    cost = {"fit_s": fitted.fit_s, "wall_s": run.wall_s + before[0], "cpu_s": run.cpu_s + before[1]}
    return ModelRecord(
        product=labelled.product.name,
        version=version,
        label_cutoff=trained.cutoff,
        trained_at=suite.clock(),
        run_id=meter.run_id,
        first_page=pages[0],
        last_page=pages[-1],
        n_pages=len(pages),
        n_rows=rows.n_rows,
        definitions=definitions,
        ingest_id=labelled.sandbox.ingest_id,
        estimator=settings.estimator,
        parameters=json.dumps(settings.parameters, sort_keys=True),
        seed=settings.seed,
        features=list(fitted.learnt.features),
        metrics={
            **validation.metrics,
            "fit_s": fitted.fit_s,
            "labelled_pages": float(len(rows.pages)),
            **({} if fitted.influenced is None else {INFLUENCED: fitted.influenced}),
        },
        libraries=environment.library_versions(),
        artifact=artifact,
        sha256=sha256,
        scorer=fitted.scorer.kind,
        scorer_reason=fitted.scorer.why,
        trained_by=who(),
        reason=reason,
        parent=trained.parent.version if trained.parent else None,
        pipeline=pipeline_text(settings.pipeline),
        threads=environment.threads(),
        platform=environment.platform_text(),
        rows_hash=rows.hash,
        validation=json.dumps(_found(labelled.product, trained), default=str),
        importance=validation.importance,
        cost={**cost, "peak_memory_bytes": float(run.peak_memory_bytes)},
        feature_types=fitted.learnt.features,
        label_kind=labelled.product.kind.name,
        label_definition=suite.definitions.label_definition(labelled.product),
    )


def _found(product: Product, trained: Trained) -> dict[str, Any]:
    """Give what validation and a look at the columns have found, and of a label with classes which were seen."""
    fitted, classes = trained.fitted, trained.fitted.learnt.classes
    validation = fitted.validation
    found: dict[str, Any] = {
        "folds": validation.folds,
        "calibration": validation.calibration,
        "beside": fitted.beside,
        "features": asdict(fitted.findings),
    }
    if trained.search is not None:
        found["search"] = trained.search
    if trained.left_out:
        found["left_out_pages"] = list(trained.left_out)
    if product.quantiles:
        return {**found, "quantiles": list(product.quantiles)}
    if not classes:
        return found
    seen = {"classes": list(classes), "declared": list(product.classes), "by_class": validation.by_class}
    return {**found, **seen}


def goes_live(
    product: Product,
    history: ModelHistory,
    judged: ModelHistory,
    model: ModelRecord,
    verdict: Verdict,
    order: Order,
    in_rollout: bool,
) -> tuple[bool, str]:
    """Tell whether a version that has just been trained, or written, goes live, and why."""
    if not verdict.passed:
        return False, f"gates did not pass: {verdict.failures()}"
    if not order.may_promote:
        return False, order.why_not
    if in_rollout:
        return False, "other versions are being tried in a rollout, whose end it waits for"
    if not history.promotions:
        return True, "the first version of the product"
    if product.header.gates is None:
        return False, "the product has no gates, so a person promotes its later versions"
    if len(history.promotions) != len(judged.promotions):
        return False, "another version was promoted while this one was judged"
    newest = max(promotion.effective_from for promotion in history.promotions)
    if model.label_cutoff is not None and model.label_cutoff < newest:
        return False, f"it was trained as of an instant before {newest}, where the newest promotion takes effect"
    return True, "its gates passed"
