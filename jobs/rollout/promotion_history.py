"""What a product's promotions come to: which still stand, how far one reaches, and what taking one back changes.

Of the promotions in effect at a page, the one of the latest start decides who writes it. So a promotion reaches only
as far as the next one that names another version, and taking one back may not touch what others decide. Everything
here is worked out from the promotions alone; `jobs.rollout.promotion` reads and writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from warehouse.errors import UsageError
from warehouse.ledger import records as ledger
from warehouse.ledger.decisions import Decision
from warehouse.ledger.records import Promotion


@dataclass(frozen=True)
class Stretch:
    """The pages that a version writes by a decision: from `start` until, not including, `end` (None: without end).

    `next_version` is the version that writes from `end` on.
    """

    version: str
    start: datetime
    end: datetime | None = None
    next_version: str | None = None

    @property
    def said(self) -> str:
        """Say which pages those are, and who writes the later ones."""
        if self.end is None:
            return f"the pages from {self.start} on"
        return f"the pages from {self.start} to before {self.end}, where {self.next_version} takes over"


@dataclass(frozen=True)
class Undoing:
    """What takes a promotion back: the version that writes again, and from which instants on that must be said."""

    undone: Promotion
    before: Promotion
    starts: list[datetime]


def stretch(promotions: Sequence[Promotion], start: datetime, version: str) -> Stretch:
    """Give the pages that `version` writes without a break from `start` on, of which it was made live last."""
    for later in sorted({one.effective_from for one in promotions if one.effective_from > start}):
        found = ledger.model_in_effect(promotions, later)
        if found != version:
            return Stretch(version, start, later, found)
    return Stretch(version, start)


def standing_promotions(promotions: Sequence[Promotion]) -> list[Promotion]:
    """Give the promotions that have not been taken back, in the order of their making."""
    standing: list[Promotion] = []
    seen: set[int | None] = set()
    for promotion in promotions:
        if promotion.action != "rollback":
            standing.append(promotion)
        elif promotion.snapshot_id not in seen:  # one commit takes one promotion back, whatever pages that reaches
            seen.add(promotion.snapshot_id)
            undone = ledger.deciding_promotion(standing, promotion.effective_from)
            standing = [other for other in standing if other is not undone]
    return standing


def is_retired(made: Sequence[Decision], version: str) -> bool:
    """Tell whether a version was retired, and not promoted since."""
    newest = [one.action for one in made if one.version == version and one.taken and one.action != "train"][-1:]
    return newest == ["retire"]


def undoing(
    product: str, promotions: Sequence[Promotion], now: datetime, effective_from: datetime | None, not_before: datetime
) -> Undoing:
    """Work out what takes back the promotion that decides who writes the page of `now`.

    Parameters
    ----------
    effective_from
        From which page on; by default from where that promotion took effect.
    not_before
        The earliest page that the version before it may write: its label cut-off.

    Raises
    ------
    UsageError
        If there is nothing to go back to, or that promotion decides nothing from `effective_from` on.
    """
    undone, before = to_undo(product, promotions, now)
    start = max(effective_from or undone.effective_from, undone.effective_from, not_before)
    coming = [one for one in standing_promotions(promotions) if one.effective_from > now]
    reach = min(coming, key=lambda one: one.effective_from, default=None)
    if reach is not None and start >= reach.effective_from:
        raise UsageError(
            f"{product} goes back from {undone.version}, which writes the pages before {reach.effective_from};"
            f" those of {start} are {reach.version}'s by a promotion to come. Give an --effective-from before"
            f" {reach.effective_from}, or promote the version that you want there: almanac promote {product}"
            f" {before.version} --effective-from {reach.effective_from:%Y-%m-%dT%H:%M}"
        )
    # What was taken back before this took effect at later pages; these would else go on being decided by that.
    later = {one.effective_from for one in promotions if start < one.effective_from <= now}
    return Undoing(undone, before, [start, *sorted(later)])


def to_undo(product: str, promotions: Sequence[Promotion], now: datetime) -> tuple[Promotion, Promotion]:
    """Give the promotion that a rollback takes back, and the one that decides without it.

    Raises
    ------
    UsageError
        If there is none, or one has been taken back already for pages to come.
    """
    standing = standing_promotions(promotions)
    undone = ledger.deciding_promotion(standing, now)
    actual = ledger.deciding_promotion(promotions, now)
    if undone is not None and actual is not None and actual.version != undone.version:
        raise UsageError(
            f"{product} {actual.version} has been taken back already, for pages to come. To have {undone.version}"
            f" write earlier ones, promote it: almanac promote {product} {undone.version} --effective-from"
            f" {actual.effective_from:%Y-%m-%dT%H:%M}"
        )
    before = ledger.deciding_promotion([one for one in standing if one is not undone], now)
    if undone is None or before is None:
        there = f"{undone.version} is the first that was live" if undone else "no version is live"
        raise UsageError(f"{product} has nothing to go back to: {there}.")
    return undone, before
