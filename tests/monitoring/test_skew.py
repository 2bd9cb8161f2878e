"""What requests gave is put beside what was recorded of the same entities, and what differs is told."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from jobs.facts.ingest import ingest
from jobs.monitoring.skew import ColumnSkew, skew_of
from jobs.pages.labelled import ensure_feature_pages
from jobs.progress import Silent
from jobs.suite import Suite
from tests.command_line import almanac
from tests.conftest import PAGE, PRODUCT, reopened
from tests.lakes import rows
from warehouse.errors import UsageError

BASKETS = """/*
description: What baskets weigh.
key: [order_id]
files: data/baskets*.csv
known_at: noted_at
*/
SELECT order_id, weight::DOUBLE AS weight, gift::BOOLEAN AS gift, noted_at::TIMESTAMP AS noted_at
FROM read_csv($files, header = true, all_varchar = true)
"""
REQUESTS = """/*
description: What requests said.
key: [order_id, asked_at]
files: data/requests*.csv
known_at: asked_at
*/
SELECT order_id, weight::DOUBLE AS weight, gift::BOOLEAN AS gift, parcels::INTEGER AS parcels,
    asked_at::TIMESTAMP AS asked_at
FROM read_csv($files, header = true, all_varchar = true)
"""
SETTINGS = """on_demand: true
export: {served: {to: out/late.bundle}}
request:
  weight: {type: DOUBLE, batch: baskets.weight}
  gift: {type: BOOLEAN, batch: baskets.gift}
  parcels: {type: INTEGER}
"""


@pytest.fixture
def asked(ingested: Suite) -> Suite:
    """A suite with a log of requests, with what was recorded of most of the entities, and with one page."""
    root = ingested.root
    (root / "sql/sources/baskets.sql").write_text(BASKETS)
    (root / "sql/sources/requests.sql").write_text(REQUESTS)
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text() + SETTINGS)
    ensure_feature_pages(ingested, ingested.definitions.product(PRODUCT), [PAGE], Silent())
    (page,) = rows(ingested, f"SELECT min_by(order_id, order_id), min_by(parcels, order_id) FROM features.{PRODUCT}")
    noted = [
        ("a", "1.5", "true", "2026-03-10 10:00"),  # known when it was asked, and restated afterwards
        ("b", "2.0", "", "2026-03-11 10:00"),  # known later
        ("c", "4.0", "false", "2026-03-10 10:00"),
    ]
    later = [("a", "9.0", "true", "2026-03-12 10:00")]
    said = [
        ("a", "1.5", "true", "", "2026-03-10 19:00"),
        ("a", "9.0", "true", "", "2026-03-10 20:00"),
        ("b", "2.5", "", "", "2026-03-10 19:00"),
        ("c", "", "true", "", "2026-03-10 19:00"),
        ("nobody", "1", "true", "", "2026-03-10 19:00"),
        (page[0], "", "", str(page[1] + 1), "2026-03-10 17:00"),  # gives nothing of baskets
        (page[0], "", "", str(page[1]), "2026-03-10 19:00"),
    ]
    for name, columns, lines in (
        ("baskets", "order_id,weight,gift,noted_at", noted),
        ("requests", "order_id,weight,gift,parcels,asked_at", said),
        ("baskets_later", "order_id,weight,gift,noted_at", later),
    ):
        (root / f"data/{name}.csv").write_text("\n".join([columns, *map(",".join, lines)]) + "\n")
        if name != "baskets":  # no source is without files
            ingest(reopened(ingested))
    return reopened(ingested)


def test_each_column_is_compared_with_what_was_recorded_at_the_instant_or_first_afterwards(asked: Suite) -> None:
    weight, gift, parcels = skew_of(asked, PRODUCT, "requests")
    # The mean of 0, 7.5 and 0.5: what was lacking has no distance.
    assert weight == ColumnSkew("weight", "baskets.weight", 5, 4, 3, 1, pytest.approx(8 / 3), 7.5)
    assert gift == ColumnSkew("gift", "baskets.gift", 5, 4, 1, 0, None, None)
    assert parcels == ColumnSkew("parcels", "the page's parcels", 2, 2, 1, 0, 0.5, 1.0)
    assert (weight.share, gift.share) == (0.75, 0.25)
    first, until = datetime(2026, 3, 10, 18), datetime(2026, 3, 10, 19, 30)
    assert [(one.n_requests, one.n_differ) for one in skew_of(asked, PRODUCT, "requests", first, until)] == [
        (4, 2),
        (4, 1),
        (1, 0),
    ]


def test_the_command_fails_if_a_column_differs_too_often(asked: Suite) -> None:
    def skew(*arguments: str) -> tuple[int, Any]:
        done = almanac(asked.root, "skew", PRODUCT, *arguments)
        return done.returncode, done.stdout + done.stderr

    code, said = skew("--requests", "requests", "--json")
    told = json.loads(said)
    assert code == 1
    assert [(one["column"], one["n_differ"], one["too_often"]) for one in told] == [
        ("weight", 3, True),
        ("gift", 1, True),
        ("parcels", 1, True),
    ]
    assert skew("--requests", "requests", "--most", "80%")[0] == 0
    assert skew("--requests", "requests", "--to", "2026-03-10T18:00")[0] == 1
    code, said = skew("--requests", "requests", "--from", "2026-03-10T18:00", "--to", "2026-03-10T18:30")
    assert (code, "weight" in said) == (0, True)
    assert skew("--requests", "requests", "--most", "many")[0] == 2


def test_a_log_that_cannot_be_compared_is_refused_in_words(asked: Suite) -> None:
    for source, told in (("nothing", "no source `nothing`"), ("orders", "no column `asked_at`")):
        with pytest.raises(UsageError, match=told):
            skew_of(asked, PRODUCT, source)
    query = asked.root / "sql/sources/baskets.sql"
    query.write_text(query.read_text().replace("key: [order_id]", "key: [order_id, noted_at]"))
    with pytest.raises(UsageError, match="is keyed by order_id, noted_at"):
        skew_of(reopened(asked), PRODUCT, "requests")
