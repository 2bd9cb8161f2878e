"""Derive: the facts of a source made anew after its definition has changed.

Where that can be done without opening a file, they are made of the facts that are held (`jobs.facts.from_facts`). Else
what was delivered before is replayed in its order, at the instants at which it first reached us, under the definition
as it is: the facts are those of a lake that had taken in the same deliveries under this definition from the start. A
delivery whose files are gone is a refusal, unless it is asked to keep its facts as an earlier derivation has them; then
they are delivered again from there, and the columns that they lack are NULL. Nothing is ever filled in backwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from jobs.facts.complete import as_delivered
from jobs.facts.csv_files.formats import Found, keep_formats
from jobs.facts.fact_tables import (
    Held,
    Judged,
    content_columns,
    drop_parts,
    judge_delivery,
    read_and_judge,
    readable,
    refuse_unread,
)
from jobs.facts.from_facts import Made, deliver_again, holder_of, made_of_facts, stage_derived
from jobs.facts.reading import Reading, read_delivery
from jobs.facts.recorded import FoundDeliveries, find_deliveries
from jobs.facts.source_columns import find_columns
from jobs.facts.staged_facts import laid_out
from jobs.metering import RunMeter
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import IngestFailed
from warehouse.facts.current import ensure_current
from warehouse.lake.lake import Commit, table_columns
from warehouse.lake.registry import FACT_COLUMNS, REJECT_COLUMNS
from warehouse.lake.tables import widen_table
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import HeldFacts, first_derivation, held_facts, older_table
from warehouse.ledger.recorded_deliveries import RecordedDelivery
from warehouse.ledger.records import Ingestion
from warehouse.system_sql import quote, quote_all, system_sql
from warehouse.wording import counted


@dataclass(frozen=True)
class Derived:
    """A derivation that was made, or would be: the way, from how many deliveries, and what came of it.

    Attributes
    ----------
    derivation
        Its number; the source's table is that of the newest.
    way
        `facts` if it was made from those of another derivation, `replay` if the deliveries were read again.
    n_gone
        How many deliveries could not be read again; their facts are as an earlier derivation had them.
    n_facts, n_rejects
        Rows that it has: facts with their versions, and rejects.
    n_pages
        How many published pages of predictions, of products that read the source, are of other definitions.
    """

    source: str
    derivation: int
    way: str
    n_deliveries: int
    n_gone: int
    n_facts: int
    n_rejects: int
    n_pages: int

    def said(self, *, dry_run: bool = False) -> str:
        """Say it in a sentence or two."""
        how = {
            "replay": f"by taking in {counted(self.n_deliveries, 'recorded delivery', 'recorded deliveries')} again",
            "facts": "from the facts that are held; no file was opened",
        }[self.way]
        verb = "would be made" if dry_run else "were made"
        text = (
            f"{self.source}: its definition has changed; its facts {verb} anew, {how}:"
            f" {counted(self.n_facts, 'fact')}, {counted(self.n_rejects, 'reject')} (derivation {self.derivation})."
        )
        if self.n_gone:
            gone = "1 delivery is" if self.n_gone == 1 else f"{self.n_gone:,} deliveries are"
            text += f" {gone} gone; the facts are kept with the columns that they have."
        if self.n_pages:
            were = "page was" if self.n_pages == 1 else "pages were"
            text += f" {self.n_pages:,} published {were} made under other definitions: see `almanac plan`."
        return text


def derive(
    suite: Suite,
    source: Source,
    deliveries: Sequence[RecordedDelivery],
    connection: duckdb.DuckDBPyConnection,
    directory: Path,
    *,
    keep_gone: bool = False,
    dry_run: bool = False,
) -> Derived:
    """Make the derivation of a source under its definition as it is, in one commit.

    Parameters
    ----------
    deliveries
        What was delivered so far, the oldest first.
    connection
        An instance of its own that reads the lake, with its memory bounded; temporary tables are made in it.
    directory
        Where rows are staged.
    keep_gone
        Whether facts of deliveries that are gone are taken over from an earlier derivation.
    dry_run
        Whether to stop before the commit.

    Raises
    ------
    IngestFailed
        If deliveries are gone (and not `keep_gone`), or cannot be read under this definition.
    """
    meter = RunMeter(suite, "ingest")
    held = held_facts(connection)[source.name]
    made = made_of_facts(source, deliveries, connection, held, directory)
    if made is None:
        found = find_deliveries(suite, source, deliveries, directory)
        if found.gone and (not keep_gone or source.header.delivery is not None):
            raise IngestFailed(_refusal(source, deliveries, found, connection, held))
        made = _Replay(suite, source, connection, held, directory).made_from(deliveries, found)
    number = held.newest + 1
    if not dry_run:
        _commit(suite, source, made, meter)
    facts = sum(one.rows_new + one.rows_restated + one.rows_withdrawn for one in made.ingestions)
    rejects = sum(one.rows_rejected for one in made.ingestions)
    n_pages = _pages_concerned(suite, source)
    return Derived(source.name, number, made.way, len(deliveries), made.n_gone, facts, rejects, n_pages)


def _pages_concerned(suite: Suite, source: Source) -> int:
    """Count the published pages that were made under other definitions, of products that read a source."""
    with suite.lake.reading() as connection:
        return sum(
            record.definitions != suite.definitions.page_fingerprint(product)
            for product in suite.definitions.products.values()
            if source in suite.definitions.sources_of(product)
            for record in ledger.published_pages(connection, product.name, "predictions").values()
        )


def _refusal(
    source: Source,
    deliveries: Sequence[RecordedDelivery],
    found: FoundDeliveries,
    connection: duckdb.DuckDBPyConnection,
    held: HeldFacts,
) -> str:
    """Say which deliveries are gone, with how many facts of which columns, and what can be done."""
    n_facts = 0
    for delivery in deliveries:
        if delivery.ingest_id in found.gone:
            number, ingest_id = holder_of(held, delivery)
            query = f"SELECT count(*) FROM lake.sources.{quote(held.table(number))} WHERE ingest_id = $1"
            n_facts += (connection.execute(query, [ingest_id]).fetchone() or (0,))[0]
    columns = [name for name in table_columns(connection, "sources", source.name) if name not in FACT_COLUMNS]
    why = next(iter(found.gone.values()))
    return (
        f"{source.file.where}: its definition has changed, and {len(found.gone)} of its"
        f" {len(deliveries)} deliveries cannot be read again ({why})."
        f" They brought {counted(n_facts, 'fact')} with the columns {', '.join(columns)}."
        " Put the files back where `files` looks, or where they were; or take the definition back; or run"
        f" `almanac ingest {source.name} --keep-gone`: these facts are then kept with the columns that they have;"
        " what is new of columns stays NULL for them. `keep: true` in the header keeps copies from now on."
        " Nothing was changed."
    )


class _Replay:
    """Deliveries taken in one after the other, into temporary tables instead of the lake's."""

    def __init__(
        self, suite: Suite, source: Source, connection: duckdb.DuckDBPyConnection, held: HeldFacts, directory: Path
    ) -> None:
        self.suite, self.source, self.connection = suite, source, connection
        self.held, self.directory = held, directory
        self.columns: dict[str, str] = {}
        self.formats: list[Found] = []

    def made_from(self, deliveries: Sequence[RecordedDelivery], found: FoundDeliveries) -> Made:
        """Take in all deliveries, and stage the facts and rejects that come of them."""
        ingestions = []
        for delivery in deliveries:
            judged = self._judged(delivery, deliveries, found)
            if judged.columns:
                self._keep(delivery, judged.columns)
            ingestions.append(_ingestion(self.source, delivery, judged, self._ingest_id(delivery)))
            drop_parts(self.connection)
        staged = stage_derived(self.connection, self.source, "sources", "temp.derived", self.directory)
        staged |= stage_derived(self.connection, self.source, "rejects", "temp.derived_rejects", self.directory)
        self.connection.execute("DROP VIEW IF EXISTS temp.judged")
        for table in ("derived", "derived_rejects", "delivered_again", "fresh", "compared", "apart", "ambiguous"):
            self.connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
        laid = laid_out(self.connection, self.source, self.columns, staged)
        return Made("replay", self.columns, laid, ingestions, len(found.gone), self.formats)

    def _judged(
        self, delivery: RecordedDelivery, deliveries: Sequence[RecordedDelivery], found: FoundDeliveries
    ) -> Judged:
        held = Held(formats=self.formats)
        if self.columns:
            held = Held("temp.derived", self.columns, "temp.derived_rejects", self.columns, True, self.formats)
        if delivery.ingest_id in found.gone:
            columns = self._columns_now(deliveries, found)
            deliver_again(self.connection, self.source, self.held, delivery, columns)
            with readable(self.source, []):
                counts = judge_delivery(self.connection, self.source, columns, held, delivery.ingested_at)
            return Judged(Reading(), columns, counts)
        files, place = found.of(delivery), self.directory / f"unpacked-{delivery.ingest_id}"
        place.mkdir()
        source = as_delivered(self.source, files)
        judged = read_and_judge(self.connection, source, files, place, held, delivery.ingested_at)
        shutil.rmtree(place)
        refuse_unread(self.source, judged)
        self.formats = judged.reading.found or self.formats
        return judged

    def _ingest_id(self, delivery: RecordedDelivery) -> int:
        """Give the ingestion under which a delivery's facts stand.

        Where a derivation of this definition was dropped, it is the one that it had there: pages and trainings of then
        say up to which ingestion they saw. Otherwise nobody has seen any of these facts, and it is the first one.
        """
        meaning = self.source.facts_fingerprint
        same = [number for number, one in self.held.derivations.items() if one.definition == meaning]
        return min(
            (delivery.held_by[number] for number in same if number in delivery.held_by), default=delivery.ingest_id
        )

    def _keep(self, delivery: RecordedDelivery, columns: dict[str, str]) -> None:
        """Add what was judged to the facts and rejects so far."""
        self.columns = self._grown(columns)
        for statement in ("ingest/derived_facts", "ingest/derived_rejects"):
            fragments = {"columns": quote_all(columns), "ingest_id": str(self._ingest_id(delivery))}
            self.connection.execute(system_sql(statement, **fragments))

    def _grown(self, columns: dict[str, str]) -> dict[str, str]:
        """Make the temporary tables, or let them grow as those of the lake do; give the columns as they are held."""
        for table, more in (("derived", FACT_COLUMNS), ("derived_rejects", REJECT_COLUMNS)):
            if not self.columns:
                declared = ", ".join(f"{quote(name)} {kind}" for name, kind in (columns | more).items())
                self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({declared})")
            else:
                widen_table(self.connection, f"temp.{table}", self.columns, columns, f"sources.{self.source.name}")
        described = self.connection.execute("DESCRIBE temp.derived").fetchall()
        return {str(row[0]): str(row[1]) for row in described if row[0] not in FACT_COLUMNS}

    def _columns_now(self, deliveries: Sequence[RecordedDelivery], found: FoundDeliveries) -> dict[str, str]:
        """Give the columns under this definition: those of a delivery that is there, or what can be told without."""
        for delivery in deliveries:
            if delivery.ingest_id not in found.gone:
                with readable(self.source, found.of(delivery)):
                    reading = read_delivery(self.connection, self.source, found.of(delivery), self.directory, None)
                if reading.has_rows:
                    return content_columns(self.connection, self.source)
        columns = dict(find_columns(self.suite, self.source).columns.selected)
        if not columns:
            raise IngestFailed(
                f"{self.source.file.where}: all of its deliveries are gone, and its columns cannot be told; give their"
                " types in its SELECT. Nothing was changed."
            )
        return columns


def _ingestion(source: Source, delivery: RecordedDelivery, judged: Judged, ingest_id: int) -> Ingestion:
    return Ingestion(
        ingest_id=ingest_id,
        source=source.name,
        definition=source.fingerprint,
        files=delivery.files,
        ingested_at=delivery.ingested_at,
        run_id=delivery.run_id,
        snapshot_id=0,
        columns=judged.columns,
        **judged.counts.of_ledger(),  # type: ignore[arg-type]
    )


def _commit(suite: Suite, source: Source, made: Made, meter: RunMeter) -> None:
    """Put the derivation in the place of the newest one, which keeps its facts under a name of its own."""
    size = made.staged.bytes
    with suite.lake.commit(f"derive {source.name}, run {meter.run_id}", made.staged.ahead(source.name)) as commit:
        parent = held_facts(commit.connection)[source.name].newest
        for schema in ("sources", "rejects"):
            _put_aside(commit, schema, source.name, parent)
        made.staged.put(commit, source.name)
        ensure_current(commit, source)
        number, snapshot_id = parent + 1, commit.snapshot_id
        ledger.append(commit, [replace(one, derivation=number, snapshot_id=snapshot_id) for one in made.ingestions])
        record = replace(
            first_derivation(source, meter.started_at, meter.run_id, snapshot_id),
            derivation=number,
            way=made.way,
            parent=parent,
            n_deliveries=len(made.ingestions),
            n_gone=made.n_gone,
        )
        ledger.append(commit, [record])
        keep_formats(commit, source, max((one.ingest_id for one in made.ingestions), default=0), made.formats)
        figures = {"definitions": source.fingerprint, "snapshot_id": snapshot_id, "bytes_written": size}
        n_rows = sum(one.rows_read for one in made.ingestions)
        ledger.append(commit, [meter.record("succeeded", n_rows=n_rows, **figures)])


def _put_aside(commit: Commit, schema: str, table: str, number: int) -> None:
    if table_columns(commit.connection, schema, table):
        name = quote(older_table(table, number))
        commit.execute(f"ALTER TABLE {quote(schema)}.{quote(table)} RENAME TO {name}")
