"""The suite as requests see it: its definitions as they were last right, and the lake in one transaction a request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.schedule.suite_clock import signature_of
from jobs.suite import Clock, Suite, open_suite
from jobs.web.parts.seen import Seen
from warehouse.errors import AlmanacError
from warehouse.ledger import records as ledger

#: So many of a product's newest pages have a file of their own in an export, unless told otherwise.
PAGES_OF_AN_EXPORT = 400


@dataclass
class OpenedSuite:
    """One suite that is looked at. Its files are read again when one of them has changed."""

    root: Path
    clock: Clock
    refused: tuple[str, ...] = ()
    _signature: str = ""
    _suite: Suite | None = None
    _memory: tuple[tuple[int, int], dict[str, Any]] = ((0, -1), {})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def suite(self) -> Suite:
        """Give the suite. After a wrong edit that is the last right one, and `refused` says what is wrong.

        Raises
        ------
        AlmanacError
            If its files are wrong, and were never right.
        """
        with self._lock:
            signature = signature_of(self.root)
            if self._suite is None or signature != self._signature:
                try:
                    self._suite, self.refused = open_suite(self.root, self.clock), ()
                except AlmanacError as error:
                    if self._suite is None:
                        raise
                    self.refused = (f"The suite's files are wrong; shown is what they said before.\n{error}",)
                self._signature = signature
            return self._suite

    @contextlib.contextmanager
    def seen(self, query: Mapping[str, str] | None = None, *, n_pages: int | None = None) -> Iterator[Seen]:
        """Open the lake for one request, or for an export of `n_pages` pages of each product: one transaction.

        Raises
        ------
        AlmanacError
            If there is no lake, or it cannot be read.
        """
        suite, now = self.suite(), self.clock()
        with suite.lake.reading() as connection:
            snapshot_id = ledger.newest_snapshot(connection)
            chosen = None
            if n_pages is not None:
                chosen = {
                    name: _newest(list(ledger.published_pages(connection, name, "predictions")), n_pages)
                    for name in suite.definitions.products
                }
            yield Seen(suite, connection, snapshot_id, now, query or {}, chosen, self._memory_of(suite, snapshot_id))

    def _memory_of(self, suite: Suite, snapshot_id: int) -> dict[str, Any]:
        """Give what is remembered of this state; a newer one begins anew."""
        with self._lock:
            if self._memory[0] != (id(suite), snapshot_id):
                self._memory = ((id(suite), snapshot_id), {})
            return self._memory[1]


def _newest(pages: list[datetime], n_pages: int) -> frozenset[datetime]:
    return frozenset(sorted(pages)[-n_pages:] if n_pages else [])
