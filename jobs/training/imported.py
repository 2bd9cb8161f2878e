"""Imports: a model that was trained elsewhere becomes a version like others, judged by the same gates.

It is marked as not ours: what it was trained on is not known here, so there is no validation and no importance, and it
is neither continued nor reproduced. As of when it was trained is what its owner says; without that it may write no page
but with hindsight.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.metering import RunMeter, who
from jobs.models import environment
from jobs.models.artifacts import write_model
from jobs.models.foreign import Foreign, columns_of, read_foreign
from jobs.models.versions import model_history
from jobs.pages.labelled import LabelledPages, choose_features, ensure_feature_pages
from jobs.pages.outcomes import matured_pages
from jobs.progress import Progress, Silent
from jobs.rollout.evidence import Contender
from jobs.rollout.judge import Verdict, judge_contender
from jobs.rollout.promotion import record_decision
from jobs.scoring import ParityReport, Scorer, ready_scorer
from jobs.suite import Suite
from jobs.training.fit import model_definitions
from jobs.training.register import Order, StagedVersion, goes_live
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.lake.lake import Commit, table_columns
from warehouse.ledger import records as ledger
from warehouse.ledger.found_classes import finding_more
from warehouse.ledger.model_record import IMPORTED, NEVER
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.rollouts import is_in_rollout
from warehouse.pages.publishing import record_definitions
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

_PARITY_ROWS = 2_000


@dataclass(frozen=True)
class Imported:
    """An imported version: whether it went live, why it did or did not, and what its gates found."""

    model: ModelRecord
    went_live: bool
    why: str
    verdict: Verdict


def import_model(
    suite: Suite,
    product_name: str,
    file: Path,
    columns: Sequence[str] | None = None,
    trained_as_of: datetime | None = None,
    order: Order | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Register a model file as a version; it goes live as a trained one would, if it is said when it was trained.

    Parameters
    ----------
    columns
        The columns that it reads, in the order of its training, where the file does not name them.
    trained_as_of
        No label that became known later has gone into it, naive UTC. None if that is not known.

    Raises
    ------
    UsageError
        If the file is not read, does not suit the label, or reads what the product's pages do not have.
    """
    product, now, progress = suite.definitions.product(product_name), suite.clock(), progress or Silent()
    if trained_as_of is not None and trained_as_of > now:
        raise UsageError(f"--trained-as-of {trained_as_of} is in the future; it is {now} now.")
    found = read_foreign(file)
    names, classes = columns_of(found, columns, file.name), _classes_of(found, product, file.name)
    if product.finds_classes:
        product = finding_more(product, classes)
    pages = product.pages_between(product.header.pages.since, now)
    if not pages:
        raise UsageError(f"{product.name} has no page before {now}: its grid begins at {product.header.pages.since}.")
    ensure_feature_pages(suite, product, pages[-1:], progress)
    features, sample = _features(suite, product, names, pages[-1])
    scorer, report = ready_scorer(found.estimator, names, sample)
    importing = _Importing(suite, product, file, found, features, classes, trained_as_of or NEVER, scorer, pages)
    return importing.run(order or Order(), report, progress)


def _classes_of(found: Foreign, product: Product, file: str) -> tuple[str, ...]:
    """Give the classes of a model of classes, after a look at whether it predicts what the label is."""
    what, kind = "a classifier" if found.classes is not None else "a regressor", product.kind
    if found.is_ranker:
        if product.ranking is None:
            raise UsageError(f"{file} is a ranker, and label.kind of {product.yaml_where} is {kind.name}.")
        return ()
    if product.quantiles:
        raise UsageError(f"{file}: a label with quantiles takes no imported model, which gives one number a row.")
    if (found.classes is not None) != (kind.learnt_by == "binary"):
        raise UsageError(f"{file} is {what}, and label.kind of {product.yaml_where} is {kind.name}.")
    if found.classes is not None and not kind.has_classes and _numbers(found.classes, file) != [0.0, 1.0]:
        raise UsageError(f"{file} tells {found.classes} apart, and a binary label is 0 or 1.")
    if not kind.has_classes:
        return ()
    names = [str(each) for each in found.classes or []]
    if product.finds_classes:
        return tuple(names)
    if unknown := [name for name in names if name not in product.classes]:
        raise UsageError(
            f"{file} tells of the classes {', '.join(unknown)}, which are none of label.classes:"
            f" {', '.join(product.classes)}. Classes are told apart by name, so that none is taken for another."
        )
    return tuple(names)


def _numbers(classes: Sequence[Any], file: str) -> list[float]:
    try:
        return [float(each) for each in classes]
    except ValueError as error:
        raise UsageError(f"{file} tells {list(classes)} apart, and a binary label is 0 or 1.") from error


def _features(suite: Suite, product: Product, names: Sequence[str], page: datetime) -> tuple[dict[str, str], pa.Table]:
    """Give the columns that the model reads with their types, and some rows of a page."""
    with suite.lake.reading() as connection:
        known = choose_features(product, table_columns(connection, "features", product.name))
        if missing := [name for name in names if name not in known]:
            near = [difflib.get_close_matches(name, known, n=1) for name in missing]
            hints = [f"`{one}`{f' (`{like[0]}`?)' if like else ''}" for one, like in zip(missing, near, strict=True)]
            raise UsageError(
                f"{product.name}: the model reads {', '.join(hints)}, which its pages do not have. They have:"
                f" {', '.join(known)}."
            )
        relation = f"(FROM features.{quote(product.name)} WHERE as_of = {timestamp_literal(page)} LIMIT {_PARITY_ROWS})"
        query = system_sql("pages/scored", columns=quote_all(names), features=relation)
        return {name: known[name] for name in names}, connection.execute(query).to_arrow_table()


@dataclass(frozen=True)
class _Importing:
    """One model on its way into the ledger; `pages` are those of the grid up to now."""

    suite: Suite
    product: Product
    file: Path
    found: Foreign
    features: Mapping[str, str]
    classes: tuple[str, ...]
    cutoff: datetime
    scorer: Scorer
    pages: list[datetime]

    def run(self, order: Order, report: ParityReport | None, progress: Progress) -> Imported:
        """Judge it, and register it in one commit."""
        suite, product, now = self.suite, self.product, self.suite.clock()
        meter = RunMeter(suite, "import", product.name)
        with suite.lake.reading() as connection:
            judged = model_history(connection, product.name)
        verdict = self._judge(meter, judged.live(now), report, progress)
        with suite.staging(meter.run_id) as directory:
            artifact = directory / "artifact"
            write_model(self.found.estimator, artifact, IMPORTED, compiled=getattr(self.scorer, "filed", None))
            files = StagedVersion.foreseen(suite, product.name, artifact, meter.run_id)
            with suite.lake.commit(f"import {self.file.name}, run {meter.run_id}", kept=files.ahead) as commit:
                history = model_history(commit.connection, product.name)
                version = history.next_version()
                where, sha256 = files.put(commit, version)
                model = self._record(commit, meter, (version, where, sha256), order.reason)
                live, why = False, "it is not known as of when it was trained (--trained-as-of)"
                if self.cutoff != NEVER:
                    tried = is_in_rollout(commit.connection, product.name)
                    live, why = goes_live(product, history, judged, model, verdict, order, tried)
                starts = [self.cutoff] if live else []
                record_decision(commit, suite, model, verdict, "import", taken=live, starts=starts, reason=why)
        return Imported(model, live, why, verdict)

    def _judge(
        self, meter: RunMeter, live: ModelRecord | None, report: ParityReport | None, progress: Progress
    ) -> Verdict:
        """Judge it by the product's gates, on the newest pages since its training whose labels have matured."""
        product, gates, now = self.product, self.product.header.gates, self.suite.clock()
        if gates is None:
            return Verdict([], live.version if live else None)
        since = [page for page in self.pages if page >= self.cutoff]
        pages = matured_pages(self.suite, product, since, now)[-gates.pages :] or self.pages[-1:]
        ensure_feature_pages(self.suite, product, pages, progress)
        names = list(self.features)
        candidate = Contender("this", self.cutoff, names, self.scorer, None, self.classes, product.classes)
        with (
            self.suite.staging(f"{meter.run_id}-judge") as directory,
            LabelledPages(self.suite, product, pages, directory) as labelled,
        ):
            return judge_contender(self.suite, labelled, candidate, live, now, report)

    def _record(self, commit: Commit, meter: RunMeter, made: tuple[str, str, str], reason: str | None) -> ModelRecord:
        """Write the version, its definitions and the run into the ledger."""
        product, definitions = self.product, model_definitions(self.suite, self.product)
        version, artifact, sha256 = made
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        told = {"file": self.file.name, "sha256": digest, "library": self.found.library}
        seen = {"classes": list(self.classes), "declared": list(product.classes)} if self.classes else {}
        model = ModelRecord(
            product=product.name,
            version=version,
            label_cutoff=self.cutoff,
            trained_at=self.suite.clock(),
            run_id=meter.run_id,
            first_page=self.pages[0],
            last_page=self.pages[-1],
            n_pages=0,
            n_rows=0,
            definitions=definitions,
            ingest_id=ledger.newest_ingest_id(commit.connection),
            estimator=IMPORTED,
            parameters=json.dumps(told, sort_keys=True),
            seed=0,
            features=list(self.features),
            metrics={},
            libraries=environment.library_versions(),
            artifact=artifact,
            sha256=sha256,
            scorer=self.scorer.kind,
            scorer_reason=self.scorer.why,
            trained_by=who(),
            reason=reason,
            platform=environment.platform_text(),
            validation=json.dumps(seen) if seen else None,
            feature_types=dict(self.features),
            label_kind=product.kind.name,
        )
        record_definitions(commit, product, definitions, self.suite.definitions, self.suite.clock())
        ledger.append(commit, [model])
        figures = {"n_pages": 0, "n_rows": 0, "model_version": version}
        run = meter.record("succeeded", definitions=definitions, snapshot_id=commit.snapshot_id, **figures)
        ledger.append(commit, [run])
        return model
