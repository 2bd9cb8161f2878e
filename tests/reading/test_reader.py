"""The Python API of readers: predictions, features, labels and outcomes, as Arrow, Polars and pandas, now and then."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from jobs.pages.predict import run_page
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT, TRAINED_AS_OF
from tests.lakes import rows
from warehouse.errors import NotFoundError, UsageError
from warehouse.reader import open_lake

NEXT = PAGE + timedelta(days=1)


def test_features_labels_and_outcomes_are_those_of_the_lake(published: Suite) -> None:
    lake = open_lake(published.root)
    # Trained pages have features and no predictions.
    assert (
        lake.features(PRODUCT).to_arrow().num_rows == rows(published, "SELECT count(*) FROM features.late_order")[0][0]
    )
    wanted = f"FROM features.late_order WHERE as_of = TIMESTAMP '{PAGE}' ORDER BY ALL"
    assert sorted(lake.features(PRODUCT, page=PAGE).to_polars().rows(), key=str) == sorted(
        rows(published, wanted), key=str
    )
    until = TRAINED_AS_OF - timedelta(days=3)
    span = lake.features(PRODUCT, since=until - timedelta(days=2), until=until).to_polars()
    assert set(span["as_of"]) == {until - timedelta(hours=6), until - timedelta(days=1, hours=6)}
    labels = lake.labels(PRODUCT, page=PAGE).to_polars()
    outcomes = lake.outcomes(PRODUCT, page=PAGE).to_polars()
    assert labels.height == outcomes.height > 0
    joined = outcomes.join(labels, on=["order_id", "as_of"], suffix="_again")
    assert (joined["label"] == joined["label_again"]).all()
    assert {"probability", "hindsight", "label"} <= set(outcomes.columns)


def test_frames_hold_the_same_in_every_form(published: Suite) -> None:
    current = open_lake(published.root).predictions(PRODUCT)
    arrow, polars, pandas = current.to_arrow(), current.to_polars(), current.to_pandas()
    assert arrow.num_rows == polars.height == len(pandas) > 0
    assert list(pandas.columns) == polars.columns == arrow.column_names
    assert sorted(pandas["probability"]) == sorted(polars["probability"])


def test_an_earlier_state_shows_what_was_there_then(published: Suite) -> None:
    before = published.lake.newest_snapshot()
    run_page(published, PRODUCT, NEXT)
    lake = open_lake(published.root)
    assert lake.features(PRODUCT, page=NEXT).to_arrow().num_rows > 0
    with pytest.raises(NotFoundError, match=rf"no page {NEXT} \(UTC\) of features"):
        lake.features(PRODUCT, page=NEXT, at_snapshot=before).to_arrow()
    assert set(lake.outcomes(PRODUCT, at_snapshot=before).to_polars()["as_of"]) == {PAGE}


def test_what_is_not_there_is_refused_instead_of_being_empty(trained: Suite) -> None:
    lake = open_lake(trained.root)
    with pytest.raises(NotFoundError, match="has no outcomes of `late_order`"):
        lake.outcomes(PRODUCT).to_arrow()
    with pytest.raises(NotFoundError, match="has no features of `nothing`"):
        lake.features("nothing").to_polars()
    with pytest.raises(NotFoundError, match="no page 2026-02-10 17:00:00"):
        lake.features(PRODUCT, page=TRAINED_AS_OF.replace(month=2, day=10, hour=17)).to_arrow()
    with pytest.raises(UsageError, match="not both"):
        lake.labels(PRODUCT, page=PAGE, since=PAGE)
    with pytest.raises(UsageError, match="at_snapshot or at_time"):
        lake.features(PRODUCT, at_snapshot=1, at_time=PAGE)


def test_without_pandas_it_is_said_what_to_do(published: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        open_lake(published.root).predictions(PRODUCT).to_pandas()
