"""What is said of an entity that no page has, where it comes from labels: those known at the page, and no others."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.bundles.bundle_reader import open_bundle
from jobs.export.export import export
from jobs.facts.ingest import ingest
from jobs.pages.predict import predict_pages, run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite, open_suite
from jobs.suites.lineage import suite_lineage
from jobs.training.train import train
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lakes import rows, rows_by_the_ledger
from tests.pages.test_rollback import Told
from tests.rollout.worlds import at, with_rules
from tests.training.test_classes import CLASSES, LABEL, with_classes
from tests.web.bundles import with_bundle
from tests.web.test_fallback import LEVELS, VIEW, with_fallback
from warehouse.errors import DefinitionError
from warehouse.lineage.graph import Node

DAY, MATURES = timedelta(days=1), timedelta(days=5)
N_PAGES, SHRINK = 6, 5.0
OF_LABELS = f"{{of: labels, pages: {N_PAGES}, levels: {LEVELS}, shrink: {SHRINK}}}"
RATE = "(delivered_at > promised_at)::INTEGER"
#: What a view says, without what differs from run to run.
SAID = f"SELECT * EXCLUDE (run_id, published_at) FROM {VIEW} ORDER BY ALL"


def known(root: Path, page: datetime, outcome: str = RATE) -> dict[tuple[str, ...], list[float]]:
    """Give the outcomes of each group as known at a page, out of files that have nothing later: not from the lake."""
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    with contextlib.closing(duckdb.connect()) as connection:
        for name, known_at in (("orders", "ordered_at"), ("deliveries", "delivered_at")):
            connection.execute(
                f"CREATE TABLE {name} AS FROM read_csv('{root}/data/{name}.csv', types = {{'order_id': 'VARCHAR'}})"
                f" WHERE {known_at} + INTERVAL 5 MINUTE < TIMESTAMP '{page}'"
            )
        for place in range(N_PAGES):
            earlier = page - MATURES - place * DAY
            query = (
                f"SELECT depot, courier, {outcome} FROM orders JOIN deliveries USING (order_id)"
                " WHERE ordered_at + INTERVAL 5 MINUTE < $1 AND promised_at > $1"
                " AND delivered_at + INTERVAL 5 MINUTE >= $1 AND delivered_at >= $1"
            )
            for depot, courier, value in connection.execute(query, [earlier]).fetchall():
                for group in ((), (depot,), (depot, courier)):
                    groups[group].append(float(value))
    return groups


def shrunken(groups: dict[tuple[str, ...], list[float]]) -> dict[tuple[str, ...], tuple[int, float]]:
    """Give how many outcomes each group has, and their mean, drawn to that of the next coarser group."""
    found: dict[tuple[str, ...], tuple[int, float]] = {}
    for group, values in sorted(groups.items(), key=lambda item: len(item[0])):
        prior = (SHRINK * found[group[:-1]][1], SHRINK) if group else (0.0, 0.0)
        found[group] = (len(values), (sum(values) + prior[0]) / (len(values) + prior[1]))
    return found


def said(suite: Suite, column: str = "probability") -> dict[tuple[str, ...], tuple[int, float]]:
    """Give the same as the view says it."""
    found = rows(suite, f"SELECT depot, courier, n_rows, {column}, columns FROM {VIEW}")
    return {row[: len(row[4])]: (row[2], row[3]) for row in found}


def same(found: dict[tuple[str, ...], tuple[int, float]], wanted: dict[tuple[str, ...], tuple[int, float]]) -> bool:
    counts = {group: n for group, (n, _) in found.items()}
    means = {group: mean for group, (_, mean) in found.items()}
    return counts == {group: n for group, (n, _) in wanted.items()} and means == pytest.approx(
        {group: mean for group, (_, mean) in wanted.items()}, rel=1e-12
    )


@pytest.fixture(scope="module")
def _ruled(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ruled") / "shop"
    shutil.copytree(_ingested, root)
    with_rules(root, "hours_left / 1000")
    with_fallback(root, OF_LABELS)
    return root


@pytest.fixture
def ruled(_ruled: Path, tmp_path: Path) -> Suite:
    """A suite with a version that needs no training, and a fallback of labels."""
    shutil.copytree(_ruled, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def test_day_by_day_a_page_has_what_was_known_at_it_and_a_backfill_has_the_same(ruled: Suite) -> None:
    at_once = ruled.root.with_name("at_once")
    shutil.copytree(ruled.root, at_once)
    pages = [PAGE + place * DAY for place in range(3)]
    days = []
    for page in pages:
        # What the files have of later cannot be in it: the values come from files without that.
        run_page(at(ruled.root, page), PRODUCT, page)
        assert same(said(ruled), shrunken(known(ruled.root, page)))
        days.append(rows(ruled, SAID))
    assert days[0] != days[1] != days[2]
    late = at(at_once, NOW)
    predict_pages(late, late.definitions.product(PRODUCT), pages)
    assert rows(late, SAID) == rows_by_the_ledger(late, PRODUCT, SAID) == days[2]

    # A delivery that is corrected later is a fact of later, and changes nothing at the page.
    files = ruled.root / "data/deliveries.csv"
    lines = [line.split(",") for line in files.read_text().splitlines()[1:]]
    moved = [f"{order},{datetime.fromisoformat(when) + 20 * DAY}" for order, when in lines]
    (ruled.root / "data/deliveries-corrected.csv").write_text("order_id,delivered_at\n" + "\n".join(moved) + "\n")
    ingest(at(ruled.root, NOW))
    run_page(at(ruled.root, NOW), PRODUCT, pages[2])
    assert rows(ruled, SAID) == days[2]
    # No older page changes what the newest says, and each has the sums of its own run alone.
    run_page(at(ruled.root, NOW), PRODUCT, pages[0])
    assert rows(ruled, SAID) == days[2]
    counts = "SELECT as_of, count(DISTINCT run_id), max(n_pages) FROM ledger.label_sums GROUP BY ALL ORDER BY ALL"
    assert rows(ruled, counts) == [(pages[0], 1, N_PAGES), (pages[1], 1, N_PAGES), (pages[2], 2, N_PAGES)]


def test_a_fallback_of_labels_goes_with_its_page_and_into_bundles(ruled: Suite) -> None:
    with_fallback(ruled.root, "")
    suite = with_bundle(ruled)
    with_fallback(suite.root, OF_LABELS)
    run_page(at(suite.root, PAGE), PRODUCT, PAGE)
    first, snapshot = rows(suite, SAID), suite.lake.newest_snapshot()
    with_fallback(suite.root, OF_LABELS.replace(f"pages: {N_PAGES}", "pages: 1"))
    run_page(at(suite.root, PAGE + DAY), PRODUCT, PAGE)
    assert rows(suite, SAID) != first
    rollback(at(suite.root, PAGE + 2 * DAY), PRODUCT, PAGE, snapshot)
    assert rows(suite, SAID) == first

    assert export(open_suite(suite.root, clock_at(NOW)), PRODUCT).failed == {}
    wanted = shrunken(known(suite.root, PAGE))
    with contextlib.closing(open_bundle(suite.root / "out/late.bundle")) as bundle:
        (depot, courier) = next(group for group in wanted if len(group) == 2)
        for given, group in (({"depot": depot, "courier": courier}, (depot, courier)), ({"depot": depot}, (depot,))):
            found = bundle.look_up({"order_id": "new", **given}, PAGE) or {}
            assert found["made"] == f"fallback {'courier' if len(group) == 2 else 'depot'}"
            assert (found["n_rows"], found["probability"]) == (wanted[group][0], pytest.approx(wanted[group][1]))

    graph = suite_lineage(open_suite(suite.root, clock_at(NOW))).graph
    view = f"{PRODUCT}_fallback"
    from_label = {edge.source for edge in graph.into(Node("predictions", view, "probability"))}
    assert from_label == {Node("label", PRODUCT, "label")}
    # Other levels than those that the page was published with have no groups until the next page.
    with_fallback(suite.root, "{of: labels, levels: {by_courier: [courier], all: []}}")
    run_page(at(suite.root, PAGE + 2 * DAY), PRODUCT, PAGE - DAY)
    assert {row[0] for row in rows(suite, f"SELECT level FROM {VIEW}")} == {"all"}


def test_the_first_pages_have_no_label_that_was_known_and_say_nothing(ruled: Suite) -> None:
    first = datetime(2026, 1, 15, 18)
    run_page(at(ruled.root, first + DAY), PRODUCT, first)
    assert rows(ruled, SAID) == []
    suite = with_bundle(ruled)
    run_page(at(ruled.root, first + DAY), PRODUCT, first)
    assert export(suite, PRODUCT).failed == {}
    with contextlib.closing(open_bundle(suite.root / "out/late.bundle")) as bundle:
        assert bundle.look_up({"order_id": "new"}, first) is None


def test_labels_that_cannot_be_made_are_told_and_the_page_is_published(ruled: Suite) -> None:
    label = ruled.root / f"sql/products/{PRODUCT}/label.sql"
    label.write_text(label.read_text().replace("(delivered_at > promised_at)::INTEGER", "7"))
    told = Told()
    run_page(at(ruled.root, PAGE), PRODUCT, PAGE, progress=told)
    assert any(f"{PRODUCT}_fallback says nothing" in one and "0 or 1" in one for one in told.warnings)
    assert rows(ruled, SAID) == []
    assert rows(ruled, f"SELECT count(*) > 0 FROM predictions.{PRODUCT}_page") == [(True,)]


@pytest.mark.parametrize("of", ["labels", "predictions"])
def test_of_classes_each_ones_share_is_averaged(paged: Suite, of: str) -> None:
    suite = with_classes(paged)
    window = f", pages: {N_PAGES}" if of == "labels" else ""
    with_fallback(suite.root, f"{{of: {of}{window}, levels: {LEVELS}, shrink: {SHRINK}}}")
    suite = with_bundle(suite)
    train(suite, PRODUCT, datetime(2026, 3, 1))
    run_page(suite, PRODUCT, PAGE)
    for name in CLASSES:
        if of == "labels":
            groups = known(suite.root, PAGE, f"({LABEL} = '{name}')::INTEGER")
        else:
            groups = defaultdict(list)
            joined = f"predictions.{PRODUCT} JOIN features.{PRODUCT} USING (as_of, order_id)"
            for depot, courier, value in rows(suite, f"SELECT depot, courier, probabilities['{name}'] FROM {joined}"):
                for group in ((), (depot,), (depot, courier)):
                    groups[group].append(value)
        assert same(said(suite, f"probabilities['{name}']"), shrunken(groups))
    assert export(suite, PRODUCT).failed == {}
    with contextlib.closing(open_bundle(suite.root / "out/late.bundle")) as bundle:
        found = bundle.look_up({"order_id": "new"}, PAGE) or {}
    assert found["prediction"] == max(found["probabilities"], key=found["probabilities"].get)
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert json.dumps(found["made"]) == '"fallback all"'


@pytest.mark.parametrize(
    ("label", "fallback", "told"),
    [
        ("kind: regression\n  quantiles: [0.1, 0.5, 0.9]", OF_LABELS, "no mean of its members' quantiles"),
        ("kind: ranking\n  list: [order_id]\n  top: 1\n  at_most: 2", OF_LABELS, "ranks within its list"),
        ("kind: binary", "{pages: 3, levels: {all: []}}", "it goes with `of: labels`"),
        ("kind: binary", "{of: outcomes, levels: {all: []}}", "of"),
    ],
)
def test_what_has_no_mean_is_refused_in_words(starter: Path, label: str, fallback: str, told: str) -> None:
    header = starter / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace("  kind: binary", f"  {label}"))
    with pytest.raises(DefinitionError, match=told):
        with_fallback(starter, fallback)
