"""How a job tells what it is doing, without knowing who is listening."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of each step of a job. The command line shows a bar or plain lines."""

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        """A step begins; `total` is how many `unit` it will take, if that is known."""

    def advance(self, done: int = 1, rows: int = 0) -> None:
        """Some of the step is done: so many units, and so many rows."""

    def finish(self, summary: str = "") -> None:
        """The step has ended."""

    def warn(self, message: str) -> None:
        """Something that does not stop the job, but that its owner should know."""


class Silent:
    """Listens to nothing."""

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        """Take no notice."""

    def advance(self, done: int = 1, rows: int = 0) -> None:
        """Take no notice."""

    def finish(self, summary: str = "") -> None:
        """Take no notice."""

    def warn(self, message: str) -> None:
        """Take no notice."""
