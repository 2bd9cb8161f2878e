"""Bounds that keep a page back."""

from __future__ import annotations

import pytest

from jobs.pages.predict import run_page
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT, reopened
from tests.lakes import rows
from warehouse.errors import RunFailed


def bounded(suite: Suite, hold: str) -> Suite:
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    kept = header.read_text().partition("\nmonitor:")[0]
    header.write_text(f"{kept}\nmonitor: {{hold: {hold}}}\n")
    return reopened(suite)


def test_a_page_out_of_bounds_is_kept_back_with_the_figure(trained: Suite) -> None:
    hold = (
        "[{rows: {at_least: 40}}, {column: parcels, missing: {at_most: 0.1}, low: {at_least: 1}, high: {at_most: 2}},"
        " {column: probability, mean: {at_least: 0, at_most: 1}}]"
    )
    assert run_page(bounded(trained, hold), PRODUCT, PAGE).rejected == {PAGE}
    said = dict(rows(trained, "SELECT name, message FROM ledger.checks WHERE name LIKE 'hold%'"))
    assert set(said) == {
        "hold_rows",
        "hold_missing_parcels",
        "hold_low_parcels",
        "hold_high_parcels",
        "hold_mean_probability",
    }
    assert [name for name, message in said.items() if message != "passed"] == ["hold_high_parcels"]
    assert said["hold_high_parcels"] == "held back: high of parcels: 8, to be at most 2"
    # The bounds are of watching: that they change makes no page out of date.
    within = bounded(trained, "[{rows: {at_least: 40}}, {column: parcels, high: {at_most: 8}}]")
    assert run_page(within, PRODUCT, PAGE).rejected == set()
    assert run_page(bounded(trained, "[{rows: {at_most: 40}}]"), PRODUCT, PAGE).rejected == {PAGE}


def test_a_bound_of_what_is_not_there_publishes_nothing(trained: Suite) -> None:
    for column in ("nothing", "courier"):
        with pytest.raises(RunFailed, match=f"bounds mean of `{column}`, which pages of late_order do not have"):
            run_page(bounded(trained, f"[{{column: {column}, mean: {{at_least: 0}}}}]"), PRODUCT, PAGE)
