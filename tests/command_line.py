"""`almanac`, run in this process: to start one and import everything again takes longer than most commands do."""

from __future__ import annotations

import contextlib
import gc
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn

# Where it is not imported yet, `main` keeps it out, and DuckDB would not ask for it again.
import pandas  # noqa: F401
import pytest

from jobs.cli import main
from jobs.cli.options import State


def almanac(suite: Path, *arguments: str) -> CompletedProcess[str]:
    """Run a command line, from its arguments to its exit code; gives what a process of its own would leave."""
    command = ["almanac", "--suite", str(suite), *arguments]
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        _put_back(command),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        pytest.raises(SystemExit) as end,
    ):
        main()
    assert isinstance(end.value.code, int)
    said = (stream.buffer.getvalue().decode() for stream in (stdout, stderr))  # type: ignore[attr-defined]
    return CompletedProcess(command, end.value.code, *said)


def said(suite: Path, *arguments: str) -> str:
    """Give what a command that succeeds prints."""
    done = almanac(suite, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def _put_back(command: list[str]) -> Iterator[None]:
    """Let this process have another's arguments, and then what a command leaves to the end of its process."""
    collecting = gc.get_threshold()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command)
        for name in ("suite", "owns_process", "debug"):
            patch.setattr(State, name, getattr(State, name))
        # A signal ends the process of a command, at once and with 130; here that would be all tests that are left.
        patch.setattr("jobs.cli.watch_signals", lambda: None)
        patch.setattr("jobs.cli._stop", _stop)
        yield
    gc.set_threshold(*collecting)


def _stop() -> NoReturn:
    raise KeyboardInterrupt
