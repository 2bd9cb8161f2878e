"""What a run cost: seconds of the clock and of all cores, peak memory, rows and bytes; and whether it failed."""

from __future__ import annotations

import contextlib
import getpass
import os
import resource
import socket
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.suite import Suite, almanac_version
from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.ledger import records as ledger
from warehouse.ledger.deployments import require_deployed
from warehouse.ledger.records import PageRecord, RunRecord

#: Jobs that write what definitions say, and so run only those that are deployed, where that is required. A rollback, or
#: what only reads, needs no definition to be right.
BY_DEFINITIONS = frozenset(
    {"ingest", "features", "predict", "labels", "train", "retrain", "import", "export", "rollout", "monitor"}
)
#: So much of an error or of a check's messages stands beside a page in the ledger.
NOTE_CHARACTERS = 500


def who() -> str:
    """Name who runs this, as the ledger keeps it: the user, and after an @ the host."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


class RunMeter:
    """Started with a run; `record` gives its row for the ledger."""

    def __init__(self, suite: Suite, job: str, product: str | None = None) -> None:
        """Begin a run.

        Raises
        ------
        UsageError
            If the job goes by definitions, and those of the suite are not deployed where they have to be.
        """
        if job in BY_DEFINITIONS:
            require_deployed(suite.lake, suite.definitions)
        self._suite, self._job, self._product = suite, job, product
        self.started_at: datetime = suite.clock()
        self.run_id = f"{self.started_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._wall, self._cpu = time.monotonic(), cpu_seconds()

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
            cpu_s=cpu_seconds() - self._cpu,
            peak_memory_bytes=peak_memory_bytes(),
            host=socket.gethostname(),
            almanac_version=almanac_version(),
            # Of work that is for no product, the schedule knows who answers for it.
            owner=(product.header.owner if product else None) or os.environ.get("ALMANAC_OWNER"),
            team=(product.header.team if product else None) or os.environ.get("ALMANAC_TEAM"),
            lease=os.environ.get("ALMANAC_LEASE"),
            **figures,
        )

    def record_failed_pages(self, product: Product, job: str, pages: Sequence[datetime], error: RunFailed) -> None:
        """Note in the ledger that a run failed for all of its pages; if even that cannot be written, the error counts.

        `job` is predict, or features where only these were to be made.
        """
        suite = self._suite
        try:
            with suite.lake.commit(f"failed run {self.run_id}") as commit:
                failed = [
                    PageRecord(
                        product=product.name,
                        kind="predictions" if job == "predict" else "features",
                        as_of=as_of,
                        state="failed",
                        run_id=self.run_id,
                        definitions=suite.definitions.page_fingerprint(product),
                        ingest_id=0,
                        recorded_at=suite.clock(),
                        snapshot_id=commit.snapshot_id,
                        note=str(error)[:NOTE_CHARACTERS],
                    )
                    for as_of in pages
                ]
                ledger.append(commit, failed)
                figures = {"first_as_of": pages[0], "last_as_of": pages[-1], "n_pages": len(pages)}
                ledger.append(commit, [self.record("failed", error=str(error), **figures)])
        except (RunFailed, OSError):
            return


def peak_memory_bytes() -> int:
    """Give the most memory that this process has held."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        # On Linux ru_maxrss begins with that of whoever started the process, which may be much larger.
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def cpu_seconds() -> float:
    """Give the CPU seconds of this process, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
