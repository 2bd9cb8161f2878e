"""The profiles of pages in the ledger: made of rows as they are published, and written in the page's own commit.

The bins of a column count from its centre, the median of the oldest page that the first profile of the column was
made with. It stands in the ledger once, and is never moved, so that the profiles of all pages can be added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import duckdb

from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.lake.lake import Commit
from warehouse.lake.registry import ARM_COLUMN, PREDICTION_COLUMNS
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiles import (
    DROPPED_BITS,
    BinTable,
    CategoryCounts,
    NumberCounts,
    ProfiledColumn,
    counted_parts,
    profiled_columns,
)
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import quote_all, system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

#: Rows that are read at a time.
BATCH_ROWS = 122_880
#: Of a page with more rows a median is that of about so many of them, chosen by their keys.
MEDIAN_ROWS = 1_000_000
#: Profiles are written as values that are bound to the statement, up to so many, and so many bins and categories of
#: theirs; by Arrow where there are more.
_MOST_BOUND = 100
_MOST_COUNTED = 10_000
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
    return ledger.records_of(connection, Profile, "profiles/of_pages", values)


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
    """

    product: Product
    kind: str
    relation: str
    columns: Mapping[str, str]
    pages: Sequence[PageRecord]

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


class Parts(Protocol):
    """What is counted of parts of pages, as the rows of the pages come batch by batch."""

    @property
    def sql(self) -> list[str]:
        """SQL of what has to be read besides."""

    def add(
        self,
        instants: npt.NDArray[Any],
        order: npt.NDArray[np.int64] | None,
        whole: Sequence[bool],
        arrays: Sequence[pa.Array],
        own: Sequence[pa.Array],
    ) -> None:
        """Count a batch: the page of each row, ascending, and whether all rows of each page are in it."""

    def finish(self, pages: Sequence[PageRecord]) -> None:
        """Write down pages of which all rows have come."""


def new_centres(cursor: duckdb.DuckDBPyConnection, rows: RowsOfPages, known: Centres) -> Centres:
    """Give the centres of columns that have none yet: the median of the oldest page on which they have a value."""
    found: Centres = {}
    lacking = [c for c in rows.profiled if c.scale != "category" and (rows.kind, c.name) not in known]
    oldest = min((page.as_of for page in rows.pages), default=None)
    if oldest is None:
        return found
    # All pages are looked at only for what the oldest has no value of, and all rows of a large page, whose values would
    # be held in memory, only for what a part of them has no value of.
    tried = [(timestamp_literal(oldest), True), (timestamp_literal(oldest), False), (rows.listed, False)]
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


def profile_rows(
    cursor: duckdb.DuckDBPyConnection, rows: RowsOfPages, centres: Centres, parts: Parts | None = None
) -> Iterator[Profile]:
    """Profile pages in one pass over their rows; a page without rows has a profile too, of nothing.

    Parameters
    ----------
    cursor
        Where the rows can be read.
    rows, centres
        What is profiled, and what the bins of its columns count from.
    parts
        What is counted of parts of the pages besides.

    Raises
    ------
    RunFailed
        If a page holds more rows than its publication had.
    """
    columns = rows.profiled
    if not columns or not rows.pages:
        return
    read = [*(column.sql for column in columns), *(parts.sql if parts is not None else ())]
    values = ", ".join(f"{one} AS c{place}" for place, one in enumerate(read))
    query = system_sql("profiles/values", values=values, rows=rows.relation, pages=rows.listed)
    pages = PageCounts(rows, centres, parts)
    for batch in cursor.execute(query).to_arrow_reader(BATCH_ROWS):
        yield from pages.add(batch.column(0), batch.columns[1:])
    yield from pages.rest()


class PageCounts:
    """The counts of pages whose rows come batch by batch: each page is told once all of its rows have come."""

    def __init__(self, rows: RowsOfPages, centres: Centres, parts: Parts | None = None) -> None:
        """Begin; `centres` are what the bins of the columns count from, and `parts` are counted besides."""
        self._rows, self.columns, self._parts = rows, rows.profiled, parts
        self._centres = [centres.get((rows.kind, column.name)) for column in self.columns]
        self._table = BinTable()
        # Pages lie one behind the other, but for those that others have replaced in part.
        self._left = {page.as_of: page for page in rows.pages}
        self._n_left = {page.as_of: page.n_rows for page in rows.pages}
        self._counts: dict[datetime, list[Any]] = {}

    def add(self, instants: pa.Array, arrays: Sequence[pa.Array]) -> Iterator[Profile]:
        """Count a batch: the pages of its rows, and their values as `columns` has them. Gives what is whole now.

        Behind the values stands what the parts read besides.

        Raises
        ------
        RunFailed
            If a page holds more rows than its publication had.
        """
        import numpy as np

        if not len(instants):
            return
        of_rows = instants.to_numpy(zero_copy_only=False).astype("datetime64[us]")
        order = np.argsort(of_rows, kind="stable") if (of_rows[1:] < of_rows[:-1]).any() else None
        of_rows = of_rows if order is None else of_rows[order]
        firsts = np.flatnonzero(np.concatenate(([True], of_rows[1:] != of_rows[:-1])))
        starts = np.append(firsts, len(of_rows))
        there = [self._begin(page) for page in of_rows[firsts].tolist()]
        arrays, more = arrays[: len(self.columns)], arrays[len(self.columns) :]
        if self._parts is not None:
            n_rows = np.diff(starts).tolist()
            whole = [self._left[page].n_rows == n_here for page, n_here in zip(there, n_rows, strict=True)]
            self._parts.add(of_rows, order, whole, arrays, more)
        for place, (column, centre, array) in enumerate(zip(self.columns, self._centres, arrays, strict=True)):
            # Of a page that goes on through many batches, most columns have too many values to be told apart.
            has_few = len(there) > 1 or getattr(self._counts[there[0]][place], "distinct", None) is not None
            parts = counted_parts(column, centre, array, order, starts, self._table, has_few=has_few)
            for page, one in zip(there, parts, strict=True):
                own = self._counts[page]
                if own[place].n_rows:
                    own[place].merge(one)
                else:
                    own[place] = one
        ended = []
        for page, n_rows in zip(there, np.diff(starts).tolist(), strict=True):
            self._n_left[page] -= n_rows
            if self._n_left[page] == 0:
                ended.append(self._left.pop(page))
        yield from self._whole(ended)

    def _whole(self, pages: Sequence[PageRecord]) -> Iterator[Profile]:
        if self._parts is not None and pages:
            self._parts.finish(pages)
        for page in pages:
            yield from self._written(page)

    def _begin(self, page: datetime) -> datetime:
        if page not in self._left:
            raise RunFailed(
                f"{self._rows.product.name}: the page {page} of {self._rows.kind} holds more rows than the ledger"
                " tells; see `almanac doctor --deep`."
            )
        if page not in self._counts:
            self._counts[page] = self._new_counts()
        return page

    def _new_counts(self) -> list[Any]:
        return [
            CategoryCounts() if column.scale == "category" else NumberCounts(centre)
            for column, centre in zip(self.columns, self._centres, strict=True)
        ]

    def rest(self) -> Iterator[Profile]:
        """Give the profiles of the pages of which rows are lacking; those without any have one too, of nothing."""
        yield from self._whole(list(self._left.values()))

    def _written(self, page: PageRecord) -> Iterator[Profile]:
        counts = self._counts.pop(page.as_of, None) or self._new_counts()
        return _written(self._rows, page, self.columns, counts)


def _written(
    rows: RowsOfPages, page: PageRecord, columns: Sequence[ProfiledColumn], counts: Sequence[Any]
) -> Iterator[Profile]:
    for column, count in zip(columns, counts, strict=True):
        yield Profile(
            product=rows.product.name,
            kind=rows.kind,
            as_of=page.as_of,
            column_name=column.name,
            scale=column.scale,
            run_id=page.run_id,
            model_version=page.model_version,
            **count.figures(),
        )


def append_profiles(commit: Commit, profiles: Sequence[Profile]) -> None:
    """Append profiles to the ledger inside a commit; as JSON they take longer to write than to make."""
    if not profiles:
        return
    columns = {spec.name: [getattr(one, spec.name) for one in profiles] for spec in fields(Profile)}
    kinds = ledger.sql_kinds(Profile)
    n_counted = sum(len(one.bins) + len(one.top_values) for one in profiles)
    # DuckDB 1.5 binds NaN as NULL; no profile should have one.
    is_nan = any(one != one for name in ("low", "high", "centre") for one in columns[name])
    if len(profiles) <= _MOST_BOUND and n_counted <= _MOST_COUNTED and not is_nan:
        # DuckDB 1.5 imports pyarrow.dataset for whatever is registered, for longer than it takes to bind so few.
        given = ", ".join(f"unnest(CAST(${n} AS {kinds[name]}[])) AS {name}" for n, name in enumerate(columns, 1))
        commit.execute(f"INSERT INTO ledger.profiles BY NAME SELECT {given}", list(columns.values()))
        return
    import pyarrow as pa

    arrow = {"VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "TIMESTAMP": pa.timestamp("us")}
    arrow |= {f"{kind}[]": pa.list_(of_each) for kind, of_each in arrow.items()}
    table = pa.table({name: pa.array(values, arrow[kinds[name]]) for name, values in columns.items()})
    commit.connection.register("new_profiles", table)
    commit.execute("INSERT INTO ledger.profiles BY NAME SELECT * FROM new_profiles")
    commit.connection.unregister("new_profiles")


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
