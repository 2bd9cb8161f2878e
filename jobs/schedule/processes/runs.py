"""Runs as child processes, each under a supervisor, with leases that end when nothing of a run is left.

A run's lease (`warehouse.operations.leases`) is held by the scheduler until the end of the run is written down, and
by every process of the run's tree. The kernel releases it when the last of them is gone, however that came about,
so that a run whose lease is free and whose end is not in the tick store was abandoned.

What a run prints goes to `lake/logs/`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.schedule.decisions.ticks import Cost, Finished, Run
from jobs.schedule.files.redaction import redacted
from jobs.schedule.processes import supervisor
from jobs.schedule.processes.commands import command_of, environment_of
from warehouse.lake.lake import lake_of
from warehouse.operations.leases import OwnerLock, is_alive, note_of, sweep_owners

#: Between being asked to stop and being made to.
PATIENCE_S = 5.0
_TAIL_BYTES = 4096


def log_file(lake: Path, run: int, job: str) -> Path:
    """Give the file of a lake that takes what a run of a job prints."""
    return lake / "logs" / f"{run:07d}-{job}.log"


@dataclass
class _Child:
    run: Run
    process: subprocess.Popen[bytes]
    stopping: bool = False


@dataclass
class Children:
    """Starts runs as child processes of this one.

    Attributes
    ----------
    suite
        The suite's directory, in which they run.
    secrets
        Names of environment variables that children are not given.
    on_end
        Called, from another thread, whenever a run has ended.
    patience_s
        How long processes that are asked to stop have for it.
    """

    suite: Path
    secrets: Callable[[], Sequence[str]] = tuple
    on_end: Callable[[], None] = lambda: None
    patience_s: float = PATIENCE_S
    _leases: dict[str, OwnerLock] = field(default_factory=dict)
    _leases_of_runs: dict[int, str] = field(default_factory=dict)
    _children: dict[int, _Child] = field(default_factory=dict)
    _ended: dict[int, Finished] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def lake(self) -> Path:
        """The suite's lake, which has the leases and the logs."""
        return lake_of(self.suite).root

    def log_of(self, run: Run) -> Path:
        """Give the file that takes what a run prints."""
        return log_file(self.lake, run.run, run.job.name)

    def take_lease(self) -> str:
        """Take a new lease, and name it."""
        lock = OwnerLock(self.lake)
        self._leases[lock.owner.name] = lock
        return lock.owner.name

    def is_alive(self, lease: str) -> bool:
        """Tell whether a lease is held, by this process or any other.

        One that this process took and started nothing for is of a step that was not written down.
        """
        if lease in self._leases:
            return lease in self._leases_of_runs.values()
        return is_alive(self.lake, lease)

    def cost_of(self, lease: str) -> Cost | None:
        """Give what a run had cost when its supervisor last measured it; None if it never did."""
        with contextlib.suppress(ValueError, TypeError):  # whoever wrote it was killed at that
            return Cost(**json.loads(note_of(self.lake, lease)))
        return None

    def start(self, run: Run) -> None:
        """Start a run under a supervisor. One that cannot be started has failed."""
        self._leases_of_runs[run.run] = run.lease
        try:
            reader, child = self._spawn(run)
        except OSError as error:
            self._note(Finished(run.run, False, f"could not be started: {error}"))
            return
        with self._lock:
            self._children[run.run] = child
        threading.Thread(target=self._wait, args=(child, reader), daemon=True, name=f"run {run.run}").start()

    def _spawn(self, run: Run) -> tuple[int, _Child]:
        log = self.log_of(run)
        log.parent.mkdir(parents=True, exist_ok=True)
        timeout_s = run.job.timeout.total_seconds() if run.job.timeout else 0.0
        lease, (reader, writer) = self._leases[run.lease].descriptor, os.pipe()
        limits = [str(timeout_s), str(self.patience_s)]
        keep = [sys.executable, "-I", "-S", supervisor.__file__, *limits, str(lease), str(writer)]
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [*keep, *command_of(run, self.suite)],
                    stdin=subprocess.PIPE,
                    bufsize=0,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(lease, writer),
                    cwd=self.suite,
                    env=environment_of(run, self.suite, self.secrets()),
                    start_new_session=True,
                )
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return reader, _Child(run, process)

    def _wait(self, child: _Child, reader: int) -> None:
        with open(reader, "rb") as pipe:
            said = pipe.read()
        child.process.wait()
        if not said:
            # The supervisor was killed; its command is in the same process group, and must not outlive it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
        if child.process.stdin:
            child.process.stdin.close()
        report = json.loads(said) if said else {}
        cost = Cost(**report["cost"]) if "cost" in report else self.cost_of(child.run.lease)
        self._note(replace(self._ending(child, report), cost=cost))

    def _ending(self, child: _Child, said: dict[str, Any]) -> Finished:
        run, status = child.run, said.get("status")
        if said.get("ended") == "exit" and status == 0:
            return Finished(run.run, True)
        if child.stopping:
            return Finished(run.run, False, "stopped with its scheduler", interrupted=True)
        if said.get("ended") == "timeout":
            return Finished(run.run, False, f"took longer than its timeout of {run.job.timeout}")
        if said.get("ended") == "exit":
            how = f"exit {status}" if isinstance(status, int) and status >= 0 else f"killed by signal {status}"
            return Finished(run.run, False, f"{how}: {self._last_words(run)}".removesuffix(": "))
        return Finished(run.run, False, str(said.get("error") or "its supervisor was killed"))

    def _last_words(self, run: Run) -> str:
        """Give the last line that a run printed."""
        with contextlib.suppress(OSError), self.log_of(run).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
            return redacted(next((line.strip() for line in reversed(lines) if line.strip()), ""))[:500]
        return ""

    def _note(self, finished: Finished) -> None:
        with self._lock:
            self._ended[finished.run] = finished
        self.on_end()

    def finished(self) -> list[Finished]:
        """Give the runs that ended and whose leases are still held."""
        with self._lock:
            return list(self._ended.values())

    def let_go(self, run: int) -> None:
        """Forget a run whose end is written down; its lease ends now."""
        with self._lock:
            self._ended.pop(run, None)
            self._children.pop(run, None)
            lease = self._leases_of_runs.pop(run)
        self._leases.pop(lease).end()

    def running(self) -> int:
        """Count the runs that have not ended."""
        with self._lock:
            return len(self._children.keys() - self._ended.keys())

    def stop_all(self) -> None:
        """Stop every run with all its processes, and wait until they are gone; they are to be run again."""
        with self._lock:
            going = [child for number, child in self._children.items() if number not in self._ended]
        for child in going:
            child.stopping = True
            if child.process.stdin:
                with contextlib.suppress(OSError):
                    child.process.stdin.write(b"stop\n")
        give_up = time.monotonic() + self.patience_s + 5
        while self.running() and time.monotonic() < give_up:
            time.sleep(0.02)

    def sweep(self, before: datetime) -> None:
        """Clear away logs of before an instant (naive UTC), and what is left of leases that nobody holds any more."""
        for log in (self.lake / "logs").glob("*.log"):
            with contextlib.suppress(FileNotFoundError):
                if datetime.fromtimestamp(log.stat().st_mtime, UTC).replace(tzinfo=None) < before:
                    log.unlink()
        sweep_owners(self.lake, before)
