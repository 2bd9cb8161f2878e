"""A lake is opened while definitions are read, and nobody notices but by the clock."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.suite import Suite, open_suite
from tests.conftest import NOW, clock_at
from warehouse.errors import AlmanacError, LakeFormatError, NotFoundError
from warehouse.lake import warm_up
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.lake.lake import Lake
from warehouse.sandbox import Sandbox


def of_a_newer_format(lake: Lake) -> None:
    with lake.commit("a newer version") as commit:
        commit.execute("UPDATE ledger.format SET version = 99")
    lake.close()  # another process has done that


def no_lake_at_all(lake: Lake) -> None:
    for file in lake.root.glob("catalogue.sqlite*"):
        file.unlink()


def no_catalogue(lake: Lake) -> None:
    no_lake_at_all(lake)
    SqliteCatalogue(lake.root).file.write_bytes(b"no catalogue " * 1_000)


def a_directory(lake: Lake) -> None:
    no_lake_at_all(lake)
    SqliteCatalogue(lake.root).file.mkdir()


def opened_ahead(root: Path) -> Suite:
    suite = open_suite(root, clock_at(NOW))
    for thread in threading.enumerate():
        if thread.name == "opening the lake":
            thread.join()
    return suite


def spoilt(suite: Suite, spoil: Callable[[Lake], None], capfd: pytest.CaptureFixture[str]) -> AlmanacError:
    """Spoil the lake of a copy of a suite, and give what whoever reads it is told."""
    shutil.copytree(suite.root, suite.root.with_name("spoilt"))
    spoil(Lake(suite.root.with_name("spoilt") / "lake"))
    copy = opened_ahead(suite.root.with_name("spoilt"))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(AlmanacError) as caught, copy.lake.reading():
        pass
    return caught.value


def test_what_is_wrong_with_a_lake_is_said_to_whoever_reads_it_and_to_nobody_else(
    ingested: Suite, capfd: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(spoilt(ingested, of_a_newer_format, capfd), LakeFormatError)


@pytest.mark.parametrize("spoil", [no_lake_at_all, no_catalogue, a_directory])
def test_so_is_what_is_wrong_with_the_file_of_a_catalogue(
    ingested: Suite, capfd: pytest.CaptureFixture[str], spoil: Callable[[Lake], None]
) -> None:
    assert isinstance(spoilt(ingested, spoil, capfd), LakeFormatError) == (spoil is no_catalogue)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The snapshots at which instances are opened from now on."""
    snapshots: list[int | None] = []
    connect = Lake.connect

    def noted(lake: Lake, *, snapshot_id: int | None = None, **options: object) -> object:
        snapshots.append(snapshot_id)
        return connect(lake, snapshot_id=snapshot_id, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "connect", noted)
    return snapshots


def test_the_first_sandbox_takes_what_was_opened_ahead(ingested: Suite, opened: list[int | None]) -> None:
    newest = ingested.lake.newest_snapshot()
    opened.clear()
    warm_up.connect_ahead(ingested.lake)
    for _ in range(2):
        with Sandbox(ingested.lake) as sandbox:
            assert sandbox.snapshot_id == newest
    assert opened == [newest] * 2, "one ahead, and one for the second sandbox"


def test_a_sandbox_shows_what_was_committed_since_one_was_opened_ahead(
    ingested: Suite, opened: list[int | None]
) -> None:
    warm_up.connect_ahead(ingested.lake)
    spare = warm_up._spares[ingested.lake.catalogue.identity()]
    spare.result()
    with ingested.lake.commit("more") as commit:
        commit.execute("CREATE TABLE sources.more AS SELECT 1 AS n")
    opened.clear()
    with Sandbox(ingested.lake) as sandbox:
        assert sandbox.cursor().execute(f"FROM {sandbox.catalogue}.sources.more").fetchall() == [(1,)]
    assert opened == [spare.result()[0] + 1]


def test_what_cannot_be_opened_ahead_is_said_by_who_needs_it(ingested: Suite) -> None:
    nowhere = Lake(ingested.root / "nowhere")
    warm_up.connect_ahead(nowhere)
    with pytest.raises(NotFoundError):
        Sandbox(nowhere)
