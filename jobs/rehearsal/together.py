"""Pages of a policy that wait to be made together, as long as nothing looks at them.

Where facts came in bulk a page says the same whenever it is made. So pages wait until other work begins or ends, as a
training, or the question whether to train again, or for the end: made and judged together, as of when the newest of
them was due, they are the same rows, at a fraction of the cost, and whoever looks finds what he would have found. They
are written down, so that a life that was broken off goes on with them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from jobs.monitoring.judging.monitor import judge_published
from jobs.pages.predict import predict_pages
from jobs.schedule.files.schedule import Job, Schedule
from jobs.suite import Suite
from warehouse.errors import AlmanacError

_FILE = "waiting.json"


def may_wait(schedule: Schedule, *, has_rollout: bool) -> bool:
    """Tell whether pages may wait: each is made when it is due, and no rollout goes by what was served page by page."""
    return not has_rollout and all(_is_plain(job) for job in schedule.jobs.values())


def _is_plain(job: Job) -> bool:
    return job.ready_when is None and job.unless is None


@dataclass
class WaitingPages:
    """The pages of a product that wait, oldest first, when the newest was due, and how many before them failed."""

    root: Path
    product: str
    pages: Sequence[datetime] = ()
    n_failed: int = 0
    due_at: datetime = datetime.min

    @classmethod
    def of(cls, root: Path, product: str) -> WaitingPages:
        """Take up what a life in this suite has left."""
        try:
            said = json.loads((root / _FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(root, product)
        pages = [datetime.fromisoformat(page) for page in said["pages"]]
        return cls(root, product, pages, said["n_failed"], datetime.fromisoformat(said["due_at"]))

    def add(self, pages: Sequence[datetime], now: datetime) -> None:
        """Let pages wait that are due now."""
        self.pages, self.due_at = sorted({*self.pages, *pages}), now
        self._write()

    def make(self, suite: Suite) -> None:
        """Make and judge them, by the suite's clock; where they cannot be made together, each by itself."""
        product = self.product
        try:
            self.n_failed += _make(suite, product, self.pages)
        except (AlmanacError, duckdb.Error):
            self.n_failed += sum(_fails(suite, product, page) for page in self.pages)
        self.n_failed += len(judge_published(suite, [product]))
        self.pages = ()
        self._write()

    def _write(self) -> None:
        pages = [page.isoformat() for page in self.pages]
        said = {"pages": pages, "n_failed": self.n_failed, "due_at": self.due_at.isoformat()}
        new = self.root / f".{_FILE}"
        new.write_text(json.dumps(said), encoding="utf-8")
        new.replace(self.root / _FILE)


def _make(suite: Suite, product: str, pages: Sequence[datetime]) -> int:
    """Make pages; give how many a check has kept back."""
    return len(predict_pages(suite, suite.definitions.product(product), pages).rejected)


def _fails(suite: Suite, product: str, page: datetime) -> bool:
    try:
        return _make(suite, product, [page]) > 0
    except (AlmanacError, duckdb.Error):
        return True
