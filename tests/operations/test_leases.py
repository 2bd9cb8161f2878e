"""Leases on pages die with their process, and no two live processes hold the same page."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from warehouse.lake.lake import Lake
from warehouse.operations.leases import Leases, pages_held, sweep_owners

PAGES = [datetime(2026, 3, 1, 18) + timedelta(days=day) for day in range(6)]
TAKES = """
import sys, time
from datetime import datetime
from pathlib import Path
from warehouse.lake.lake import Lake
from warehouse.operations.leases import Leases
leases = Leases(Lake(Path(sys.argv[1])))
leases.take("p", [datetime.fromisoformat(page) for page in sys.argv[2:]])
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def start_taker(lake: Lake, pages: list[datetime]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", TAKES, str(lake.root), *(page.isoformat() for page in pages)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"taken\n"
    return process


def test_a_page_is_leased_to_one_at_a_time(lake: Lake) -> None:
    with Leases(lake) as first, Leases(lake) as second:
        assert first.take("p", PAGES[:4]) == set(PAGES[:4])
        assert second.take("p", PAGES[2:]) == set(PAGES[4:])
        assert second.take("another", PAGES) == set(PAGES)
        first.give_back("p", PAGES)
        assert second.take("p", PAGES) == set(PAGES)


def test_a_lease_can_be_taken_again_by_its_owner(lake: Lake) -> None:
    with Leases(lake) as leases:
        assert leases.take("p", PAGES) == leases.take("p", PAGES) == set(PAGES)


def test_giving_back_leaves_others_leases_alone(lake: Lake) -> None:
    with Leases(lake) as first, Leases(lake) as second:
        first.take("p", PAGES)
        second.give_back("p", PAGES)
        assert second.take("p", PAGES) == set()


def test_holding_ends_with_its_block_even_on_an_error(lake: Lake) -> None:
    with Leases(lake) as leases:
        with contextlib.suppress(ZeroDivisionError), leases.holding("p", PAGES) as ours:
            assert ours == set(PAGES)
            raise ZeroDivisionError
        assert pages_held(lake, "p") == {}


def test_a_closed_owner_leaves_nothing_behind(lake: Lake) -> None:
    with Leases(lake) as leases:
        leases.take("p", PAGES)
        held = pages_held(lake, "p")
        assert {page: owner.pid for page, owner in held.items()} == dict.fromkeys(PAGES, os.getpid())
    assert pages_held(lake, "p") == {}
    assert list((lake.root / "owners").iterdir()) == []


def test_looking_makes_nothing(lake: Lake) -> None:
    assert pages_held(lake, "p") == {}
    assert list(lake.root.iterdir()) == []


def test_leases_of_a_killed_process_are_free_at_once(lake: Lake) -> None:
    process = start_taker(lake, PAGES)
    try:
        with Leases(lake) as leases:
            assert leases.take("p", PAGES) == set()
            assert {owner.pid for owner in pages_held(lake, "p").values()} == {process.pid}
            process.kill()
            process.wait()
            assert pages_held(lake, "p") == {}
            assert leases.take("p", PAGES) == set(PAGES)
            assert len(list((lake.root / "owners").iterdir())) == 1
    finally:
        process.kill()
        process.communicate()


def test_many_processes_at_once_share_the_pages_out(lake: Lake) -> None:
    """Each takes one page after another; whatever the timing, each page has exactly one owner."""
    shares = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from warehouse.lake.lake import Lake
from warehouse.operations.leases import Leases
with Leases(Lake(Path(sys.argv[1]))) as leases:
    sys.stdin.readline()
    days = range(100)
    got = [day for day in days if leases.take("p", [datetime(2026, 1, 1) + timedelta(days=day)])]
    print(*got, flush=True)
    sys.stdin.readline()
"""
    command = [sys.executable, "-c", shares, str(lake.root)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        got: list[int] = []
        for process in processes:
            assert process.stdout is not None
            got += [int(day) for day in process.stdout.readline().split()]
        assert sorted(got) == list(range(100))
    finally:
        for process in processes:
            process.communicate("end\n")


def test_what_gone_owners_left_is_swept_unless_it_is_young_and_may_be_about_to_be_locked(lake: Lake) -> None:
    with Leases(lake) as living:
        assert living.take("p", PAGES) == set(PAGES)
        (own,) = lake.catalogue.owners.iterdir()
        gone = own.with_name("gone")
        gone.touch()
        now = datetime.now(UTC).replace(tzinfo=None)
        sweep_owners(lake.root, now - timedelta(hours=1))
        assert gone.exists()
        sweep_owners(lake.root, now + timedelta(hours=1))
        assert not gone.exists()
        assert own.exists()
