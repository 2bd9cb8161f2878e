"""Permutation importance: how much worse predictions become when one feature's values are permuted.

Breiman, Random Forests (Machine Learning, 2001), on rows that the model has not seen. The cost is bounded: one
permutation a feature, on rows chosen evenly from those held out, fewer of them where there are more features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.models.kinds.figures import Target
from jobs.models.kinds.page_metrics import Floats, Scored, figure
from warehouse.label_kinds import KINDS

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.scoring import Scorer

#: How many rows are scored in all, for each kind of label's metric.
_ROWS_IN_ALL = 200_000
_MOST_ROWS = 4_000


def permutation_importance(
    scorer: Scorer, features: pa.Table, labels: Floats, names: Sequence[str], target: Target, seed: int
) -> dict[str, float]:
    """Give by how much the loss grows for each feature: that of the kind of label.

    Parameters
    ----------
    scorer
        Of a model that has not seen these rows.
    features, labels
        The rows, n_rows of each.
    names
        The features.
    target
        What the predictions are of.
    seed
        Makes the permutations the same each time.
    """
    import pyarrow as pa

    n_rows = min(len(labels), _MOST_ROWS, max(1, _ROWS_IN_ALL // max(1, len(names))))
    chosen = np.linspace(0, len(labels) - 1, n_rows).astype(np.int64)
    rows, known = features.select(list(names)).take(pa.array(chosen)).combine_chunks(), labels[chosen]
    rng = np.random.default_rng(seed)

    def loss(table: pa.Table) -> float:
        scores = score_of(scorer, table, target)
        return figure(KINDS[target.kind].loss, Scored(known, scores, np.zeros(n_rows, np.int64), 1, target.quantiles))

    before = loss(rows)
    importance = {}
    for place, name in enumerate(names):
        dealt = rows.column(name).take(pa.array(rng.permutation(n_rows)))
        importance[name] = loss(rows.set_column(place, name, dealt)) - before
    return importance


def score_of(scorer: Scorer, table: pa.Table, target: Target) -> Floats:
    """Give what metrics are taken of: a probability or number a row, or a probability for each class."""
    return target.scores(scorer.predict(table))
