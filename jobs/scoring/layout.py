"""How a tree ensemble is laid out for the bitvector kernels.

A tree's leaves are numbered from left to right, one bit each; a node whose test fails clears the bits of its
left subtree, and the lowest bit that is left is the exit leaf (QuickScorer, Lucchese et al., SIGIR 2015). The
bits of a tree are cut into planes of 8 or 16, as wide as the codes that the tests compare, so that one vector
instruction tests as many rows as one AND updates (after RapidScorer, Ye et al., KDD 2018); a node takes part
only in the planes in which it clears something.

What is compared are codes: small integers, one per row and slot. A slot is a column seen in one way: the
column's bins in their order with null in one place, or the bins through a table (categories, zero taken as
missing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.bins import ColumnBins, last_passing, numeric_bins, text_bins
from jobs.scoring.ensemble import LEFT, MISSING, RIGHT, Ensemble, Feature, Tree, Values
from jobs.scoring.scorer import NotUnderstood

I64 = npt.NDArray[np.int64]
ZERO_BELOW = 1e-35
"""What LightGBM takes for zero (`kZeroThreshold`, a float32 there)."""


@dataclass(frozen=True)
class Slot:
    """A column seen in one way: `codes[bin]` is what tests compare, of the column's bins number `bins`."""

    bins: int
    codes: I64

    @property
    def is_ranked(self) -> bool:
        """Say whether every code but null's is the bin itself."""
        return bool((self.codes[:-1] == np.arange(len(self.codes) - 1)).all())


@dataclass(frozen=True)
class Tests:
    """Every test of one tree as "fails if codes[slot] > code"; (n_nodes,) each, -1 at leaves."""

    slot: I64
    code: I64


class SlotTable:
    """Collects the slots that an ensemble needs, each once."""

    def __init__(self, ensemble: Ensemble, kinds: Sequence[str]) -> None:
        self.ensemble = ensemble
        self.slots: list[Slot] = []
        self._known: dict[tuple[int, bytes], int] = {}
        self._limits = self._all_limits()
        self.columns: list[ColumnBins] = []
        self._bins_of: dict[int, int] = {}
        self._make_bins(kinds)
        self._values = [self._feature_values(feature) for feature in ensemble.features]

    def _all_limits(self) -> list[npt.NDArray[np.float64]]:
        """Return, per feature, the thresholds that it is compared with, ascending; LightGBM's zero among
        them.
        """
        found: list[list[npt.NDArray[np.float64]]] = [[] for _ in self.ensemble.features]
        for tree in self.ensemble.trees:
            numeric = (tree.left >= 0) & (tree.category_set < 0)
            for feature in np.unique(tree.feature[numeric]):
                at = numeric & (tree.feature == feature)
                found[feature].append(tree.threshold[at])
                if tree.zero_is_missing is not None and tree.zero_is_missing[at].any():
                    zero = np.float64(np.float32(ZERO_BELOW))
                    found[feature].append(np.array([np.nextafter(-zero, -np.inf), zero]))
        return [np.unique(np.concatenate([*limits, np.zeros(0)])) for limits in found]

    def _make_bins(self, kinds: Sequence[str]) -> None:
        by_column: dict[int, list[int]] = {}
        for number, feature in enumerate(self.ensemble.features):
            if len(self._limits[number]) or feature.checks or feature.points is not None:
                by_column.setdefault(feature.column, []).append(number)
        for column, numbers in sorted(by_column.items()):
            features = [self.ensemble.features[number] for number in numbers]
            self._bins_of[column] = len(self.columns)
            if kinds[column] == "text":
                if any(feature.points is None for feature in features):
                    raise NotUnderstood(f"feature {column} is text where the model expects numbers")
                self.columns.append(text_bins(column, features))
            else:
                dtype = np.dtype(kinds[column])
                passing = [
                    last_passing(self.ensemble.features[number], self._limits[number], dtype)
                    for number in numbers
                    if self.ensemble.features[number].points is None
                ]
                self.columns.append(numeric_bins(column, kinds[column], features, passing))

    def _feature_values(self, feature: Feature) -> Values:
        """Return the feature's value in each bin of its column."""
        place = self._bins_of.get(feature.column)
        if place is None:
            return np.zeros(0)
        return feature(self.columns[place].samples()).astype(np.float64)

    def _slot(self, bins: int, codes: I64) -> int:
        key = (bins, codes.tobytes())
        if key not in self._known:
            self._known[key] = len(self.slots)
            self.slots.append(Slot(bins, codes))
        return self._known[key]

    def numeric_tests(
        self, feature: int, limits: npt.NDArray[np.float64], missing_left: bool, zero_is_missing: bool
    ) -> tuple[int, I64]:
        """Return the slot, and the codes that tests `feature <= limit` compare with."""
        bins = self._bins_of[self.ensemble.features[feature].column]
        values, all_limits = self._values[feature], self._limits[feature]
        last_code = np.searchsorted(values[:-1], all_limits, side="right").astype(np.int64) - 1
        is_magnitude = self.ensemble.features[feature].points is None
        if is_magnitude and not zero_is_missing and (last_code >= 0).all():
            # The bins are codes already; null's place among them is that of the value it stands for.
            codes = np.arange(len(values))
            below = int(np.searchsorted(all_limits, values[-1], side="left"))
            codes[-1] = last_code[below - 1] + 1 if below else 0
            if np.isnan(values[-1]):
                codes[-1] = 0 if missing_left else last_code.max(initial=-1) + 1
            return self._slot(bins, codes), last_code[np.searchsorted(all_limits, limits)]
        # A bin's code is how many of the feature's thresholds are below its value.
        codes = np.searchsorted(all_limits, values, side="left").astype(np.int64)
        missing = np.isnan(values)
        if zero_is_missing:
            missing = missing | (np.abs(values) <= np.float64(np.float32(ZERO_BELOW)))
        codes[missing] = 0 if missing_left else len(all_limits)
        return self._slot(bins, codes), np.searchsorted(all_limits, limits).astype(np.int64)

    def category_test(self, feature: int, category_set: npt.NDArray[np.int8], missing_left: bool) -> int:
        """Return the slot whose code is 1 where the category does not go left; tests compare it with 0."""
        bins = self._bins_of[self.ensemble.features[feature].column]
        values = self._values[feature]
        known = (values > -1) & (values < len(category_set))
        code = np.where(known, values, 0).astype(np.int64)
        goes = np.where(known, category_set[code] if len(category_set) else MISSING, MISSING)
        goes = np.where(goes == MISSING, LEFT if missing_left else RIGHT, goes)
        return self._slot(bins, (goes == RIGHT).astype(np.int64))

    def tests_of(self, tree: Tree) -> Tests:
        """Return the tests of one tree, adding the slots that they need."""
        n_nodes = len(tree.left)
        slot, code = np.full(n_nodes, -1, np.int64), np.full(n_nodes, -1, np.int64)
        inner = tree.left >= 0
        zero = np.zeros(n_nodes, np.bool_) if tree.zero_is_missing is None else tree.zero_is_missing
        numeric = inner & (tree.category_set < 0)
        groups = np.stack([tree.feature, tree.missing_left, zero], axis=1)
        for feature, missing_left, zero_is_missing in np.unique(groups[numeric], axis=0):
            at = numeric & (groups == (feature, missing_left, zero_is_missing)).all(axis=1)
            slot[at], code[at] = self.numeric_tests(
                int(feature), tree.threshold[at], bool(missing_left), bool(zero_is_missing)
            )
        for node in np.flatnonzero(inner & (tree.category_set >= 0)):
            chosen = self.ensemble.category_sets[tree.category_set[node]]
            slot[node] = self.category_test(int(tree.feature[node]), chosen, bool(tree.missing_left[node]))
            code[node] = 0
        return Tests(slot, code)


def leaf_order(tree: Tree) -> tuple[I64, I64, I64]:
    """Number the leaves from left to right.

    Returns
    -------
    tuple
        The leaves' nodes in that order; and for each node the first leaf under it, and the first one after.
    """
    n_nodes = len(tree.left)
    first, last = np.zeros(n_nodes, np.int64), np.zeros(n_nodes, np.int64)
    leaves: list[int] = []
    stack = [(0, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            last[node] = len(leaves)
            continue
        first[node] = len(leaves)
        if tree.left[node] < 0:
            leaves.append(node)
            last[node] = len(leaves)
        else:
            stack += [(node, True), (int(tree.right[node]), False), (int(tree.left[node]), False)]
    return np.array(leaves, np.int64), first, last


@dataclass(frozen=True)
class Layout:
    """What the bitvector kernels read; arrays of one entry per (node, plane), plane, tree and leaf.

    Parameters
    ----------
    columns, slots
        The bins of each column, and the ways in which they are looked at.
    width
        Bits of a code and of a plane: 8 or 16.
    slot, code, mask
        (n_entries,): if `codes[slot] > code` then AND the plane with `mask`. Codes are shifted to be signed.
    plane_end
        (n_planes,): where a plane's entries end. The planes of a tree stand last to first.
    tree_end
        (n_trees,): where a tree's planes end.
    leaf_start
        (n_trees,): where a tree's leaves begin in `leaves`.
    leaves
        (n_leaves, leaf_width) what each leaf adds, of the type of the sum.
    output
        (n_trees,): the first output that a tree adds to.
    """

    columns: tuple[ColumnBins, ...]
    slots: tuple[Slot, ...]
    width: int
    slot: npt.NDArray[np.int32]
    code: npt.NDArray[np.signedinteger[Any]]
    mask: npt.NDArray[np.signedinteger[Any]]
    plane_end: npt.NDArray[np.int32]
    tree_end: npt.NDArray[np.int32]
    leaf_start: npt.NDArray[np.int64]
    leaves: npt.NDArray[Any]
    output: npt.NDArray[np.int32]


def _entries_of(tree: Tree, tests: Tests, width: int) -> tuple[list[npt.NDArray[np.int64]], I64]:
    """Return the (slot, code, mask) entries of each plane, last plane first, and the leaves' nodes."""
    leaves, first, last = leaf_order(tree)
    inner = np.flatnonzero(tree.left >= 0)
    inner = inner[np.lexsort((tests.code[inner], tests.slot[inner]))]
    begin, end = first[tree.left[inner]], last[tree.left[inner]]
    planes: list[npt.NDArray[np.int64]] = []
    for plane in reversed(range((len(leaves) + width - 1) // width)):
        low, high = np.maximum(begin, plane * width), np.minimum(end, (plane + 1) * width)
        touched = low < high
        keep = (1 << (high - plane * width)[touched]) - (1 << (low - plane * width)[touched])
        at = inner[touched]
        planes.append(np.stack([tests.slot[at], tests.code[at], ~keep], axis=1))
    return planes, leaves


def lay_out(ensemble: Ensemble, kinds: Sequence[str]) -> Layout:
    """Lay an ensemble out for the bitvector kernels.

    Parameters
    ----------
    ensemble
        The model.
    kinds
        Of each input column "float64", "float32" or "text", see `feature_kind`.

    Raises
    ------
    NotUnderstood
        A column is text where the model expects numbers.
    """
    table = SlotTable(ensemble, kinds)
    # Trees of one output side by side, their order kept: that is the order of each output's sum.
    trees = sorted(ensemble.trees, key=lambda tree: tree.output)
    tests = [table.tests_of(tree) for tree in trees]
    largest = max([2, *(int(slot.codes.max(initial=0)) for slot in table.slots)])
    largest = max(largest, *(column.size - 1 for column in table.columns), 0) if table.columns else largest
    width = 8 if largest < 256 and ensemble.max_leaves <= 256 else 16
    entries: list[npt.NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
    plane_sizes: list[int] = []
    tree_planes: list[int] = []
    leaf_values: list[npt.NDArray[Any]] = []
    for tree, tree_tests in zip(trees, tests, strict=True):
        planes, leaves = _entries_of(tree, tree_tests, width)
        entries += planes
        plane_sizes += [len(plane) for plane in planes]
        tree_planes.append(len(planes))
        leaf_values.append(tree.value[leaves])
    flat = np.concatenate(entries)
    cell = np.dtype(np.int8 if width == 8 else np.int16)
    leaf_counts = np.array([0, *(len(values) for values in leaf_values)], np.int64)
    return Layout(
        columns=tuple(table.columns),
        slots=tuple(table.slots),
        width=width,
        slot=flat[:, 0].astype(np.int32),
        code=(flat[:, 1] - (1 << (width - 1))).astype(cell),
        mask=flat[:, 2].astype(cell),
        plane_end=np.cumsum(plane_sizes, dtype=np.int32),
        tree_end=np.cumsum(tree_planes, dtype=np.int32),
        leaf_start=np.cumsum(leaf_counts)[:-1],
        leaves=np.concatenate(leaf_values or [np.zeros((0, 1))]).astype(ensemble.base.dtype),
        output=np.array([tree.output for tree in trees], np.int32),
    )
