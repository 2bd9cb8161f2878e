"""What a run cost: seconds of the clock and of all cores, peak memory, rows and bytes."""

from __future__ import annotations

import os
import resource
import socket
import time
import uuid
from datetime import datetime
from typing import Any

from jobs.suite import Suite, almanac_version
from warehouse.ledger.records import RunRecord


class RunMeter:
    """Started with a run; `record` gives its row for the ledger."""

    def __init__(self, suite: Suite, job: str, product: str | None = None) -> None:
        self._suite, self._job, self._product = suite, job, product
        self.started_at: datetime = suite.clock()
        self.run_id = f"{self.started_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._wall, self._cpu = time.monotonic(), _cpu_seconds()

    @property
    def wall_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._wall

    def record(self, state: str, **figures: Any) -> RunRecord:
        """Give the ledger's row: `state` is succeeded, rejected or failed; `figures` are other columns of it."""
        product = self._suite.definitions.products.get(self._product or "")
        return RunRecord(
            run_id=self.run_id,
            job=self._job,
            product=self._product,
            state=state,
            started_at=self.started_at,
            finished_at=self._suite.clock(),
            wall_s=self.wall_s,
            cpu_s=_cpu_seconds() - self._cpu,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            host=socket.gethostname(),
            almanac_version=almanac_version(),
            # Of work that is for no product, the schedule knows who answers for it.
            owner=(product.header.owner if product else None) or os.environ.get("ALMANAC_OWNER"),
            team=(product.header.team if product else None) or os.environ.get("ALMANAC_TEAM"),
            lease=os.environ.get("ALMANAC_LEASE"),
            **figures,
        )


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
