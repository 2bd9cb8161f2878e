"""Segments: the rows of a page with one value of a column, watched beside the page as a whole (`monitor.segments`).

They raise neither rate of false alarms. Of the evidence of slow drift half of the weight stays with the whole page, and
the segments share the other half. What is acute in segments is one more distance of the product: of each page the
largest of all distances over their own bounds, in any column of any segment. It is judged as others are, by how large
it has been on the pages before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobs.monitoring import acute
from jobs.monitoring.series import Series
from warehouse.definitions import Product
from warehouse.pages.profiling.segments_by import cold_name
from warehouse.system_sql import literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: A page is flagged if the largest distance over its own bound is over 1, and over so many times that of the pool.
SEGMENT = acute.Rule("segment", 1.5, 0.0)
#: After so many pages without rows a segment begins anew.
_GONE = acute.POOL + 1
#: So many series of segments are looked at at once: of more, what is in hand does not fit the caches.
_AT_ONCE = 8


@dataclass(frozen=True)
class Segments:
    """What was found of the segments of a product, of the watched pages.

    Attributes
    ----------
    names
        The segments.
    n_rows
        Of each on each page, 0 where it has no profile: int64 `(n_segments, n_pages)`.
    ratio
        The largest distance of its columns over their own bounds, NaN where none is known: `(n_segments, n_pages)`.
    bound
        What a ratio has to be over to be flagged, NaN while it is learning: `(n_pages,)`.
    flags
        Where it is: `(n_segments, n_pages)`.
    """

    names: list[str]
    n_rows: Integers
    ratio: Floats
    bound: Floats
    flags: Flags

    def flags_of(self, name: str) -> Flags:
        """Give the pages on which a segment is flagged."""
        flags: Flags = self.flags[self.names.index(name)]
        return flags


def watched_by(product: Product) -> list[str]:
    """Give what the segments of a product's pages are named after: columns, and the condition of `cold`."""
    named = cold_name(product)
    return [*product.header.monitor.segments, *([named] if named is not None else [])]


def is_of_columns(columns: Sequence[str]) -> str:
    """Give SQL of whether `segment` names one of the segments that some columns, or a condition, make."""
    names = [name.lower() for name in columns]
    made = [f"starts_with(lower(segment), {literal(f'{name} = ')})" for name in names]
    lost = [f"lower(segment) = {literal(f'{name} missing')}" for name in names]
    return f"({' OR '.join([*made, *lost]) or 'false'})"


def beside_wholes(series: Sequence[Series], parts: Iterable[Series]) -> Iterator[Series]:
    """Give the series of segments with the pages that the series of the whole pages have, one after the other.

    On pages on which a segment has no profile it has no rows. After a long time without any it is another series.
    """
    wholes = {_key(one): one for one in series}
    for one in parts:
        part = _with_centre(one, wholes)
        if _key(part) in wholes:
            yield from _pieces(part, wholes[_key(part)])


def alike(parts: Iterable[Series]) -> Iterator[list[Series]]:
    """Put together series of segments that can be looked at at once: of one column, and with the same pages."""
    import numpy as np

    group: list[Series] = []
    for one in parts:
        # Of categories each segment has others: side by side they would make a wider table.
        is_like = bool(group) and one.places is not None and _key(group[0]) == _key(one)
        is_like = is_like and np.array_equal(group[0].pages, one.pages)
        if group and (len(group) == _AT_ONCE or not is_like):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def wholes_of(series: Sequence[Series]) -> Integers:
    """Give, of each series of a segment, the place of the series of the whole page; of others their own."""
    import numpy as np

    places = {_key(one): place for place, one in enumerate(series) if one.segment is None}
    return np.array([places[_key(one)] for one in series], np.int64)


_Key = tuple[str, str, str, str | None, float | None]


def _key(one: Series) -> _Key:
    return one.kind, one.column, one.scale, one.version, one.centre


def _with_centre(part: Series, wholes: Mapping[_Key, Series]) -> Series:
    """Give a segment that has never had a value the centre that its column has got elsewhere."""
    if part.scale == "category" or part.centre is not None:
        return part
    known = [one.centre for key, one in wholes.items() if key[:4] == _key(part)[:4] and one.centre is not None]
    return replace(part, centre=min(known, default=None))


def _pieces(part: Series, whole: Series) -> list[Series]:
    import numpy as np

    part = part.of(np.flatnonzero(np.isin(part.pages, whole.pages)))
    if not len(part.pages):
        return []
    own = np.searchsorted(whole.pages, part.pages)
    ends = np.flatnonzero(np.diff(own) > _GONE)
    starts = [0, *(own[ends] + 1).tolist()]
    stops = [*(own[ends] + 1).tolist(), len(whole.pages)]
    return [_filled(part, own, whole, start, stop) for start, stop in zip(starts, stops, strict=True)]


def _filled(part: Series, own: Integers, whole: Series, start: int, stop: int) -> Series:
    """Give the series of a segment on the pages from one place of the whole's series to another."""
    import numpy as np

    if stop - start == len(own) == len(whole.pages):  # it is on all pages, and tells of no different values anywhere
        return part
    there = np.flatnonzero((own >= start) & (own < stop))
    places, n_pages = own[there] - start, stop - start
    counts = np.zeros((n_pages, part.counts.shape[1]), part.counts.dtype)
    n_rows, n_missing = np.zeros(n_pages, np.int64), np.zeros(n_pages, np.int64)
    counts[places], n_rows[places], n_missing[places] = part.counts[there], part.n_rows[there], part.n_missing[there]
    runs = [""] * n_pages
    for place, one in zip(places.tolist(), there.tolist(), strict=True):
        runs[place] = part.run_ids[one]
    return replace(
        part,
        pages=whole.pages[start:stop],
        counts=counts,
        n_rows=n_rows,
        n_missing=n_missing,
        n_distinct=np.full(n_pages, -1, np.int64),
        values=np.full(n_pages, None, object),
        run_ids=runs,
    )


def halved(weights: Floats, has_evidence: Flags, is_part: Flags) -> Floats:
    """Spread weights so that whole pages have one half of them and segments the other, where both have evidence.

    Parameters
    ----------
    weights, has_evidence
        `(n_series, n_pages)`.
    is_part
        Which series are of segments: `(n_series,)`.
    """
    import numpy as np

    from jobs.monitoring.scores import sum_in_order

    if not is_part.any():
        return weights
    used = np.where(has_evidence, weights, 0.0)
    of_wholes, of_parts = (sum_in_order(used[chosen].T) for chosen in (~is_part, is_part))
    both = (of_wholes > 0) & (of_parts > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(is_part[:, None], used / of_parts, used / of_wholes)
    return np.where(both, shares, used)


def judged_segments(
    names: Sequence[str], n_rows: Integers, ratios: Floats, counts: Flags, before: acute.Before | None
) -> Segments | None:
    """Judge what is acute in segments; None if there are none.

    Parameters
    ----------
    names
        The segment of each series.
    n_rows, ratios, counts
        Of each series and page its rows, its largest distance over its bound, and whether that counts.
    before
        What was said of the pages before the first that is judged.
    """
    import numpy as np

    if not len(names):
        return None
    segments = list(dict.fromkeys(names))
    rows = [[row for row, name in enumerate(names) if name == segment] for segment in segments]
    known = np.where(counts & ~np.isnan(ratios), ratios, -np.inf)
    ratio = np.array([known[own].max(axis=0) for own in rows])
    of_page = ratio.max(axis=0)[None]
    of_page[np.isinf(of_page)] = np.nan
    found = acute.judge(SEGMENT, of_page, np.zeros_like(of_page, np.int64), np.ones_like(of_page), before)
    ratio[np.isinf(ratio)] = np.nan
    with np.errstate(invalid="ignore"):
        flags = found.flags & (ratio > np.maximum(found.bound, 1.0))
    return Segments(segments, np.array([n_rows[own].max(axis=0) for own in rows]), ratio, found.bound[0], flags)
