"""The columns of a page of classes: the likeliest, and the probability of each, as Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.models.kinds.class_metrics import predicted
from jobs.models.kinds.figures import Floats
from warehouse.label_kinds import MOST_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa


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
        values = [pa.array(np.ascontiguousarray(column)) for column in probabilities.T]
        return {"prediction": prediction, "probabilities": pa.StructArray.from_arrays(values, names=list(classes))}
    offsets = pa.array(np.arange(n_rows + 1, dtype=np.int32) * n_classes)
    keys = names.take(pa.array(np.tile(np.arange(n_classes), n_rows)))
    return {
        "prediction": prediction,
        "probabilities": pa.MapArray.from_arrays(offsets, keys, pa.array(probabilities.ravel())),
    }
