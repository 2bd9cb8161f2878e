"""A lake with profiles of pages that are made up, to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from jobs.suite import Suite
from tests.conftest import PRODUCT
from tests.monitoring.counted import numbers_counted, texts_counted
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import Profile

FIRST = datetime(2026, 1, 15)
LOST = 90


def grid(suite: Suite, n_pages: int) -> list[datetime]:
    product = suite.definitions.product(PRODUCT)
    return product.pages_between(FIRST, datetime(2027, 1, 1))[:n_pages]


def publish(suite: Suite, places: Sequence[int], lost: Sequence[int] = (LOST,), run: str = "run") -> None:
    """Publish pages of 200 rows with the columns x, y and c; in the pages that are `lost`, 60 % of x is missing."""
    pages = grid(suite, 120)
    with suite.lake.commit("pages") as commit:
        for place in places:
            rng = np.random.default_rng(place)
            x, y = rng.normal(size=(2, 200))
            if place in lost:
                x[:120] = np.nan
            texts = texts_counted(rng.choice(["a", "b", "c"], 200).tolist())
            counts = {"x": numbers_counted(x, 0.0), "y": numbers_counted(y, 0.0), "c": texts}
            of_page = (PRODUCT, "features", pages[place])
            page = PageRecord(*of_page, "published", run, "d", 0, suite.clock(), commit.snapshot_id, n_rows=200)
            ledger.append(commit, [page])
            profiles = [
                Profile(*of_page, name, "category" if name == "c" else "number", run, **each.figures())
                for name, each in counts.items()
            ]
            ledger.append(commit, profiles)
