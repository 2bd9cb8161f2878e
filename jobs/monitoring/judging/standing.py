"""What stands: judgements in the ledger that nothing has changed since, and from which the next pages are judged.

A page that is judged needs of those before it what they count as in its pool, and what the evidence had come to. All
of it stands in the rows of `ledger.drift`, so that a new page costs what a page costs, however long the history is. The
rows are the same as if all pages were judged anew. What cannot be told from the rows is judged from the first page on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb

from jobs.monitoring import acute, slow
from jobs.monitoring.judging.circumstances import Circumstances, is_read
from jobs.monitoring.judging.segment_rows import judged_before
from jobs.monitoring.references import REFERENCE_PAGES
from jobs.monitoring.segments import SEGMENT, beside_wholes
from jobs.monitoring.series import Series, read_series
from jobs.monitoring.watched import Past
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

#: The pages of a pool, and the one before it, which tells whether the first of them repeats its values.
_LOOKED_AT = acute.POOL + 1


@dataclass(frozen=True)
class PageJudgement:
    """What stands in the ledger of a page as a whole."""

    basis: str | None
    n_rows: int
    evidence: float | None
    change: float | None
    bound: float | None
    is_flagged: bool
    alarm: str | None


@dataclass(frozen=True)
class Standing:
    """The judgements that stand.

    Attributes
    ----------
    first
        The place of the first page that is to be judged; all before it stand. An acute alarm that is not over is found
        again from its first page on.
    pages
        What stands of each page before it; None of pages without profiles.
    slow_alarms
        The places of pages on which slow drift has alarmed.
    """

    first: int
    pages: list[PageJudgement | None]
    slow_alarms: list[int]

    @property
    def start(self) -> int:
        """The place of the first page of the pool."""
        return max(0, self.first - acute.POOL)

    @property
    def evidence(self) -> list[float]:
        """The evidence of each page that stands, NaN where there is none."""
        return [float("nan") if one is None or one.evidence is None else one.evidence for one in self.pages]


def standing_of(connection: duckdb.DuckDBPyConnection, known: Circumstances) -> Standing | None:
    """Tell which judgements stand; None if all pages are to be judged."""
    query = system_sql("monitoring/judged_pages")
    rows = {row[0]: PageJudgement(*row[1:]) for row in connection.execute(query, [known.product.name]).fetchall()}
    is_profiled = {place for runs in known.profiled.values() for place in runs}
    judged = [rows.get(page) if place in is_profiled else None for place, page in enumerate(known.pages)]
    changed = (
        place
        for place, (one, basis) in enumerate(zip(judged, known.bases, strict=True))
        if place in is_profiled and (one is None or one.basis != basis)
    )
    until = next(changed, len(judged))
    if until == 0:
        return None
    first = _run_that_is_not_over(_flagged(connection, known, judged, until), until)
    if first is None or first == 0:
        return None
    evidence = [one.evidence if one and one.evidence is not None else 0.0 for one in judged[:first]]
    return Standing(first, judged[:first], [place for place, one in enumerate(evidence) if one >= known.bound])


def _flagged(
    connection: duckdb.DuckDBPyConnection, known: Circumstances, judged: Sequence[PageJudgement | None], until: int
) -> list[int]:
    """Give the places of the pages of the pool with an acute finding that counts, ascending."""
    since = max(0, until - acute.POOL)
    if not any(one is not None and one.alarm is not None for one in judged[max(0, until - acute.APART) : until]):
        return []  # no run goes on: the pages of one belong to its alarm
    values = [known.product.name, known.pages[since], known.pages[until - 1]]
    places = {page: place for place, page in enumerate(known.pages)}
    found = {place for place in range(since, until) if (one := judged[place]) is not None and one.is_flagged}
    for kind, column, as_of in connection.execute(system_sql("monitoring/flagged"), values).fetchall():
        place = places.get(as_of)
        if place is not None and is_read(kind, column, known.versions[place]):
            found.add(place)
    of_segments = judged_before(connection, known, known.pages[since:until])
    if of_segments is not None:
        found |= {since + int(place) for place in of_segments.flags[0].nonzero()[0]}
    return sorted(found)


def _run_that_is_not_over(flagged: Sequence[int], until: int) -> int | None:
    """Give where the run of flagged pages begins that is not over before a page; that page if all are over.

    None if it may have begun before what was looked at.
    """
    first = until
    for place in reversed(flagged):
        if first - place > (acute.APART if first == until else acute.APART - 1):
            break
        first = place
    begins = max(0, until - acute.POOL)
    return None if first < until and begins > 0 and first - begins < acute.APART else first


def read_behind(connection: duckdb.DuckDBPyConnection, known: Circumstances, standing: Standing) -> list[Series]:
    """Read the profiles that the pages to be judged need, of the columns that they have; those of segments come last.

    Where a column lacks one of the wanted pages, its own last pages lie further back, and all of it is read.
    """
    wanted = {kind: _wanted(list(runs), known, standing.first, _LOOKED_AT) for kind, runs in known.profiled.items()}
    pages = [known.pages[place] for place in sorted(set().union(*wanted.values()))]
    near = {kind: _wanted(list(runs), known, standing.first, REFERENCE_PAGES) for kind, runs in known.profiled.items()}
    counted = [known.pages[place] for place in sorted(set().union(*near.values()))]
    found = _read(connection, known, chosen=pages, counted=counted)
    found = [one for one in found if one.segment is not None or one.pages[-1] >= standing.first]
    wholes = [one for one in found if one.segment is None]
    partly = {(one.kind, one.column) for one in wholes if not _has_all(one, wanted[one.kind])}
    if partly:
        again = _read(connection, known, columns=sorted(partly))
        found = [one for one in found if (one.kind, one.column) not in partly]
        found += [one for one in again if one.segment is not None or one.pages[-1] >= standing.first]
    found.sort(key=lambda one: (one.kind, one.column, one.segment or ""))
    wholes = [one for one in found if one.segment is None]
    parts = beside_wholes(wholes, [one for one in found if one.segment is not None])
    return [*wholes, *(one for one in parts if _is_there(one, standing.first))]


def _read(connection: duckdb.DuckDBPyConnection, known: Circumstances, **chosen: Any) -> list[Series]:
    """Read series of pages as wholes, and of the segments that are watched."""
    product = known.product.name
    found = read_series(connection, product, known.pages, **chosen)
    if known.parts is not None:
        found += read_series(connection, product, known.pages, parts=known.parts, **chosen)
    return found


def _is_there(part: Series, first: int) -> bool:
    """Tell whether a segment has rows on one of the pages that are judged."""
    return bool((part.n_rows[part.pages >= first] > 0).any())


def _wanted(places: list[int], known: Circumstances, first: int, n_last: int) -> set[int]:
    """Give the pages of a kind that are judged, the last ones before them, and those of the seasons that are judged."""
    before = sorted(place for place in places if place < first)
    judged = {place for place in places if place >= first}
    wanted = judged | set(before[-n_last:])
    for season in {int(known.classes[place]) for place in judged}:
        wanted |= set([place for place in before if known.classes[place] == season][-REFERENCE_PAGES:])
    return wanted


def _has_all(series: Series, wanted: set[int]) -> bool:
    # Without a value the column's centre is not known here: it may be part of a series that had values long ago.
    is_empty = series.scale != "category" and not len(series.codes)
    return not is_empty and wanted <= set(series.pages.tolist())


def past_of(
    connection: duckdb.DuckDBPyConnection, known: Circumstances, standing: Standing, series: Sequence[Series]
) -> Past | None:
    """Put together what was judged of the pool; None if the ledger lacks some of it."""
    import numpy as np

    start, first = standing.start, standing.first
    values = [known.product.name, known.pages[start], known.pages[first - 1]]
    table = connection.execute(system_sql("monitoring/judged_columns"), values).to_arrow_table().combine_chunks()
    rows = _Rows.of(table, known.pages[start:first], [(one.kind, one.column, one.segment) for one in series])
    of_series = np.full((len(series), first - start), -1, np.int64)
    for row, one in enumerate(series):
        own = _own(one)
        own = own[(own >= start) & (own < first)] - start
        of_series[row, own] = rows.places[row, own]
        if (of_series[row, own] < 0).any():
            return None
    carried = _carried(standing, series, rows, of_series)
    if carried is None:
        return None
    score, bound = rows.taken("score", of_series), rows.taken("score_bound", of_series)
    is_level = rows.taken("is_level", of_series) == 1.0
    before = {
        "shape": rows.before("shape", of_series, np.where(is_level, np.nan, score), bound),
        "level": rows.before("level", of_series, np.where(is_level, score, np.nan), bound),
        "volume": _volume(standing),
    }
    of_segments = judged_before(connection, known, known.pages[start:first])
    if of_segments is not None:
        before[SEGMENT.name] = of_segments
    for rule in ("missing", "spread"):
        change, bound = rows.taken(f"{rule}_change", of_series), rows.taken(f"{rule}_bound", of_series)
        before[rule] = rows.before(rule, of_series, change, bound)
    sizes = np.array([-1 if one is None else one.n_rows for one in standing.pages], np.int64)
    return Past(start, first, before, rows.taken("slow_score", of_series), sizes, carried)


def _own(series: Series) -> npt.NDArray[np.int64]:
    """Give the pages of a series that were judged: of a segment those on which it has rows."""
    return series.pages if series.segment is None else series.pages[series.n_rows > 0]


def _volume(standing: Standing) -> acute.Before:
    import numpy as np

    pages = standing.pages[standing.start :]
    counted = [None if one is None else one.bound if one.is_flagged else one.change for one in pages]
    pooled = np.array([np.nan if one is None else one for one in counted])
    return acute.Before(pooled[None], np.array([[one is not None and one.is_flagged for one in pages]]))


def _carried(
    standing: Standing, series: Sequence[Series], rows: _Rows, of_series: npt.NDArray[np.int64]
) -> slow.Carried | None:
    """Give what the evidence of each series has come to; None if its last page lies before the pool."""
    import numpy as np

    last_alarm = standing.slow_alarms[-1] if standing.slow_alarms else -1
    m, waiting = np.zeros(len(series)), np.full(len(series), np.nan)
    for row, one in enumerate(series):
        own = _own(one)
        own = own[own < standing.first]
        if not len(own) or own[-1] <= last_alarm:
            continue
        if own[-1] < standing.start:
            return None
        place = of_series[row, own[-1] - standing.start]
        m[row], waiting[row] = rows.values["carried"][place], rows.values["waiting"][place]
    rest_until = last_alarm + 1 + slow.REST - standing.start if last_alarm >= 0 else 0
    return slow.Carried(m, waiting, rest_until)


@dataclass(frozen=True)
class _Rows:
    """Rows of ledger.drift as arrays; `places` tells, of each series and page, which row is theirs, -1 if none is."""

    values: Mapping[str, Floats]
    flags: Mapping[str, npt.NDArray[np.bool_]]
    places: npt.NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table, pages: Sequence[datetime], columns: Sequence[tuple[str, str, str | None]]) -> _Rows:
        import numpy as np

        names = ("score", "score_bound", "slow_score", "is_level", "missing_change", "missing_bound")
        more = ("spread_change", "spread_bound", "carried", "waiting")
        values = {name: table.column(name).cast("float64").to_numpy() for name in (*names, *more)}
        flags = {rule: table.column(rule).to_numpy() for rule in ("shape", "level", "missing", "spread")}
        numbers = {column: row for row, column in enumerate(dict.fromkeys(columns))}
        of_rows = zip(*(table.column(name).to_pylist() for name in ("kind", "column_name", "segment")), strict=True)
        column = np.array([numbers.get(one, -1) for one in of_rows], np.int64)
        instants = table.column("as_of").to_numpy().astype("datetime64[us]")
        listed = np.array(pages, "datetime64[us]")
        page = np.searchsorted(listed, instants)
        places = np.full((len(numbers), len(pages)), -1, np.int64)
        # A row may be of a page that is published no more.
        is_known = (column >= 0) & (listed[np.minimum(page, len(pages) - 1)] == instants)
        places[column[is_known], page[is_known]] = np.flatnonzero(is_known)
        return cls(values, flags, places[[numbers[one] for one in columns]])

    def taken(self, name: str, of_series: npt.NDArray[np.int64]) -> Floats:
        """Give a figure of each series and page, NaN where it has none."""
        import numpy as np

        return np.where(of_series >= 0, np.append(self.values[name], np.nan)[of_series], np.nan)

    def before(self, rule: str, of_series: npt.NDArray[np.int64], change: Floats, bound: Floats) -> acute.Before:
        """Give what a rule has said: a flagged page counts as the bound that it was over."""
        import numpy as np

        flags: Any = np.append(self.flags[rule], False)[of_series] & (of_series >= 0)
        return acute.Before(np.where(flags, bound, change), flags)
