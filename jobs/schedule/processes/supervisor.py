"""The supervisor: a small process that starts one command and answers for every process that comes of it.

    python -I -S supervisor.py TIMEOUT_S PATIENCE_S LEASE_FD REPORT_FD COMMAND...

It ends only when the whole tree is gone. The tree is asked to stop (SIGTERM), and after PATIENCE_S made to (SIGKILL),
when the command has ended and left others behind, when it takes longer than TIMEOUT_S (0: no limit), when something
can be read from standard input, and when standard input ends, because whoever started the supervisor is gone. On Linux
processes that left the session are found as well (PR_SET_CHILD_SUBREAPER makes them the supervisor's children).

The lease, an open locked file, is inherited by the whole tree, so that it ends with its last process. How the
command ended is written to REPORT_FD as a line of JSON. What it has cost so far is written behind the first line of the
lease's file, again and again, so that it is known even if the supervisor, or whoever started it, is killed.

It imports nothing but the standard library, so as to start in some milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36
#: The cost is measured after one second, then after twice the time each, at last so often.
_MEASURED_EVERY_S = 30.0


def main(arguments: list[str]) -> None:
    """Keep one command until nothing of it is left."""
    timeout_s, patience_s = float(arguments[0]), float(arguments[1])
    lease_fd, report_fd = int(arguments[2]), int(arguments[3])
    on_linux = sys.platform == "linux"
    if on_linux:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    began = time.monotonic()
    try:
        command = subprocess.Popen(arguments[4:], stdin=subprocess.DEVNULL, pass_fds=[lease_fd])
    except OSError as error:
        _report(report_fd, {"ended": "not started", "error": str(error)})
        return
    tree, place = _Tree(command.pid, on_linux), os.fstat(lease_fd).st_size

    def measure() -> dict[str, float]:
        cost = {"wall_s": time.monotonic() - began, **tree.cost()}
        # Of one length, so that a shorter line leaves nothing of a longer one.
        with contextlib.suppress(OSError):
            os.pwrite(lease_fd, json.dumps(cost).ljust(150).encode(), place)
        return cost

    ended, status = _watch(command.pid, woken, timeout_s, measure)
    command.returncode = 0  # it is reaped here, not there
    stopped = tree.stop(patience_s)
    cost = measure()
    _report(report_fd, {"ended": ended, "status": stopped if status is None else status, "cost": cost})


def _watch(pid: int, woken: int, timeout_s: float, measure: Callable[[], object]) -> tuple[str, int | None]:
    """Wait until the command ends, its time is up, or nobody wants it any more; measure now and then."""
    began = time.monotonic()
    deadline = began + timeout_s if timeout_s else None
    measured_at, rest_s = began, 1.0
    while True:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return "timeout", None
        if now >= measured_at + rest_s:
            measure()
            measured_at, rest_s = now, min(2 * rest_s, _MEASURED_EVERY_S)
        until = measured_at + rest_s
        if deadline is not None:
            until = min(until, deadline)
        readable, _, _ = select.select([0, woken], [], [], max(0.0, until - time.monotonic()))
        if 0 in readable:
            return "stopped", None
        if woken in readable:
            os.read(woken, 4096)
            statuses = _reap()
            if pid in statuses:
                return "exit", statuses[pid]


def _reap() -> dict[int, int]:
    """Take note of the children that have ended: exit codes, or minus the signal, by process."""
    found: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found[pid] = os.waitstatus_to_exitcode(status)


class _Tree:
    """What is left of the command."""

    def __init__(self, pid: int, on_linux: bool) -> None:
        self._pid, self._on_linux = pid, on_linux

    def pids(self) -> list[int]:
        """List the processes that descend from this one."""
        if not self._on_linux:
            try:
                os.kill(self._pid, 0)
            except OSError:
                return []
            return [self._pid]
        parents: dict[int, list[int]] = {}
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - pathlib would be a slow import
            try:
                fields = _stat_of(name)
            except OSError:
                continue
            if fields[0] != b"Z":
                parents.setdefault(int(fields[1]), []).append(int(name))
        found, waiting = [], [os.getpid()]
        while waiting:
            children = parents.get(waiting.pop(), [])
            found += children
            waiting += children
        return found

    def cost(self) -> dict[str, float]:
        """Add up what it has used: processes that were waited for, and on Linux those that go on."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * (1024 if self._on_linux else 1)
        for pid in self.pids() if self._on_linux else ():
            with contextlib.suppress(OSError, IndexError, ValueError):
                ticks = _stat_of(pid)[11:15]  # its own, and of children it waited for
                cpu_s += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
                with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
                    peak = max(peak, int(file.read().partition(b"VmHWM:")[2].split()[0]) * 1024)
        return {"cpu_s": cpu_s, "peak_memory_bytes": peak}

    def stop(self, patience_s: float) -> int | None:
        """Ask all of them to stop, wait, then make them; gives the command's status, if it ended only now."""
        status = None
        give_up = time.monotonic() + patience_s
        asked: set[int] = set()
        while pids := self.pids():
            late = time.monotonic() >= give_up
            for pid in pids:
                if late or pid not in asked:
                    _signal(pid, signal.SIGKILL if late else signal.SIGTERM)
            asked.update(pids)
            time.sleep(0.02)
            status = _reap().get(self._pid, status)
        return _reap().get(self._pid, status)


def _stat_of(pid: int | str) -> list[bytes]:
    """Give the fields of a process's /proc/PID/stat from its state on: a name may hold spaces and brackets."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib would be a slow import
        return file.read().rpartition(b")")[2].split()


def _signal(pid: int, number: int) -> None:
    # It may have ended, or belong to somebody else (sudo); then it is waited for.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _report(report_fd: int, ending: dict[str, object]) -> None:
    # If whoever started this is gone, that the lease ends now says enough.
    with contextlib.suppress(BrokenPipeError):
        os.write(report_fd, json.dumps(ending).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
