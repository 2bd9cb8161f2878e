"""Nothing is known later than it reached us, or outside the years that Python has; old lakes that say so work."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import Way, ingest
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import doctor
from jobs.suites.status import status
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lakes import rows
from warehouse.errors import IngestFailed

HEADER = "/*\ndescription: Readings.\nkey: [k]\nfiles: data/r*.csv\nknown_at: known\n{more}*/\n"
SELECT = (
    "SELECT k, known, n{more} FROM read_csv($files, header = true, types = {{'k': 'VARCHAR', 'known': 'TIMESTAMP'}})"
)


def make(root: Path, now: datetime, header: str = "", select: str = "") -> Suite:
    (root / "sql/sources").mkdir(parents=True, exist_ok=True)
    (root / "data").mkdir(exist_ok=True)
    (root / "sql/sources/readings.sql").write_text(HEADER.format(more=header) + SELECT.format(more=select))
    return open_suite(root, clock_at(now))


def held(suite: Suite) -> list[str]:
    return [row[0] for row in rows(suite, "SELECT k FROM sources.readings ORDER BY 1")]


def reasons(suite: Suite) -> dict[str, str]:
    return dict(rows(suite, "SELECT k, reason FROM rejects.readings"))


def test_what_is_known_too_late_is_taken_in_when_its_time_has_come(tmp_path: Path) -> None:
    suite = make(tmp_path, NOW)
    later = NOW + timedelta(days=3)
    lines = {
        "past": NOW - timedelta(days=1),
        "by skew": NOW + timedelta(hours=23),
        "future": later,
        "far": datetime(2088, 1, 1),
    }
    text = "k,known,n\n" + "".join(f"{key},{at},1\n" for key, at in lines.items())
    text += "bc,0044-03-15 (BC) 10:00:00,1\nbcd,0044-03-15 (BC),1\nhuge,20000-01-01,1\nnever,infinity,1\n"
    (tmp_path / "data/r1.csv").write_text(text)
    done = ingest(suite)[0].ingestion
    assert done is not None
    assert held(suite) == ["by skew", "past"]
    found = reasons(suite)
    assert found["future"] == found["far"] == "known_at is later than the ingestion"
    assert {found[key] for key in ("bcd", "huge", "never")} == {"known_at is not within the years 1 to 9999"}
    assert done.max_known_at == lines["by skew"]
    assert ingest(suite)[0].ingestion is None
    (tmp_path / "data/r2.csv").write_text(text.replace("1\n", "1\n\n", 1))
    again = ingest(suite)[0].ingestion
    assert again is not None
    assert (again.rows_new, again.rows_restated) == (0, 0)
    suite = make(tmp_path, later)
    done = ingest(suite)[0].ingestion
    assert done is not None
    assert done.rows_new == 1
    assert held(suite) == ["by skew", "future", "past"]
    assert ingest(suite)[0].ingestion is None
    assert rows(suite, "SELECT known_at FROM sources.readings WHERE k = 'future'") == [(later,)]


def test_a_source_says_how_far_clocks_differ(tmp_path: Path) -> None:
    suite = make(tmp_path, NOW, "clock_skew: 2 minutes\n")
    (tmp_path / "data/r1.csv").write_text(
        f"k,known,n\na,{NOW + timedelta(minutes=1)},1\nb,{NOW + timedelta(minutes=3)},1\n"
    )
    ingest(suite)
    assert held(suite) == ["a"]


def test_a_restatement_from_the_future_waits_too(tmp_path: Path) -> None:
    suite = make(tmp_path, NOW, "restated_at: corrected\n", ", corrected::TIMESTAMP AS corrected")
    (tmp_path / "data/r1.csv").write_text("k,known,n,corrected\na,2026-01-01,1,\n")
    ingest(suite)
    (tmp_path / "data/r2.csv").write_text("k,known,n,corrected\na,2026-01-01,2,2026-08-01\n")
    ingest(suite)
    assert rows(suite, "SELECT n FROM sources.readings") == [(1,)]
    suite = make(tmp_path, datetime(2026, 8, 2), "restated_at: corrected\n", ", corrected::TIMESTAMP AS corrected")
    ingest(suite)
    assert rows(suite, "SELECT n FROM sources.readings ORDER BY known_at") == [(1,), (2,)]


def test_nothing_is_taken_in_by_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """What changed would be known to pages that were made before it came."""

    def at(now: datetime) -> Suite:
        return make(tmp_path, now)

    def deliver(value: int) -> None:
        (tmp_path / f"data/r{value}.csv").write_text(f"k,known,n\na,2026-01-01,{value}\n")

    suite = at(NOW)
    deliver(1)
    ingest(suite)
    deliver(2)
    with pytest.raises(IngestFailed, match="which is later: the clock is wrong now, or it was then"):
        ingest(at(NOW - timedelta(days=1, microseconds=1)))
    assert rows(suite, "SELECT n FROM sources.readings") == [(1,)]
    done = almanac(tmp_path, "ingest", "--dry-run")  # the true time, which is later
    assert done.returncode == 0, done.stderr
    # As far back as clocks may differ changes keep their order.
    ingest(at(NOW - timedelta(days=1)))
    deliver(3)
    ingest(at(NOW - timedelta(days=1)))
    assert rows(suite, "SELECT n FROM sources.readings ORDER BY known_at") == [(1,), (2,), (3,)]
    assert rows(suite, "SELECT n FROM sources.readings_current") == [(3,)]


def test_somebody_can_say_that_the_clock_was_wrong_before(tmp_path: Path) -> None:
    suite = make(tmp_path, NOW)
    (tmp_path / "data/r1.csv").write_text("k,known,n\na,2026-01-01,1\n")
    ingest(make(tmp_path, NOW + timedelta(days=400)))
    (tmp_path / "data/r2.csv").write_text("k,known,n\nb,2026-01-01,1\n")
    with pytest.raises(IngestFailed, match="almanac ingest readings --set-back"):
        ingest(suite)
    ingest(suite, way=Way(set_back=True))
    (tmp_path / "data/r3.csv").write_text("k,known,n\nc,2026-01-01,1\n")
    ingest(suite)
    assert held(suite) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "known_at", ["TIMESTAMP '20000-01-01'", "TIMESTAMP '0044-03-15 (BC)'", "'infinity'::TIMESTAMP"]
)
def test_a_lake_that_holds_such_facts_works(trained: Suite, known_at: str) -> None:
    with trained.lake.commit("as the landed version did") as commit:
        commit.execute(
            "INSERT INTO sources.orders BY NAME SELECT * REPLACE ('X1' AS order_id, 9 AS ingest_id,"
            f" {known_at} AS known_at) FROM sources.orders LIMIT 1"
        )
        commit.execute(
            "INSERT INTO ledger.ingestions BY NAME SELECT * REPLACE (9 AS ingest_id, 1 AS rows_new,"
            f" {known_at} AS min_known_at, {known_at} AS max_known_at) FROM ledger.ingestions"
            " WHERE source = 'orders' LIMIT 1"
        )
    assert status(trained).sources
    assert not [each for each in doctor(trained.root, trained.clock) if each.state == "error"]
    assert run_page(trained, PRODUCT, PAGE).published
    for command in (
        ("plan", PRODUCT),
        ("pages", PRODUCT, "--missing"),
        ("ingest",),
        ("query", "FROM ledger.ingestions"),
    ):
        done = almanac(trained.root, *command)
        assert "Traceback" not in done.stderr, done.stderr
    (trained.root / "data/orders2.csv").write_text(
        "order_id,depot,courier,parcels,ordered_at,promised_at\nX1,north,Swift,2,2026-01-01,2026-01-02\n"
    )
    ingest(trained, ["orders"])
    assert (2,) in rows(trained, "SELECT parcels FROM sources.orders WHERE order_id = 'X1'")
