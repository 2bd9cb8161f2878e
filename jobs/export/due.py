"""What a target is to get now: of the publications that wait, which go out, and which others made up for.

A target that holds what is current gets the newest publication alone. One that holds pages gets each page, in order of
as_of, as its newest publication has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from warehouse.ledger.exports import ExportRecord, OutboxRecord
from warehouse.ledger.records import PageRecord


@dataclass(frozen=True)
class Outgoing:
    """One publication that is to go out, with those that wait no longer once it has."""

    page: PageRecord
    alongside: tuple[OutboxRecord, ...] = ()

    def is_superseded(self, other: OutboxRecord) -> bool:
        """Tell whether another publication was made up for by this one, and did not go out with it."""
        return other.snapshot_id < self.page.snapshot_id


@dataclass(frozen=True)
class Asked:
    """What a person asked for: the newest publication even if nothing waits, or a certain page."""

    by_name: bool = False
    page: datetime | None = None


def outgoing(
    holds_pages: bool,
    waiting: Sequence[OutboxRecord],
    published: Sequence[PageRecord],
    earlier: Sequence[ExportRecord],
    asked: Asked,
) -> list[Outgoing]:
    """Choose what goes out to one target, in order.

    Parameters
    ----------
    holds_pages
        Whether the target holds pages, and not what is current.
    waiting, earlier
        What waits for this target, and what became of its exports so far, failures left out.
    published
        The newest publication of each page, of those that are published.
    asked
        What a person asked for.
    """
    if not published:
        return []
    by_page = {page.as_of: page for page in published}
    if not holds_pages:
        due = max((row.snapshot_id for row in waiting), default=0)
        found = [page for page in published if page.snapshot_id == due]
        if found:
            page = max(found, key=lambda page: page.as_of)
        elif waiting or asked.by_name or not earlier:
            page = _what_is_current(published, waiting)
        else:
            return []
        return [Outgoing(page, tuple(row for row in waiting if row.snapshot_id <= page.snapshot_id))]
    wanted = {row.as_of for row in waiting} & by_page.keys()
    if asked.page is not None:
        wanted = {asked.page} & by_page.keys()
    elif not wanted and (asked.by_name or not earlier):
        wanted = {max(by_page)}
    return [Outgoing(by_page[as_of], tuple(row for row in waiting if row.as_of == as_of)) for as_of in sorted(wanted)]


def _what_is_current(published: Sequence[PageRecord], waiting: Sequence[OutboxRecord]) -> PageRecord:
    """Give the newest page, as of the newest publication of any: older pages can hold rows that are current too.

    What waits for a page that is published no more, since its rows were lost, counts with them.
    """
    snapshot_id = max([page.snapshot_id for page in published] + [row.snapshot_id for row in waiting])
    recorded_at = max([page.recorded_at for page in published] + [row.recorded_at for row in waiting])
    return replace(max(published, key=lambda page: page.as_of), snapshot_id=snapshot_id, recorded_at=recorded_at)
