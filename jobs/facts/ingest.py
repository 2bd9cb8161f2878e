"""Ingest: deliveries in, facts out. Rows that the lake holds already are left alone, changed ones become new
versions, and rows that break a rule go to the source's rejects with the reason.

A delivery is read, compared and staged outside any transaction, and committed whole with its ledger row.
Ingestions of one lake go one after the other, so that `ingest_id` is the order in which facts reached us.
Where the definition of a source has changed, its facts are made anew before anything new is taken in
(`jobs.facts.derive`); what only other derivations have taken in is caught up with, dated as it first reached us.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import duckdb

from jobs.facts.complete import as_delivered, of_newest_delivery, why_refused
from jobs.facts.csv_files.formats import Found, keep_formats, kept_formats
from jobs.facts.csv_files.heads import is_empty, may_hold_no_rows
from jobs.facts.csv_files.strict_reading import found_in
from jobs.facts.database_rows import next_rows, refuse_rows_aside
from jobs.facts.databases.memory import bound_memory, what_to_set
from jobs.facts.derive import Derived, derive
from jobs.facts.fact_tables import (
    Judged,
    due_ingestions,
    held_in_lake,
    judge_delivery,
    read_and_judge,
    readable,
    refuse_unread,
    require_facts_are_there,
    stage_judged,
)
from jobs.facts.files.delivered_files import DeliveredFile, find_files
from jobs.facts.from_facts import deliver_again
from jobs.facts.function_rows import next_batches
from jobs.facts.publications import next_publications
from jobs.facts.reading import Reading
from jobs.facts.recorded import find_deliveries, keep_copies, taken_before
from jobs.facts.set_aside import leave_out_deleted, record_files_aside
from jobs.facts.staged_facts import laid_out
from jobs.metering import RunMeter
from jobs.progress import Progress, Silent
from jobs.suite import Suite, almanac_version
from warehouse.definitions import Source
from warehouse.errors import DeliveryRefused, FileRefused, FilesSetAside, IngestFailed, NotInstalled
from warehouse.facts.current import ensure_all_current, ensure_current
from warehouse.facts.files_aside import files_aside
from warehouse.facts.set_back import refuse_a_clock_set_back
from warehouse.lake.registry import FACT_COLUMNS
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import adopt_landed_facts, first_derivation, held_facts
from warehouse.ledger.recorded_deliveries import RecordedDelivery, recorded_deliveries
from warehouse.ledger.records import Ingestion, SourceFacts, SourceFile
from warehouse.queries.bounded_functions import bound_functions
from warehouse.system_sql import system_sql
from warehouse.wording import counted, to_the_second


@dataclass(frozen=True)
class Way:
    """How a source is to be ingested.

    Attributes
    ----------
    keep_gone
        Whether facts of recorded deliveries that are gone are taken over where a definition has changed.
    dry_run
        Whether to say what would be done, and not to do it.
    withdraw
        So many facts may be withdrawn because a complete delivery lacks them, whatever speaks against it.
    set_back
        Whether the clock is right although something was taken in at a later time.
    """

    keep_gone: bool = False
    dry_run: bool = False
    withdraw: int | None = None
    set_back: bool = False


@dataclass(frozen=True)
class IngestResult:
    """What became of one source. `ingestion` is None if every file had been taken in before.

    `passed_over` says why, if the source was not looked at; `reading`, which files were set aside or lack columns;
    `refused`, why nothing of a complete delivery was taken in. `newest_fact` is when the newest of its facts was known
    that is not known from its ingestion on. `derived` is the derivation that was made because the
    definition has changed, if it has. `caught_up` are deliveries that only other derivations had taken in.
    """

    source: str
    ingestion: Ingestion | None
    wall_s: float
    passed_over: str = ""
    reading: Reading = field(default_factory=Reading)
    derived: Derived | None = None
    caught_up: list[Ingestion] = field(default_factory=list)
    refused: str = ""
    newest_fact: datetime | None = None


def ingest(
    suite: Suite, names: Sequence[str] = (), progress: Progress | None = None, way: Way | None = None
) -> list[IngestResult]:
    """Take in what is new of the named sources, or of all; first make the facts anew where a definition has changed.

    Of all, those are passed over whose header says what they require, where that is not installed.

    Raises
    ------
    NotFoundError
        If a name is no source.
    IngestFailed
        If a source's files cannot be read as declared, every source was passed over, or a definition has changed
        and what was delivered is gone. Sources before it stay ingested.
    FilesSetAside
        If files were set aside; everything else was taken in, and the error has the results.
    DeliveryRefused
        If a complete delivery lacks more facts than can be right; everything else was taken in.
    """
    progress = progress or Silent()
    sources = [suite.definitions.source(name) for name in names or suite.definitions.sources]
    suite.lake.create(suite.clock(), almanac_version())
    results: list[IngestResult] = []
    progress.start("ingest", len(sources), "sources")
    with suite.lake.catalogue.ingest_lock():
        if way is None or not way.dry_run:
            adopt_landed_facts(suite.lake, suite.definitions, suite.clock())
        for source in sources:
            may_pass = not names and source.header.requires is not None
            found = _ingest_source(suite, source, way or Way(), may_pass=may_pass)
            results += found
            for result in found:
                if result.passed_over:
                    progress.warn(f"{source.name} is passed over: {result.passed_over}")
            progress.advance(1, sum(result.ingestion.rows_read for result in found if result.ingestion))
    ensure_all_current(suite.lake, sources)
    progress.finish()
    if results and all(result.passed_over for result in results):
        raise IngestFailed("\n".join(["no source could be ingested:", *(result.passed_over for result in results)]))
    aside = [f"{result.source}: {one.file.path}: {one.reason}" for result in results for one in result.reading.aside]
    refused = [result.refused for result in results if result.refused]
    if aside:
        raise FilesSetAside(aside, results, refused)
    if refused:
        raise DeliveryRefused(refused, results)
    return results


def _ingest_source(suite: Suite, source: Source, way: Way, *, may_pass: bool) -> list[IngestResult]:
    """Take in what is new of a source; of a product's publications, as many deliveries as there are."""
    results = _ingest_deliveries(suite, source, way, may_pass=may_pass)
    while source.header.product is not None and results[-1].ingestion is not None and not way.dry_run:
        results += _ingest_deliveries(suite, source, way, may_pass=may_pass)
    return results[:-1] or results if source.header.product is not None and not way.dry_run else results


def _ingest_deliveries(suite: Suite, source: Source, way: Way, *, may_pass: bool) -> list[IngestResult]:
    """Take in one delivery, or each file as one, until one of them is refused or set aside."""
    meter = RunMeter(suite, "ingest")
    with suite.staging(meter.run_id) as directory, contextlib.closing(suite.lake.connect()) as connection:
        bound_functions(connection)
        job = _SourceIngestion(suite, source, way, connection, directory)
        try:
            job.run(meter)
        except NotInstalled as error:
            if not may_pass:
                raise
            return [
                IngestResult(source.name, None, meter.wall_s, str(error), derived=job.derived, caught_up=job.caught_up)
            ]
        except duckdb.OutOfMemoryException as error:
            raise IngestFailed(f"{source.file.where}: {what_to_set(error)}") from error
        except OSError as error:
            raise IngestFailed(f"{source.file.where}: {error}. Nothing of this delivery was taken in.") from error
    first, *more = job.results or [IngestResult(source.name, None, meter.wall_s)]
    return [replace(first, derived=job.derived, caught_up=job.caught_up), *more]


class _SourceIngestion:
    """One source's part: its facts made anew if they have to be, then what others have taken in, then what is new."""

    def __init__(
        self, suite: Suite, source: Source, way: Way, connection: duckdb.DuckDBPyConnection, directory: Path
    ) -> None:
        self.suite, self.source, self.way = suite, source, way
        self.connection, self.directory = connection, directory
        self.derived: Derived | None = None
        self.caught_up: list[Ingestion] = []
        self.results: list[IngestResult] = []
        self.formats: list[Found] = []

    def run(self, meter: RunMeter) -> None:
        """Do it; what is done already when something fails stays."""
        # An instance of its own would read the catalogue for the ledger twice, once as it was in the beginning.
        with self.suite.lake.reading(follow=True) as self.told:
            self._run(meter)

    def _run(self, meter: RunMeter) -> None:
        # Once, before anything is compared: DuckDB takes no other directory to spill into when it has used one.
        bound_memory(self.connection, self.directory)
        recorded = recorded_deliveries(self.told, self.source)
        if recorded and self._facts() is None:
            order = {"keep_gone": self.way.keep_gone, "dry_run": self.way.dry_run}
            self.derived = derive(self.suite, self.source, recorded, self.connection, self._place("derived"), **order)
            if self.way.dry_run:
                return
            recorded = recorded_deliveries(self.told, self.source)
        facts = self._facts() or SourceFacts(table=self.source.name)
        self.formats = kept_formats(self.told, self.source)
        self._catch_up([one for one in recorded if facts.derivation not in one.held_by], facts)
        if self.source.header.product is not None:
            there = files = next_publications(self.connection, self.source, facts.derivation, self.directory)
        elif self.source.reads_rows:
            read = next_rows if self.source.header.database is not None else next_batches
            there = files = read(self.connection, self.suite, self.source, facts, self.directory)
        else:
            there = find_files(self.source, self.suite.root, self.directory, taken_before(self.suite.lake, recorded))
            if not self.way.dry_run and self.source.header.loader is None:
                leave_out_deleted(self.suite, self.source, there, files_aside(self.told, self.source.name))
            files = self._pending(there, facts)
        if files:
            refuse_a_clock_set_back(self.told, self.source, self.suite.clock(), may=self.way.set_back)
            self._look_at(there, {id(file) for file in files})
        settings = self.source.header.delivery
        by_file = settings is not None and settings.kind == "complete by file"
        for number, delivery in enumerate([[file] for file in files] if by_file else [files] if files else []):
            # Each delivery is a run of its own; the first has begun already.
            self._take_in_new(delivery, facts, RunMeter(self.suite, "ingest") if number else meter, number)
            if self.results[-1].ingestion is None or self.way.dry_run:
                break

    def _take_in_new(self, files: list[DeliveredFile], facts: SourceFacts, meter: RunMeter, number: int) -> None:
        place = self._place(f"new-{number}")
        judged = self._judged(files, facts, meter.started_at, place)
        refuse_rows_aside(self.source, judged.reading)
        reading, ingestion = judged.reading, None
        if not self.way.dry_run:
            aside = files_aside(self.told, self.source.name, forgotten=True)
            record_files_aside(self.suite, self.source, reading, aside, meter.run_id, meter.started_at)
        refused = why_refused(as_delivered(self.source, files), reading, judged.lacking, self.way.withdraw)
        if refused and not self.way.dry_run:
            with self.suite.lake.commit(f"refuse a delivery of {self.source.name}, run {meter.run_id}") as commit:
                ledger.append(commit, [meter.record("failed", definitions=self.source.fingerprint, error=refused)])
        elif reading.taken and not refused:
            taken: list[SourceFile] = [
                {"path": file.path, "sha256": file.sha256, "bytes": file.bytes} for file in reading.taken
            ]
            ingestion = self._take_in(judged, taken, facts, meter, meter.started_at, place)
        newest = judged.counts.newest_fact if ingestion is not None else None
        done = IngestResult(self.source.name, ingestion, meter.wall_s, reading=reading, refused=refused)
        self.results.append(replace(done, newest_fact=newest))

    def _look_at(self, there: Sequence[DeliveredFile], new: set[int]) -> None:
        """Find out how CSV files other than `new` ones (their ids) were read, where an earlier version kept nothing."""
        if self.formats or isinstance(self.source.header.files, list) or self.source.entries:
            return
        place = self._place("before")
        found = (path for file in there if id(file) not in new for path in file.readable(place))
        paths = [path for path in found if not is_empty(path)]
        with contextlib.suppress(duckdb.Error):  # what made them readable then need not be there now
            try:
                self.formats = found_in(self.connection, self.source, paths) if paths else []
            except FileRefused as error:
                raise IngestFailed(f"{self.source.file.where}: of the files taken in before, {error}") from error

    def _facts(self) -> SourceFacts | None:
        held = held_facts(self.told).get(self.source.name)
        return held.of(self.source) if held is not None else None

    def _place(self, name: str) -> Path:
        place = self.directory / name
        place.mkdir()
        return place

    def _catch_up(self, missing: Sequence[RecordedDelivery], facts: SourceFacts) -> None:
        """Take in what only other derivations have, at the instants at which it first reached us."""
        if missing and self.source.withdraws_what_lacks:
            n_missing = counted(len(missing), "complete delivery was", "complete deliveries were")
            raise IngestFailed(
                f"{self.source.file.where}: {n_missing} taken in under another definition"
                " of this source. What each of them lacked depends on their order, so they are not taken in behind"
                " later ones. Ingest under one definition only."
            )
        found = find_deliveries(self.suite, self.source, missing, self.directory)
        for number, delivery in enumerate(missing):
            why_gone = found.gone.get(delivery.ingest_id)
            if why_gone is not None and not self.way.keep_gone:
                raise IngestFailed(
                    f"{self.source.file.where}: a delivery of {to_the_second(delivery.ingested_at)},"
                    f" which was taken in under another definition of this source, cannot be read again ({why_gone})."
                    f" Put its files back where `files` looks, or where they were; or run"
                    f" `almanac ingest {self.source.name} --keep-gone`: its facts are then taken over as they are held"
                    " under that definition. Nothing of it was taken in."
                )
            meter = RunMeter(self.suite, "ingest")
            place = self._place(f"recorded-{number}")
            if why_gone is None:
                judged = self._judged(found.of(delivery), facts, delivery.ingested_at, place)
                refuse_unread(self.source, judged)
            else:
                judged = self._held_elsewhere(delivery, facts)
            self.caught_up.append(self._take_in(judged, delivery.files, facts, meter, delivery.ingested_at, place))

    def _pending(self, files: list[DeliveredFile], facts: SourceFacts) -> list[DeliveredFile]:
        """Leave out files taken in before, or forgotten. A list of files is one delivery, read whole if any is new."""
        aside = files_aside(self.told, self.source.name, forgotten=True)
        forgotten = {file.sha256 for file in aside if file.forgotten_at is not None}
        if self.source.header.delivery is not None:
            query, values = system_sql("ingest/files_by_ingestion"), [self.source.name, facts.derivation]
            taken = [row[0] for row in self.told.execute(query, values).fetchall()]
            return [file for file in of_newest_delivery(self.source, files, taken) if file.sha256 not in forgotten]
        rows = self.told.execute(system_sql("ingest/known_files"), [self.source.name, facts.derivation]).fetchall()
        due = due_ingestions(self.connection, self.source, facts.table, self.suite.clock())
        known = {sha256 for sha256, _, last in rows if last not in due}
        # Files that hold no rows hash alike, and each is a delivery: it says that there was nothing.
        seen = {path for _, path, _ in rows}
        again = [one for one in files if one.sha256 in known and one.path not in seen and may_hold_no_rows(one.found)]
        new = [file for file in files if file in again or file.sha256 not in known | forgotten]
        return new if not isinstance(self.source.header.files, list) else files if new else []

    def _judged(self, files: list[DeliveredFile], facts: SourceFacts, ingested_at: datetime, place: Path) -> Judged:
        held = replace(held_in_lake(self.connection, facts.table), formats=self.formats)
        delivered = as_delivered(self.source, files)
        judged = read_and_judge(self.connection, delivered, files, place, held, ingested_at)
        self.formats = judged.reading.found or self.formats
        return judged

    def _held_elsewhere(self, delivery: RecordedDelivery, facts: SourceFacts) -> Judged:
        """Judge the facts of a delivery that is gone, as another derivation has them."""
        held, here = held_facts(self.told)[self.source.name], held_in_lake(self.connection, facts.table)
        columns = {name: kind for name, kind in here.columns.items() if name not in FACT_COLUMNS}
        deliver_again(self.connection, self.source, held, delivery, columns)
        with readable(self.source, []):
            counts = judge_delivery(self.connection, self.source, columns, here, delivery.ingested_at)
        return Judged(Reading(), columns, counts)

    def _take_in(
        self,
        judged: Judged,
        files: list[SourceFile],
        facts: SourceFacts,
        meter: RunMeter,
        ingested_at: datetime,
        place: Path,
    ) -> Ingestion:
        """Stage and commit a delivery that was read and judged."""
        ingest_id = ledger.newest_ingest_id(self.told) + 1
        columns = judged.columns
        ingestion = Ingestion(
            ingest_id=ingest_id,
            source=self.source.name,
            definition=self.source.fingerprint,
            files=files,
            ingested_at=ingested_at,
            run_id=meter.run_id,
            snapshot_id=0,
            derivation=facts.derivation,
            columns=columns,
            **judged.counts.of_ledger(),  # type: ignore[arg-type]
        )
        if self.way.dry_run:
            return ingestion
        staged = stage_judged(self.connection, self.source, judged, ingest_id, place) if columns else {}
        if (self.source.header.keep or self.source.writes_deliveries) and not judged.reading.n_erased:
            keep_copies(self.suite.lake, judged.reading.taken)
        return self._commit(facts.table, columns, ingestion, staged, meter)

    def _commit(
        self, table: str, columns: dict[str, str], ingestion: Ingestion, staged: dict[str, Path], meter: RunMeter
    ) -> Ingestion:
        source, laid = self.source, laid_out(self.connection, self.source, columns, staged)
        size = laid.bytes
        with self.suite.lake.commit(f"ingest {source.name}, run {meter.run_id}", laid.ahead(table)) as commit:
            held = held_facts(commit.connection).get(source.name)
            require_facts_are_there(source, held, table)
            laid.put(commit, table)
            recorded = replace(ingestion, snapshot_id=commit.snapshot_id)
            ledger.append(commit, [recorded])
            keep_formats(commit, source, ingestion.ingest_id, self.formats)
            if held is None:
                ledger.append(commit, [first_derivation(source, meter.started_at, meter.run_id, commit.snapshot_id)])
            ensure_current(commit, source)
            run = meter.record(
                "succeeded",
                n_rows=ingestion.rows_read,
                bytes_written=size,
                definitions=source.fingerprint,
                ingest_id=ingestion.ingest_id,
                snapshot_id=commit.snapshot_id,
            )
            ledger.append(commit, [run])
        return recorded
