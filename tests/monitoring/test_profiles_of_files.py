"""Profiles of staged files, whose columns Arrow reads: they are those of what DuckDB reads of the same files."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.monitoring.counted import profiles_in
from tests.monitoring.test_segments import _with_segments
from warehouse.arrow_arrays import texts_array
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import RowsOfPages, columns_without_centre, new_centres
from warehouse.pages.profiling.file_values import batches_of, medians_of_files
from warehouse.pages.profiling.page_counts import profile_rows
from warehouse.pages.profiling.segments import segment_counts
from warehouse.system_sql import parquet

#: Values of every type that has a profile, by the number of a row; of each some are NULL.
_VALUES = {
    "tiny": "(i % 100 - 50)::TINYINT",
    "small": "(i % 9)::SMALLINT",
    "whole": "(i * 7919 % 1000)::INTEGER",
    "big": "9007199254740993 + i",
    "utiny": "(i % 200)::UTINYINT",
    "usmall": "(i % 9)::USMALLINT",
    "uwhole": "4000000000 + (i % 5)::UINTEGER",
    "ubig": "18446744073709551615::UBIGINT - (i % 7)::UBIGINT",
    "huge": "i::HUGEINT * 3",
    "single": "(sin(i) * 7)::FLOAT",
    "double": "CASE i % 50 WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN '-inf'::DOUBLE WHEN 2 THEN -0.0 ELSE cos(i) END",
    "price": "((i % 40000 - 20000) / 100)::DECIMAL(5, 2)",
    "paid": "(i * 1.37)::DECIMAL(15, 3)",
    "summed": "(i * 1.37)::DECIMAL(38, 2)",
    "day": "CASE i % 40 WHEN 0 THEN 'infinity'::DATE WHEN 1 THEN '-infinity'::DATE"
    " ELSE DATE '1969-12-01' + (i % 90)::INTEGER END",
    "at": "CASE i % 40 WHEN 0 THEN 'infinity'::TIMESTAMP WHEN 1 THEN '-infinity'::TIMESTAMP"
    " ELSE TIMESTAMP '1969-12-31 23:59:59.123456' + to_microseconds(i * 1234567) END",
    "zoned": "CASE i % 40 WHEN 0 THEN 'infinity'::TIMESTAMPTZ ELSE make_timestamptz(i * 1234567) END",
    "precise": "make_timestamp_ns(i * 1234567)",
    "text": "CASE i % 5 WHEN 0 THEN '' ELSE '\u2603' || i % 11 END",
    "a.b": "(i % 3)::VARCHAR",
    "is_late": "i % 3 = 0",
    "id": "md5((i % 30)::VARCHAR)::UUID",
    "nothing": "NULL::DOUBLE",
}


@pytest.fixture(params=[(2_048, 2_000), (2_048, 5_000), (122_880, 122_880)])
def staged(ingested: Suite, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[RowsOfPages, int]:
    """Four pages in two files, the third of which has no row; and another page, which did not pass."""
    group_rows, batch_rows = request.param
    values = ", ".join(f'CASE WHEN i % 13 > 0 THEN {sql} END AS "{name}"' for name, sql in _VALUES.items())
    pages = [
        PageRecord(PRODUCT, "features", PAGE + timedelta(days=n), "published", "r", "", 0, PAGE, 0, n_rows=n_rows)
        for n, n_rows in ((0, 1_500), (1, 3_000), (2, 0), (4, 1_500))
    ]
    days = "CASE WHEN i < 1500 THEN 0 WHEN i < 4500 THEN 1 WHEN i < 6000 THEN 3 ELSE 4 END"
    with duckdb.connect() as connection:
        for place, where in enumerate(("i < 5000", "i >= 5000")):
            connection.execute(
                f"COPY (SELECT TIMESTAMP '{PAGE}' + to_days({days}) AS as_of, i::VARCHAR AS order_id, {values}"
                f" FROM range(7500) r(i) WHERE {where} ORDER BY i) TO '{tmp_path}/{place}.parquet'"
                f" (FORMAT parquet, ROW_GROUP_SIZE {group_rows})"
            )
        files = tmp_path / "0.parquet", tmp_path / "1.parquet"
        described = connection.execute(f"DESCRIBE FROM {parquet(files)}").fetchall()
    columns = {str(name): str(kind) for name, kind, *_ in described}
    product = ingested.definitions.product(PRODUCT)
    return RowsOfPages(product, "features", parquet(files), columns, pages, files=files), batch_rows


def test_profiles_of_what_arrow_reads_are_those_of_what_duckdb_reads(
    staged: tuple[RowsOfPages, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_arrow, batch_rows = staged
    monkeypatch.setattr("warehouse.pages.profiling.page_counts.BATCH_ROWS", batch_rows)
    by_duckdb, found = replace(by_arrow, files=()), []
    assert {column.name for column in by_arrow.profiled} == _VALUES.keys()
    with duckdb.connect() as connection:
        for product in (by_arrow.product, _with_segments(by_arrow.product, "text", "whole")):
            for of in (by_arrow, by_duckdb):
                rows = replace(of, product=product)
                centres = new_centres(connection, rows, {})
                parts = segment_counts(rows, centres)
                whole = profiles_in(profile_rows(connection, rows, centres, parts))
                cut = [one for table in (parts.tables if parts is not None else ()) for one in table.to_pylist()]
                order = sorted(cut, key=lambda one: (one["as_of"], one["segment"], one["column_name"] or ""))
                found.append((sorted(whole, key=lambda one: (one.as_of, one.column_name)), order))
        first, second, third, fourth = found
    assert first == second
    assert third == fourth
    assert third[0] == first[0]
    assert third[1]
    assert [one.n_rows for one in first[0] if one.column_name == "tiny"] == [1_500, 3_000, 0, 1_500]


def test_medians_that_arrow_reads_are_those_of_duckdb(staged: tuple[RowsOfPages, int]) -> None:
    rows, _ = staged
    lacking = columns_without_centre(rows, {})
    with duckdb.connect() as connection:
        expected = new_centres(connection, rows, {})
        given = medians_of_files(rows, lacking)
        assert new_centres(connection, rows, {}, given) == expected
    assert {column.name for column in lacking} - given.keys() == {"summed", "zoned", "precise", "nothing"}
    later = replace(rows, pages=[replace(rows.pages[0], n_rows=1_501), *rows.pages[1:]])
    assert medians_of_files(later, lacking) == {}  # a row of the page lies elsewhere
    assert medians_of_files(replace(rows, pages=rows.pages[2:3]), lacking) == {}
    assert medians_of_files(replace(rows, pages=[]), lacking) == {}


def test_one_column_of_a_batch_is_read_at_a_time(staged: tuple[RowsOfPages, int]) -> None:
    rows, batch_rows = staged
    with duckdb.connect() as connection:
        for batch in batches_of(connection, rows, [], batch_rows):
            first = next(batch.arrays)
            assert len(first) == len(batch.instants)
            assert len(list(batch.arrays)) == len(rows.profiled) - 1
            assert set(batch.instants.to_pylist()) <= {page.as_of for page in rows.pages}


@pytest.mark.parametrize("texts", [["ab", "c", ""], ["\u2603", None, "x"], [None], []])
def test_texts_that_repeat_are_written_as_if_each_stood_there(texts: list[str | None]) -> None:
    for each, times in ((1, 1), (3, 1), (1, 4), (2, 3)):
        expected = [text for text in texts for _ in range(each)] * times
        assert texts_array(texts, each, times).equals(pa.array(expected, pa.string()))
