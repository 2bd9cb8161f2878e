"""What a request gives stands for a source: a group keyed by the entity is worked out of it as DuckDB would."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from jobs.bundles.bundle_reader import open_bundle, read_manifest
from jobs.bundles.compiled_trees import NotExact
from jobs.bundles.key_columns import KeyRefused, micros
from jobs.bundles.one_file import javascript_file
from jobs.bundles.row_expressions import value_of
from jobs.export.row_wise import row_wise
from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from jobs.web.request_log import RequestLog
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from tests.web.bundles import serving, with_bundle
from tests.web.test_on_demand import (
    LOOK_UP,
    asking,
    exported,
    invented,
    page_of,
    rewritten,
    seen_by,
    why_not,
    with_rows,
)
from warehouse.errors import DefinitionError
from warehouse.queries.checked_query import check_query

if TYPE_CHECKING:
    from playwright.sync_api import Browser

COLUMNS = {
    "a": "INTEGER", "b": "BIGINT", "c": "SMALLINT", "x": "DOUBLE", "y": "DOUBLE", "f": "BOOLEAN", "g": "BOOLEAN",
    "s": "VARCHAR", "t": "VARCHAR", "m": "TIMESTAMP", "n": "TIMESTAMP",
    "e": "TINYINT",
}  # fmt: skip
EXPRESSIONS = (
    *("a + c", "a * c - 7", "b - a", "a // c", "b % c", "-a", "abs(c)", "a / c", "x / y", "x * y + 0.1", "x - a"),
    *("-x", "abs(y)", "1.5 * x", "c::INTEGER * a", "a::DOUBLE / 3", "f::INTEGER + g::INTEGER", "b::DOUBLE"),
    *("a = c", "a <> b", "a < c", "a <= c", "a > b", "a >= 3", "x < y", "x = a", "x >= 0.5", "s = t", "s <> 'é'"),
    *("m < n", "m >= $as_of", "f = g", "a BETWEEN 1 AND c", "a NOT BETWEEN 1 AND c", "s IN ('a', 'é', t)"),
    *("a NOT IN (1, 2, c)", "x IN (0, 1.5)", "f AND g", "f OR g", "NOT f", "f AND a > 1 OR g", "s IS NULL"),
    *("a IS NOT NULL AND x IS NULL", "coalesce(a, c, 0)", "coalesce(x, a, 1.5)", "coalesce(s, t, 'none')"),
    *("CASE WHEN f THEN a ELSE c END", "CASE WHEN a > 1 THEN x WHEN g THEN 0 END", "CASE s WHEN 'a' THEN 1 ELSE 2 END"),
    *("CASE WHEN g THEN s ELSE t || 'z' END", "s || t", "hour(m)", "minute(m)", "second(m)", "day(m)", "month(m)"),
    *("year(m)", "isodow(m)", "dayofweek(m)", "dayofyear(n)", "extract('dow' FROM n)", "date_part('hour', n)"),
    *(
        "date_diff('hour', m, n)",
        "date_diff('day', m, $as_of)",
        "date_diff('minute', n, m)",
        "datediff('second', m, n)",
    ),
    *("date_diff('hour', m, n) * 2 + a", "2147483647 + c", "a * a", "b * b", "NULL", "coalesce(NULL, a)"),
    *("datediff('second', m, n)", "c + 40000", "c * 100", "-5 + c", "c - (-5)", "1 + 1 + c", "abs(-3) * c"),
    # What literals alone come to is an INTEGER, also by way of CASE; beside a column they are of its type, if they fit.
    *("CASE WHEN f THEN 100 ELSE 0 END + CASE WHEN g THEN 100 ELSE 1 END", "coalesce(c, 40000) + 30000"),
    *("coalesce(NULL, 100) * 100", "CASE WHEN f THEN 100 END * 100", "c % 40000 - 32768", "e + 100", "e - (-128)"),
    *("coalesce(e, 100) + e", "CASE WHEN f THEN e ELSE 300 END * 100", "-e", "e // 200 - 100"),
)
REFUSED = (
    *("sum(a)", "sqrt(x)", "round(x)", "s < t", "a::VARCHAR", "x::INTEGER", "lower(s)", "a * 1.5", "random_x"),
    *("row_number() OVER (ORDER BY a)", "(SELECT 1)", "m + INTERVAL 1 DAY", "m - n", "CASE WHEN f THEN 1.5 ELSE a END"),
    *(
        "a IS DISTINCT FROM c",
        "s LIKE 'a%'",
        "greatest(a, c)",
        "d",
        "TRY_CAST(a AS DOUBLE)",
        "x < 1e400",
        "coalesce(x, -1e400)",
        "date_diff('month', m, n)",
    ),
)
AS_OF = datetime(2026, 3, 10, 18)


def drawn(number: int) -> dict[str, Any]:
    """Give a row, with NULLs and values at the ends of their types."""
    dice = random.Random(number)
    wide = [None, 0, 1, 2, 3, -1, -7, 11, dice.randrange(-(2**15), 2**15)]
    real = [None, 0.0, -0.0, 0.5, 1.5, 0.1, 3.0, 1e-300, 1e300, -2.5, dice.uniform(-9, 9)]
    at = [None, *(datetime(2026, 3, 10, 18) + timedelta(microseconds=dice.randrange(-(10**13), 10**13)) for _ in "ab")]
    return {
        "a": dice.choice([*wide, 2**31 - 1, -(2**31)]),
        "b": dice.choice([*wide, 2**53 + 1, 2**63 - 1, -(2**63)]),
        "c": dice.choice(wide),
        "x": dice.choice(real),
        "y": dice.choice(real),
        "f": dice.choice([None, True, False]),
        "g": dice.choice([None, True, False]),
        "s": dice.choice([None, "", "a", "é", "\U0001f600"]),
        "t": dice.choice([None, "", "a", "b"]),
        "m": dice.choice(at),
        "n": dice.choice([*at, datetime(1970, 1, 1), datetime(2000, 2, 29, 23, 59, 59, 999999)]),
        "e": dice.choice([None, 0, 1, -1, 100, 127, -128]),
    }


def turned(text: str) -> Any:
    query = check_query(f"SELECT {text} AS found FROM facts", "own.sql", tables={"facts"}, parameters={"as_of"})
    return query, row_wise(query, COLUMNS, AS_OF, ["found"]).values["found"]


def told(value: Any) -> Any:
    """Give a value so that bits and kinds tell."""
    return value.hex() if isinstance(value, float) else str(value) if type(value) is int else value


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: micros(value) if isinstance(value, datetime) else value for name, value in row.items()}


def compared(number: int) -> list[tuple[str, list[Any], Any]]:
    """Give of a row, for each expression that DuckDB works out, the expression as readers have it, and the value."""
    row, found = drawn(number), []
    with contextlib.closing(duckdb.connect()) as connection:
        listed = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        connection.execute(f"CREATE TABLE facts ({listed})")
        connection.execute(f"INSERT INTO facts VALUES ({', '.join('?' * len(row))})", list(row.values()))
        for text in EXPRESSIONS:
            query, typed = turned(text)
            try:
                ((value,),) = connection.execute(query.text, query.bound(as_of=AS_OF) or None).fetchall()
            except duckdb.OutOfRangeException:
                value = "refused"
            found.append((text, typed.expression, value))
    return found


@pytest.mark.parametrize("number", range(60))
def test_expressions_are_worked_out_as_duckdb_does_or_refused(number: int) -> None:
    row = plain(drawn(number))
    for text, expression, value in compared(number):
        try:
            found = value_of(json.loads(json.dumps(expression)), row)
        except KeyRefused:
            is_infinite = isinstance(value, float) and not abs(value) < float("inf")
            assert value == "refused" or is_infinite, text
            continue
        assert told(found) == told(value), (text, row)


@pytest.mark.parametrize("text", REFUSED)
def test_an_expression_that_not_every_reader_repeats_is_refused(text: str) -> None:
    with pytest.raises(NotExact, match=r"own\.sql"):
        turned(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT a AS found FROM facts JOIN other USING (a)", "FROM one source"),
        ("SELECT max(a) AS found FROM facts GROUP BY b", "one SELECT of expressions"),
        ("SELECT a AS found FROM facts QUALIFY row_number() OVER (PARTITION BY b ORDER BY a) = 1", "one SELECT"),
        ("SELECT DISTINCT a AS found FROM facts", "one SELECT of expressions"),
        ("WITH c AS (SELECT a FROM facts) SELECT a AS found FROM c", "one SELECT of expressions"),
        ("SELECT a FROM facts", "does not name its column `found`"),
        ("SELECT known_at IS NULL AS found FROM facts", "`known_at`, which no request gives"),
    ],
)
def test_a_query_that_is_not_of_one_row_is_refused(text: str, told: str) -> None:
    query = check_query(text, "own.sql", tables={"facts", "other"}, parameters={"as_of"})
    with pytest.raises(NotExact, match=told):
        row_wise(query, COLUMNS, AS_OF, ["found"])


@pytest.mark.browser
def test_a_browser_works_expressions_out_alike(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "reader.js").write_text(javascript_file())
    (tmp_path / "index.html").write_text("<!doctype html>")
    work = """async (asked) => {
        const {valueOf} = await import("/reader.js");
        const plain = ([kind, value]) => (value === null || kind !== "whole" ? value : BigInt(value));
        const told = (value) => (typeof value === "bigint" ? ["whole", String(value)] : [typeof value, value]);
        return asked.map(([row, expressions]) => {
            const columns = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]));
            return expressions.map((each) => {
                try { return told(valueOf(each, columns)); } catch (error) { return [error.constructor.name, null]; }
            });
        });
    }"""
    kinds = {
        name: "whole" if kind in ("INTEGER", "BIGINT", "SMALLINT", "TINYINT", "TIMESTAMP") else kind
        for name, kind in COLUMNS.items()
    }
    drawn_rows = [plain(drawn(number)) for number in range(60)]
    expressions = [turned(text)[1].expression for text in EXPRESSIONS]
    asked = [
        [
            {name: [kinds[name], str(v) if v is not None and kinds[name] == "whole" else v] for name, v in row.items()},
            expressions,
        ]
        for row in drawn_rows
    ]
    page = seen_by(browser, tmp_path)
    found = page.evaluate(work, asked)
    for row, of_row in zip(drawn_rows, found, strict=True):
        for text, expression, (kind, value) in zip(EXPRESSIONS, expressions, of_row, strict=True):
            try:
                expected = value_of(expression, row)
            except KeyRefused:
                assert kind == "KeyRefused", (text, row)
                continue
            same = value if kind != "whole" else int(value)
            assert told(float(same) if isinstance(expected, float) else same) == told(expected), (text, row)
    page.context.close()


#: What an application records of a basket, and what a product makes of it: from one source, one row for one entity.
SOURCE = """/*
description: What customers did before they ordered.
key: [order_id]
files: data/baskets*.csv
known_at: noted_at
*/
SELECT order_id, weight, items, gift, channel, noted_at
FROM read_csv($files, header = true, types = {'order_id': 'VARCHAR', 'weight': 'DOUBLE', 'items': 'INTEGER',
    'gift': 'BOOLEAN', 'channel': 'VARCHAR', 'noted_at': 'TIMESTAMP'})
"""
GROUP = """/*
description: Of each order's basket.
key: [order_id]
*/
SELECT
    order_id,
    weight / items AS weight_each,
    CASE WHEN gift AND items > 2 THEN items * 10 ELSE coalesce(items, 0) END AS wrapped,
    channel AS through,
    weight BETWEEN 1 AND 5 AS is_usual
FROM baskets
WHERE items IS NULL OR items <> 7
"""
REQUEST = """
request:
  weight: {type: DOUBLE, batch: baskets.weight}
  pieces: {type: INTEGER, batch: baskets.items}
  gift: {type: BOOLEAN, batch: baskets.gift}
  channel: {type: VARCHAR, batch: baskets.channel}
  parcels: {type: INTEGER}
"""


def basket(number: int) -> dict[str, Any]:
    dice = random.Random(f"basket {number}")
    return {
        "weight": dice.choice([None, 0.1, 1.0, 2.75, 5.0, 9.3, 1e-9]),
        "pieces": dice.choice([None, 1, 2, 3, 7, 11]),
        "gift": dice.choice([None, True, False]),
        "channel": dice.choice([None, "app", "shop", "\u00e9"]),
    }


def noted(root: Path, baskets: dict[str, dict[str, Any]]) -> None:
    def text(value: Any) -> str:
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    lines = [f"{key},{','.join(map(text, row.values()))},2026-01-01 00:00:00" for key, row in baskets.items()]
    file = root / f"data/baskets_{len(baskets)}.csv"
    file.write_text("\n".join(["order_id,weight,items,gift,channel,noted_at", *lines]) + "\n")


World = tuple[Suite, dict[str, tuple[dict[str, Any], float]]]


@pytest.fixture(scope="module")
def world(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A suite whose newest page and source lack entities, and what the page would have held of them."""
    root = tmp_path_factory.mktemp("request") / "shop"
    shutil.copytree(_ingested, root)
    (root / "sql/sources/baskets.sql").write_text(SOURCE)
    (root / "sql/features/own_basket.sql").write_text(GROUP)
    known = rows(open_suite(root, clock_at(NOW)), "SELECT order_id FROM sources.orders ORDER BY order_id")
    noted(root, {order: basket(number) for number, (order,) in enumerate(known)})
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    told = header.read_text().replace("  - courier_load\n", "  - courier_load\n  - own_basket\n")
    header.write_text(told.replace("min_samples_leaf: 40", "min_samples_leaf: 10"))
    suite = asking(with_bundle(open_suite(root, clock_at(NOW))))
    header.write_text(header.read_text() + REQUEST)
    suite = reopened(suite)
    ingest(suite)
    train(suite, PRODUCT, datetime(2026, 3, 1))
    entities = root / f"sql/products/{PRODUCT}/entities.sql"
    before = entities.read_text()
    new = {f"new {number}": invented(number) for number in range(120)}
    shutil.copytree(root, root.parent / "other")
    other = with_rows(open_suite(root.parent / "other", clock_at(NOW)), new)
    noted(other.root, {order: basket(number) for number, order in enumerate(new)})
    ingest(other)
    run_page(other, PRODUCT, PAGE)
    whole = page_of(other)
    entities.write_text(before)
    suite = reopened(suite)
    run_page(suite, PRODUCT, PAGE)
    asked = {order: ({**whole[order][0], **basket(n)}, whole[order][1]) for n, order in enumerate(new)}
    return suite, asked


def test_a_request_stands_for_the_source_of_a_group_keyed_by_the_entity(world: World) -> None:
    suite, asked = world
    assert len({probability for _, probability in asked.values()}) > 40
    with contextlib.closing(exported(suite)) as bundle:
        assert bundle.manifest.not_on_demand is None
        different = 0
        for order, (given, probability) in asked.items():
            said = bundle.look_up({"order_id": order, **given}, PAGE)
            assert said is not None
            assert said["made"] == "on demand"
            assert said["probability"].hex() == probability.hex(), given
            without = {name: value for name, value in given.items() if name not in basket(0)}
            other = bundle.look_up({"order_id": order, **without}, PAGE)
            # Without them it is an entity that the source knows nothing of.
            assert other is not None
            different += other["probability"] != probability
        assert different > 20
        some = {name: value for name, value in given.items() if name != "channel"}
        assert bundle.look_up({"order_id": "x", **some}, PAGE) is None
        assert bundle.why_nothing({"order_id": "x", **some}) == "to be scored on demand it lacks: channel"
        with pytest.raises(KeyRefused, match="pieces"):
            bundle.look_up({"order_id": "x", **given, "pieces": "many"}, PAGE)


@pytest.mark.browser
def test_a_browser_works_the_group_out_bit_for_bit(world: World, browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(world[0].root, tmp_path / "shop")
    suite = open_suite(tmp_path / "shop", clock_at(NOW))
    shutil.rmtree(suite.root / "out", ignore_errors=True)
    suite = rewritten(suite, f"products/{PRODUCT}/product.yaml", "late.bundle}", "late.bundle, format: json}")
    exported(suite).close()
    (suite.root / "out/late.bundle").rename(tmp_path / "late_order.bundle")
    (tmp_path / "almanac_bundles.js").write_text(javascript_file())
    (tmp_path / "index.html").write_text("<!doctype html>")
    page = seen_by(browser, tmp_path)
    asked = [{"order_id": order, **given} for order, (given, _) in world[1].items()]
    found = page.evaluate(LOOK_UP, [{}, asked, "2026-03-10T19:00:00Z"])
    wanted = [probability.hex() for _, probability in world[1].values()]
    assert [one["probability"].hex() for one in found] == wanted
    # sql.js is no package of Python's, so that who has it says where: `npm install sql.js`, and its directory `dist`.
    if place := os.environ.get("ALMANAC_SQL_JS"):
        for file in ("sql-wasm.js", "sql-wasm.wasm"):
            shutil.copy(Path(place) / file, tmp_path)
        page.add_script_tag(url="/sql-wasm.js")
        (tmp_path / "late_order.bundle" / json.loads(manifest_text(tmp_path))["json"]["file"]).unlink()
        opened = LOOK_UP.replace("{...options, now}", "{...options, now, sql: await initSqlJs()}")
        with contextlib.closing(open_bundle(tmp_path / "late_order.bundle")) as bundle:
            pages = [{"order_id": row[0]} for row in bundle._database.execute("SELECT order_id FROM predictions")]
            found = page.evaluate(opened, [{}, [*asked, *pages], "2026-03-10T19:00:00Z"])
            assert found == [bundle.look_up(keys, PAGE + timedelta(hours=1)) for keys in (*asked, *pages)]
        assert [one["probability"].hex() for one in found[: len(asked)]] == wanted
    page.context.close()


def manifest_text(directory: Path) -> str:
    return str(json.loads((directory / "late_order.bundle/manifest.json").read_text())["manifest"])


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("features/own_basket.sql", "items <> 7", "noted_at < $as_of", "`baskets.noted_at`, which `request` does not"),
        (f"products/{PRODUCT}/product.yaml", "pieces: {type: INTEGER", "pieces: {type: BIGINT", "and not BIGINT"),
        (f"products/{PRODUCT}/product.yaml", "parcels: {type: INTEGER", "parcels: {type: DOUBLE", "parcels"),
    ],
)
def test_what_a_request_cannot_stand_for_exactly_is_left_out(
    world: World, tmp_path: Path, file: str, old: str, new: str, told: str
) -> None:
    shutil.copytree(world[0].root, tmp_path / "shop")
    suite = rewritten(open_suite(tmp_path / "shop", clock_at(NOW)), file, old, new)
    if file.startswith("features"):
        run_page(suite, PRODUCT, PAGE)
    assert told in why_not(suite)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("request: {order_id: {type: VARCHAR}}", "which is a key"),
        ("request: {x: {type: FLOAT}}", "`FLOAT` is no type"),
        ("request: {x: {type: DOUBLE, batch: weight}}", "no SOURCE.COLUMN"),
        ("request: {x: {type: DOUBLE, batch: nothing.weight}}", "there is no source `nothing`"),
        ("request: {x: {type: BIGINT, batch: orders.a}, y: {type: BIGINT, batch: orders.a}}", "are `orders.a`"),
        ("request: {x: {type: BIGINT}}\non_demand: false", "goes with `on_demand: true`"),
    ],
)
def test_a_request_that_cannot_be_is_told(starter: Path, text: str, told: str) -> None:
    header = starter / f"sql/products/{PRODUCT}/product.yaml"
    on_demand = "" if "on_demand" in text else "on_demand: true\n"
    header.write_text(f"{header.read_text()}\nexport: {{served: {{to: out/late.bundle}}}}\n{on_demand}{text}\n")
    with pytest.raises(DefinitionError, match=told):
        open_suite(starter, clock_at(NOW))


#: The service's log as a source of its own.
LOGGED = """/*
description: What requests said.
key: [order_id, asked_at]
files: logged/late_order/*.parquet
known_at: asked_at
*/
SELECT order_id, weight, pieces, gift, channel, asked_at FROM read_parquet($files)
"""


def test_what_requests_give_is_written_down_and_becomes_a_source(world: World, tmp_path: Path) -> None:
    shutil.copytree(world[0].root, tmp_path / "shop")
    suite = open_suite(tmp_path / "shop", clock_at(NOW))
    shutil.rmtree(suite.root / "out", ignore_errors=True)
    exported(suite).close()
    asked = [{"order_id": order, **given} for order, (given, _) in world[1].items()]
    path, options = f"/v1/{PRODUCT}/predictions", ("--processes", "1", "--now", "2026-03-10T18:30")
    logged = suite.root / "logged"
    with serving(suite.root / "out", *options, "--log-requests", logged, log=tmp_path / "log") as service:
        service.holding(read_manifest(suite.root / "out/late.bundle/manifest.json").snapshot_id)
        assert service.ask(path, {"keys": asked})[0] == 200
        assert service.ask(f"{path}?order_id=x&weight=2.5&parcels=1")[0] == 404
        # What gives nothing of `request:` is not written, and neither is what is refused.
        assert service.ask(f"{path}?order_id=y&depot=east")[0] == 404
        assert service.ask(f"{path}?order_id=z&weight=much")[0] == 400
    assert not list(logged.rglob(".*"))
    (suite.root / "sql/sources/asked.sql").write_text(LOGGED)
    suite = reopened(suite)
    ingest(suite)
    found = rows(suite, "SELECT order_id, weight, pieces, gift, channel, asked_at FROM sources.asked ORDER BY order_id")
    at = datetime(2026, 3, 10, 18, 30)
    wanted = {order: (order, *(given[name] for name in basket(0)), at) for order, (given, _) in world[1].items()}
    assert {row[0]: row for row in found} == {**wanted, "x": ("x", 2.5, None, None, None, at)}


def test_a_log_of_requests_is_bounded_and_stops_no_answers(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(world[0].root, tmp_path / "shop")
    suite = open_suite(tmp_path / "shop", clock_at(NOW))
    shutil.rmtree(suite.root / "out", ignore_errors=True)
    with contextlib.closing(exported(suite)) as bundle:
        full, broken = RequestLog(tmp_path / "full", 1), RequestLog(tmp_path / "file", 10**9)
        (tmp_path / "file").write_text("no directory")
        for log in (full, broken):
            for _ in range(2):
                log.note(bundle, {"order_id": "x", "weight": 1.0}, 0, "nothing")
                log.note(bundle, {"order_id": "x"}, 0, "nothing")
                log.write()
        assert (full.n_written, full.n_dropped) == (1, 1)
        assert (broken.n_written, broken.n_dropped) == (0, 2)
        # What is waiting to be written is bounded too; then there is room again.
        monkeypatch.setattr("jobs.web.request_log._MOST_ROWS", 2)
        busy = RequestLog(tmp_path / "busy", 10**9)
        for _ in range(2):
            for _ in range(3):
                busy.note(bundle, {"order_id": "x", "weight": 1.0}, 0, "nothing")
            busy.write()
        assert (busy.n_written, busy.n_dropped) == (4, 2)
    assert len(list((tmp_path / "full").rglob("*.parquet"))) == 1
