"""Ingest: deliveries in, facts out. Rows that the lake holds already are left alone, changed ones become new
versions, and rows that break a rule go to the source's rejects with the reason.

A delivery is read, compared and staged outside any transaction, and committed whole with its ledger row.
Ingestions of one lake go one after the other, so that `ingest_id` is the order in which facts reached us.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import filelock

from jobs.facts.deliveries import DeliveredFile, find_files
from jobs.facts.reading import Reading, is_of_a_file, read_delivery
from jobs.facts.set_aside import record_files_aside
from jobs.metering import RunMeter
from jobs.progress import Progress, Silent
from jobs.suite import Suite, almanac_version
from warehouse.definitions import Source
from warehouse.errors import DefinitionError, FilesSetAside, IngestFailed, NotInstalled, RunFailed
from warehouse.facts.files_aside import AsideFile, files_aside
from warehouse.lake.lake import table_columns, use_all_cores
from warehouse.lake.tables import ensure_table
from warehouse.ledger import records as ledger
from warehouse.ledger.records import Ingestion
from warehouse.system_sql import literal, quote, quote_all, system_sql

_LOCK_TIMEOUT_S = 600.0
#: What the suite adds to a source's columns, and to those of its rejects.
_FACT_COLUMNS = {"known_at": "TIMESTAMP", "ingest_id": "BIGINT", "withdrawn": "BOOLEAN"}
_REJECT_COLUMNS = {"withdrawn": "BOOLEAN", "ingest_id": "BIGINT", "reason": "VARCHAR"}


@dataclass(frozen=True)
class IngestResult:
    """What became of one source. `ingestion` is None if every file had been taken in before.

    `passed_over` says why, if the source was not looked at; `reading`, which files were set aside or lack columns.
    """

    source: str
    ingestion: Ingestion | None
    wall_s: float
    passed_over: str = ""
    reading: Reading = field(default_factory=Reading)


def ingest(suite: Suite, names: Sequence[str] = (), progress: Progress | None = None) -> list[IngestResult]:
    """Take in what is new of the named sources, or of all.

    Of all, those are passed over whose header says what they require, where that is not installed.

    Raises
    ------
    NotFoundError
        If a name is no source.
    IngestFailed
        If a source's files cannot be read as declared, or every source was passed over. Sources before it stay
        ingested.
    FilesSetAside
        If files were set aside; everything else was taken in, and the error has the results.
    """
    progress = progress or Silent()
    sources = [suite.definitions.source(name) for name in names or suite.definitions.sources]
    suite.lake.create(suite.clock(), almanac_version())
    results = []
    progress.start("ingest", len(sources), "sources")
    with _ingest_lock(suite):
        for source in sources:
            result = _ingest_source(suite, source, may_pass=not names and source.header.requires is not None)
            results.append(result)
            if result.passed_over:
                progress.warn(f"{source.name} is passed over: {result.passed_over}")
            progress.advance(1, result.ingestion.rows_read if result.ingestion else 0)
    progress.finish()
    if results and all(result.passed_over for result in results):
        raise IngestFailed("\n".join(["no source could be ingested:", *(result.passed_over for result in results)]))
    aside = [f"{result.source}: {one.file.path}: {one.reason}" for result in results for one in result.reading.aside]
    if aside:
        raise FilesSetAside(aside, results)
    return results


@contextlib.contextmanager
def _ingest_lock(suite: Suite) -> Iterator[None]:
    try:
        with filelock.FileLock(suite.lake.root / "ingest.lock", timeout=_LOCK_TIMEOUT_S):
            yield
    except filelock.Timeout as error:
        raise RunFailed(
            f"another ingest of this lake has been running for {_LOCK_TIMEOUT_S:g} s; try later."
        ) from error


def _ingest_source(suite: Suite, source: Source, *, may_pass: bool) -> IngestResult:
    meter = RunMeter(suite, "ingest")
    with suite.staging(meter.run_id) as directory:
        try:
            ingestion, reading = _take_in(suite, source, meter, directory)
        except NotInstalled as error:
            if not may_pass:
                raise
            return IngestResult(source.name, None, meter.wall_s, str(error))
        except OSError as error:
            raise IngestFailed(f"{source.file.where}: {error}. Nothing of this delivery was taken in.") from error
    return IngestResult(source.name, ingestion, meter.wall_s, reading=reading)


def _take_in(suite: Suite, source: Source, meter: RunMeter, directory: Path) -> tuple[Ingestion | None, Reading]:
    with contextlib.closing(suite.lake.connect()) as connection:
        aside = files_aside(connection, source.name, forgotten=True)
        files = _pending(connection, source, find_files(source, suite.root, directory), aside)
        if not files:
            return None, Reading()
        use_all_cores(connection)
        # The lake stays in use as `lake`; the delivery is compared in the instance's own memory.
        connection.execute(f"SET temp_directory = {literal(str(directory / 'spill'))}")
        reading, columns = _read(connection, source, files, directory, meter)
        record_files_aside(suite, source, reading, aside, meter.run_id, meter.started_at)
        if not reading.taken:
            return None, reading
        ingest_id = ledger.newest_ingest_id(connection) + 1
        counts = (0, 0, 0, 0, 0, None, None)
        staged = {}
        if reading.has_rows:
            counts = connection.execute(system_sql("ingest/counts")).fetchone() or counts
            staged = _stage(connection, source, columns, ingest_id, directory)
    read, new, restated, withdrawn, rejected, first, last = counts
    ingestion = Ingestion(
        ingest_id=ingest_id,
        source=source.name,
        definition=source.fingerprint,
        files=[{"path": file.path, "sha256": file.sha256, "bytes": file.bytes} for file in reading.taken],
        rows_read=read,
        rows_new=new,
        rows_restated=restated,
        rows_withdrawn=withdrawn,
        rows_unchanged=read - new - restated - withdrawn - rejected,
        rows_rejected=rejected,
        min_known_at=first,
        max_known_at=last,
        ingested_at=meter.started_at,
        run_id=meter.run_id,
        snapshot_id=0,
    )
    return _commit(suite, source, columns, ingestion, staged, meter), reading


def _pending(
    connection: duckdb.DuckDBPyConnection, source: Source, files: list[DeliveredFile], aside: Sequence[AsideFile]
) -> list[DeliveredFile]:
    """Leave out the files taken in before, or forgotten. A list of files is one delivery, read whole if any is new."""
    rows = connection.execute(system_sql("ingest/known_files"), [source.name, source.fingerprint]).fetchall()
    known = {sha256 for sha256, _ in rows} | {file.sha256 for file in aside if file.forgotten_at is not None}
    # Files of no bytes hash alike, and each is a delivery.
    seen = {path for _, path in rows}
    new = [file for file in files if file.sha256 not in known or (file.bytes == 0 and file.path not in seen)]
    return new if isinstance(source.header.files, str) else files if new else []


def _read(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    files: list[DeliveredFile],
    directory: Path,
    meter: RunMeter,
) -> tuple[Reading, dict[str, str]]:
    """Read files, and compare their rows with the lake's; where that fails over all of them, one by one."""
    known = connection.execute(system_sql("ingest/known_files"), [source.name, source.fingerprint]).fetchall()
    held = table_columns(connection, "sources", source.name) if known else None
    for one_by_one in (False, True):
        with _readable(source, files):
            reading = read_delivery(connection, source, files, directory, held or None, one_by_one=one_by_one)
            columns = _content_columns(connection, source) if reading.has_rows else {}
            try:
                if reading.has_rows:
                    _compare(connection, source, columns, meter)
                break
            except duckdb.Error as error:
                if one_by_one or not is_of_a_file(error):
                    raise
    return reading, columns


@contextlib.contextmanager
def _readable(source: Source, files: list[DeliveredFile]) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        names = ", ".join(file.path for file in files[:3]) + (" ..." if len(files) > 3 else "")
        raise IngestFailed(
            f"{source.file.where}: {names} cannot be read as the source declares it: {error}\n"
            "Correct the file or the SELECT. Nothing of this delivery was taken in."
        ) from error


def _content_columns(connection: duckdb.DuckDBPyConnection, source: Source) -> dict[str, str]:
    described = connection.execute("DESCRIBE delivery").fetchall()
    columns = {str(row[0]): str(row[1]) for row in described if row[0] not in ("known_at", "withdrawn")}
    missing = [name for name in source.key if name not in columns]
    if missing or "ingest_id" in columns:
        wrong = f"the key column(s) {missing} are not in its SELECT" if missing else "it selects `ingest_id`"
        raise DefinitionError(f"{source.file.where}: {wrong}; the columns are: {', '.join(columns)}.")
    unusable = [f"{name} {kind}" for name, kind in columns.items() if kind.startswith("ENUM") or '"NULL"' in kind]
    if unusable:
        raise DefinitionError(f"{source.file.where}: the lake cannot hold {unusable}; cast to VARCHAR or another type.")
    return columns


def _compare(connection: duckdb.DuckDBPyConnection, source: Source, columns: dict[str, str], meter: RunMeter) -> None:
    """Make the table `judged`: every row that the lake does not hold, dated, and rejected with a reason or not."""
    header, listed, name = source.header, quote_all(columns), quote(source.name)
    present = table_columns(connection, "sources", source.name)
    for view, statement in (("stored", "ingest/stored"), ("newest", "ingest/newest")):
        if present:
            known = ", ".join(
                quote(c) if c in present else f"NULL::{kind} AS {quote(c)}" for c, kind in columns.items()
            )
            extra = {"key": quote_all(source.key)} if view == "newest" else {}
            connection.execute(system_sql(statement, columns=known, source=name, **extra))
        else:
            connection.execute(system_sql("ingest/nothing", view=view, columns=listed))
    rejects = table_columns(connection, "rejects", source.name)
    comparable = rejects and all(rejects.get(column) == kind for column, kind in columns.items())
    connection.execute(
        system_sql(
            "ingest/fresh",
            columns=listed,
            withdrawn=header.withdrawn or "false",
            stored="stored" if header.restated_at else "newest",
            rejected=f"lake.rejects.{name}" if comparable else "newest WHERE false",
        )
    )
    rules = [f"CASE WHEN NOT ({rule}) THEN {literal(title)} END" for title, rule in header.rules.items()]
    connection.execute(
        system_sql(
            "ingest/judge",
            known_at=header.known_at,
            restated_at=header.restated_at or "NULL",
            broken_rules=f"nullif(concat_ws('; ', {', '.join(rules)}), '')" if rules else "NULL",
            key=quote_all(source.key),
            same_key=" AND ".join(f"numbered.{quote(key)} = newest.{quote(key)}" for key in source.key),
            key_is_null=" OR ".join(f"{quote(key)} IS NULL" for key in source.key),
        ),
        {"ingested_at": meter.started_at},
    )


def _stage(
    connection: duckdb.DuckDBPyConnection, source: Source, columns: dict[str, str], ingest_id: int, directory: Path
) -> dict[str, Path]:
    staged = {}
    for schema, statement in (("sources", "ingest/stage_facts"), ("rejects", "ingest/stage_rejects")):
        path = directory / f"{schema}.parquet"
        fragments = {"columns": quote_all(columns), "key": quote_all(source.key), "ingest_id": str(ingest_id)}
        row = connection.execute(system_sql(statement, file=literal(str(path)), **fragments)).fetchone()
        if row and row[0]:
            staged[schema] = path
    return staged


def _commit(
    suite: Suite,
    source: Source,
    columns: dict[str, str],
    ingestion: Ingestion,
    staged: dict[str, Path],
    meter: RunMeter,
) -> Ingestion:
    size = sum(path.stat().st_size for path in staged.values())
    with suite.lake.commit(f"ingest {source.name}, run {meter.run_id}") as commit:
        for schema, more in (("sources", _FACT_COLUMNS), ("rejects", _REJECT_COLUMNS)) if columns else ():
            as_it_is = ensure_table(commit, schema, source.name, columns | more)
            if schema in staged:
                commit.add_rows(schema, source.name, staged[schema], as_it_is=as_it_is)
        recorded = Ingestion(**{**vars(ingestion), "snapshot_id": commit.snapshot_id})
        ledger.append(commit, [recorded])
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
