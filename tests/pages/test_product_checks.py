"""A product's own checks find the same for many pages at once as for each by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.pages.backfill import BackfillOrder, backfill
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from warehouse.batching import lifted_slice
from warehouse.batching.batch import Batch
from warehouse.definitions.product import Check, CheckHeader
from warehouse.definitions.sql_file import SqlFile
from warehouse.errors import DefinitionError
from warehouse.pages import lifted_checks, product_checks, staged_rows
from warehouse.pages.product_checks import WRONG_ROWS_KEPT, OwnChecks
from warehouse.pages.staged_rows import PageRows, columns_named
from warehouse.queries.checked_query import check_query
from warehouse.sandbox import Sandbox, timestamp_literal

PAGES = [PAGE + timedelta(days=n) for n in range(5)]
CHECKS = "sql/products/late_order/checks"
UNTIL = PAGES[-1] + timedelta(hours=1)
COLUMNS = ("order_id", "as_of", "depot", "parcels", "share", "probability")

LIFTED = {
    "every row": "FROM page",
    "some rows": "SELECT order_id, parcels FROM page WHERE parcels > 3",
    "its own page": "SELECT as_of, $as_of AS at, order_id FROM page WHERE as_of + INTERVAL 1 HOUR > $as_of",
    "groups": "SELECT depot, count(*) AS n FROM page GROUP BY depot HAVING count(*) < 3 OR max(parcels) IS NULL",
    "everything": "SELECT count(*) AS n, max(parcels) AS parcels FROM page HAVING count(*) < 4 OR max(parcels) > 7",
    "a part of everything": """
        WITH heavy AS (SELECT order_id FROM page WHERE parcels > 1) SELECT count(*) AS n FROM heavy HAVING n < 3""",
    "everything there is": "SELECT max(parcels) AS most FROM page",
    "a source": "SELECT order_id, courier FROM page LEFT JOIN orders USING (order_id) WHERE courier IS NULL",
    "a source's past": """
        SELECT page.order_id, orders.ordered_at, deliveries.known_at FROM page JOIN orders USING (order_id)
        LEFT JOIN deliveries USING (order_id)
        WHERE orders.known_at > $as_of - INTERVAL 2 DAY OR deliveries.known_at IS NOT NULL""",
    "what a source lacks": "SELECT order_id FROM page ANTI JOIN orders USING (order_id) WHERE parcels <> 2",
    "what the page lacks": """
        SELECT order_id, promised_at FROM orders ANTI JOIN page USING (order_id)
        WHERE promised_at > $as_of AND orders.known_at >= $as_of - INTERVAL 1 DAY""",
    "twins": """
        SELECT a.order_id, b.order_id FROM page AS a JOIN page AS b ON a.parcels = b.parcels AND a.share < b.share""",
    "ranks": "SELECT order_id, rank() OVER (PARTITION BY depot ORDER BY probability) AS nth FROM page QUALIFY nth > 2",
    "repeated": "SELECT order_id, count(*) AS times FROM page GROUP BY ALL HAVING times > 1",
    "with": "WITH many AS (SELECT depot, max(parcels) AS n FROM page GROUP BY 1) SELECT * FROM many WHERE n > 5",
    "no names": """
        SELECT $as_of, as_of - $as_of, upper(depot), rank() OVER (ORDER BY parcels),
            list_transform([parcels], lambda each: each + 1) FROM page""",
    "names of ours": "SELECT order_id AS wrong_row, depot AS wrong, depot AS lifted, order_id FROM page",
    "the same names": "SELECT order_id, order_id, parcels AS ORDER_ID FROM page",
    "text": """SELECT depot || '","' AS "odd ""name", {'a': parcels} AS inner, DATE '2026-01-01' AS d FROM page""",
}
PLAIN = {
    "the largest": ("SELECT * FROM page ORDER BY parcels, order_id LIMIT 1", "it has a LIMIT"),
    "above the mean": (
        "SELECT order_id FROM page WHERE parcels > (SELECT avg(parcels) FROM page)",
        "it has a subquery within an expression",
    ),
    "by place": ("SELECT order_id FROM page WHERE #4 > 3", "it names a column by its place"),
    "a sum of fractions": (
        "SELECT depot, avg(share) AS mean FROM page GROUP BY depot HAVING mean > 0.5",
        "it adds up share as DOUBLE, in whatever order rows come",
    ),
}


def check(name: str, text: str) -> Check:
    where = f"checks/{name}.sql"
    query = check_query(text, where, tables={"page", "orders", "deliveries"}, parameters={"as_of"})
    return Check(name, SqlFile(where, "", 1, text), CheckHeader(description=name), query)


@dataclass
class Bench:
    """A lake with facts, and made-up pages beside it."""

    suite: Suite
    sandbox: Sandbox

    def run(self, checks: Mapping[str, str], given: list[tuple[Any, ...]], *, lift: bool) -> OwnChecks:
        """Run checks over rows of `page`: those of `COLUMNS`, the second the number of a page."""
        with pytest.MonkeyPatch.context() as patch:
            if not lift:
                patch.setattr(product_checks, "TOGETHER_FROM_PAGES", len(PAGES) + 1)
            product = replace(
                self.suite.definitions.product(PRODUCT), checks=tuple(check(*item) for item in checks.items())
            )
            with Batch(self.sandbox, self.suite.definitions, product) as batch:
                table = batch.table("made up")
                kinds = ("VARCHAR", "TIMESTAMP", "VARCHAR", "INTEGER", "DOUBLE", "DOUBLE")
                listed = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, kinds, strict=True))
                batch.cursor.execute(f"CREATE TABLE {table} ({listed})")
                for number, (order, page, *rest) in enumerate(given):
                    batch.cursor.execute(
                        f"INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6)",
                        [order, PAGES[page], *rest, number / 64],
                    )
                n_rows = {page: sum(PAGES[row[1]] == page for row in given) for page in PAGES}
                own = OwnChecks(batch, f"(FROM {table})", n_rows, workers=2)
                own.run()
                return own


@pytest.fixture(scope="module")
def bench(_ingested: Any) -> Iterator[Bench]:
    suite = open_suite(_ingested, clock_at(NOW))
    with Sandbox(suite.lake) as sandbox:
        yield Bench(suite, sandbox)


orders = st.integers(900, 1100).map(lambda number: f"O{number:05}")
made_up = st.lists(
    st.tuples(
        st.one_of(orders, st.just("never ordered")),
        st.integers(0, len(PAGES) - 1),
        st.sampled_from(["north", "south", None]),
        st.one_of(st.none(), st.integers(0, 9)),
        st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.7])),
    ),
    max_size=25,
)


@settings(max_examples=12, deadline=None)
@given(given=made_up)
def test_lifted_checks_find_what_they_find_page_by_page(bench: Bench, given: list[tuple[Any, ...]]) -> None:
    lifted, plain = (bench.run(LIFTED, given, lift=lift) for lift in (True, False))
    assert lifted.differing == []
    assert lifted.found == plain.found
    assert lifted.found.keys() == {(name, page) for name in LIFTED for page in PAGES}


def test_those_checks_are_lifted_and_others_are_not(bench: Bench) -> None:
    product = bench.suite.definitions.product(PRODUCT)
    every = LIFTED | {name: text for name, (text, _) in PLAIN.items()}
    product = replace(product, checks=tuple(check(*item) for item in every.items()))
    page = {"order_id": "TEXT", "as_of": "TIMESTAMP", "depot": "TEXT", "parcels": "INT", "share": "DOUBLE"}
    ways = lifted_checks.lifted_checks(
        bench.suite.definitions,
        product,
        {**page, "probability": "DOUBLE"},
        bench.sandbox.facts_of(bench.suite.definitions.sources),
        bench.sandbox.source_columns,
    )
    reasons = {name: str(way) for name, way in ways.items() if not isinstance(way, lifted_checks.LiftedForm)}
    assert reasons == {name: why for name, (_, why) in PLAIN.items()}


SOME_ROWS = [("O00900", number % 5, "north", number % 10, 0.1) for number in range(60)]


def test_checks_that_cannot_be_lifted_go_beside_those_that_can(bench: Bench) -> None:
    every = LIFTED | {name: text for name, (text, _) in PLAIN.items()}
    lifted, plain = (bench.run(every, SOME_ROWS, lift=lift) for lift in (True, False))
    assert lifted.found == plain.found
    assert lifted.found["the largest", PAGES[0]][0] == 1


def test_a_lifted_check_needs_no_sandbox_for_each_page(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(OwnChecks, "_check", lambda _, __, page: opened.append(page))
    own = bench.run(LIFTED, SOME_ROWS, lift=True)
    assert own.found.keys() == {(name, page) for name in LIFTED for page in PAGES}
    assert opened == []


def test_only_the_first_wrong_rows_are_kept_and_all_are_counted(bench: Bench) -> None:
    many = [(f"O{number:05}", 2, "north", number, 0.1) for number in range(3 * WRONG_ROWS_KEPT, 0, -1)]
    found = bench.run({"all": "SELECT order_id FROM page"}, many, lift=True).found
    count, shown = found["all", PAGES[2]]
    assert count == 3 * WRONG_ROWS_KEPT
    assert [json.loads(row) for row in shown] == [{"order_id": f"O{n:05}"} for n in range(1, WRONG_ROWS_KEPT + 1)]
    assert found["all", PAGES[1]] == (0, [])


@pytest.mark.parametrize("lift", [True, False])
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT depot AS wrong FROM page", '{"wrong":"north"}'),
        ("SELECT $as_of FROM page", f'{{"$as_of":"{PAGES[0]}"}}'),
        ("SELECT depot, row_number() OVER (ORDER BY probability) FROM page", None),
    ],
)
def test_a_wrong_row_is_shown_by_the_names_that_the_author_gave(
    bench: Bench, text: str, shown: str | None, *, lift: bool
) -> None:
    (count, found), ours = bench.run({"named": text}, SOME_ROWS[:1], lift=lift).found["named", PAGES[0]], "almanac"
    assert count == 1
    assert shown is None or found == [shown]
    assert ours not in found[0]


def test_a_page_of_no_rows_is_made_by_itself_where_everything_is_aggregated(bench: Bench) -> None:
    own = bench.run({"few": "SELECT count(*) AS n FROM page HAVING count(*) < 100"}, SOME_ROWS[:4], lift=True)
    assert own.found["few", PAGES[4]] == (1, ['{"n":0}'])
    assert own.found["few", PAGES[0]] == (1, ['{"n":1}'])


def test_a_check_that_fails_on_one_page_fails_that_page_alone(bench: Bench) -> None:
    given = [*SOME_ROWS, ("not a number", 3, "north", 1, 0.1)]
    numbers = "SELECT order_id FROM page WHERE replace(order_id, 'O', '')::INTEGER < 0"
    own = bench.run({"numbers": numbers, "every row": "FROM page"}, given, lift=True)
    assert own.failed.keys() == {PAGES[3]}
    assert "checks/numbers.sql: the query failed on the data" in own.failed[PAGES[3]]
    assert own.found["numbers", PAGES[0]] == (0, [])
    assert ("numbers", PAGES[3]) not in own.found
    assert own.found["every row", PAGES[3]][0] == 13
    assert [said.partition(" failed")[0] for said in own.differing] == ["checks/numbers.sql: the lifted way"]


def test_a_check_that_does_not_bind_is_a_mistake_of_its_author(bench: Bench) -> None:
    with pytest.raises(DefinitionError, match=r"(?s)checks/odd.sql:1: .*parcel\W.*Candidate bindings: .*\"parcels\""):
        bench.run({"odd": "SELECT parcel FROM page"}, SOME_ROWS, lift=True)


def test_a_difference_is_said_and_pages_are_checked_one_by_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    of_lifting = lifted_checks.LiftedChecks.find

    def wrongly(*arguments: Any) -> Any:
        found, lacking = of_lifting(*arguments)
        return {page: (count + 1, shown) for page, (count, shown) in found.items()}, lacking

    monkeypatch.setattr(lifted_checks.LiftedChecks, "find", wrongly)
    own = bench.run({"some": LIFTED["some rows"]}, SOME_ROWS, lift=True)
    assert [said.partition(" of the page")[0] for said in own.differing] == ["checks/some.sql:"]
    assert own.found == bench.run({"some": LIFTED["some rows"]}, SOME_ROWS, lift=False).found


@pytest.mark.parametrize("held_values", [1, 20, 150])
def test_pages_are_held_in_parts_where_they_are_large(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, held_values: int
) -> None:
    whole = bench.run(LIFTED, SOME_ROWS, lift=False)
    monkeypatch.setattr(staged_rows, "HELD_VALUES", held_values)
    monkeypatch.setattr(staged_rows, "HOLD_FROM_PAGES", 2)
    monkeypatch.setattr(lifted_slice, "WORTH_IT", 2)
    assert bench.run(LIFTED, SOME_ROWS, lift=True).found == whole.found


def test_parts_keep_to_the_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_rows, "HELD_VALUES", 100)
    with Batch(bench.sandbox, bench.suite.definitions, bench.suite.definitions.product(PRODUCT)) as batch:
        listed = ", ".join(f"({timestamp_literal(page)}, 1)" for page in PAGES)
        relation = f"(FROM (VALUES {listed}) AS made (as_of, a))"
        sizes = dict(zip(PAGES, [10, 40, 60, 10, 0], strict=True))
        parts = PageRows(batch.cursor, batch.table("held"), relation, sizes, [check("any", "FROM page").query]).parts
    assert parts == [PAGES[:2], PAGES[2:3], PAGES[3:]]


def test_what_does_not_fit_into_memory_is_read_where_it_lies() -> None:
    with duckdb.connect(":memory:", config={"memory_limit": "20MB", "max_temp_directory_size": "0MB"}) as connection:
        listed = ", ".join(timestamp_literal(page) for page in PAGES)
        text = "md5(n::VARCHAR) || md5((n + 1)::VARCHAR) AS a FROM range(300_000) AS r(n)"
        relation = f"(SELECT unnest([{listed}]) AS as_of, {text})"
        rows_of = PageRows(
            connection, "memory.main.held", relation, dict.fromkeys(PAGES, 1), [check("a", "SELECT a FROM page").query]
        )
        assert rows_of.of(PAGES) == relation


NAMED = {
    "SELECT a, p.b FROM page AS p JOIN orders USING (c) WHERE d > $as_of ORDER BY e": {*"abcde", "p"},
    "SELECT count(*) AS n FROM page GROUP BY upper(A)": {"a"},
    "SELECT a FROM page WHERE EXISTS (SELECT 1 FROM orders WHERE orders.b = page.c)": {*"abc", "orders", "page"},
    "SELECT sum(a) OVER (PARTITION BY b ORDER BY c) FROM page QUALIFY d": {*"abcd"},
    "FROM page": None,
    "SELECT page.* FROM page": None,
    "SELECT COLUMNS('a') FROM page": None,
    "SELECT page FROM page": None,
    "SELECT md5(p::VARCHAR) FROM page AS p": None,
    "SELECT a FROM page NATURAL JOIN orders": None,
    "SELECT #1 FROM page": None,
    "SELECT a FROM page AS p(a, b)": None,
}


@pytest.mark.parametrize("text", NAMED)
def test_the_columns_that_a_check_names_are_known(text: str) -> None:
    assert columns_named([check("named", text).query]) == NAMED[text]


class Told(Silent):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def _write(suite: Suite, name: str, query: str, severity: str = "error") -> None:
    (suite.root / CHECKS / f"{name}.sql").write_text(f"/*\ndescription: {name}\nseverity: {severity}\n*/\n{query}\n")


def test_the_ledger_has_the_same_either_way(trained: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(trained, "many", "SELECT order_id, probability FROM page WHERE parcels >= 2", "warning")
    _write(trained, "one_day", f"SELECT depot, count(*) AS n FROM page WHERE $as_of = '{PAGES[2]}' GROUP BY depot")
    suite = reopened(trained)
    names = "name IN ('many', 'one_day', 'not_all_alike')"
    seen: list[Any] = []
    for from_pages in (1, 1_000):
        monkeypatch.setattr(product_checks, "TOGETHER_FROM_PAGES", from_pages)
        result = backfill(suite, BackfillOrder(PRODUCT, PAGES[0], UNTIL, only="all"))
        assert result.rejected == {PAGES[2]}
        for table in ("checks", "wrong_rows"):
            query = f"SELECT * EXCLUDE (run_id) FROM ledger.{table} WHERE run_id = $1 AND {names} ORDER BY ALL"
            seen.append(rows(suite, query, result.run_ids))
    assert seen[:2] == seen[2:]
    assert len(seen[0]) == 3 * len(PAGES)
    assert len(seen[1]) > WRONG_ROWS_KEPT


def test_a_backfill_warns_of_a_check_that_was_lifted_in_vain(trained: Suite) -> None:
    _write(trained, "numbers", "SELECT order_id FROM page WHERE depot::INTEGER = 1", "warning")
    told = Told()
    result = backfill(reopened(trained), BackfillOrder(PRODUCT, PAGES[0], UNTIL), told)
    assert result.failed.keys() == {*PAGES}
    (said,) = [said for said in told.warnings if said.endswith("; it was made page by page instead.")]
    assert said.startswith(f"{CHECKS}/numbers.sql: the lifted way failed (Conversion Error")
