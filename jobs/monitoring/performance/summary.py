"""Judgements told to people: the pages of a range, by segment, and what is expected of those without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from jobs.monitoring.performance.alarms import in_words
from jobs.monitoring.performance.estimate import Estimate, estimate
from jobs.monitoring.performance.judge import Judgement
from jobs.monitoring.performance.records import Performance

#: So many of the newest pages are shown where no range is asked for.
SHOWN = 14


@dataclass(frozen=True)
class Summary:
    """What is shown of a range of pages.

    Attributes
    ----------
    pages
        One row a page and version, oldest first.
    segments
        Of each value of the segment column that was asked for, its figures over all matured pages of the range.
    notes
        Sentences: alarms of the range, and how much loss is expected of its pages without labels.
    """

    pages: list[Performance]
    segments: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def summary(
    judgement: Judgement, first: datetime | None = None, until: datetime | None = None, by: str | None = None
) -> Summary:
    """Choose the judgements of the pages with first <= as_of < until; without either the newest 14 pages.

    Parameters
    ----------
    by
        A segment column of `monitor.segments`.
    """
    judged = judgement.rows
    whole = [row for row in judged if row.segment is None]
    chosen = [row for row in whole if (first is None or row.as_of >= first) and (until is None or row.as_of < until)]
    if first is None and until is None:
        chosen = chosen[-SHOWN:]
    notes = [judgement.note] if judgement.note else []
    notes += [f"performance alarm on the page {row.as_of}: {in_words(row)}." for row in chosen if row.alarm]
    for version in dict.fromkeys(row.model_version for row in chosen):
        past = [row.excess for row in whole if row.model_version == version and row.excess is not None]
        held_out = judgement.held_out.get(version, np.empty(0))
        notes += _of_young([row for row in chosen if row.model_version == version], np.append(held_out, past))
    return Summary(chosen, _by_segment(judged, {row.as_of for row in chosen}, by) if by else [], notes)


def _of_young(rows: Sequence[Performance], past: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    young = [row for row in rows if not row.is_mature and row.expected_loss is not None]
    if not young:
        return []
    withheld = [row.withheld for row in young if row.withheld]
    count = "1 page" if len(young) == 1 else f"{len(young)} pages"
    what = f"{count} of {young[0].model_version} without all labels"
    if withheld:
        return [f"{what}; their loss is not estimated: {withheld[0]}."]
    expected, sizes = [row.expected_loss or 0.0 for row in young], [float(row.n_rows) for row in young]
    found: Estimate | None = estimate(np.array(expected), np.array(sizes), past)
    if found is None:
        return [f"{what}."]
    return [f"{what}; their loss is estimated at {found.value:.4f}, between {found.low:.4f} and {found.high:.4f}."]


def _by_segment(judged: Sequence[Performance], pages: set[datetime], by: str) -> list[dict[str, Any]]:
    """Add up the matured pages of each value, weighted by labelled rows."""
    found: dict[str | None, list[Performance]] = {}
    for row in judged:
        if row.segment == by and row.as_of in pages and row.is_mature and row.loss is not None:
            found.setdefault(row.segment_value, []).append(row)
    rows = []
    for value, each in found.items():
        weights = np.array([one.n_labelled for one in each], np.float64)
        figures = {
            name: float(np.average([getattr(one, name) for one in each], weights=weights))
            for name in ("loss", "expected_loss", "excess")
            if all(getattr(one, name) is not None for one in each)
        }
        rows.append({by: value, "pages": len(each), "labelled": int(weights.sum()), **figures})
    return sorted(rows, key=lambda row: (-row["labelled"], str(row[by])))
