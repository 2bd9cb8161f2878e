"""A look at rows in the order that they lie in settles of lists that are whole that they are, and of no others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import numpy as np

from tests.effort import times
from warehouse.system_sql import system_sql

TOP, AT_MOST = 3, 6
PAGES = [datetime(2026, 1, 1), datetime(2026, 1, 2)]
Row = tuple[datetime, str | None, float | None, int | None]
PARTS = {"predictions": "predictions", "score": "score", "list": "depot", "top": str(TOP), "at_most": str(AT_MOST)}
SAME_LIST = "as_of IS NOT DISTINCT FROM lag(as_of) OVER () AND depot IS NOT DISTINCT FROM lag(depot) OVER ()"


def whole_lists(random: np.random.Generator) -> tuple[list[tuple[datetime, str | None, int]], list[Row]]:
    """Give the numbers of candidates of some lists, and their rows in order."""
    counts, found = [], list[Row]()
    for page in PAGES[: random.integers(1, 3)]:
        for depot in random.permutation(["a", "b", "c", "d"])[: random.integers(1, 5)].tolist():
            n_candidates = int(random.integers(1, AT_MOST + 1))
            counts.append((page, depot, n_candidates))
            scores = sorted(random.integers(0, 3, min(n_candidates, TOP)).tolist(), reverse=True)
            found += [(page, depot, float(score), rank) for rank, score in enumerate(scores, 1)]
    return counts, found


def harmed(random: np.random.Generator, found: list[Row]) -> list[Row]:
    """Change a row in some way, or let it be there twice, or not at all, or elsewhere."""
    place = int(random.integers(len(found)))
    page, depot, score, rank = found[place]
    wrong = [
        [(page, depot, score, (rank or 0) + int(random.choice([-1, 1])))],
        [(page, depot, (score or 0) + int(random.choice([-1, 1])), rank)],
        [(page, str(random.choice(["a", "b", "c", "d"])), score, rank)],
        [(page, None, score, rank)],
        [(page, depot, None, rank)],
        [(page, depot, float("nan"), rank)],
        [(page, depot, score, None)],
        [(page, depot, score, rank)] * 2,
        [],
    ][random.integers(9)]
    rest = [*found[:place], *found[place + 1 :]]
    place = place if random.random() < 0.7 else int(random.integers(len(rest) + 1))
    return [*rest[:place], *wrong, *rest[place:]]


def fill(connection: duckdb.DuckDBPyConnection, table: str, columns: str, values: Sequence[tuple[Any, ...]]) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE {table} ({columns})")
    if values:
        places = ", ".join(f"unnest(${place})" for place in range(1, len(values[0]) + 1))
        connection.execute(
            f"INSERT INTO {table} SELECT {places}", [list(column) for column in zip(*values, strict=True)]
        )


def test_order_settles_only_what_is_whole_and_all_that_is_in_order() -> None:
    n_settled = n_wrong = 0
    with duckdb.connect() as connection:
        for seed in range(times(150)):
            random = np.random.default_rng(seed)
            counts, found = whole_lists(random)
            in_order = seed % 3 == 0
            if not in_order:
                found = harmed(random, found)
                # Lists can be there twice in a row, each whole, or have too many candidates.
                found = found * 2 if random.random() < 0.1 else found
                counts = [(page, depot, n + int(random.random() < 0.05) * AT_MOST) for page, depot, n in counts]
            fill(connection, "predictions", "as_of TIMESTAMP, depot VARCHAR, score DOUBLE, rank BIGINT", found)
            fill(connection, "counted", "as_of TIMESTAMP, depot VARCHAR, n BIGINT", counts)
            candidates = {
                "candidates": system_sql("audit/candidates", list="depot", count="sum(n)::BIGINT", rows="counted")
            }
            asked = system_sql("audit/lists_in_order", same_list=SAME_LIST, **PARTS, **candidates)
            settled = connection.execute(asked).fetchone() == (True,)
            wrong = connection.execute(system_sql("audit/lists_are_whole", **PARTS, **candidates)).fetchall()
            assert not (settled and wrong), (seed, found, counts, wrong)
            assert settled or not in_order, (seed, found, counts)
            n_settled += settled
            n_wrong += bool(wrong)
    assert min(n_settled, n_wrong) > times(150) // 10
