"""A suite of one source of orders, with deliveries that are written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.facts.ingest import IngestResult, Way, ingest
from jobs.suite import open_suite
from tests.conftest import NOW, clock_at

SOURCE = """/*
description: Orders.
key: [{key}]
files: {files}
known_at: {known_at}
{more}*/
SELECT {select}
FROM read_csv($files, header = true,
    types = {{'id': 'VARCHAR', 'depot': 'VARCHAR', 'n': 'INTEGER', 'placed': 'TIMESTAMP'}})
"""
PLAIN = {"key": "id", "files": "data/*.csv", "known_at": "placed", "more": "", "select": "id, depot, n, placed"}
T1, T2, T3 = datetime(2026, 1, 10), datetime(2026, 1, 20), datetime(2026, 1, 30)
FIRST = ["a,north ,1,2026-01-01 10:00:00", "b,south,2,2026-01-02 10:00:00", "c,east,3,2026-01-03 10:00:00"]
SECOND = ["a,north ,5,2026-01-01 10:00:00", "b,south,2,2026-01-02 10:00:00", "d,west,4,2026-01-12 10:00:00"]
THIRD = ["e,north,7,2026-01-25 10:00:00", "c,east,1,2026-01-03 10:00:00"]


def define(root: Path, **parts: str) -> None:
    text = SOURCE.format(**{**PLAIN, **parts})
    (root / "sql/sources").mkdir(parents=True, exist_ok=True)
    (root / "sql/sources/orders.sql").write_text(text)


def deliver(root: Path, name: str, rows: Sequence[str]) -> None:
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / name).write_text("\n".join(["id,depot,n,placed", *rows]) + "\n")


def taken_in(root: Path, now: datetime, **way: bool) -> IngestResult:
    (result,) = ingest(open_suite(root, clock_at(now)), way=Way(**way))
    return result


def rows_of(root: Path, query: str) -> list[tuple[Any, ...]]:
    with open_suite(root, clock_at(NOW)).lake.reading() as connection:
        return connection.execute(query).fetchall()


def facts(root: Path, table: str = "orders", *, ids: bool = True) -> list[tuple[Any, ...]]:
    shown = "*" if ids else "* EXCLUDE (ingest_id)"
    kept = rows_of(root, f'SELECT {shown} FROM sources."{table}" ORDER BY ALL')
    turned_away = rows_of(root, f'SELECT {shown} FROM rejects."{table}" ORDER BY ALL')
    return [*kept, *turned_away]
