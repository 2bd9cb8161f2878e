"""Generated queries: pages made at the time, later with more facts, and in batches, beside an oracle in plain DuckDB.

`ALMANAC_GENERATED_QUERIES=2000 ALMANAC_GENERATED_SEED=5` makes a longer run of another seed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.sandbox.generated_world import DELIVERED, PAGES, PRODUCT, World, written
from tests.sandbox.query_generator import queries
from warehouse.batching import many_pages, range_pass
from warehouse.batching.batch import Batch
from warehouse.batching.shared_rows import PAGE_COLUMN
from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import check_query
from warehouse.sandbox import Sandbox

COUNT = int(os.environ.get("ALMANAC_GENERATED_QUERIES", "300"))
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


def rows_of(batch: Batch, pages: Sequence[datetime]) -> dict[str, Rows]:
    """Give the rows that a batch has of each feature group, by page."""
    found = {}
    for name, _ in batch.queries()[:-1]:
        rows = batch.cursor.execute(f'SELECT "{PAGE_COLUMN}", * EXCLUDE ("{PAGE_COLUMN}") FROM {batch.table(name)}')
        found[name] = {page: Counter[str]() for page in pages}
        for row in rows.fetchall():
            found[name][row[0]][written(row[1:])] += 1
    return found


def page_by_page(batch: Batch, pages: Sequence[datetime]) -> dict[str, Rows]:
    """Make pages one by one, and give their rows."""
    batch.prepare(pages[0])
    for page in pages:
        batch._fill(page)
    assert not batch.failed
    return rows_of(batch, pages)


def at_once(batch: Batch, pages: Sequence[datetime]) -> tuple[dict[str, Rows], list[str]]:
    """Make pages as a batch does, in place of those that it has; give their rows, and what it says of quicker ways."""
    for name, _ in batch.queries():
        batch.cursor.execute(f"DELETE FROM {batch.table(name)}")
    batch.begin(len(pages))
    batch._many_pages.fill(pages, 1)
    for page in pages:
        batch._fill(page)
    assert not batch.failed
    return rows_of(batch, pages), batch.differing


@contextmanager
def sandboxes(world: World) -> Iterator[Callable[[int], Sandbox]]:
    """Open the lake as it is; give the sandbox of a turn, which reads the lake's files in each tenth, else memory."""
    with Sandbox(world.suite.lake) as files, Sandbox(world.suite.lake) as memory:
        memory.hold(world.suite.definitions.sources.values())
        yield lambda turn: files if turn % 10 == 9 else memory


def test_generated_queries_give_the_oracles_rows_whenever_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, SEED)
    every = list(allowed(world, COUNT))
    assert len(every) > COUNT * 0.9
    parts = [chained(every[start : start + AT_ONCE]) for start in range(0, len(every), AT_ONCE)]
    definitions = [world.with_queries(part).definitions for part in parts]
    world.deliver(everything=False)
    early = [page for page in PAGES if page <= DELIVERED][-1:]
    at_the_time = []
    with sandboxes(world) as sandbox_of:
        for turn, found in enumerate(definitions):
            with Batch(sandbox_of(turn), found, found.product(PRODUCT)) as batch:
                at_the_time.append(page_by_page(batch, early))
    world.deliver(everything=True)
    wrong: list[str] = []
    with sandboxes(world) as sandbox_of:
        for turn, (part, found) in enumerate(zip(parts, definitions, strict=True)):
            # By one pass over time where that goes, though there are few pages; to recognise that takes longest of all.
            monkeypatch.setattr(many_pages, "RANGE_FROM_PAGES", 2 if turn % 3 == 0 else 32)
            monkeypatch.setattr(range_pass, "FACT_COST", 0)
            monkeypatch.setattr(range_pass, "ROW_COST", 0)
            # A batch would compare some pages itself, and make the query page by page where they differ. The oracle
            # compares all; that the batch finds the same is seen in some turns.
            if turn % 10:
                monkeypatch.setattr(many_pages, "compared_pages", lambda *_: [])
            # The entities have none of the groups' keys, so that all rows are made and compared.
            monkeypatch.setattr(many_pages.ManyPages, "_may_choose", lambda *_: False)
            with Batch(sandbox_of(turn), found, found.product(PRODUCT)) as batch:
                later = page_by_page(batch, PAGES[3::4])
                together, said = at_once(batch, PAGES)
            monkeypatch.undo()
            wrong += [text for text in said if "differ" in text or "failed" in text]
            ways = {"at the time": at_the_time[turn], "later": later, "at once": together}
            wrong += differences(part, world.expected(part), ways)
    assert not wrong, f"{len(wrong)} wrong, first:\n" + "\n".join(wrong[:5])


def differences(part: Sequence[str], oracle: Sequence[Rows], ways: dict[str, dict[str, Rows]]) -> list[str]:
    """Say for which query and page a way gave other rows than the oracle."""
    wrong = []
    for number, (query, expected) in enumerate(zip(part, oracle, strict=True)):
        for way, rows in ways.items():
            for page, found in rows[f"g{number}"].items():
                if found != expected[page]:
                    wrong.append(f"{way}, {page}: {query}\n{found - expected[page]} {expected[page] - found}")
    return wrong
