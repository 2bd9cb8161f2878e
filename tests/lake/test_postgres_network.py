"""Two hosts write one lake, and one of them is cut off in the middle of a commit: it is refused when it comes back."""

from __future__ import annotations

import faulthandler
import os
import re
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.lake.hosts import Network, can_have_networks, network
from tests.lake.shared_lakes import check_pages, new_lake, password, put, replace, staged
from tests.page_makers import CONTEXT, kill
from tests.postgres_server import Server, needs_postgres, running_server
from warehouse.errors import PublishFailed
from warehouse.lake.lake import Lake
from warehouse.lake.postgres import sessions

pytestmark = [
    needs_postgres,
    pytest.mark.skipif(not can_have_networks(), reason="no networks can be made here, which takes root and `ip`"),
]
#: In place of half a minute; with `ALMANAC_ALL_KILLS` the settings are those of production.
SOON = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "3000",
}


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Network, Server]]:
    with network() as made, running_server(made.address) as server:
        yield made, server


def notice_soon() -> None:
    names = [option.partition("=")[0] for option in sessions.OPTIONS]
    assert set(SOON) <= set(names)
    if "ALMANAC_ALL_KILLS" not in os.environ:
        options = (option for option in sessions.OPTIONS if option.partition("=")[0] not in SOON)
        sessions.OPTIONS = (*options, *(f"{name}={value}" for name, value in SOON.items()))


def commit_when_told(line: Connection, root: Path, page: int) -> None:
    """Begin to replace a page, and wait in the middle of it; then replace another one."""
    faulthandler.dump_traceback_later(300, exit=True)
    notice_soon()
    lake = Lake(root)
    file = staged(lake, page, "first")
    try:
        with lake.commit(f"{page} by first") as commit:
            put(commit, page, "first", file)
            line.send("in the middle")
            line.recv()
        line.send("committed")
    except PublishFailed as error:
        line.send(str(error))
    line.recv()
    replace(lake, page + 1, "first")
    line.send("committed")


def replace_page(line: Connection, root: Path, page: int) -> None:
    faulthandler.dump_traceback_later(300, exit=True)
    notice_soon()
    replace(Lake(root), page, "second")
    line.send("committed")


@pytest.mark.parametrize("goes_on", ["while it is cut off", "once it is back"])
def test_a_host_that_is_cut_off_in_the_middle_of_a_commit_is_refused(
    hosts: tuple[Network, Server], tmp_path: Path, goes_on: str
) -> None:
    """The server notices by its keepalives that the host is gone, and lets the other one in."""
    made, server = hosts
    lake = new_lake(server, "hosts", tmp_path / "lake")
    replace(lake, 1, "before")
    lake.close()
    (first, of_first), (second, of_second) = CONTEXT.Pipe(), CONTEXT.Pipe()
    processes = [
        made.run(1, commit_when_told, of_first, lake.root, 1),
        made.run(2, replace_page, of_second, lake.root, 1),
    ]
    try:
        processes[0].start()
        assert first.recv() == "in the middle"
        made.unplug(1)
        if goes_on == "while it is cut off":
            first.send("go on")
        processes[1].start()
        assert second.recv() == "committed"
        assert check_pages(lake) == {1: "second"}
        made.plug(1)
        if goes_on == "once it is back":
            first.send("go on")
        # If this took so long that it gave up meanwhile, it says that nobody knows.
        assert re.search("did not take place|nobody knows", first.recv())
        assert check_pages(lake) == {1: "second"}
        first.send("go on")
        assert first.recv() == "committed"
        assert check_pages(lake) == {1: "second", 2: "first"}
        lake.close()
    finally:
        made.plug(1)
        for process in processes:
            if process.pid is not None:
                kill(process)
