"""Deliveries made up at random, of which each cell is known to stand for a value or for none: what is read is that.

ALMANAC_DELIVERIES says how many (50 by default), ALMANAC_SEED from which one on.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.facts.csv_files.formats import Found
from jobs.facts.csv_files.strict_reading import REASON, read_strictly
from jobs.suite import open_suite
from tests.conftest import NOW, clock_at
from warehouse.definitions import Source

DELIVERIES = int(os.environ.get("ALMANAC_DELIVERIES", "50"))
FIRST = int(os.environ.get("ALMANAC_SEED", "0"))
#: A cell: its text, and the value that it stands for; WRONG if it stands for none.
WRONG = object()
Cell = tuple[str, Any]
#: What JSON takes for a number, and no reader rounds before it can be looked at.
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,15})([.][0-9]{1,4})?")


def whole(r: random.Random) -> Cell:
    value = r.choice([0, 1, -1, 7, 10, r.randint(-(2**31), 2**31 - 1)])
    good = [str(value), f" {value}", f"{value}.0", f"{value}.", f"{value:+}", f"{value:011}", f"{value} "]
    bad = [
        f"{value}.5",
        f"{value}e1",
        f"{value}_0",
        "x",
        "0x1F",
        str(value + 2**32),
        f"{value}.0001",
        "1 2",
        "--1",
        "1,0",
    ]
    return (r.choice(good), value) if r.random() < 0.8 else (r.choice(bad), WRONG)


def exact(r: random.Random) -> Cell:
    value = Decimal(r.randint(-(10**8) + 1, 10**8 - 1)) / 100
    good = [f"{value:.2f}", f"{value:.2f}0", f" {value:.2f}"]
    bad = [f"{value:.2f}1", f"{value:.2f}e1", f"{value + 10**9:.2f}", "1_0.5", "12,50", "n/a", f"{value:.2f}5"]
    return (r.choice(good), value) if r.random() < 0.8 else (r.choice(bad), WRONG)


def real(r: random.Random) -> Cell:
    value = r.choice([0.0, 0.1, -2.5, r.uniform(-1e6, 1e6), r.uniform(-1, 1) * 10.0 ** r.randint(-200, 200)])
    good = [repr(value), f"{value!r} ", f"{value:.17e}"]
    bad = [f"{2**53 + 1}", str(10**19 + r.randint(1, 1000)), "1e999", "1e-400", "1_0.5", "12,5", "0x1p3", "1.5f"]
    return (r.choice(good), value) if r.random() < 0.8 else (r.choice(bad), WRONG)


def day(r: random.Random) -> Cell:
    value = date(1970, 1, 1) + timedelta(days=r.randint(-20_000, 30_000))
    good = [value.isoformat(), f"{value} 00:00:00", f"{value}T00:00:00", f"{value.year}-{value.month}-{value.day}"]
    bad = [f"{value} 17:30:00", f"{value}abc", f"{value} 00:00:01", "2026-02-30", "epoch", f"{value:%Y%m%d}", "today"]
    return (r.choice(good), value) if r.random() < 0.8 else (r.choice(bad), WRONG)


def instant(r: random.Random) -> Cell:
    value = datetime(1970, 1, 1) + timedelta(microseconds=r.randint(0, 4 * 10**15))
    text = value.isoformat(sep=" ")
    good = [text, value.isoformat(), f"{value.isoformat()}Z", f"{value.isoformat()}+00:00", f"{text} "]
    whole_second = value.replace(microsecond=0)
    bad = [f"{text}+02:00", f"{text}-01", f"{whole_second}.1234567", f"{whole_second} Europe/London", "now", f"{text}x"]
    return (r.choice(good), value) if r.random() < 0.8 else (r.choice(bad), WRONG)


def word(r: random.Random) -> Cell:
    text = r.choice(
        ["plain", "a,b", 'say "x"', "semi;colon", "1_000", "2.6", " padded ", "tab\there", "über", "NULL", "x" * 50]
    )
    return text, text


def cell(make: Callable[[random.Random], Cell], r: random.Random) -> Cell:
    return make(r) if r.random() < 0.9 else ("", None)


KINDS: dict[str, Callable[[random.Random], Cell]] = {
    "INTEGER": whole,
    "DECIMAL(10, 2)": exact,
    "DOUBLE": real,
    "DATE": day,
    "TIMESTAMP": instant,
    "VARCHAR": word,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Source]:
    root = tmp_path_factory.mktemp("generated")
    (root / "sql/sources").mkdir(parents=True)

    def make(select: str) -> Source:
        header = "/*\ndescription: Generated.\nkey: [row]\nfiles: data/*.csv\nknown_at: TIMESTAMP '2026-01-01'\n*/\n"
        (root / "sql/sources/generated.sql").write_text(header + select)
        return open_suite(root, clock_at(NOW)).definitions.source("generated")

    return make


def test_what_is_read_is_what_the_files_said(source: Callable[[str], Source], tmp_path: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for seed in range(FIRST, FIRST + DELIVERIES):
            deliver_and_compare(random.Random(seed), seed, source, connection, tmp_path)


def write_csv(r: random.Random, path: Path, order: list[str], rows: dict[int, dict[str, Cell]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), lineterminator="\n")
        writer.writerow(["row", *order])
        for row, cells in rows.items():
            writer.writerow([row, *(cells[name][0] for name in order)])


def write_json(r: random.Random, path: Path, order: list[str], rows: dict[int, dict[str, Cell]]) -> None:
    """A cell without a text is null, or its key is not there; a text that is a number may stand there as one."""
    found = []
    for row, cells in rows.items():
        values = {name: r.choice([f'"{text}"', text]) if NUMBER.fullmatch(text := cells[name][0]) else json.dumps(text)
                  for name in order if cells[name][0] or r.random() < 0.5}  # fmt: skip
        values = {name: value if cells[name][0] else "null" for name, value in values.items()}
        listed = ", ".join(f'"{name}": {value}' for name, value in values.items())
        found.append(f'{{"row": {row}{", " if listed else ""}{listed}}}')
    path.write_text("\n".join(found) if r.random() < 0.5 else f"[{', '.join(found)}]", encoding="utf-8")


def deliver_and_compare(
    r: random.Random, seed: int, source: Callable[[str], Source], connection: duckdb.DuckDBPyConnection, place: Path
) -> None:
    kinds = [r.choice(list(KINDS)) for _ in range(r.randint(1, 5))]
    names = [f"c{n}" for n in range(len(kinds))]
    files: list[Path] = []
    wanted: dict[int, dict[str, Any]] = {}
    is_json = r.random() < 0.3
    for number in range(r.randint(1, 3)):
        order = r.sample(names, len(names)) if r.random() < 0.3 else names
        path = place / f"{seed}-{number}{r.choice(['', '[1]', ' (2)'])}.{'json' if is_json else 'csv'}"
        rows = {
            number * 100 + line: {name: cell(KINDS[kind], r) for name, kind in zip(names, kinds, strict=True)}
            for line in range(r.randint(1, 30))
        }
        (write_json if is_json else write_csv)(r, path, order, rows)
        wanted |= {row: {name: value for name, (_, value) in cells.items()} for row, cells in rows.items()}
        files.append(path)
    declared = ", ".join(f"'{name}': '{kind}'" for name, kind in zip(names, kinds, strict=True))
    unread = r.choice([None, *names]) if len(names) > 1 else None
    read = [name for name in names if name != unread]
    types = f"{{'row': 'INTEGER', {declared}}}"
    as_csv = f"read_csv($files, header = true, delim = ',', quote = '\"', types = {types})"
    reader = f"read_json($files, columns = {types})" if is_json else as_csv
    made = source(f"SELECT row, {', '.join(read)} FROM {reader}")

    def run(text: str, parameters: dict[str, object]) -> None:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE delivery AS {text}", parameters or None)

    reading = read_strictly(connection, made, files, [Found()], run)
    good = {row: values for row, values in wanted.items() if all(values[name] is not WRONG for name in read)}
    found = {row[0]: dict(zip(read, row[1:], strict=True)) for row in connection.execute("FROM delivery").fetchall()}
    assert found == {row: {name: values[name] for name in read} for row, values in good.items()}, seed
    refused: dict[int, tuple[dict[str, Any], str]] = {}
    if reading.refused:
        rows = connection.execute(f'SELECT row, "{REASON}", {", ".join(read)} FROM {reading.refused}').fetchall()
        refused = {row[0]: (dict(zip(read, row[2:], strict=True)), row[1]) for row in rows}
    assert refused.keys() == wanted.keys() - good.keys(), seed
    for row, (values, reason) in refused.items():
        for name in read:
            is_wrong = wanted[row][name] is WRONG
            assert values[name] == (None if is_wrong else wanted[row][name]), (seed, row, name)
            assert is_wrong or f"{name}: the text " not in reason, (seed, row, reason)
        assert "does not stand for" in reason, (seed, row, reason)
