"""What a file said is what is stored: a cell that its type does not stand for is a reject, or the file is refused."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import pytest

from jobs.facts.ingest import IngestResult, ingest
from jobs.facts.source_columns import find_columns
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, clock_at, reopened
from tests.lakes import rows
from warehouse.errors import DefinitionError, FilesSetAside, IngestFailed

HEADER = "/*\ndescription: Readings.\nkey: [k]\nfiles: data/r*.csv\nknown_at: known\n*/\n"


def make(root: Path, select: str, header: str = HEADER) -> Suite:
    (root / "sql/sources").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "sql/sources/readings.sql").write_text(header + select)
    return open_suite(root, clock_at(NOW))


def declared(types: str, options: str = "") -> str:
    return f"SELECT * FROM read_csv($files, header = true{options}, types = {{{types}}})"


def taken(suite: Suite) -> IngestResult:
    return ingest(reopened(suite), ["readings"])[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


#: A type, texts that stand for a value of it, with that value as text, and texts that stand for none.
CELLS: dict[str, tuple[dict[str, str], list[str]]] = {
    "INTEGER": (
        {"7": "7", " 7 ": "7", "+7": "7", "007": "7", "517.0": "517", "-0": "0"},
        ["2.6", "-0.5", "1_000", "1e3", "0x10", "2147483648", "many", "1.0000000000000001"],
    ),
    "DECIMAL(8, 2)": (
        {"1.5": "1.50", "1.500": "1.50", ".5": "0.50", "1": "1.00"},
        ["1.005", "1e2", "1_000.5", "999999.999", "-0.001", "12345678"],
    ),
    "DOUBLE": (
        {"0.1": "0.1", "1e5": "100000.0", ".5": "0.5", "nan": "nan", "9007199254740992": "9007199254740992.0"},
        ["12345678901234567890", "1e999", "1e-400", "1_000.5", "1,5", "9007199254740993"],
    ),
    "FLOAT": ({"0.1": "0.1", "16777216": "16777216.0"}, ["16777217", "1e60"]),
    "DATE": (
        {"2026-01-03": "2026-01-03", "2026-1-3": "2026-01-03", "2026-01-03 00:00:00": "2026-01-03"},
        ["2026-01-03 17:30:00", "2026-01-03abc", "2026-02-30", "epoch", "01/03/2026"],
    ),
    "TIMESTAMP": (
        {
            "2026-01-03": "2026-01-03 00:00:00",
            "2026-01-03T10:00:00Z": "2026-01-03 10:00:00",
            "2026-01-03 10:00:00.1234560": "2026-01-03 10:00:00.123456",
        },
        ["2026-01-03T10:00:00+02:00", "2026-01-03 10:00:00.1234567", "2026-01-03 10:00:00 Europe/London", "soon"],
    ),
    "TIMESTAMPTZ": ({"2026-01-03T10:00:00+02:00": "2026-01-03 08:00:00+00"}, ["2026-01-03T10:00:00.1234567+02"]),
    "TIME": ({"10:00": "10:00:00"}, ["2026-01-01 10:00:00", "10:00:00.1234567"]),
    "BOOLEAN": ({"yes": "true", "0": "false"}, ["2", "maybe"]),
    "VARCHAR": ({" 1_000 ": " 1_000 ", "2.6": "2.6"}, []),
}


def test_a_cell_that_its_type_does_not_stand_for_is_a_reject(root: Path) -> None:
    """One file with a column for each type, in which each row has one cell and NULLs."""
    names = {kind: f"c{n}" for n, kind in enumerate(CELLS)}
    types = ", ".join(f"'{name}': '{kind}'" for kind, name in names.items())
    suite = make(root, declared(f"'k': 'VARCHAR', 'known': 'TIMESTAMP', {types}"))
    lines = ["k,known," + ",".join(names.values())]
    wanted: dict[str, str | None] = {}
    for kind, (good, bad) in CELLS.items():
        for text in [*good, *bad]:
            key = f"{kind}|{text}".replace(",", ";")
            wanted[key] = good.get(text)
            cells = [f'"{text}"' if each == kind else "" for each in names]
            lines.append(f'"{key}",2026-01-01,' + ",".join(cells))
    (root / "data/r1.csv").write_text("\n".join(lines) + "\n")
    done = taken(suite).ingestion
    assert done is not None
    assert (done.rows_read, done.rows_rejected) == (len(wanted), sum(value is None for value in wanted.values()))
    value = "coalesce(" + ", ".join(f"{name}::VARCHAR" for name in names.values()) + ")"
    assert dict(rows(suite, f"SELECT k, {value} FROM sources.readings")) == {k: v for k, v in wanted.items() if v}
    rejects = rows(suite, f"SELECT k, reason, {value} FROM rejects.readings")
    assert {key for key, _, _ in rejects} == {key for key, value in wanted.items() if value is None}
    for key, reason, cell in rejects:
        kind, _, text = key.replace(";", ",").partition("|")
        assert names[kind] in reason
        assert text in reason
        assert cell is None
    (root / "data/r2.csv").write_text("\n".join(lines) + "\n\n")
    again = taken(suite).ingestion
    assert again is not None
    assert (again.rows_new, again.rows_restated, again.rows_rejected) == (0, 0, 0)


#: How a file writes numbers, texts that stand for one in it, and texts that stand for none.
NUMBERS: dict[str, tuple[dict[str, float], list[str]]] = {
    ", decimal_separator = ','": (
        {"1,5": 1.5, "-,5": -0.5, "7": 7, "1e3": 1000},
        ["1.829", "1.5", "1.000,5", "1,000,5"],
    ),
    ", thousands = ','": (
        {"1,829": 1829, "12,34,567.5": 1234567.5, "-1,000": -1000, "1.5": 1.5, " 7 ": 7, "1829": 1829},
        ["1,5", ",5", "1,", "1,00,0", "1,0000", "1829,000", "1,00", "1,000.5,0"],
    ),
    ", decimal_separator = ',', thousands = '.'": (
        {"1.829": 1829, "1.000,5": 1000.5, "1,5": 1.5, "1.234.567": 1234567},
        ["1.5", "1.82", "1,000.5", "1.8290"],
    ),
}


@pytest.mark.parametrize("options", NUMBERS)
@pytest.mark.parametrize("kind", ["DOUBLE", "DECIMAL(18, 3)"])
def test_a_number_in_the_notation_of_elsewhere_is_a_reject(root: Path, options: str, kind: str) -> None:
    good, bad = NUMBERS[options]
    good, bad = {text: n for text, n in good.items() if kind == "DOUBLE" or "e" not in text}, list(bad)
    suite = make(root, declared(f"'k': 'VARCHAR', 'known': 'TIMESTAMP', 'n': '{kind}'", f", delim = ';'{options}"))
    lines = ["k;known;n", *(f'"{text}";2026-01-01;"{text}"' for text in [*good, *bad])]
    (root / "data/r1.csv").write_text("\n".join(lines) + "\n")
    taken(suite)
    assert dict(rows(suite, "SELECT k, n::DOUBLE FROM sources.readings")) == good
    assert sorted(rows(suite, "SELECT k FROM rejects.readings")) == sorted((text,) for text in bad)


JSON_HEADER = HEADER.replace(".csv", ".json")


def test_a_value_in_json_that_its_type_does_not_stand_for_is_a_reject(root: Path) -> None:
    """Also inside lists and structs."""
    types = "{'k': 'INTEGER', 'known': 'TIMESTAMP', 'n': 'INTEGER', 'l': 'INTEGER[]', 's': 'STRUCT(a DATE)'}"
    suite = make(root, f"SELECT * FROM read_json($files, columns = {types})", JSON_HEADER)
    good: list[dict[str, object]] = [
        {"n": 7},
        {"n": "7"},
        {"n": 1e3},
        {"l": [1, None, 2.0]},
        {"s": {"a": "2026-01-03"}},
        {},
    ]
    bad: list[dict[str, object]] = [
        {"n": 2.6}, {"n": "1_000"}, {"n": True}, {"l": [1, 2.6]}, {"l": 5}, {"s": {"a": "2026-01-03 17:30:00"}}
    ]  # fmt: skip
    lines = [json.dumps({"k": n, "known": "2026-01-01", **row}) for n, row in enumerate([*good, *bad])]
    (root / "data/r1.json").write_text("\n".join(lines))
    done = taken(suite).ingestion
    assert done is not None
    assert (done.rows_new, done.rows_rejected) == (len(good), len(bad))
    assert rows(suite, "SELECT n, l, s FROM sources.readings ORDER BY k")[:5] == [
        (7, None, None),
        (7, None, None),
        (1000, None, None),
        (None, [1, None, 2], None),
        (None, None, {"a": date(2026, 1, 3)}),
    ]
    reasons = dict(rows(suite, "SELECT k, reason FROM rejects.readings"))
    assert all("does not stand for" in reason for reason in reasons.values())


def test_types_found_in_json_hold_for_all_of_a_file_and_for_later_ones(root: Path) -> None:
    suite = make(root, "SELECT * FROM read_json($files)", JSON_HEADER)
    line = '{{"k": {}, "known": "2026-01-01", "n": {}}}'
    late = [line.format(n, 1) for n in range(30_000)] + [line.format(30_000, 2.6)]
    (root / "data/r1.json").write_text("\n".join(late))
    assert taken(suite).ingestion is not None
    assert rows(suite, "SELECT n FROM sources.readings WHERE k = 30000") == [(2.6,)]
    first = make(root / "other", "SELECT * FROM read_json($files)", JSON_HEADER)
    (root / "other/data/r1.json").write_text(line.format(1, 1))
    assert taken(first).ingestion is not None
    (root / "other/data/r2.json").write_text(line.format(2, 2.6) + "\n" + line.format(3, 3))
    again = taken(first).ingestion
    assert again is not None
    assert (again.rows_new, again.rows_rejected) == (1, 1)


def test_a_list_in_a_csv_file_is_not_rounded_either(root: Path) -> None:
    suite = make(root, declared("'k': 'INTEGER', 'known': 'TIMESTAMP', 'l': 'INTEGER[]'"))
    (root / "data/r1.csv").write_text('k,known,l\n1,2026-01-01,"[1, 2]"\n2,2026-01-01,"[1, 2.6]"\n')
    done = taken(suite).ingestion
    assert done is not None
    assert (done.rows_new, done.rows_rejected) == (1, 1)


@pytest.mark.parametrize(
    "options", ["", ", types = {'n': 'INTEGER'}", ", delim = ',', header = true", ", columns = {COLUMNS}"]
)
def test_a_line_with_a_cell_too_few_is_named(root: Path, options: str) -> None:
    columns = "{'k': 'INTEGER', 'known': 'TIMESTAMP', 'n': 'INTEGER'}"
    suite = make(root, f"SELECT k, known, n FROM read_csv($files{options.replace('{COLUMNS}', columns)})")
    (root / "data/r1.csv").write_text("k,known,n\n1,2026-01-01,2\n2,2026-01-01\n3,2026-01-01,4\n")
    with pytest.raises((FilesSetAside, IngestFailed), match=r"line 3: Expected Number of Columns: 3 Found: 2"):
        taken(suite)


def test_a_column_that_the_select_does_not_read_refuses_no_row(root: Path) -> None:
    suite = make(root, declared("'k': 'INTEGER', 'n': 'INTEGER'").replace("*", "k, known"))
    (root / "data/r1.csv").write_text("k,known,n\n1,2026-01-01,many\n2,2026-01-01,2\n")
    assert taken(suite).ingestion is not None
    assert rows(suite, "SELECT k FROM sources.readings ORDER BY 1") == [(1,), (2,)]


def test_found_types_hold_for_all_of_a_file_and_for_later_ones(root: Path) -> None:
    """After more rows than the sniffer looks at, and in another file: quotes, instants among dates, leading zeros."""
    suite = make(root, "SELECT k, day AS known, code, name FROM read_csv($files, header = true)")
    lines = [f"{n},2026-01-{1 + n % 28:02},{n},plain" for n in range(30_000)]
    lines += ["30000,2026-01-03 17:30:00,5,x", "30001,2026-01-03,007,x", '30002,2026-01-03,5,"quo, ""ted"']
    (root / "data/r1.csv").write_text("k,day,code,name\n" + "\n".join(lines) + "\n")
    done = taken(suite).ingestion
    assert done is not None
    assert done.rows_rejected == 2
    assert rows(suite, "SELECT name, known, code FROM sources.readings WHERE k = 30002") == [
        ('quo, "ted', datetime(2026, 1, 3).date(), 5)
    ]
    reasons = dict(rows(suite, "SELECT k, reason FROM rejects.readings"))
    assert "2026-01-03 17:30:00" in reasons[30000]
    assert "007" in reasons[30001]
    (root / "data/r2.csv").write_text("k,day,code,name\n40000,2026-02-01,1.5,x\n40001,2026-02-01,7,8\n")
    again = taken(suite).ingestion
    assert again is not None
    assert (again.rows_new, again.rows_rejected) == (1, 1)
    assert rows(suite, "SELECT code, name FROM sources.readings WHERE k = 40001") == [(7, "8")]
    (root / "data/r3.csv").write_text("k,day,code,name\n50000,2026-02-01,A1,x\n50001,2026-02-01,A2,x\n")
    with pytest.raises(FilesSetAside, match=r"no cell of the column code .* declare its type"):
        taken(suite)


def test_dates_are_read_as_they_were_before_or_not_at_all(root: Path) -> None:
    suite = make(root, "SELECT k, day AS known FROM read_csv($files, header = true)")
    (root / "data/r1.csv").write_text("k,day\n1,02/06/2026\n")
    with pytest.raises(FilesSetAside, match="cannot be told from them; declare dateformat"):
        taken(suite)
    (root / "data/r1.csv").write_text("k,day\n1,01/13/2026\n2,02/06/2026\n")
    taken(suite)
    (root / "data/r2.csv").write_text("k,day\n3,02/06/2026\n")
    with pytest.raises(FilesSetAside, match=r"%d/%m/%Y, and those before were read as %m/%d/%Y; declare dateformat"):
        taken(suite)
    source = root / "sql/sources/readings.sql"
    source.write_text(source.read_text().replace("header = true", "header = true, dateformat = '%m/%d/%Y'"))
    assert taken(suite).ingestion is not None
    assert rows(suite, "SELECT k, known::VARCHAR FROM sources.readings ORDER BY 1") == [
        (1, "2026-01-13"),
        (2, "2026-02-06"),
        (3, "2026-02-06"),
    ]


def test_a_row_that_others_depend_on_is_not_left_out(root: Path) -> None:
    select = "SELECT k, min(known) AS known, sum(n) AS n FROM read_csv($files, types = {'n': 'INTEGER'}) GROUP BY k"
    suite = make(root, select.replace("sum(n)", "sum(n)::BIGINT"))
    (root / "data/r1.csv").write_text("k,known,n\n1,2026-01-01,2\n1,2026-01-01,2.5\n")
    with pytest.raises(FilesSetAside, match=r"n: the text '2\.5' does not stand for a INTEGER.*VARCHAR"):
        taken(suite)
    assert rows(suite, "SELECT count(*) FROM ledger.ingestions") == [(0,)]


def test_a_row_that_comes_right_is_taken_in_beside_its_reject(root: Path) -> None:
    suite = make(root, declared("'k': 'INTEGER', 'n': 'INTEGER'"))
    (root / "data/r1.csv").write_text("k,known,n\n1,2026-01-01,2.6\n2,2026-01-01,3\n")
    taken(suite)
    (root / "data/r2.csv").write_text("k,known,n\n1,2026-01-01,\n")
    done = taken(suite).ingestion
    assert done is not None
    assert done.rows_new == 1


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT"])
def test_a_key_that_would_be_rounded_is_refused(root: Path, kind: str) -> None:
    suite = make(root, declared(f"'k': '{kind}'"))
    (root / "data/r1.csv").write_text("k,known\n1.5,2026-01-01\n")
    with pytest.raises(DefinitionError, match=f"k {kind}.* would merge keys"):
        taken(suite)


@pytest.mark.parametrize("expression", ["n::HUGEINT", "INTERVAL 1 DAY", "[n, n]::INTEGER[2]"])
def test_a_type_that_files_do_not_keep_is_refused(root: Path, expression: str) -> None:
    suite = make(root, declared("'k': 'INTEGER', 'n': 'INTEGER'").replace("*", f"k, known, {expression} AS n"))
    (root / "data/r1.csv").write_text("k,known,n\n1,2026-01-01,2\n")
    with pytest.raises(DefinitionError, match="the lake cannot hold"):
        taken(suite)


def test_lineage_names_the_types_that_an_ingestion_finds(root: Path) -> None:
    """Of columns that nobody declared: those that were kept, whatever DuckDB takes a later file for."""
    suite = make(root, "SELECT k, day AS known, code FROM read_csv($files, header = true)")
    (root / "data/r1.csv").write_text("k,day,code\n1,2026-01-01,5\n")
    assert taken(suite).ingestion is not None
    in_lake = {name: kind for name, kind, *_ in rows(suite, "DESCRIBE sources.readings")}
    (root / "data/r1.csv").write_text("k,day,code\n2,2026-01-01,5.5\n")
    found = find_columns(reopened(suite), suite.definitions.source("readings"))
    assert found.columns.selected["code"] == in_lake["code"] == "BIGINT"
    assert found.files["$files"]["code"] == "BIGINT"
