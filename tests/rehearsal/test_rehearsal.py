"""A rehearsal: history lived through again under policies, beside a lake that stays as it is."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.facts.ingest import ingest
from jobs.progress import Silent
from jobs.rehearsal.at_once import Lives
from jobs.rehearsal.beginning import BELONGS_TO, OF_PAGES, TIMELESS, WRITTEN_AT
from jobs.rehearsal.lives import Terms, live
from jobs.rehearsal.policies import read_policies
from jobs.rehearsal.processes import ASKS, ENDED, FAILED, MADE, MAKE, PASS_BY, STOP, known_trainings, make_trainings
from jobs.rehearsal.rehearse import rehearse
from jobs.rehearsal.room import Asked, Room, one_at_a_time, prepare
from jobs.suite import Suite, open_suite
from jobs.training.recalled import Fitted, Recalled
from tests.conftest import NOW, PRODUCT, clock_at
from tests.lakes import page_rows, rows
from tests.page_makers import CONTEXT
from tests.schedule.clock_suites import run, run_json
from warehouse.errors import DefinitionError, RunFailed
from warehouse.lake.registry import TABLES
from warehouse.ledger import records as ledger
from warehouse.ledger.triggers import triggers_of

BEGIN, END = datetime(2026, 3, 10), datetime(2026, 3, 13)
GATES = "    product: {gates: {metrics: {log_loss: {at_most: 5}}, min_pages: 1, pages: 5}}\n"
ASKED = f"""  asked:
    jobs: {{again: {{run: {{retrain: {PRODUCT}}}, cron: "0 4 */2 * *", cooldown: 36 hours}}}}
{GATES}"""
#: Who looks at pages has them made one by one.
WATCHED = f"""  watched:
    jobs:
      look: {{run: {{monitor: {PRODUCT}}}, cron: "30 18 * * *"}}
{GATES}"""
CALENDAR = f"""  calendar:
    jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "0 4 */2 * *"}}}}
{GATES}"""
POLICIES = f"""policies:
  never: {{jobs: {{}}}}
{CALENDAR}{ASKED}{WATCHED}"""
OPTIONS = ("--from", str(BEGIN.date()), "--to", str(END.date()))


def with_policies(suite: Suite) -> Path:
    path = suite.root / "policies.yaml"
    path.write_text(POLICIES)
    return path


class _Killed(Silent):
    """Kills the process at the second page of the second policy, while a training is under way."""

    def __init__(self) -> None:
        self.policies, self.pages = 0, 0

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        self.policies, self.pages = self.policies + (step in ("never", "calendar", "asked", "watched")), 0

    def advance(self, done: int = 1, rows: int = 0) -> None:
        self.pages += done
        if (self.policies, self.pages) == (2, 2):
            os.kill(os.getpid(), signal.SIGKILL)


class _Asks:
    """Makes each training, and keeps what was asked for."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def of(self, key: str, make: Callable[[], Fitted]) -> tuple[Fitted, bool]:
        self.keys.append(key)
        return make(), False


def rehearse_and_be_killed(root: Path) -> None:
    suite = open_suite(root, clock_at(NOW))
    rehearse(suite, PRODUCT, BEGIN, END, root / "policies.yaml", training_takes=timedelta(hours=20), progress=_Killed())


@pytest.fixture(scope="module", autouse=True)
def _forked_off_a_server() -> Iterator[None]:
    """Start processes by a fork of one that has imported everything; the session of docs/retraining.md spawns them."""
    context_of = multiprocessing.get_context
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda how=None: CONTEXT if how == "spawn" else context_of(how))
        yield


@pytest.fixture(scope="module")
def rehearsed(_paged: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Any]:
    """A suite that was rehearsed, at first by a process that was killed, and what the command printed."""
    root = tmp_path_factory.mktemp("rehearsed") / "shop"
    shutil.copytree(_paged, root)
    suite = open_suite(root, clock_at(NOW))
    with_policies(suite)
    before = suite.lake.newest_snapshot()
    process = CONTEXT.Process(target=rehearse_and_be_killed, args=(root,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len([*(suite.lake.root / "rehearsals").glob("*/policies/*")]) == 4
    options = (*OPTIONS, "--policies", str(root / "policies.yaml"), "--training-takes", "20 hours", "--keep")
    found = run_json(root, "rehearse", PRODUCT, *options)
    # One commit: what came of it, in the ledger.
    assert suite.lake.newest_snapshot() == before + 1
    return suite, found


def lived(suite: Suite, policy: str) -> Suite:
    (place,) = (suite.lake.root / "rehearsals").glob(f"*/policies/{policy}")
    return open_suite(place, clock_at(NOW))


def test_policies_are_lived_through_beside_a_lake_that_stays_as_it_is(rehearsed: tuple[Suite, Any]) -> None:
    suite, found = rehearsed
    table = {row["policy"]: row for row in found["rows"]}
    assert {name: (row["trainings"], row["pages"], row["failed"]) for name, row in table.items()} == {
        "never": (0, 3, 0), "calendar": (1, 3, 0), "asked": (1, 3, 0), "watched": (0, 3, 0),
    }  # fmt: skip
    # Trained as of the same instants on the same definitions, they are the same versions; the last one also begins
    # with the version that the one before it began with, as the killed process can tell nobody of its own.
    assert found["shared"] == 2
    assert table["calendar"]["figure"] == table["asked"]["figure"] != table["never"]["figure"]
    assert table[found["best"]]["is_best"]
    assert table[found["best"]]["figure"] == min(row["figure"] for row in table.values())

    # The ledger has the table, and what was asked.
    (kept_in,) = rows(suite, "SELECT kept_in FROM ledger.rehearsals WHERE held_out_from IS NULL")[0]
    assert (suite.root / kept_in / "calendar" / "lake").is_dir()
    kept = rows(suite, "SELECT policy, trainings, figure, is_best FROM ledger.rehearsed_policies WHERE part = 'all'")
    assert kept == [tuple(row[name] for name in ("policy", "trainings", "figure", "is_best")) for row in found["rows"]]

    # A version writes pages once the time that a training takes has passed, and not before.
    with lived(suite, "asked").lake.reading() as connection:
        pages = ledger.published_pages(connection, PRODUCT, "predictions")
        trained = [(one.label_cutoff, one.trained_at) for one in ledger.models(connection, PRODUCT)]
        answers = [one.answer for one in triggers_of(connection, PRODUCT)]
    assert [one.model_version for _, one in sorted(pages.items())] == ["v1", "v1", "v2"]
    decided_at = datetime(2026, 3, 11, 4)
    assert trained == [(BEGIN, BEGIN), (decided_at, decided_at + timedelta(hours=20))]
    assert answers == ["train", "trained"]


def test_pages_that_nothing_looks_at_are_made_together_and_are_the_same(rehearsed: tuple[Suite, Any]) -> None:
    together, one_by_one = lived(rehearsed[0], "never"), lived(rehearsed[0], "watched")
    runs = f"SELECT count(*) AS n FROM ledger.runs WHERE job = 'predict' AND finished_at >= TIMESTAMP '{BEGIN}'"
    assert [rows(one, runs) for one in (together, one_by_one)] == [[(1,)], [(3,)]]
    assert page_rows(together, PRODUCT) == page_rows(one_by_one, PRODUCT) != []
    for query in (
        f"SELECT as_of, n_rows, model_version FROM ledger.pages WHERE kind = 'predictions' AND product = '{PRODUCT}'"
        f" AND as_of >= TIMESTAMP '{BEGIN}' ORDER BY ALL",
        f"SELECT as_of, column_name, score, evidence, flags FROM ledger.drift WHERE product = '{PRODUCT}' ORDER BY ALL",
        f"SELECT alarm_id, state, first_page, last_page FROM ledger.alarms WHERE product = '{PRODUCT}' ORDER BY ALL",
    ):
        assert rows(together, query) == rows(one_by_one, query)


def test_what_became_known_later_leaves_no_trace(rehearsed: tuple[Suite, Any], starter: Path) -> None:
    for name, column in (("orders", 4), ("deliveries", 1)):
        path = starter / "data" / f"{name}.csv"
        head, *facts = path.read_text().splitlines()
        known = [fact for fact in facts if fact.split(",")[column] < str(END)]
        assert 0 < len(known) < len(facts)
        path.write_text("\n".join([head, *known, ""]))
    header = starter / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace("since: 2026-01-15", "since: 2026-02-01"))
    suite = open_suite(starter, clock_at(NOW))
    ingest(suite)
    path = starter / "policies.yaml"
    path.write_text(f"policies:\n{ASKED}")
    rehearse(suite, PRODUCT, BEGIN, END, path, training_takes=timedelta(hours=20), keep=True)
    here, there = lived(suite, "asked"), lived(rehearsed[0], "asked")
    assert page_rows(here, PRODUCT) == page_rows(there, PRODUCT) != []
    for query in (
        f"SELECT version, trained_at, n_rows, rows_hash FROM ledger.models WHERE product = '{PRODUCT}' ORDER BY ALL",
        f"SELECT as_of, column_name, score, evidence FROM ledger.drift WHERE product = '{PRODUCT}' ORDER BY ALL",
        f"SELECT known_by, answer, reason FROM ledger.triggers WHERE product = '{PRODUCT}' ORDER BY ALL",
    ):
        assert rows(here, query) == rows(there, query) != []


def test_policies_are_chosen_by_the_first_part_and_judged_by_the_rest(rehearsed: tuple[Suite, Any]) -> None:
    suite, whole = rehearsed
    # What was kept is not lived through again, for which processes of their own would begin for nothing.
    options = (*OPTIONS, "--policies", str(suite.root / "policies.yaml"), "--training-takes", "20 hours", "--keep")
    options += ("--processes", "1")
    found = run_json(suite.root, "rehearse", PRODUCT, *options, "--hold-out", "0.34")
    assert found["held_out_from"] == "2026-03-12T18:00:00Z"
    assert [(row["policy"], row["pages"]) for row in found["chosen_on"]] == [
        ("never", 2), ("calendar", 2), ("asked", 2), ("watched", 2),
    ]  # fmt: skip
    assert [row["pages"] for row in found["rows"]] == [1] * 4
    # Before the first training they are the same, and of equals the one that trains least is chosen.
    assert found["best"] == "never"
    assert [row["is_best"] for row in found["rows"]] == [True, False, False, False]
    assert {row["figure"] for row in found["rows"]} != {row["figure"] for row in whole["rows"]}
    shown = run(suite.root, "rehearse", PRODUCT, *options, "--hold-out", "0.34")
    assert "never is the best, on the pages before, by which it was chosen" in shown
    parts = "SELECT part, count(*) FROM ledger.rehearsed_policies WHERE part <> 'all' GROUP BY 1 ORDER BY 1"
    assert rows(suite, parts) == [("chosen on", 8), ("held out", 8)]
    # Cut in front of the page after the training, before which there is nothing but the first page, it counts once.
    cut = run_json(suite.root, "rehearse", PRODUCT, *options, "--hold-out", "0.67")
    assert [row["trainings"] for row in cut["chosen_on"]] == [0] * 4
    assert [row["trainings"] for row in cut["rows"]] == [0, 1, 1, 0]


def test_a_file_of_policies_that_is_wrong_is_refused_with_every_mistake(paged: Suite) -> None:
    path = paged.root / "policies.yaml"
    product = paged.definitions.product(PRODUCT)
    path.write_text("policies: {a: {job: {}}, b: {jobs: {x: {run: upkeep, cron: '0 4 * * *'}}}}")
    with pytest.raises(DefinitionError, match="unknown key"):
        read_policies(path, product)
    path.write_text("policies: {b: {jobs: {x: {run: upkeep, cron: '0 4 * * *'}}}}")
    with pytest.raises(DefinitionError, match="a job of a policy is one of"):
        read_policies(path, product)
    with_policies(paged)
    end = "2026-03-20"
    said = run(
        paged.root,
        "rehearse",
        PRODUCT,
        *("--from", "2026-03-10", "--to", end, "--policies", str(path), "--hold-out", "2"),
        expect=2,
    )
    assert "no share between 0 and 1" in said


def test_every_table_of_the_ledger_is_put_back_to_the_beginning() -> None:
    of_products = {one.name for one in TABLES if one.schema == "ledger" and one.product and not one.is_view}
    known = [*WRITTEN_AT, *BELONGS_TO, *OF_PAGES, *TIMELESS]
    assert sorted(known) == sorted(of_products)
    columns = {one.name: one.columns for one in TABLES if one.schema == "ledger"}
    assert all(columns[name][column] == "TIMESTAMP" for name, column in WRITTEN_AT.items())
    assert all("run_id" in columns[name] for name in OF_PAGES)


def test_the_same_rehearsal_is_not_lived_through_twice_at_once(paged: Suite) -> None:
    path = with_policies(paged)
    product = paged.definitions.product(PRODUCT)
    asked = Asked(product, BEGIN, END, tuple(read_policies(path, product)))
    with one_at_a_time(paged, asked), pytest.raises(RunFailed, match="another process lives through this rehearsal"):
        rehearse(paged, PRODUCT, BEGIN, END, path)


class _KillsOne(Silent):
    """Kills one of the processes that live through policies, once two pages have become due."""

    def __init__(self) -> None:
        self.pages, self.has_killed = 0, False

    def advance(self, done: int = 1, rows: int = 0) -> None:
        self.pages += done
        children = multiprocessing.active_children()
        if self.pages >= 2 and children and not self.has_killed:
            self.has_killed = True
            children[0].kill()


def test_policies_lived_through_at_once_come_to_the_same(rehearsed: tuple[Suite, Any], paged: Suite) -> None:
    path = paged.root / "policies.yaml"
    path.write_text(f"policies:\n{CALENDAR}{ASKED}")
    options: dict[str, Any] = {"training_takes": timedelta(hours=20), "keep": True, "processes": 2}
    with pytest.raises(RunFailed, match=r"the process that lived through the policy \w+ ended with code -9"):
        rehearse(paged, PRODUCT, BEGIN, END, path, **options, progress=_KillsOne())
    found = rehearse(paged, PRODUCT, BEGIN, END, path, **options)
    names = ("policy", "trainings", "promoted", "pages", "figure", "low", "high", "acute", "age_days", "failed")
    assert [[getattr(row, name) for name in names] for row in found.rows] == [
        [row[name] for name in names] for row in rehearsed[1]["rows"] if row["policy"] in ("calendar", "asked")
    ]
    # Its versions are those of the policies that were lived through in turn, whoever made them.
    versions = f"SELECT version, trained_at, rows_hash FROM ledger.models WHERE product = '{PRODUCT}' ORDER BY ALL"
    for policy in ("calendar", "asked"):
        assert rows(lived(paged, policy), versions) == rows(lived(rehearsed[0], policy), versions) != []


def test_a_training_that_failed_keeps_no_life_from_making_it(paged: Suite) -> None:
    path = with_policies(paged)
    asked = Asked(
        paged.definitions.product(PRODUCT), BEGIN, END, tuple(read_policies(path, paged.definitions.product(PRODUCT)))
    )
    lives = Lives(Room(paged.root, asked, False), Terms(timedelta(0), NOW), Recalled(), Silent())
    ours, theirs = multiprocessing.Pipe()
    with ThreadPoolExecutor(1) as threads:
        answered = threads.submit(lives.answer, ours, asked.policies[0])
        for _ in range(2):
            theirs.send((ASKS, "a training"))
            assert theirs.recv() is None
        theirs.send((FAILED, (False, "it failed twice")))
        with pytest.raises(RunFailed, match="it failed twice"):
            answered.result()


def daily(paged: Suite) -> Asked:
    """Ask for a life in which it is known when trainings come: each morning."""
    path = paged.root / "policies.yaml"
    path.write_text(f"policies:\n{CALENDAR.replace('*/2', '*')}")
    product = paged.definitions.product(PRODUCT)
    return Asked(product, BEGIN, END, tuple(read_policies(path, product)))


def test_trainings_made_ahead_of_a_life_are_those_that_it_comes_to(paged: Suite) -> None:
    asked = daily(paged)
    room, (policy,), terms = prepare(paged, asked, Silent()), asked.policies, Terms(timedelta(hours=2), NOW)
    assert known_trainings(room, policy) == [datetime(2026, 3, day, 4) for day in (10, 11, 12)]
    recalled = Recalled()
    lives = Lives(room, terms, recalled, Silent())
    ours, theirs = multiprocessing.Pipe()
    with ThreadPoolExecutor(1) as threads:
        answered = threads.submit(lives.answer_ahead, ours, policy)
        make_trainings(room, policy, terms, theirs)
        theirs.send((ENDED, None))
        answered.result()
    assert len(lives.made) == 3
    asks = _Asks()
    live(room, policy, terms, asks, lambda n: None)
    # All are there but the first version, which the life begins with.
    assert [key in lives.made for key in asks.keys] == [False, True, True, True]


def test_one_that_goes_ahead_leaves_out_what_is_there_and_ends_where_the_life_is(paged: Suite) -> None:
    asked = daily(paged)
    (policy,) = asked.policies
    lives = Lives(Room(paged.root, asked, False), Terms(timedelta(0), NOW), Recalled(), Silent())
    lives.made["by another"] = {}
    lives.asked_for.add((policy.name, "by the life itself"))
    ours, theirs = multiprocessing.Pipe()
    with ThreadPoolExecutor(1) as threads:
        answered = threads.submit(lives.answer_ahead, ours, policy)
        said = []
        for key in ("by another", "a failing one", "new", "by the life itself"):
            theirs.send((ASKS, key))
            said.append(theirs.recv())
            if key == "new":
                theirs.send((MADE, (key, {})))
        theirs.send((ENDED, None))
        answered.result()
    assert said == [PASS_BY, MAKE, MAKE, STOP]
    # A training made ahead is no shared one for the life that it was made for, and one for all others.
    assert lives._find("new", policy) == {}
    assert lives.recalled.n_shared == 0
    assert lives._find("new", policy) == {}
    assert lives.recalled.n_shared == 1


def test_a_single_life_is_helped(paged: Suite) -> None:
    daily(paged)
    path, options = paged.root / "policies.yaml", {"training_takes": timedelta(hours=2), "processes": 2}
    found = rehearse(paged, PRODUCT, BEGIN, END, path, **options)
    assert (found.rows[0].trainings, found.rows[0].pages, found.shared) == (3, 3, 0)
    assert not list((paged.lake.root / "rehearsals").glob("*/ahead"))
