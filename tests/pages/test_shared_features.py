"""Products that ask the same: a run works it out once, and pages that another product has are taken over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, prepare_backfill, run_backfill
from jobs.pages.batches import sharing_rows
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.states import page_states
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from warehouse.batching.lifted_pass import LiftedPass
from warehouse.batching.range_pass import RangePass
from warehouse.batching.shared_rows import SharedRows
from warehouse.sandbox import SandboxPage

OTHER = "late_order_by_noon"
END = PAGE + timedelta(microseconds=1)


#: A group that one pass over time can make, with a sum that a Parquet file cannot hold.
DEPOT_WEEK = """/*
description: How much each depot was given of late.
key: [depot]
*/
SELECT depot, count(*) AS depot_orders_7d, sum(parcels) AS depot_parcels_7d
FROM orders
WHERE known_at >= $as_of - INTERVAL 7 DAY
GROUP BY depot
"""


def with_other_product(
    suite: Suite, entities: tuple[str, str] | None = None, yaml: tuple[str, str] | None = None
) -> Suite:
    """Add a product like the starter's, with other entities or another header; both read one group more."""
    there, new = (suite.root / "sql/products" / name for name in (PRODUCT, OTHER))
    (suite.root / "sql/features/depot_week.sql").write_text(DEPOT_WEEK)
    header = there / "product.yaml"
    header.write_text(header.read_text().replace("  - depot_history\n", "  - depot_history\n  - depot_week\n"))
    shutil.copytree(there, new, dirs_exist_ok=True)
    for name, edit in (("entities.sql", entities), ("product.yaml", yaml)):
        text = (new / name).read_text()
        assert edit is None or edit[0] in text
        (new / name).write_text(text.replace(*edit) if edit else text)
    return reopened(suite)


def features(suite: Suite, product: str) -> list[object]:
    return rows(suite, f"FROM features.{product} ORDER BY ALL")


class Asked:
    """Counts the author's queries that run, page by page or in a pass over time."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        alone, in_one_pass, lifted = SandboxPage.run_wrapped, RangePass._fill_group, LiftedPass.fill

        def run_alone(page: SandboxPage, statement: str, query: object, *rest: object, **more: object) -> None:
            if statement == "pages/collect":
                self.names.append(query.where)  # type: ignore[attr-defined]
            alone(page, statement, query, *rest, **more)  # type: ignore[arg-type]

        def run_in_one_pass(ranges: RangePass, name: str, *rest: object) -> None:
            self.names.append(f"{name}, in one pass")
            in_one_pass(ranges, name, *rest)  # type: ignore[arg-type]

        def run_lifted(lifting: LiftedPass, *rest: object) -> object:
            self.names += [f"{name}, lifted" for name in lifting.forms]
            return lifted(lifting, *rest)  # type: ignore[arg-type]

        patch.setattr(SandboxPage, "run_wrapped", run_alone)
        patch.setattr(RangePass, "_fill_group", run_in_one_pass)
        patch.setattr(LiftedPass, "fill", run_lifted)

    def during(self) -> list[str]:
        """Give what was asked since the last time."""
        found, self.names = self.names, []
        return found


@pytest.fixture
def asked() -> Iterator[Asked]:
    with pytest.MonkeyPatch.context() as patch:
        yield Asked(patch)


def features_of(suite: Suite, products: list[str], n_pages: int, *, share: bool) -> SharedRows | None:
    """Make feature pages of products in one run, or each by itself."""
    start = PAGE - timedelta(days=n_pages - 1)
    with sharing_rows(suite, products if share else []) as shared:
        for name in products:
            order = BackfillOrder(name, start, END, "all", features_only=True)
            run_backfill(suite, order, prepare_backfill(suite, order), shared=shared)
    return shared


#: Another product's entities, of which fewer depots are looked up.
FEWER = ("WHERE promised_at", "WHERE depot = 'north' AND promised_at")
#: As long as it takes to make pages otherwise than by taking them over.
LONGER = ("valid_for: 24 hours", "valid_for: 25 hours")


@pytest.mark.parametrize("n_pages", [1, 33])
@pytest.mark.parametrize("entities", [None, FEWER], ids=["the same entities", "fewer"])
def test_products_of_a_run_have_the_rows_that_each_has_by_itself(
    ingested: Suite, tmp_path: Path, asked: Asked, entities: tuple[str, str] | None, n_pages: int
) -> None:
    suite = with_other_product(ingested, entities, LONGER)
    shutil.copytree(suite.root, tmp_path / "apart")
    apart = open_suite(tmp_path / "apart", clock_at(NOW))
    shared = features_of(suite, [OTHER, PRODUCT], n_pages, share=True)
    in_one_run = asked.during()
    features_of(apart, [OTHER, PRODUCT], n_pages, share=False)
    assert shared is not None
    assert shared.n_taken >= 3
    assert len(in_one_run) < len(asked.during())
    for name in (PRODUCT, OTHER):
        assert features(suite, name) == features(apart, name)
        assert features(suite, name)
    # What was shared is gone with the run.
    assert not list((suite.root / "lake/staging").iterdir())


def test_a_page_that_another_product_has_is_taken_over(ingested: Suite, asked: Asked) -> None:
    # The same entities, and fewer feature groups: some columns of the other's pages.
    suite = with_other_product(ingested, yaml=("  - courier_load\n", ""))
    product, other = (suite.definitions.product(name) for name in (PRODUCT, OTHER))
    pages = product.pages_between(PAGE - timedelta(days=4), END)
    ensure_feature_pages(suite, product, pages, Silent())
    asked.during()
    ensure_feature_pages(suite, other, pages[1:], Silent())
    assert asked.during() == []
    columns = "* EXCLUDE (courier_open_orders, courier_open_parcels)"
    theirs = rows(suite, f"SELECT {columns} FROM features.{PRODUCT} WHERE as_of > $1 ORDER BY ALL", [pages[0]])
    assert features(suite, OTHER) == theirs != []
    noted = rows(suite, "SELECT DISTINCT note FROM ledger.pages WHERE product = $1", [OTHER])
    assert noted == [(f"as on the page of {PRODUCT}",)]
    # Nothing is out of date, and what is there is the product's own.
    assert {state.shown for state in page_states(suite, other, pages[1:], "features")} == {"published"}
    # The other way round columns are missing, and pages are computed.
    more = product.pages_between(PAGE + timedelta(hours=1), PAGE + timedelta(days=1, hours=1))
    ensure_feature_pages(suite, other, more, Silent())
    asked.during()
    ensure_feature_pages(suite, product, more, Silent())
    assert asked.during() != []


def test_a_page_that_is_out_of_date_is_not_taken_over(ingested: Suite, asked: Asked) -> None:
    suite = with_other_product(ingested)
    product, other = (suite.definitions.product(name) for name in (PRODUCT, OTHER))
    ensure_feature_pages(suite, product, [PAGE], Silent())
    before = features(suite, PRODUCT)
    # A late fact of before the page: what the other product has of it is not what it would be now.
    path = suite.root / "data/orders.csv"
    first = path.read_text().splitlines()[1].split(",", 1)[1]
    path.write_text(f"{path.read_text().rstrip()}\nlate-one,{first}\n")
    ingest(suite, ["orders"])
    asked.during()
    ensure_feature_pages(suite, other, [PAGE], Silent())
    assert asked.during() != []
    ensure_feature_pages(suite, product, [PAGE], Silent())
    assert features(suite, OTHER) == features(suite, PRODUCT)
    assert asked.during() == []  # and the other way round
    # One product's page is no other's: rolled back, replaced or dropped, each by itself.
    with suite.lake.commit("drop one product's pages") as commit:
        commit.execute(f"DELETE FROM features.{PRODUCT}")
    assert features(suite, OTHER)
    assert before


def test_entities_that_are_valid_for_another_time_are_not_taken_over(ingested: Suite, asked: Asked) -> None:
    suite = with_other_product(ingested, yaml=LONGER)
    product, other = (suite.definitions.product(name) for name in (PRODUCT, OTHER))
    ensure_feature_pages(suite, product, [PAGE], Silent())
    asked.during()
    ensure_feature_pages(suite, other, [PAGE], Silent())
    assert asked.during() != []


def test_the_command_line_makes_several_products_in_one_run(trained: Suite) -> None:
    suite = with_other_product(trained)
    day = PAGE.date().isoformat()
    until = (PAGE + timedelta(days=2)).date().isoformat()
    command = ["backfill", PRODUCT, OTHER, "--from", day, "--to", until, "--features-only", "--json"]
    found = json.loads(said(suite.root, *command))
    assert [(one["product"], one["published"]) for one in found] == [(PRODUCT, 2), (OTHER, 2)]
    assert [one["product"] for one in json.loads(said(suite.root, *command, "--dry-run"))] == [PRODUCT, OTHER]
    # One product has no version yet: the other's page is made all the same.
    done = almanac(suite.root, "run", OTHER, PRODUCT, "--as-of", f"{day}T18:00")
    assert done.returncode == 2
    assert f"{OTHER} has no live model" in done.stderr
    assert rows(suite, f"SELECT count(*) > 0 FROM predictions.{PRODUCT} WHERE as_of = $1", [PAGE]) == [(True,)]
