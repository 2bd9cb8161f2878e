"""Ctrl-C and SIGTERM: what drops what is in hand, and that it ends the process soon, whatever DuckDB is doing.

In a backfill the first of them lets it finish the batch in hand and the second one drops that; of every other command
the first one drops what is in hand. Python runs no handler while its main thread is inside one call of
DuckDB's, and threads that compute pages hear of no signal at all; so signals are also told to a thread that watches,
which interrupts every query, and ends the process where that is of no use.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from warehouse.errors import Dropped

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = "stopped; what was committed stays, and nothing else does."


class Interrupts:
    """A context in which the first signal only makes `asked_to_stop` true; the next one ends the job as ever."""

    #: The one that is in force.
    current: Interrupts | None = None

    def __init__(self, in_hand: str, say_what_was_kept: Callable[[], None]) -> None:
        """Take note of what is said to be finished, such as `the batch in hand`, and what says what becomes of it."""
        self._in_hand, self.say_what_was_kept = in_hand, say_what_was_kept
        self._asked = False
        self._before: list[Any] = []
        #: How often the watching thread heard of a signal.
        self.n_heard = 0

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._hear) for number in _SIGNALS]
        Interrupts.current = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Interrupts.current = None
        for number, before in zip(_SIGNALS, self._before, strict=True):
            signal.signal(number, before)

    def asked_to_stop(self) -> bool:
        """Tell whether Ctrl-C was pressed, or SIGTERM came."""
        return self._asked

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise Dropped
        self._asked = True
        again = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        # Not through Python's buffers: the signal may have come while something else was being written to them.
        os.write(2, f"\nalmanac: finishing {self._in_hand}; {again} again drops it.\n".encode())


def watch_signals() -> None:
    """Begin to watch, in a process that runs one command."""
    told, teller = socket.socketpair()
    teller.setblocking(False)
    for number in _SIGNALS:
        signal.signal(number, _terminate)
    signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
    # The thread holds both ends open.
    threading.Thread(target=_watch, args=(told, teller), name="watching signals", daemon=True).start()


def _terminate(number: int, frame: FrameType | None) -> None:
    # Not KeyboardInterrupt, which Typer ends without a word.
    raise Dropped


def _watch(told: socket.socket, teller: socket.socket) -> None:
    with told, teller:
        # It ends when nobody can tell it anything any more.
        while numbers := told.recv(64):
            if any(_drops(number) for number in numbers):
                _drop_and_end_whatever_happens()


def _drop_and_end_whatever_happens() -> None:
    try:
        _drop_and_end()
    except Exception:  # noqa: BLE001 - whatever it is, the process is to end
        # As while the process ends by itself, and modules are gone. It is said in the plainest way.
        os.write(2, f"almanac: {STOPPED}\n".encode())
        os._exit(130)


def _drop_and_end() -> None:
    from warehouse.queries.running import drop_everything, end_process

    drop_everything()
    if (interrupts := Interrupts.current) is not None:
        interrupts.say_what_was_kept()
        end_process("", 130)
    end_process(STOPPED, 130)


def _drops(number: int) -> bool:
    """Tell whether a signal drops what is in hand; the daemon and others have handlers of their own."""
    if number in _SIGNALS and (interrupts := Interrupts.current) is not None:
        interrupts.n_heard += 1
        return interrupts.n_heard > 1
    return number in _SIGNALS and signal.getsignal(number) is _terminate
