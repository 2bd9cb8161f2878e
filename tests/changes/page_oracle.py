"""What a page should say, in plain DuckDB: facts worked out row by row, the authors' queries, and one join.

Nothing of Almanac's runs here: the facts are `tests.facts.fact_oracle`'s, and what is known at an instant is one window
over them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb

from tests.changes.random_world import World, types_of
from tests.facts.fact_oracle import Row, facts_of

Deliveries = Sequence[tuple[datetime, Sequence[Row]]]
ORDERS = """
CREATE OR REPLACE TABLE orders AS
SELECT * EXCLUDE (withdrawn, nth)
FROM (
    SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY known_at DESC) AS nth
    FROM facts
    WHERE known_at < $as_of - INTERVAL {late} HOUR
)
WHERE nth = 1 AND NOT withdrawn
"""


class PageOracle:
    """Works pages out; one that was is not worked out again."""

    def __init__(self) -> None:
        self._found: dict[object, Counter[tuple[Any, ...]]] = {}
        self._db = duckdb.connect(config={"threads": 1})

    def page(self, world: World, product: str, deliveries: Deliveries, as_of: datetime) -> Counter[tuple[Any, ...]]:
        """Give the rows of a page: the key, and the columns in the order of `World.columns`."""
        asked = (world, product, len(deliveries), as_of)
        if asked not in self._found:
            self._found[asked] = self._page(world, product, deliveries, as_of)
        return self._found[asked]

    def _page(self, world: World, product: str, deliveries: Deliveries, as_of: datetime) -> Counter[tuple[Any, ...]]:
        db, kinds = self._db, types_of(world.source)
        declared = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        db.execute(f"CREATE OR REPLACE TABLE facts ({declared}, known_at TIMESTAMP, withdrawn BOOLEAN)")
        found = facts_of(world.source, deliveries).facts
        if found:
            rows = [[*content, known_at, withdrawn] for content, known_at, withdrawn in found]
            db.executemany(f"INSERT INTO facts VALUES ({', '.join('?' * (len(kinds) + 2))})", rows)
        at = {"as_of": as_of}
        db.execute(ORDERS.format(key=", ".join(world.source.key), late=world.late), at)
        joins = ""
        for name in world.features(product):
            query = world.group(name).text(name).partition("*/")[2]
            db.execute(f"CREATE OR REPLACE TABLE {name} AS {query}", at if "$as_of" in query else None)
            joins += f" LEFT JOIN {name} ON {name}.id = entities.id"
        query = world.entities(product)
        db.execute(f"CREATE OR REPLACE TABLE entities AS {query}", at if "$as_of" in query else None)
        listed = ", ".join(["entities.id", *world.columns(product)])
        return Counter(db.execute(f"SELECT {listed} FROM entities{joins}").fetchall())


def is_touched(world: World, product: str, deliveries: Deliveries, n_before: int, as_of: datetime) -> bool:
    """Tell whether a page's queries read a fact that came after the first `n_before` deliveries."""
    before = Counter(facts_of(world.source, deliveries[:n_before]).facts)
    new = Counter(facts_of(world.source, deliveries).facts) - before
    days = world.days_back(product)
    since = as_of - timedelta(days=days) if days else datetime.min
    return any(since <= known_at < as_of - timedelta(hours=world.late) for _, known_at, _ in new)
