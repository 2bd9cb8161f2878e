"""The paths to a model's leaves: which players are tested on the way, how, and how many training rows went that way.

The tests of one player on a path count as one, a *condition*: a row satisfies it if it passes all of them, and its
weight is the product of the shares of rows that did so in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.codes import I64
from jobs.scoring.kernels.ensemble import F64
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_structure import TreeStructure, tree_structure
from jobs.scoring.reasons.players import Players


@dataclass(frozen=True)
class LeafPaths:
    """The paths to all leaves, those with the fewest conditions first.

    Parameters
    ----------
    leaf
        (n_leaves,): the place of each leaf among the model's leaves.
    tree
        (n_leaves,): its tree.
    n_conditions
        (n_leaves,): ascending. The conditions of a path stand one after another.
    player, weight
        (n_conditions in all,).
    test_start
        (n_conditions in all,): where a condition's tests begin.
    test_node, test_is_right
        (n_tests in all,): the node that is passed, and whether to its second child.
    """

    leaf: I64
    tree: I64
    n_conditions: I64
    player: I64
    weight: F64
    test_start: I64
    test_node: I64
    test_is_right: npt.NDArray[np.bool_]


def leaf_paths(model: TreeModel, players: Players, needs_cover: bool = True) -> LeafPaths:
    """Work out the paths to a model's leaves.

    Parameters
    ----------
    model, players
        Whose paths, and who its columns belong to.
    needs_cover
        Whether weights are needed; without, they have no meaning where it is not known how training went.

    Raises
    ------
    NotUnderstood
        It is not known how much of the training went through the nodes.
    """
    structure = tree_structure(model)
    leaf, node, child = _tests(structure)
    cover = model.cover
    is_known = model.cover_unit != "unknown" and bool((cover[node] > 0).all())
    if needs_cover and not is_known:
        raise NotUnderstood("the library did not say how many training rows went through each node of its trees")
    feature_of = np.array([column.column for column in model.columns], np.int64)
    column_of = np.array([slot.bins for slot in model.slots], np.int64)
    player = players.of_feature[feature_of[column_of[model.slot[node]]]]
    places = np.flatnonzero(~structure.is_inner)
    # Tests of one player on one path side by side, in the order of the path.
    order = np.lexsort((node, player, leaf))
    leaf, node, child, player = leaf[order], node[order], child[order], player[order]
    is_first = np.ones(len(leaf), np.bool_)
    is_first[1:] = (leaf[1:] != leaf[:-1]) | (player[1:] != player[:-1])
    n_conditions = np.bincount(leaf[is_first], minlength=len(places)).astype(np.int64)
    # Paths of one length side by side.
    ranks = np.empty(len(places), np.int64)
    by_length = np.argsort(n_conditions, kind="stable")
    ranks[by_length] = np.arange(len(places))
    again = np.argsort(ranks[leaf], kind="stable")
    node, child, player = node[again], child[again], player[again]
    start = np.flatnonzero(is_first[again]).astype(np.int64)
    shares = cover[child] / cover[node] if is_known else np.ones(len(child))
    return LeafPaths(
        leaf=by_length,
        tree=structure.tree[places[by_length]],
        n_conditions=n_conditions[by_length],
        player=player[start],
        weight=np.multiply.reduceat(shares, start) if len(start) else np.zeros(0),
        test_start=start,
        test_node=node,
        test_is_right=child != structure.left[node],
    )


def _tests(structure: TreeStructure) -> tuple[I64, I64, I64]:
    """Return every test on every path: the leaf's place among leaves, the node, and the child on the path."""
    parent = np.full(len(structure.tree), -1, np.int64)
    inner = np.flatnonzero(structure.is_inner)
    parent[structure.left[inner]] = inner
    parent[structure.left[inner] + 1] = inner
    child = np.flatnonzero(~structure.is_inner)
    leaf = np.arange(len(child))
    found: list[tuple[Any, Any, Any]] = [(leaf[:0], child[:0], child[:0])]
    while True:
        has_parent = parent[child] >= 0
        child, leaf = child[has_parent], leaf[has_parent]
        if not len(child):
            break
        found.append((leaf, parent[child], child))
        child = parent[child]
    leaves, nodes, children = zip(*found, strict=True)
    return np.concatenate(leaves), np.concatenate(nodes), np.concatenate(children)
