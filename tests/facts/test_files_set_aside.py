"""One bad file is set aside and named, and the rest of its source is taken in; files are read as what each is."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import pytest

from jobs.facts.ingest import IngestResult, ingest
from jobs.facts.set_aside import forget_file
from jobs.schedule.suite_clock import SuiteClock
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite, open_suite
from jobs.suites.status import status
from tests.command_line import almanac
from tests.conftest import NOW, clock_at
from tests.lakes import rows
from warehouse.errors import DefinitionError, FilesSetAside, IngestFailed, NotFoundError

HEADER = b"stop,zone,seen_at,people\n"
SOURCE = """/*
description: Who stood where.
key: [stop]
files: data/stops*.csv
known_at: seen_at AT TIME ZONE zone AT TIME ZONE 'UTC'
rules:
  somebody was there: people >= 1
*/
SELECT {columns}
FROM read_csv($files, header = true, {types})
"""
TYPES = "types = {'stop': 'VARCHAR', 'zone': 'VARCHAR', 'seen_at': 'TIMESTAMP', 'people': 'INTEGER'}"
DECLARED = TYPES.replace("types", "columns")


def write(root: Path, name: str, *lines: str, header: bytes = HEADER) -> Path:
    path = root / "data" / name
    path.write_bytes(header + "".join(f"{line}\n" for line in lines).encode())
    return path


def source(root: Path, columns: str = "stop, zone, seen_at, people", types: str = TYPES, **changed: str) -> Suite:
    text = SOURCE.format(columns=columns, types=types)
    for old, new in changed.items():
        text = text.replace({"files": "data/stops*.csv", "rule": "people >= 1"}[old], new)
    (root / "sql/sources/stops.sql").write_text(text)
    return open_suite(root, clock_at(NOW))


def taken(suite: Suite) -> list[str]:
    return [row[0] for row in rows(suite, "SELECT stop FROM sources.stops ORDER BY stop")]


def aside(suite: Suite) -> IngestResult:
    with pytest.raises(FilesSetAside) as caught:
        ingest(suite, ["stops"])
    (result,) = caught.value.results
    assert isinstance(result, IngestResult)
    return result


def test_one_bad_file_of_twelve_is_named_with_line_and_column_and_the_rest_is_taken_in(starter: Path) -> None:
    for number in range(12):
        zone = "unknown" if number == 7 else "Europe/London"
        write(starter, f"stops{number:02}.csv", f"a{number:02},Europe/Paris,2026-01-01 12:00:00,1",
              f"b{number:02},{zone},2026-01-01 12:00:00,2")  # fmt: skip
    suite = source(starter)
    done = almanac(starter, "ingest", "stops")
    assert done.returncode == 1
    assert "1 file is set aside" in done.stderr
    assert "stops07.csv: line 3, column zone: " in done.stderr
    assert "Unknown TimeZone 'unknown'" in done.stderr
    assert "stops06.csv" not in done.stderr
    assert len(taken(suite)) == 22
    assert [Path(file["file"]).name for file in status(suite).files_aside] == ["stops07.csv"]
    shown = almanac(starter, "status").stdout
    assert "set aside" in shown
    assert "Nothing has failed" not in shown
    assert almanac(starter, "ingest", "stops").returncode == 1, "it is tried again until it is mended"
    assert rows(suite, "SELECT count(*), count(DISTINCT since) FROM rejects.files") == [(1, 1)]
    write(starter, "stops07.csv", "a07,Europe/Paris,2026-01-01 12:00:00,1")
    assert almanac(starter, "ingest", "stops").returncode == 0
    assert len(taken(suite)) == 23
    assert status(suite).files_aside == []


def test_a_file_that_is_forgotten_is_left_alone_until_it_changes(starter: Path) -> None:
    write(starter, "stops1.csv", "a,Europe/Paris,2026-01-01 12:00:00,1")
    write(starter, "stops2.csv", "b,nowhere,2026-01-01 12:00:00,1")
    suite = source(starter)
    (found,) = aside(suite).reading.aside
    assert found.reason.startswith("line 2, column zone: ")
    assert "nowhere" in found.reason
    with pytest.raises(NotFoundError, match=r"stops2\.csv"):
        forget_file(suite, "stops1.csv")
    done = almanac(starter, "ingest", "--forget", "data/stops2.csv")
    assert done.returncode == 0, done.stderr
    assert almanac(starter, "ingest", "stops").returncode == 0
    assert status(suite).files_aside == []
    write(starter, "stops2.csv", "b,elsewhere,2026-01-01 12:00:00,1")
    aside(suite)


def test_the_clock_tells_of_a_file_that_is_set_aside_until_it_is_mended(starter: Path) -> None:
    bad = write(starter, "stops1.csv", "a,unknown,2026-01-01 12:00:00,1")
    write(starter, "stops2.csv", "b,Europe/Paris,2026-01-01 12:00:00,1")
    suite = source(starter)
    aside(suite)
    clock = SuiteClock(starter, TickStore.open(suite.lake.root), clock_at(NOW))
    told = clock.broken_promises(NOW)
    assert told is not None
    ((key, sentence),) = told.items()
    assert key[0] == "stops"
    assert str(bad) in sentence
    assert "unknown" in sentence
    write(starter, "stops1.csv", "a,Europe/Paris,2026-01-01 12:00:00,1")
    ingest(suite, ["stops"])
    assert clock.broken_promises(NOW) == {}


def test_a_file_that_was_deleted_is_set_aside_no_longer(starter: Path) -> None:
    write(starter, "stops1.csv", "a,Europe/Paris,2026-01-01 12:00:00,1")
    bad = write(starter, "stops2.csv", "b,unknown,2026-01-01 12:00:00,2")
    suite = source(starter)
    aside(suite)
    assert len(status(suite).files_aside) == 1
    bad.unlink()
    ingest(suite, ["stops"])
    assert status(suite).files_aside == []


def test_status_and_ingest_say_how_new_the_newest_fact_is_and_not_when_a_change_came_in(starter: Path) -> None:
    write(starter, "stops1.csv", "a,Europe/Paris,2026-01-01 12:00:00,1", "b,Europe/Paris,2026-01-03 12:00:00,1")
    suite = source(starter)
    ingest(suite, ["stops"])
    write(starter, "stops2.csv", "a,Europe/Paris,2026-01-01 12:00:00,9", "c,Europe/Paris,2026-01-02 12:00:00,1")
    (done,) = ingest(suite, ["stops"])
    assert done.ingestion is not None
    assert (done.ingestion.rows_restated, done.ingestion.max_known_at) == (1, NOW)
    assert done.newest_fact == datetime(2026, 1, 2, 11)
    (found,) = [row for row in status(suite).sources if row["source"] == "stops"]
    assert found["known_until"] == datetime(2026, 1, 3, 11)
    for path in (starter / "lake/data/sources/stops").iterdir():
        path.unlink()
    assert almanac(starter, "status").returncode == 0, "it can be asked where facts are lost"


def test_a_select_that_is_wrong_sets_nothing_aside(starter: Path) -> None:
    write(starter, "stops1.csv", "a,Europe/Paris,2026-01-01 12:00:00,1")
    suite = source(starter, columns="stop, zone, seen_at, peple")
    with pytest.raises(IngestFailed, match="peple"):
        ingest(suite, ["stops"])
    assert status(suite).files_aside == []


@pytest.mark.parametrize("types", [TYPES, DECLARED], ids=["types", "columns"])
def test_line_ends_and_byte_order_marks_may_differ_from_file_to_file(starter: Path, types: str) -> None:
    for name, mark, end in (("a", b"", b"\n"), ("b", b"", b"\r\n"), ("c", b"\xef\xbb\xbf", b"\n"),
                            ("d", b"\xef\xbb\xbf", b"\r\n")):  # fmt: skip
        lines = HEADER + f"{name}1,Europe/Paris,2026-01-01 12:00:00,1\n{name}2,UTC,2026-01-02 12:00:00,2\n".encode()
        (starter / f"data/stops_{name}.csv").write_bytes(mark + lines.replace(b"\n", end))
    (starter / "data/stops_e.csv.gz").write_bytes(gzip.compress(HEADER + b"e1,UTC,2026-01-01 12:00:00,1\n"))
    suite = source(starter, types=types, files="data/stops*.csv*")
    ingest(suite, ["stops"])
    assert taken(suite) == ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2", "e1"]
    assert rows(suite, "SELECT DISTINCT zone FROM sources.stops ORDER BY 1") == [("Europe/Paris",), ("UTC",)]


def test_columns_in_another_order_keep_their_types(starter: Path) -> None:
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    write(starter, "stops2.csv", "3,b,UTC,2026-01-01 12:00:00", header=b"people,stop,zone,seen_at\n")
    suite = source(starter)
    ingest(suite, ["stops"])
    assert rows(suite, "SELECT stop, people, typeof(people) FROM sources.stops ORDER BY 1") == [
        ("a", 1, "INTEGER"),
        ("b", 3, "INTEGER"),
    ]


def test_a_file_of_no_bytes_is_a_delivery_of_no_rows(starter: Path) -> None:
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    for name in ("stops2.csv", "stops3.csv"):
        (starter / "data" / name).touch()
    suite = source(starter)
    ingest(suite, ["stops"])
    assert taken(suite) == ["a"]
    (starter / "data/stops4.csv").touch()
    (result,) = ingest(suite, ["stops"])
    assert result.ingestion is not None
    assert result.ingestion.rows_read == 0
    assert ingest(suite, ["stops"])[0].ingestion is None


def test_a_source_whose_first_file_has_no_bytes_goes_on_with_the_next(starter: Path) -> None:
    (starter / "data/stops1.csv").touch()
    suite = source(starter)
    ingest(suite, ["stops"])
    write(starter, "stops2.csv", "a,UTC,2026-01-01 12:00:00,1")
    ingest(suite, ["stops"])
    assert taken(suite) == ["a"]


@pytest.mark.parametrize("later", [False, True], ids=["together", "later"])
def test_a_column_that_a_file_lacks_is_null_where_nothing_hangs_on_it(starter: Path, later: bool) -> None:
    (starter / "sql/sources/stops.sql").unlink(missing_ok=True)
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    suite = source(starter, rule="stop <> ''")
    if later:
        ingest(suite, ["stops"])
    write(starter, "stops2.csv", "b,UTC,2026-01-01 12:00:00", header=b"stop,zone,seen_at\n")
    done = almanac(starter, "ingest", "stops")
    assert done.returncode == 0, done.stderr
    assert "stops2.csv lacks people; its rows have NULL there" in done.stdout
    found = rows(suite, "SELECT stop, people, people IS NULL FROM sources.stops ORDER BY 1")
    assert found == [("a", 1, False), ("b", None, True)]
    assert rows(suite, "SELECT count(people), count(*) FROM sources.stops") == [(1, 2)]


#: What a file lacks, and what the reason must hold.
NEEDED = {
    "the key": (b"zone,seen_at,people\n", "UTC,2026-01-01 12:00:00,1", ["`stop`", "key"]),
    "known_at": (b"stop,zone,people\n", "b,UTC,1", ["`seen_at`", "known_at"]),
    "a rule": (b"stop,zone,seen_at\n", "b,UTC,2026-01-01 12:00:00", ["`people`", "somebody was there"]),
}


@pytest.mark.parametrize("case", NEEDED)
def test_a_file_that_lacks_what_something_hangs_on_is_set_aside(starter: Path, case: str) -> None:
    header, line, words = NEEDED[case]
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    write(starter, "stops2.csv", line, header=header)
    suite = source(starter)
    (found,) = aside(suite).reading.aside
    assert all(word in found.reason for word in words), found.reason
    assert taken(suite) == ["a"]


def test_a_list_of_files_is_set_aside_as_a_whole(starter: Path) -> None:
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    write(starter, "stops2.csv", "b,nowhere,2026-01-01 12:00:00,1")
    suite = source(starter, files="[data/stops1.csv, data/stops2.csv]")
    result = aside(suite)
    assert [Path(one.file.path).name for one in result.reading.aside] == ["stops1.csv", "stops2.csv"]
    assert result.ingestion is None
    write(starter, "stops2.csv", "b,UTC,2026-01-01 12:00:00,2")
    ingest(suite, ["stops"])
    assert taken(suite) == ["a", "b"]
    assert status(suite).files_aside == []


def test_a_file_that_is_read_with_other_types_than_the_rest_is_set_aside(starter: Path) -> None:
    types = TYPES.replace(", 'people': 'INTEGER'", "")
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    write(starter, "stops2.csv", "b,UTC,2026-01-01 12:00:00,2")
    write(starter, "stops3.csv", "3.6,c,UTC,2026-01-01 12:00:00", header=b"people,stop,zone,seen_at\n")
    suite = source(starter, types=types)
    (found,) = aside(suite).reading.aside
    assert "no cell of the column people is a BIGINT, such as '3.6'; declare its type" in found.reason
    assert taken(suite) == ["a", "b"]


def test_json_names_what_is_set_aside_and_what_a_file_lacks(starter: Path) -> None:
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    write(starter, "stops2.csv", "b,nowhere,2026-01-01 12:00:00,1")
    write(starter, "stops3.csv", "c,2026-01-01 12:00:00,1", header=b"stop,seen_at,people\n")
    source(starter)
    (row,) = json.loads(almanac(starter, "ingest", "stops", "--json").stdout)
    assert [Path(path).name for path in row["set_aside"]] == ["stops2.csv", "stops3.csv"]
    assert row["new"] == 1


def test_a_source_cannot_be_named_as_the_table_of_files_that_are_set_aside(starter: Path) -> None:
    source(starter)
    (starter / "sql/sources/stops.sql").rename(starter / "sql/sources/files.sql")
    with pytest.raises(DefinitionError, match=r"rejects\.files"):
        open_suite(starter, clock_at(NOW))


def test_several_columns_that_a_file_lacks_are_null_too(starter: Path) -> None:
    types = TYPES.replace("'INTEGER'}", "'INTEGER', 'note': 'VARCHAR'}")
    suite = source(starter, "stop, zone, seen_at, people, note", types, rule="stop <> ''")
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1,x", header=b"stop,zone,seen_at,people,note\n")
    ingest(suite, ["stops"])
    write(starter, "stops2.csv", "b,UTC,2026-01-01 12:00:00", header=b"stop,zone,seen_at\n")
    ingest(suite, ["stops"])
    found = rows(suite, "SELECT stop, people, note FROM sources.stops ORDER BY 1")
    assert found == [("a", 1, "x"), ("b", None, None)]


def test_a_line_with_a_cell_too_few_is_not_told_as_columns_that_are_not_there(starter: Path) -> None:
    suite = source(starter)
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    ingest(suite, ["stops"])
    lines = [f"s{n},UTC,2026-01-01 10:0{n}:00,1" for n in range(6)]
    write(starter, "stops2.csv", *lines[:3], "x,UTC,2026-01-01 10:00:00", *lines[3:])
    (found,) = aside(suite).reading.aside
    assert "do not exist" not in found.reason
    assert "line 5: Expected Number of Columns: 4 Found: 3" in found.reason
