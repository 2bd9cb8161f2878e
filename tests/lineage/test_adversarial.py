"""What impact says, tried out: columns are filled with other values, or taken away, in real suites with real lakes.

Where it says that a column has no influence on a feature, other values in that column must leave the feature as it
is. Where it says that something breaks, taking the column away must make just that fail, and nothing else.
"""

from __future__ import annotations

import csv
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.predict import run_page
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from jobs.suites.lineage import impact, suite_lineage
from jobs.suites.starter import make_starter
from jobs.training.train import train
from tests.conftest import NOW, PRODUCT, clock_at
from tests.lakes import rows
from warehouse.batching.batch import ENTITIES
from warehouse.errors import AlmanacError, UsageError
from warehouse.lineage.graph import Node
from warehouse.pages.labels import compute_labels
from warehouse.sandbox import Sandbox

PAGES = [datetime(2026, 3, day, 18) for day in (3, 10, 17)]
#: Groups of all kinds of dependence besides the starter's own: group upon group, a star, windows, a correlated query.
GROUPS = {
    "courier_share": (
        "courier",
        "SELECT * EXCLUDE (courier_open_parcels), courier_open_parcels / sum(courier_open_parcels) OVER ()"
        " AS courier_share FROM courier_load",
    ),
    "order_rank": (
        "order_id",
        "SELECT order_id, rank() OVER (PARTITION BY depot ORDER BY parcels DESC) AS depot_rank,"
        " (SELECT count(*) FROM deliveries d JOIN orders o USING (order_id)"
        " WHERE o.courier = orders.courier) AS courier_done FROM orders",
    ),
    "depot_newest": (
        "depot",
        "SELECT * EXCLUDE (order_id, courier, parcels, ordered_at, promised_at, known_at, note, spare) FROM orders"
        " QUALIFY row_number() OVER (PARTITION BY depot ORDER BY order_id DESC) = 1",
    ),
    "depot_notes": (
        "depot",
        "WITH everything AS (SELECT * FROM orders ANTI JOIN deliveries USING (order_id))"
        " SELECT depot, max(note) AS last_note, count(DISTINCT courier) AS couriers FROM everything GROUP BY depot",
    ),
}
USES = """features:
  - depot_history
  - {group: courier_load, prefix: now_}
  - courier_share
  - order_rank
  - depot_newest
  - {group: depot_notes, on: {depot: depot}}
"""


def write_suite(root: Path) -> None:
    """Make the starter with more groups, a column that only one of them reads, and one that nothing reads."""
    make_starter(root)
    for name, (key, query) in GROUPS.items():
        header = f"/*\ndescription: For this test.\nkey: [{key}]\n*/\n"
        (root / f"sql/features/{name}.sql").write_text(header + query)
    product = root / "sql/products/late_order/product.yaml"
    text = product.read_text()
    start, end = text.index("features:"), text.index("label:")
    product.write_text(text[:start] + USES + text[end:])
    source = root / "sql/sources/orders.sql"
    text = source.read_text().replace("ordered_at, promised_at\n", "ordered_at, promised_at, note, colour, spare\n")
    text = text.replace("  an order has parcels: parcels >= 1\n", "")  # so that parcels decides on no row
    source.write_text(
        text.replace(
            "'parcels': 'INTEGER',", "'parcels': 'INTEGER', 'note': 'INTEGER', 'colour': 'VARCHAR', 'spare': 'INTEGER',"
        )
    )
    orders = read(root, "orders")
    for number, row in enumerate(orders):
        row |= {"note": str(number * 13 % 101), "colour": ("red", "blue", "green")[number % 3], "spare": str(number)}
    write(root, "orders", orders)


def read(root: Path, name: str) -> list[dict[str, str]]:
    with (root / f"data/{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def write(root: Path, name: str, listed: list[dict[str, str]]) -> None:
    with (root / f"data/{name}.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)


def opened(root: Path) -> Suite:
    return open_suite(root, clock_at(NOW))


def with_features(root: Path) -> Suite:
    suite = opened(root)
    ingest(suite)
    ensure_feature_pages(suite, suite.definitions.product(PRODUCT), PAGES, Silent())
    return suite


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    root = tmp_path_factory.mktemp("original") / "shop"
    write_suite(root)
    return with_features(root)


FILES = {
    "orders": ("order_id", "depot", "courier", "parcels", "ordered_at", "promised_at", "note", "colour", "spare"),
    "deliveries": ("order_id", "delivered_at"),
}
COLUMNS = [f"{source}.{column}" for source, columns in FILES.items() for column in columns]


@pytest.mark.parametrize("name", COLUMNS)
def test_other_values_change_no_feature_that_the_column_is_said_to_have_no_influence_on(
    name: str, original: Suite, tmp_path: Path
) -> None:
    source, column = name.split(".")
    lineage = suite_lineage(original)
    answer, _ = impact(original, name)
    changed = {item.node for item in answer.changes}
    page = [node for node in lineage.graph.columns("page", PRODUCT) if node.column != "valid_until"]
    untouched = [node.column for node in page if node not in changed]
    if column in INFLUENCED:
        assert {node.column for node in page if node in changed} == INFLUENCED[column]
    root = tmp_path / "shop"
    shutil.copytree(original.root, root, ignore=shutil.ignore_patterns("lake"))
    listed = read(root, source)
    values = [row[column] for row in listed]
    for row, value in zip(listed, values[7:] + values[:7], strict=True):
        row[column] = value
    write(root, source, listed)
    if not untouched:
        return
    other = with_features(root)
    query = f"SELECT as_of, {', '.join(untouched)} FROM features.{PRODUCT} ORDER BY ALL"
    assert rows(original, query) == rows(other, query)
    if len(untouched) < len(page) and column not in ("order_id",):
        everything = f"SELECT * FROM features.{PRODUCT} ORDER BY ALL"
        assert rows(original, everything) != rows(other, everything), "the other values were no test at all"


#: Worked out by reading the queries: which features other values in a column can change.
INFLUENCED = {
    "spare": set(),
    "colour": {"colour"},
    "note": {"last_note"},
    "parcels": {"parcels", "now_courier_open_parcels", "courier_share", "depot_rank"},
    "courier": {
        "courier",
        "now_courier_open_orders",
        "now_courier_open_parcels",
        "courier_open_orders",
        "courier_share",
        "courier_done",
        "couriers",
    },
    "depot": {
        "depot",
        "depot_deliveries_7d",
        "depot_deliveries_28d",
        "depot_late_share_7d",
        "depot_late_share_28d",
        "depot_rank",
        "last_note",
        "couriers",
        "colour",
    },
}


@pytest.mark.parametrize("name", COLUMNS)
def test_what_is_said_to_break_fails_without_the_column_and_nothing_else_does(
    name: str, original: Suite, tmp_path: Path
) -> None:
    source, column = name.split(".")
    answer, _ = impact(original, name)
    root = tmp_path / "shop"
    shutil.copytree(original.root, root, ignore=shutil.ignore_patterns("lake"))
    file = root / f"sql/sources/{source}.sql"
    head, _, query = file.read_text().partition("*/")
    file.write_text(f"{head}*/\nSELECT * EXCLUDE ({column}) FROM ({query})")
    suite = opened(root)
    said = {(item.kind, item.name) for item in answer.breaks}
    if ("source", source) in said:
        with pytest.raises(AlmanacError):
            ingest(suite, [source])
        return
    ingest(suite)
    assert {part for part in said if part[0] in ("group", "entities", "label")} == what_fails(suite)
    product = suite.definitions.product(PRODUCT)
    if ("predictions", PRODUCT) in said:
        with pytest.raises(AlmanacError):
            ensure_feature_pages(suite, product, PAGES, Silent())
    else:
        ensure_feature_pages(suite, product, PAGES, Silent())


def what_fails(suite: Suite) -> set[tuple[str, str]]:
    """Run each query of the product by itself; a group's readers fail with it."""
    product = suite.definitions.product(PRODUCT)
    failed: set[tuple[str, str]] = set()
    with Sandbox(suite.lake) as sandbox, sandbox.at(PAGES[1], suite.definitions.sources.values()) as page:
        queries: list[tuple[tuple[str, str], str, Any]] = [
            (("group", group.name), group.name, group.query) for group in suite.definitions.groups_of(product)
        ]
        for part, name, query in [*queries, (("entities", PRODUCT), ENTITIES, product.entities)]:
            try:
                page.bind(name, query)
            except AlmanacError:
                failed.add(part)
    with Sandbox(suite.lake) as sandbox:
        try:
            compute_labels(sandbox, suite.definitions, product, PAGES, NOW, suite.lake.staging / "labels.parquet")
        except AlmanacError:
            failed.add(("label", PRODUCT))
    return failed


@pytest.mark.parametrize(
    ("column", "fails"), [("courier", {"orders"}), ("note", {"depot_notes", "depot_newest"}), ("colour", set())]
)
def test_a_file_s_column_is_missed_where_it_is_named_and_not_where_a_star_passes_it_on(
    column: str, fails: set[str], original: Suite, tmp_path: Path
) -> None:
    root = tmp_path / "shop"
    shutil.copytree(original.root, root, ignore=shutil.ignore_patterns("lake"))
    file = root / "sql/sources/orders.sql"
    head, _, _ = file.read_text().partition("*/")
    query = "SELECT * REPLACE (upper(courier) AS courier) FROM read_csv($files, header = true)"
    file.write_text(f"{head}*/\n{query}")
    suite = opened(root)
    answer, lineage = impact(suite, f"orders.{column}", of_file=True)
    assert lineage.doubts == []
    assert answer.column == Node("file", "data/orders*.csv", column)
    groups_and_sources = {item.name for item in answer.breaks if item.kind in ("group", "source")}
    listed = [{name: value for name, value in row.items() if name != column} for row in read(original.root, "orders")]
    write(root, "orders", listed)
    if "orders" in fails:
        assert "orders" in groups_and_sources
        with pytest.raises(AlmanacError):
            ingest(suite, ["orders"])
        return
    assert groups_and_sources == fails
    ingest(suite)
    assert {name for kind, name in what_fails(suite) if kind == "group"} == groups_and_sources


def test_a_model_that_was_given_a_feature_cannot_score_without_it(original: Suite, tmp_path: Path) -> None:
    root = tmp_path / "shop"
    shutil.copytree(original.root, root)
    product = root / "sql/products/late_order/product.yaml"
    product.write_text(product.read_text().replace("since: 2026-01-15", "since: 2026-02-20"))
    train(opened(root), PRODUCT, datetime(2026, 3, 3))
    answer, lineage = impact(opened(root), "orders.colour")
    assert [model.version for model in lineage.models[PRODUCT] if model.is_live] == ["v1"]
    broken = {(item.kind, item.name): item.why for item in answer.breaks}
    assert "colour" in broken["model", f"{PRODUCT}.v1"]
    assert "v1 cannot score" in broken["predictions", PRODUCT]
    assert any("makes the facts anew without it" in note for note in answer.notes)
    group = root / "sql/features/depot_newest.sql"
    group.write_text(group.read_text().replace("EXCLUDE (", "EXCLUDE (colour, "))
    with pytest.raises(UsageError, match="colour"):
        run_page(opened(root), PRODUCT, PAGES[1])


def test_a_lake_whose_facts_are_made_anew_without_the_column_lacks_it(original: Suite, tmp_path: Path) -> None:
    """The facts that the lake held with the column are those of an earlier definition; pages no longer see them."""
    root = tmp_path / "shop"
    shutil.copytree(original.root, root)
    answer, _ = impact(opened(root), "orders.note")
    file = root / "sql/sources/orders.sql"
    head, _, query = file.read_text().partition("*/")
    file.write_text(f"{head}*/\nSELECT * EXCLUDE (note) FROM ({query})")
    suite = opened(root)
    ingest(suite, ["orders"])
    said = {(item.kind, item.name) for item in answer.breaks if item.kind in ("group", "entities", "label")}
    assert what_fails(suite) == said != set()
