"""The slots of an ensemble: the ways in which its tests look at the input columns.

What tests compare are codes: small integers, one per row and slot. A slot is a column seen in one way: its
bins in their order with null in one place, or its bins through a table (categories, zero taken as missing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.bins import ColumnBins, last_passing, numeric_bins, text_bins
from jobs.scoring.kernels.ensemble import LEFT, MISSING, RIGHT, Ensemble, Feature, Tree, Values

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
        self._numeric: dict[tuple[int, bool, bool], tuple[int, I64]] = {}
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
            for node in np.flatnonzero(tree.category_set >= 0):
                # A number is the category that it begins with.
                size = len(self.ensemble.category_sets[tree.category_set[node]])
                ends = np.nextafter(np.arange(size + 1, dtype=np.float64), -np.inf)
                found[tree.feature[node]] += [ends, np.array([-1.0])]
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

    def _numeric_slot(self, feature: int, missing_left: bool, zero_is_missing: bool) -> tuple[int, I64]:
        """Return the slot that tests `feature <= limit` look at, and the code of each limit there."""
        bins = self._bins_of[self.ensemble.features[feature].column]
        values, limits = self._values[feature], self._limits[feature]
        last_code = np.searchsorted(values[:-1], limits, side="right").astype(np.int64) - 1
        is_magnitude = self.ensemble.features[feature].points is None
        if is_magnitude and not zero_is_missing and (last_code >= 0).all():
            # The bins are codes already; null's place among them is that of the value it stands for.
            codes = np.arange(len(values))
            below = int(np.searchsorted(limits, values[-1], side="left"))
            codes[-1] = last_code[below - 1] + 1 if below else 0
            if np.isnan(values[-1]):
                codes[-1] = 0 if missing_left else last_code.max(initial=-1) + 1
            return self._slot(bins, codes), last_code
        # A bin's code is how many of the feature's thresholds are below its value.
        codes = np.searchsorted(limits, values, side="left").astype(np.int64)
        missing = np.isnan(values)
        if zero_is_missing:
            missing = missing | (np.abs(values) <= np.float64(np.float32(ZERO_BELOW)))
        codes[missing] = 0 if missing_left else len(limits)
        return self._slot(bins, codes), np.arange(len(limits))

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
            key = (int(feature), bool(missing_left), bool(zero_is_missing))
            if key not in self._numeric:
                self._numeric[key] = self._numeric_slot(*key)
            slot[at], codes = self._numeric[key]
            code[at] = codes[np.searchsorted(self._limits[feature], tree.threshold[at])]
        for node in np.flatnonzero(inner & (tree.category_set >= 0)):
            chosen = self.ensemble.category_sets[tree.category_set[node]]
            slot[node] = self.category_test(int(tree.feature[node]), chosen, bool(tree.missing_left[node]))
            code[node] = 0
        return Tests(slot, code)
