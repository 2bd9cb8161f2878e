"""Acute findings: what is wrong with one page, judged by how large such distances have been on the pages before it.

The pool of a page is the last 112 pages before it. Flagged pages of a run that is not over are left out, so that a
fault does not hide behind its own first days. Those of an earlier run count as no more than the bound that they were
over: so each holiday raises the bound for the next one, and a day on which all was wrong does not make a column blind
for months. Where size matters, only pages of like size count, if there are enough of them. With fewer than 28 in the
pool a column is learning, and nothing is flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.monitoring.series import FEW

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: So many pages before a page are its pool, and with fewer than LEAST nothing is judged.
POOL, LEAST = 112, 28
#: Pages are of like size if one has at most so many times the rows of the other.
LIKE_SIZE = 2.0
#: A column with at most FEW values a page and MANY_TIMES as many in the pool tells of the day, not of rows.
MANY_TIMES = 5
#: A set of values that comes twice in turn on more than this share of pages may do so.
MAY_REPEAT = 0.02
_LEAST_FOR_STALE = 56
#: Flagged pages that are fewer pages apart are one run, and one alarm.
APART = 4


@dataclass(frozen=True)
class Rule:
    """A distance is flagged if it is over `times` the largest of the pool, and over that and `more`."""

    name: str
    times: float
    more: float
    is_of_size: bool = False


SHAPE = Rule("shape", 2.0, 0.1, is_of_size=True)
LEVEL = Rule("level", 2.0, 0.0)
MISSING = Rule("missing", 1.5, 0.02)
SPREAD = Rule("spread", 2.0, 0.7, is_of_size=True)
VOLUME = Rule("volume", 2.0, 0.2)
STALE = "stale"


@dataclass(frozen=True)
class Before:
    """What a rule has said of the pages before the first that is judged now: `(n_columns, n_pages_before)`.

    `pooled` is what each of them counts as in the pool of later pages, NaN where it does not.
    """

    pooled: Floats
    flags: Flags

    @property
    def n_pages(self) -> int:
        """How many pages there are."""
        return int(self.flags.shape[1])


@dataclass(frozen=True)
class Found:
    """What a rule says of each column and page: `(n_columns, n_pages)`.

    `bound` is what a distance has to be over, NaN while the column is learning.
    """

    flags: Flags
    bound: Floats


def judge(
    rule: Rule, distances: Floats, n_rows: Integers, floor: Floats | None = None, before: Before | None = None
) -> Found:
    """Flag distances that are far larger than any before.

    Parameters
    ----------
    distances
        float64 `(n_columns, n_pages)`, NaN where there is none.
    n_rows
        Of the same shape: the rows of each page.
    floor
        Of the same shape: what a distance may be by chance, whatever the pool says.
    before
        What was said of the first pages, which are not judged again. They are all pages, or at least POOL.
    """
    import numpy as np

    n_columns, n_pages = distances.shape
    # Page by page: what is looked at of a pool lies together then.
    flags = np.zeros((n_pages, n_columns), bool)
    bounds = np.full((n_pages, n_columns), np.nan)
    known = np.where(np.isnan(distances), -np.inf, distances).T.copy()
    pooled = known.copy()
    run_begun, last_flag = np.zeros(n_columns, np.int64), np.full(n_columns, -APART)
    first = before.n_pages if before is not None else 0
    if before is not None:
        flags[:first] = before.flags.T
        pooled[:first] = np.where(np.isnan(before.pooled), -np.inf, before.pooled).T
    for page in range(first):
        run_begun = np.where(flags[page] & (page - last_flag >= APART), page, run_begun)
        last_flag = np.where(flags[page], page, last_flag)
    is_finite, of_size = np.isfinite(pooled), LikeSize(n_rows) if rule.is_of_size else None
    for page in range(max(LEAST, first), n_pages):
        start = max(0, page - POOL)
        pool, counts = pooled[start:page], is_finite[start:page]
        in_run = np.flatnonzero(page - last_flag < APART)
        if len(in_run):
            counts = counts.copy()
            is_in_run = np.arange(start, page)[:, None] >= run_begun[in_run]
            counts[:, in_run] &= ~(flags[start:page, in_run] & is_in_run)
        if of_size is not None:
            alike = counts & of_size.before(page, start)
            counts = np.where(n_true(alike) >= LEAST, alike, counts)
        n_counted = n_true(counts)
        most = np.where(counts, pool, -np.inf).max(axis=0)
        most[n_counted < LEAST] = np.nan
        with np.errstate(invalid="ignore"):
            bound = np.maximum(rule.times * most, most + rule.more)
            bounds[page] = bound
            is_over = known[page] > bound
        if floor is not None:
            is_over &= known[page] > floor[:, page]
        flags[page] = is_over
        run_begun = np.where(is_over & (page - last_flag >= APART), page, run_begun)
        last_flag = np.where(is_over, page, last_flag)
        pooled[page, is_over] = bound[is_over]
        is_finite[page, is_over] = np.isfinite(bound[is_over])
    return Found(flags.T.copy(), bounds.T.copy())


def n_true(flags: Flags) -> Integers:
    """Count the true ones of each column: `(n_pages, n_columns)`, of POOL pages at most."""
    import numpy as np

    n: Integers = flags.view(np.uint8).sum(axis=0, dtype=np.uint8).astype(np.int64)  # POOL pages fit a byte
    return n


class LikeSize:
    """Which pages are of like size; columns of equal sizes, which most are, are looked at once."""

    def __init__(self, n_rows: Integers) -> None:
        """Begin with the rows of each page: `(n_columns, n_pages)`."""
        import numpy as np

        sizes, of_column = np.unique(n_rows, axis=0, return_inverse=True)
        self._sizes, self._of_column = np.ascontiguousarray(sizes.T), of_column.ravel()

    def before(self, page: int, start: int) -> Flags:
        """Tell which of the pages from `start` to before a page are of its size: `(n_pages, n_columns)`."""
        sizes, own = self._sizes[start:page], self._sizes[page]
        alike: Flags = (sizes <= LIKE_SIZE * own) & (own <= LIKE_SIZE * sizes)
        return alike[:, self._of_column] if alike.shape[1] > 1 else alike


def stale(runs: Integers, n_pages: Integers, first: int = 0) -> Flags:
    """Flag sets of values that have not changed: three times in turn in one column, or twice in two or more.

    Parameters
    ----------
    runs
        `(n_columns, n_pages)`: how many pages in turn have had the set of the page before.
    n_pages
        `(n_columns,)`: the page at which each column begins.
    first
        The first page that is judged.
    """
    import numpy as np

    flags = np.zeros(runs.shape, bool)
    repeated: Integers = np.concatenate((np.zeros((len(runs), 1), np.int64), np.cumsum(runs > 0, axis=1)), axis=1)
    for page in range(max(LEAST, first), runs.shape[1]):
        run = runs[:, page]
        end = page - run  # the page whose values have come again since
        start = np.maximum(np.maximum(0, page - POOL), n_pages)
        size = end - start
        rows = np.arange(len(runs))
        before = repeated[rows, np.maximum(end, start)] - repeated[rows, start]
        is_unusual = (size >= _LEAST_FOR_STALE) & (before <= MAY_REPEAT * size)
        twice = is_unusual & (run >= 2)
        flags[:, page] = (is_unusual & (run >= 3)) | (twice if twice.sum() >= 2 else False)
    return flags


def is_page_level(n_distinct: Integers, counts: Integers, first: int = 0) -> Flags:
    """Tell for each page whether the column tells of the day: few values on each page before it, and many in all.

    Parameters
    ----------
    n_distinct, counts
        Of each page that has the column; `counts` may be lacking of pages with more than FEW values.
    first
        The first page that is asked for; there are all pages before it, or at least POOL.
    """
    import numpy as np

    n_pages = len(n_distinct)
    many = np.where(n_distinct < 0, np.iinfo(np.int64).max, n_distinct)
    padded = np.concatenate((np.zeros(POOL, np.int64), many))
    most = np.lib.stride_tricks.sliding_window_view(padded, POOL)[:n_pages].max(axis=1)
    place = np.arange(n_pages)
    is_of_day: Flags = (most <= FEW) & (place >= max(LEAST, first))
    if not is_of_day.any():
        return is_of_day
    there = np.cumsum(counts > 0, axis=0)
    is_there: Integers = np.concatenate((np.zeros((1, counts.shape[1]), np.int64), there))
    in_pool = ((is_there[place] - is_there[np.maximum(place - POOL, 0)]) > 0).sum(axis=1)
    is_of_day &= in_pool >= MANY_TIMES * np.maximum(most, 1)
    return is_of_day


def joined(flagged: Sequence[int], apart: int = APART) -> list[list[int]]:
    """Put flagged pages that are fewer than `apart` pages apart together: each list is one alarm."""
    found: list[list[int]] = []
    for page in flagged:
        if found and page - found[-1][-1] < apart:
            found[-1].append(page)
        else:
            found.append([page])
    return found
