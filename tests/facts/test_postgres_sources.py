"""Rows of a PostgreSQL server are facts as rows of files are; what would come out otherwise is refused."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.facts.ingest import ingest
from jobs.suite import open_suite
from jobs.suites.doctor import doctor
from tests.conftest import clock_at
from tests.facts.orders_suite import T1, T2, T3, rows_of
from tests.facts.test_databases import CHANGED, FIRST, NEW, VARIABLE, define, n_read, taken_in
from tests.postgres_server import PASSWORD, USER, Server, needs_postgres
from warehouse.errors import AlmanacError, IngestFailed, UsageError

pytestmark = needs_postgres
IN_POSTGRES = f"database: {VARIABLE}\ntable: Shop.Orders\ncursor: changed"
COLUMNS = "id text, depot text, n integer, placed timestamp, changed timestamptz"


class Shop:
    """A suite whose orders lie in a database of their own."""

    def __init__(self, root: Path, connection: Any) -> None:
        self.root, self._connection = root, connection

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        found = self._connection.execute(statement)
        rows: list[tuple[Any, ...]] = found.fetchall() if found.description else []
        return rows

    def add(self, *orders: tuple[Any, ...]) -> None:
        for order in orders:
            self.run(f"""DELETE FROM "Shop"."Orders" WHERE id = '{order[0]}'""")
            self.run(f"""INSERT INTO "Shop"."Orders" VALUES ({", ".join(map(repr, order))})""")

    def ids(self) -> list[str]:
        return [row[0] for row in rows_of(self.root, "SELECT DISTINCT id FROM sources.orders ORDER BY id")]


@pytest.fixture
def shop(tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    name = f"shop_{abs(hash(tmp_path)) % 10**9}"
    with contextlib.closing(postgres.connect()) as server:
        server.execute(f"CREATE DATABASE {name}")
    monkeypatch.setenv(VARIABLE, postgres.url(name))
    monkeypatch.setenv(f"{VARIABLE}_PASSWORD", PASSWORD)
    define(tmp_path / "shop", IN_POSTGRES)
    with contextlib.closing(postgres.connect(name)) as connection:
        shop = Shop(tmp_path / "shop", connection)
        shop.run(f"""SET TimeZone = 'UTC'; CREATE SCHEMA "Shop"; CREATE TABLE "Shop"."Orders" ({COLUMNS})""")
        shop.add(*FIRST)
        yield shop


def test_only_what_is_new_is_read_and_what_went_back_is_read_whole(shop: Shop) -> None:
    assert n_read(taken_in(shop.root, T1)) == (2, 2)
    assert n_read(taken_in(shop.root, T2)) is None
    shop.add(CHANGED, NEW)
    assert n_read(taken_in(shop.root, T2)) == (3, 1)
    facts = rows_of(shop.root, "SELECT id, n, placed FROM sources.orders_current ORDER BY id")
    assert [row[:2] for row in facts] == [("a", 5), ("b", 2), ("c", 3)]
    assert facts[0][2] == datetime(2026, 1, 1, 10)
    # A column that came since is read of all rows.
    shop.run("""ALTER TABLE "Shop"."Orders" ADD COLUMN note text DEFAULT 'plain'""")
    assert n_read(taken_in(shop.root, T3)) == (3, 0)
    shop.run("""TRUNCATE "Shop"."Orders" """)
    assert n_read(taken_in(shop.root, T3)) is None
    shop.run("""INSERT INTO "Shop"."Orders" VALUES ('old', 'east', 1, '2026-01-01', '2026-01-01', '')""")
    assert n_read(taken_in(shop.root, T3)) == (1, 1)
    assert n_read(taken_in(shop.root, T3)) is None


@pytest.mark.parametrize("query", ["", "SELECT one.*, two.n FROM {t} AS one JOIN {t} AS two USING (id)"])
def test_columns_of_one_name_are_refused(shop: Shop, query: str) -> None:
    if query:
        read = "query: " + query.format(t='"Shop"."Orders"')
        define(shop.root, f"database: {VARIABLE}\n{read}")
    else:
        shop.run("""ALTER TABLE "Shop"."Orders" ADD COLUMN "N" integer DEFAULT 7""")
    with pytest.raises(IngestFailed, match="duplicate column name"):
        taken_in(shop.root, T1)


def test_a_replica_that_lags_and_a_late_commit_lose_no_row_within_the_overlap(shop: Shop) -> None:
    define(shop.root, f"{IN_POSTGRES}\noverlap: 2 hours")
    shop.add(NEW)
    taken_in(shop.root, T2)
    # As a replica shows what the primary had committed before, or a transaction that began earlier ends.
    shop.add(("late", "west", 1, "2026-01-12 08:30:00", "2026-01-12 08:30:00"))
    assert n_read(taken_in(shop.root, T3)) == (2, 1)
    assert shop.ids() == ["a", "b", "c", "late"]


def test_a_read_shows_one_state_while_rows_change(shop: Shop) -> None:
    """Two sums are always equal in the database, and so in each file that was read while they move."""
    shop.run("""DELETE FROM "Shop"."Orders" """)
    many = "SELECT 'r' || i, 'x', 0, '2026-01-01', '2026-01-01' FROM generate_series(1, 2000) i"
    shop.run(f"""INSERT INTO "Shop"."Orders" {many}""")
    define(shop.root, f"database: {VARIABLE}\ntable: Shop.Orders")
    done = threading.Event()

    def move() -> None:
        step = 0
        while not done.is_set():
            step += 1
            shop.run(f"""UPDATE "Shop"."Orders" SET n = {step}""")

    mover = threading.Thread(target=move)
    mover.start()
    try:
        for number in range(3):
            taken_in(shop.root, T1 + timedelta(seconds=number))
    finally:
        done.set()
        mover.join()
    torn = "SELECT ingest_id FROM sources.orders GROUP BY ingest_id HAVING count(DISTINCT n) > 1"
    assert rows_of(shop.root, torn) == []


TYPES = """
CREATE TYPE "Shop".mood AS ENUM ('glad', 'sad');
CREATE TABLE "Shop".kinds (
    "Id" bigint PRIMARY KEY, price numeric(18, 2), tags text[], seen timestamptz, naive timestamp, feels "Shop".mood,
    more jsonb, raw bytea, fraction float8, small smallint, code uuid, day date, hours time, padded char(4)
);
INSERT INTO "Shop".kinds VALUES (
    1, 12345678901234.56, '{a,NULL,"b c"}', '2026-01-01 10:00+05:30', '2026-01-01 10:00', 'sad', '{"k": [1, null]}',
    '\\x00ff', 'NaN', -3, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2026-02-01', '10:00:01', 'ab'
), (2, NULL, '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""
READ_KINDS = (
    "\"Id\" AS id, price, tags, seen AT TIME ZONE 'UTC' AS seen, naive, feels, more, raw, fraction, small, code, day,"
    " hours, padded, TIMESTAMP '2026-01-01' AS placed"
)


def test_types_that_people_have_come_as_they_are(shop: Shop) -> None:
    shop.run(TYPES)
    define(shop.root, f"database: {VARIABLE}\ntable: Shop.kinds", select=READ_KINDS)
    taken_in(shop.root, T1)
    listed = "price::VARCHAR, tags, seen, naive, feels, more, raw, isnan(fraction), small, code::VARCHAR, day::VARCHAR"
    rows = rows_of(shop.root, f"SELECT {listed}, hours::VARCHAR, padded FROM sources.orders ORDER BY id")
    assert rows[0] == (
        "12345678901234.56",
        ["a", None, "b c"],
        datetime(2026, 1, 1, 4, 30),
        datetime(2026, 1, 1, 10),
        "sad",
        '{"k": [1, null]}',
        b"\x00\xff",
        True,
        -3,
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "2026-02-01",
        "10:00:01",
        rows[0][12],
    )
    assert rows[0][12].strip() == "ab"
    assert rows[1][:3] == (None, [], None)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1 AS id, CAST(1.5 AS numeric) AS price", "numeric without a precision"),
        ("SELECT 1 AS id, CAST('NaN' AS numeric(10, 2)) AS price", "`price` is NaN"),
        ("SELECT 1 AS id, CAST('{1,NaN}' AS numeric(10, 2)[]) AS prices", "`prices` is NaN"),
        ("SELECT 1 AS id, timestamptz '294270-01-01' AS at", "later than the year 294246"),
        ("SELECT 1 AS id, interval '1 day' AS lasts", "INTERVAL"),
        ("SELECT 1 AS id, CAST('{{1,2}}' AS int[]) AS grid", "1 dimensions"),
        ('SELECT 1 AS "Id", 2 AS id', "duplicate column name"),
        ('WITH gone AS (DELETE FROM "Shop"."Orders" RETURNING id) SELECT id FROM gone', "data-modifying"),
        ("SELECT 1 AS id); DROP TABLE gone; SELECT (1", "cannot insert multiple co"),
        ("SELECT id FROM nowhere", "nowhere"),
        ("SELECT setval('\"Shop\".numbers', 7) AS id", "read-only transaction"),
    ],
)
def test_what_would_come_otherwise_is_refused(shop: Shop, query: str, said: str) -> None:
    shop.run('CREATE SEQUENCE "Shop".numbers')
    folded = query.replace("'", "''")
    define(shop.root, f"database: {VARIABLE}\nquery: '{folded}'")
    with pytest.raises(IngestFailed) as refused:
        taken_in(shop.root, T1)
    assert said in str(refused.value)
    assert "othing was taken in" in str(refused.value)
    assert shop.run('SELECT count(*) FROM "Shop"."Orders"') == [(2,)]


def test_a_table_with_decimals_of_no_precision_says_the_query_that_reads_it(shop: Shop) -> None:
    shop.run('CREATE TABLE "Shop".prices (id text, placed timestamp, n numeric)')
    define(shop.root, f"database: {VARIABLE}\ntable: Shop.prices", select="id, placed, n")
    with pytest.raises(IngestFailed) as refused:
        taken_in(shop.root, T1)
    query = str(refused.value).partition("`query: ")[2].partition("`")[0]
    shop.run("INSERT INTO \"Shop\".prices VALUES ('p', '2026-01-01', 123456789012345.123456)")
    define(shop.root, f"database: {VARIABLE}\nquery: {query}", select="id, placed, n")
    assert n_read(taken_in(shop.root, T1)) == (1, 1)
    assert rows_of(shop.root, "SELECT n::VARCHAR FROM sources.orders") == [("123456789012345.123456000",)]


def test_a_connection_that_is_cut_commits_nothing_and_begins_again(shop: Shop, postgres: Server) -> None:
    query = 'SELECT o.*, pg_sleep(0.2)::text AS slow FROM "Shop"."Orders" o CROSS JOIN generate_series(1, 20)'
    define(shop.root, f"database: {VARIABLE}\nquery: '{query}'\ncursor: changed")

    def cut_once_it_reads() -> None:
        while shop.run(_CUT) == []:
            time.sleep(0.02)

    cut = threading.Thread(target=cut_once_it_reads)
    cut.start()
    with pytest.raises(IngestFailed, match="the next ingestion begins where this one did"):
        taken_in(shop.root, T1)
    cut.join()
    define(shop.root, IN_POSTGRES)
    assert n_read(taken_in(shop.root, T1)) == (2, 2)


_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'almanac' AND query LIKE '%COPY%pg_sleep%' AND wait_event = 'PgSleep'
"""


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (f"postgresql://{USER}:hunter2@host/db", "holds a password"),
        ("postgresql://host/db?password=hunter2", "holds a password"),
        ("postgresql://host:hunter2/db", "cannot be read as a URL"),
        ("postgresql:hunter2", "has to be set"),
    ],
)
def test_a_password_in_a_url_is_refused_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    monkeypatch.setenv(VARIABLE, place)
    define(tmp_path, IN_POSTGRES)
    with pytest.raises(UsageError, match=said) as refused:
        taken_in(tmp_path, T1)
    told = [str(refused.value), *(one.detail for one in doctor(tmp_path, clock_at(T1)))]
    assert "hunter2" not in "\n".join(told)


def _everything_under(root: Path) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_each_way_to_give_a_password_works_and_none_is_kept(
    shop: Shop, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setenv(f"{VARIABLE}_PASSWORD", "wrong-" + PASSWORD)
    with pytest.raises(IngestFailed, match="password authentication failed") as refused:
        taken_in(shop.root, T1)
    told.append(str(refused.value))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with pytest.raises(UsageError, match="Unset one") as both:
        taken_in(shop.root, T1)
    told.append(str(both.value))
    monkeypatch.delenv(f"{VARIABLE}_PASSWORD")
    assert n_read(taken_in(shop.root, T1)) == (2, 2)
    monkeypatch.delenv("PGPASSWORD")
    passfile = tmp_path / "passfile"
    passfile.write_text("*:*:*:*:" + PASSWORD.replace("\\", "\\\\").replace(":", "\\:") + "\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    assert n_read(taken_in(shop.root, T1)) is None
    monkeypatch.delenv("PGPASSFILE")
    database = shop.run("SELECT current_database()")[0][0]
    service = tmp_path / "services"
    said = {"host": "127.0.0.1", "port": postgres.port, "user": USER, "dbname": database, "password": PASSWORD}
    service.write_text("[shop]\n" + "".join(f"{name}={value}\n" for name, value in said.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    monkeypatch.setenv(VARIABLE, "postgresql:///?service=shop")
    shop.add(NEW)
    assert n_read(taken_in(shop.root, T2)) == (2, 1)
    assert PASSWORD not in "\n".join(told)
    assert not [True for content in _everything_under(shop.root) if PASSWORD.encode() in content]


def test_without_the_wheel_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from warehouse.lake import extensions

    monkeypatch.setattr(extensions.importlib.util, "find_spec", _find_none_of("duckdb_extension_postgres_scanner"))
    monkeypatch.setenv(VARIABLE, "postgresql://nobody@127.0.0.1:1/none")
    define(tmp_path, IN_POSTGRES)
    with pytest.raises(AlmanacError, match="pip install duckdb-extension-postgres-scanner"):
        ingest(open_suite(tmp_path, clock_at(T1)))


def _find_none_of(package: str) -> Any:
    from importlib.util import find_spec

    return lambda name, *more: None if name == package else find_spec(name, *more)
