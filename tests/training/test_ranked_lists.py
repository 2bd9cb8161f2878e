"""The first of each list are the same as by sorting all candidates, whatever is tied, missing or ranked in parts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.suite import open_suite
from tests.conftest import NOW, clock_at
from tests.effort import times
from tests.training.test_ranking import with_lists
from warehouse.pages.lists import ranked
from warehouse.pages.lists.ranked import RankedLists
from warehouse.system_sql import parquet, system_sql

COLUMNS = ("as_of", "depot", "order_id", "score")
Row = tuple[Any, ...]


def world(random: np.random.Generator) -> list[Row]:
    """Make candidates of lists of any length: few different scores, infinities, scores and keys that are missing."""
    n_rows, n_lists = int(random.integers(1, 200)), int(random.integers(1, 12))
    scores = random.integers(0, random.integers(2, 200), n_rows) / 8.0
    scores[random.random(n_rows) < 0.05] = np.inf
    scores[random.random(n_rows) < 0.05] = -np.inf
    days, depots = random.integers(0, 2, n_rows), (n_lists * random.random(n_rows) ** 3).astype(int)
    return [
        (
            datetime(2026, 3, 1) + timedelta(days=int(day)),
            None if depot == 5 else f"depot {depot}",
            f"order {place}",
            None if missing else float(score),
        )
        for place, day, depot, score, missing in zip(
            random.permutation(n_rows), days, depots, scores, random.random(n_rows) < 0.03, strict=True
        )
    ]


def by_sorting(rows: list[Row], top: int) -> list[Row]:
    """Sort whole lists: high scores first, then by key, and what has no score last."""
    found: dict[Row, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row[3] is None, -(row[3] or 0.0), row[2])):
        entries = found.setdefault(row[:2], [])
        if len(entries) < top:
            entries.append((*row, len(entries) + 1))
    return [row for entries in found.values() for row in entries]


@pytest.mark.parametrize(("at_a_time", "heaped"), [(65_536, 4_000_000), (7, 6)])
def test_the_first_of_each_list_are_those_of_sorting_all(
    starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int, heaped: int
) -> None:
    monkeypatch.setattr(ranked, "BATCH_ROWS", at_a_time)
    monkeypatch.setattr(ranked, "HEAPED_AT_A_TIME", heaped)
    n_cut = 0
    product = with_lists(open_suite(starter, clock_at(NOW))).definitions.product("late_order")
    assert product.ranking is not None
    with duckdb.connect() as cursor:
        for seed in range(times(12)):
            rows = world(np.random.default_rng(seed))
            lists = RankedLists(cursor, product, product.ranking, tmp_path / "page.parquet")
            kinds = (pa.timestamp("us"), pa.string(), pa.string(), pa.float64())
            columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
            pq.write_table(pa.table(dict(zip(COLUMNS, columns, strict=True))), lists.scored)
            lists.cut()
            n_cut += pq.read_metadata(lists.scored).num_rows < len(rows)
            expected = by_sorting(rows, product.ranking.top)
            listed = lists.listed().read_all()
            found = [tuple(row.values()) for row in listed.to_pylist()]
            assert sorted(found, key=repr) == sorted(expected, key=repr)
            assert [path.name for path in tmp_path.glob("*.parquet")] == ["page.scored.parquet"]
            # They come page by page and list by list.
            begun = [
                row[:2]
                for row, before in zip(found, [None, *found], strict=False)
                if before is None or row[:2] != before[:2]
            ]
            assert len(begun) == len(set(begun))
            assert all(
                row[4] == (1 if before is None or row[:2] != before[:2] else before[4] + 1)
                for row, before in zip(found, [None, *found], strict=False)
            )
            features = f"(SELECT * FROM {parquet([lists.scored])})"
            again = cursor.execute(f"SELECT as_of, depot, order_id FROM {lists.listed_of(features)}").fetchall()
            assert set(again) == {row[:3] for row in expected if None not in row[:3]}
            (tmp_path / "page.listed.parquet").unlink()
    # Lists that are long are cut before they are sorted.
    assert n_cut > 3


def test_candidates_are_cut_without_writing_all_of_their_columns_down(tmp_path: Path) -> None:
    features, listed = tmp_path / "features.parquet", tmp_path / "listed.parquet"
    with duckdb.connect() as cursor:
        columns = "range % 7 AS shelf, range AS item, TIMESTAMP '2026-03-01' AS as_of, range / 3 AS wide"
        for file, n in ((features, 70), (listed, 10)):
            cursor.execute(f"COPY (SELECT {columns} FROM range({n})) TO '{file}' (FORMAT parquet)")
        statement = system_sql(
            "pages/kept",
            features=parquet([features]),
            list="shelf",
            keys="shelf, item",
            is_kept="shelf = 3",
            order="",
            listed=f"SELECT as_of, shelf, item FROM {parquet([listed])}",
            file=f"'{tmp_path / 'kept.parquet'}'",
        )
        plan = "\n".join(row[1] for row in cursor.execute(f"EXPLAIN {statement}").fetchall())
        # DuckDB 1.5.5 materialises a CTE that is named several times, with all of its columns, unless told not to.
        assert plan.count("CTE Name:") == plan.count("whole") > 0, plan
        cursor.execute(statement)
        found = cursor.execute("SELECT item FROM read_parquet($1)", [str(tmp_path / "kept.parquet")]).fetchall()
    assert sorted(item for (item,) in found) == sorted({*range(10), *range(3, 70, 7)})
