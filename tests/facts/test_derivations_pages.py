"""Pages made between random edits and deliveries: each is what its definition and all that was delivered make of it.

Every page that is not called stale says what it would say if it were made now, by an oracle in plain Python.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.states import page_states
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from tests.conftest import clock_at
from tests.facts.fact_oracle import Definition, facts_of, named, random_definition
from tests.facts.test_derivations_search import History
from warehouse.definitions import Product

#: `ALMANAC_PAGE_SEARCH=FROM:TO` searches other seeds.
FIRST, LAST = map(int, os.environ.get("ALMANAC_PAGE_SEARCH", "0:2").split(":"))
GROUP = """/*
description: What is known of an order.
key: [id]
*/
SELECT id, count(*) AS n_facts, date_diff('microsecond', max(known_at), $as_of) AS age, max(placed) AS placed
FROM orders
GROUP BY id
"""
PRODUCT = """description: Orders.
keys: [id]
features: [of_order]
label: {kind: binary, matures_within: 1 day}
model: {estimator: hist_gradient_boosting_classifier}
pages: {cron: "0 12 * * *", zone: UTC, since: 2026-01-10}
valid_for: 24 hours
"""


def make_product(root: Path) -> None:
    directory = root / "sql/products/open_orders"
    directory.mkdir(parents=True)
    (directory / "product.yaml").write_text(PRODUCT)
    (directory / "entities.sql").write_text("/*\ndescription: Orders.\n*/\nSELECT DISTINCT id FROM orders\n")
    label = "SELECT id, 1 AS label FROM orders WHERE placed > $as_of AND known_at < $known_by GROUP BY id"
    (directory / "label.sql").write_text(f"/*\ndescription: None.\n*/\n{label}\n")
    (root / "sql/features").mkdir()
    (root / "sql/features/of_order.sql").write_text(GROUP)


def wanted(history: History, definition: Definition, as_of: datetime) -> set[tuple[Any, ...]]:
    """Work a page out from the deliveries."""
    names = [named(text) for text in definition.select]
    newest: dict[tuple[Any, ...], tuple[dict[str, Any], datetime, bool]] = {}
    for content, known_at, withdrawn in sorted(
        facts_of(definition, history.deliveries).facts, key=lambda fact: fact[1]
    ):
        if known_at < as_of:
            row = dict(zip(names, content, strict=True))
            newest[tuple(row[name] for name in definition.key)] = (row, known_at, withdrawn)
    orders: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row, known_at, withdrawn in newest.values():
        if not withdrawn:
            orders[row["id"]].append((known_at, row["placed"]))
    microsecond = timedelta(microseconds=1)
    return {
        (key, len(found), (as_of - max(known for known, _ in found)) // microsecond, max(placed for _, placed in found))
        for key, found in orders.items()
    }


def stored(suite: Suite, as_of: datetime) -> set[tuple[Any, ...]]:
    query = "SELECT id, n_facts, age, placed FROM features.open_orders WHERE as_of = $1"
    with suite.lake.reading() as connection:
        return set(connection.execute(query, [as_of]).fetchall())


def see_pages(history: History) -> int:
    """Compare the pages that stand and are not stale, then all once they are made; give how many stood."""
    suite = open_suite(history.root, clock_at(history.now))
    product: Product = suite.definitions.product("open_orders")
    pages = product.pages_between(product.header.pages.since, history.now)[-5:]
    standing = [state.as_of for state in page_states(suite, product, pages, "features") if state.shown == "published"]
    for page in standing:
        assert stored(suite, page) == wanted(history, history.definition, page), page
    ensure_feature_pages(suite, product, pages, Silent())
    for page in pages:
        assert stored(suite, page) == wanted(history, history.definition, page), page
    return len(standing)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, LAST))
def test_pages_are_what_their_definition_and_deliveries_make(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    history = History(tmp_path / "suite", rng, keep=True, way=rng.choice(("files", "cumulative", "overwritten")))
    history.define(random_definition(rng, Definition()))
    make_product(history.root)
    history.deliver()
    for _ in range(4):
        history.take_in()
        see_pages(history)
        history.now += timedelta(days=rng.randint(1, 2), minutes=rng.randint(0, 59))
        if rng.random() < 0.6:
            history.pasts.append(history.definition)
            back = rng.random() < 0.4
            history.define(rng.choice(history.pasts) if back else random_definition(rng, history.definition))
        if rng.random() < 0.6:
            history.deliver()
