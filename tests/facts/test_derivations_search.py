"""Random deliveries and edits of a definition: facts are always those that the deliveries and the definition make."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from jobs.facts.ingest import IngestResult, ingest
from jobs.suite import open_suite
from tests.conftest import clock_at
from tests.facts.fact_oracle import Definition, Row, as_csv, facts_of, named, random_definition, random_rows
from warehouse.errors import IngestFailed
from warehouse.ledger.derivations import held_facts
from warehouse.system_sql import quote_all

#: `ALMANAC_SEARCH=FROM:TO` searches other seeds, and longer lives: 0:20 was seen to its end.
CHOSEN = os.environ.get("ALMANAC_SEARCH")
FIRST, LAST = map(int, (CHOSEN or "0:6").split(":"))
START = datetime(2026, 1, 15)


@dataclass
class History:
    """One source's life."""

    root: Path
    rng: random.Random
    keep: bool
    way: str
    definition: Definition = field(default_factory=Definition)
    pasts: list[Definition] = field(default_factory=list)
    deliveries: list[tuple[datetime, list[Row]]] = field(default_factory=list)
    waiting: list[Row] | None = None
    now: datetime = START
    ways: Counter[str] = field(default_factory=Counter)

    @property
    def may_be_gone(self) -> bool:
        return self.way == "overwritten" and not self.keep

    def define(self, definition: Definition) -> None:
        self.definition = definition
        files = "data/orders.csv" if self.way == "overwritten" else "data/*.csv"
        path = self.root / "sql/sources/orders.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(definition.text(files=files, keep=self.keep))

    def deliver(self) -> None:
        before = [row for _, rows in self.deliveries for row in rows]
        rows = random_rows(self.rng, self.now, before, self.rng.randint(1, 8))
        if self.way == "cumulative":
            rows = [*(self.deliveries[-1][1] if self.deliveries else []), *rows]
        name = "orders.csv" if self.way == "overwritten" else f"{len(self.deliveries):03}.csv"
        (self.root / "data").mkdir(exist_ok=True)
        (self.root / "data" / name).write_text(as_csv(rows))
        self.waiting = rows

    def take_in(self) -> IngestResult:
        (result,) = ingest(open_suite(self.root, clock_at(self.now)))
        if result.derived is not None:
            self.ways[result.derived.way] += 1
        self.ways["caught up"] += len(result.caught_up)
        if result.ingestion is not None:
            assert self.waiting is not None
            self.deliveries.append((self.now, self.waiting))
            self.waiting = None
        return result

    def is_taken_in(self) -> bool:
        """Take in what there is; False if what was delivered before is gone, where it may be."""
        try:
            self.take_in()
        except IngestFailed as error:
            if self.may_be_gone and "cannot be read again" in str(error):
                return False
            raise
        return True

    def check(self) -> None:
        opened = open_suite(self.root, clock_at(self.now))
        with opened.lake.reading() as connection:
            facts = held_facts(connection)["orders"].of(opened.definitions.source("orders"))
            assert facts is not None
            names = [named(text) for text in self.definition.select]
            query = f'SELECT {quote_all(names)}, known_at, withdrawn FROM sources."{facts.table}"'
            found = Counter(connection.execute(query).fetchall())
            turned_away = Counter(
                connection.execute(f'SELECT {quote_all(names)}, withdrawn FROM rejects."{facts.table}"').fetchall()
            )
            seen = connection.execute(
                f'SELECT count(*) FROM sources."{facts.table}" AS facts WHERE ingest_id NOT IN'
                " (SELECT ingest_id FROM ledger.ingestions WHERE derivation = $1)",
                [facts.derivation],
            ).fetchone()
        wanted = facts_of(self.definition, self.deliveries)
        assert found == Counter((*content, known_at, withdrawn) for content, known_at, withdrawn in wanted.facts)
        assert turned_away == Counter((*content, withdrawn) for content, withdrawn in wanted.rejects)
        assert seen == (0,)
        assert facts.n_rows == len(wanted.facts)


def live(root: Path, seed: int) -> History:
    rng = random.Random(seed)
    history = History(root, rng, keep=rng.random() < 0.5, way=rng.choice(("files", "cumulative", "overwritten")))
    history.define(random_definition(rng, Definition()))
    history.deliver()
    history.take_in()
    history.check()
    for _ in range(rng.randint(2, 6) if CHOSEN else 2):
        history.now += timedelta(days=rng.randint(1, 3), minutes=rng.randint(0, 59))
        before = history.definition
        if rng.random() < 0.7:
            history.pasts.append(before)
            back = rng.random() < 0.3
            history.define(rng.choice(history.pasts) if back else random_definition(rng, before))
        if rng.random() < 0.5:
            history.deliver()
        if not history.is_taken_in():
            history.define(before)
            history.ways["refused"] += 1
            if not history.is_taken_in():  # what came meanwhile is gone for this definition too
                return history
        history.check()
    return history


def test_facts_are_those_that_deliveries_and_the_definition_make(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for seed in range(FIRST, LAST):
        try:
            met += live(tmp_path / f"suite-{seed}", seed).ways
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    if not CHOSEN:
        assert met["facts"]
        assert met["replay"]
