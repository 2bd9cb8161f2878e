"""The values of staged files as profiles count them, a column at a time.

Arrow reads what DuckDB has written in a third of the time that DuckDB takes to hand it over, and one column of a batch
is all that memory holds. Columns of other types than Arrow gives alike, bit for bit, are read by DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb

from warehouse.pages.profiled_pages import RowsOfPages
from warehouse.pages.profiles import ProfiledColumn, as_floats, is_there
from warehouse.system_sql import parquet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: Types of DuckDB, as Arrow reads them from a file, that become the same DOUBLE, or text, here as there. The seconds of
#: instants with a time zone differ in the last bit.
_ALIKE = {
    **{f"{name}INT": f"int{bits}" for name, bits in (("TINY", 8), ("SMALL", 16), ("BIG", 64))},
    **{f"U{name}INT": f"uint{bits}" for name, bits in (("TINY", 8), ("SMALL", 16), ("BIG", 64))},
    "INTEGER": "int32",
    "UINTEGER": "uint32",
    "FLOAT": "float",
    "DOUBLE": "double",
    "DATE": "date32[day]",
    "TIMESTAMP": "timestamp[us]",
    "VARCHAR": "string",
}
#: Decimals of so many digits are a DOUBLE without being rounded, before they are divided.
_DIGITS = 15


@dataclass(frozen=True)
class Batch:
    """Some rows of a file: the page of each, the profiled columns as they are asked for, and what is read besides."""

    instants: pa.Array
    arrays: Iterator[pa.Array | Floats]
    more: Sequence[pa.Array]


def batches_of(
    cursor: duckdb.DuckDBPyConnection, rows: RowsOfPages, more: Sequence[str], batch_rows: int
) -> Iterator[Batch]:
    """Read the rows of pages from their files.

    Parameters
    ----------
    cursor
        What reads the columns that Arrow does not read alike; nothing else can be asked of it meanwhile.
    rows
        Their files may hold rows of other pages, which are left out.
    more
        SQL of what is to be read besides.
    batch_rows
        About so many rows are read at a time, but whole row groups.
    """
    import numpy as np
    import pyarrow.parquet as pq

    wanted = np.array([page.as_of for page in rows.pages], "datetime64[us]")
    for path in rows.files:
        with pq.ParquetFile(path) as file:
            by_arrow = {column.name for column in rows.profiled if _is_alike(rows, column, file)}
            by_duckdb = [column.sql for column in rows.profiled if column.name not in by_arrow] + list(more)
            stream = _Stream(cursor, path, by_duckdb) if by_duckdb else None
            for groups in _row_groups(file, batch_rows):
                instants = _column(file, "as_of", groups)
                others = stream.take(len(instants)) if stream is not None else []
                is_wanted = np.isin(instants.to_numpy(zero_copy_only=False).astype("datetime64[us]"), wanted)
                reading = _Reading(rows, file, groups, by_arrow, others, None if is_wanted.all() else is_wanted)
                n_other = len(others) - len(more)
                own = [reading.wanted(one) for one in others[n_other:]]
                yield Batch(reading.wanted(instants), reading.columns(), own)


def medians_of_files(rows: RowsOfPages, columns: Sequence[ProfiledColumn]) -> dict[str, float]:
    """Give the medians of columns on the oldest page, of values that are neither missing nor infinite.

    Only of those that Arrow reads alike and that have such a value there; of none if the page does not lie in the first
    row group, or if medians are those of parts of pages.
    """
    import numpy as np
    import pyarrow.parquet as pq

    oldest = min(rows.pages, key=lambda page: page.as_of, default=None)
    if not columns or not rows.files or oldest is None or not oldest.n_rows or rows.n_parts > 1:
        return {}
    with pq.ParquetFile(rows.files[0]) as file:
        if not file.num_row_groups:
            return {}
        instants = _column(file, "as_of", [0]).to_numpy(zero_copy_only=False).astype("datetime64[us]")
        places = np.flatnonzero(instants == np.datetime64(oldest.as_of, "us"))
        if len(places) != oldest.n_rows:
            return {}
        found = {}
        for column in columns:
            if not _is_alike(rows, column, file):
                continue
            values = _floats(next(file.iter_batches(int(places[-1]) + 1, [0], [column.name], use_threads=False))[0])
            finite = values[places][np.isfinite(values[places])]
            if len(finite):
                middle = (len(finite) + 1) // 2 - 1
                found[column.name] = float(np.partition(finite, middle)[middle])
        return found


@dataclass(frozen=True)
class _Reading:
    """A batch that is being read: `others` come from DuckDB, and rows that are not wanted are left out."""

    rows: RowsOfPages
    file: pq.ParquetFile
    groups: Sequence[int]
    by_arrow: set[str]
    others: Sequence[pa.Array]
    is_wanted: Flags | None

    def columns(self) -> Iterator[pa.Array | Floats]:
        """Give the profiled columns, one after the other."""
        others = iter(self.others)
        for column in self.rows.profiled:
            array = _column(self.file, column.name, self.groups) if column.name in self.by_arrow else next(others)
            if column.scale == "category":
                yield self.wanted(array)
                continue
            values = _floats(array)
            yield values if self.is_wanted is None else values[self.is_wanted]

    def wanted(self, array: pa.Array) -> pa.Array:
        """Leave out the rows of other pages."""
        if self.is_wanted is None:
            return array
        from warehouse.arrow_rows import chosen_values

        return chosen_values(array, self.is_wanted)


class _Stream:
    """Columns of a file as DuckDB gives them, in the order of its rows."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, path: Path, columns: Sequence[str]) -> None:
        listed = ", ".join(f"{one} AS c{place}" for place, one in enumerate(columns))
        self._batches = cursor.execute(f"SELECT {listed} FROM {parquet([path])}").to_arrow_reader()
        self._left = self._batches.schema.empty_table()

    def take(self, n_rows: int) -> list[pa.Array]:
        """Give the next rows."""
        import pyarrow as pa

        there = [self._left]
        while sum(len(one) for one in there) < n_rows:
            there.append(pa.Table.from_batches([self._batches.read_next_batch()]))
        table = pa.concat_tables(there)
        self._left = table.slice(n_rows)
        return [_joined(column) for column in table.slice(0, n_rows).columns]


def _row_groups(file: pq.ParquetFile, batch_rows: int) -> Iterator[list[int]]:
    """Give the row groups that are read together."""
    chosen, n_rows = list[int](), 0
    for group in range(file.num_row_groups):
        own = file.metadata.row_group(group).num_rows
        if chosen and n_rows + own > batch_rows:
            yield chosen
            chosen, n_rows = [], 0
        chosen.append(group)
        n_rows += own
    if chosen:
        yield chosen


def _column(file: pq.ParquetFile, name: str, groups: Sequence[int]) -> pa.Array:
    return _joined(file.read_row_groups(groups, columns=[name], use_threads=False).column(name))


def _joined(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _is_alike(rows: RowsOfPages, column: ProfiledColumn, file: pq.ParquetFile) -> bool:
    """Tell whether Arrow reads the values of a column as DuckDB does."""
    kind, there = rows.columns[column.name], file.schema_arrow
    place = there.get_field_index(column.name)
    if place < 0:
        return False
    if kind.startswith("DECIMAL("):
        width, scale = kind.removeprefix("DECIMAL(").removesuffix(")").split(",")
        return int(width) <= _DIGITS and str(there.field(place).type) == f"decimal128({width}, {int(scale)})"
    return _ALIKE.get(kind) == str(there.field(place).type)


def _floats(array: pa.Array) -> Floats:
    """Give values as DuckDB casts them to DOUBLE, or counts their days or seconds; NULL and infinite times as NaN."""
    import numpy as np
    import pyarrow as pa

    kind = str(array.type)
    if kind == "double":
        return as_floats(array)
    if not len(array):
        return np.empty(0)
    data, is_time = array.buffers()[1], pa.types.is_temporal(array.type)
    if pa.types.is_decimal128(array.type):
        pairs = np.frombuffer(data, np.int64, 2 * len(array), 16 * array.offset)
        values = pairs[::2] / 10.0**array.type.scale  # the upper half of few digits tells their sign again
    else:
        stored = np.dtype({"date32[day]": "int32", "float": "float32"}.get(kind, "int64" if is_time else kind))
        numbers = np.frombuffer(data, stored, len(array), stored.itemsize * array.offset)
        values = numbers.astype(np.float64)
        if is_time:
            most = np.iinfo(stored).max
            values[(numbers == most) | (numbers == -most)] = np.nan
    if pa.types.is_timestamp(array.type):
        values /= 1e6
    if array.null_count:
        values[~is_there(array)] = np.nan
    return cast("Floats", values)
