"""A changed label leaves a trace: figures under different labels do not stand beside each other unsaid."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jobs.models.model_table import model_rows
from jobs.monitoring.evaluate import evaluate
from jobs.pages.outcomes import settle_labels
from jobs.pages.predict import run_page
from jobs.rollout.compare import compare
from jobs.rollout.promotion import promote
from jobs.suite import Suite
from jobs.training.train import train
from tests.changes.editing import LABEL, YAML, edited
from tests.command_line import said
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_LATER, reopened
from tests.lakes import rows
from warehouse.errors import RunFailed, UsageError

LATER = datetime(2026, 3, 25, 18)


def relabelled(suite: Suite) -> Suite:
    """Call an order late that comes an hour before its promise."""
    return edited(suite, LABEL, "(delivered_at > promised_at)", "(delivered_at > promised_at - INTERVAL 1 HOUR)")


def as_regression(suite: Suite) -> Suite:
    """Turn the question around: by how many minutes."""
    minutes = "date_diff('minute', promised_at, delivered_at)"
    suite = edited(suite, LABEL, "(delivered_at > promised_at)::INTEGER", minutes)
    check = f"sql/products/{PRODUCT}/checks/not_all_alike.sql"
    suite = edited(suite, check, "probability", "prediction")
    suite = edited(suite, YAML, "kind: binary", "kind: regression")
    return edited(suite, YAML, "hist_gradient_boosting_classifier", "hist_gradient_boosting_regressor")


def test_evaluate_says_which_version_learnt_another_label(published: Suite) -> None:
    assert evaluate(published, PRODUCT, PAGE, LATER).notes == []
    suite = relabelled(published)
    (note,) = evaluate(suite, PRODUCT, PAGE, LATER).notes
    assert note.startswith(f"v1 learnt another label than {LABEL} gives now")
    assert "note: v1 learnt another label" in said(
        suite.root, "evaluate", PRODUCT, "--from", "2026-03-01", "--to", "2026-04-01"
    )


def test_versions_of_different_labels_get_no_verdict_and_gates_do_not_compare_them(published: Suite) -> None:
    suite = relabelled(published)
    file = suite.root / YAML
    file.write_text(file.read_text() + "gates: {not_worse: {metric: log_loss, margin: 10}}\n")
    suite = reopened(suite)
    made = train(suite, PRODUCT, TRAINED_LATER)
    assert not made.went_live
    assert "not compared: late_order v1 learnt another label" in made.why
    assert made.model.label_definition == suite.definitions.label_definition(suite.definitions.product(PRODUCT))
    found = compare(suite, PRODUCT, ("v1", "v2"))
    assert {row["verdict"] for row in found.rows} == {"not compared: other label"}
    assert [note.split()[0] for note in found.notes] == ["v1"]
    assert [row["label"][:5] for row in model_rows(suite, PRODUCT)] == ["other", "as no"]
    promote(suite, PRODUCT, "v2", force=True, reason="the label was mended")
    with pytest.raises(RunFailed, match="label: it learnt another label"):
        promote(suite, PRODUCT, "v1", effective_from=LATER)


def test_a_classifier_that_is_live_after_kind_regression_is_refused_clearly(published: Suite) -> None:
    suite = as_regression(published)
    with pytest.raises(
        UsageError, match=r"v1 can write no page: it learnt a binary label, and label\.kind of .* is re"
    ):
        run_page(suite, PRODUCT, PAGE + timedelta(days=1))
    with pytest.raises(UsageError, match="no version of that kind has written a page yet"):
        evaluate(suite, PRODUCT, PAGE, LATER)


def test_a_product_goes_on_after_its_kind_changed(published: Suite) -> None:
    settle_labels(published, published.definitions.product(PRODUCT))
    suite = as_regression(published)
    train(suite, PRODUCT, TRAINED_LATER)
    promote(suite, PRODUCT, "v2")
    run_page(suite, PRODUCT, LATER)
    found = evaluate(suite, PRODUCT, PAGE, NOW)
    assert found.versions == ["v2"]
    assert found.groups[0]["n_rows"] == found.n_labelled
    assert any("did not learn a regression label" in note for note in found.notes)
    # The labels of both pages are minutes now, and none is left of the other kind.
    minutes = rows(suite, "SELECT as_of, max(abs(label)) FROM labels.late_order GROUP BY as_of ORDER BY as_of")
    assert [page for page, _ in minutes] == [PAGE, LATER]
    assert all(largest > 1 for _, largest in minutes)


def test_a_version_of_before_labels_were_recorded_is_known_by_its_figures(published: Suite) -> None:
    with published.lake.commit("as an earlier version left it") as commit:
        commit.execute("UPDATE ledger.models SET label_kind = NULL, label_definition = NULL, feature_types = NULL")
    with pytest.raises(UsageError, match="it learnt a binary label"):
        run_page(as_regression(published), PRODUCT, PAGE + timedelta(days=1))
