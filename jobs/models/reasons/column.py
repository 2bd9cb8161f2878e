"""The column of reasons: of each row the largest contributions, with their columns' names, as Arrow.

Names are given as codes into a dictionary, and contributions as float32, so that a list of four takes 124 ns a row to
write and some 15 bytes to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.scoring.interface.scorer import Floats
from jobs.scoring.reasons.explainer import Explainer
from jobs.scoring.reasons.largest import Largest
from warehouse.definitions.reasons import ReasonSettings

DIRECTIONS = {"any": 0, "up": 1, "down": -1}
COMPARISONS: dict[str, Callable[[Any, float], Any]] = {
    ">=": np.greater_equal,
    ">": np.greater,
    "<=": np.less_equal,
    "<": np.less,
}
TYPE = pa.list_(pa.struct([("feature", pa.dictionary(pa.int32(), pa.string())), ("contribution", pa.float32())]))


def encodings(schema: pa.Schema) -> dict[str, Any]:
    """Return how Parquet is to hold rows of predictions: what `pyarrow.parquet.ParquetWriter` takes.

    Dictionaries make text small; numbers they make slower to write, and larger. Of reasons nobody asks for statistics,
    and their numbers are smaller with the bytes of one place beside each other.
    """
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    if "reasons" not in schema.names:
        return {"use_dictionary": texts}
    item = "reasons.list.element"
    return {
        "use_dictionary": [*texts, f"{item}.feature"],
        "column_encoding": {f"{item}.contribution": "BYTE_STREAM_SPLIT"},
        "write_statistics": [name for name in schema.names if name != "reasons"],
    }


def no_reasons(n_rows: int) -> pa.Array:
    """Return the column of rows that have no reasons: NULL."""
    return pa.nulls(n_rows, TYPE)


def reasons_column(
    explainer: Explainer,
    settings: ReasonSettings,
    batch: pa.RecordBatch,
    scores: Floats,
    classes: npt.NDArray[np.int64] | None = None,
) -> pa.Array:
    """Return the reasons of a batch's rows; NULL where `where` does not hold.

    Parameters
    ----------
    explainer
        The version's.
    settings
        How many of which direction, and for which rows.
    batch
        With the model's features.
    scores
        (n_rows,).
    classes
        (n_rows,) the place among the version's classes of the one by which each row is explained, where there are such;
        then there is no `where`.
    """
    condition = settings.condition
    if condition is None:
        return _lists(explainer, settings, batch, np.ones(batch.num_rows, np.bool_), classes)
    wanted = np.asarray(COMPARISONS[condition[1]](scores, condition[2]), np.bool_)
    return _lists(explainer, settings, batch.filter(pa.array(wanted)), wanted)


def _lists(
    explainer: Explainer,
    settings: ReasonSettings,
    asked: pa.RecordBatch,
    wanted: npt.NDArray[np.bool_],
    classes: npt.NDArray[np.int64] | None = None,
) -> pa.Array:
    """Return lists for the rows that are asked for, and NULL between them."""
    names = explainer.players.names
    most = len(names) if settings.top == "all" else min(settings.top, len(names))
    if asked.num_rows:
        found = explainer.largest(asked, most, DIRECTIONS[settings.direction], classes)
    else:
        found = Largest.room(0, most)
    sizes = np.zeros(len(wanted), np.int32)
    sizes[wanted] = found.count
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)])
    player, value = found.flat()
    features = pa.DictionaryArray.from_arrays(pa.array(player), pa.array(names, pa.string()))
    items = pa.StructArray.from_arrays([features, pa.array(value)], fields=list(TYPE.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets), items, type=TYPE, mask=pa.array(~wanted))
