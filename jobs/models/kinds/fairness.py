"""Figures of groups of entities, how far they lie apart, and how certain that is with the page as the unit.

Each metric is a ratio of two sums, so that a page and group is reduced to such sums once, and pages are drawn again
cheaply (see `page_metrics`). The difference is the largest group's figure less the smallest's, the ratio the smallest
over the largest, as fairlearn has them between groups (Bird et al. 2020): of selection rates that is demographic
parity, and the larger of the differences of true and false positive rates is equalized odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.page_metrics import DRAWS, Floats

#: What a figure is: a group's own, or how far groups lie apart.
VALUE, DIFFERENCE, RATIO = "value", "difference", "ratio"
#: Metrics with their sign: a ratio of the smallest to the largest means nothing of them.
_SIGNED = ("mean_error",)


@dataclass(frozen=True)
class FairnessFigure:
    """A figure of a group, or (with `group` None) how far the groups lie apart; `low` and `high` bound it at 95 %."""

    metric: str
    statistic: str
    group: str | None
    figure: float
    low: float
    high: float
    n_rows: int
    n_pages: int


def row_sums(kind: str, labels: Floats, scores: Floats, threshold: float) -> dict[str, tuple[Floats, Floats]]:
    """Give, for each metric, what each row adds to the upper and to the lower sum, (n_rows,) each."""
    one = np.ones(len(labels))
    if kind == "multiclass":
        return {"accuracy": ((scores.argmax(axis=1) == labels) * 1.0, one)}
    said = scores if scores.ndim == 1 else scores[:, scores.shape[1] // 2]
    error = said - labels
    if kind != "binary":
        return {
            "mean_prediction": (said, one),
            "mean_label": (labels, one),
            "mean_error": (error, one),
            "mae": (np.abs(error), one),
            "mse": (error**2, one),
        }
    selected, ones = (said >= threshold) * 1.0, (labels == 1) * 1.0
    return {
        "selection_rate": (selected, one),
        "true_positive_rate": (selected * ones, ones),
        "false_positive_rate": (selected * (1 - ones), 1 - ones),
        "accuracy": ((selected == ones) * 1.0, one),
        "base_rate": (ones, one),
        "mean_prediction": (said, one),
        "mean_error": (error, one),
        "brier": (error**2, one),
    }


class Tally:
    """Sums by page and group; rows are added in any portions, a page's together."""

    def __init__(self, kind: str, threshold: float) -> None:
        self._kind, self._threshold = kind, threshold
        self._sums: dict[tuple[int, str], dict[str, npt.NDArray[np.float64]]] = {}
        self._n_rows: dict[str, int] = {}
        self._n_pages = 0

    def add(self, pages: npt.NDArray[np.int64], groups: npt.NDArray[np.str_], labels: Floats, scores: Floats) -> None:
        """Add labelled rows: `pages` numbers each row's page within this portion."""
        if not len(labels):
            return
        names, codes = np.unique(groups, return_inverse=True)
        n_pages, n_groups = int(pages.max()) + 1, len(names)
        cells = pages * n_groups + codes
        for metric, (top, bottom) in row_sums(self._kind, labels, scores, self._threshold).items():
            sums = [np.bincount(cells, each, minlength=n_pages * n_groups) for each in (top, bottom)]
            for cell in np.unique(cells):
                key = self._n_pages + int(cell) // n_groups, str(names[cell % n_groups])
                self._sums.setdefault(key, {})[metric] = np.array([sums[0][cell], sums[1][cell]])
        for name, count in zip(names, np.bincount(codes), strict=True):
            self._n_rows[str(name)] = self._n_rows.get(str(name), 0) + int(count)
        self._n_pages += n_pages

    def figures(self, min_rows: int, seed: int = 0) -> list[FairnessFigure]:
        """Give every group's figures, and how far those with enough rows lie apart."""
        if not self._sums:
            return []
        groups = sorted(self._n_rows)
        metrics = list(next(iter(self._sums.values())))
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(self._n_pages, np.full(self._n_pages, 1 / self._n_pages), size=DRAWS)
        counts = np.vstack([np.ones(self._n_pages), counts]).astype(np.float64)
        enough = np.array([self._n_rows[name] >= min_rows for name in groups])
        found: list[FairnessFigure] = []
        drawn: dict[str, Floats] = {}
        for metric in metrics:
            top, bottom = np.zeros((2, self._n_pages, len(groups)))
            for (page, group), sums in self._sums.items():
                top[page, groups.index(group)], bottom[page, groups.index(group)] = sums[metric]
            of_all = counts @ bottom
            values = np.where(of_all > 0, (counts @ top) / np.where(of_all > 0, of_all, 1), np.nan)
            for place, group in enumerate(groups):
                found += self._figure(metric, VALUE, group, values[:, place])
            apart = _apart(values[:, enough])
            drawn[metric] = apart[0]
            found += self._figure(metric, DIFFERENCE, None, apart[0])
            if metric not in _SIGNED:
                found += self._figure(metric, RATIO, None, apart[1])
        if {"true_positive_rate", "false_positive_rate"} <= drawn.keys():
            odds = np.maximum(drawn["true_positive_rate"], drawn["false_positive_rate"])
            found += self._figure("equalized_odds", DIFFERENCE, None, odds)
        return found

    def _figure(self, metric: str, statistic: str, group: str | None, values: Floats) -> list[FairnessFigure]:
        if np.isnan(values[0]):
            return []
        known = values[1:][~np.isnan(values[1:])]
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
        n_rows = self._n_rows[group] if group is not None else sum(self._n_rows.values())
        return [
            FairnessFigure(metric, statistic, group, float(values[0]), float(low), float(high), n_rows, self._n_pages)
        ]


def _apart(values: Floats) -> tuple[Floats, Floats]:
    """Give the difference and the ratio between groups of each draw; NaN where fewer than two are known."""
    known = ~np.isnan(values)
    several = known.sum(axis=1) >= 2
    largest = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    smallest = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.where(several, largest - smallest, np.nan)
        ratio = np.where(several & (largest != 0), smallest / largest, np.nan)
    return np.asarray(difference, np.float64), np.asarray(ratio, np.float64)


def named(columns: Sequence[npt.NDArray[np.object_]]) -> npt.NDArray[np.str_]:
    """Name each row's group by the values of some columns, such as `f, 30 to 39`."""
    texts = [np.array(["NULL" if value is None else str(value) for value in column], str) for column in columns]
    found = texts[0]
    for more in texts[1:]:
        found = np.char.add(np.char.add(found, ", "), more)
    return found
