"""How Arrow becomes what an estimator is given, in training, in the fallback and as the reference.

There is one such way, so that a model never sees its columns differently from one day to the next. Which
kernel scores a model, and how, is left to the rest of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from jobs.scoring.interface.arrow_functions import cast
from warehouse.errors import ScoringFailed

if TYPE_CHECKING:
    import polars as pl

Batch: TypeAlias = pa.RecordBatch | pa.Table


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def feature_kind(name: str, kind: pa.DataType) -> str:
    """Say as what a column of this Arrow type reaches the estimator.

    Parameters
    ----------
    name
        The column, for the message.
    kind
        Its Arrow type. A dictionary counts as what it holds.

    Returns
    -------
    str
        "float32", "float64" or "text".

    Raises
    ------
    ScoringFailed
        The type is neither a number, nor a boolean, nor text: a model has no use for it as it stands.
    """
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_float32(kind):
        return "float32"
    if _is_text(kind):
        return "text"
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        return "float64"
    raise ScoringFailed(
        f"Column {name!r} is of type {kind}, which no model takes. Give it numbers, booleans or text: turn"
        " instants into durations or parts in the feature's SQL, or leave the column out (leave_out)."
    )


def column_named(batch: Batch, name: str) -> pa.Array | pa.ChunkedArray:
    """Return the one column of that name.

    Raises
    ------
    ScoringFailed
        There is none, or there are several.
    """
    places = batch.schema.get_all_field_indices(name)
    if len(places) == 1:
        return batch.column(places[0])
    if places:
        raise ScoringFailed(f"Column {name!r} occurs {len(places)} times in the rows to score; name it once.")
    present = ", ".join(batch.schema.names) or "none"
    raise ScoringFailed(
        f"The model needs the column {name!r}, and the rows to score do not have it. They have: {present}."
    )


def plain_column(name: str, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Bring a column to float32, float64 or text; nulls stay null.

    float32 and float64 pass as they are, without a copy; other numbers, booleans and decimals become float64
    by Arrow's own conversion; text becomes `string` unless it is one of Arrow's text types already. A
    dictionary is decoded.
    """
    kind = feature_kind(name, column.type)
    if pa.types.is_dictionary(column.type):
        column = cast(column, column.type.value_type)
    if kind == "text" or pa.types.is_float32(column.type) or pa.types.is_float64(column.type):
        return column
    return cast(column, pa.float64())


def estimator_input(batch: Batch, feature_names: Sequence[str]) -> pl.DataFrame:
    """Turn Arrow rows into the frame that estimators are trained on and score.

    Integers, booleans, decimals and floating-point numbers become Float64, and float32 stays Float32, where
    null becomes NaN. Text and dictionaries of text become String, where null stays null: scikit-learn's
    encoders see it as None, a category of its own if it was there in training, and an unknown one otherwise.
    A column that is null throughout and has no type is Float64.

    Parameters
    ----------
    batch
        Rows; columns beside the features are ignored, and their order does not matter.
    feature_names
        The features in the order that the estimator expects.

    Returns
    -------
    polars.DataFrame
        (n_rows, n_features), one chunk per column.

    Raises
    ------
    ScoringFailed
        A column is missing, occurs twice, or has a type that no model takes (instants, lists, structs,
        bytes).
    """
    import polars as pl

    columns: list[pl.Series] = []
    for name in feature_names:
        column = plain_column(name, column_named(batch, name))
        if feature_kind(name, column.type) == "text":
            series = pl.Series(name, pl.from_arrow(pa.chunked_array(column)), dtype=pl.String)
        else:
            series = pl.Series(name, pl.from_arrow(column)).fill_null(float("nan"))
        columns.append(series)
    return pl.DataFrame(columns).rechunk()
