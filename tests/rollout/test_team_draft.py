"""Interleaved lists: the same each time, fair to both rankings whatever they are, and telling of the better one."""

from __future__ import annotations

import itertools
from pathlib import Path

import duckdb
import numpy as np
import pytest

from jobs.models.arms.lists import drafted as drafted_of
from jobs.models.arms.lists import write_interleaved
from jobs.models.arms.team_draft import CHALLENGER, LIVE, NOBODY, coin_of, coins_sql, draft
from jobs.rollout.inference.interleaving import credit_of
from tests.effort import times
from warehouse.definitions.product import Ranking


def ranks_of(scores: np.ndarray) -> np.ndarray:
    return (-scores).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") + 1


def drafted(live: np.ndarray, challenger: np.ndarray, coins: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Draft lists of equal length `(n_lists, n_items)` of ranks; give places and teams of that shape."""
    n_lists, n_items = live.shape
    lists = np.repeat(np.arange(n_lists), n_items)
    found = draft(lists, live.ravel(), challenger.ravel(), coins, top)
    return found.place.reshape(live.shape), found.team.reshape(live.shape)


@pytest.mark.parametrize("top", [1, 2, 3, 4])
def test_clicks_by_chance_credit_both_teams_alike_for_every_pair_of_rankings(top: int) -> None:
    coins = np.array(list(itertools.product([False, True], repeat=4)))
    others = list(itertools.permutations(range(1, 5)))
    live = np.tile(np.arange(1, 5), (len(others) * 16, 1))
    challenger = np.repeat(np.array(others), 16, axis=0)
    place, team = drafted(live, challenger, np.tile(coins, (len(others), 1)), top)
    assert (np.sort(place, axis=1) == np.arange(1, 5)).all()
    # Places are looked at less and less; each click is as likely as the place is looked at.
    weight = np.where(place <= top, 0.5**place, 0.0)
    credit = [(weight * (team == one)).sum(axis=1).reshape(-1, 16).sum(axis=1) for one in (LIVE, CHALLENGER)]
    assert credit[0] == pytest.approx(credit[1])
    assert ((team == NOBODY) | (place <= top)).all()
    same = np.flatnonzero((challenger == live).all(axis=1))
    assert len(same) == 16
    assert (team[same] == NOBODY).all()
    assert (place[same] == live[same]).all()


def test_the_case_in_which_balanced_interleaving_is_biased_gives_no_winner() -> None:
    # Live a b c d, challenger b c d a, a click on one of them by chance: balanced interleaving gives the latter .75.
    coins = np.array(list(itertools.product([False, True], repeat=4)))
    live = np.tile([1, 2, 3, 4], (16, 1))
    _, team = drafted(live, np.tile([4, 1, 2, 3], (16, 1)), coins, 4)
    wins = [(team == one).sum() for one in (LIVE, CHALLENGER)]
    assert wins[0] == wins[1] > 0


def test_coins_are_the_same_in_duckdb_and_in_python_and_even() -> None:
    with duckdb.connect() as connection:
        query = "SELECT n, DATE '2026-01-01' + CAST(n % 9 AS INTEGER) AS day FROM range(400) AS t(n)"
        texts = "CAST(n AS VARCHAR), CAST(day AS VARCHAR)"
        rows = connection.execute(f"SELECT {coins_sql('s1', ['n', 'day'], 6)}, {texts} FROM ({query})").fetchall()
    assert all(row[0] == [coin_of("s1", row[1:], number) for number in range(1, 7)] for row in rows)
    assert np.mean([row[0] for row in rows], axis=0) == pytest.approx(np.full(6, 0.5), abs=0.08)


def test_lists_of_unequal_length_are_drafted_apart() -> None:
    lists = np.array([0, 1, 1, 1, 0, 2])
    found = draft(lists, np.array([1, 3, 1, 2, 2, 1]), np.array([2, 1, 2, 3, 1, 1]), np.array([[True] * 3] * 3), top=2)
    assert found.place.tolist() == [2, 1, 2, 3, 1, 1]
    assert found.team.tolist() == [LIVE, CHALLENGER, LIVE, NOBODY, CHALLENGER, NOBODY]
    empty = np.zeros(0, np.int64)
    assert len(draft(empty, empty, empty, np.zeros((0, 3), bool), 3).place) == 0


def simulated(better: float, n_pages: int, seed: int) -> np.ndarray:
    """Give the differences of pages with position bias; the challenger is nearer to the truth by `better`."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(n_pages):
        truth = rng.normal(size=(60, 12))
        live = ranks_of(truth + rng.normal(0, 1.0, truth.shape))
        challenger = ranks_of(truth + rng.normal(0, 1.0 - better, truth.shape))
        place, team = drafted(live, challenger, rng.random((60, 5)) < 0.5, 5)
        clicks = rng.random(truth.shape) < place**-0.8 / (1 + np.exp(1.5 - 1.5 * truth))
        lists = np.repeat(np.arange(60), 12)
        credit = credit_of(lists, place.ravel(), team.ravel(), clicks.ravel().astype(float), 5)
        assert credit.difference is not None
        found.append(credit.difference)
    return np.array(found)


def test_equal_rankers_are_even_and_the_better_one_is_seen() -> None:
    n_pages = times(40)
    even = simulated(0.0, n_pages, 1)
    assert abs(even.mean()) < 3.5 * even.std() / n_pages**0.5
    better = simulated(0.6, n_pages, 2)
    assert better.mean() < -5 * better.std() / n_pages**0.5


def test_a_page_whose_outcomes_credit_nobody_says_nothing() -> None:
    lists, place, team = np.array([0, 0, 1]), np.array([1, 2, 1]), np.array([LIVE, CHALLENGER, NOBODY])
    assert credit_of(lists, place, team, np.array([0.0, np.nan, 3.0]), 5).difference is None
    told = credit_of(lists, place, team, np.array([3.0, 1.0, 3.0]), 5)
    assert (told.difference, told.n_lists, told.live, told.challenger) == (0.5, 1, 3.0, 1.0)
    assert credit_of(lists, place, team, np.array([3.0, 1.0, 3.0]), 1).difference == 1.0


def test_lists_of_a_page_are_drafted_from_staged_rankings_and_drawn_again_alike(tmp_path: Path) -> None:
    ranking, keys = Ranking(("customer",), 3, 50), ("customer", "item")
    query = """
        SELECT TIMESTAMP '2026-01-01' + INTERVAL (page) DAY AS as_of, customer, item,
               hash(customer, item, {salt}) AS score,
               row_number() OVER (PARTITION BY page, customer ORDER BY hash(customer, item, {salt})) AS rank,
               'v{salt}' AS model_version
        FROM range(3) AS p(page), (SELECT 'c' || n AS customer FROM range(40) AS c(n)) AS c,
             range(7) AS i(item)
        WHERE customer IS DISTINCT FROM 'c3' OR item < 2
        QUALIFY rank <= 3
    """
    files = tmp_path / "v1.parquet", tmp_path / "v2.parquet"
    with duckdb.connect() as connection:
        for number, file in enumerate(files, 1):
            connection.execute(f"COPY ({query.format(salt=number)}) TO '{file}'")
        write_interleaved(connection, files, ("v1", "v2"), "s", keys, ranking, tmp_path / "served.parquet")
        served = connection.execute(f"FROM '{tmp_path / 'served.parquet'}' ORDER BY ALL").fetchall()
        relations = [f"(FROM '{file}')" for file in files]
        again = drafted_of(connection, *relations, "s", keys, ranking)
        lists = connection.execute(
            f"SELECT as_of, customer, list(rank ORDER BY rank) FROM '{tmp_path / 'served.parquet'}' GROUP BY ALL"
        ).fetchall()
        score = connection.execute(
            f"SELECT count(*) FROM '{tmp_path / 'served.parquet'}' AS s JOIN read_parquet(['{files[0]}', '{files[1]}'])"
            " AS v ON s.as_of = v.as_of AND s.customer IS NOT DISTINCT FROM v.customer AND s.item = v.item"
            " AND s.model_version = v.model_version WHERE s.score = 1 / s.rank AND s.arm = 'v1+v2'"
        ).fetchone()
    # A list of two items stays one of two.
    assert len(lists) == 120
    assert all(ranks == ([1, 2] if customer == "c3" else [1, 2, 3]) for _, customer, ranks in lists)
    assert score == (len(served),)
    teams = np.bincount(again.column("almanac: team").to_numpy(), minlength=3)
    assert teams[LIVE] == pytest.approx(teams[CHALLENGER], rel=0.25)
    coins = {(row[0], row[1]) for row in served}
    assert len(coins) == 120
