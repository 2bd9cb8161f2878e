"""Reasons beside predictions: the column of a page, what the ledger has of it, and what becomes of pages without."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import yaml

from jobs.models.reasons import explaining
from jobs.models.versions import load_scorer, model_history
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.diff import diff
from jobs.pages.diff_pages import diff_pages
from jobs.pages.explain import explain_row
from jobs.pages.predict import run_page
from jobs.pages.states import page_states
from jobs.suite import Suite
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import PAGE, PRODUCT, TRAINED_AS_OF, reopened
from tests.lakes import rows
from warehouse.errors import DefinitionError, RunFailed

NEXT = PAGE + timedelta(days=1)


def wanting(suite: Suite, reasons: str) -> Suite:
    """Add reasons to the product's definition, in place of those that it has."""
    path = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("reasons:"))
    path.write_text(f"{text}\n{f'reasons: {reasons}' if reasons else ''}\n")
    return reopened(suite)


def column(suite: Suite, page: datetime = PAGE) -> list[tuple[Any, ...]]:
    query = f"SELECT order_id, probability, reasons FROM predictions.{PRODUCT} WHERE as_of = '{page}' ORDER BY 1"
    return rows(suite, query)


def test_a_page_has_the_largest_contributions_of_each_row(trained: Suite) -> None:
    suite = wanting(trained, "{top: 3}")
    run_page(suite, PRODUCT, PAGE)
    found = column(suite)
    assert len(found) > 10
    for order_id, probability, reasons in [found[0], found[-1]]:
        explained = explain_row(suite, PRODUCT, PAGE, {"order_id": order_id})
        assert explained.score == probability
        assert [one["feature"] for one in reasons] == [step["column"] for step in explained.steps[:3]]
        given = [one["contribution"] for one in reasons]
        assert given == pytest.approx([step["contribution"] for step in explained.steps[:3]], rel=1e-6)
    [(version, base, refused, n_checked, miss, method)] = rows(
        suite, "SELECT version, base, refused, n_checked, largest_miss, method FROM ledger.reasons"
    )
    assert (version, refused) == ("v1", None)
    assert base == pytest.approx(explain_row(suite, PRODUCT, PAGE, {"order_id": found[0][0]}).base, abs=1e-12)
    assert n_checked > 100
    assert miss < 1e-9
    assert "path-dependent" in method
    # The views have the column too, and the predictions are those of a page without reasons.
    assert rows(suite, f"SELECT count(reasons) = count(*) FROM predictions.{PRODUCT}_page") == [(True,)]


def test_pages_without_the_reasons_that_are_wanted_are_stale_and_are_made_again_without_new_features(
    published: Suite,
) -> None:
    before = rows(published, f"SELECT order_id, probability FROM predictions.{PRODUCT} ORDER BY 1")
    suite = wanting(published, "{top: 2}")
    run_page(suite, PRODUCT, NEXT)
    assert rows(suite, f"SELECT count(reasons) FROM predictions.{PRODUCT} WHERE as_of = '{PAGE}'") == [(0,)]
    product = suite.definitions.product(PRODUCT)
    [old, new] = page_states(suite, product, [PAGE, NEXT])
    assert (old.shown, old.why) == ("stale", "it has no reasons")
    assert (new.shown, new.why) == ("published", None)
    backfill(suite, BackfillOrder(PRODUCT, PAGE, NEXT + timedelta(seconds=1), only="stale"))
    assert [state.shown for state in page_states(suite, product, [PAGE, NEXT])] == ["published", "published"]
    found = column(suite)
    assert [row[:2] for row in found] == before
    assert all(len(reasons) == 2 for _, _, reasons in found)
    features = rows(suite, f"SELECT count(*) FROM ledger.pages WHERE kind = 'features' AND as_of = '{PAGE}'")
    assert features == [(1,)], "features are not made again for reasons"
    without = wanting(suite, "")
    [state] = page_states(without, without.definitions.product(PRODUCT), [PAGE])
    assert state.why == "it has reasons, and none are wanted now"
    run_page(without, PRODUCT, PAGE)
    assert rows(without, f"SELECT count(reasons) FROM predictions.{PRODUCT} WHERE as_of = '{PAGE}'") == [(0,)]


def test_one_page_or_many_have_the_same_reasons(trained: Suite) -> None:
    suite = wanting(trained, "{top: all}")
    pages = [PAGE + timedelta(days=day) for day in range(3)]
    backfill(suite, BackfillOrder(PRODUCT, pages[0], pages[-1] + timedelta(seconds=1)))
    together = [column(suite, page) for page in pages]
    for page, expected in zip(pages, together, strict=True):
        run_page(suite, PRODUCT, page)
        assert column(suite, page) == expected


def test_reasons_may_be_of_one_direction_and_of_some_rows_only(trained: Suite) -> None:
    suite = wanting(trained, "{top: 3, direction: up, where: 'probability >= 0.3'}")
    run_page(suite, PRODUCT, PAGE)
    found = column(suite)
    assert all((reasons is not None) == (probability >= 0.3) for _, probability, reasons in found)
    given = [one["contribution"] for _, _, reasons in found for one in reasons or []]
    assert given
    assert min(given) > 0
    assert {reasons is None for _, _, reasons in found} == {True, False}


def test_a_background_is_kept_beside_the_version_and_used_again(trained: Suite) -> None:
    settings = "{top: all, background: {since: 2026-02-01, until: 2026-02-20, rows: 200}}"
    suite = wanting(trained, settings)
    run_page(suite, PRODUCT, PAGE)
    first = column(suite)
    [(file, n_rows, base, method, words)] = rows(
        suite, "SELECT background_file, background_rows, base, method, background FROM ledger.reasons"
    )
    assert n_rows == 200
    assert "against 200 background rows" in method
    assert "2026-02-20" in words
    with suite.lake.reading() as connection:
        model = model_history(connection, PRODUCT).version("v1")
    kept = suite.lake.root / model.artifact / file
    run_page(reopened(suite), PRODUCT, PAGE)
    assert column(suite) == first
    raw = load_scorer(suite.lake, model).raw(_features(suite, model.features))
    sums = [base + sum(one["contribution"] for one in reasons) for _, _, reasons in first]
    np.testing.assert_allclose(sums, raw, atol=1e-5)
    assert rows(suite, "SELECT count(*) FROM ledger.reasons") == [(1,)]
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    explaining._kept.clear()
    with pytest.raises(RunFailed, match="bytes have changed"):
        run_page(reopened(suite), PRODUCT, PAGE)


def _features(suite: Suite, names: list[str]) -> Any:
    listed = ", ".join(f'"{name}"' for name in names)
    with suite.lake.reading() as connection:
        query = f"SELECT {listed} FROM features.{PRODUCT} WHERE as_of = '{PAGE}' ORDER BY order_id"
        return connection.execute(query).to_arrow_table()


def test_a_background_from_after_what_the_version_has_seen_is_refused_with_the_reason(trained: Suite) -> None:
    suite = wanting(trained, "{background: {since: 2026-02-01, until: 2026-03-05}}")
    result = run_page(suite, PRODUCT, PAGE)
    assert result.published
    assert {reasons for _, _, reasons in column(suite)} == {None}
    [(refused,)] = rows(suite, "SELECT refused FROM ledger.reasons")
    assert "rows from after a page may not bear on it" in refused
    [state] = page_states(suite, suite.definitions.product(PRODUCT), [PAGE])
    assert state.shown == "published", "a version that gives no reasons leaves nothing to be made again"


@pytest.mark.parametrize(
    ("model", "refused"),
    [("logistic_regression", None), ("naive_bayes", "not compiled")],
)
def test_reasons_are_checked_when_a_version_is_registered(paged: Suite, model: str, refused: str | None) -> None:
    path = paged.root / f"sql/products/{PRODUCT}/product.yaml"
    product = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(product | {"model": {"estimator": model}, "reasons": {"top": 2}}))
    suite = reopened(paged)
    train(suite, PRODUCT, TRAINED_AS_OF)
    [(version, why, n_checked, background)] = rows(
        suite, "SELECT version, refused, n_checked, background_rows FROM ledger.reasons"
    )
    assert version == "v1"
    if refused is not None:
        assert refused in why
        return
    assert why is None
    assert n_checked > 100
    assert background > 100
    run_page(suite, PRODUCT, PAGE)
    assert all(len(reasons) == 2 for _, _, reasons in column(suite))
    assert rows(suite, "SELECT count(*) FROM ledger.reasons") == [(1,)]


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        ("{top: 0}", "`top` is a number from 1"),
        ("{where: 'score > 1'}", "names `score`"),
        ("{where: 'probability > (SELECT 1)'}", "is not the score against a number"),
        ("{background: {since: 2026-02-01, until: 2026-01-01}}", "is not before"),
        ("{tops: 1}", "tops"),
    ],
)
def test_mistakes_in_reasons_are_reported(trained: Suite, reasons: str, words: str) -> None:
    with pytest.raises(DefinitionError, match="product") as caught:
        wanting(trained, reasons)
    assert words in str(caught.value)


def test_a_diff_shows_which_contributions_moved_a_prediction(trained: Suite) -> None:
    suite = wanting(trained, "{top: all}")
    for page in (PAGE, NEXT):
        run_page(suite, PRODUCT, page)
    of_page = {order_id: reasons for order_id, _, reasons in column(suite)}
    of_next = {order_id: reasons for order_id, _, reasons in column(suite, NEXT)}
    found = diff_pages(suite, PRODUCT, NEXT, PAGE)
    assert found.changed
    for row in found.changed:
        then, now = (
            {one["feature"]: one["contribution"] for one in side[row["order_id"]]} for side in (of_page, of_next)
        )
        differing = {name for name in {*then, *now} if then.get(name) != now.get(name)}
        assert row["contributions"] == {name: [then.get(name), now.get(name)] for name in differing}
        sizes = [abs((after or 0) - (before or 0)) for before, after in row["contributions"].values()]
        assert sizes == sorted(sizes, reverse=True)
    same = diff(suite, PRODUCT, PAGE, "v1")
    assert (same.n_changed, same.changed) == (0, [])
    printed = said(suite.root, "diff", PRODUCT, "--page", NEXT.isoformat(), "--against-page", PAGE.isoformat())
    assert "contributions" in printed
