"""Generated queries: pages made at the time, later with more facts, and in batches, beside an oracle in plain DuckDB.

`ALMANAC_GENERATED_QUERIES=2000 ALMANAC_GENERATED_SEED=5` makes a longer run of another seed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from tests.sandbox.generated_world import DELIVERED, PAGES, PRODUCT, World, written
from tests.sandbox.query_generator import queries
from warehouse.batching import many_pages
from warehouse.batching.batch import Batch
from warehouse.batching.many_pages import PAGE_COLUMN
from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import check_query
from warehouse.sandbox import Sandbox

COUNT = int(os.environ.get("ALMANAC_GENERATED_QUERIES", "60"))
SEED = int(os.environ.get("ALMANAC_GENERATED_SEED", "3"))
#: So many queries are the feature groups of a product at a time.
AT_ONCE = 50

Rows = dict[datetime, Counter[str]]


def allowed(world: World, count: int) -> Iterator[str]:
    """Give generated queries that the check lets through, and that bind."""
    for query in queries(SEED, count):
        try:
            check_query(query, "q.sql", tables={"orders", "couriers"}, parameters={"as_of"})
        except QueryRefused:
            continue
        if world.binds(query):
            yield query


def chained(part: list[str]) -> list[str]:
    """Give some queries, every sixth of them followed by one that reads it."""
    found = []
    for number, query in enumerate(part):
        found.append(query)
        if number % 6 == 0:
            read = f"g{len(found) - 1}"
            found.append(f"SELECT count(*) AS x0 FROM {read}" if number % 12 else f"SELECT * FROM {read} AS again")
    return found


def made(world: World, pages: Sequence[datetime], *, together_: bool) -> tuple[dict[str, Rows], list[str]]:
    """Give the rows of the suite's groups on pages, made as a batch does, and what it says of quicker ways."""
    product = world.suite.definitions.product(PRODUCT)
    with Sandbox(world.suite.lake) as sandbox, Batch(sandbox, world.suite.definitions, product) as batch:
        batch.begin(len(pages))
        batch._prepare(pages[0])
        if together_:
            batch._many_pages.fill(pages, 2)
        for page in pages:
            batch._fill(page)
        assert not batch.failed
        found = {}
        with closing(sandbox.cursor()) as cursor:
            for name, _ in batch.queries()[:-1]:
                rows = cursor.execute(f'SELECT "{PAGE_COLUMN}", * EXCLUDE ("{PAGE_COLUMN}") FROM {batch.table(name)}')
                found[name] = {page: Counter[str]() for page in pages}
                for row in rows.fetchall():
                    found[name][row[0]][written(row[1:])] += 1
        return found, batch.differing


def test_generated_queries_give_the_oracles_rows_whenever_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, SEED)
    every = list(allowed(world, COUNT))
    assert len(every) > COUNT * 0.9
    parts = [chained(every[start : start + AT_ONCE]) for start in range(0, len(every), AT_ONCE)]
    world.deliver(everything=False)
    early = [page for page in PAGES if page <= DELIVERED]
    at_the_time = []
    for part in parts:
        world.with_queries(part)
        at_the_time.append(made(world, early[-1:], together_=False)[0])
    world.deliver(everything=True)
    wrong: list[str] = []
    for turn, (part, then) in enumerate(zip(parts, at_the_time, strict=True)):
        world.with_queries(part)
        # By one pass over time where that goes, though there are few pages; to recognise that takes longest of all.
        monkeypatch.setattr(many_pages, "RANGE_FROM_PAGES", 2 if turn % 3 == 0 else 32)
        later, _ = made(world, PAGES[3::4], together_=False)
        at_once, said = made(world, PAGES, together_=True)
        wrong += [text for text in said if "differ" in text]
        oracle = world.expected(part, PAGES)
        for number, (query, expected) in enumerate(zip(part, oracle, strict=True)):
            ways = {"at the time": then, "later": later, "at once": at_once}
            for way, rows in ways.items():
                for page, found in rows[f"g{number}"].items():
                    if found != expected[page]:
                        wrong.append(f"{way}, {page}: {query}\n{found - expected[page]} {expected[page] - found}")
    assert not wrong, f"{len(wrong)} wrong, first:\n" + "\n".join(wrong[:5])
