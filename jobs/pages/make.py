"""How a page is made: features, scores, checks, one commit. One page or a thousand go the same way.

Outside any transaction the pages of a batch are computed in the sandbox, scored in one stream, staged and audited; then
they are published together. A page on which an error-check, a query or the model fails is taken out of its batch, and
what was published before stays. Feature pages of equal definitions and facts are used again, another product's too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from jobs.metering import NOTE_CHARACTERS, RunMeter
from jobs.models.columns.requirements import recorded_columns, require_met
from jobs.pages.batch_size import BatchSize
from jobs.pages.run_row import run_row
from jobs.pages.scores.arms import Arms
from jobs.pages.scores.beside import PageArms, ahead
from jobs.pages.scores.label_sums import stage_label_sums
from jobs.pages.scores.score import ScoredFile
from jobs.pages.scores.scoring import PREDICTIONS, Scoring
from jobs.pages.staleness import Staleness
from jobs.progress import Progress
from jobs.suite import Suite
from warehouse.batching.batch import Batch, FeaturePages
from warehouse.batching.engines import Computed, DuckDBHere, Engine, Wanted, compute
from warehouse.batching.shared_rows import SharedRows
from warehouse.definitions import Product
from warehouse.errors import RunFailed, ScoringFailed
from warehouse.lake.lake import table_columns
from warehouse.lake.registry import ARM_COLUMN
from warehouse.lake.warm_up import open_ahead
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord, PageRecord
from warehouse.pages.audits import Audit, audit_pages
from warehouse.pages.lent_pages import pages_lent, stage_lent
from warehouse.pages.lists.kept import keep_lists
from warehouse.pages.lost_files import give_up, lost_files_of
from warehouse.pages.profiled_pages import centres_of
from warehouse.pages.profiling.in_passing import InPassing, in_passing
from warehouse.pages.profiling.staged import StagedProfiles
from warehouse.pages.publishing import StagedRows, publish, record_definitions
from warehouse.sandbox import Sandbox, memory_limit_of, timestamp_literal
from warehouse.system_sql import parquet, quote, quote_all, system_sql
from warehouse.wording import counted


@dataclass(frozen=True)
class PageOrder:
    """What is wanted: these pages of a product, scored by a version (None: features only).

    With a `size` that is not known yet it is looked for first, and only so many of the pages are made as fit. The
    `engine` computes the features; scores, checks and the commit are made here. `shared` is of a run of products.
    `arms` score the pages too. `more_follow`: this run publishes others after them.
    """

    product: Product
    pages: Sequence[datetime]
    model: ModelRecord | None
    workers: int = os.cpu_count() or 1
    size: BatchSize | None = None
    engine: Engine = field(default_factory=DuckDBHere)
    shared: SharedRows | None = None
    arms: Arms | None = None
    more_follow: bool = False


@dataclass
class PagesResult:
    """What became of an order. `published` holds one record a page and kind; `rejected` stay as they were.

    `failed` gives each page's error; `by_others` are pages that another process published meanwhile; `later` are
    those that did not fit into the batch; `left` are those that were not begun, because it was told to stop.
    """

    published: list[PageRecord] = field(default_factory=list)
    rejected: set[datetime] = field(default_factory=set)
    audit: Audit = field(default_factory=Audit)
    run_ids: list[str] = field(default_factory=list)
    n_rows: int = 0
    failed: dict[datetime, str] = field(default_factory=dict)
    by_others: list[PageRecord] = field(default_factory=list)
    later: list[datetime] = field(default_factory=list)
    left: list[datetime] = field(default_factory=list)

    def add(self, other: PagesResult) -> None:
        """Take in what became of another batch."""
        self.published += other.published
        self.rejected |= other.rejected
        self.audit.checks += other.audit.checks
        self.audit.wrong_rows += other.audit.wrong_rows
        self.run_ids += other.run_ids
        self.n_rows += other.n_rows
        self.failed |= other.failed


def make_pages(suite: Suite, order: PageOrder, progress: Progress) -> PagesResult:
    """Make one batch of pages and publish it, but for those that are rejected or fail, which are marked.

    Raises
    ------
    DefinitionError
        If a query of the product does not bind.
    UsageError
        If the version reads what the definitions do not give any more.
    RunFailed
        If the work fails for all pages alike; they are marked as failed in the ledger, and what was there before stays.
    """
    job = "predict" if order.model else "features"
    meter, limit = RunMeter(suite, job, order.product.name), memory_limit_of(order.product, len(order.pages))
    try:
        with (
            suite.staging(meter.run_id) as directory,
            Sandbox(suite.lake, spill=directory / "spill", memory_limit=limit) as sandbox,
            Batch(sandbox, suite.definitions, order.product, order.shared) as batch,
        ):
            fitting = _fitting(order, batch)
            made = _BatchOfPages(suite, fitting, batch, directory, meter, progress).make()
            made.later = list(order.pages[len(fitting.pages) :])
            return made
    except OSError as error:
        failure = RunFailed(f"{order.product.name}: {error}. Nothing was published by this run.")
        meter.record_failed_pages(order.product, job, order.pages, failure)
        raise failure from error
    except RunFailed as error:
        meter.record_failed_pages(order.product, job, order.pages, error)
        raise


def _fitting(order: PageOrder, batch: Batch) -> PageOrder:
    """Cut an order down to what one batch may hold, where only a look at its pages tells how large they are."""
    if order.size is None or order.size.is_known or len(order.pages) <= order.size.pages():
        return order
    # There is no page yet whose features could be read instead.
    batch.begin(len(order.pages), order.pages)
    order.size.look_ahead(batch, order.pages)
    return replace(order, pages=order.pages[: order.size.pages()])


class _BatchOfPages:
    """One batch on its way from the sources to a commit."""

    def __init__(
        self, suite: Suite, order: PageOrder, batch: Batch, directory: Path, meter: RunMeter, progress: Progress
    ) -> None:
        self.suite, self.order, self.product = suite, order, order.product
        self.batch, self.sandbox = batch, batch.sandbox
        self.directory, self.meter, self.progress = directory, meter, progress
        self.staleness = self._staleness_of(order.product)
        self.definitions = self.staleness.fingerprint
        self.staged: list[StagedRows] = []
        self.bytes_staged = 0
        self.failed: dict[datetime, str] = {}
        self.passing: InPassing | None = None
        with suite.lake.reading() as reading:
            self.lost = lost_files_of(reading, suite.lake.storage, self.product.name)
            self.centres = centres_of(reading, self.product.name)
        with self.sandbox.ledger_reading() as (connection, lake):
            self.feature_pages = ledger.published_pages(connection, self.product.name, "features", order.pages)
            lacking = [page for page in order.pages if not self._is_fresh(page)]
            self.lent = pages_lent(connection, suite.definitions, self.product, lacking, self._judge_of)
            self.recorded_columns = recorded_columns(connection, self.definitions, lake)
            self.sizes = ledger.published_sizes(connection, self.product.name, "predictions", max(order.pages))
            had_arms = table_columns(connection, "predictions", self.product.name, lake)
        alone = order.arms is None and had_arms.keys() >= ARM_COLUMN.keys()
        self.scoring = Scoring(suite, order.product, batch.cursor, meter.run_id, directory, progress, alone)
        self.arms = PageArms(self.scoring, order.arms) if order.arms is not None else None

    def _staleness_of(self, product: Product) -> Staleness:
        facts = self.sandbox.facts_of(self.suite.definitions.sources)
        return Staleness(self.suite.definitions, product, facts, self.sandbox.cursor(), self.sandbox.relation)

    def _judge_of(self, product: Product) -> Callable[[PageRecord], bool]:
        staleness = self._staleness_of(product)
        with self.suite.lake.reading() as reading:
            is_whole = not lost_files_of(reading, self.suite.lake.storage, product.name)
        return lambda record: is_whole and staleness.why(record) is None

    def make(self) -> PagesResult:
        """Compute, score, audit and publish."""
        open_ahead(self.suite.lake, writing=True)
        features, relation = self._features()
        audit = Audit()
        if self.order.model is not None and features.n_rows:
            audit = self._score(self.order.model, features, relation)
        # All candidates of lists were scored, and looked at by the checks.
        beside = self.arms.beside if self.arms is not None else ()
        self.staged = keep_lists(self.batch.cursor, self.product, self.staged, beside, self.scoring.kept, self.passing)
        self.bytes_staged = sum(file.stat().st_size for rows in self.staged for file in rows.files)
        self.failed |= audit.failed
        rejected = audit.rejected() - self.failed.keys()
        result = PagesResult(rejected=rejected, audit=audit, run_ids=[self.meter.run_id], failed=self.failed)
        passed = {page for page in features.n_rows if page not in rejected and page not in self.failed}
        self._commit(result, features, passed)
        result.n_rows = sum(features.n_rows[page] for page in passed)
        return result

    def _features(self) -> tuple[FeaturePages, str]:
        """Compute what has to be; give all pages' sizes, and SQL of a relation that holds their rows."""
        reused = [page for page in self.order.pages if self._is_fresh(page)]
        fresh = [page for page in self.order.pages if page not in {*reused, *self.lent}]
        if fresh:
            self.batch.begin(len(fresh), fresh)
        if self.order.model is not None:
            require_met(self.product, self.order.model, self._columns())
        self.progress.advance(len(reused) + len(self.lent))
        n_rows = {page: self.feature_pages[page].n_rows for page in reused}
        relations: list[str] = []
        if self.lent:
            taken = stage_lent(self.batch.cursor, self.sandbox.catalogue, self.lent, self._columns(), self.directory)
            relations.append(self._stage_features(taken, n_rows))
        if fresh:
            file, told = self.directory / "features.parquet", self.progress.advance
            model = self.order.model if self.arms is None else None
            sieve = self.scoring.sieve(model, self.order.pages, self._columns)
            wanted = Wanted(fresh, file, self.order.workers, told, needs_lake=bool(reused), sieve=sieve)
            computed = self._compute(wanted, of_all=not reused and not self.lent)
            self.failed |= computed.failed
            self._warn_of(computed.warnings)
            relations.append(self._stage_features(computed.pages, n_rows))
        if reused:
            listed = ", ".join(timestamp_literal(page) for page in reused)
            relations.append(
                system_sql("pages/reused", lake=self.sandbox.catalogue, table=quote(self.product.name), pages=listed)
            )
        relation = relations[0] if len(relations) == 1 else f"({' UNION ALL BY NAME '.join(relations)})"
        return FeaturePages(self.directory / "features.parquet", n_rows, {}), relation

    def _compute(self, wanted: Wanted, *, of_all: bool) -> Computed:
        """Compute feature pages; tasks score them at once, if these are all and the version writes them alone."""
        engine = self.order.engine
        if isinstance(engine, DuckDBHere):
            return compute(engine, self.batch, wanted)
        # To import what makes shards takes longer than many a page.
        from jobs.pages.shards.engine import Shards
        from jobs.pages.shards.scores import scores_of

        if isinstance(engine, Shards):
            engine.scores = scores_of(self.scoring, self.order.model) if of_all and self.arms is None else None
        computed = compute(engine, self.batch, wanted)
        if isinstance(engine, Shards):
            self.scoring.elsewhere = engine.scored
        return computed

    def _stage_features(self, made: FeaturePages, n_rows: dict[datetime, int]) -> str:
        """Stage the feature pages of a file, and note their sizes; give SQL of their rows."""
        n_rows |= made.n_rows
        notes = {page: f"as on the page of {record.product}" for page, record in self.lent.items()}
        records = [replace(self._record("features", page, n), note=notes.get(page)) for page, n in made.n_rows.items()]
        self.staged.append(StagedRows("features", made.file, made.columns, records, made.others, made.held))
        return f"(FROM {parquet(made.files)})"

    def _columns(self) -> dict[str, str]:
        """Give the columns that feature pages have by the definitions as they are, with their types."""
        return self.recorded_columns or self.batch.page_types(self.order.pages[0])

    def _warn_of(self, differing: Sequence[str]) -> None:
        """Warn about queries whose rows for many pages at once differed, and that were run page by page instead."""
        for difference in differing:
            self.progress.warn(f"{difference}; it was made page by page instead.")

    def _is_fresh(self, page: datetime) -> bool:
        if self.product.keeps_part and self.order.model is not None:
            return False  # Only some of the candidates are there.
        record = self.feature_pages.get(page)
        is_lost = any(file.kind == "features" and file.spans([page]) for file in self.lost)
        return record is not None and not is_lost and self.staleness.why(record) is None

    def _score(self, model: ModelRecord, features: FeaturePages, relation: str) -> Audit:
        file, began = self.directory / PREDICTIONS, time.perf_counter()
        self.passing = in_passing(self.product, self.staged, len(features.n_rows), self.centres)
        try:
            scored = self.scoring.write(model, relation, file, self.passing)
        except ScoringFailed as error:
            relation = self._take_out_refused(model, features, relation, error)
            scored = self.scoring.write(model, relation, file)
        written = features
        if scored.n_rows is not None:
            # Of ranked lists only the first entries are written.
            written = replace(features, n_rows={page: scored.n_rows.get(page, 0) for page in features.n_rows})
        files, columns = scored.files or (file,), scored.columns
        audit = self._audit(written, relation, files, scored)
        if self.arms is not None:
            how = (time.perf_counter() - began, audit, lambda mixed: self._audit(written, relation, [mixed], scored))
            file, columns = self.arms.serve(relation, file, columns, *how)
            files = (file,)
        valid = dict(self.batch.cursor.execute(system_sql("pages/validity", rows=parquet(files))).fetchall())
        records = [
            replace(self._record("predictions", page, n_rows, model), valid_until=valid.get(page))
            for page, n_rows in written.n_rows.items()
        ]
        self.staged.append(StagedRows("predictions", files[0], columns, records, files[1:]))
        return audit

    def _audit(self, written: FeaturePages, features: str, files: Sequence[Path], scored: ScoredFile) -> Audit:
        """Check staged predictions beside the features that they were made from."""
        relations = {"features": features, "predictions": parquet(files)}
        relations["page"] = system_sql(
            "pages/side_by_side",
            scores=quote_all(list(self.product.kind.columns), "predictions."),
            keys=quote_all(self.product.keys),
            kind="LEFT JOIN" if self.product.ranking is None else "JOIN",
            **relations,
        )
        how = (self.meter.run_id, self.sizes, self.order.workers, scored.crossed)
        audit = audit_pages(self.batch, written, {**relations, **scored.relations}, *how)
        self._warn_of(audit.differing)
        return audit

    def _take_out_refused(self, model: ModelRecord, features: FeaturePages, relation: str, error: ScoringFailed) -> str:
        """Find the pages that the model refuses, each by itself; give SQL of the rows of the others.

        Raises
        ------
        ScoringFailed
            If it refuses them all.
        """
        refused: dict[datetime, str] = {}
        for page in list(features.n_rows):
            alone = f"(FROM {relation} WHERE as_of = {timestamp_literal(page)})"
            try:
                self.scoring.write(model, alone, self.directory / "alone.parquet")
            except ScoringFailed as one:
                refused[page] = str(one)
        if len(refused) == len(features.n_rows):
            raise error
        self.failed |= refused
        for page in refused:
            del features.n_rows[page]
        return f"(FROM {relation} WHERE as_of IN ({', '.join(timestamp_literal(page) for page in features.n_rows)}))"

    def _record(self, kind: str, page: datetime, n_rows: int, model: ModelRecord | None = None) -> PageRecord:
        return PageRecord(
            product=self.product.name,
            kind=kind,
            as_of=page,
            state="published",
            run_id=self.meter.run_id,
            definitions=self.definitions,
            ingest_id=self.sandbox.ingest_id,
            recorded_at=self.suite.clock(),
            snapshot_id=0,
            n_rows=n_rows,
            model_version=model.version if model else None,
            hindsight=model is not None and model.has_seen(page),
        )

    def _commit(self, result: PagesResult, features: FeaturePages, passed: set[datetime]) -> None:
        """Publish the pages that passed, and mark the others, in one commit with all of the ledger's rows."""
        if self.lost and passed:
            gone = give_up(self.suite.lake, self.product, passed, self.meter.run_id, self.suite.clock())
            others = sorted({page.as_of for page in gone if page.kind == "predictions"} - passed)
            if others:
                self.progress.warn(f"{counted(len(others), 'other page')} of the lost file: missing from now on.")
        product, order, run = self.product, self.order, f"run {self.meter.run_id}"
        what = f"{len(passed)} pages of {product.name}" if len(passed) != 1 else f"{product.name} {min(passed)}"
        profiles = StagedProfiles(self.batch.cursor, product, self.staged, passed, self.centres, self.passing)
        how = (self.sandbox.ingest_id, self.directory, self._judge_of, self.progress.warn)
        sums = stage_label_sums(self.suite, product, passed if self.order.model is not None else (), *how)
        with self.suite.lake.commit(f"{what}, {run}", *ahead(self.staged, passed, self.scoring, self.arms)) as commit:
            if passed:
                now, columns, made_at = self.suite.clock(), self._columns(), self.sandbox.snapshot_id
                record_definitions(commit, product, self.definitions, self.suite.definitions, now, columns)
                profiles.settle_centres(commit, self.meter.run_id, now)
                result.published = publish(commit, product, self.staged, passed, made_at, more_follow=order.more_follow)
                profiles.write(commit, result.published)
                sums.write(commit, result.published)
            if self.order.model is not None:
                self.scoring.commit(commit, self.order.model)
            if self.arms is not None:
                self.arms.commit(commit, result.published, self.suite.clock())
            marked = [*self._rejected(result, features), *self._failed()]
            ledger.append(commit, [replace(record, snapshot_id=commit.snapshot_id) for record in marked])
            ledger.append(commit, result.audit.checks)
            ledger.append(commit, result.audit.wrong_rows)
            facts: dict[str, int | str] = {"definitions": self.definitions, "ingest_id": self.sandbox.ingest_id}
            facts |= {"bytes_written": self.bytes_staged, "snapshot_id": commit.snapshot_id}
            ledger.append(commit, [run_row(self.meter, self.order.model, result.published, marked, **facts)])

    def _rejected(self, result: PagesResult, features: FeaturePages) -> list[PageRecord]:
        errors = [check for check in result.audit.complaints() if check.severity == "error"]
        return [
            replace(
                self._record("predictions", page, features.n_rows[page], self.order.model),
                state="rejected",
                note="; ".join(check.message for check in errors if check.as_of == page)[:NOTE_CHARACTERS],
            )
            for page in sorted(result.rejected)
        ]

    def _failed(self) -> list[PageRecord]:
        kind = "predictions" if self.order.model else "features"
        return [
            replace(self._record(kind, page, 0, self.order.model), state="failed", note=error[:NOTE_CHARACTERS])
            for page, error in sorted(self.failed.items())
        ]
