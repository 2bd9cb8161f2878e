"""What breaks underneath is told in words: every command that reads or writes the lake, under each breakage.

No traceback, no wrong exit code, nothing lost: a command either does its work or says what is broken and what to do.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.cli.output.breakages import explain
from jobs.suite import open_suite
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.lakes import rows
from warehouse.lake.lake import Lake
from warehouse.waiting import WAIT_VARIABLE

AS_OF = f"{PAGE:%Y-%m-%dT%H:%M}"
#: Every command that reads or writes the lake, as it is called here. Those that write come last.
COMMANDS: dict[str, list[str]] = {
    "status": [],
    "doctor": [],
    "query": ["SELECT count(*), sum(parcels) FROM sources.orders"],
    "query --format json": ["FROM predictions.late_order_current", "--format", "json"],
    "live": [PRODUCT],
    "plan": [PRODUCT],
    "pages": [PRODUCT],
    "evaluate": [PRODUCT, "--from", "2026-03-01", "--to", "2026-04-01"],
    "explain": [PRODUCT, "--page", AS_OF],
    "diff": [PRODUCT, "--page", AS_OF, "--against", "v1"],
    "diff --against-page": [PRODUCT, "--page", AS_OF, "--against-page", "2026-03-09T18:00"],
    "models": [],
    "models show": [PRODUCT, "v1"],
    "models card": [PRODUCT, "v1"],
    "models bench": [PRODUCT, "v1"],
    "models import": [PRODUCT, "no-such-file.skops"],
    "models compare": [PRODUCT, "v1", "v1", "--from", "2026-03-01", "--to", "2026-04-01"],
    "reproduce": [PRODUCT, "v1"],
    "lineage": [PRODUCT],
    "impact": ["orders.parcels"],
    "agenda": [],
    "ticks": [],
    "costs": [],
    "pause": ["pages", "--why", "a test"],
    "resume": ["pages", "--why", "a test"],
    "tick": [],
    "late": [],
    "audit": [],
    "check": [],
    "deployments": [],
    "exports": [],
    "backup": ["BACKUPS"],
    "profile": [PRODUCT, "--page", AS_OF],
    "monitor": [PRODUCT],
    "report": [PRODUCT, "--output", "/dev/null"],
    "skew": [PRODUCT, "--requests", "orders"],
    "web": ["--export", "SITE", "--pages", "0"],
    "alarms": [],
    "alarms accept": ["00000000", "--why", "a test"],
    "alarms close": ["00000000", "--why", "a test"],
    "rollout": [],
    "rollout start": [PRODUCT, "v1"],
    "rollout power": [PRODUCT],
    "rollout look": [PRODUCT],
    "rollout hold": [PRODUCT, "--why", "a test"],
    "rollout advance": [PRODUCT, "--why", "a test"],
    "rollout abort": [PRODUCT, "--why", "a test"],
    "promote": [PRODUCT, "v1", "--effective-from", "2026-03-20"],
    "retire": [PRODUCT, "v1"],
    "models rollback": [PRODUCT],
    "run": [PRODUCT, "--as-of", "2026-03-11T18:00"],
    "backfill": [PRODUCT, "--from", "2026-03-12", "--to", "2026-03-13"],
    "rollback": [PRODUCT, "--page", AS_OF, "--to-snapshot", "1", "--reason", "a test"],
    "retrain": [PRODUCT],
    "triggers": [PRODUCT],
    "freshness": [PRODUCT, "--from", "2026-02-15", "--to", "2026-02-20", "--cutoffs", "2"],
    "rehearse": [PRODUCT, "--from", "2026-02-10", "--to", "2026-02-11", "--policies", "POLICIES"],
    "train": [PRODUCT, "--as-of", f"{TRAINED_AS_OF:%Y-%m-%d}"],
    "deploy": ["--reason", "a test", "--force"],
    "export": [PRODUCT],
    "ingest": [],
    "repair": ["--dry-run"],
    "erase": ["person=1"],
    "rename": ["no_such", PRODUCT],
    "remove": ["no_such"],
    "upkeep": [],
}
#: These do not read or write the lake, or make one, or run until they are told to stop (`schedule`, as `tick` does);
#: `move-lake` first asks a server for what it may not have.
OTHERS = {"demo", "init", "test", "schedule", "serve", "reader", "backups", "restore", "lakes", "move-lake"}


#: A job that is never due, and one that never trains.
SCHEDULE = f"""
jobs:
  pages: {{run: {{shell: 'true'}}, every: 1000 days}}
  again: {{run: {{retrain: {PRODUCT}}}, every: 1000 days, when: {{age: 9000 days}}}}
"""


def data_files(suite: Path, table: str) -> list[Path]:
    return sorted((suite / "lake/data" / table).rglob("*.parquet"))


@contextlib.contextmanager
def full_disk(suite: Path) -> Iterator[None]:
    """No file may grow beyond a size."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    # CPython 3.11 takes no notice of a write that is cut short, and would keep half of a module's bytecode for good.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    before = os.environ.get("PYTHONDONTWRITEBYTECODE", "")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield
    finally:
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = writes, before
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def no_rights(suite: Path) -> Iterator[None]:
    """The lake belongs to somebody else, who lets others read it."""
    for path in [suite / "lake", *(suite / "lake").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in [suite / "lake", *(suite / "lake").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


@contextlib.contextmanager
def lost_files(suite: Path) -> Iterator[None]:
    for file in (suite / "lake/data").rglob("*.parquet"):
        file.unlink()
    yield


@contextlib.contextmanager
def damaged_files(suite: Path) -> Iterator[None]:
    for file in (suite / "lake/data").rglob("*.parquet"):
        file.write_bytes(b"\0" * file.stat().st_size)
    yield


@contextlib.contextmanager
def damaged_catalogue(suite: Path) -> Iterator[None]:
    for name in ("catalogue.sqlite", "operations.sqlite"):
        file = suite / "lake" / name
        file.write_bytes(b"no database at all" * 1000)
    yield


@contextlib.contextmanager
def damaged_artifact(suite: Path) -> Iterator[None]:
    for file in (suite / "lake/artifacts").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    yield


#: Far longer than a command takes that waits for locks for a tenth of a second, also where many other processes work.
PATIENCE_S = 120
LOCK = """
import sqlite3, sys, time
held = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
for one in held:
    one.execute("PRAGMA locking_mode = EXCLUSIVE")
    one.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def locked_catalogue(suite: Path) -> Iterator[None]:
    """Another program holds the catalogue, and does not let go of it."""
    files = [str(suite / "lake" / name) for name in ("catalogue.sqlite", "operations.sqlite")]
    command = [sys.executable, "-c", LOCK, *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "locked\n"
            yield
        finally:
            other.kill()


#: What is tried where most commands meet nothing of it, or what lost files or rights show too, or wait;
#: ALMANAC_ALL_BREAKAGES=1 tries all.
OF_DATA = {"run", "query", "diff", "doctor", "train", "upkeep", "evaluate"}
OF_ARTIFACTS = {"run", "diff", "models bench", "models show", "reproduce", "status"}
OF_LOCKS = {"status", "query", "plan", "tick", "promote", "run", "ingest"}
FEW = {
    "every data file is damaged": OF_DATA,
    "the artifact is damaged": OF_ARTIFACTS,
    "the catalogue is locked": OF_LOCKS,
}
Breakage = Callable[[Path], contextlib.AbstractContextManager[None]]
BREAKAGES: dict[str, tuple[Breakage, str]] = {
    "the disk is full": (full_disk, "disk|space|large"),
    "the lake may not be written to": (no_rights, "[Pp]ermission|read-?only|readonly|written|not permitted|rights"),
    "every data file is gone": (lost_files, "missing|gone|No such file|no such file|No files"),
    "every data file is damaged": (damaged_files, "damaged|magic bytes|Parquet|parquet|missing"),
    "the catalogue is damaged": (damaged_catalogue, "not a database|cannot be opened|not one that"),
    "the artifact is damaged": (damaged_artifact, "artifact|changed|missing"),
    "the catalogue is locked": (locked_catalogue, "locked|lock"),
}


@pytest.fixture
def shop(_published: Path) -> Iterator[Path]:
    """A copy that others may look into; pytest's own directories are closed to them."""
    with tempfile.TemporaryDirectory(prefix="almanac-shop-") as directory:
        Path(directory).chmod(0o755)
        root = Path(directory) / "shop"
        shutil.copytree(_published, root)
        (root / "schedules.yaml").write_text(SCHEDULE)
        (root.parent / "policies.yaml").write_text("policies: {never: {jobs: {}}}")
        almanac(root, "tick", "--now", "2026-04-09")
        # What that opened is kept, and would wait for locks as long as it was told to then.
        Lake(root / "lake").close()
        yield root


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_every_command_says_what_is_broken(shop: Path, breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, "0.1")
    begin, words = BREAKAGES[breakage]
    wrong, failed = [], 0
    with begin(shop):
        for name, arguments in COMMANDS.items():
            few = FEW.get(breakage)
            if few is not None and name not in few and "ALMANAC_ALL_BREAKAGES" not in os.environ:
                continue
            began = time.monotonic()
            beside = {"BACKUPS": "backups", "SITE": "site", "POLICIES": "policies.yaml"}
            given = [str(shop.parent / beside[word]) if word in beside else word for word in arguments]
            done = almanac(shop, *name.split()[: 1 + name.startswith(("models ", "alarms "))], *given)
            said = done.stderr
            failed += done.returncode == 1
            if "Traceback" in said or "should not happen" in said or done.returncode not in (0, 1, 2):
                wrong.append(f"{name}: {done.returncode}: {said[-1500:]}")
            elif done.returncode == 1 and not re.search(words, said + done.stdout):
                wrong.append(f"{name}: says nothing of it: {said[-700:]} {done.stdout[-300:]}")
            elif time.monotonic() - began > PATIENCE_S:
                wrong.append(f"{name} took {time.monotonic() - began:.0f} s")
    assert not wrong, "\n".join(wrong)
    assert failed


def test_the_table_of_commands_is_whole() -> None:
    from typer.main import get_command

    from jobs.cli import whole_app

    known = set(get_command(whole_app()).commands)  # type: ignore[attr-defined]
    assert known - OTHERS <= {name.split()[0] for name in COMMANDS}
    for group in ("models", "alarms", "rollout"):
        names = set(get_command(whole_app()).commands[group].commands)  # type: ignore[attr-defined]
        assert {f"{group} {name}" for name in names - {"list"}} <= set(COMMANDS)


def test_how_long_to_wait_for_a_lock_is_a_number_of_seconds(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, "a while")
    done = almanac(shop, "status")
    assert done.returncode == 2
    assert "ALMANAC_WAIT_S is `a while`; give a number of seconds" in done.stderr


def test_what_was_published_is_there_after_a_full_disk_and_without_rights(shop: Path) -> None:
    of_page = "SELECT * FROM predictions.late_order ORDER BY ALL"
    before = rows(open_suite(shop, clock_at(NOW)), of_page)
    for begin in (full_disk, no_rights):
        with begin(shop):
            for name in ("run", "backfill", "promote"):
                assert almanac(shop, name, *COMMANDS[name]).returncode == 1
    assert rows(open_suite(shop, clock_at(NOW)), of_page) == before


def _catches(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    ("number", "after_s"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGTERM, 0.1), (signal.SIGINT, 0.3), (signal.SIGTERM, 0.7)],
)
def test_a_signal_in_the_first_second_is_answered_with_a_sentence(
    shop: Path, after_s: float, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "jobs", "--suite", str(shop), "plan"]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # Python itself runs for some hundredths of a second before anything of ours does; then SIGTERM has a handler.
    while not _catches(worker.pid, signal.SIGTERM):
        assert worker.poll() is None
        time.sleep(0.001)
    time.sleep(after_s)
    worker.send_signal(number)
    _, errors = worker.communicate(timeout=240)
    assert "Traceback" not in errors
    assert worker.returncode in (0, 130)
    assert worker.returncode == 0 or "almanac: stopped" in errors


def test_a_fault_of_ours_is_said_to_be_one_and_shown_with_debug(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr("jobs.suites.status.status", fault)
    done = almanac(shop, "status")
    assert done.returncode == 1
    assert "is a fault of Almanac: KeyError: 'nobody thought of it'" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(KeyError):
        almanac(shop, "status", "--debug")


def test_errors_of_the_system_are_told_by_their_kind() -> None:
    assert explain(OSError(28, "No space left on device", "x")).startswith("the disk is full: ")
    assert explain(PermissionError(13, "Permission denied", "x")).startswith("a file of the lake may not be read")
    assert explain(FileNotFoundError(2, "No such file or directory", "/shop/lake/data/x")).startswith("a data file of")
    assert "backup" not in explain(FileNotFoundError(2, "No such file or directory", "/home/us/.cache/almanac/x"))
    assert explain(MemoryError()).startswith("memory does not suffice")
    assert "fault of Almanac" in explain(ValueError("x"))
