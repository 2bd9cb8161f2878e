"""A wake-up: whoever waits by it is woken when somebody rings, and a signal handler may ring it."""

from __future__ import annotations

import contextlib
import queue


class WakeUp:
    """Rung from any thread and any signal handler; one thread waits by it.

    A `threading.Event` would not do: it takes a lock, and a signal may come just while the waiting thread, in which the
    handler runs, holds that lock. `queue.SimpleQueue.put` is made to be called at any moment.
    """

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """Wake whoever waits, or spare the next wait."""
        self._rings.put(None)

    def wait(self, timeout_s: float) -> None:
        """Wait for a ring since the last wait, but no longer than so many seconds; many rings are one."""
        with contextlib.suppress(queue.Empty):
            self._rings.get(timeout=timeout_s)
            while True:
                self._rings.get_nowait()
