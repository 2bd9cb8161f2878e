"""Validation of a training: held-out pages in time order, their figures, calibration, and what the model leans on.

The model of a fold could have existed at its cut-off: it sees the pages before, and the labels known by then. What
it says of the pages after is kept with the version, as its evidence from before it existed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.models.columns.findings import empty_columns
from jobs.models.folds import Fold
from jobs.models.importance import permutation_importance
from jobs.models.kinds.class_metrics import by_class
from jobs.models.kinds.figures import FIGURES, Floats, Target, scores_of
from jobs.models.kinds.ranking_metrics import Lists
from jobs.monitoring.performance.losses import KINDS_JUDGED, losses
from jobs.pages.labelled import TrainingRows
from jobs.rollout.evidence import lists_of
from jobs.scoring import compile_model
from jobs.training.fit import Learnt, Way
from warehouse.definitions import Product
from warehouse.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

#: The newest held-out pages, whose figures are given apart: how good it was of late.
LAST_PAGES = 14
#: The mean loss on pages that were learnt long ago, by the name that it has among a fold's figures.
OLD_LOSS = "old_loss"


@dataclass(frozen=True)
class Validation:
    """What validation found.

    Attributes
    ----------
    metrics
        `validation_*` over all held-out pages, `last_*` over the newest of them.
    folds
        Each fold's cut-off, rows, seconds of fitting, and the features that had no value yet, and were left out; the
        newest one's loss on old pages, if it was asked for.
    calibration
        Of probabilities: ten equally large groups, predicted and observed; of classes so many of each.
    by_class
        Of classes: how well each was told, and what its rows were taken for.
    importance
        By how much the loss grows if a feature's values are permuted.
    held_out
        Keys, as_of, label and score of each held-out row; None if nothing could be held out.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    folds: list[dict[str, Any]] = field(default_factory=list)
    calibration: list[dict[str, Any]] = field(default_factory=list)
    by_class: list[dict[str, Any]] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)
    held_out: pa.Table | None = None


def validate(
    product: Product,
    rows: TrainingRows,
    names: Sequence[str],
    folds: Sequence[Fold],
    way: Way,
    *,
    importance: bool = True,
    old: TrainingRows | None = None,
) -> Validation:
    """Hold out each fold's pages, and predict them by a model that has learnt what was known at its cut-off.

    Parameters
    ----------
    rows
        All rows known at the end, with the product's keys among their columns: held-out rows are taken from them.
    names
        The model's features.
    folds
        Oldest first; one for which there are too few labels is left out.
    way
        How a model learns.
    importance
        Whether to work out what the newest fold's model leans on.
    old
        Rows of pages that were learnt long ago: the newest fold says what of them its model has kept.
    """
    kind, seed = product.kind.name, product.header.model.seed
    done: list[dict[str, Any]] = []
    parts: list[pa.Table] = []
    found: dict[str, float] = {}
    crossed = 0
    for fold in folds:
        known = way.rows(fold.cutoff)
        held_out = rows.between(fold.cutoff, fold.until)
        has_values = len(empty_columns(known.features, names)) < len(names)
        if not can_be_learnt(known, kind) or held_out.n_rows == 0 or not has_values:
            continue
        began = time.monotonic()
        learnt = way.fit(known)
        fit_s = time.monotonic() - began
        scorer = compile_model(learnt.estimator, learnt.names)
        target = learnt.target(product)
        predictions = scorer.predict(held_out.features)
        crossed += int(target.crossed(predictions).sum())
        parts.append(_predicted(product.keys, held_out, target.scores(predictions)))
        figures = {"rows_learnt": known.n_rows, "rows_held_out": held_out.n_rows, "fit_s": fit_s}
        if old is not None and fold is folds[-1] and old.n_rows and kind in KINDS_JUDGED:
            figures[OLD_LOSS] = float(losses_of_rows(product, learnt, scorer.predict(old.features), old).mean())
        done.append({**vars(fold), **figures, "left_out": [name for name in names if name not in learnt.names]})
        if importance and fold is folds[-1] and product.ranking is None:
            found = permutation_importance(scorer, held_out.features, held_out.labels, learnt.names, target, seed)
    lists = _lists_in(product, parts)
    summed = _summed_up(parts, done, found, Target(kind, product.classes, (), product.quantiles), lists)
    if product.quantiles and parts:
        share = crossed / sum(part.num_rows for part in parts)
        summed.metrics["validation_crossed"] = share
    return summed


def _lists_in(product: Product, parts: Sequence[pa.Table]) -> Any:
    """Tell which list each held-out row is of, where the product ranks."""
    import pyarrow as pa

    if product.ranking is None or not parts:
        return None
    held_out = pa.concat_tables(parts)
    return lists_of(product.ranking, held_out, held_out.column("as_of").to_numpy())


def figures_of(validation: Validation) -> dict[str, Any]:
    """Give what a way of training cost and was worth: rows and seconds of all folds, its metrics, what it has kept."""
    prefix = "validation_"
    old = [fold[OLD_LOSS] for fold in validation.folds if OLD_LOSS in fold]
    return {
        "rows_learnt": sum(fold["rows_learnt"] for fold in validation.folds),
        "fit_s": sum(fold["fit_s"] for fold in validation.folds),
        **({OLD_LOSS: old[-1]} if old else {}),
        **{n.removeprefix(prefix): value for n, value in validation.metrics.items() if n.startswith(prefix)},
    }


def can_be_learnt(rows: TrainingRows, kind: str) -> bool:
    """Tell whether there are labels, and of a label with classes two of them."""
    return rows.n_rows > 0 and (not FIGURES[kind].needs_two_classes or len(np.unique(rows.labels)) >= 2)


def require_losses_of_rows(product: Product) -> None:
    """Refuse a label whose loss is not that of single rows.

    Raises
    ------
    UsageError
        If it is of such a kind.
    """
    if product.kind.name not in KINDS_JUDGED:
        raise UsageError(f"{product.name} predicts a {product.kind.name}, whose loss is not that of single rows.")


def losses_of_rows(product: Product, learnt: Learnt, predictions: Any, rows: TrainingRows) -> Floats:
    """Give the loss of each of some labelled rows by what a model says of them."""
    return losses(rows.labels, learnt.target(product).scores(predictions), product.kind.name, product.quantiles)


def _predicted(keys: Sequence[str], rows: TrainingRows, scores: Any) -> pa.Table:
    import pyarrow as pa

    table = rows.features.select(list(keys)).append_column("as_of", pa.array(rows.pages))
    return table.append_column("label", pa.array(rows.labels)).append_column("score", _column(scores))


def _column(scores: Floats) -> pa.Array:
    """Give scores as a column; of classes, a list of each row's probabilities."""
    import pyarrow as pa

    if scores.ndim == 1:
        return pa.array(scores)
    return pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), scores.shape[1])


def _summed_up(
    parts: Sequence[pa.Table],
    folds: list[dict[str, Any]],
    importance: dict[str, float],
    target: Target,
    lists: Lists | None = None,
) -> Validation:
    import pyarrow as pa

    if not parts:
        return Validation()
    held_out = pa.concat_tables(parts)
    labels, scores = held_out.column("label").to_numpy(), scores_of(held_out)
    pages = held_out.column("as_of").to_numpy()
    of, names = FIGURES[target.kind], target.parts
    metrics = {f"validation_{name}": value for name, value in of.metrics(labels, scores, lists or names).items()}
    found = np.unique(pages)
    newest = pages >= found[-min(LAST_PAGES, (len(found) + 1) // 2)]
    of_late = of.metrics(labels[newest], scores[newest], lists.where(newest) if lists else names)
    metrics |= {f"last_{name}": value for name, value in of_late.items()}
    metrics["last_pages"] = float(len(np.unique(pages[newest])))
    calibration = of.calibration(labels, scores, names)
    told = by_class(labels, scores, target.classes) if target.classes else []
    return Validation(metrics, folds, calibration, told, importance, held_out)
