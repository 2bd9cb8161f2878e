"""What processes of shards do in tests that kill them; it imports little, since each of them imports it."""

from __future__ import annotations

import os
import signal
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.pages.shards.tasks import Done, Task

#: Names a directory in which it is left that a process was killed.
KILLED = "ALMANAC_TEST_KILLED"


def killed_once(pipe: Connection) -> None:
    """Serve as a process does, but for the first one, which is killed with a task in its hands."""
    pipe.poll(None)
    try:
        (Path(os.environ[KILLED]) / "killed").mkdir()
    except FileExistsError:
        from jobs.pages.shards.processes import serve

        serve(pipe)
        return
    os.kill(os.getpid(), signal.SIGKILL)


def killed_always(pipe: Connection) -> None:
    """Be killed with a task in hand."""
    pipe.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)


def executor_killed_once(packed: bytes, task: Task) -> Done:
    """Do a task of Spark's; the executor of the first one is killed, and with it goes this process."""
    return _killed_once("killed", packed, task)


def done_twice(packed: bytes, task: Task) -> Done:
    """Do the same once the first task has written its files: it is done again, as a duplicate attempt would."""
    return _killed_once("written", packed, task)


def _killed_once(when: str, packed: bytes, task: Task) -> Done:
    from jobs.pages.shards.tasks import run_task

    try:
        (Path(os.environ[KILLED]) / when).mkdir()
    except FileExistsError:
        return run_task(packed, task)
    if when == "written":
        run_task(packed, task)
    # This process was forked by Spark's daemon, and that is the executor's.
    status = Path(f"/proc/{os.getppid()}/status").read_text()
    executor = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
    assert b"Executor" in Path(f"/proc/{executor}/cmdline").read_bytes(), "nobody else is killed"
    os.kill(executor, signal.SIGKILL)
    signal.pause()
    raise AssertionError("it goes with its executor")


def lingers_once(packed: bytes, task: Task) -> Done:
    """Do a task; the first attempt of the first one writes its files and does not end before another did it too."""
    from jobs.pages.shards.tasks import run_task

    place = Path(os.environ[KILLED])
    name = f"{task.step} {task.as_of} {task.shard.i}"
    try:
        (place / "lingers").mkdir()
    except FileExistsError:
        done = run_task(packed, task)
        if (place / "lingers" / name).exists():
            _say_host(place / "again")
        return done
    done = run_task(packed, task)
    _say_host(place / "lingers" / name)
    while not (place / "again").exists():
        time.sleep(0.05)
    return done


def _say_host(file: Path) -> None:
    """Leave word on which host this was done."""
    whole = file.with_name(f".{file.name}")
    whole.write_text(socket.gethostname())
    whole.rename(file)
