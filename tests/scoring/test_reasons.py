"""Reasons are exact: equal to the average over all orders of players, worked out one by one, and they add up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import LEFT, RIGHT, Ensemble, Feature, Tree
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_scorer import places_of
from jobs.scoring.kernels.tree_structure import tree_structure
from jobs.scoring.readers.bin_trees import bin_trees
from jobs.scoring.reasons import leaf_tables, table_contributions
from jobs.scoring.reasons.players import Players, make_players
from jobs.scoring.reasons.table_contributions import RUN_ROWS, TableContributions
from jobs.scoring.reasons.table_kernel import FEW_TILES, TILE, pick_largest
from jobs.scoring.reasons.tree_contributions import ROWS, TreeContributions
from warehouse.errors import UsageError

#: The three ways: quadrature in numpy, tables, and the kernel's quadrature where no table fits.
WAYS: dict[str, Any] = {
    "numpy": TreeContributions,
    "tables": TableContributions,
    "no tables": lambda model, players, output: TableContributions(model, players, output, budget_bytes=0),
}
N_COLUMNS = 5
NAMES = list("abcde")


def random_tree(rng: np.random.Generator, n_leaves: int, output: int, width: int, n_columns: int = N_COLUMNS) -> Tree:
    """Return a tree that splits random leaves; the last column is tested by sets of categories."""
    left, right, feature, cover = [-1], [-1], [0], [1000.0]
    leaves = [0]
    while len(leaves) < n_leaves:
        node = leaves.pop(int(rng.integers(len(leaves))))
        left[node], right[node] = len(left), len(left) + 1
        feature[node] = int(rng.integers(n_columns))
        share = float(rng.uniform(0.1, 0.9))
        for part in (share, 1 - share):
            leaves.append(len(left))
            left.append(-1)
            right.append(-1)
            feature.append(0)
            cover.append(cover[node] * part)
    n_nodes = len(left)
    is_set = (np.array(feature) == n_columns - 1) & (np.array(left) >= 0)
    return Tree(
        feature=np.array(feature, np.int32),
        threshold=rng.normal(size=n_nodes).round(1),
        missing_left=rng.random(n_nodes) < 0.5,
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        value=rng.normal(size=(n_nodes, width)),
        category_set=np.where(is_set, rng.integers(0, 3, n_nodes), -1).astype(np.int32),
        output=output,
        cover=np.array(cover),
    )


def random_model(
    seed: int,
    n_trees: int = 3,
    n_leaves: int = 9,
    n_outputs: int = 1,
    width: int = 1,
    n_columns: int = N_COLUMNS,
) -> TreeModel:
    rng = np.random.default_rng(seed)
    outputs = [place % (n_outputs - width + 1) for place in range(n_trees)]
    trees = tuple(random_tree(rng, n_leaves, output, width, n_columns) for output in outputs)
    sets = tuple(rng.choice([LEFT, RIGHT], 4).astype(np.int8) for _ in range(3))
    features = tuple(Feature(place) for place in range(n_columns))
    ensemble = Ensemble(features, trees, rng.normal(size=n_outputs), sets, divisor=2.0)
    return bin_trees(ensemble, ["float64"] * n_columns, Link("identity", "columns"))


def columns_of(n_rows: int, seed: int, n_columns: int = N_COLUMNS) -> list[pa.Array]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_columns))
    rows[:, -1] = rng.integers(-1, 6, n_rows)
    rows[rng.random(rows.shape) < 0.15] = np.nan
    rows[rng.random(rows.shape) < 0.05] = np.inf
    return [pa.array(np.ascontiguousarray(column)) for column in rows.T]


def expected_of(model: TreeModel, output: int, bins: list[int], known: frozenset[int], players: Players) -> float:
    """Return what the model gives of a row of which some players are known: tests of others are passed by share."""
    structure = tree_structure(model)
    leaf_place = np.cumsum(~structure.is_inner) - 1

    def value(node: int) -> float:
        slot = int(model.slot[node])
        tree = int(structure.tree[node])
        if slot < 0:
            part = output - int(model.output[tree])
            return float(model.leaves[leaf_place[node], part]) if 0 <= part < model.leaves.shape[1] else 0.0
        first, second = int(structure.left[node]), int(structure.left[node]) + 1
        column = model.slots[slot].bins
        if int(players.of_feature[model.columns[column].column]) in known:
            goes_first = model.slots[slot].codes[bins[column]] <= model.code[node]
            return value(first if goes_first else second)
        share = model.cover[first] / model.cover[node]
        return float(share * value(first) + model.cover[second] / model.cover[node] * value(second))

    return float(model.base[output] + sum(value(int(root)) for root in structure.start)) / model.divisor


def path_dependent_of(model: TreeModel, output: int, bins: list[int], players: Players) -> list[float]:
    return shapley_of(lambda known: expected_of(model, output, bins, known, players), len(players.names))


def shapley_of(worth_of: Callable[[frozenset[int]], float], n_players: int) -> list[float]:
    worth = {
        frozenset(some): worth_of(frozenset(some))
        for size in range(n_players + 1)
        for some in itertools.combinations(range(n_players), size)
    }
    found = []
    for player in range(n_players):
        others = [some for some in worth if player not in some]
        weights = [math.factorial(len(s)) * math.factorial(n_players - len(s) - 1) for s in others]
        gains = [worth[some | {player}] - worth[some] for some in others]
        found.append(sum(w * g for w, g in zip(weights, gains, strict=True)) / math.factorial(n_players))
    return found


SHAPES: list[dict[str, Any]] = [
    {},
    {"n_leaves": 2},
    {"n_leaves": 1},
    {"n_leaves": 25, "n_trees": 2},
    {"n_outputs": 3},
    {"n_outputs": 2, "width": 2},
]


@pytest.mark.parametrize("groups", [{}, {"both": ["a", "c"]}, {"x": ["a", "b"], "y": ["d", "e"]}], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_contributions_are_the_average_over_all_orders(shape: dict[str, Any], groups: dict[str, list[str]]) -> None:
    players = make_players(NAMES, groups)
    for seed in range(3):
        model = random_model(seed, **shape)
        columns = columns_of(4, seed)
        for output in range(len(model.base)):
            bins = np.array([places_of(columns[one.column], one) for one in model.columns]).reshape(-1, 4)
            expected = [path_dependent_of(model, output, bins[:, row].tolist(), players) for row in range(4)]
            base = expected_of(model, output, [], frozenset(), players)
            for way, contributions in WAYS.items():
                asked = contributions(model, players, output)
                assert asked.base == pytest.approx(base, abs=1e-12), way
                np.testing.assert_allclose(asked.of(columns, 4), expected, rtol=0, atol=1e-13, err_msg=way)


def test_contributions_and_base_add_up_to_the_sum_of_the_leaves() -> None:
    players = make_players(NAMES)
    model = random_model(7, n_trees=40, n_leaves=60)
    columns = columns_of(100, 7)
    asked = TreeContributions(model, players, 0)
    given = asked.of(columns, 100)
    bins = np.array([places_of(columns[one.column], one) for one in model.columns])
    everybody = frozenset(range(N_COLUMNS))
    raw = [expected_of(model, 0, bins[:, row].tolist(), everybody, players) for row in range(100)]
    sizes = abs(asked.base) + np.abs(given).sum(axis=1)
    assert (np.abs(asked.base + given.sum(axis=1) - raw) <= 1e-12 * sizes).all()


@pytest.mark.parametrize("way", WAYS)
def test_the_bits_do_not_depend_on_the_batch(way: str) -> None:
    asked = WAYS[way](random_model(3, n_trees=20, n_leaves=40), make_players(NAMES), 0)
    n_rows = 2 * ROWS + 5
    columns = columns_of(n_rows, 3)
    whole = asked.of(columns, n_rows)
    for first, size in ((0, 1), (7, 3), (ROWS - 1, 2), (40, 29)):
        part = asked.of([column.slice(first, size) for column in columns], size)
        assert np.array_equal(part, whole[first : first + size])


def test_the_bits_do_not_depend_on_the_threads() -> None:
    """Two runs of rows and a bit, which two threads work on, and the same rows one run at a time."""
    asked = TableContributions(random_model(4, n_trees=9, n_leaves=30), make_players(NAMES), 0)
    n_rows = 2 * RUN_ROWS + 77
    columns = columns_of(n_rows, 4)
    whole = asked.of(columns, n_rows)
    for first in range(0, n_rows, 10_000):
        size = min(10_000, n_rows - first)
        assert np.array_equal(asked.of([c.slice(first, size) for c in columns], size), whole[first : first + size])


def test_long_and_short_lines_and_tables_that_rows_pass_by_in_several_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of eight players, and of eight and four; and so many rows that the next tables are brought near."""
    assert table_contributions.TILE == TILE
    monkeypatch.setattr(leaf_tables, "NEAR_BYTES", 1 << 15)
    names = [f"f{place}" for place in range(11)]
    model, players = random_model(6, n_trees=4, n_leaves=60, n_columns=11), make_players(names)
    asked = TableContributions(model, players, 0)
    chunks = np.split(asked._tables.n_players, asked._tables.chunk_end[:-1])
    assert {tuple(chunk > leaf_tables.SHORT_WIDTH) for chunk in chunks} >= {(True,), (True, False)}
    assert len(asked._tables.near_end) > 2
    n_rows = (FEW_TILES + 2) * TILE + 7
    columns = columns_of(n_rows, 6, 11)
    whole = asked.of(columns, n_rows)
    for first in (0, TILE - 5, n_rows - 40):
        part = [column.slice(first, 40) for column in columns]
        assert np.array_equal(asked.of(part, 40), whole[first : first + 40])
        expected = TreeContributions(model, players, 0).of(part, 40)
        np.testing.assert_allclose(whole[first : first + 40], expected, rtol=0, atol=1e-12)


def test_contributions_in_tables_and_beside_them_add_up() -> None:
    """Half of the budget: some leaves are in tables, the others are worked out by quadrature."""
    model, players = random_model(5, n_trees=12, n_leaves=30), make_players(NAMES, {"both": ["a", "c"]})
    columns = columns_of(300, 5)
    whole = TableContributions(model, players, 0)
    half = TableContributions(model, players, 0, budget_bytes=whole.n_bytes // 2)
    assert whole.n_table_leaves == whole.n_leaves
    assert 0 < half.n_table_leaves < half.n_leaves
    assert half.n_bytes <= whole.n_bytes // 2
    np.testing.assert_allclose(half.of(columns, 300), whole.of(columns, 300), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        whole.of(columns, 300), TreeContributions(model, players, 0).of(columns, 300), atol=1e-12
    )


def interventional_of(model: TreeModel, output: int, row: list[int], background: Any, players: Players) -> list[float]:
    """Return Shapley values where what is not known is taken from background rows, one after another."""
    owner = [int(players.of_feature[one.column]) for one in model.columns]

    def worth(known: frozenset[int]) -> float:
        mixed = [
            [row[place] if owner[place] in known else int(other[place]) for place in range(len(owner))]
            for other in background.T
        ]
        everybody = frozenset(range(N_COLUMNS))
        return float(np.mean([expected_of(model, output, bins, everybody, players) for bins in mixed]))

    return shapley_of(worth, len(players.names))


@pytest.mark.parametrize("groups", [{}, {"both": ["a", "c"]}], ids=str)
def test_contributions_against_a_background_are_the_average_over_all_orders(groups: dict[str, list[str]]) -> None:
    players = make_players(NAMES, groups)
    for seed, n_background in ((0, 7), (1, 1)):
        model = random_model(seed, n_leaves=12)
        model.cover[:] = 0.0  # how training went is not asked
        columns, others = columns_of(3, seed), columns_of(n_background, seed + 50)
        bins = np.array([places_of(columns[one.column], one) for one in model.columns])
        background = np.array([places_of(others[one.column], one) for one in model.columns])
        asked = TableContributions(model, players, 0, background=(others, n_background))
        given = asked.of(columns, 3)
        for row in range(3):
            expected = interventional_of(model, 0, bins[:, row].tolist(), background, players)
            np.testing.assert_allclose(given[row], expected, rtol=0, atol=1e-13)
            raw = expected_of(model, 0, bins[:, row].tolist(), frozenset(range(N_COLUMNS)), players)
            assert asked.base + given[row].sum() == pytest.approx(raw, abs=1e-12)


def test_a_background_for_which_the_budget_is_too_small_is_refused() -> None:
    model, columns = random_model(1), columns_of(5, 1)
    with pytest.raises(NotUnderstood, match="MiB of tables"):
        TableContributions(model, make_players(NAMES), 0, background=(columns, 5), budget_bytes=0)
    with pytest.raises(NotUnderstood, match="no rows"):
        TableContributions(model, make_players(NAMES), 0, background=(columns_of(0, 1), 0))


@pytest.mark.parametrize(("direction", "sign"), [(0, None), (1, 1.0), (-1, -1.0)])
def test_the_largest_contributions_are_picked_ties_in_the_order_of_players(direction: int, sign: float | None) -> None:
    rng = np.random.default_rng(0)
    sums = rng.integers(-3, 4, (6, 700)).astype(float)
    player, value = np.zeros((700, 4), np.int32), np.zeros((700, 4), np.float32)
    count = np.zeros(700, np.int32)
    pick_largest(sums[np.newaxis], 700, direction, player, value, count)
    for row in range(700):
        wanted = [one for one in range(6) if (sums[one, row] != 0 if sign is None else sums[one, row] * sign > 0)]
        wanted = sorted(wanted, key=lambda one: -abs(sums[one, row]))[:4]
        assert player[row, : count[row]].tolist() == wanted
        assert value[row, : count[row]].tolist() == sums[wanted, row].tolist()


def test_a_model_of_which_the_training_rows_are_not_known_is_refused() -> None:
    model = random_model(1)
    model.cover[:] = 0.0
    with pytest.raises(NotUnderstood, match="training rows"):
        TreeContributions(model, make_players(NAMES), 0)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"x": []}, "no columns"),
        ({"x": ["z"]}, "does not read"),
        ({"x": ["a"], "y": ["a", "b"]}, "in the groups"),
        ({"c": ["a", "b"]}, "another name"),
    ],
)
def test_groups_that_are_none_are_refused(groups: dict[str, list[str]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_players(NAMES, groups)
