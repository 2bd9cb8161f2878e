"""Tests of suites, run on a lake with its catalogue in PostgreSQL: a few of them in every run, a third on demand.

    ALMANAC_TESTS_LAKE=postgres python -m pytest -n 0

runs the files of `CHOSEN`, and each test on PostgreSQL. Suites that several tests share are made in SQLite, as always.
What is other in such a test: where a suite is copied to, its lake's catalogue is moved to a database of its own (by
`almanac move-lake`, once for each that is copied), and a lake that is made has its catalogue in a new database.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jobs.suites.move_lake import move_lake
from tests.postgres_server import PASSWORD, Server
from warehouse.lake.catalogues import CATALOGUE
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import LAKE_FILE, MARKER, Address, mark, read_marker

#: Whether this run is of PostgreSQL alone.
ONLY = os.environ.get("ALMANAC_TESTS_LAKE") == "postgres"
#: The files whose tests are run on PostgreSQL on demand.
CHOSEN: tuple[str, ...] = (
    "tests/changes/test_going_back.py",
    "tests/facts/test_derivations_kept.py",
    "tests/facts/test_promises.py",
    "tests/facts/test_publications.py",
    "tests/facts/test_watermarks.py",
    "tests/lake/test_connections.py",
    "tests/lake/test_generated_histories.py",
    "tests/lake/test_landed_lake.py",
    "tests/lake/test_migrations.py",
    "tests/lake/test_statistics_of_files.py",
    "tests/lake/test_tables.py",
    "tests/lake/test_warm_up.py",
    "tests/ledger/test_ledger.py",
    "tests/models/test_artifacts.py",
    "tests/models/test_gates.py",
    "tests/models/test_models_cli.py",
    "tests/monitoring/test_alarms.py",
    "tests/monitoring/test_evaluate.py",
    "tests/operations/test_leases.py",
    "tests/pages/test_backfill.py",
    "tests/pages/test_bad_pages.py",
    "tests/pages/test_built_in_checks.py",
    "tests/pages/test_current.py",
    "tests/pages/test_diff.py",
    "tests/pages/test_due_pages.py",
    "tests/pages/test_explain.py",
    "tests/pages/test_kills.py",
    "tests/pages/test_lost_files.py",
    "tests/pages/test_plan.py",
    "tests/pages/test_product_checks.py",
    "tests/pages/test_publishing.py",
    "tests/pages/test_rollback.py",
    "tests/pages/test_shared_features.py",
    "tests/products/test_products.py",
    "tests/reading/test_reader.py",
    "tests/reading/test_readers.py",
    "tests/reading/test_training_frame.py",
    "tests/retraining/test_retrain.py",
    "tests/rollout/test_promotion.py",
    "tests/rollout/test_stages.py",
    "tests/sandbox/test_sandbox_time.py",
    "tests/schedule/test_alarms_told.py",
    "tests/schedule/test_clock_processes.py",
    "tests/schedule/test_clock_processes_of_runs.py",
    "tests/schedule/test_clock_suite.py",
    "tests/schedule/test_costs_of_killed_runs.py",
    "tests/schedule/test_nothing_new.py",
    "tests/schedule/test_stopping.py",
    "tests/suites/test_audit.py",
    "tests/suites/test_doctor.py",
    "tests/suites/test_query.py",
    "tests/suites/test_upkeep.py",
    "tests/training/test_training.py",
)
#: The tests that are run on PostgreSQL too in every run.
IN_EVERY_RUN: tuple[str, ...] = (
    "tests/lake/test_migrations.py::test_the_next_commit_brings_a_lake_up_to_date_with_what_it_is_for_and_not_without_it",
    "tests/lake/test_migrations.py::test_a_step_that_fails_leaves_the_lake_as_it_was",
    "tests/pages/test_current.py::test_a_view_is_replaced_only_where_the_pages_that_it_names_change",
    "tests/pages/test_current.py::test_rolling_back_the_page_that_holds_the_oldest_valid_row_changes_what_is_current",
    "tests/pages/test_publishing.py::test_a_page_is_one_commit_with_its_checks_and_its_run",
    "tests/pages/test_publishing.py::test_of_many_pages_only_the_one_that_fails_is_kept_back",
    "tests/pages/test_publishing.py::test_a_run_with_older_facts_does_not_overwrite_newer_ones",
    "tests/schedule/test_clock_processes.py::test_two_ticks_at_once_run_each_tick_once",
    "tests/schedule/test_clock_processes.py::test_a_killed_daemon_leaves_a_tick_that_its_successor_takes_up",
    "tests/suites/test_upkeep.py::test_superseded_pages_can_be_compared_and_put_back_for_as_long_as_was_said",
)
_CLOCK = "tests/schedule/test_clock_processes.py"
SEVERAL = "several hosts may run the schedule there, and none is noted as the one that does"
_OPEN = "tests/lake/test_connections.py"
HELD = "nobody waits there for who opens a catalogue, and none is held"
A_DAY = "upkeep takes there what runs have left once it is a day old"
#: What is about SQLite's file itself, or about what is not built for PostgreSQL, with the reason.
NOT_ON_POSTGRES: dict[str, str] = {
    f"{_CLOCK}::test_a_second_host_is_refused_until_the_first_is_gone": SEVERAL,
    f"{_CLOCK}::test_a_host_that_another_took_over_from_stops": SEVERAL,
    f"{_CLOCK}::test_when_the_clock_was_wrong_a_daemon_says_so_and_set_back_mends_it": SEVERAL,
    "tests/suites/test_upkeep.py::test_the_command_says_what_it_freed": A_DAY,
    "tests/suites/test_upkeep.py::test_a_staging_directory_that_a_kill_left_without_a_name_is_swept": A_DAY,
    "tests/pages/test_kills.py::test_a_run_killed_before_its_first_commit_leaves_no_page": A_DAY,
    "tests/schedule/test_clock_suite.py::test_the_book_and_the_lake_are_different_files": "no file is there of either",
    "tests/lake/test_warm_up.py::test_so_is_what_is_wrong_with_the_file_of_a_catalogue": "it is a file of SQLite's",
    f"{_OPEN}::test_a_lake_that_is_held_is_not_given_up_between_questions": HELD,
    f"{_OPEN}::test_commands_hold_their_lake": HELD,
    f"{_OPEN}::test_a_lake_that_is_closed_is_opened_again_by_whoever_asks": HELD,
    f"{_OPEN}::test_a_process_that_commits_reads_on_the_instance_that_does_and_cannot_write_there": (
        "what reads there has an instance of its own, which the server lets write nothing"
    ),
}


@dataclass(frozen=True)
class Moved:
    """Lakes of suites that tests share, moved to PostgreSQL once: where they are, by file and age of the catalogue."""

    place: Path
    lakes: dict[tuple[Path, int], Path] = field(default_factory=dict)


class Databases:
    """The databases of one test's lakes, and of the suites that it copied; they go with the test."""

    def __init__(self, server: Server, moved: Moved) -> None:
        self._server, self._moved = server, moved
        self.made: list[str] = []

    def new(self, of: str = "template1") -> str:
        """Make a database, by the pattern of another one, of which nothing may be open; gives its URL."""
        import psycopg

        name = f"lake_{uuid.uuid4().hex[:12]}"
        with self._server.connect() as connection:
            ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s"
            # A thread that opens a lake ahead of its command may connect again in between.
            while True:
                connection.execute(ended, [of])
                with contextlib.suppress(psycopg.errors.ObjectInUse):
                    connection.execute(f"CREATE DATABASE {name} TEMPLATE {of}")
                    break
        self.made.append(name)
        return self._server.url(name)

    def drop(self) -> None:
        with self._server.connect() as connection:
            for name in self.made:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def place(self, lake: Lake) -> None:
        """Let a lake that is to be made have its catalogue here."""
        if not (lake.root / CATALOGUE).exists() and not (lake.root / MARKER).exists():
            mark(Address(self.new(), lake.root))

    def settle(self, copied: Path, original: Path) -> None:
        """Give the lakes of a copied directory catalogues of their own."""
        for marker in copied.rglob(MARKER):
            said = json.loads(marker.read_text())
            url = self.new(said["catalogue"].rpartition("/")[2])
            marker.write_text(json.dumps(said | {"catalogue": url}) + "\n")
        for file in copied.rglob(CATALOGUE):
            root = file.parent
            # A catalogue that lies by itself, or a lake that is no suite's, stays what it is.
            if root.name == "lake" and not (root / MARKER).exists():
                self._move(root.parent, original / root.parent.relative_to(copied))

    def _move(self, suite: Path, original: Path) -> None:
        file = original / "lake" / CATALOGUE
        key = (file, file.stat().st_mtime_ns)
        if key not in self._moved.lakes:
            kept = self._moved.place / uuid.uuid4().hex
            _copy(suite, kept)
            move_lake(kept, Address(self.new(), kept / "moved"))
            Lake(kept / "moved").close()
            self.made.pop()
            self._moved.lakes[key] = kept / "moved"
        shutil.rmtree(suite / "lake")
        _copy(self._moved.lakes[key], suite / "lake")
        (suite / LAKE_FILE).unlink(missing_ok=True)
        self.settle(suite / "lake", suite / "lake")


_copytree = shutil.copytree


def _copy(original: Any, copied: Any, *arguments: Any, **options: Any) -> Any:
    """Copy a directory and nothing else; `shutil.copytree` calls itself for each directory in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "copytree", _copytree)
        return _copytree(original, copied, *arguments, **options)


#: Those of the test that is being run, if it is run on PostgreSQL.
_of_now: list[Databases] = []


def place_lake(root: Path) -> None:
    """Let a lake that is to be in a directory have its catalogue, and its operational state, where this test has them.

    For suites without a lake, whose state other processes would make.
    """
    for databases in _of_now:
        databases.place(Lake(root))


def recipe_of(lake: Path, here: str) -> str:
    """Give the recipe by which plain DuckDB reads a lake: `here`, or docs/catalogues.md's where a server has it."""
    server = read_marker(lake)
    if server is None:
        return here
    place = urlsplit(server[0])
    text = (Path(__file__).parents[1] / "docs" / "catalogues.md").read_text()
    (block,) = [each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ATTACH" in each]
    said = f"host={place.hostname} port={place.port} dbname={place.path[1:]} user={place.username}"
    block = block.replace("host=db.internal dbname=lake user=reader", said).replace("/mnt/shared/lake", str(lake))
    return str(block).replace("flight_delay_current", "late_order_current")


@contextlib.contextmanager
def lakes_in(server: Server, moved: Moved) -> Iterator[Databases]:
    """Have all lakes that are made or copied by this process meanwhile in a server."""
    databases, create = Databases(server, moved), Lake.create

    def create_there(lake: Lake, now: datetime, made_by: str) -> None:
        databases.place(lake)
        create(lake, now, made_by)

    def copytree(original: Any, copied: Any, *arguments: Any, **options: Any) -> Any:
        given = _copy(original, copied, *arguments, **options)
        databases.settle(Path(copied), Path(original))
        return given

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        patch.setattr(Lake, "create", create_there)
        patch.setattr(shutil, "copytree", copytree)
        _of_now.append(databases)
        try:
            yield databases
        finally:
            _of_now.clear()
            databases.drop()


def kinds_of(test: str) -> tuple[str, ...]:
    """Give on which catalogues a test is run, `FILE::NAME`; nothing where it is run as it stands."""
    if ONLY:
        return ("postgres",)
    return ("sqlite", "postgres") if test in IN_EVERY_RUN else ()


def is_chosen(test: str) -> bool:
    """Tell whether a test is run where all are run on PostgreSQL."""
    return test.partition("::")[0] in CHOSEN and test not in NOT_ON_POSTGRES
