"""What impact says breaks, against what breaks: of suites drawn at random, a source loses a column or gets it renamed.

What breaks is found out apart from Almanac: the sources' SELECTs fill plain tables, one column is taken from one of
them, and the text of each query is run by DuckDB as it stands.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.suite import Suite, open_suite
from jobs.suites.lineage import impact
from jobs.suites.starter import make_starter
from tests.conftest import NOW, PRODUCT, clock_at
from warehouse.definitions import FeatureGroup

COLUMNS = {
    "orders": ("order_id", "depot", "courier", "parcels", "ordered_at", "promised_at", "known_at"),
    "deliveries": ("order_id", "delivered_at", "known_at"),
}
OF_ORDERS = st.sampled_from(COLUMNS["orders"])
CHANGES = [(source, column) for source, columns in COLUMNS.items() for column in columns if column != "known_at"]
AS_OF = datetime(2026, 3, 10, 18)


@st.composite
def groups(draw: st.DrawFn) -> dict[str, str]:
    """Draw the queries of three feature groups keyed by depot: of orders, perhaps joined; of the first; of the second.

    The last two name columns of those before them, hide some, or pass all on by a star.
    """
    counted, filtered, hidden = draw(OF_ORDERS), draw(OF_ORDERS), draw(st.lists(OF_ORDERS, max_size=2, unique=True))
    hidden = [name for name in hidden if name != "depot"]
    join = draw(st.sampled_from(["", "JOIN deliveries USING (order_id)", "ANTI JOIN deliveries USING (order_id)"]))
    where = draw(st.sampled_from(["", f"WHERE {filtered} IS NOT NULL"]))
    exclude = f" EXCLUDE ({', '.join(hidden)})" if hidden else ""
    unread = draw(st.sampled_from(["", f"WITH unread AS (SELECT {draw(OF_ORDERS)} FROM orders) "]))
    first = draw(
        st.sampled_from(
            [
                f"SELECT depot, count(DISTINCT {counted}) AS one FROM orders {join} {where} GROUP BY depot",
                f"SELECT *{exclude} FROM orders {where} QUALIFY rank() OVER (PARTITION BY depot ORDER BY order_id) = 1",
                f"SELECT depot, max({counted}) AS one FROM (SELECT *{exclude} FROM orders {join}) GROUP BY ALL",
            ]
        )
    )
    second = draw(
        st.sampled_from(
            [
                "SELECT * FROM first_group",
                "SELECT depot, count(*) AS two FROM first_group SEMI JOIN orders USING (depot) GROUP BY depot",
                f"SELECT depot, (SELECT count({counted}) FROM orders o WHERE o.depot = f.depot) AS two"
                " FROM first_group f",
            ]
        )
    )
    third = draw(st.sampled_from(["SELECT * FROM second_group", "SELECT depot FROM second_group", second]))
    return {"first_group": unread + first, "second_group": second, "third_group": third}


@contextmanager
def suite_of(starter: Path, queries: dict[str, str]) -> Iterator[Suite]:
    """Make a suite with these feature groups besides the starter's."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "shop"
        shutil.copytree(starter, root)
        for name, query in queries.items():
            header = "/*\ndescription: Drawn at random.\nkey: [depot]\n*/\n"
            (root / f"sql/features/{name}.sql").write_text(header + query)
        yield open_suite(root, clock_at(NOW))


def fill(connection: duckdb.DuckDBPyConnection, suite: Suite, source: str, column: str, event: str) -> None:
    """Fill plain tables from the files, and take the column away from one, or give it another name."""
    for name, each in suite.definitions.sources.items():
        files = {"files": [str(suite.root / f"data/{name}.csv")]}
        text = f"CREATE TABLE {name} AS SELECT *, {each.header.known_at} AS known_at FROM ({each.query.text})"
        connection.execute(text, files)
    change = f"DROP COLUMN {column}" if event == "goes" else f"RENAME COLUMN {column} TO {column}_anew"
    connection.execute(f"ALTER TABLE {source} {change}")


def failing(connection: duckdb.DuckDBPyConnection, suite: Suite) -> set[tuple[str, str]]:
    """Run everything, each query over what those before it gave, and name what fails."""
    product = suite.definitions.product(PRODUCT)
    failed = {
        ("source", name)
        for name, each in suite.definitions.sources.items()
        if not runs(connection, f"SELECT {', '.join([*each.header.key, each.header.known_at])} FROM {name}")
        or not all(runs(connection, f"SELECT {rule} FROM {name}") for rule in each.header.rules.values())
    }
    for group in in_order(suite):
        view = f"CREATE TABLE {group.name} AS {group.query.text}"
        if not (runs(connection, view) and runs(connection, f"SELECT {', '.join(group.key)} FROM {group.name}")):
            connection.execute(f"DROP TABLE IF EXISTS {group.name}")
            failed.add(("group", group.name))
    for part, text in (("entities", product.entities.text), ("label", product.label.text)):
        if not runs(connection, text):
            failed.add((part, PRODUCT))
    return failed


def in_order(suite: Suite) -> list[FeatureGroup]:
    own = ["first_group", "second_group", "third_group"]
    groups = suite.definitions.groups
    return [groups[name] for name in [*sorted(groups.keys() - set(own)), *own]]


def runs(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    parameters = {name: AS_OF for name in ("as_of", "known_by") if f"${name}" in text}
    try:
        connection.execute(text, parameters or None).fetchall()
    except (duckdb.BinderException, duckdb.CatalogException):  # the latter: what it reads has failed
        return False
    return True


def test_what_impact_says_breaks_is_what_breaks(tmp_path: Path) -> None:
    starter = tmp_path / "starter"
    make_starter(starter)
    seen: set[bool] = set()

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(queries=groups(), change=st.sampled_from(CHANGES), event=st.sampled_from(["goes", "is renamed"]))
    def of(queries: dict[str, str], change: tuple[str, str], event: str) -> None:
        source, column = change
        with suite_of(starter, queries) as suite, duckdb.connect(":memory:") as connection:
            answer, lineage = impact(suite, f"{source}.{column}")
            already = set(lineage.bound.problems)
            fill(connection, suite, source, column, event)
            kinds = ("source", "group", "entities", "label")
            said = {(item.kind, item.name) for item in answer.breaks if item.kind in kinds}
            assert said == failing(connection, suite) - already
            seen.update(("group", name) in said for name in queries)

    of()
    assert seen == {True, False}, "the changes that were drawn were no test"
