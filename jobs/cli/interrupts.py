"""Ctrl-C and SIGTERM: what drops what is in hand, and that it ends the process soon, whatever DuckDB is doing.

In a backfill the first Ctrl-C lets it finish the batch in hand and the second one drops that; SIGTERM drops at once,
and of every other command so does the first Ctrl-C. Python runs no handler while its main thread is inside one call of
DuckDB's, and threads that compute pages hear of no signal at all; so signals are also told to a thread that watches,
which interrupts every query, and ends the process where that is of no use.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

import typer

from warehouse.errors import Dropped

STOPPED = "stopped; what was committed stays, and nothing else does."


class Interrupts:
    """A context in which the first Ctrl-C only makes `asked_to_stop` true; the next one ends the job as ever."""

    #: The one that is in force.
    current: Interrupts | None = None

    def __init__(self, in_hand: str, say_what_was_kept: Callable[[], None]) -> None:
        """Take note of what is said to be finished, such as `the batch in hand`, and what says what becomes of it."""
        self._in_hand, self.say_what_was_kept = in_hand, say_what_was_kept
        self._asked = False
        self._before: Any = None
        #: How often the watching thread heard of Ctrl-C.
        self.n_heard = 0

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._hear)
        Interrupts.current = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Interrupts.current = None
        signal.signal(signal.SIGINT, self._before)

    def asked_to_stop(self) -> bool:
        """Tell whether Ctrl-C was pressed."""
        return self._asked

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise Dropped
        self._asked = True
        typer.echo(f"\nalmanac: finishing {self._in_hand}; Ctrl-C again drops it.", err=True)


def watch_signals() -> None:
    """Begin to watch, in a process that runs one command."""
    told, teller = socket.socketpair()
    teller.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminate)
    signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
    # The thread holds both ends open.
    threading.Thread(target=_watch, args=(told, teller), name="watching signals", daemon=True).start()


def _terminate(number: int, frame: FrameType | None) -> None:
    # Not KeyboardInterrupt, which Typer ends without a word.
    raise Dropped


def _watch(told: socket.socket, _: socket.socket) -> None:
    while numbers := told.recv(64):
        if any(_drops(number) for number in numbers):
            from warehouse.queries.running import drop_everything, end_process

            drop_everything()
            if (interrupts := Interrupts.current) is not None:
                interrupts.say_what_was_kept()
                end_process("", 130)
            end_process(STOPPED, 130)


def _drops(number: int) -> bool:
    """Tell whether a signal drops what is in hand; the daemon and others have handlers of their own."""
    if number == signal.SIGINT and (interrupts := Interrupts.current) is not None:
        interrupts.n_heard += 1
        return interrupts.n_heard > 1
    return number in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is _terminate
