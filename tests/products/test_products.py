"""Products that were renamed keep what they have; those that were removed leave nothing but what people decided."""

from __future__ import annotations

import pytest

from jobs.pages.predict import run_page
from jobs.pages.states import page_states
from jobs.products.leave import products_gone, remove_product, rename_product
from jobs.suite import Suite
from jobs.suites.audit import audit
from tests.conftest import PAGE, PRODUCT, reopened
from tests.lakes import rows
from warehouse.errors import NotFoundError, UsageError

NEXT = PAGE.replace(day=11)


def renamed(suite: Suite, new: str) -> Suite:
    (suite.root / f"sql/products/{PRODUCT}").rename(suite.root / f"sql/products/{new}")
    schedules = suite.root / "schedules.yaml"
    schedules.write_text(schedules.read_text().replace(PRODUCT, new))
    return reopened(suite)


def test_a_renamed_product_keeps_pages_and_versions(published: Suite) -> None:
    before = rows(published, f"FROM predictions.{PRODUCT} ORDER BY ALL")
    with pytest.raises(UsageError, match="the suite still has the product"):
        rename_product(published, PRODUCT, PRODUCT, None)
    suite = renamed(published, "delay")
    assert products_gone(suite) == [PRODUCT]
    with pytest.raises(NotFoundError):
        rename_product(suite, "no_such", "delay", None)
    done = rename_product(suite, PRODUCT, "delay", "shorter")
    assert "predictions.delay" in done.tables
    assert products_gone(suite) == []
    assert rows(suite, "FROM predictions.delay ORDER BY ALL") == before
    assert rows(suite, "SELECT count(*) FROM predictions.delay_current") == [(len(before),)]
    (state,) = page_states(suite, suite.definitions.product("delay"), [PAGE])
    assert state.shown == "published"
    run_page(suite, "delay", NEXT)
    assert rows(suite, "SELECT count(*) > 0 FROM predictions.delay_page") == [(True,)]
    assert not list(suite.lake.artifacts.glob(f"{PRODUCT}/*"))
    deed = audit(suite)[-1]
    assert (deed.what, deed.concerns, deed.why) == ("rename the product", PRODUCT, "shorter")


def test_a_removed_product_leaves_its_tables_or_not(published: Suite) -> None:
    suite = renamed(published, "other")
    remove_product(suite, PRODUCT, None, tables=False)
    assert products_gone(suite) == []
    assert rows(suite, f"SELECT count(*) > 0 FROM predictions.{PRODUCT}_current") == [(True,)]
    with pytest.raises(NotFoundError):
        remove_product(suite, PRODUCT, None, tables=False)
    assert remove_product(suite, PRODUCT, None, tables=True).tables


def test_a_product_can_have_the_name_of_one_that_was_removed_with_its_tables(published: Suite) -> None:
    suite = renamed(published, "other")
    done = remove_product(suite, PRODUCT, "nobody asks", tables=True)
    assert f"predictions.{PRODUCT}" in done.tables
    assert not [name for (name,) in rows(suite, "SELECT table_name FROM duckdb_tables()") if name.startswith(PRODUCT)]
    (suite.root / "sql/products/other").rename(suite.root / f"sql/products/{PRODUCT}")
    again = reopened(renamed_back(suite))
    (state,) = page_states(again, again.definitions.product(PRODUCT), [PAGE])
    assert (state.shown, state.model) == ("missing", None)
    assert audit(again)[-1].why == "nobody asks"


def renamed_back(suite: Suite) -> Suite:
    schedules = suite.root / "schedules.yaml"
    schedules.write_text(schedules.read_text().replace("other", PRODUCT))
    return suite
