"""Reasons are exact: equal to the average over all orders of players, worked out one by one, and they add up."""

from __future__ import annotations

import itertools
import math
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
from jobs.scoring.reasons.players import Players, make_players
from jobs.scoring.reasons.tree_contributions import ROWS, TreeContributions
from warehouse.errors import UsageError

N_COLUMNS = 5
NAMES = list("abcde")


def random_tree(rng: np.random.Generator, n_leaves: int, output: int, width: int) -> Tree:
    """Return a tree that splits random leaves; the last column is tested by sets of categories."""
    left, right, feature, cover = [-1], [-1], [0], [1000.0]
    leaves = [0]
    while len(leaves) < n_leaves:
        node = leaves.pop(int(rng.integers(len(leaves))))
        left[node], right[node] = len(left), len(left) + 1
        feature[node] = int(rng.integers(N_COLUMNS))
        share = float(rng.uniform(0.1, 0.9))
        for part in (share, 1 - share):
            leaves.append(len(left))
            left.append(-1)
            right.append(-1)
            feature.append(0)
            cover.append(cover[node] * part)
    n_nodes = len(left)
    is_set = (np.array(feature) == N_COLUMNS - 1) & (np.array(left) >= 0)
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


def random_model(seed: int, n_trees: int = 3, n_leaves: int = 9, n_outputs: int = 1, width: int = 1) -> TreeModel:
    rng = np.random.default_rng(seed)
    trees = tuple(random_tree(rng, n_leaves, place % (n_outputs - width + 1), width) for place in range(n_trees))
    sets = tuple(rng.choice([LEFT, RIGHT], 4).astype(np.int8) for _ in range(3))
    features = tuple(Feature(place) for place in range(N_COLUMNS))
    ensemble = Ensemble(features, trees, rng.normal(size=n_outputs), sets, divisor=2.0)
    return bin_trees(ensemble, ["float64"] * N_COLUMNS, Link("identity", "columns"))


def columns_of(n_rows: int, seed: int) -> list[pa.Array]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, N_COLUMNS))
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


def shapley_of(model: TreeModel, output: int, bins: list[int], players: Players) -> list[float]:
    n_players = len(players.names)
    worth = {
        frozenset(some): expected_of(model, output, bins, frozenset(some), players)
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
            asked = TreeContributions(model, players, output)
            given = asked.of(columns, 4)
            bins = np.array([places_of(columns[one.column], one) for one in model.columns]).reshape(-1, 4)
            assert asked.base == pytest.approx(expected_of(model, output, [], frozenset(), players), abs=1e-12)
            for row in range(4):
                expected = shapley_of(model, output, bins[:, row].tolist(), players)
                np.testing.assert_allclose(given[row], expected, rtol=0, atol=1e-13)


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


def test_the_bits_do_not_depend_on_the_batch() -> None:
    asked = TreeContributions(random_model(3, n_trees=20, n_leaves=40), make_players(NAMES), 0)
    n_rows = 2 * ROWS + 5
    columns = columns_of(n_rows, 3)
    whole = asked.of(columns, n_rows)
    for first, size in ((0, 1), (7, 3), (ROWS - 1, 2), (40, 29)):
        part = asked.of([column.slice(first, size) for column in columns], size)
        assert np.array_equal(part, whole[first : first + size])


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
