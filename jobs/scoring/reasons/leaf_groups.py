"""Groups of leaves that one table can hold: which leaves, over which columns, in how many states.

What a leaf contributes depends on which of its path's conditions a row satisfies, so leaves of one tree that test the
same columns share a table over the classes into which their conditions divide each column's values. Leaves are merged
greedily, the two whose table grows least first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.kernels.codes import I64
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.reasons.leaf_paths import LeafPaths

MAX_STATES = 2048
"""States of a table of several leaves: 128 kB for each eight players."""
MAX_COLUMNS = 16
"""Columns of a table of several leaves."""
MAX_CONDITIONS = 16
"""Conditions of a leaf that a table can hold: places of lines have 16 bits."""
MAX_LEAVES = 512
"""Leaves of a tree of which tables are made: merging takes time with the square of them."""


@dataclass(frozen=True)
class LeafGroup:
    """Some leaves of a tree with one table.

    Parameters
    ----------
    paths
        Their places in `LeafPaths`.
    columns
        (n_columns,) ascending: the model's columns that they test, by their place among its bins.
    n_classes
        (n_columns,).
    classes
        (n_columns, n) int32: the class of each bin; what is behind a column's bins has no meaning.
    holds
        Of each leaf, (n_columns, most classes) whether its condition holds in a class; true where it has none.
    """

    paths: I64
    columns: I64
    n_classes: I64
    classes: npt.NDArray[np.int32]
    holds: tuple[npt.NDArray[np.bool_], ...]

    @property
    def n_states(self) -> int:
        """The lines of its table."""
        return int(np.prod(self.n_classes))


def leaf_groups(model: TreeModel, paths: LeafPaths, trees: I64) -> Iterator[LeafGroup]:
    """Merge the leaves of some trees into groups; leaves without conditions, and with too many, are left out.

    Parameters
    ----------
    model
        The model.
    paths
        Its paths, with one player for each of its features.
    trees
        Which trees, each of at most `MAX_LEAVES` leaves.
    """
    order = np.argsort(paths.tree, kind="stable")
    bounds = np.searchsorted(paths.tree[order], [trees, trees + 1])
    starts = np.cumsum(paths.n_conditions) - paths.n_conditions
    test_ends = np.append(paths.test_start[1:], len(paths.test_node))
    passes = _Passes(model)
    for first, last in bounds.T.tolist():
        own = order[first:last]
        own = own[(paths.n_conditions[own] > 0) & (paths.n_conditions[own] <= MAX_CONDITIONS)]
        if len(own):
            yield from _TreeGroups(model, paths, own, starts, test_ends, passes).groups()


class _Passes:
    """Which bins pass a test to the first child, each looked up once."""

    def __init__(self, model: TreeModel) -> None:
        self._model = model
        self._known: dict[tuple[int, int], npt.NDArray[np.bool_]] = {}

    def of(self, node: int) -> npt.NDArray[np.bool_]:
        key = (int(self._model.slot[node]), int(self._model.code[node]))
        if key not in self._known:
            self._known[key] = self._model.slots[key[0]].codes <= key[1]
        return self._known[key]


class _TreeGroups:
    """The leaves of one tree on their way into groups.

    The values of a column that no test of the tree tells apart are one segment, so that there are few.
    """

    def __init__(
        self, model: TreeModel, paths: LeafPaths, own: I64, starts: I64, test_ends: I64, passes: _Passes
    ) -> None:
        self._own = own
        sizes = paths.n_conditions[own]
        conditions = np.concatenate(
            [np.arange(at, at + n) for at, n in zip(starts[own].tolist(), sizes.tolist(), strict=True)]
        )
        leaf = np.repeat(np.arange(len(own)), sizes)
        tests = [
            np.arange(first, last)
            for first, last in zip(paths.test_start[conditions].tolist(), test_ends[conditions].tolist(), strict=True)
        ]
        n_tests = np.array([len(part) for part in tests])
        test = np.concatenate(tests)
        nodes, node_of = np.unique(paths.test_node[test], return_inverse=True)
        bins = np.array([slot.bins for slot in model.slots], np.int64)[model.slot[nodes]]
        self._columns, column_of = np.unique(bins, return_inverse=True)
        self._segments: list[npt.NDArray[np.int64]] = []
        passed = []
        for place in range(len(self._columns)):
            here = np.flatnonzero(column_of == place)
            found = np.stack([passes.of(int(node)) for node in nodes[here]])
            first, segment = _segments(found)
            self._segments.append(segment)
            passed.append((here, found[:, first]))
        self._n_segments = np.array([part.shape[1] for _, part in passed], np.int64)
        by_node = np.zeros((len(nodes), int(self._n_segments.max())), np.bool_)
        for here, part in passed:
            by_node[here, : part.shape[1]] = part
        is_met = np.logical_and.reduceat(
            by_node[node_of] != paths.test_is_right[test, np.newaxis], np.cumsum(n_tests) - n_tests, axis=0
        )
        column = column_of[node_of[np.cumsum(n_tests) - n_tests]]
        self._holds = np.ones((len(own), len(self._columns), by_node.shape[1]), np.bool_)
        self._holds[leaf, column] = is_met
        self._n_classes = np.ones((len(own), len(self._columns)), np.int64)
        self._n_classes[leaf, column] = 2
        self._has_condition = self._n_classes > 1

    def groups(self) -> Iterator[LeafGroup]:
        """Merge the leaves; give the groups."""
        from jobs.scoring.reasons import grouping_kernel

        classes = (~self._holds).astype(np.int32)
        owner = np.zeros(len(self._own), np.int64)
        limits = np.array([MAX_STATES, MAX_COLUMNS], np.int64)
        grouping_kernel.group_leaves(classes, self._n_classes, self._n_segments, limits, owner)
        for leader in np.unique(owner).tolist():
            yield self._group(np.flatnonzero(owner == leader), classes[leader], self._n_classes[leader])

    def _group(self, members: I64, classes: npt.NDArray[np.int32], n_classes: I64) -> LeafGroup:
        # A condition that holds nowhere, or everywhere, makes one class, and its player still has a part in the leaf.
        some = np.flatnonzero(self._has_condition[members].any(axis=0))
        widest = max(len(self._segments[place]) for place in some.tolist())
        of_bins = np.zeros((len(some), widest), np.int32)
        holds = np.ones((len(members), len(some), int(n_classes.max())), np.bool_)
        for number, place in enumerate(some.tolist()):
            segment = self._segments[place]
            of_bins[number, : len(segment)] = classes[place, segment]
            n_segments = int(self._n_segments[place])
            own = classes[place, :n_segments]
            holds[:, number, own] = self._holds[members, place, :n_segments]
        return LeafGroup(self._own[members], self._columns[some], n_classes[some], of_bins, tuple(holds))


def _segments(passed: npt.NDArray[np.bool_]) -> tuple[I64, I64]:
    """Return the first bin of each kind of bin that some tests (n_tests, n_bins) tell apart, and the kind of each."""
    packed = np.ascontiguousarray(np.packbits(passed, axis=0).T)
    if packed.shape[1] <= 8:
        words = np.zeros((len(packed), 8), np.uint8)
        words[:, : packed.shape[1]] = packed
        keys: npt.NDArray[Any] = words.view(np.uint64)[:, 0]
    else:
        keys = packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, first, segment = np.unique(keys, return_index=True, return_inverse=True)
    return first.astype(np.int64), segment.astype(np.int64)
