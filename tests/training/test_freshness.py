"""What fresh data is worth, on a lake: versions of several ages on the same pages, and none is registered."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from jobs.suite import Suite
from jobs.training.freshness import freshness
from tests.conftest import PRODUCT, TRAINED_LATER
from tests.lakes import rows
from tests.schedule.clock_suites import run, run_json
from warehouse.errors import DefinitionError, UsageError
from warehouse.ledger import records as ledger

BEGIN, END = datetime(2026, 2, 20), TRAINED_LATER


def test_versions_of_several_ages_are_judged_on_the_same_pages_and_none_is_registered(
    paged: Suite, tmp_path: Path
) -> None:
    found = run_json(
        paged.root, *("freshness", PRODUCT, "--from", str(BEGIN.date()), "--to", str(END.date())),
        *("--cutoffs", "3", "--also", "logistic_regression", "--output", str(tmp_path / "curve.html")),
    )  # fmt: skip
    pages = paged.definitions.product(PRODUCT).pages_between(BEGIN, END)
    assert found["n_pages"] == len(pages)
    cutoffs = [one["cutoff"] for one in found["versions"]]
    assert cutoffs == sorted(cutoffs)
    assert cutoffs[0] == f"{pages[0]:%Y-%m-%dT%H:%M:%SZ}"
    # Each is judged on its own page and all later ones, and learns more than the one before.
    assert found["versions"][0]["n_pages"] == len(pages)
    assert [one["n_rows"] for one in found["versions"]] == sorted(one["n_rows"] for one in found["versions"])
    assert [one["age_days"] for one in found["ages"]] == [0, 7, (pages[-1] - pages[0]).days]
    assert found["ages"][0]["extra"] == 0
    assert all(one["low"] <= one["extra"] <= one["high"] for one in found["ages"])
    policies = {one["policy"]: one for one in found["policies"]}
    assert [*policies] == ["once a year", "quarterly", "monthly", "weekly", "daily"]
    assert policies["once a year"]["saved"] == 0
    assert policies["daily"]["cpu_s_a_year"] == pytest.approx(365 * found["cpu_s"])
    assert [one["what"] for one in found["iterations"]] == [
        "logistic_regression, with its defaults",
        "all pages, not the newer half of them",
    ]
    with paged.lake.reading() as connection:
        assert ledger.models(connection, PRODUCT) == []
    # The ledger has what was printed.
    kept = "SELECT kind, name, figure FROM ledger.freshness JOIN ledger.freshness_figures USING (freshness_id)"
    figures = [(kind, figure) for kind, _, figure in rows(paged, kept)]
    told = [("version", "loss"), ("age", "extra"), ("policy", "saved"), ("instead", "saved")]
    parts = ("versions", "ages", "policies", "iterations")
    assert figures == [
        (kind, one[column]) for (kind, column), part in zip(told, parts, strict=True) for one in found[part]
    ]
    # The curve is drawn with a point, and a band, at each age.
    drawn = (tmp_path / "curve.html").read_text()
    assert drawn.count("<circle") == len(found["ages"])
    assert drawn.count("<polygon") == 1
    assert all(f"{one['age_days']:g} days" in drawn for one in found["ages"])


def test_a_range_or_an_estimator_that_does_not_do_is_refused(paged: Suite) -> None:
    said = run(paged.root, "freshness", PRODUCT, "--from", "2026-03-19", "--to", "2026-03-20", expect=2)
    assert "too few to compare" in said
    with pytest.raises(DefinitionError, match="there is no estimator `logistic`"):
        freshness(paged, PRODUCT, BEGIN, END, cutoffs=2, also="logistic")
    path = paged.root / f"sql/products/{PRODUCT}/product.yaml"
    assert "binary" in path.read_text()
    with pytest.raises(UsageError, match="too few"):
        freshness(paged, PRODUCT, END, END)
