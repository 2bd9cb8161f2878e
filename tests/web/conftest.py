"""One suite to look at for all tests of the site, and the site of it over HTTP."""

from __future__ import annotations

import contextlib
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.web.serve import address_of, listening
from jobs.web.site.opened import OpenedSuite
from tests.conftest import NOW, clock_at, made_once
from tests.web.seen_suite import make_seen

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from starlette.applications import Starlette


FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium that is installed; the test is skipped where there is none.

    While it is open, an event loop runs in this thread, and `asyncio.run` refuses: it ends with the module.
    """
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)} is on the path (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def seen_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite; no test writes to it."""
    return made_once(tmp_path_factory, "seen", make_seen)


@dataclass(frozen=True)
class Site:
    """A site that answers."""

    address: str
    root: Path

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str, dict[str, str]]:
        """Ask for a path; gives the status, the text and the headers."""
        request = urllib.request.Request(f"{self.address}/{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)


@contextlib.contextmanager
def answering(application: Starlette, root: Path) -> Iterator[Site]:
    """Let an application answer in a thread."""
    from uvicorn import Config, Server

    with listening("127.0.0.1", 0) as listener:
        server = Server(Config(application, log_level="error", ws="none", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="site")
        thread.start()
        yield Site(address_of("127.0.0.1", listener), root)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def site(seen_root: Path) -> Iterator[Site]:
    """The site of the suite, as `almanac web` shows it, at NOW."""
    from jobs.web.site.application import application

    opened = OpenedSuite(seen_root, clock_at(NOW))
    with answering(application(opened, None, ("127.0.0.1",)), seen_root) as running:
        yield running
    opened.suite().lake.close()
