"""`almanac query` only reads, and shows data as they are: in tables, csv, json and parquet."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.cli.output import console
from jobs.suite import Suite, open_suite
from jobs.suites.query import query_rows, query_to_file
from tests.command_line import almanac, said
from tests.conftest import NOW, clock_at
from tests.lakes import rows
from warehouse.errors import NotFoundError, UsageError
from warehouse.queries.reading_only import require_reading

#: What acts, and is no SELECT, or is none by its looks only. `{file}` is where something would be written.
ACTS = {
    "a COPY": "COPY (SELECT 1) TO '{file}'",
    "a COPY below EXPLAIN ANALYZE": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
    "a COPY below EXPLAIN with options": "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO '{file}'",
    "a COPY below EXPLAIN behind a comment": "/* EXPLAIN SELECT 1 */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
    "a table below EXPLAIN ANALYZE": "EXPLAIN ANALYZE CREATE TABLE memory.t AS SELECT 1",
    "an ATTACH": "ATTACH '{file}' AS other",
    "a setting": "SET threads = 1",
    "two statements": "SELECT 1; SELECT 2",
    "none": "",
    "merging files": "FROM ducklake_merge_adjacent_files('lake')",
    "merging files in a subquery": "SELECT (SELECT count(*) FROM ducklake_merge_adjacent_files('lake'))",
    "merging files in a REPLACE": "SELECT * REPLACE ((SELECT count(*) FROM ducklake_merge_adjacent_files('lake')) AS a)"
    " FROM (SELECT 1 AS a)",
    "merging files in a CTE": "WITH x AS (FROM ducklake_merge_adjacent_files('lake')) FROM x",
    "merging files below DESCRIBE": "DESCRIBE FROM ducklake_merge_adjacent_files('lake')",
    "merging files below SUMMARIZE": "SUMMARIZE FROM ducklake_merge_adjacent_files('lake')",
    "merging files below EXPLAIN ANALYZE": "EXPLAIN ANALYZE FROM ducklake_merge_adjacent_files('lake')",
    "a function of the lake": "FROM lake.merge_adjacent_files()",
    "forgetting snapshots": "FROM ducklake_expire_snapshots('lake', older_than => now())",
    "deleting files": "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "text run as a query": "FROM query('FROM ducklake_merge_adjacent_files(''lake'')')",
    "a tree run as a query": "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "another database of SQLite": "FROM sqlite_query('x', 'DROP TABLE y')",
    "a log": "SELECT write_log('x')",
    "a sequence": "SELECT nextval('s')",
}


@pytest.fixture(scope="module")
def lake(_ingested: Path) -> Suite:
    """A suite that several tests read."""
    return open_suite(_ingested, clock_at(NOW))


@pytest.mark.parametrize("case", ACTS)
def test_what_acts_is_refused(lake: Suite, case: str) -> None:
    with lake.lake.reading() as connection, pytest.raises(UsageError):
        require_reading(connection, ACTS[case].format(file="x"))


def test_what_is_refused_was_not_begun(lake: Suite, tmp_path: Path) -> None:
    before = lake.lake.newest_snapshot()
    for case in ("a COPY below EXPLAIN ANALYZE", "merging files", "merging files below EXPLAIN ANALYZE"):
        sql = ACTS[case].format(file=tmp_path / "written")
        with pytest.raises(UsageError):
            query_rows(lake, sql)
        with pytest.raises(UsageError):
            query_to_file(lake, sql, "json", tmp_path / "rows.json")
    assert not list(tmp_path.iterdir())
    assert lake.lake.newest_snapshot() == before


def test_the_command_says_what_is_allowed(lake: Suite) -> None:
    done = almanac(lake.root, "query", "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x'")
    assert (done.returncode, done.stdout) == (2, "")
    assert "it is not known whether this statement only reads: one SELECT (or DESCRIBE, SHOW" in done.stderr


def test_every_table_function_that_is_not_known_to_read_is_refused(lake: Suite) -> None:
    """Whatever the next version of DuckDB or of an extension brings is refused until somebody has looked at it."""
    with lake.lake.reading() as connection:
        query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type LIKE 'table%'"
        names = [name for (name,) in connection.execute(query).fetchall()]
    acting = (
        "merge",
        "expire",
        "cleanup",
        "delete",
        "commit",
        "flush",
        "rewrite",
        "add_data",
        "set_",
        "truncate",
        "query",
    )
    for name in names:
        if any(word in name for word in acting) and name != "ducklake_last_committed_snapshot":
            with lake.lake.reading() as connection, pytest.raises(UsageError, match="do nothing but read"):
                require_reading(connection, f"FROM {name}('lake')")


READS = {
    "a SELECT": "SELECT 1 AS a",
    "in brackets": "(SELECT 1 AS a);",
    "behind a comment": "-- DESCRIBE\n/* SHOW */ SELECT 1 AS a -- end",
    "FROM first": "FROM sources.orders LIMIT 3",
    "a CTE": "WITH x AS (SELECT 1 AS a) FROM x",
    "VALUES": "VALUES (1), (2)",
    "TABLE": "TABLE ledger.format",
    "DESCRIBE of a table": "DESCRIBE sources.orders",
    "DESCRIBE of a query": "DESCRIBE SELECT 1 AS a",
    "SHOW": "SHOW ALL TABLES",
    "SUMMARIZE": "SUMMARIZE sources.orders",
    "EXPLAIN": "EXPLAIN FROM sources.orders",
    "EXPLAIN ANALYZE": "EXPLAIN ANALYZE SELECT count(*) FROM sources.orders",
    "EXPLAIN with options": "EXPLAIN (FORMAT json) SELECT 1",
    "a pivot": "FROM (PIVOT sources.orders ON depot IN ('north', 'south') USING count(*) GROUP BY courier)",
    "names that stand twice": "SELECT 1 AS a, 2 AS a, 3 AS A",
    "snapshots": "SELECT count(*) AS n FROM ducklake_snapshots('lake')",
    "functions of the lake": "SELECT count(*) AS n FROM lake.snapshots()",
    "files": "SELECT count(*) AS n FROM ducklake_list_files('lake', 'orders', schema => 'sources')",
}


@pytest.mark.parametrize("case", READS)
def test_what_reads_is_answered_alike_in_every_format(lake: Suite, tmp_path: Path, case: str) -> None:
    answer = query_rows(lake, READS[case])
    assert answer.rows
    found = {}
    for form in ("csv", "json", "parquet"):
        file = tmp_path / f"rows.{form}"
        query_to_file(lake, READS[case], form, file)
        with duckdb.connect() as connection:
            reader = {"csv": "read_csv", "json": "read_json", "parquet": "read_parquet"}[form]
            (found[form],) = connection.execute(f"SELECT count(*) FROM {reader}($1)", [str(file)]).fetchall()[0]
    assert set(found.values()) == {len(answer.rows)} or "EXPLAIN" in READS[case]
    assert not [path for path in tmp_path.iterdir() if path.is_dir() and path.name.startswith("tmp")]
    assert len(answer.names) == len(set(answer.names))


#: SQL of a value that is easily lost on the way, how a table shows it, and what JSON has for it.
VALUES = {
    "markup": ("'[red]a[/red]'", "[red]a[/red]", "[red]a[/red]"),
    "a broken tag": ("'size [a] big [/'", "size [a] big [/", "size [a] big [/"),
    "an emoji's name": ("':smile:'", ":smile:", ":smile:"),
    "an escape character": (r"e'\x1b[31mred'", r"\x1b[31mred", "\x1b[31mred"),
    "a bell and a tab": (r"e'\x07a\tb'", r"\x07a\tb", "\x07a\tb"),
    "text turned around": ("chr(8238) || 'abc'", r"\u202eabc", "\u202eabc"),
    "plus infinity": ("'inf'::DOUBLE", "inf", "Infinity"),
    "minus infinity": ("'-inf'::FLOAT", "-inf", "-Infinity"),
    "not a number": ("'nan'::DOUBLE", "nan", "NaN"),
    "infinities in a list": ("['inf'::DOUBLE, 1]", "[inf, 1.0]", ["Infinity", 1.0]),
    "text that reads Infinity": ("'a \"Infinity, NaN'", 'a "Infinity, NaN', 'a "Infinity, NaN'),
    "a far instant": ("TIMESTAMP '20000-01-01'", "20000-01-01 00:00:00", "20000-01-01 00:00:00"),
    "an instant before Christ": ("TIMESTAMP '0044-03-15 (BC)'", "0044-03-15 (BC) 00:00:00", "0044-03-15 (BC) 00:00:00"),
    "an infinite instant": ("TIMESTAMP 'infinity'", "infinity", "infinity"),
    "an infinite date": ("DATE '-infinity'", "-infinity", "-infinity"),
    "thirty-eight digits": (
        "170141183460469231731687303715884105727::HUGEINT",
        "170141183460469231731687303715884105727",
        170141183460469231731687303715884105727,
    ),
    "a decimal": ("1.10::DECIMAL(9, 2)", "1.10", 1.1),
    "a double's last place": ("0.1::DOUBLE + 0.2::DOUBLE", "0.30000000000000004", 0.30000000000000004),
    "microseconds": (
        "TIMESTAMP '2026-01-01 00:00:00.000001'",
        "2026-01-01 00:00:00.000001",
        "2026-01-01 00:00:00.000001",
    ),
    "nothing": ("NULL::VARCHAR", "NULL", None),
    "no text": ("''", "", ""),
    "true": ("true", "true", True),
}


@pytest.fixture(scope="module")
def shown(lake: Suite) -> dict[str, dict[str, Any]]:
    """What each format shows of all the values, by case."""
    sql = "SELECT " + ", ".join(f"{value} AS c{number}" for number, (value, _, _) in enumerate(VALUES.values()))
    table = said(lake.root, "query", sql).splitlines()[3]
    (in_json,) = json.loads(said(lake.root, "query", "--format", "json", sql))
    assert [in_json] == json.loads(said(lake.root, "query", "--json", sql))
    assert "leave one of them out" in almanac(lake.root, "query", "--json", "--format", "csv", sql).stderr
    _, in_csv = csv.reader(io.StringIO(said(lake.root, "query", "--format", "csv", sql)))
    forms = {"table": [cell.strip() for cell in table[1:-1].split("│")], "json": in_json.values(), "csv": in_csv}
    return {form: dict(zip(VALUES, found, strict=True)) for form, found in forms.items()}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_is_shown_as_it_is(shown: dict[str, dict[str, Any]], case: str) -> None:
    _, text, in_json = VALUES[case]
    assert shown["table"][case] == text
    assert shown["json"][case] == in_json
    assert shown["csv"][case].encode("unicode_escape").decode() == (text if in_json is not None else "")


def test_a_column_s_name_is_shown_as_it_is(lake: Suite) -> None:
    assert "[bold]x" in said(lake.root, "query", 'SELECT 1 AS "[bold]x"')


def test_long_values_are_neither_cut_nor_wrapped_where_nobody_watches(lake: Suite) -> None:
    assert "x" * 5000 in said(lake.root, "query", "SELECT repeat('x', 5000) AS long")


def test_tables_and_json_of_other_commands_show_values_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table([{"a [b]": "[red]x[/red]", "n": float("inf")}, {"a [b]": "\x1b[0m", "n": 1.5}], "[t]")
    told = capsys.readouterr().out
    assert all(part in told for part in ("[t]", "a [b]", "[red]x[/red]", r"\x1b[0m", "inf"))
    console.print_json({"a": float("nan"), datetime(2026, 1, 1): [float("-inf"), float("inf")]})
    told = json.loads(capsys.readouterr().out)
    assert told == {"a": "NaN", "2026-01-01T00:00:00Z": ["-Infinity", "Infinity"]}


MISTAKES = {
    "a value that does not fit": ("SELECT depot::INTEGER FROM sources.orders", "Could not convert"),
    "a sum that does not fit": (
        "SELECT sum(9223372036854775807::HUGEINT * 9223372036854775807) FROM sources.orders",
        "",
    ),
    "an unknown column": ("SELECT nothing FROM sources.orders", "nothing"),
    "a variable of the program": ("FROM statements", "holds: "),
    "no SQL": ("SELEC 1", "syntax error"),
}


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.parametrize("form", ["table", "json"])
def test_what_duckdb_refuses_is_said_in_its_words(lake: Suite, case: str, form: str) -> None:
    sql, words = MISTAKES[case]
    done = almanac(lake.root, "query", sql, "--format", form)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_lake_is_shown_as_it_was_at_an_instant(ingested: Suite) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    time.sleep(0.01)
    with ingested.lake.commit("one more") as commit:
        commit.execute("INSERT INTO sources.orders BY NAME FROM sources.orders LIMIT 1")
    query = "SELECT count(*) FROM sources.orders"
    ((now,),) = rows(ingested, query)
    later = open_suite(ingested.root, clock_at(before + timedelta(days=1)))
    assert query_rows(later, query, at_time=before).rows == [(str(now - 1),)]
    assert query_rows(later, query, at_time=before + timedelta(hours=1)).rows == [(str(now),)]
    assert f" {now - 1} " in said(ingested.root, "query", query, "--at-time", before.isoformat())
    with pytest.raises(NotFoundError, match="the oldest that it keeps is of 20"):
        query_rows(later, query, at_time=datetime(2001, 1, 1))
    with pytest.raises(UsageError, match="lies in the future"):
        query_rows(later, query, at_time=before + timedelta(days=2))
    with pytest.raises(UsageError, match="give one of them"):
        query_rows(later, query, at_time=before, at_snapshot=1)
