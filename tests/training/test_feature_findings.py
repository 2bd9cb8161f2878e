"""Columns that teach nothing or too much are named, and those without a value are left out of a training."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from jobs.models.columns.findings import FeatureFindings, empty_columns, find_oddities
from jobs.models.kinds.figures import FIGURES
from jobs.models.model_table import model_card
from jobs.pages.predict import run_page
from jobs.suite import Suite
from jobs.suites.doctor import doctor
from jobs.training.reproduce import reproduce
from jobs.training.train import train
from tests.changes.editing import ENTITIES, YAML, edited
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from warehouse.errors import UsageError

N = 4_000


def labels_and_noise() -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(3)
    return (rng.random(N) < 0.2).astype(np.float64), rng


def test_columns_that_differ_in_one_row_of_many_are_neither_equal_nor_constant() -> None:
    n = 150_000
    labels = np.arange(n) % 2 * 1.0
    once = np.zeros(n)
    # Of so many rows not all are looked at for what foretells the label: this is one of the others.
    once[2] = 1.0
    noise = np.random.default_rng(3).normal(size=n)
    rows = pa.table({"noise": noise, "again": noise, "nearly": np.where(once == 1, 5.0, noise), "once": once})
    found = find_oddities(rows, labels, rows.column_names, "binary")
    assert found.constant == []
    assert found.duplicates == [["noise", "again"]]


def test_each_kind_of_oddity_is_found_and_nothing_else() -> None:
    labels, rng = labels_and_noise()
    noise = rng.normal(size=N)
    rows = pa.table(
        {
            "nulls": pa.nulls(N, pa.int64()),
            "nans": np.full(N, np.nan),
            "no_text": pa.nulls(N, pa.string()),
            "one": np.full(N, 7),
            "one_text": ["x"] * N,
            "noise": noise,
            "again": noise,
            "minus_zero": np.where(noise > 0, 0.0, noise),
            "minus_zero_again": np.where(noise > 0, -0.0, noise),
            "town": rng.choice(["a", "b", "c"], N),
            "useful": labels + rng.normal(scale=0.7, size=N),
            "leak": labels * 3 + rng.normal(scale=0.1, size=N),
            # Known only where the answer is: missing in all other rows.
            "leak_by_missing": pa.array(np.where(labels == 1, noise, np.nan), from_pandas=True),
            "leaky_town": np.where(labels == 1, "late", "on time"),
            # A category of its own for each row foretells nothing of rows to come.
            "id": [f"id {number}" for number in range(N)],
        }
    )
    found = find_oddities(rows, labels, rows.column_names, "binary")
    assert found.empty == ["nulls", "nans", "no_text"]
    assert found.constant == ["one", "one_text"]
    assert found.duplicates == [["noise", "again"], ["minus_zero", "minus_zero_again"]]
    assert set(found.leaks) == {"leak", "leak_by_missing", "leaky_town"}
    words = " ".join(found.in_words("binary"))
    assert all(f"`{name}`" in words for name in rows.column_names if name not in ("town", "useful", "id"))


def test_a_leak_into_a_regression_is_found_by_its_r2() -> None:
    _, rng = labels_and_noise()
    labels = rng.normal(size=N)
    rows = pa.table({"leak": labels * 2 + rng.normal(scale=0.1, size=N), "half": labels + rng.normal(size=N)})
    assert set(find_oddities(rows, labels, rows.column_names, "regression").leaks) == {"leak"}


def test_few_labels_tell_nothing() -> None:
    labels = np.zeros(N)
    labels[-1] = 1
    rows = pa.table({"leak": labels})
    assert find_oddities(rows, labels, ["leak"], "binary") == FeatureFindings()


@pytest.mark.parametrize("kind", [pl.Float32, pl.Float64, pl.Int64, pl.Boolean, pl.String])
def test_one_value_is_enough_not_to_be_empty(kind: type[pl.DataType]) -> None:
    column = pl.Series("x", [None, None, 1], strict=False).cast(kind).to_frame().to_arrow()
    assert empty_columns(column, ["x"]) == []
    assert empty_columns(column.slice(0, 2), ["x"]) == ["x"]


def test_a_training_leaves_out_what_has_no_value_and_records_it(ingested: Suite) -> None:
    suite = edited(ingested, YAML, "since: 2026-01-15", "since: 2026-02-08")
    odd = "    NULL::DOUBLE AS nothing, 1 AS one, parcels AS parcels_again,\n"
    late = "    CASE WHEN $as_of > TIMESTAMP '2026-03-05' THEN parcels END AS since_march,\n"
    suite = edited(suite, ENTITIES, "    parcels,\n", f"    parcels,\n{odd}{late}")
    made = train(suite, PRODUCT, PAGE - timedelta(hours=12))
    assert "nothing" not in made.model.features
    assert {"one", "since_march"} <= set(made.model.features)
    # The fold's model could not know it, and goes without.
    assert [fold["left_out"] for fold in made.validation.folds] == [["nothing", "since_march"]]
    assert "since_march" not in made.validation.importance
    card = model_card(suite, PRODUCT, "v1")
    assert (card.features.empty, card.features.constant) == (["nothing"], ["one"])
    assert card.features.duplicates == [["parcels", "parcels_again"]]
    said = [finding.detail for finding in doctor(suite.root, clock_at(NOW)) if finding.subject == "model late_order v1"]
    assert any("`nothing` had no value in any training row" in words for words in said)
    assert any("`parcels`, `parcels_again` had the same values" in words for words in said)
    assert run_page(suite, PRODUCT, PAGE).n_rows > 0
    assert reproduce(suite, PRODUCT, "v1").same


def test_a_training_without_any_value_says_so(ingested: Suite) -> None:
    suite = edited(ingested, YAML, "since: 2026-01-15", "since: 2026-02-20")
    text = suite.root.joinpath(ENTITIES).read_text()
    columns = text[text.index("    depot,") : text.index("FROM orders")]
    suite = edited(suite, ENTITIES, columns, "    NULL::DOUBLE AS one, NULL::VARCHAR AS other\n")
    yaml = suite.root.joinpath(YAML).read_text()
    groups = yaml[yaml.index("features:") : yaml.index("label:")]
    suite = edited(suite, YAML, groups, "")
    with pytest.raises(UsageError, match="none of its features has a value"):
        train(suite, PRODUCT, PAGE)


def test_what_a_column_foretells_is_sklearns_roc_auc() -> None:
    random = np.random.default_rng(3)
    for n_values in (1, 2, 7, 1_000):
        labels = (random.random(500) < 0.3) * 1.0
        said = random.integers(0, n_values, 500) / n_values + 0.1 * labels * (n_values > 2)
        assert FIGURES["binary"].alone(labels, said) == pytest.approx(roc_auc_score(labels, said), abs=1e-12)
