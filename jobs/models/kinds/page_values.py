"""The columns that a kind of label brings to a page, made of what a model says, as Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.models.kinds.class_metrics import predicted
from jobs.models.kinds.figures import Floats, Target
from warehouse.label_kinds import KINDS, MOST_FIELDS, middle_of, quantile_name

if TYPE_CHECKING:
    import pyarrow as pa


def page_values(scores: Floats, target: Target) -> dict[str, pa.Array]:
    """Give the columns of a page of some kind, of what `Target.scores` gives."""
    if target.classes:
        return class_columns(scores, target.classes)
    if target.quantiles:
        return quantile_columns(scores, target.quantiles)
    # A rank is given where the lists are whole: in SQL, over all that is scored (`jobs.pages.scores.score`).
    return {KINDS[target.kind].score: _doubles(scores)}


def _doubles(values: Floats) -> pa.Array:
    """Give values as Arrow. pyarrow 26's own way imports `numpy.ma` to ask whether some are masked."""
    import pyarrow as pa

    kept = pa.py_buffer(np.ascontiguousarray(values, np.float64))
    return pa.Array.from_buffers(pa.float64(), len(values), [None, kept])


def quantile_columns(quantiles: Floats, levels: Sequence[float]) -> dict[str, pa.Array]:
    """Give `prediction`, the median or the middle one, and `quantiles`, (n_rows, n_quantiles), each in a field."""
    import pyarrow as pa

    values = [_doubles(column) for column in quantiles.T]
    fields = pa.StructArray.from_arrays(values, names=[quantile_name(level) for level in levels])
    return {"prediction": values[middle_of(levels)], "quantiles": fields}


def class_columns(probabilities: Floats, classes: Sequence[str]) -> dict[str, pa.Array]:
    """Give `prediction`, of equally likely classes the first, and `probabilities`.

    Parameters
    ----------
    probabilities
        (n_rows, n_classes), in the order of `classes`.
    """
    import pyarrow as pa

    names = pa.array(classes, pa.string())
    prediction = names.take(pa.array(predicted(probabilities)))
    n_rows, n_classes = probabilities.shape
    if n_classes <= MOST_FIELDS:
        values = [_doubles(column) for column in probabilities.T]
        return {"prediction": prediction, "probabilities": pa.StructArray.from_arrays(values, names=list(classes))}
    offsets = pa.array(np.arange(n_rows + 1, dtype=np.int32) * n_classes)
    keys = names.take(pa.array(np.tile(np.arange(n_classes), n_rows)))
    return {
        "prediction": prediction,
        "probabilities": pa.MapArray.from_arrays(offsets, keys, _doubles(probabilities.ravel())),
    }
