"""`doctor` looks at what is here and at what the definitions do, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from jobs.suite import Suite
from jobs.suites.doctor import Finding, doctor
from tests.command_line import almanac
from tests.conftest import NOW, clock_at
from warehouse.queries.checked_query import check_query
from warehouse.queries.inexact import inexact_sums

ROOT = Path(__file__).parents[2]
HISTORY = "sql/features/depot_history.sql"


def findings(root: Path, subject: str) -> list[Finding]:
    return [finding for finding in doctor(root, clock_at(NOW)) if finding.subject == subject]


def test_all_is_well_in_a_new_suite(trained: Suite) -> None:
    found = doctor(trained.root, clock_at(NOW))
    assert {finding.state for finding in found if finding.subject != "disk"} == {"ok"}
    assert {"lake", "definitions", "sums", "product late_order"} <= {finding.subject for finding in found}


@pytest.mark.parametrize(("free", "state"), [(1 << 30, "ok"), ((1 << 30) - 1, "warning")])
def test_a_disk_that_is_nearly_full_is_a_warning(
    starter: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=1 << 40, used=0, free=free))
    assert [finding.state for finding in findings(starter, "disk")] == [state]


def test_the_disk_that_is_looked_at_is_the_lake_s(
    starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other disk").mkdir()
    (starter / "lake").symlink_to(tmp_path / "other disk")
    monkeypatch.setattr(
        "shutil.disk_usage",
        lambda path: SimpleNamespace(free=0 if path.resolve() == tmp_path / "other disk" else 1 << 40),
    )
    assert [finding.state for finding in findings(starter, "disk")] == ["warning"]


@pytest.mark.parametrize("root", [ROOT, ROOT / "sql/system/starter"], ids=["flights and customers", "starter"])
def test_the_suites_that_come_with_it_add_up_nothing_as_double(root: Path) -> None:
    assert [finding.state for finding in findings(root, "sums")] == ["ok"]


def test_a_column_that_is_added_up_as_double_is_named_with_its_file(starter: Path) -> None:
    path = starter / HISTORY
    text = path.read_text()
    assert "avg((delivered_at > promised_at)::INTEGER)" in text
    path.write_text(text.replace("avg((delivered_at > promised_at)::INTEGER)", "avg(parcels / 2)"))
    (warning,) = findings(starter, "sums")
    assert warning.state == "warning"
    for words in (HISTORY, "avg of parcels", "DECIMAL"):
        assert words in warning.detail
    done = almanac(starter, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert vars(warning) in json.loads(done.stdout)


#: A query over `t`, and the columns that it adds up as DOUBLE.
SUMS: dict[str, list[str]] = {
    "SELECT sum(whole), avg(whole), sum(exact), avg(exact), avg((whole > 1)::INTEGER) FROM t": [],
    "SELECT min(real), max(real), median(real), count(real), quantile_disc(real, 0.9) FROM t": [],
    "SELECT sum(real) FROM t": ["real"],
    "SELECT avg(single) FILTER (whole > 1) FROM t": ["single"],
    "SELECT sum(whole * 0.5), sum(whole + real) FROM t": ["real", "whole"],
    "SELECT stddev(whole) FROM t": ["whole"],
    "SELECT entropy(name) FROM t": ["name"],
    "SELECT corr(whole, exact) FROM t": ["exact", "whole"],
    "SELECT sum(CASE WHEN whole > 1 THEN real END) FROM t": ["real", "whole"],
    "SELECT sum(half) FROM (SELECT whole / 2 AS half FROM t)": ["half"],
    "WITH h AS (SELECT real AS held FROM t WHERE moment > $as_of - INTERVAL 28 DAY) SELECT avg(held) FROM h": ["held"],
    "SELECT name, sum(real) OVER (PARTITION BY name) FROM t": ["real"],
    "SELECT name, (SELECT avg(u.real) FROM t u WHERE u.name = t.name) FROM t": ["real"],
    "SELECT avg(date_diff('day', moment, $as_of)) FROM t WHERE name <> '$as_of'": [],
    "SELECT sum(COLUMNS(['real', 'whole'])) FROM t": ["real"],
}


@pytest.mark.parametrize("query", SUMS)
def test_what_is_added_up_as_double_is_what_the_binder_says(query: str) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            "CREATE TABLE t (whole INTEGER, exact DECIMAL(9, 2), single FLOAT, real DOUBLE, name VARCHAR,"
            " moment TIMESTAMP)"
        )
        checked = check_query(query, "here.sql", tables=["t"], parameters=["as_of"])
        assert [found.column for found in inexact_sums(connection, checked)] == SUMS[query]


def test_a_query_that_does_not_bind_is_told_once_and_no_training_is_advised(published: Suite) -> None:
    group = published.root / "sql/features/courier_load.sql"
    group.write_text(group.read_text().replace("courier,", "courrier,", 1))
    told = [finding for finding in doctor(published.root, clock_at(NOW)) if "courrier" in finding.detail]
    assert [(finding.subject, finding.state) for finding in told] == [("definitions", "error")]
    done = almanac(published.root, "status")
    assert "courrier" in done.stdout
    assert "almanac train" not in done.stdout
