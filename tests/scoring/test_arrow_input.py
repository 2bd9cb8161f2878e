"""Arrow becomes the estimator's input in one way."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from jobs.scoring import estimator_input
from warehouse.errors import ScoringFailed

ROWS = pa.table(
    {
        "whole": pa.array([1, None, 3]),
        "flag": pa.array([True, None, False]),
        "money": pa.array([Decimal("1.10"), None, Decimal("2.30")]),
        "small": pa.array([1.5, None, float("nan")], pa.float32()),
        "large": pa.array([1.5, None, float("nan")]),
        "text": pa.array(["a", None, "b"]),
        "coded": pa.array(["a", None, "b"]).dictionary_encode(),
        "coded_number": pa.array([1, None, 2]).dictionary_encode(),
        "view": pa.array(["a", None, "b"], pa.string_view()),
        "nothing": pa.nulls(3),
    }
)


def test_numbers_become_floats_and_nulls_become_nan() -> None:
    frame = estimator_input(ROWS, ["whole", "flag", "money", "large", "coded_number", "nothing"])
    assert set(frame.dtypes) == {pl.Float64}
    assert frame.null_count().sum_horizontal().item() == 0
    np.testing.assert_array_equal(frame["whole"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(frame["flag"], [1.0, np.nan, 0.0])
    # Arrow divides by a power of ten, which need not give the nearest number.
    np.testing.assert_allclose(frame["money"], [1.1, np.nan, 2.3], rtol=1e-15)


def test_float32_stays_float32() -> None:
    frame = estimator_input(ROWS, ["small"])
    assert frame.dtypes == [pl.Float32]
    np.testing.assert_array_equal(frame["small"], [1.5, np.nan, np.nan])


@pytest.mark.parametrize("name", ["text", "coded", "view"])
def test_text_stays_text_and_null_stays_null(name: str) -> None:
    frame = estimator_input(ROWS, [name])
    assert frame.dtypes == [pl.String]
    assert frame[name].to_list() == ["a", None, "b"]


def test_order_and_extra_columns_do_not_matter() -> None:
    forward = estimator_input(ROWS, ["large", "text"])
    assert forward.columns == ["large", "text"]
    assert estimator_input(ROWS.select(["text", "whole", "large"]), ["large", "text"]).equals(forward)


def test_slices_and_batches_are_read_like_tables() -> None:
    names = ROWS.column_names
    whole = estimator_input(ROWS, names)
    sliced = estimator_input(ROWS.slice(1, 2).combine_chunks().to_batches()[0], names)
    assert sliced.equals(whole.slice(1, 2))
    chunked = pa.concat_tables([ROWS.slice(0, 1), ROWS.slice(1, 2)])
    assert estimator_input(chunked, names).equals(whole)
    assert estimator_input(ROWS.slice(0, 0), names).height == 0


@pytest.mark.parametrize(
    "values",
    [
        pa.array([datetime(2013, 1, 1)]),
        pa.array([[1.0]]),
        pa.array([{"a": 1}]),
        pa.array([b"a"]),
    ],
    ids=["timestamp", "list", "struct", "bytes"],
)
def test_what_no_model_takes_is_refused_by_name(values: pa.Array) -> None:
    with pytest.raises(ScoringFailed, match="'odd'"):
        estimator_input(pa.table({"odd": values}), ["odd"])


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(ScoringFailed, match=r"'gone'.*whole"):
        estimator_input(ROWS, ["gone"])


def test_a_column_that_occurs_twice_is_refused() -> None:
    twice = pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"])
    with pytest.raises(ScoringFailed, match="2 times"):
        estimator_input(twice, ["x"])
