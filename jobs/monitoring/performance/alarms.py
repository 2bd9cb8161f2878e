"""Alarms on performance: found in the judgements of pages, and kept with the others in `ledger.alarms`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobs.monitoring.performance.evidence import FAR_OFF, FEW, IN_TURN
from jobs.monitoring.performance.records import Performance
from warehouse.ledger.alarms import CLOSED, OPEN, PERFORMANCE, Alarm, alarm_id

#: What an alarm is flagged with that would be none without its three largest pages.
FEW_PAGES = "few pages"


def alarms_in(rows: Sequence[Performance]) -> list[Alarm]:
    """Give the alarms of the judgements of one product, with how they stand after the last of them.

    While one is open, evidence that reaches the bound again is more of the same; but one that was the work of few pages
    is so no more once it does that without them: what is far off from one page on needs few pages to begin.
    """
    found: list[Alarm] = []
    for version in dict.fromkeys(row.model_version for row in rows):
        current: Alarm | None = None
        for row in rows:
            if row.model_version != version or row.segment is not None or row.evidence is None:
                continue
            if row.alarm and current is None:
                current = _alarm(row)
            elif current is not None and row.alarm_open:
                current = replace(current, last_page=row.as_of)
                if row.alarm and FEW_PAGES in current.flags and not is_work_of_few_pages(row):
                    current = replace(current, flags=[], evidence=row.evidence, bound=row.bound, message=in_words(row))
            elif current is not None:
                found.append(replace(current, state=CLOSED))
                current = None
        found += [current] if current is not None else []
    return found


def is_work_of_few_pages(row: Performance) -> bool:
    """Tell whether the evidence would be under a fifth of the bound without the three pages that it owes most to."""
    return row.without_three is not None and row.bound is not None and row.without_three < FEW * row.bound


def in_words(row: Performance) -> str:
    """Say what the alarm that begins on a page means."""
    words = f"more loss than the predictions of {row.model_version} allow"
    if (row.evidence or 0.0) < (row.bound or 0.0):
        return (
            f"{words}: {IN_TURN} pages in turn are each more than {FAR_OFF:g} times as far off as pages differ by"
            f" chance; the excess of this one is {row.excess:,.4g}, where {row.expected_loss:,.4g} is expected"
        )
    words += f": a change, or a day that nobody saw coming; evidence {row.evidence:,.0f} of {row.bound:,.0f}"
    if row.largest_share is not None:
        words += f", {row.largest_share:.0%} of it by one page"
    return f"{words}. It is the work of few pages" if is_work_of_few_pages(row) else words


def _alarm(row: Performance) -> Alarm:
    return Alarm(
        alarm_id=alarm_id(row.product, PERFORMANCE, row.as_of),
        product=row.product,
        kind=PERFORMANCE,
        state=OPEN,
        first_page=row.as_of,
        last_page=row.as_of,
        flags=[FEW_PAGES] if is_work_of_few_pages(row) else [],
        evidence=row.evidence,
        bound=row.bound,
        message=in_words(row),
    )
