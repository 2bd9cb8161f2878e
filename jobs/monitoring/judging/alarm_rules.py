"""Alarms that come of what was found: when one is opened, what it is about, and when it is over.

Acute findings of one page, and of pages fewer than 4 apart, are one alarm; it is over with the fourth page in turn
without one. Slow drift is an alarm when the evidence reaches the bound, and over when 28 pages have passed with under
a tenth of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.monitoring import acute, slow
from jobs.monitoring.segments import SEGMENT
from warehouse.definitions import Product
from warehouse.ledger.alarms import ACUTE, CLOSED, DRIFT, OPEN, Alarm, alarm_id

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jobs.monitoring.series import Series
    from jobs.monitoring.watched import Watch, Watched

    Flags = npt.NDArray[np.bool_]

#: So many columns are named in a sentence.
_NAMED = 3


def alarms_found(
    product: Product, pages: Sequence[datetime], found: Watch, expected: Mapping[datetime, str]
) -> list[Alarm]:
    """Give the alarms that a product has had and has, as they stand after its last page; the oldest first."""
    runs = acute.joined(found.flagged)
    flagged = _flagged(found) if runs else []
    acutely = [_acute(product, pages, found, run, expected, flagged) for run in runs]
    slowly = [_slow(product, pages, found, alarm) for alarm in found.evidence.alarms]
    return sorted([*acutely, *slowly], key=lambda one: (one.first_page, one.kind))


def _flagged(found: Watch) -> list[tuple[Watched, str, Flags]]:
    """Give the columns and rules that flag pages, and those that count; most columns flag none."""
    flagged = []
    for one in found.columns:
        segment = one.series.segment
        for rule, flags in one.flags.items():
            if flags.any():
                counts = flags & one.counts
                if segment is not None and found.segments is not None:
                    counts &= found.segments.flags_of(segment)
                flagged.append((one, rule, counts))
    return flagged


def _acute(
    product: Product,
    pages: Sequence[datetime],
    found: Watch,
    run: list[int],
    expected: Mapping[datetime, str],
    flagged: Sequence[tuple[Watched, str, Flags]],
) -> Alarm:
    columns: Counter[str] = Counter()
    by_rule: dict[str, list[str]] = {}
    for one, rule, flags in flagged:
        n_pages = int(flags[run].sum())
        if n_pages:
            columns[one.series.column] += n_pages
            by_rule.setdefault(rule, []).append(_named(one.series))
    if found.volume[run].any():
        by_rule["volume"] = []
    is_in_segment = found.segments is not None and bool(found.segments.flags[:, run].any())
    days = [expected.get(pages[place]) for place in run]
    is_over = len(pages) - 1 - run[-1] >= acute.APART
    return Alarm(
        alarm_id=alarm_id(product.name, ACUTE, pages[run[0]]),
        product=product.name,
        kind=ACUTE,
        state=CLOSED if is_over else OPEN,
        first_page=pages[run[0]],
        last_page=pages[run[-1]],
        since=pages[run[0]],
        expected=days[0] if all(days) else None,
        columns=[name for name, _ in sorted(columns.items(), key=lambda each: (-each[1], each[0]))],
        flags=[*by_rule, *([SEGMENT.name] if is_in_segment else [])],
        effect=_effect(product, found, run[-1]),
        message=f"{_said(by_rule)}; on {len(run)} page{'s' if len(run) > 1 else ''}",
    )


def _slow(product: Product, pages: Sequence[datetime], found: Watch, alarm: slow.SlowAlarm) -> Alarm:
    series = [found.columns[row].series for row in alarm.columns]
    columns = list(dict.fromkeys(one.column for one in series))
    named = _names([_named(one) for one in series])
    over = slow.quiet_since(found.evidence.product, found.bound, alarm.page)
    return Alarm(
        alarm_id=alarm_id(product.name, DRIFT, pages[alarm.page]),
        product=product.name,
        kind=DRIFT,
        state=OPEN if over is None else CLOSED,
        first_page=pages[alarm.page],
        last_page=pages[over if over is not None else len(pages) - 1],
        since=pages[alarm.since],
        columns=columns,
        evidence=alarm.evidence,
        bound=found.bound,
        effect=_effect(product, found, alarm.page),
        message=f"{named} differ more from page to page than before, since {pages[alarm.since]}",
    )


def _effect(product: Product, found: Watch, page: int) -> float | None:
    """Give by how much the predictions of a page have moved, in their standard deviation."""
    for one in found.columns:
        series = one.series
        if (series.kind, series.column, series.segment) == ("predictions", product.score_column, None):
            places = (one.series.pages == page).nonzero()[0]
            if len(places) and (moved := float(one.scores.w1[places[0]])) == moved:
                return moved
    return None


def _said(by_rule: Mapping[str, Sequence[str]]) -> str:
    words = {
        "shape": "the distribution of {}",
        "level": "the level of {}",
        "missing": "missing values of {}",
        "spread": "the spread of {}",
        acute.STALE: "{} come again unchanged",
        "volume": "the number of rows",
    }
    return "; ".join(words[rule].format(_names(columns)) for rule, columns in by_rule.items())


def _named(series: Series) -> str:
    """Name a column, and the segment where it is of one."""
    return series.column if series.segment is None else f"{series.column} in {series.segment}"


def _names(columns: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(columns))
    more = len(distinct) - _NAMED
    return ", ".join(distinct[:_NAMED]) + (f" and {more} more" if more > 0 else "")
