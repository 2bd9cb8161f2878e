"""The ledger: records of what happened, appended inside commits and read back.

Each dataclass is one row of the table that it names; see `sql/system/ledger/create.sql` for the columns.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol, TypedDict, TypeVar

import duckdb

from warehouse.lake.connections import remembered
from warehouse.lake.lake import Commit, table_columns
from warehouse.lake.lake import newest_snapshot as newest_snapshot
from warehouse.ledger.model_record import ModelRecord as ModelRecord  # they are read here
from warehouse.system_sql import literal, system_sql


class SourceFile(TypedDict):
    """A file as it was read: where, what was in it, and its size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Ingestion:
    """One delivery taken in. `min_known_at` tells which pages it may have put out of date."""

    TABLE: ClassVar[str] = "ingestions"
    ingest_id: int
    source: str
    definition: str
    files: list[SourceFile]
    rows_read: int
    rows_new: int
    rows_restated: int
    rows_withdrawn: int
    rows_unchanged: int
    rows_rejected: int
    min_known_at: datetime | None
    max_known_at: datetime | None
    ingested_at: datetime
    run_id: str
    snapshot_id: int
    derivation: int = 1
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PageRecord:
    """One page published, or tried and not. `kind` is features, labels or predictions."""

    TABLE: ClassVar[str] = "pages"
    product: str
    kind: str
    as_of: datetime
    state: str
    run_id: str
    definitions: str
    ingest_id: int
    recorded_at: datetime
    snapshot_id: int
    n_rows: int = 0
    model_version: str | None = None
    hindsight: bool = False
    valid_until: datetime | None = None
    note: str | None = None

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> PageRecord:
        """Make one of the values of all fields: ten thousand take a fifth of the time of the constructor."""
        record = object.__new__(cls)
        vars(record).update(values)
        return record


@dataclass(frozen=True)
class RunRecord:
    """One run of a job, with what it cost. Seconds are of the wall clock and of all cores."""

    TABLE: ClassVar[str] = "runs"
    run_id: str
    job: str
    state: str
    started_at: datetime
    finished_at: datetime
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    host: str
    almanac_version: str
    product: str | None = None
    first_as_of: datetime | None = None
    last_as_of: datetime | None = None
    n_pages: int = 0
    n_rows: int = 0
    bytes_written: int = 0
    definitions: str | None = None
    ingest_id: int | None = None
    model_version: str | None = None
    snapshot_id: int | None = None
    owner: str | None = None
    team: str | None = None
    error: str | None = None
    lease: str | None = None


@dataclass(frozen=True)
class CheckRecord:
    """What one check found on one page."""

    TABLE: ClassVar[str] = "checks"
    run_id: str
    product: str
    as_of: datetime
    name: str
    severity: str
    passed: bool
    wrong_rows: int
    message: str


@dataclass(frozen=True)
class WrongRow:
    """One row that a check found wrong, as JSON."""

    TABLE: ClassVar[str] = "wrong_rows"
    run_id: str
    product: str
    as_of: datetime
    name: str
    wrong_row: str


@dataclass(frozen=True)
class DefinitionsRecord:
    """The text of a set of definitions, by the hash that pages and models bear; and the columns of such pages."""

    TABLE: ClassVar[str] = "definitions"
    definitions: str
    product: str
    recorded_at: datetime
    files: dict[str, str]
    derivations: dict[str, int] = field(default_factory=dict)
    page_columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GridRecord:
    """A product's page grid, from `recorded_at` on."""

    TABLE: ClassVar[str] = "grids"
    product: str
    cron: str
    zone: str
    since: datetime
    recorded_at: datetime


@dataclass(frozen=True)
class Promotion:
    """From `effective_from` (an as_of) on, this version writes the product's pages."""

    TABLE: ClassVar[str] = "promotions"
    product: str
    version: str
    effective_from: datetime
    promoted_at: datetime
    promoted_by: str
    reason: str | None
    action: str = "promote"
    forced: bool = False
    snapshot_id: int | None = None


@dataclass(frozen=True)
class Rollback:
    """A page was put back to what it had been at the snapshot `to_snapshot`, by the commit `snapshot_id`."""

    TABLE: ClassVar[str] = "rollbacks"
    product: str
    as_of: datetime
    to_snapshot: int
    snapshot_id: int
    run_id: str
    rolled_back_at: datetime
    rolled_back_by: str
    reason: str

    @property
    def said(self) -> str:
        """Say it in a line."""
        at = f"{self.rolled_back_at:%Y-%m-%d %H:%M}"
        return f"rolled back to snapshot {self.to_snapshot} by {self.rolled_back_by} at {at}: {self.reason}"


class Record(Protocol):
    """A row of the ledger: a dataclass that names its table."""

    TABLE: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


RecordT = TypeVar("RecordT", bound=Record)


#: How a field of a record is stored. Rows go to DuckDB as JSON: importing what Arrow needs takes longer than a commit.
_KINDS = {
    "str": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "list[str]": "VARCHAR[]",
    "list[int]": "BIGINT[]",
    "dict[str, str]": "MAP(VARCHAR, VARCHAR)",
    "dict[str, int]": "MAP(VARCHAR, BIGINT)",
    "dict[str, float]": "MAP(VARCHAR, DOUBLE)",
    "list[SourceFile]": "STRUCT(path VARCHAR, sha256 VARCHAR, bytes BIGINT)[]",
}


def sql_kinds(record: Record | type[Record]) -> dict[str, str]:
    """Give the DuckDB type of each column of a record."""
    return {spec.name: _KINDS[spec.type.removesuffix(" | None")] for spec in fields(record)}


def append(commit: Commit, records: Sequence[Record]) -> None:
    """Append records, all of one kind, to their table inside a commit."""
    if records:
        kinds = sql_kinds(records[0])
        rows = json.dumps([vars(record) for record in records], default=str)
        commit.execute(system_sql("ledger/append", table=records[0].TABLE, kinds=literal(json.dumps([kinds]))), [rows])


@dataclass(frozen=True)
class SourceFacts:
    """What the ledger knows of a source's facts: what was ingested, whether any row has newer versions.

    They are the table `table`, which is there from the snapshot `since` on.
    """

    ingest_id: int = 0
    has_versions: bool = False
    n_rows: int = 0
    ingestions: list[tuple[int, datetime | None]] = field(default_factory=list)
    table: str = ""
    derivation: int = 1
    since: int = 0

    def newer_than(self, ingest_id: int, before: datetime) -> int | None:
        """Give the first ingestion after `ingest_id` that brought facts known before `before`, if any."""
        late = (i for i, known in self.ingestions if i > ingest_id and known is not None and known < before)
        return min(late, default=None)


@remembered
def newest_ingest_id(connection: duckdb.DuckDBPyConnection) -> int:
    """Give the id of the newest ingestion of any source; 0 before the first."""
    row = connection.execute("SELECT coalesce(max(ingest_id), 0) FROM ledger.ingestions").fetchone()
    return int(row[0]) if row else 0


def published_pages(
    connection: duckdb.DuckDBPyConnection, product: str, kind: str, among: Collection[datetime] | None = None
) -> dict[datetime, PageRecord]:
    """Read the newest publication of each page of one kind, by as_of.

    With `among`, only of the stretch of time that those pages span, which spares reading years of others.
    """
    if among is not None and len(among) == 1:
        return dict(_one_published(connection, product, kind, *among))
    return published_pages_by_kind(connection, product, [kind], among)[kind]


@remembered  # the steps of a daily run all ask for its page
def _one_published(
    connection: duckdb.DuckDBPyConnection, product: str, kind: str, page: datetime
) -> dict[datetime, PageRecord]:
    return published_pages_by_kind(connection, product, [kind], [page])[kind]


def published_pages_by_kind(
    connection: duckdb.DuckDBPyConnection, product: str, kinds: Sequence[str], among: Collection[datetime] | None = None
) -> dict[str, dict[datetime, PageRecord]]:
    """Read the newest publication of each page of some kinds, by kind and as_of; `among` as for `published_pages`."""
    span = [min(among), max(among)] if among else []
    stretch = "AND as_of BETWEEN $3 AND $4" if among else ""
    states = [f"{kind} {state}" for kind in kinds for state in ("published", "lost")]
    found: dict[str, dict[datetime, PageRecord]] = {kind: {} for kind in kinds}
    for record in _page_records(connection, "ledger/published_pages", [product, states, *span], stretch=stretch):
        found[record.kind][record.as_of] = record
    return found


def publications(connection: duckdb.DuckDBPyConnection, product: str, kind: str, as_of: datetime) -> list[PageRecord]:
    """Read every publication of one page, the oldest first."""
    return _page_records(connection, "ledger/publications", [product, kind, as_of])


def published_sizes(
    connection: duckdb.DuckDBPyConnection, product: str, kind: str, before: datetime
) -> list[tuple[datetime, int]]:
    """Read how many rows each published page before an instant has, oldest first."""
    return connection.execute(system_sql("ledger/published_sizes"), [product, kind, before]).fetchall()


def newest_attempts(
    connection: duckdb.DuckDBPyConnection, product: str, kind: str, first: datetime, last: datetime
) -> dict[datetime, tuple[PageRecord, PageRecord | None]]:
    """Read, of each page from `first` to `last`, the newest attempt of any outcome, and the newest publication."""
    values = [product, kind, first, last + timedelta(microseconds=1)]
    found: dict[datetime, tuple[PageRecord, PageRecord | None]] = {}
    for record in _page_records(connection, "ledger/newest_attempts", values):
        published = record if record.state == "published" else found.get(record.as_of, (None, None))[1]
        found[record.as_of] = (record, published)
    return found


def attempts_since(
    connection: duckdb.DuckDBPyConnection, product: str, kind: str, snapshot_id: int
) -> dict[datetime, PageRecord]:
    """Read the newest attempt of each page that was tried in commits after a snapshot."""
    return {
        record.as_of: record
        for record in _page_records(connection, "ledger/attempts_since", [product, kind, snapshot_id])
    }


def _page_records(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[Any], **parts: str
) -> list[PageRecord]:
    names = [spec.name for spec in fields(PageRecord)]
    rows = connection.execute(system_sql(query, columns=", ".join(names), **parts), values).fetchall()
    return [PageRecord.of_values(dict(zip(names, row, strict=True))) for row in rows]


def rows_per_page(connection: duckdb.DuckDBPyConnection, product: str) -> float | None:
    """Give how many rows a product's newest pages have on average; None before its first page."""
    row = connection.execute(system_sql("ledger/rows_per_page"), [product]).fetchone()
    return float(row[0]) if row and row[0] is not None else None


def records_of(
    connection: duckdb.DuckDBPyConnection, kind: type[RecordT], query: str, parameters: Sequence[Any]
) -> list[RecordT]:
    """Read rows as records; what an older lake's table has no column for, or no value, gets the record's default."""
    present = table_columns(connection, "ledger", kind.TABLE)
    names = [spec.name for spec in fields(kind) if spec.name in present]
    if not names:
        return []
    rows = connection.execute(system_sql(query, columns=", ".join(names)), list(parameters)).fetchall()
    required = {spec.name for spec in fields(kind) if spec.default is MISSING and spec.default_factory is MISSING}
    given = [dict(zip(names, row, strict=True)) for row in rows]
    return [kind(**{n: value for n, value in row.items() if value is not None or n in required}) for row in given]


@remembered
def models(connection: duckdb.DuckDBPyConnection, product: str) -> list[ModelRecord]:
    """Read a product's model versions, oldest first."""
    return records_of(connection, ModelRecord, "ledger/models", [product])


@remembered
def promotions(connection: duckdb.DuckDBPyConnection, product: str) -> list[Promotion]:
    """Read a product's promotions in the order in which they were made.

    That is the order of their commits: by a clock that was set back a later one was made earlier. Those of an earlier
    version of Almanac have no commit, and came before the others.
    """
    found = records_of(connection, Promotion, "ledger/promotions", [product])
    return sorted(found, key=lambda one: (one.snapshot_id or 0, one.promoted_at, one.effective_from))


@remembered
def rollbacks(connection: duckdb.DuckDBPyConnection, product: str) -> dict[datetime, Rollback]:
    """Read the newest rollback of each page of a product. It stands if no publication has followed it."""
    return {one.as_of: one for one in records_of(connection, Rollback, "ledger/rollbacks", [product])}


def model_in_effect(promotions: Sequence[Promotion], as_of: datetime) -> str | None:
    """Tell which version writes the page `as_of`: that of the newest promotion already in effect then."""
    deciding = deciding_promotion(promotions, as_of)
    return deciding.version if deciding else None


def deciding_promotion(promotions: Sequence[Promotion], as_of: datetime) -> Promotion | None:
    """Give the promotion that decides who writes the page `as_of`: of those in effect, the one of the latest start.

    Of several with the same start the one that was made last counts; `promotions` are in the order of their making.
    """
    effective = [promotion for promotion in reversed(promotions) if promotion.effective_from <= as_of]
    return max(effective, key=lambda promotion: promotion.effective_from, default=None)
