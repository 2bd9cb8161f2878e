"""Small suites with a schedule and no data, and the command line run on them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from tests import command_line
from tests.lakes_in_postgres import place_lake
from warehouse.lake.postgres.addresses import read_marker
from warehouse.operations.state import open_operations

THOUSAND_DAYS = timedelta(days=1000)


def make_suite(root: Path, schedule: str) -> Path:
    (root / "sql").mkdir(parents=True)
    (root / "schedules.yaml").write_text(schedule)
    place_lake(root / "lake")
    return root


def almanac(suite: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs", "--suite", str(suite), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(suite: Path, *arguments: str, expect: int = 0) -> str:
    """Run a command in this process; gives what it printed, or for a mistake what it said."""
    done = command_line.almanac(suite, *arguments)
    assert done.returncode == expect, done.stderr
    return done.stdout if expect != 2 else done.stderr


def run_json(suite: Path, *arguments: str, expect: int = 0) -> Any:
    return json.loads(run(suite, *arguments, "--json", expect=expect))


def real_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def first_look(suite: Path) -> None:
    """Let a scheduler see the schedule for the first time, so that `every: 1000 days` has since been due once."""
    newest = datetime(1970, 1, 1) + (real_now() - datetime(1970, 1, 1)) // THOUSAND_DAYS * THOUSAND_DAYS
    run(suite, "tick", "--now", str(newest - timedelta(hours=1)))


def book_rows(suite: Path, query: str) -> list[Any]:
    if read_marker(suite / "lake") is not None:
        with contextlib.closing(open_operations(suite / "lake")) as state:
            return [tuple(row) for row in state.execute(query)]
    with sqlite3.connect(suite / "lake" / "operations.sqlite", timeout=30) as db:
        rows = db.execute(query).fetchall()
    db.close()
    return rows


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_for(condition: Callable[[], Any], what: str, within_s: float = 120) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def open_webhook() -> Iterator[tuple[str, list[Any]]]:
    """A web server that takes down what it is sent: its apprise address, and the list."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://user:s3cretpw@127.0.0.1:{server.server_port}", received
        server.shutdown()
