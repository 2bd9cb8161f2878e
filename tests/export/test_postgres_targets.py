"""Publications go into tables of a PostgreSQL server whole, once, and what people have made of the tables stays."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.export.content import Content
from jobs.export.export import ExportResult, export
from jobs.export.listing import targets_in_trouble
from jobs.export.postgres_table import PostgresTable
from jobs.export.target import Owner
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.effort import times
from tests.export.targets import in_sqlite, with_targets
from tests.lakes import rows
from tests.page_makers import PageMaker
from tests.postgres_server import PASSWORD, Server, needs_postgres
from warehouse.errors import RunFailed, UsageError

pytestmark = needs_postgres
VARIABLE = "ALMANAC_APP_DB"
DAY = timedelta(days=1)
TARGETS = f"""
export:
  swapped: {{to: {VARIABLE}, table: app.Delays}}
  upserted: {{to: {VARIABLE}, table: app.upserted, write: upsert}}
  paged: {{to: {VARIABLE}, table: app.paged, write: replace_page}}
"""
TABLES = {"swapped": 'app."Delays"', "upserted": "app.upserted", "paged": "app.paged"}
MADE_BY = "SELECT count(*), min(run_id), max(run_id) FROM"


@pytest.fixture(scope="module")
def _waiting(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("waiting") / "shop"
    shutil.copytree(_trained, root)
    run_page(with_targets(open_suite(root, clock_at(NOW)), TARGETS), PRODUCT, PAGE)
    return root


class App:
    """A suite with a page that waits for three tables, and the database that an application reads."""

    def __init__(self, suite: Suite, connection: Any) -> None:
        self.suite, self._connection = suite, connection

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        found = self._connection.execute(statement)
        listed: list[tuple[Any, ...]] = found.fetchall() if found.description else []
        return listed

    def export(self, *names: str) -> ExportResult:
        return export(self.suite, PRODUCT, *names)

    def publish_again(self) -> None:
        run_page(self.suite, PRODUCT, PAGE)

    def why(self, name: str = "swapped") -> str:
        """Export, and say why a target got nothing; what it held before is still there."""
        before = self.state()
        why = self.export(name).failed.get(name, "")
        assert self.state() == before
        return why

    def state(self) -> list[Any]:
        """Say which tables there are, and which versions of which rows they have."""
        found = self.run(
            "SELECT relnamespace::regnamespace::text || '.' || quote_ident(relname) FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace::regnamespace::text IN ('app', 'almanac') ORDER BY 1"
        )
        return [self.run(f"SELECT tableoid, xmin::text, ctid::text FROM {name} ORDER BY 3") for (name,) in found]


@pytest.fixture
def app(_waiting: Path, tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    name = f"app_{abs(hash(tmp_path)) % 10**9}"
    with contextlib.closing(postgres.connect()) as server:
        server.execute(f"CREATE DATABASE {name}")
    shutil.copytree(_waiting, tmp_path / "shop")
    monkeypatch.setenv(VARIABLE, postgres.url(name))
    monkeypatch.setenv(f"{VARIABLE}_PASSWORD", PASSWORD)
    with contextlib.closing(postgres.connect(name)) as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA app")
        yield App(open_suite(tmp_path / "shop", clock_at(NOW)), connection)


def test_each_way_of_writing_holds_what_the_lake_shows(app: App) -> None:
    result = app.export()
    assert result.failed == {}
    assert [(sent.target, sent.was_there) for sent in result.sent] == [
        ("swapped", False),
        ("upserted", False),
        ("paged", False),
    ]
    listed = "order_id, probability, as_of, run_id"
    current = rows(app.suite, f"SELECT {listed} FROM predictions.{PRODUCT}_current ORDER BY order_id")
    for table in TABLES.values():
        assert app.run(f"SELECT {listed} FROM {table} ORDER BY order_id") == current
    # Played twice, and after a crash between the server's commit and the ledger's: nothing is written.
    before = app.state()
    assert app.export() == ExportResult()
    with app.suite.lake.commit("forget") as commit:
        commit.execute("DELETE FROM ledger.exports")
    assert [sent.was_there for sent in app.export().sent] == [True] * 3
    assert app.state() == before
    first = app.suite.lake.newest_snapshot()
    run_page(app.suite, PRODUCT, PAGE + DAY)
    app.publish_again()
    assert app.export().failed == {}
    now = rows(app.suite, f"SELECT {listed} FROM predictions.{PRODUCT}_current ORDER BY order_id")
    assert now != current
    assert app.run(f'SELECT {listed} FROM app."Delays" ORDER BY order_id') == now
    assert app.run(f"SELECT {listed} FROM app.upserted ORDER BY order_id") == now
    pages = rows(app.suite, f"SELECT {listed} FROM predictions.{PRODUCT} ORDER BY as_of, order_id")
    assert app.run(f"SELECT {listed} FROM app.paged ORDER BY as_of, order_id") == pages
    rollback(app.suite, PRODUCT, PAGE, first)
    assert app.export().failed == {}
    pages = rows(app.suite, f"SELECT {listed} FROM predictions.{PRODUCT} ORDER BY as_of, order_id")
    assert app.run(f"SELECT {listed} FROM app.paged ORDER BY as_of, order_id") == pages
    held = app.run("SELECT target_table, count(*), sum(n_rows) FROM almanac.exports GROUP BY 1 ORDER BY 1")
    assert held == [("Delays", 1, len(now)), ("paged", 2, len(pages)), ("upserted", 1, len(now))]


def test_what_people_have_made_of_a_table_stays(app: App) -> None:
    app.export("swapped")
    app.run(
        """
        CREATE ROLE reader_of_app; CREATE ROLE "Other Reader";
        ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT DELETE ON TABLES TO "Other Reader";
        GRANT SELECT ON app."Delays" TO reader_of_app WITH GRANT OPTION;
        GRANT UPDATE (probability) ON app."Delays" TO "Other Reader";
        GRANT SELECT ON app."Delays" TO PUBLIC;
        COMMENT ON TABLE app."Delays" IS 'It''s read by {the} app';
        COMMENT ON COLUMN app."Delays".probability IS 'Of being late';
        CREATE INDEX by_score ON app."Delays" (probability DESC) WHERE probability > 0.5;
        CREATE UNIQUE INDEX "Odd USING name" ON app."Delays" USING btree (lower(order_id::text));
        ALTER TABLE app."Delays" RENAME CONSTRAINT "Delays_pkey" TO the_key
        """
    )

    def seen() -> list[Any]:
        return [
            app.run(query)
            for query in (
                "SELECT relacl::text, obj_description(oid), relpersistence::text FROM pg_class"
                " WHERE relname = 'Delays'",
                "SELECT attname::text, attacl::text, col_description(attrelid, attnum) FROM pg_attribute"
                " WHERE attrelid = 'app.\"Delays\"'::regclass AND attnum > 0 ORDER BY 1",
                "SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = 'Delays' ORDER BY 1",
            )
        ]

    before, oid = seen(), app.run("SELECT 'app.\"Delays\"'::regclass::oid")
    app.publish_again()
    assert app.export("swapped").failed == {}
    assert app.run("SELECT 'app.\"Delays\"'::regclass::oid") != oid
    assert seen() == before
    assert before[0][0][2] == "p"
    assert "the_key" in str(before)
    app.run('DROP OWNED BY reader_of_app, "Other Reader"; DROP ROLE reader_of_app, "Other Reader"')


def test_what_cannot_be_replaced_is_refused_before_anything_is_written(app: App) -> None:
    app.run('CREATE TABLE app."Delays" (order_id bigint)')
    assert "was not made by an export" in app.why()
    app.run('DROP TABLE app."Delays"')
    app.export("swapped")
    app.publish_again()
    table, own = 'ALTER TABLE app."Delays"', "UPDATE almanac.exports SET"
    for made, told, undone in (
        ('CREATE VIEW app.late AS SELECT order_id FROM app."Delays"', "view app.late", "DROP VIEW app.late"),
        ('CREATE TABLE app.notes (id text REFERENCES app."Delays")', "on table app.notes", "DROP TABLE app.notes"),
        (
            'CREATE FUNCTION app.f() RETURNS SETOF app."Delays" LANGUAGE sql AS \'SELECT * FROM app."Delays"\'',
            "function app.f()",
            "DROP FUNCTION app.f()",
        ),
        (f"{table} ADD CONSTRAINT c CHECK (probability < 2)", "constraint c", f"{table} DROP CONSTRAINT c"),
        (f"{table} ADD note text", "`note` is there and not here", f"{table} DROP note"),
        (
            f"{table} ALTER run_id TYPE varchar(99)",
            "`run_id` is character varying(99) there and text here",
            f"{table} ALTER run_id TYPE text",
        ),
        (f"{table} ENABLE ROW LEVEL SECURITY", "row level security", f"{table} DISABLE ROW LEVEL SECURITY"),
        (f"{own} product = 'other'", "the product other", f"{own} product = '{PRODUCT}'"),
        (f"{own} suite = 'other'", "another suite", None),
        (f"{own} write = 'upsert'", "was written by `write: upsert`", f"{own} write = 'swap'"),
    ):
        suite_id = app.run("SELECT suite FROM almanac.exports")[0][0]
        app.run(made)
        assert told in app.why(), made
        app.run(undone or f"{own} suite = '{suite_id}'")
    app.run('CREATE TABLE app.copied AS TABLE app."Delays"; DROP TABLE app."Delays"')
    app.run('ALTER TABLE app.copied RENAME TO "Delays"')
    assert "made anew by somebody else" in app.why()
    # A table that is gone is made again.
    app.run('DROP TABLE app."Delays"')
    assert app.export("swapped").failed == {}
    app.export("upserted")
    app.publish_again()
    app.run("ALTER TABLE app.upserted DROP run_id")
    assert 'ADD COLUMN "run_id" text' in app.why("upserted")
    app.run("ALTER TABLE app.upserted ADD run_id text; ALTER TABLE app.upserted ADD seen boolean DEFAULT false")
    app.run("UPDATE app.upserted SET seen = true")
    app.run("CREATE VIEW app.kept AS SELECT * FROM app.upserted")
    assert app.export("upserted").failed == {}
    assert app.run("SELECT bool_and(seen) FROM app.upserted") == [(True,)]


def test_a_server_that_crashes_or_cuts_the_connection_has_one_publication_whole(
    app: App, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.export.targets import EXPORT

    with_targets(app.suite, TARGETS + EXPORT.partition("export:\n")[2])
    app.suite = open_suite(app.suite.root, clock_at(NOW))
    app.export()
    wanted = app.run(f'{MADE_BY} app."Delays"')
    app.suite = open_suite(app.suite.root, clock_at(NOW + DAY))
    app.publish_again()
    done = threading.Event()

    def cut_all_the_while() -> None:
        with contextlib.closing(postgres.connect()) as server:
            while not done.wait(0.01):
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'almanac' AND wait_event_type = 'Lock'"
                )

    cutter = threading.Thread(target=cut_all_the_while)
    with contextlib.closing(postgres.connect(app._connection.info.dbname)) as holder:
        # An export puts down what it wrote at its end: there each waits, and is cut.
        holder.execute("BEGIN; LOCK TABLE almanac.exports IN EXCLUSIVE MODE")
        cutter.start()
        try:
            result = app.export()
        finally:
            done.set()
            cutter.join()
    assert set(result.failed) == set(TABLES)
    assert all("is still there, whole" in why for why in result.failed.values())
    assert app.run(f'{MADE_BY} app."Delays"') == wanted
    # Other targets got theirs, and what waits is said; the next export in the same process succeeds.
    trouble = targets_in_trouble(app.suite)
    app.suite = open_suite(app.suite.root, clock_at(NOW + 2 * DAY))
    newest = rows(app.suite, f"{MADE_BY} predictions.{PRODUCT}")
    assert in_sqlite(app.suite, f"{MADE_BY} late_order") == newest
    assert set(trouble) == {(PRODUCT, name) for name in TABLES}
    assert app.export().failed == {}
    assert targets_in_trouble(app.suite) == {}
    with app.suite.lake.commit("forget") as commit:
        commit.execute("DELETE FROM ledger.exports")
    postgres.stop(signal.SIGQUIT)
    down = app.export("swapped").failed["swapped"]
    postgres.start()
    with contextlib.closing(postgres.connect(app._connection.info.dbname)) as again:
        assert [again.execute(f"{MADE_BY} {table}").fetchall() for table in TABLES.values()] == [newest] * 3
    assert [sent.was_there for sent in app.export().sent if sent.target in TABLES] == [True] * 3
    told = [down, *result.failed.values(), str(trouble), postgres.log]
    kept = [path.read_bytes() for path in app.suite.root.rglob("*") if path.is_file()]
    assert PASSWORD not in "\n".join(told)
    assert not [True for content in kept if PASSWORD.encode() in content]


KINDS = """(
    SELECT 1::BIGINT AS order_id, TIMESTAMP '2026-03-10 18:00:00' AS as_of, 'NaN'::DOUBLE AS nan,
        '-infinity'::FLOAT AS low, 18446744073709551615::UBIGINT AS big, 255::UTINYINT AS tiny,
        4294967295::UINTEGER AS whole,
        -1.05::DECIMAL(18, 2) AS price, DATE '2026-02-01' AS day, TIMESTAMPTZ '2026-03-10 18:00:00+02' AS at,
        'infinity'::TIMESTAMP AS forever, [1, NULL] AS list, {'a': 'ä"'} AS struct, '\\xFF\\x00'::BLOB AS raw,
        'x'::ENUM('x') AS chosen, NULL::VARCHAR AS nothing, true AS yes
)"""


def test_values_of_all_types_arrive_as_they_are_and_what_cannot_is_refused(app: App) -> None:
    target = PostgresTable(VARIABLE, "app", "kinds", "swap", Owner("suite", "product"), "here")

    def send(relation: str, snapshot_id: int) -> int:
        with app.suite.lake.reading(app.suite.lake.newest_snapshot()) as connection:
            described = connection.execute(f"DESCRIBE FROM {relation}").fetchall()
            columns = {str(row[0]): str(row[1]) for row in described}
            own = ("order_id",), PAGE, snapshot_id, PAGE, columns, relation, "v1", None, "run", NOW
            return target.send(connection, Content("suite", "product", "kinds", *own))

    assert send(KINDS, 1) == 1
    text = app.run("SELECT kinds::text FROM app.kinds")[0][0]
    assert text == (
        '(1,"2026-03-10 18:00:00",NaN,-Infinity,18446744073709551615,255,4294967295,-1.05,2026-02-01,'
        r'"2026-03-10 16:00:00+00",infinity,"[1, null]","{""a"": ""ä\\""""}","\\xff00",x,,t)'
    )
    with pytest.raises(RunFailed, match="NULL-byte"):
        send(f"(SELECT * REPLACE ('a' || chr(0) AS nothing) FROM {KINDS})", 2)
    with pytest.raises(UsageError, match="no type for `lasts`"):
        send("(SELECT 1::BIGINT AS order_id, INTERVAL 1 DAY AS lasts)", 2)
    assert app.run("SELECT kinds::text FROM app.kinds") == [(text,)]


def publishes_and_exports_forever(suite: Suite) -> None:
    while True:
        run_page(suite, PRODUCT, PAGE)
        export(suite, PRODUCT)


def test_kills_at_random_moments_leave_one_publication_and_readers_see_no_other(app: App, postgres: Server) -> None:
    app.export()
    ((n_rows, *_),) = app.run(f'{MADE_BY} app."Delays"')
    dice, torn, n_looks, done = random.Random(1), list[Any](), [0], threading.Event()

    def look_all_the_while() -> None:
        with contextlib.closing(postgres.connect(app._connection.info.dbname)) as reader:
            while not done.is_set():
                for table in TABLES.values():
                    row = reader.execute(f"{MADE_BY} {table}").fetchone()
                    torn.extend([row] if row[0] != n_rows or row[1] != row[2] else [])
                    n_looks[0] += 1

    reader = threading.Thread(target=look_all_the_while)
    reader.start()
    try:
        for _ in range(times(5)):
            maker = PageMaker(app.suite, publishes_and_exports_forever)
            maker.let_go()
            time.sleep(dice.uniform(0, 2.5))
            maker.kill()
    finally:
        done.set()
        reader.join()
    assert torn == []
    assert n_looks[0] > 0
    assert app.export().failed == {}
    newest = rows(app.suite, f"{MADE_BY} predictions.{PRODUCT}")
    assert [app.run(f"{MADE_BY} {table}") for table in TABLES.values()] == [newest] * 3
    # Nothing is left of exports that were killed.
    assert app.run("SELECT count(*) FROM pg_class WHERE relname LIKE 'almanac\\_%'") == [(0,)]
    assert app.export() == ExportResult()
