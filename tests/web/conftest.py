"""One suite to look at for all tests of the site, and the site of it over HTTP."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.web.serve import address_of, listening
from jobs.web.site.opened import OpenedSuite
from tests.conftest import NOW, clock_at, made_once
from tests.web.seen_suite import make_seen


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


@pytest.fixture(scope="session")
def site(seen_root: Path) -> Iterator[Site]:
    """The site of the suite, as `almanac web` shows it, at NOW."""
    from uvicorn import Config, Server

    from jobs.web.site.application import application

    opened = OpenedSuite(seen_root, clock_at(NOW))
    with listening("127.0.0.1", 0) as listener:
        config = Config(application(opened, None, ("127.0.0.1",)), log_level="error", ws="none", access_log=False)
        server = Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="site")
        thread.start()
        yield Site(address_of("127.0.0.1", listener), seen_root)
        server.should_exit = True
        thread.join()
    opened.suite().lake.close()
