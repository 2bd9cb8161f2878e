"""A suite's life, made up: deliveries, edits, trainings, promotions, backfills and rollbacks, one after the other.

After each of them everything that the lake says is held against the oracle.
"""

from __future__ import annotations

import copy
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from jobs.facts.ingest import ingest
from jobs.models.columns.requirements import given_columns, unmet
from jobs.models.versions import load_scorer, model_history
from jobs.pages.backfill import BackfillOrder, Only, backfill, prepare_backfill, run_backfill
from jobs.pages.batches import sharing_rows
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.pages.states import page_states
from jobs.rollout.promotion import promote
from jobs.rollout.promotion import rollback as roll_model_back
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.changes.page_oracle import PageOracle, is_touched
from tests.changes.random_world import OTHER, PRODUCTS, TRAINED, World, random_world
from tests.conftest import clock_at
from tests.facts.fact_oracle import Row, as_csv, facts_of, named, random_rows
from warehouse.errors import AlmanacError
from warehouse.ledger.derivations import HeldFacts, held_facts
from warehouse.ledger.records import ModelRecord, PageRecord, newest_ingest_id
from warehouse.system_sql import quote_all

START = datetime(2026, 1, 15)
#: What a suite may say no to for reasons that have nothing to do with definitions.
MAY_REFUSE = re.compile(
    "has no live model|had no model in effect|has seen (the )?labels up to|nothing is known before"
    "|nothing to go back to|no label of its pages became known|a classifier needs both|has no page from"
    "|pages before .*grid begins"
    "|has been taken back already|none of its features has a value|is what it was at snapshot|can write no page"
)
#: How often each is done, beside the edits and deliveries that most steps begin with.
ACTIONS = ("train", "promote", "roll model back", "backfill", "backfill", "backfill", "run", "roll page back")


class Life:
    """One suite."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, random.Random(seed)
        self.delivered = self.rng.choice(("files", "files", "cumulative", "overwritten"))
        self.world = random_world(self.rng)
        self.pasts: list[World] = []
        self.worlds: dict[tuple[str, str], World] = {}
        self.deliveries: list[tuple[datetime, list[Row]]] = []
        self.waiting: list[Row] | None = None
        self.taken_by: dict[int, int] = {}
        self.ingested: set[object] = set()
        self.now = START
        self.met: Counter[str] = Counter()
        self.oracle = PageOracle()
        self.seen: dict[tuple[str, str, datetime], PageRecord] = {}
        self.world.write(root, self.delivered)

    def begin(self) -> None:
        """Have facts, two versions, one after the other live, and pages."""
        self.deliver(12)
        self.take_in()
        self.do("train")
        self.now += timedelta(days=2)
        self.deliver(8)
        self.take_in()
        self.do("train")
        self.do("promote")
        self.do("backfill")

    def copied_to(self, root: Path, seed: int) -> Life:
        """Give a life that goes on from here in a copy of the suite, and by chances of its own."""
        shutil.copytree(self.root, root)
        other = copy.copy(self)
        other.root, other.rng, other.oracle, other.met = root, random.Random(seed), PageOracle(), Counter()
        for name in ("pasts", "worlds", "deliveries", "taken_by", "ingested", "seen"):
            setattr(other, name, copy.copy(getattr(self, name)))
        return other

    def step(self, action: str | None = None) -> None:
        """Change something, or nothing; then do something; then look at everything."""
        self.now += timedelta(days=self.rng.choice((0, 1, 1, 2)), minutes=self.rng.randint(1, 59))
        if self.rng.random() < 0.65:
            self.pasts.append(self.world)
            back = len(self.pasts) > 1 and self.rng.random() < 0.25
            self.world = self.rng.choice(self.pasts) if back else random_world(self.rng, self.world)
            self.world.write(self.root, self.delivered)
        if self.rng.random() < 0.45:
            self.deliver(self.rng.randint(1, 6))
        if self.rng.random() < 0.85:
            self.take_in()
        self.do(action or self.rng.choice(ACTIONS))
        self.check()

    def suite(self) -> Suite:
        """Open the suite, and note under which fingerprints its definitions go."""
        suite = open_suite(self.root, clock_at(self.now))
        for name in PRODUCTS:
            product = suite.definitions.product(name)
            before = self.worlds.setdefault((name, suite.definitions.page_fingerprint(product)), self.world)
            assert before.meaning(name) == self.world.meaning(name), "one fingerprint, two meanings"
        return suite

    def deliver(self, n_rows: int) -> None:
        """Put a file where the source looks."""
        rows = random_rows(self.rng, self.now, [row for _, rows in self.deliveries for row in rows], n_rows)
        if self.delivered == "cumulative" and self.deliveries:
            rows = [*self.deliveries[-1][1], *rows]
        name = "orders.csv" if self.delivered == "overwritten" else f"{len(self.deliveries):03}.csv"
        (self.root / "data").mkdir(exist_ok=True)
        (self.root / "data" / name).write_text(as_csv(rows))
        self.waiting = rows

    def take_in(self) -> None:
        """Ingest."""
        suite = self.suite()
        (result,) = ingest(suite)
        self.met[f"derived by {result.derived.way}" if result.derived else "ingested"] += 1
        self.met["caught up"] += len(result.caught_up)
        if result.ingestion is not None and self.waiting is not None:
            self.deliveries.append((self.now, self.waiting))
            self.waiting = None
        self.ingested.add(self.world.source)
        with suite.lake.reading() as connection:
            self.taken_by[newest_ingest_id(connection)] = len(self.deliveries)

    def do(self, action: str) -> None:
        """Do one thing; what is refused changes nothing that is published."""
        suite = self.suite()
        why = self._why_refused(suite) if action in ("train", "backfill", "run") else None
        before = self._published(suite)
        refused = self._refusal(action, suite)
        if refused is None:
            self.met[action] += 1
            assert why is None or action != "run", f"{action} was done although {why}"
            return
        assert why is not None or MAY_REFUSE.search(refused), f"{action}: {refused}"
        assert why is None or self._published(suite) == before, why
        self.met[f"refused {action}: {why or 'as it may'}"] += 1

    def _refusal(self, action: str, suite: Suite) -> str | None:
        try:
            self._acts()[action](suite)
        except AlmanacError as error:
            return str(error)
        return None

    def _acts(self) -> dict[str, Callable[[Suite], object]]:
        return {
            "train": lambda suite: train(suite, TRAINED),
            "promote": self._promote,
            "roll model back": lambda suite: roll_model_back(suite, TRAINED, reason="it was worse"),
            "backfill": self._backfill,
            "run": lambda suite: run_page(suite, TRAINED, suite.definitions.product(TRAINED).page_at(self.now)),
            "roll page back": self._roll_page_back,
        }

    def _why_refused(self, suite: Suite) -> str | None:
        """Say why no page can be made of the definitions as they are, or None."""
        if self.world.source not in self.ingested:
            return "its facts are not of its definition"
        with suite.lake.reading() as connection:
            if not self._is_caught_up(suite, connection, held_facts(connection)["orders"]):
                return "its facts lack a delivery"
        return None if all(self.world.binds(name) for name in PRODUCTS) else "a column is not there"

    def _promote(self, suite: Suite) -> None:
        with suite.lake.reading() as connection:
            models = model_history(connection, TRAINED).models
        if models and not self._why_refused(suite):
            model = self.rng.choice(models)
            if self._lacks(suite, model) is None:
                promote(suite, TRAINED, model.version, force=True, reason="to see")

    def _lacks(self, suite: Suite, model: ModelRecord) -> str | None:
        product = suite.definitions.product(TRAINED)
        with suite.lake.reading() as connection:
            columns = given_columns(connection, suite.definitions, product)
        return unmet(product, model, columns or {})

    def _backfill(self, suite: Suite) -> None:
        product = suite.definitions.product(TRAINED)
        pages = product.pages_between(product.header.pages.since, self.now)[-4:]
        choices: tuple[Only | None, ...] = (None, "stale", "stale", "all")
        only = self.rng.choice(choices)
        end = self.now + timedelta(microseconds=1)
        self._backfill_features(suite, pages[0], end, only)
        with suite.lake.reading() as connection:
            history = model_history(connection, TRAINED)
        live = [page for page in pages if history.live(page) is not None]
        lacking = {page for page in live if self._lacks(suite, history.in_effect(page))}
        if live and not lacking:
            backfill(suite, BackfillOrder(TRAINED, live[0], end, only))

    def _backfill_features(self, suite: Suite, start: datetime, end: datetime, only: Only | None) -> None:
        """Make the feature pages of both products in one run, which share what they ask alike."""
        with sharing_rows(suite, [OTHER, TRAINED]) as shared:
            for name in (OTHER, TRAINED):
                order = BackfillOrder(name, start, end, only, features_only=True)
                run_backfill(suite, order, prepare_backfill(suite, order), shared=shared)
            assert shared is not None
            self.met["rows shared"] += shared.n_taken

    def _roll_page_back(self, suite: Suite) -> None:
        with suite.lake.reading() as connection:
            query = "SELECT as_of, snapshot_id FROM ledger.pages WHERE kind = 'predictions' AND state = 'published'"
            made = connection.execute(f"{query} ORDER BY ALL").fetchall()
        if made:
            rollback(suite, TRAINED, *self.rng.choice(made), reason="it was wrong")

    def _published(self, suite: Suite) -> dict[tuple[str, str, datetime], PageRecord]:
        listed = ", ".join(one.name for one in fields(PageRecord))
        query = f"SELECT {listed} FROM ledger.published_pages WHERE kind IN ('features', 'predictions')"
        with suite.lake.reading() as connection:
            records = [PageRecord(*row) for row in connection.execute(query).fetchall()]
        return {(record.product, record.kind, record.as_of): record for record in records}

    def check(self) -> None:
        """Hold facts, pages and what is said of them against the oracle."""
        suite = self.suite()
        with suite.lake.reading() as connection:
            held = held_facts(connection)["orders"]
            is_caught_up = self._check_facts(suite, connection, held)
            pages = {key: record for key, record in self._published(suite).items() if self.seen.get(key) != record}
            self._check_definitions(connection, held, pages.values())
            for (name, kind, _), record in pages.items():
                check = self._check_features if kind == "features" else self._check_predictions
                check(suite, connection, name, record)
            self.seen |= pages
            for name in PRODUCTS:
                self._check_staleness(suite, connection, name, is_caught_up=is_caught_up)

    def _check_facts(self, suite: Suite, connection: duckdb.DuckDBPyConnection, held: HeldFacts) -> bool:
        """Compare the facts under the definition as it is; give whether they are of all deliveries yet.

        What came while other definitions were in use may not have been taken in under this one.
        """
        facts = held.of(suite.definitions.source("orders"))
        if not self._is_caught_up(suite, connection, held):
            return False
        assert facts is not None
        names = quote_all([named(text) for text in self.world.source.select])
        found = connection.execute(f'SELECT {names}, known_at, withdrawn FROM sources."{facts.table}"').fetchall()
        rejected = connection.execute(f'SELECT {names}, withdrawn FROM rejects."{facts.table}"').fetchall()
        wanted = facts_of(self.world.source, self.deliveries)
        assert Counter(found) == Counter((*row, known_at, gone) for row, known_at, gone in wanted.facts)
        assert Counter(rejected) == Counter((*row, gone) for row, gone in wanted.rejects)
        self.met["facts"] += 1
        return True

    def _is_caught_up(self, suite: Suite, connection: duckdb.DuckDBPyConnection, held: HeldFacts) -> bool:
        if self.world.source not in self.ingested:
            return False
        facts = held.of(suite.definitions.source("orders"))
        assert facts is not None
        query = "SELECT count(DISTINCT ingested_at) FROM ledger.ingestions WHERE derivation = $1"
        n_taken = connection.execute(query, [facts.derivation]).fetchone()
        return n_taken == (len({at for at, _ in self.deliveries}),)

    def _check_definitions(
        self, connection: duckdb.DuckDBPyConnection, held: HeldFacts, records: Iterable[PageRecord]
    ) -> None:
        """See that pages' definitions are ones that there were, and their facts of these."""
        query = "SELECT product, definitions, derivations['orders'], files FROM ledger.definitions"
        known = {(product, one): found for product, one, *found in connection.execute(query).fetchall()}
        for record in records:
            world = self.worlds[record.product, record.definitions]
            number, files = known[record.product, record.definitions]
            text = world.source.text(files="", keep=False).partition("*/")[2]
            assert text in held.derivations[number].text
            assert text in files["sql/sources/orders.sql"]

    def _wanted(self, name: str, record: PageRecord) -> tuple[World, Counter[tuple[Any, ...]]]:
        world, n_taken = self.worlds[name, record.definitions], self.taken_by[record.ingest_id]
        return world, self.oracle.page(world, name, self.deliveries[:n_taken], record.as_of)

    def _check_features(
        self, suite: Suite, connection: duckdb.DuckDBPyConnection, name: str, record: PageRecord
    ) -> None:
        world, wanted = self._wanted(name, record)
        columns = ", ".join(["id", *world.columns(name)])
        found = connection.execute(f"SELECT {columns} FROM features.{name} WHERE as_of = $1", [record.as_of]).fetchall()
        assert Counter(found) == wanted, f"{name} {record.as_of}"
        self.met["feature pages"] += 1

    def _check_predictions(
        self, suite: Suite, connection: duckdb.DuckDBPyConnection, name: str, record: PageRecord
    ) -> None:
        import pyarrow as pa

        world, wanted = self._wanted(name, record)
        model = model_history(connection, name).version(str(record.model_version))
        columns = world.columns(name)
        assert set(model.features) <= set(columns), f"{model.version} was given columns that it lacks"
        query = f"SELECT id, probability FROM predictions.{name} WHERE as_of = $1 ORDER BY id"
        found = connection.execute(query, [record.as_of]).fetchall()
        rows = sorted(wanted.elements())
        assert [one[0] for one in found] == [row[0] for row in rows]
        values = [dict(zip(columns, row[1:], strict=True)) for row in rows]
        kinds = {feature: pa.string() if "depot" in feature else pa.float64() for feature in model.features}
        table = {
            feature: pa.array([None if row[feature] is None else kind_of(row[feature], kind) for row in values], kind)
            for feature, kind in kinds.items()
        }
        scores = load_scorer(suite.lake, model).predict(pa.record_batch(table))[:, 1]
        assert all(abs(one[1] - score) < 1e-9 for one, score in zip(found, scores, strict=True)), record
        self.met["prediction pages"] += 1

    def _check_staleness(
        self, suite: Suite, connection: duckdb.DuckDBPyConnection, name: str, *, is_caught_up: bool
    ) -> None:
        product = suite.definitions.product(name)
        pages = product.pages_between(product.header.pages.since, self.now)[-6:]
        ready = is_caught_up and not self._why_refused(suite)
        for state in page_states(suite, product, pages, "features", connection):
            record = state.published
            if record is None:
                continue
            then, stored = self._wanted(name, record)
            n_then = self.taken_by[record.ingest_id]
            same = then.meaning(name) == self.world.meaning(name)
            if state.stale:
                self.met["stale"] += 1
                touched = is_touched(self.world, name, self.deliveries, n_then, state.as_of)
                assert not same or touched, f"{name} {state.as_of} is called stale: {state.why}"
            elif ready:
                fresh = self.oracle.page(self.world, name, self.deliveries, state.as_of)
                assert same, f"{name} {state.as_of} is not called stale, and its definitions have changed"
                assert stored == fresh, f"{name} {state.as_of} is not called stale, and differs"
                self.met["not stale"] += 1


def kind_of(value: Any, kind: Any) -> Any:
    """Give a value as a model is given it."""
    return value if str(kind) == "string" else float(value)
