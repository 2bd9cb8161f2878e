"""A suite that is run day by day by the simulated clock: facts come file by file, and its jobs do what they do."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

from jobs.facts.ingest import ingest
from jobs.rehearsal.live import Life
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from tests.conftest import PRODUCT, clock_at

#: How long a training takes in this suite.
TAKES = timedelta(hours=3)
SCHEDULE = f"""
jobs:
  ingest: {{run: ingest, cron: "50 17 * * *"}}
  pages: {{run: {{predict: {PRODUCT}}}, cron: "0 18 * * *", after: ingest}}
  look: {{run: {{rollout: {PRODUCT}}}, cron: "0 18 * * *", after: pages}}
  again:
    run: {{retrain: {PRODUCT}}}
    cron: "0 19 * * *"
    when: {{any: [{{age: 4 days}}, {{performance: alarm}}, {{drift: alarm}}]}}
    cooldown: 2 days
"""
HEADER = """
rollout: {stages: [{shadow: {pages: 2}}, {canary: {share: 50%, pages: 2}}], margin: 0.5}
gates: {metrics: {log_loss: {at_most: 5}}, min_pages: 1, pages: 5}
"""
_FILES = {"orders": "ordered_at", "deliveries": "delivered_at"}


class Files:
    """The starter's facts, which come in a file a day: each has what became known since the one before."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heads: dict[str, list[str]] = {}
        self.rows: dict[str, list[tuple[datetime, list[str]]]] = {}
        for name, column in _FILES.items():
            path = root / "data" / f"{name}.csv"
            with path.open(newline="") as file:
                head, *rows = csv.reader(file)
            path.unlink()
            place = head.index(column)
            self.heads[name] = head
            self.rows[name] = sorted((datetime.fromisoformat(row[place]), row) for row in rows)

    def bring(self, now: datetime) -> None:
        """Write the files of now."""
        for name, rows in self.rows.items():
            news = [row for at, row in rows if at < now]
            self.rows[name] = [(at, row) for at, row in rows if at >= now]
            with (self.root / "data" / f"{name}-{now:%Y%m%d}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([self.heads[name], *news])


def lived_suite(root: Path, begin: datetime, end: datetime, since: str = "2026-02-01") -> Suite:
    """Live through some days, from the first ingestion on; gives the suite at the end of them.

    Its grid begins at `since`: the pages before `begin` are what the first version learns from.
    """
    make_starter(root)
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    text = header.read_text().replace("since: 2026-01-15", f"since: {since}").replace("5 days", "1 day")
    header.write_text(text + HEADER)
    (root / "schedules.yaml").write_text(SCHEDULE)
    files = Files(root)

    def deliver(suite: Suite, now: datetime) -> None:
        files.bring(now)
        ingest(suite)

    (root / "lake").mkdir()
    life = Life(root, TAKES, deliver)
    life.until(begin, end)
    life.close()
    # Before the first version there is nothing to write the first page with.
    assert len(life.failures) <= 1, life.failures
    return open_suite(root, clock_at(end))
