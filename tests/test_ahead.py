"""A lake is opened while definitions are read, and nobody notices but by the clock."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.suite import Suite, open_suite
from tests.conftest import NOW, clock_at
from warehouse.errors import AlmanacError, LakeFormatError
from warehouse.lake import Lake


def of_a_newer_format(lake: Lake) -> None:
    with lake.commit("a newer version") as commit:
        commit.execute("UPDATE ledger.format SET version = 99")


def no_lake_at_all(lake: Lake) -> None:
    for file in lake.root.glob("catalogue.sqlite*"):
        file.unlink()


def no_catalogue(lake: Lake) -> None:
    no_lake_at_all(lake)
    lake.catalogue.write_bytes(b"no catalogue " * 1_000)


def a_directory(lake: Lake) -> None:
    no_lake_at_all(lake)
    lake.catalogue.mkdir()


def opened_ahead(root: Path) -> Suite:
    suite = open_suite(root, clock_at(NOW))
    for thread in threading.enumerate():
        if thread.name == "opening the lake":
            thread.join()
    return suite


@pytest.mark.parametrize("spoil", [of_a_newer_format, no_lake_at_all, no_catalogue, a_directory])
def test_what_is_wrong_with_a_lake_is_said_to_whoever_reads_it_and_to_nobody_else(
    ingested: Suite, capfd: pytest.CaptureFixture[str], spoil: Callable[[Lake], None]
) -> None:
    shutil.copytree(ingested.root, ingested.root.with_name("spoilt"))
    spoil(Lake(ingested.root.with_name("spoilt") / "lake"))
    suite = opened_ahead(ingested.root.with_name("spoilt"))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(AlmanacError) as caught, suite.lake.reading():
        pass
    assert isinstance(caught.value, LakeFormatError) == (spoil in (of_a_newer_format, no_catalogue))
