"""A sieve of lists leaves nothing out that is listed, whatever is tied, no number, unknown, or of one hash."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.scoring.sieves.sieve import Sieve
from tests.effort import times

KEYS: list[list[Any]] = [
    ["a", "b", "", "ab", None],
    [1, -1, 2**40, 0, None],
    [dt.date(2026, 1, 1), dt.date(1969, 12, 31), dt.date(2026, 1, 2), None, dt.date(9999, 1, 1)],
    [0.0, 1.5, float("inf"), None, -3.0],
    [Decimal("1.50"), Decimal("-1.50"), Decimal("0.00"), Decimal("99.99"), None],
    [True, False, None, True, False],
]
TOP = 3


def lists_of(random: np.random.Generator, n_rows: int) -> tuple[list[pa.Array], list[tuple[Any, ...]]]:
    """Give key columns of one or two types, and the keys row by row."""
    chosen = [KEYS[kind] for kind in random.choice(len(KEYS), random.integers(1, 3), replace=False)]
    # A column that lacks nothing is compared by the words of its values.
    offered = [column if random.random() < 0.5 else [one for one in column if one is not None] for column in chosen]
    found = [[column[place] for place in random.integers(0, len(column), n_rows)] for column in offered]
    return [pa.array(column, pa.array(own).type) for own, column in zip(chosen, found, strict=True)], list(
        zip(*found, strict=True)
    )


def hashes_of(keys: list[tuple[Any, ...]], n_hashes: int) -> np.ndarray:
    return np.array([hash(key) % n_hashes for key in keys], np.uint64)


def scores_of(random: np.random.Generator, n_rows: int) -> np.ndarray:
    scores = random.integers(0, random.integers(2, 40), n_rows) / 4.0
    for odd in (np.nan, np.inf, -np.inf, -0.0):
        scores[random.random(n_rows) < 0.04] = odd
    return scores


@pytest.mark.parametrize("n_hashes", [2**63, 3])
def test_what_is_listed_passes_and_what_is_certainly_not_does_not(n_hashes: int) -> None:
    n_left_out = 0
    for seed in range(times(40)):
        random = np.random.default_rng(seed)
        n_rows = int(random.integers(1, 300))
        columns, keys = lists_of(random, n_rows)
        scores, hashes = scores_of(random, n_rows), hashes_of(keys, n_hashes)
        sieve = Sieve(TOP)
        passed = np.zeros(n_rows, np.bool_)
        placed = []
        edges = [0, *sorted(random.integers(0, n_rows + 1, 3)), n_rows]
        for begin, end in itertools.pairwise(edges):
            batch = slice(begin, end)
            places = sieve.find(hashes[batch], [column[batch] for column in columns])
            sieve.offer(places, scores[batch])
            passed[batch] = sieve.kept(places, scores[batch])
            placed.append(places)
        places = np.concatenate(placed)
        by_the_end = sieve.kept(places, scores)
        # What passes by the end has passed before.
        assert not (by_the_end & ~passed).any()
        ranked = np.where(np.isnan(scores), np.inf, scores)
        held, known = 0, sieve.keys()
        for key in set(keys):
            own = [row for row in range(n_rows) if keys[row] == key]
            assert {places[row] for row in own} == {places[own[0]]}
            if None in key:
                assert places[own[0]] == -1
            last = sorted((ranked[row] for row in own), reverse=True)[:TOP][-1]
            expected = [places[row] < 0 or len(own) <= TOP or ranked[row] >= last for row in own]
            assert by_the_end[own].tolist() == expected
            if places[own[0]] >= 0:
                assert sieve.n_rows[places[own[0]]] == len(own)
                assert tuple(column[int(places[own[0]])].as_py() for column in known) == key
                held += len(own)
        assert sieve.n_rows.sum() == held
        n_left_out += int((~by_the_end).sum())
    assert n_left_out > 100


def test_rows_of_lists_without_room_and_of_whole_lists_pass() -> None:
    keys = pa.array(np.repeat(np.arange(6), 5))
    scores = np.tile(np.arange(5.0), 6)
    sieve = Sieve(2, held_scores=8)
    places = sieve.find(np.repeat(np.arange(6), 5).astype(np.uint64), [keys])
    assert sieve.n_lists == 4
    assert places.tolist() == [*np.repeat(np.arange(4), 5), *[-1] * 10]
    sieve.offer(places, scores)
    sieve.keep_whole(1, np.array([True, False, False]))
    kept = sieve.kept(places, scores).reshape(6, 5)
    assert kept.sum(axis=1).tolist() == [2, 5, 2, 2, 5, 5]
    assert sieve.whole(places).reshape(6, 5).all(axis=1).tolist() == [False, True, False, False, False, False]
    assert sieve.n_rows.tolist() == [5, 5, 5, 5]
    assert sieve.keys(2)[0].to_pylist() == [2, 3]
