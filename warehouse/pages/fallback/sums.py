"""The sums of labels that go with a page, in `ledger.label_sums`: written and put back in the page's own commits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from warehouse.lake.lake import Commit
from warehouse.ledger.records import PageRecord
from warehouse.system_sql import exact_path, system_sql


@dataclass(frozen=True)
class LabelSums:
    """The staged sums of one page; of no page where the product asks for none, or an older page is made."""

    page: datetime | None = None
    file: Path | None = None

    def write(self, commit: Commit, published: Iterable[PageRecord]) -> None:
        """Write them, if the commit publishes the predictions of their page."""
        runs = [record.run_id for record in published if (record.kind, record.as_of) == ("predictions", self.page)]
        if self.file is not None and runs:
            commit.execute(system_sql("fallback/write"), [exact_path(self.file), runs[0]])


def put_back_sums(commit: Commit, record: PageRecord, run_id: str) -> None:
    """Let a page that is put back by a run have the sums of labels that it had."""
    commit.execute(system_sql("fallback/put_back"), [record.product, record.as_of, record.run_id, run_id])
