"""Sources laid out by buckets of a key: a shard reads its own files, and pages are the same in every bit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.shards.engine import Shards
from jobs.pages.shards.tasks import ASK, Done, Task, run_task
from jobs.suite import Suite, open_suite
from jobs.suites.upkeep import upkeep
from tests.benchmarks.bench_engines import FILES, PAGE, PRODUCT
from tests.lakes import rows
from tests.shards import Inline, rows_of_pages
from warehouse.batching.engines import DuckDBHere
from warehouse.errors import DefinitionError
from warehouse.lake.storage import key_buckets
from warehouse.lake.storage.key_buckets import KeyBuckets

SOURCE = "sql/sources/purchases.sql"
NOW = datetime(2026, 3, 1)
LAYOUT = "buckets: {by: [customer], n: 4}\n"


def delivered(root: Path, name: str, first: int, count: int) -> None:
    query = (
        f"SELECT i AS purchase, hash(i) % 97 AS customer, hash(i + 1) % 50 AS item, (hash(i + 2) % 1000)::INTEGER AS"
        f" pence, TIMESTAMP '2026-01-01' + INTERVAL 1 MINUTE * i AS bought_at FROM range({first}, {first + count}) r(i)"
    )
    duckdb.execute(f"COPY ({query}) TO '{root / name}' (FORMAT parquet)")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Suite]:
    monkeypatch.setattr(key_buckets, "ROWS_OF_A_BUCKET", 100)

    def made(layout: str = LAYOUT, more: str = "") -> Suite:
        for name, text in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        source = (tmp_path / SOURCE).read_text().replace("files: purchases.parquet", "files: purchases*.parquet")
        (tmp_path / SOURCE).write_text(source.replace("owner: benchmark\n", f"owner: benchmark\n{layout}{more}"))
        delivered(tmp_path, "purchases-1.parquet", 0, 3_000)
        suite = open_suite(tmp_path, lambda: NOW)
        ingest(suite)
        return suite

    return made


def files_of(suite: Suite) -> list[tuple[str, int]]:
    """Give how the names of the files of facts end, and how many rows each has."""
    found = rows(suite, "SELECT filename, count(*) FROM sources.purchases GROUP BY 1")
    return sorted((Path(name).name.partition(".")[2].rpartition("-")[2], count) for name, count in found)


def without_rows(file: Path) -> bytes:
    """Give a Parquet file of which nothing is left but its footer, which DuckDB looks at to skip the file."""
    whole = file.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    return whole[:4] + bytes(len(whole) - 4 - footer) + whole[-footer:]


def blank_others(suite: Suite, n: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Blank the rows of other buckets while a shard of a page is asked; gives of how many files, task by task."""
    kept, blanked = suite.lake.data / "sources" / "purchases", list[int]()

    def alone(packed: bytes, task: Task) -> Done:
        if task.step != ASK:
            return run_task(packed, task)
        files = [file for file in kept.glob("*of4.parquet") if int(file.name.split("-")[-1][0]) % n != task.shard.i]
        whole = {file: file.read_bytes() for file in files}
        for file in files:
            file.write_bytes(without_rows(file))
        try:
            return run_task(packed, task)
        finally:
            for file, content in whole.items():
                file.write_bytes(content)
            blanked.append(len(files))

    monkeypatch.setattr("tests.shards.run_task", alone)
    return blanked


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_shard_reads_its_own_files(make: Callable[..., Suite], n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = make()
    # Few rows are one file, which every shard reads.
    delivered(suite.root, "purchases-2.parquet", 3_000, 50)
    ingest(suite)
    found = files_of(suite)
    assert sum(count for _, count in found) == 3_050
    assert [name for name, _ in found] == [*(f"{bucket}of4.parquet" for bucket in range(4)), "parquet"]
    here = rows_of_pages(suite, PRODUCT, [PAGE], DuckDBHere())
    assert len(here[1]) == 97
    blanked = blank_others(suite, n, monkeypatch)
    assert rows_of_pages(suite, PRODUCT, [PAGE], Shards(Inline(), n)) == here
    assert blanked == [4 - 4 // n] * n


def test_shards_that_files_do_not_follow_read_all_of_them(make: Callable[..., Suite]) -> None:
    suite = make()
    here = rows_of_pages(suite, PRODUCT, [PAGE], DuckDBHere())
    for n in (3, 7, 8):
        assert rows_of_pages(suite, PRODUCT, [PAGE], Shards(Inline(), n)) == here
    # Laid out otherwise, and with a DuckDB that hashes otherwise, no file is left out.
    text = (suite.root / SOURCE).read_text()
    for layout in ("buckets: {by: [customer], n: 2}\n", "buckets: {by: [item], n: 4}\n"):
        (suite.root / SOURCE).write_text(text.replace(LAYOUT, layout))
        other = open_suite(suite.root, lambda: NOW)
        assert [result.derived for result in ingest(other)] == [None], "no fact is made anew for a layout"
        assert rows_of_pages(other, PRODUCT, [PAGE], Shards(Inline(), 2)) == here


def test_a_fact_that_changed_its_bucket_is_shown_once(make: Callable[..., Suite]) -> None:
    suite = make(more="restated_at: bought_at\n")
    query = (
        "SELECT i AS purchase, hash(i + 7) % 97 AS customer, hash(i + 1) % 50 AS item, 7 AS pence,"
        " TIMESTAMP '2026-01-20' + INTERVAL 1 SECOND * i AS bought_at FROM range(0, 2500) r(i)"
    )
    duckdb.execute(f"COPY ({query}) TO '{suite.root / 'purchases-2.parquet'}' (FORMAT parquet)")
    ingest(suite)
    assert len(files_of(suite)) == 8
    here = rows_of_pages(suite, PRODUCT, [PAGE], DuckDBHere())
    for n in (2, 4):
        assert rows_of_pages(suite, PRODUCT, [PAGE], Shards(Inline(), n)) == here


def test_upkeep_and_a_changed_definition_keep_what_is_right(make: Callable[..., Suite]) -> None:
    suite = make()
    for number in range(2, 5):
        delivered(suite.root, f"purchases-{number}.parquet", 3_000 * (number - 1), 3_000)
        ingest(suite)
    here = rows_of_pages(suite, PRODUCT, [PAGE], DuckDBHere())
    assert (len(files_of(suite)), sum(count for _, count in files_of(suite))) == (16, 12_000)
    assert rows_of_pages(suite, PRODUCT, [PAGE], Shards(Inline(), 2)) == here
    upkeep(suite)
    # What was merged bears no mark.
    assert files_of(suite) == [("parquet", 12_000)]
    assert rows_of_pages(suite, PRODUCT, [PAGE], Shards(Inline(), 2)) == here
    file = suite.root / SOURCE
    file.write_text(file.read_text().replace("SELECT purchase,", "SELECT purchase, pence * 2 AS twice,"))
    changed = open_suite(suite.root, lambda: NOW)
    ingest(changed)
    assert len(files_of(changed)) == 4
    assert rows_of_pages(changed, PRODUCT, [PAGE], Shards(Inline(), 4)) == here


def test_what_rows_cannot_be_shared_out_by_is_refused(make: Callable[..., Suite]) -> None:
    with pytest.raises(DefinitionError, match="`buckets`: nothing is no column of it"):
        make("buckets: {by: [customer, nothing], n: 4}\n")


def test_a_mark_follows_from_columns_and_types() -> None:
    kinds = {"k": "BIGINT", "g": "BIGINT"}
    layouts = [(["k"], kinds), (["g"], kinds), (["k", "g"], kinds), (["g", "k"], kinds), (["k"], {"k": "INTEGER"})]
    with duckdb.connect() as connection:
        marks = [key_buckets.key_buckets(connection, *layout, 4).mark for layout in (*layouts, layouts[0])]
    assert len(set(marks)) == len(layouts)
    assert marks[0] == marks[-1]


def test_files_are_left_out_only_where_all_shards_agree_on_them() -> None:
    layout = KeyBuckets(("k",), 4, "0123abcd", {"k": "BIGINT"})
    others = (f"suffix(filename, '.0123abcd-{bucket}of4.parquet') IS NOT TRUE" for bucket in (0, 2))
    assert layout.own_files(1, 2) == " AND ".join(others)
    assert (layout.own_files(1, 3), layout.own_files(0, 1)) == (None, None)
    assert KeyBuckets(("k",), 4, "0123abcd", {"k": "BIGINT", "Filename": "VARCHAR"}).own_files(1, 2) is None
