"""A person is erased: nothing of them is left in any file of the lake, and no file brings them back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.backup.scratch import SCRATCH
from jobs.erasure import erase as erasing
from jobs.erasure.erase import STEPS, erase, what_ends
from jobs.erasure.journal import read
from jobs.export.export import export
from jobs.facts.ingest import ingest
from jobs.metering import RunMeter
from jobs.models.artifacts import read_held_out
from jobs.pages.predict import run_page
from jobs.pages.states import page_states
from jobs.suite import Suite, open_suite
from jobs.suites.audit import audit
from jobs.suites.doctor import doctor
from jobs.suites.starter import make_starter
from jobs.training.train import train
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at, reopened
from tests.lakes import rows
from tests.page_makers import CONTEXT
from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.lake.lake import check_format
from warehouse.lake.places import ERASING, PLACES
from warehouse.lake.registry import TABLES
from warehouse.ledger import records as ledger
from warehouse.ledger.records import CheckRecord, WrongRow
from warehouse.operations.state import open_operations, writing

Step = Callable[[erasing.Context], None]
NAME, KEY = "Zebulon", "a key that only tests have"
HEAD = "order_id,depot,courier,parcels,ordered_at,promised_at\n"


def make_world(root: Path) -> None:
    """A shop of which a few orders are those of one person, who has left traces of every kind."""
    make_starter(root)
    orders = root / "data/orders.csv"
    lines = [line.split(",") for line in orders.read_text().splitlines()]
    for line in lines[100::40]:
        line[2] = NAME
    orders.write_text("\n".join(map(",".join, lines)) + "\n")
    for name, more in (("orders", "subject: {customer: courier}\nkeep: true\n"),
                       ("deliveries", "subject: {customer: orders.order_id}\n")):  # fmt: skip
        file = root / f"sql/sources/{name}.sql"
        file.write_text(file.read_text().replace("owner: you\n", f"owner: you\n{more}"))
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    text = header.read_text().replace("since: 2026-01-15", "since: 2026-02-15")
    header.write_text(text + "export:\n  app: {to: out/app.sqlite}\n  files: {to: out/files/, format: csv}\n")
    suite = open_suite(root, clock_at(NOW))
    ingest(suite)
    promised = PAGE + timedelta(days=1)
    (root / "data/orders-2.csv").write_text(
        HEAD
        + f"O99999,north,{NAME},1,2026-03-10 06:06:00,{promised}\n"
        + f"O99998,north,{NAME},0,2026-03-10 06:06:00,{promised}\n"
    )
    ingest(suite)
    train(suite, PRODUCT, TRAINED_AS_OF)
    run_page(suite, PRODUCT, PAGE)
    export(suite, PRODUCT)
    leave_traces(suite)


def leave_traces(suite: Suite) -> None:
    meter = RunMeter(suite, "predict", PRODUCT)
    with suite.lake.commit("what checks and errors quote") as commit:
        wrong = json.dumps({"order_id": "O99999", "courier": NAME})
        ledger.append(commit, [WrongRow(meter.run_id, PRODUCT, PAGE, "own", wrong)])
        ledger.append(commit, [CheckRecord(meter.run_id, PRODUCT, PAGE, "own", "warning", False, 1, f"{NAME} is late")])
        ledger.append(commit, [meter.record("failed", error=f"cannot read the order O99999 of {NAME}")])
    # A table that was emptied, as that of arms is some time after a rollout: no file is left, and its statistics are.
    with suite.lake.commit("rows of an arm") as commit:
        commit.execute("CREATE TABLE predictions.late_order_arms AS FROM predictions.late_order")
        commit.execute("ALTER TABLE predictions.late_order_arms ADD COLUMN arm VARCHAR")
    with suite.lake.commit("forget them") as commit:
        commit.execute("DELETE FROM predictions.late_order_arms")
    lake = suite.lake.root
    for place in ("staging/killed", "damaged/sources/orders", "logs/predict", "rehearsals/a", f"../{SCRATCH}/killed"):
        (lake / place).mkdir(parents=True)
    for place in ("rehearsals/a", f"../{SCRATCH}/killed"):
        (lake / place / "rows.csv").write_text(f"O99999,{NAME}")
    (lake / "staging/killed/rows.csv").write_text(f"O99999,{NAME}")
    (lake / "damaged/sources/orders/a.parquet").write_text(f"O99999,{NAME}")
    (lake / "logs/predict/1.log").write_text(f"read O99999\nall is well\n{NAME} is late\n")
    state = open_operations(lake)
    with writing(state):
        state.execute(
            "INSERT INTO alerts (what, raised_at, title, body, channels, state, tries)"
            " VALUES ('a', '2026-04-01', 'late', ?, 'X', 'raised', 0)",
            [f"{NAME} is late"],
        )
    state.close()
    suite.lake.close()


@pytest.fixture
def world(_with_a_person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("ALMANAC_ERASE_KEY", KEY)
    shutil.copytree(_with_a_person, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def marks(suite: Suite) -> list[str]:
    """The name, and the numbers of the person's orders: as the files that were delivered have them."""
    lines = [line for file in suite.root.glob("data/orders*.csv") for line in file.read_text().splitlines()]
    found = [line.split(",")[0] for line in lines if f",{NAME}," in line]
    assert len(found) > 40
    return [NAME, *found]


def found_in(suite: Suite) -> Iterator[str]:
    """Say where the person still is: of files that are models, `erase` says it instead."""
    words = marks(suite)

    def tells(text: str) -> bool:
        return any(word in text for word in words)

    suite.lake.close()
    for path in sorted([*suite.lake.root.rglob("*"), *(suite.root / SCRATCH).rglob("*")]):
        if not path.is_file() or path.name in ("model.skops", "compiled.safetensors"):
            continue
        is_of_lake = path.is_relative_to(suite.lake.root)
        name = path.relative_to(suite.lake.root if is_of_lake else suite.root).as_posix()
        if tells(path.read_bytes().decode("latin-1")):
            yield f"{name}: bytes"
        if path.suffix == ".parquet" and not name.startswith("damaged/"):
            with duckdb.connect() as connection:
                if tells(str(connection.execute("FROM read_parquet($1)", [str(path)]).fetchall())):
                    yield f"{name}: rows"
        if path.suffix == ".sqlite":
            database = sqlite3.connect(path)
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if tells(str(database.execute(f'SELECT * FROM "{table}"').fetchall())):
                    yield f"{name}: {table}"
            database.close()


def test_nothing_is_left_of_a_person_and_all_else_is(world: Suite) -> None:
    others = "FROM sources.orders WHERE courier <> $1 ORDER BY ALL"
    before = rows(world, others, [NAME])
    stale = [state.stale for state in page_states(world, world.definitions.product(PRODUCT), [PAGE])]
    told = what_ends(world, "customer", NAME)
    assert told.erasure_id is None
    assert told.facts["rejects.orders"] == 1
    assert told.facts["sources.orders"] > told.facts["sources.deliveries"] > 40
    assert told.rows["predictions.late_order"] == 2
    assert told.pages == {PRODUCT: 1}
    assert [(product, version) for product, version, _ in told.versions] == [(PRODUCT, "v1")]
    assert {Path(path).name for path in told.artifacts} == {"model.skops", "compiled.safetensors"}
    assert len(told.copies) == 2
    assert {Path(path).name for path in told.outside} == {"orders.csv", "orders-2.csv", "deliveries.csv"}
    assert any("app" in sentence for sentence in told.beyond)
    assert any("late_order: files follows" in one and "keeps the files of before" in one for one in told.beyond)
    assert [*found_in(world)]
    done = erase(world, "customer", NAME, "they asked for it")
    assert done.left == []
    assert [*found_in(world)] == []
    again = reopened(world)
    assert rows(again, others, [NAME]) == before
    (state,) = page_states(again, again.definitions.product(PRODUCT), [PAGE])
    assert (state.shown, [state.stale]) == ("published", stale)
    assert state.published is not None
    assert state.published.note == "counted a person who was erased on 2026-04-10"
    ((n_rows,),) = rows(again, "SELECT count(*) FROM predictions.late_order")
    assert state.published.n_rows == n_rows == rows(again, "SELECT count(*) FROM predictions.late_order_current")[0][0]
    with again.lake.reading() as connection:
        (model,) = ledger.models(connection, PRODUCT)
        held_out = read_held_out(model, again.lake.root, check_format(connection, again.lake.root))
    assert held_out is not None
    assert held_out.num_rows
    assert (again.lake.root / "logs/predict/1.log").read_text() == "read [erased]\nall is well\n[erased] is late\n"
    deed = audit(again)[-1]
    assert (deed.what, deed.why, deed.outcome) == ("erase a customer", "they asked for it", "done")
    assert rows(again, "SELECT len(tombstones) > 40, n_facts > 80, n_rows > 1 FROM ledger.erasures") == [(True,) * 3]
    assert not [finding for finding in doctor(again.root, again.clock) if finding.state == "error"]
    export(again, PRODUCT)
    app = sqlite3.connect(again.root / "out/app.sqlite")
    assert app.execute("SELECT count(*), sum(order_id = 'O99999') FROM late_order").fetchall() == [(n_rows, 0)]
    app.close()
    # A directory has the file of before beside the new one, for whoever reads it; its manifest names what is left.
    left = json.loads((again.root / "out/files/manifest.json").read_text())["left"]
    holding = [file.name for file in again.root.glob("out/files/*.csv") if "O99999" in file.read_text()]
    assert len(left) == 1
    assert holding == left


def test_a_file_that_is_read_again_does_not_bring_them_back(world: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    erase(world, "customer", NAME)
    n_facts = rows(world, "SELECT count(*) FROM sources.orders")
    more = world.root / "data/orders-3.csv"
    text = (world.root / "data/orders-2.csv").read_text().replace("O99999", "O99997")
    more.write_text(text + "O99990,north,Swift,1,2026-03-10 06:06:00,2026-03-12 06:06:00\n")
    # The order that was theirs comes again in another source, which knows it by its number alone.
    ((known, _),) = rows(world, "SELECT order_id, 1 FROM sources.orders WHERE courier <> $1 LIMIT 1", [NAME])
    (world.root / "data/deliveries-2.csv").write_text(
        f"order_id,delivered_at\nO99999,2026-03-12 01:00:00\n{known},2026-04-01 01:00:00\n"
    )
    ingest(reopened(world))
    assert rows(world, "SELECT count(*) FROM sources.orders") == [(n_facts[0][0] + 1,)]
    assert rows(world, "SELECT count(*) FROM sources.deliveries WHERE order_id = 'O99999'") == [(0,)]
    assert rows(world, "SELECT count(*) FROM sources.deliveries WHERE order_id = $1", [known])[0][0] > 1
    with pytest.raises(NotFoundError, match="nothing is held of customer=Zebulon"):
        erase(world, "customer", NAME)
    more.write_text(text + "O99991,north,Swift,1,2026-03-10 06:06:00,2026-03-12 06:06:00\n")
    for wrong in ("", "another key, as long as the first"):
        monkeypatch.setenv("ALMANAC_ERASE_KEY", wrong)
        with pytest.raises(UsageError, match="ALMANAC_ERASE_KEY is not"):
            ingest(reopened(world))
    assert [*found_in(world)] == []


@pytest.fixture(scope="module")
def before_steps(_with_a_person: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give a copy of the shop as it is before each step of one erasure."""
    root, place = tmp_path_factory.mktemp("steps") / "shop", tmp_path_factory.mktemp("before")
    shutil.copytree(_with_a_person, root)

    def kept(name: str, step: Step) -> tuple[str, Step]:
        def run(context: erasing.Context) -> None:
            shutil.copytree(root, place / name)
            step(context)

        return name, run

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALMANAC_ERASE_KEY", KEY)
        patch.setattr(erasing, "STEPS", tuple(kept(*step) for step in STEPS))
        erase(open_suite(root, clock_at(NOW)), "customer", NAME)
    return {name: place / name for name, _ in STEPS}


@pytest.mark.parametrize("without", [name for name, _ in STEPS])
def test_each_step_is_needed(before_steps: dict[str, Path], without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = open_suite(before_steps[without], clock_at(NOW))
    names = [name for name, _ in STEPS]
    monkeypatch.setenv("ALMANAC_ERASE_KEY", KEY)
    monkeypatch.setattr(erasing, "STEPS", STEPS[names.index(without) + 1 :])
    assert erase(world, "customer", NAME).left
    assert [*found_in(world)]


def erase_until(root: Path, last: str) -> None:
    """Die by a kill behind a step, in a process of the fork server: its environment is of when that server began."""
    os.environ["ALMANAC_ERASE_KEY"] = KEY

    def dying(name: str, step: Step) -> tuple[str, Step]:
        def run(context: erasing.Context) -> None:
            step(context)
            if name == last:
                os.kill(os.getpid(), signal.SIGKILL)

        return name, run

    erasing.STEPS = tuple(dying(*step) for step in STEPS)
    erase(open_suite(root, clock_at(NOW)), "customer", NAME)


def test_an_erasure_that_was_killed_is_gone_on_with(world: Suite) -> None:
    for last in ("delete", "clean up"):
        killed = CONTEXT.Process(target=erase_until, args=(world.root, last))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        assert (world.lake.root / ERASING).exists()
    assert any(finding.subject == "erasure" for finding in doctor(world.root, world.clock))
    with pytest.raises(UsageError, match="the erasure of another customer has not ended"):
        erase(reopened(world), "customer", "Swift")
    assert erase(reopened(world), "customer", NAME).left == []
    assert read(world.lake.storage) is None
    assert [*found_in(world)] == []
    assert rows(world, "SELECT count(*) FROM ledger.erasures") == [(1,)]


def test_a_source_that_does_not_say_whom_it_is_about_is_found_and_gone_on_with(world: Suite) -> None:
    file = world.root / "sql/sources/deliveries.sql"
    text = file.read_text()
    file.write_text(text.replace("subject: {customer: orders.order_id}\n", ""))
    left = erase(reopened(world), "customer", NAME).left
    assert left
    assert all(place.startswith("lake/data/sources/deliveries/") for place in left)
    file.write_text(text)
    assert erase(reopened(world), "customer", NAME).left == []
    assert [*found_in(world)] == []
    assert read(world.lake.storage) is None
    (world.root / "data/deliveries-2.csv").write_text("order_id,delivered_at\nO99999,2026-03-12 01:00:00\n")
    ingest(reopened(world))
    assert rows(world, "SELECT count(*) FROM sources.deliveries WHERE order_id = 'O99999'") == [(0,)]


def test_nothing_is_erased_while_a_run_is_under_way(world: Suite) -> None:
    with world.staging("20260410T000000-run"), pytest.raises(RunFailed, match="a run is under way"):
        erase(world, "customer", NAME)
    assert not (world.lake.root / ERASING).exists()
    assert rows(world, "SELECT count(*) FROM sources.orders WHERE courier = $1", [NAME])[0][0]


def test_the_command_says_first_and_does_nothing_without_yes(world: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    said = almanac(world.root, "erase", f"customer={NAME}")
    assert said.returncode == 0, said.stderr
    assert "Nothing was changed: add --yes" in said.stdout
    assert "late_order v1" in said.stdout
    assert "sources.orders" in said.stdout
    assert almanac(world.root, "erase", "client=1").returncode == 2
    assert "there is: customer" in almanac(world.root, "erase", "client=1").stderr
    assert almanac(world.root, "erase", "Zebulon").returncode == 2
    monkeypatch.delenv("ALMANAC_ERASE_KEY")
    refused = almanac(world.root, "erase", f"customer={NAME}", "--yes")
    assert refused.returncode == 2
    assert "ALMANAC_ERASE_KEY is not set" in refused.stderr
    assert rows(world, "SELECT count(*) FROM sources.orders WHERE courier = $1", [NAME])[0][0]


def test_every_place_and_table_that_may_hold_a_person_is_gone_through() -> None:
    for place in PLACES:
        if place.person:
            assert place.name in erasing.AT_PLACES, f"say what `erase` does about {place.name}"
    schemas = {table.schema for table in TABLES if table.person and not table.is_view}
    assert schemas == {"sources", "rejects", "features", "labels", "predictions", "ledger", "operations"}
