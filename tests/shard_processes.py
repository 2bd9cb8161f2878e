"""What processes of shards do in tests that kill them; it imports little, since each of them imports it."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

#: Names a directory that is made when a process is killed.
KILLED = "ALMANAC_TEST_KILLED"


def killed_once(pipe: Connection) -> None:
    """Serve as a process does, but for the first one, which is killed with a task in its hands."""
    pipe.poll(None)
    try:
        Path(os.environ[KILLED]).mkdir()
    except FileExistsError:
        from jobs.pages.shards.processes import serve

        serve(pipe)
        return
    os.kill(os.getpid(), signal.SIGKILL)


def killed_always(pipe: Connection) -> None:
    """Be killed with a task in hand."""
    pipe.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)
