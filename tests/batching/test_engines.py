"""Another engine's batches are published as DuckDB's are, and nothing of what it stages is believed unseen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.pages.batches import PagesWanted, make_in_batches
from jobs.pages.make import PageOrder, make_pages
from jobs.progress import Silent
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT, reopened
from tests.lakes import page_rows, rows
from warehouse.batching.batch import Batch, FeaturePages
from warehouse.batching.engines import Computed, DuckDBHere, Wanted
from warehouse.errors import DefinitionError, RunFailed
from warehouse.sandbox import Sandbox

PAGES = [PAGE + timedelta(days=day) for day in range(3)]
Spoil = Callable[[Computed], Computed]


def as_it_is(computed: Computed) -> Computed:
    return computed


@dataclass
class Elsewhere:
    """An engine with a database instance of its own, which may do its work badly."""

    suite: Suite
    spoil: Spoil = as_it_is
    name: str = "the engine elsewhere"

    def compute(self, batch: Batch, wanted: Wanted) -> Computed:
        with Sandbox(self.suite.lake) as sandbox, Batch(sandbox, batch.definitions, batch.product) as own:
            return self.spoil(DuckDBHere().compute(own, wanted))


def rewrite(computed: Computed, query: str) -> Computed:
    """Stage what a query makes of the staged file instead of it."""
    file, other = computed.pages.file, computed.pages.file.with_name("other.parquet")
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query.format(file=file)}) TO '{other}' (FORMAT parquet)")
        described = connection.execute(f"DESCRIBE FROM '{other}'").fetchall()
    other.replace(file)
    columns = {str(row[0]): str(row[1]) for row in described}
    return dataclasses.replace(computed, pages=dataclasses.replace(computed.pages, columns=columns))


def without_a_page(computed: Computed) -> Computed:
    n_rows = {page: n for page, n in computed.pages.n_rows.items() if page != PAGES[1]}
    return Computed(FeaturePages(computed.pages.file, n_rows, computed.pages.columns), {})


def without_a_row(computed: Computed) -> Computed:
    return rewrite(computed, "FROM '{file}' QUALIFY row_number() OVER (ORDER BY as_of, order_id) > 1")


def with_another_value(computed: Computed) -> Computed:
    return rewrite(computed, "SELECT * REPLACE (courier_open_orders + 1 AS courier_open_orders) FROM '{file}'")


def with_another_type(computed: Computed) -> Computed:
    return rewrite(computed, "SELECT * REPLACE (courier_open_orders::DOUBLE AS courier_open_orders) FROM '{file}'")


def with_every_page_failed(computed: Computed) -> Computed:
    nothing = rewrite(computed, "FROM '{file}' WHERE false")
    return Computed(dataclasses.replace(nothing.pages, n_rows={}), dict.fromkeys(PAGES, "it could not."))


def make(suite: Suite, engine: Elsewhere | DuckDBHere) -> list[datetime]:
    product = suite.definitions.product(PRODUCT)
    made = make_pages(suite, PageOrder(product, PAGES, None, engine=engine), Silent())
    return sorted(record.as_of for record in made.published)


MODULE = """
from warehouse.batching.batch import Batch
from warehouse.batching.engines import DuckDBHere
from warehouse.sandbox import Sandbox


class Elsewhere:
    name = "the suite's own engine"

    def compute(self, batch, wanted):
        lake = batch.sandbox.lake
        (lake.root / "computed").write_text(str(len(wanted.pages)))
        with Sandbox(lake, snapshot_id=batch.sandbox.snapshot_id) as sandbox:
            with Batch(sandbox, batch.definitions, batch.product) as own:
                return DuckDBHere().compute(own, wanted)


class Nothing:
    pass
"""


def with_engine(suite: Suite, path: str) -> Suite:
    (suite.root / "engine_of_a_test.py").write_text(MODULE)
    file = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    file.write_text(f"{file.read_text()}engine: {path}\n")
    return reopened(suite)


def test_a_product_chooses_its_engine_and_its_pages_are_the_same(ingested: Suite) -> None:
    before = ingested.definitions.page_fingerprint(ingested.definitions.product(PRODUCT))
    suite = with_engine(ingested, "engine_of_a_test:Elsewhere")
    product = suite.definitions.product(PRODUCT)
    assert suite.definitions.page_fingerprint(product) == before
    make_in_batches(suite, PagesWanted(product, PAGES, None), Silent())
    assert (suite.lake.root / "computed").read_text() == str(len(PAGES))
    assert rows(suite, "SELECT count(DISTINCT as_of) FROM features.late_order") == [(len(PAGES),)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "dask",
            r"product\.yaml:\d+: `engine`: `dask` is neither one of `duckdb`, `processes`,.* nor an import path",
        ),
        ("engine_of_a_test:Missing", r"product\.yaml:\d+: `engine_of_a_test:Missing` cannot be imported"),
        ("engine_of_a_test:Nothing", r"product\.yaml:\d+: what `engine_of_a_test:Nothing` makes is no engine"),
    ],
)
def test_an_engine_that_is_none_is_refused(ingested: Suite, path: str, message: str) -> None:
    def make_pages_by_it() -> None:
        suite = with_engine(ingested, path)
        make_in_batches(suite, PagesWanted(suite.definitions.product(PRODUCT), PAGES, None), Silent())

    with pytest.raises(DefinitionError, match=message):
        make_pages_by_it()


def test_what_another_engine_makes_is_published_as_it_were_made_here(ingested: Suite) -> None:
    assert make(ingested, Elsewhere(ingested)) == PAGES
    elsewhere = page_rows(ingested, PRODUCT, "features")
    with ingested.lake.commit("forget the pages") as commit:
        commit.execute("DELETE FROM features.late_order")
        commit.execute("DELETE FROM ledger.pages")
    assert make(ingested, DuckDBHere()) == PAGES
    assert page_rows(ingested, PRODUCT, "features") == elsewhere


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_a_page, r"was given 3 pages and told of 2; the first that is lacking.* is 2026-03-11"),
        (without_a_row, r"staged \d+ rows of the page 2026-03-10 18:00:00 and told of \d+"),
        (with_another_value, r"rows of the page 2026-03-1\d 18:00:00 differ between the engine elsewhere and DuckDB"),
        (with_another_type, r"staged other columns than DuckDB makes of the page"),
        (with_every_page_failed, r"do not agree on whether the page .* can be made: it could not\."),
    ],
)
def test_what_it_makes_badly_is_refused_and_nothing_is_published(ingested: Suite, spoil: Spoil, message: str) -> None:
    with pytest.raises(RunFailed, match=message):
        make(ingested, Elsewhere(ingested, spoil))
    assert rows(ingested, "SELECT DISTINCT state FROM ledger.pages") == [("failed",)]
    assert not Path(ingested.lake.data / "features").exists()
