"""A rehearsal: history lived through again under policies, beside a lake that stays as it is."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.progress import Silent
from jobs.rehearsal.beginning import BELONGS_TO, OF_PAGES, TIMELESS, WRITTEN_AT
from jobs.rehearsal.policies import read_policies
from jobs.rehearsal.rehearse import rehearse
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PRODUCT, clock_at
from tests.page_makers import CONTEXT
from tests.schedule.clock_suites import run, run_json
from warehouse.errors import DefinitionError
from warehouse.lake.registry import TABLES
from warehouse.ledger import records as ledger
from warehouse.ledger.triggers import triggers_of

BEGIN, END = datetime(2026, 3, 10), datetime(2026, 3, 14)
POLICIES = f"""
policies:
  never: {{jobs: {{}}}}
  by calendar:
    jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "0 4 */2 * *"}}}}
  asked:
    jobs: {{again: {{run: {{retrain: {PRODUCT}}}, cron: "0 4 */2 * *", cooldown: 36 hours}}}}
"""
GATES = "    product: {gates: {metrics: {log_loss: {at_most: 5}}, min_pages: 1, pages: 5}}\n"
OPTIONS = ("--from", str(BEGIN.date()), "--to", str(END.date()), "--policies", "policies.yaml")


def with_policies(suite: Suite) -> Path:
    text = POLICIES.replace("  asked:\n", f"{GATES}  asked:\n").replace("by calendar", "calendar") + GATES
    path = suite.root / "policies.yaml"
    path.write_text(text)
    return path


class _Killed(Silent):
    """Kills the process at the second page of the second policy, while a training is under way."""

    def __init__(self) -> None:
        self.policies, self.pages = 0, 0

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        self.policies, self.pages = self.policies + (step in ("never", "calendar", "asked")), 0

    def advance(self, done: int = 1, rows: int = 0) -> None:
        self.pages += done
        if (self.policies, self.pages) == (2, 2):
            os.kill(os.getpid(), signal.SIGKILL)


def rehearse_and_be_killed(root: Path) -> None:
    suite = open_suite(root, clock_at(NOW))
    rehearse(suite, PRODUCT, BEGIN, END, root / "policies.yaml", training_takes=timedelta(hours=20), progress=_Killed())


def test_policies_are_lived_through_beside_a_lake_that_stays_as_it_is(
    paged: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_policies(paged)
    before = paged.lake.newest_snapshot()
    process = CONTEXT.Process(target=rehearse_and_be_killed, args=(paged.root,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len([*(paged.lake.root / "rehearsals").glob("*/policies/*")]) == 3

    monkeypatch.chdir(paged.root)
    found = run_json(paged.root, "rehearse", PRODUCT, *OPTIONS, "--training-takes", "20 hours", "--keep")
    rows = {row["policy"]: row for row in found["rows"]}
    assert {name: (row["trainings"], row["pages"], row["failed"]) for name, row in rows.items()} == {
        "never": (0, 4, 0), "calendar": (1, 4, 0), "asked": (1, 4, 0),
    }  # fmt: skip
    # Trained as of the same instants on the same definitions, they are the same versions.
    assert found["shared"] == 1
    assert rows["calendar"]["figure"] == rows["asked"]["figure"] != rows["never"]["figure"]
    assert rows[found["best"]]["is_best"]
    assert rows[found["best"]]["figure"] == min(row["figure"] for row in rows.values())
    assert paged.lake.newest_snapshot() == before

    # A version writes pages once the time that a training takes has passed, and not before.
    (place,) = (paged.lake.root / "rehearsals").glob("*/policies/asked")
    lived = open_suite(place, clock_at(NOW))
    with lived.lake.reading() as connection:
        pages = ledger.published_pages(connection, PRODUCT, "predictions")
        trained = [(one.label_cutoff, one.trained_at) for one in ledger.models(connection, PRODUCT)]
        answers = [one.answer for one in triggers_of(connection, PRODUCT)]
    assert [one.model_version for _, one in sorted(pages.items())] == ["v1", "v1", "v2", "v2"]
    decided_at = datetime(2026, 3, 11, 4)
    assert trained == [(BEGIN, BEGIN), (decided_at, decided_at + timedelta(hours=20))]
    # That of the 13th is under way at the end.
    assert answers == ["train", "trained", "train"]


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
