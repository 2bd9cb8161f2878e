"""Ingestion keeps within a bound of memory, spills beyond it, and says what to do where that is not enough."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.suite import open_suite
from tests.conftest import NOW, clock_at
from tests.lakes import rows
from warehouse.errors import IngestFailed, UsageError

HEADER = "description: Readings.\nkey: [k]\nfiles: data/*.parquet\nknown_at: TIMESTAMP '2026-01-01'"


def suite_of(root: Path, select: str, n_rows: int) -> None:
    for folder in ("data", "sql/sources"):
        (root / folder).mkdir(parents=True)
    (root / "sql/sources/readings.sql").write_text(f"/*\n{HEADER}\n*/\n{select}\n")
    query = f"SELECT range AS k, md5(range::VARCHAR) AS v FROM range({n_rows}) ORDER BY hash(range)"
    duckdb.execute(f"COPY ({query}) TO '{root}/data/readings.parquet' (FORMAT parquet)")


def test_what_does_not_fit_into_the_bound_is_spilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows alone take more than the bound as DuckDB holds them, and then they are compared and sorted."""
    suite_of(tmp_path, "SELECT k, v || v AS v FROM read_parquet($files)", 1_000_000)
    monkeypatch.setenv("ALMANAC_INGEST_MEMORY", "80MB")
    ingest(open_suite(tmp_path, clock_at(NOW)))
    found = rows(open_suite(tmp_path, clock_at(NOW)), "SELECT count(*), count(DISTINCT v) FROM sources.readings")
    assert found == [(1_000_000, 1_000_000)]


def test_facts_made_anew_are_spilled_and_what_comes_next_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB takes no second directory to spill into once it has used one."""
    suite_of(tmp_path, "SELECT k, v FROM read_parquet($files)", 300_000)
    ingest(open_suite(tmp_path, clock_at(NOW)))
    (tmp_path / "sql/sources/readings.sql").write_text(
        f"/*\n{HEADER}\nrules:\n  k: k >= 0\n*/\nSELECT k, v || v AS v FROM read_parquet($files)\n"
    )
    monkeypatch.setenv("ALMANAC_INGEST_MEMORY", "50MB")
    (result,) = ingest(open_suite(tmp_path, clock_at(NOW)))
    assert result.derived is not None
    found = rows(open_suite(tmp_path, clock_at(NOW)), "SELECT count(*), count(DISTINCT v) FROM sources.readings")
    assert found == [(300_000, 300_000)]


def test_a_select_that_needs_more_is_told_with_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite_of(tmp_path, "SELECT k, v FROM read_parquet($files)", 300_000)
    monkeypatch.setenv("ALMANAC_INGEST_MEMORY", "2MB")
    with pytest.raises(IngestFailed, match="Set ALMANAC_INGEST_MEMORY to more"):
        ingest(open_suite(tmp_path, clock_at(NOW)))
    monkeypatch.setenv("ALMANAC_INGEST_MEMORY", "much")
    with pytest.raises(UsageError, match="expected a size"):
        ingest(open_suite(tmp_path, clock_at(NOW)))
