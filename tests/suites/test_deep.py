"""`almanac doctor --deep` reads all that the lake holds, and names what each damaged file held."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.pages.predict import run_page
from jobs.suite import Suite
from jobs.suites.deep import look_deep
from tests.command_line import almanac
from tests.conftest import PAGE, PRODUCT


def newest(directory: Path, pattern: str) -> Path:
    return max(directory.rglob(pattern), key=lambda path: path.stat().st_mtime_ns)


def change(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(bytes(content))


def test_a_lake_that_is_whole_is_said_to_be(published: Suite) -> None:
    run_page(published, PRODUCT, PAGE)  # an earlier snapshot shows the files of the page as it was
    found = look_deep(published)
    assert found.wrong == []
    on_disk = [path.stat().st_size for path in published.lake.data.rglob("*.parquet")]
    assert (found.n_files, found.n_bytes) == (len(on_disk), sum(on_disk))
    done = almanac(published.root, "doctor", "--deep")
    assert done.returncode == 0
    assert f"{len(on_disk)} files of" in done.stdout


@pytest.mark.parametrize("how", ["changed", "cut", "gone", "another"])
def test_a_data_file_that_is_not_what_was_written_is_named_with_its_pages(published: Suite, how: str) -> None:
    file = newest(published.lake.data / "predictions", "*.parquet")
    if how == "changed":
        change(file, -1)
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:-40])
    elif how == "another":
        file.write_bytes(newest(published.lake.data / "sources/orders", "*.parquet").read_bytes())
    else:
        file.unlink()
    done = almanac(published.root, "doctor", "--deep", "--json")
    assert done.returncode == 1
    assert str(file) in done.stdout
    assert "it held predictions of late_order, of pages from 2026-03-10 18:00:00" in done.stdout
    assert "almanac backfill late_order --from 2026-03-10T18:00" in done.stdout
    words = {"changed": "is damaged", "cut": "is damaged", "gone": "is missing", "another": "were written"}
    assert words[how] in done.stdout


def test_files_of_facts_and_of_earlier_snapshots_are_read_too(published: Suite) -> None:
    earlier = newest(published.lake.data / "features", "*.parquet")
    run_page(published, PRODUCT, PAGE)
    facts = newest(published.lake.data / "sources/orders", "*.parquet")
    change(facts, -1)
    change(earlier, -1)
    wrong = look_deep(published).wrong
    assert len(wrong) == 2
    assert any(str(facts) in one and "facts of the source orders" in one for one in wrong)
    assert any(str(earlier) in one and "features of late_order" in one for one in wrong)


def test_models_are_compared_with_their_hashes(published: Suite) -> None:
    file = newest(published.lake.artifacts, "held_out.parquet")
    change(file, 100)
    (sentence,) = look_deep(published).wrong
    assert "the version v1 of late_order" in sentence
    assert "held_out.parquet has changed" in sentence
    newest(published.lake.artifacts, "model.skops").unlink()
    assert len(look_deep(published).wrong) >= 1


def test_copies_of_deliveries_are_compared_with_their_names(starter: Path) -> None:
    source = starter / "sql/sources/orders.sql"
    source.write_text(source.read_text().replace("/*\n", "/*\nkeep: true\n", 1))
    assert almanac(starter, "ingest").returncode == 0
    copy = next((starter / "lake/deliveries").glob("*/*"))
    assert almanac(starter, "doctor", "--deep").returncode == 0
    change(copy, 10)
    done = almanac(starter, "doctor", "--deep", "--json")
    assert done.returncode == 1
    assert f"{copy} has changed" in done.stdout
