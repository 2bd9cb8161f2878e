"""One bad file is set aside and named, and the rest of its source is taken in; files are read as what each is."""

from __future__ import annotations

import gzip
import json
import re
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import IngestResult, ingest
from jobs.facts.reading import is_of_a_file, read_delivery
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


#: Files that DuckDB cannot take apart or read as text, with what must be said of each.
UNREADABLE = {
    "bytes that are no text": (bytes(range(256)) * 20, "cannot tell its columns apart|not utf-8"),
    "letters of another code": (HEADER + "b,Orl\xe9ans,2026-01-01 12:00:00,1\n".encode("latin-1"), "not utf-8"),
    "two bytes a letter": ((HEADER + b"b,UTC,2026-01-01 12:00:00,1\n").decode().encode("utf-16"), "not utf-8"),
    "line ends of two kinds": (
        HEADER.replace(b"\n", b"\r\n") + b"b,UTC,2026-01-01 12:00:00,1\nc,UTC,2026-01-01 12:00:00,1\r\n",
        r"line 2: DuckDB cannot tell its columns apart: no separator, quote and kind of line ends \(LF or CRLF, not",
    ),
    "a quote that is not closed": (
        HEADER + b'b,UTC,2026-01-01 12:00:00,1\nc,"UTC,2026-01-01 12:00:00,1\nd,UTC,2026-01-01 12:00:00,1\n',
        "line 3: Value with unterminated quote found",
    ),
    "no names of columns": (b"b,UTC,2026-01-01 12:00:00,1\nc,UTC,2026-01-01 12:00:00,1\n", "none of the declared"),
    "nothing but line ends": (b"\n\n", "none of the declared columns"),
    "a line that ends too early": (HEADER + b"b,UTC,2026-01-01 12:00:00,1\nc,UTC,2026\n", "line 3: Expected Number of"),
    "two columns of one name": (
        b"stop,zone,seen_at,people,zone\nb,UTC,2026-01-01 12:00:00,1,CET\n",
        r"2 columns called `zone`, and which of them is meant .* as DuckDB does \(zone_1\)",
    ),
}


def test_files_that_cannot_be_taken_apart_are_set_aside_with_the_reason(starter: Path) -> None:
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    for number, (content, _) in enumerate(UNREADABLE.values()):
        (starter / f"data/stops_{number}.csv").write_bytes(content)
    suite = source(starter)
    reasons = [one.reason for one in aside(suite).reading.aside]
    assert len(reasons) == len(UNREADABLE)
    for reason, (case, (_, words)) in zip(reasons, UNREADABLE.items(), strict=True):
        assert re.search(words, reason), (case, reason)
    assert taken(suite) == ["a"]
    assert rows(suite, "SELECT reason FROM rejects.files ORDER BY path") == [(reason,) for reason in reasons]


def test_columns_of_one_name_are_read_where_the_select_names_them_all(starter: Path) -> None:
    two = b"stop,zone,seen_at,people,Zone\n"
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1,CET", header=two)
    suite = source(starter, columns="stop, zone, Zone_1 AS other_zone, seen_at, people")
    ingest(suite, ["stops"])
    assert rows(suite, "SELECT zone, other_zone FROM sources.stops") == [("UTC", "CET")]


def test_columns_of_one_name_that_the_select_does_not_read_refuse_nothing(starter: Path) -> None:
    header = HEADER.strip() + b",note,note\n"
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1,x,y", header=header)
    suite = source(starter)
    ingest(suite, ["stops"])
    assert taken(suite) == ["a"]


def test_each_file_that_holds_no_rows_is_a_delivery(starter: Path) -> None:
    """One with the names of columns alone, or with a byte order mark alone, says of its time that there was nothing."""
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    suite = source(starter)
    ingest(suite, ["stops"])
    for number, content in enumerate((HEADER, HEADER, b"\xef\xbb\xbf", b"\xef\xbb\xbf", b"", b"")):
        (starter / f"data/stops_{number}.csv").write_bytes(content)
        (result,) = ingest(suite, ["stops"])
        assert result.ingestion is not None, content
        assert result.ingestion.rows_read == 0
        assert ingest(suite, ["stops"])[0].ingestion is None
    assert taken(suite) == ["a"]


@pytest.mark.parametrize("event", ["written on", "replaced", "deleted"])
def test_a_file_that_changes_while_it_is_read_is_set_aside_and_taken_in_later(
    starter: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    """What is read would not be what was hashed, or half of what its writer is about to say."""
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    path = write(starter, "stops2.csv", "b,UTC,2026-01-01 12:00:00,1")
    suite, read = source(starter), read_delivery

    def meanwhile(connection: object, source: object, files: object, *more: object, **others: object) -> object:
        if event == "written on":
            with path.open("a") as stream:
                stream.write("c,UTC,2026-01-01 12:00:00,1")
        elif event == "deleted":
            path.unlink()
        else:
            other = write(starter, "other.csv", "c,UTC,2026-01-01 12:00:00,1")
            other.replace(path)
        return read(connection, source, files, *more, **others)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr("jobs.facts.fact_tables.read_delivery", meanwhile)
        (found,) = aside(suite).reading.aside
    assert "it changed while it was read" in found.reason
    assert taken(suite) == ["a"]
    ingest(suite, ["stops"])
    assert taken(suite) == {"written on": ["a", "b", "c"], "replaced": ["a", "c"], "deleted": ["a"]}[event]
    assert status(suite).files_aside == []


def test_a_file_that_may_not_be_read_is_set_aside_and_its_neighbours_are_taken_in(starter: Path) -> None:
    write(starter, "stops1.csv", "a,UTC,2026-01-01 12:00:00,1")
    path = starter / "data/stops2.csv"
    path.symlink_to("/proc/self/mem")  # that nobody can read from its beginning, whatever rights they have
    suite = source(starter)
    (found,) = aside(suite).reading.aside
    assert found.reason == "it cannot be read: Input/output error"
    assert taken(suite) == ["a"]
    forget_file(suite, "stops2.csv")
    assert ingest(suite, ["stops"])[0].ingestion is None
    path.unlink()
    write(starter, "stops2.csv", "b,UTC,2026-01-01 12:00:00,1")
    ingest(suite, ["stops"])
    assert taken(suite) == ["a", "b"]


def test_words_in_a_file_s_name_do_not_make_its_fault_one_of_the_machine() -> None:
    assert is_of_a_file(duckdb.IOException('IO Error: Cannot open file "/workspace/overwritten.csv": No such file'))
    assert not is_of_a_file(duckdb.IOException('Could not write to file "/data/a.csv": No space left on device'))
