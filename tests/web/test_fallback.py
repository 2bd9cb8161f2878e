"""An entity that no page has gets the mean of its group, which goes with the page that it comes from."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.bundles.bundle_reader import open_bundle
from jobs.bundles.key_columns import KeyRefused
from jobs.export.export import export
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite, open_suite
from jobs.web.answers import answer
from jobs.web.openapi import description
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows, rows_by_the_ledger
from tests.rollout.worlds import YAML, at, with_rules
from tests.web.bundles import with_bundle
from warehouse.definitions import Product
from warehouse.errors import DefinitionError, UsageError

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LEVELS = "{courier: [depot, courier], depot: [depot], all: []}"
VIEW = f"predictions.{PRODUCT}_fallback"


def with_fallback(root: Path, text: str) -> Product:
    header = root / YAML
    header.write_text(header.read_text().partition("\nfallback:")[0] + (f"\nfallback: {text}\n" if text else ""))
    return open_suite(root, clock_at(NOW)).definitions.product(PRODUCT)


def means(suite: Suite, page: Any, shrink: float = 5.0) -> dict[tuple[str, ...], float]:
    """Work out what the groups of a page are to have, by depot and courier."""
    query = (
        f"SELECT depot, courier, probability FROM predictions.{PRODUCT} JOIN features.{PRODUCT} USING (as_of, order_id)"
    )
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for depot, courier, probability in rows(suite, f"{query} WHERE as_of = $1", [page]):
        for group in ((), (depot,), (depot, courier)):
            groups[group].append(probability)
    found: dict[tuple[str, ...], float] = {}
    for group, values in sorted(groups.items(), key=lambda item: len(item[0])):
        prior = (shrink * found[group[:-1]], shrink) if group else (0.0, 0.0)
        found[group] = (sum(values) + prior[0]) / (len(values) + prior[1])
    return found


def test_a_fallback_is_the_shrunken_mean_of_its_page_and_goes_with_it(ingested: Suite) -> None:
    root = ingested.root
    with_rules(root, "hours_left / 1000")
    with_fallback(root, f"{{levels: {LEVELS}, shrink: 5}}")
    suite = with_bundle(ingested)

    def same_as_worked_out(page: Any) -> list[Any]:
        stood = rows(suite, f"SELECT as_of, depot, courier, probability, columns FROM {VIEW}")
        wanted = means(suite, page)
        found = {tuple(row[1:3][: len(row[4])]): row[3] for row in stood}
        assert found == pytest.approx(wanted, rel=1e-12)
        assert {row[0] for row in stood} == {page}
        return rows(suite, f"SELECT * EXCLUDE (run_id, published_at) FROM {VIEW} ORDER BY ALL")

    run_page(at(root, PAGE), PRODUCT, PAGE)
    first, snapshot = same_as_worked_out(PAGE), suite.lake.newest_snapshot()
    # The same page made later, when more is known, says the same.
    run_page(at(root, PAGE + 2 * DAY), PRODUCT, PAGE)
    assert same_as_worked_out(PAGE) == first
    with_rules(root, "parcels / 100")
    run_page(at(root, PAGE + 2 * DAY + HOUR), PRODUCT, PAGE, version="v2")
    assert same_as_worked_out(PAGE) != first
    rollback(at(root, PAGE + 2 * DAY + 2 * HOUR), PRODUCT, PAGE, snapshot)
    assert same_as_worked_out(PAGE) == first
    stands = f"FROM {VIEW} ORDER BY ALL"
    assert rows_by_the_ledger(suite, PRODUCT, stands) == rows(suite, stands)

    assert export(suite, PRODUCT).failed == {}
    wanted = means(suite, PAGE)
    bundle = open_bundle(root / "out/late.bundle")
    with contextlib.closing(bundle):
        (depot, courier), *_ = [group for group in wanted if len(group) == 2]
        for given, level, group in (
            ({"depot": depot, "courier": courier}, "courier", (depot, courier)),
            ({"depot": depot, "courier": "nobody"}, "depot", (depot,)),
            ({"depot": depot}, "depot", (depot,)),
            ({"courier": courier}, "all", ()),
            ({"depot": "nowhere", "courier": None}, "all", ()),
            ({}, "all", ()),
        ):
            said = json.loads(f"{{{answer(bundle, {'order_id': 'new', **given}, 0).inside}}}")
            assert (said["made"], said["as_of"]) == (f"fallback {level}", f"{PAGE.isoformat()}Z")
            assert said["probability"] == pytest.approx(wanted[group], rel=1e-12)
            assert said["n_rows"] > 0
            assert (bundle.look_up({"order_id": "new", **given}, PAGE) or {})["made"] == f"fallback {level}"
        assert bundle.look_up({"order_id": "new"}, PAGE + 30 * DAY) is None
        assert answer(bundle, {"order_id": "new"}, 10**18).made == "expired"
        (known,) = rows(suite, f"SELECT order_id FROM predictions.{PRODUCT}_current LIMIT 1")
        assert answer(bundle, {"order_id": known[0], "depot": "nowhere"}, 0).made == "page"
        with pytest.raises(KeyRefused, match="for entities that no page has: depot, courier"):
            bundle.look_up({"order_id": "new", "other": 1}, PAGE)
        (path,) = (
            value for name, value in description([bundle.manifest], has_token=False)["paths"].items() if "v1" in name
        )
        assert [one["name"] for one in path["get"]["parameters"]] == ["order_id", "depot", "courier"]

    # Without the setting there is no such view from the next page on.
    with_fallback(root, "")
    run_page(at(root, PAGE + 3 * DAY), PRODUCT, PAGE)
    assert rows(suite, f"SELECT count(*) FROM duckdb_views() WHERE view_name = '{PRODUCT}_fallback'") == [(0,)]


def test_a_column_that_pages_do_not_have_is_told_and_nothing_is_published(ingested: Suite) -> None:
    with_rules(ingested.root, "hours_left / 1000")
    with_fallback(ingested.root, "{levels: {kind: [nothing], all: []}}")
    with pytest.raises(UsageError, match="`nothing` is neither a key nor a column of the feature pages"):
        run_page(reopened(ingested), PRODUCT, PAGE)
    assert rows(ingested, "SELECT count(*) FROM ledger.published_pages WHERE kind = 'predictions'") == [(0,)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{levels: {a: [depot], b: [courier]}}", "`b` is no coarser than `a`"),
        ("{levels: {a: [], b: []}}", "`b` is no coarser than `a`"),
        ("{levels: {A: [depot]}}", "lower-case"),
        ("{levels: {a: [level]}}", "`level` cannot be a column"),
        ("{levels: {a: [depot, order_id]}}", "has all of `keys`"),
        ("{levels: {}}", "at least 1"),
    ],
)
def test_a_fallback_that_cannot_be_is_told(starter: Path, text: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        with_fallback(starter, text)
