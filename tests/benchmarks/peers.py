"""Other tools that score the same rows with the same model, each in an environment and a process of its own.

An environment is made on first use, with pip, under the user's cache directory (or `ALMANAC_PEERS`), and used again.
A peer that cannot be installed or started is left out, and the reason printed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

WORKER = Path(__file__).with_name("peer_worker.py")
INSTALL_TIMEOUT_S = 1800
#: What each peer needs beside scikit-learn and skops, of the versions that train the model here.
PEERS: dict[str, tuple[str, ...]] = {
    "pandas": ("pandas", "pyarrow"),
    "polars": ("polars", "pyarrow"),
    "mlflow": ("mlflow", "pandas", "pyarrow"),
    "daft": ("daft", "pyarrow"),
    "spark": ("pyspark>=4,<5", "pandas", "pyarrow"),
}


class PeerMissing(Exception):
    """A peer cannot take part; the message says why."""


def peers_directory() -> Path:
    if chosen := os.environ.get("ALMANAC_PEERS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "almanac" / "peers"


def environment(name: str, packages: Sequence[str] = ()) -> Path:
    """Give the Python of a peer's environment, made if need be.

    Parameters
    ----------
    packages
        What it needs, if it is none of `PEERS`: then nothing of what scores models.

    Raises
    ------
    PeerMissing
        If pip cannot install it, with the last line that pip said.
    """
    if name == "spark" and shutil.which("java") is None:
        raise PeerMissing("there is no `java` on the path")
    same = [f"{package}=={version(package)}" for package in ("scikit-learn", "skops", "numpy")]
    needed = [*packages] or [*PEERS[name], *same]
    wanted = "\n".join(needed)
    directory = peers_directory() / name
    python, note = directory / "bin" / "python", directory / "installed.txt"
    if note.exists() and note.read_text() == wanted:
        return python
    shutil.rmtree(directory, ignore_errors=True)
    print(f"installing {name} in {directory} ...", flush=True)
    for command in (
        [sys.executable, "-m", "venv", str(directory)],
        [str(python), "-m", "pip", "install", "--quiet", *needed],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing was said"]
            raise PeerMissing(f"{' '.join(command[1:4])} failed: {said[-1]}")
    note.write_text(wanted)
    return python


@dataclass
class Peer:
    """A running peer: it reads the rows, scores them and writes a file, as often as it is asked to."""

    name: str
    versions: str
    process: subprocess.Popen[str]

    def run(self) -> str:
        """Score once; give what the worker answers.

        Raises
        ------
        PeerMissing
            If it fails.
        """
        return _ask(self.process)

    def close(self) -> None:
        _close(self.process)


def start_peer(name: str, rows: Path, model: Path, out: Path, columns: Sequence[str], log: Path) -> Peer:
    """Start a peer; it has loaded its libraries and the model when this returns.

    Parameters
    ----------
    rows
        A Parquet file with `id` and the columns.
    model
        A skops file of a classifier.
    out
        Where the predictions go: a file, or a directory.
    log
        Where it writes what else it says.

    Raises
    ------
    PeerMissing
        If it cannot be installed or started.
    """
    given = [str(rows), str(model), str(out), ",".join(columns)]
    return start_worker(name, environment(name), WORKER, given, log)


def start_worker(name: str, python: Path, worker: Path, given: Sequence[str], log: Path) -> Peer:
    """Start a program in a peer's environment; it has loaded what it needs when this returns.

    It is handed the peer's name and what is `given`, says its versions, and answers a line for each that it is sent.

    Raises
    ------
    PeerMissing
        If it ends before.
    """
    with log.open("w") as said:
        process = subprocess.Popen(
            [str(python), str(worker), name, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            cwd=log.parent,
            # Without it, OpenMP's threads spin on a busy machine, and scikit-learn is ten times slower.
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
    try:
        return Peer(name, _answer(process), process)
    except PeerMissing as error:
        _close(process)
        lines = [line for line in log.read_text().splitlines() if line.strip()] or [str(error)]
        raise PeerMissing(lines[-1]) from error


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _close(process: subprocess.Popen[str]) -> None:
    _pipe(process.stdin).close()
    process.wait(60)
    _pipe(process.stdout).close()


def _ask(process: subprocess.Popen[str]) -> str:
    _pipe(process.stdin).write("run\n")
    _pipe(process.stdin).flush()
    return _answer(process)


def _answer(process: subprocess.Popen[str]) -> str:
    """Give what the worker answers; other lines on its standard output are its libraries' chatter."""
    for line in _pipe(process.stdout):
        if line.startswith("almanac-peer: "):
            return line.removeprefix("almanac-peer: ").strip()
    raise PeerMissing(f"it ended with exit code {process.wait()}")
