"""A label that tells what is known so far teaches no model and enters no figure: it is refused, with what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.monitoring.evaluate import evaluate
from jobs.monitoring.performance.judge import judge_performance
from jobs.monitoring.performance.summary import summary
from jobs.monitoring.performance.unfinished import finished_pages
from jobs.pages.predict import predict_pages
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import PRODUCT, clock_at, reopened
from warehouse.errors import DefinitionError
from warehouse.facts import silence

LABEL = """/*
description: Whether an order has come.
*/
SELECT order_id, {value} AS label
FROM orders
LEFT JOIN deliveries USING (order_id)
WHERE ordered_at < $as_of AND promised_at > $as_of {guard}
"""
SO_FAR = "(delivered_at IS NOT NULL)::INTEGER"
GUARD = "AND $known_by >= $as_of + INTERVAL 5 DAY"
CUT_OFF, LATER = datetime(2026, 2, 1), datetime(2026, 9, 1)


def with_label(suite: Suite, value: str, guard: str = "", now: datetime = LATER) -> Suite:
    """Give the suite with another label, as it is long after its files end."""
    (suite.root / f"sql/products/{PRODUCT}/label.sql").write_text(LABEL.format(value=value, guard=guard))
    (suite.root / f"sql/products/{PRODUCT}/label.tests.yaml").unlink(missing_ok=True)
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    kind = "binary" if value == SO_FAR else "regression"
    text = header.read_text().replace("kind: binary", f"kind: {kind}")
    if kind == "regression":
        (header.parent / "checks/not_all_alike.sql").unlink()
    header.write_text(text.replace("boosting_classifier", "boosting_regressor") if kind == "regression" else text)
    return reopened(suite, now)


@pytest.mark.parametrize("value", [SO_FAR, "coalesce(date_diff('minute', $as_of, delivered_at), 0)::DOUBLE"])
def test_a_label_of_what_is_known_so_far_teaches_nothing(ingested: Suite, value: str) -> None:
    suite = with_label(ingested, value)
    with pytest.raises(
        DefinitionError, match=r"labels of 5 pages from 2026-01-27 18:00:00 on are not finished.*known_by >="
    ):
        train(suite, PRODUCT, CUT_OFF)


def test_one_that_waits_until_its_time_is_over_is_learnt(ingested: Suite) -> None:
    assert train(with_label(ingested, SO_FAR, GUARD), PRODUCT, CUT_OFF).model.version == "v1"


def test_where_a_source_ends_the_last_labels_count_in_no_figure(starter: Path) -> None:
    deliveries = starter / "data/deliveries.csv"
    lines = deliveries.read_text().splitlines(keepends=True)
    deliveries.write_text("".join(line for line in lines if line.split(",")[1] < "2026-02-20" or line == lines[0]))
    suite = with_label(open_suite(starter, clock_at(LATER)), SO_FAR, GUARD)
    ingest(suite)
    train(suite, PRODUCT, CUT_OFF)
    product, end = suite.definitions.product(PRODUCT), datetime(2026, 2, 20)
    pages = product.pages_between(end - timedelta(days=9), end + timedelta(days=3))
    predict_pages(suite, product, pages)
    found = evaluate(suite, PRODUCT, pages[0], pages[-1] + timedelta(days=1))
    assert found.n_pages == sum(page + product.maturity <= end for page in pages)
    assert "deliveries, which it reads, has told nothing since 2026-02-19" in found.notes[0]
    # The same pages are left out where pages are watched, and where versions are compared.
    judged = judge_performance(suite, PRODUCT)
    assert [row.is_mature for row in judged.rows] == [page + product.maturity <= end for page in pages]
    assert [row.loss is None for row in judged.rows] == [not row.is_mature for row in judged.rows]
    assert {row.maturity for row in judged.rows if not row.is_mature} == {None}
    assert "deliveries, which it reads, has told nothing since 2026-02-19" in judged.note
    assert summary(judged).notes[0] == judged.note
    assert finished_pages(suite, product, pages, LATER) == [row.as_of for row in judged.rows if row.is_mature]
    before = suite.lake.newest_snapshot()
    assert [replace(row, snapshot_id=0) for row in judge_performance(suite, PRODUCT).rows] == judged.rows
    assert suite.lake.newest_snapshot() == before
    # Orders went on for a while; that they ended too changes no label.
    with pytest.raises(DefinitionError, match="deliveries, which it reads, has told nothing since"):
        train(suite, PRODUCT, datetime(2026, 3, 1))
    # Who says how often a source delivers lets labels wait for it.
    header = suite.root / "sql/sources/deliveries.sql"
    header.write_text(header.read_text().replace("arrives_within", "expect: {every: 3 days}\narrives_within"))
    suite = reopened(suite, LATER)
    notes = evaluate(suite, PRODUCT, pages[0], pages[-1] + timedelta(days=1)).notes
    assert [note for note in notes if "not finished" in note] == []
    assert judge_performance(suite, PRODUCT).note == ""


def test_facts_of_long_ago_are_read_only_where_those_of_late_do_not_tell(
    ingested: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = list(ingested.definitions.sources.values())
    instants = [datetime(2026, 1, 1) + timedelta(hours=31 * n) for n in range(0, 120, 15)]
    found = []
    for lately in (silence._LATELY, timedelta(0)):
        monkeypatch.setattr(silence, "_LATELY", lately)
        with ingested.lake.reading() as connection:
            found.append([silence.silences(connection, sources, at) for at in instants])
    assert found[0] == found[1]
    assert [] in found[0]
    assert found[0][-1] != []
