"""A suite of which one source lies in a package that is not installed: the rest works, and it says what to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.suite import open_suite
from jobs.suites.starter import make_flights
from tests.command_line import almanac
from tests.conftest import NOW, clock_at
from warehouse.definitions import load_definitions
from warehouse.errors import IngestFailed, NotInstalled

SOURCE = """/*
description: In a package that nobody has.
key: [id]
files: package:no_such_package_here/data.csv
requires: almanac[nowhere]
known_at: TIMESTAMP '2026-01-01'
*/
SELECT id FROM read_csv($files, columns = {'id': 'INTEGER'})
"""


def test_what_is_not_installed_is_passed_over_and_said(starter: Path) -> None:
    (starter / "sql/sources/nowhere.sql").write_text(SOURCE)
    done = almanac(starter, "ingest")
    assert done.returncode == 0, done.stderr
    assert "nowhere is passed over" in done.stderr
    assert "pip install 'almanac[nowhere]'" in done.stderr
    assert "orders" in done.stdout
    assert "nowhere" not in done.stdout
    assert '"passed_over": "sql/sources/nowhere.sql: the package' in almanac(starter, "ingest", "--json").stdout


def test_named_it_fails_with_what_to_install(starter: Path) -> None:
    (starter / "sql/sources/nowhere.sql").write_text(SOURCE)
    with pytest.raises(NotInstalled, match=r"pip install 'almanac\[nowhere\]'"):
        ingest(open_suite(starter, clock_at(NOW)), ["nowhere"])


def test_a_suite_of_which_nothing_is_installed_fails(starter: Path) -> None:
    for file in (starter / "sql/sources").glob("*.sql"):
        text = file.read_text().replace("files: data", "requires: almanac[shop]\nfiles: package:no_such_package_here")
        file.write_text(text)
    with pytest.raises(IngestFailed, match="no source could be ingested"):
        ingest(open_suite(starter, clock_at(NOW)))


def test_without_a_word_on_what_it_requires_a_source_is_not_passed_over(starter: Path) -> None:
    (starter / "sql/sources/nowhere.sql").write_text(SOURCE.replace("requires: almanac[nowhere]\n", ""))
    with pytest.raises(NotInstalled, match="pip install 'no_such_package_here'"):
        ingest(open_suite(starter, clock_at(NOW)))


def test_lineage_needs_no_package_where_the_query_declares_its_columns(starter: Path) -> None:
    (starter / "sql/sources/nowhere.sql").write_text(SOURCE)
    done = almanac(starter, "impact", "nowhere.id")
    assert done.returncode == 0, done.stderr
    assert "source nowhere" in done.stdout


def test_the_demo_has_the_flights_and_nothing_of_the_customers(tmp_path: Path) -> None:
    make_flights(tmp_path / "demo")
    definitions = load_definitions(tmp_path / "demo")
    assert definitions.products.keys() == {"flight_delay"}
    assert definitions.sources.keys() == {"airlines", "airports", "landings", "planes", "schedule", "weather"}
    assert not [name for name in definitions.groups if name.startswith("customer")]
    assert len(definitions.groups) == 13
