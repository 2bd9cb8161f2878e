"""Ctrl-C, twice: the first one lets a job finish what it has in hand, the second one drops it."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

import typer


class Interrupts:
    """A context in which the first Ctrl-C only makes `asked_to_stop` true; the next one ends the job as ever."""

    def __init__(self, in_hand: str) -> None:
        """Take note of what is said to be finished, such as `the batch in hand`."""
        self._in_hand = in_hand
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def asked_to_stop(self) -> bool:
        """Tell whether Ctrl-C was pressed."""
        return self._asked

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        typer.echo(f"\nalmanac: finishing {self._in_hand}; Ctrl-C again drops it.", err=True)
