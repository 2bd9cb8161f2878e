"""The profiles of pages in the ledger: made of rows as they are published, and written in the page's own commit.

The bins of a column count from its centre, the median of the oldest page that the first profile of the column was
made with. It stands in the ledger once, and is never moved, so that the profiles of all pages can be added up.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb

from warehouse.definitions import Product
from warehouse.lake.lake import Commit
from warehouse.lake.registry import ARM_COLUMN, PREDICTION_COLUMNS
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiles import DROPPED_BITS, ProfiledColumn, profiled_columns
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

#: Of a page with more rows a median is that of about so many of them, chosen by their keys.
MEDIAN_ROWS = 1_000_000
#: What bins of the columns of a kind of page count from.
Centres = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Profile:
    """The profile of one column of one page; docs/ledger.md says what each figure is."""

    TABLE: ClassVar[str] = "profiles"
    product: str
    kind: str
    as_of: datetime
    column_name: str
    scale: str
    run_id: str
    n_rows: int
    n_missing: int
    model_version: str | None = None
    n_distinct: int | None = None
    values_hash: str | None = None
    low: float | None = None
    high: float | None = None
    centre: float | None = None
    # Of profiles that are read, bins and the counts of bins are arrays.
    bins: list[int] = field(default_factory=list)
    top_values: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    n_other: int = 0


@dataclass(frozen=True)
class Centre:
    """What the bins of a column count from."""

    TABLE: ClassVar[str] = "profile_centres"
    product: str
    kind: str
    column_name: str
    centre: float
    run_id: str
    recorded_at: datetime


def centres_of(connection: duckdb.DuckDBPyConnection, product: str) -> Centres:
    """Read what the bins of a product's columns count from, by kind of page and column."""
    found: Centres = {}
    for one in ledger.records_of(connection, Centre, "profiles/centres", [product]):
        found.setdefault((one.kind, one.column_name), one.centre)
    return found


def profiles_of(
    connection: duckdb.DuckDBPyConnection,
    product: str,
    pages: Sequence[PageRecord],
    column: str | None = None,
) -> list[Profile]:
    """Read the profiles of publications, by kind, page and column."""
    if not pages:
        return []
    instants = [one.as_of for one in pages]
    span = [min(instants), max(instants)]
    values = [product, [one.kind for one in pages], instants, [one.run_id for one in pages], column, *span]
    query = system_sql("profiles/of_pages", columns=", ".join(spec.name for spec in fields(Profile)))
    return _profiles(connection.execute(query, values).to_arrow_table())


def _profiles(rows: pa.Table) -> list[Profile]:
    """Give rows of the ledger as profiles: as Python's integers bins take longer than all that is asked of them."""
    columns: dict[str, list[Any]] = {}
    for name in rows.column_names:
        values = rows.column(name).combine_chunks()
        if name in ("bins", "counts"):
            starts, every = values.offsets.to_pylist(), values.values.to_numpy()
            columns[name] = [every[start:end] for start, end in itertools.pairwise(starts)]
        else:
            columns[name] = values.to_pylist()
    for place, scale in enumerate(columns["scale"]):
        if scale == "category":
            columns["counts"][place] = columns["counts"][place].tolist()
    return [Profile(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


@dataclass(frozen=True)
class RowsOfPages:
    """Rows to be profiled.

    Attributes
    ----------
    relation
        SQL of the relation that holds them.
    columns
        Its columns, with their DuckDB types.
    pages
        The publications that they belong to.
    files
        The Parquet files that hold these rows, where they are on this machine; they may hold those of other pages too.
    at_a_time
        Pages of at most so many rows are read at a time, and larger ones alone, where rows of one page do not lie side
        by side; None: all are read in one pass.
    """

    product: Product
    kind: str
    relation: str
    columns: Mapping[str, str]
    pages: Sequence[PageRecord]
    at_a_time: int | None = None
    files: tuple[Path, ...] = ()

    @property
    def profiled(self) -> list[ProfiledColumn]:
        """The columns that are values of the page: not its keys, nor what says where a row comes from."""
        return profiled_columns(self.columns, [*self.product.keys, *PREDICTION_COLUMNS, *ARM_COLUMN])

    @property
    def n_parts(self) -> int:
        """Into how many parts the largest page is cut, so that the values of one can be held in memory."""
        return max((page.n_rows for page in self.pages), default=0) // MEDIAN_ROWS + 1

    @property
    def listed(self) -> str:
        """The pages as SQL lists them."""
        return ", ".join(timestamp_literal(page.as_of) for page in self.pages)

    def passes(self) -> list[RowsOfPages]:
        """Give the pages that are read in one pass, one pass after the other."""
        chosen, n_rows = [list[PageRecord]()], 0
        for page in self.pages:
            n_rows += page.n_rows
            if self.at_a_time is not None and chosen[-1] and n_rows > self.at_a_time:
                chosen, n_rows = [*chosen, []], page.n_rows
            chosen[-1].append(page)
        return [replace(self, pages=pages) for pages in chosen]


def columns_without_centre(rows: RowsOfPages, known: Centres) -> list[ProfiledColumn]:
    """Name the columns of rows whose bins have nothing to count from yet."""
    return [one for one in rows.profiled if one.scale != "category" and (rows.kind, one.name) not in known]


def new_centres(
    cursor: duckdb.DuckDBPyConnection, rows: RowsOfPages, known: Centres, given: Mapping[str, float] | None = None
) -> Centres:
    """Give the centres of columns that have none yet: the median of the oldest page on which they have a value.

    `given` are medians of the oldest page that were worked out already.
    """
    found = {(rows.kind, name): _rounded(median) for name, median in (given or {}).items()}
    lacking = columns_without_centre(rows, known)
    oldest = min((page.as_of for page in rows.pages), default=None)
    if oldest is None:
        return found
    # All pages are looked at only for what the oldest has no value of, and all rows of a large page, whose values would
    # be held in memory, only for what a part of them has no value of.
    later = [(timestamp_literal(oldest), False)] if rows.n_parts > 1 else []
    tried = [(timestamp_literal(oldest), True), *later, (rows.listed, False)]
    for listed, is_part in tried:
        wanted = [column for column in lacking if (rows.kind, column.name) not in found]
        if not wanted:
            break
        medians = ", ".join(f"quantile_disc({c.sql}, 0.5) FILTER (isfinite({c.sql}))" for c in wanted)
        parts = {"keys": quote_all(rows.product.keys), "n_parts": str(rows.n_parts if is_part else 1)}
        query = system_sql("profiles/medians", medians=medians, rows=rows.relation, pages=listed, **parts)
        for _, *values in cursor.execute(query).fetchall():
            for column, value in zip(wanted, values, strict=True):
                if value is not None:
                    found.setdefault((rows.kind, column.name), _rounded(value))
    return found


def _rounded(value: float) -> float:
    """Round a median to the bits that tell a bin, so that a centre is a short number."""
    import numpy as np

    bits = np.array([value + 0.0]).view(np.int64)
    return float((bits >> DROPPED_BITS << DROPPED_BITS).view(np.float64)[0])


def tables_of_profiles(connection: duckdb.DuckDBPyConnection, product: str) -> list[str]:
    """Give the tables of the ledger in which a product has profiles.

    What has never had a row is left alone: where an erasure deleted from such a table, DuckLake of DuckDB 1.5.5 ended
    the process in `ducklake_flush_inlined_data`.
    """
    query = "SELECT 1 FROM ledger.segment_profiles WHERE product = $1 LIMIT 1"
    has_segments = connection.execute(query, [product]).fetchone() is not None
    return ["profiles", "segment_profiles"] if has_segments else ["profiles"]


def forget_profiles(commit: Commit, pages: Sequence[PageRecord]) -> None:
    """Take what profiles there are of publications out of the ledger, for others to take their place."""
    for kind in sorted({one.kind for one in pages}):
        own = [one for one in pages if one.kind == kind]
        values = [own[0].product, kind, [one.as_of for one in own], [one.run_id for one in own]]
        for table in tables_of_profiles(commit.connection, own[0].product):
            commit.execute(system_sql("profiles/forget", table=table), values)


def record_centres(commit: Commit, product: str, new: Centres, there: Centres, run_id: str, now: datetime) -> None:
    """Record those of some centres that are not there yet."""
    lacking = {key: centre for key, centre in new.items() if key not in there}
    ledger.append(commit, [Centre(product, *key, centre, run_id, now) for key, centre in lacking.items()])


def put_back_profiles(commit: Commit, earlier: PageRecord, run_id: str) -> None:
    """Give a page that is put back its profile of then, as that of the run that puts it back."""
    values = [earlier.product, earlier.kind, earlier.as_of, earlier.run_id, run_id]
    for table in tables_of_profiles(commit.connection, earlier.product):
        commit.execute(system_sql("profiles/put_back", table=table), values)
