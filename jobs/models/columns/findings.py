"""What is odd about the columns that a model is to learn from: empty, constant, equal to each other, or too good.

A column that is missing in all rows teaches nothing, and some estimators fail on it: it is left out. The others are
named, as the field's checklists ask (Kaufman, Rosset, Perlich, Stitelman: Leakage in Data Mining, ACM TKDD 2012): one
value throughout, two columns with the same values, and a column that alone foretells the label, which mostly means
that it was not known when the page was made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.figures import FIGURES
from jobs.scoring import estimator_input
from warehouse.label_kinds import KINDS
from warehouse.ledger.records import ModelRecord

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Floats = npt.NDArray[np.float64]
#: From which ROC AUC, or R2, of one column alone on it is called too good.
TOO_GOOD = 0.95
#: So many rows are looked at, chosen evenly.
_MOST_ROWS = 100_000
#: A column that is not constant mostly differs within so many.
_FIRST_ROWS = 1_000
_BINS = 32
_MOST_CATEGORIES = 1_000
#: A bin's mean counts as if it had so many more rows of the overall mean.
_PRIOR_ROWS = 10
_SHOWN = 10


@dataclass(frozen=True)
class FeatureFindings:
    """Columns by what is odd about them.

    Attributes
    ----------
    empty
        NULL or NaN in all rows.
    constant
        One and the same value in all rows.
    duplicates
        Groups of columns with the same values in every row.
    leaks
        Columns that alone foretell the label, with their ROC AUC or R2 on the newer half of the rows.
    """

    empty: list[str] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    leaks: dict[str, float] = field(default_factory=dict)

    def in_words(self, kind: str) -> list[str]:
        """Say what was found, a sentence each; `kind` is the label's."""
        said = []
        if self.empty:
            said.append(f"{_listed(self.empty)} had no value in any training row, and the model does not read it")
        if self.constant:
            said.append(f"{_listed(self.constant)} had one and the same value in all training rows")
        said += [f"{_listed(group)} had the same values in every training row" for group in self.duplicates]
        said += [
            f"`{name}` alone foretells the label ({KINDS[kind].alone} {value:.3f}): see that it is known before the"
            " page is made (known_at, arrives_within), and is no part of what came of it"
            for name, value in self.leaks.items()
        ]
        return said


def find_oddities(rows: pa.Table, labels: Floats, names: Sequence[str], kind: str) -> FeatureFindings:
    """Look at the columns of training rows, which are in the order of their pages.

    Parameters
    ----------
    rows, labels
        n_rows of each; `rows` holds the columns `names`.
    kind
        binary or regression.
    """
    empty = empty_columns(rows, names)
    chosen = np.unique(np.linspace(0, len(labels) - 1, min(_MOST_ROWS, len(labels))).astype(np.int64))
    there = [name for name in names if name not in empty]
    constant, alike = [], dict[str, list[str]]()
    leaks: dict[str, float] = {}
    for name in there:
        column = _values(rows, name)
        if _is_constant(column):
            constant.append(name)
            continue
        column = column.gather(chosen)
        alike.setdefault(_hash(column), []).append(name)
        found = _alone(column, labels[chosen], kind)
        if found is not None and found >= TOO_GOOD:
            leaks[name] = found
    equal: dict[str, list[str]] = {}
    # What differs in the rows that were looked at is not equal: the others are few, and compared in all rows.
    doubtful = {name for group in alike.values() if len(group) > 1 for name in group}
    for name in (name for name in there if name in doubtful):
        equal.setdefault(_hash(_values(rows, name)), []).append(name)
    return FeatureFindings(empty, constant, [group for group in equal.values() if len(group) > 1], leaks)


def _values(rows: pa.Table, name: str) -> pl.Series:
    """Give a column as estimators are given it."""
    return estimator_input(rows.select([name]), [name]).to_series()


def _is_constant(column: pl.Series) -> bool:
    """Tell whether a column has one and the same value in all rows; most that do not say so in their first ones."""
    return column.head(_FIRST_ROWS).n_unique() == 1 and column.n_unique() == 1


def empty_columns(rows: pa.Table, names: Sequence[str]) -> list[str]:
    """Name the columns that are NULL or NaN in all rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def is_empty(column: pa.ChunkedArray) -> bool:
        if column.null_count == len(column):
            return True
        return bool(pa.types.is_floating(column.type) and pc.all(pc.is_nan(column.drop_null())).as_py())

    return [name for name in names if is_empty(rows.column(name))]


def findings_of(model: ModelRecord) -> FeatureFindings:
    """Give what the training of a version found of its columns; nothing of versions that do not record it."""
    recorded: dict[str, Any] = json.loads(model.validation or "{}").get("features") or {}
    return FeatureFindings(**recorded)


def _hash(column: pl.Series) -> str:
    """Hash a column's values; NaN as one value, and zero without its sign."""
    import polars as pl

    if column.dtype == pl.String:
        values = column.hash(seed=0).to_numpy().tobytes() + column.is_null().to_numpy().tobytes()
    else:
        numbers = column.cast(pl.Float64).to_numpy()
        values = np.where(np.isnan(numbers), np.nan, numbers + 0.0).tobytes()
    return hashlib.blake2b(values, digest_size=16).hexdigest()


def _alone(column: pl.Series, labels: Floats, kind: str) -> float | None:
    """Give the ROC AUC or R2, on the newer half, of the label's mean by the column's value in the older half."""
    half = len(labels) // 2
    older, newer = labels[:half], labels[half:]
    if KINDS[kind].has_classes:
        # Of each class against the rest, the one that the column foretells best.
        of_each = [_alone(column, (labels == code) * 1.0, "binary") for code in np.unique(labels)]
        return max((found for found in of_each if found is not None), default=None)
    if any(FIGURES[kind].tells_nothing(part) for part in (older, newer)):
        return None
    codes = _codes(column, half)
    mean = older.mean()
    counts = np.bincount(codes[:half], minlength=codes.max() + 1)
    sums = np.bincount(codes[:half], weights=older, minlength=codes.max() + 1)
    said = ((sums + _PRIOR_ROWS * mean) / (counts + _PRIOR_ROWS))[codes[half:]]
    return FIGURES[kind].alone(newer, said)


def _codes(column: pl.Series, half: int) -> npt.NDArray[np.int64]:
    """Number a column's values: bins that hold equally many of the older half, or categories; missing is 0."""
    import polars as pl

    if column.dtype == pl.String:
        common = column.head(half).drop_nulls().value_counts(sort=True).to_series().head(_MOST_CATEGORIES).to_list()
        numbers = {value: number for number, value in enumerate(common, start=1)}
        codes = column.replace_strict(numbers, default=len(common) + 1, return_dtype=pl.Int64)
        return np.where(column.is_null().to_numpy(), 0, codes.to_numpy())
    numbers_ = column.cast(pl.Float64).to_numpy()
    known = numbers_[:half][~np.isnan(numbers_[:half])]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else np.zeros(0)
    return np.where(np.isnan(numbers_), 0, 1 + np.searchsorted(edges, numbers_, side="left"))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(f'`{name}`' for name in names[:_SHOWN])}{more}"
