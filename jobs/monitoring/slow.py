"""Slow drift: evidence that adds up over pages, until there is more than chance brings in a long time.

Each page is ranked among the last 112 by its distance; p = (1 + number as large or larger) / m. A rank becomes
evidence by e = (1 - p + p ln p) / (p (ln p)^2) [Vovk and Wang 2021]; the means of blocks of 2 pages add up by the
Shiryaev-Roberts rule M <- e (1 + M) [Shin, Ramdas and Rinaldo 2023]. The product's evidence is the mean of M over
columns by their weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.monitoring.acute import LEAST, POOL, LikeSize, n_true
from jobs.monitoring.scores import sum_in_order

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: So many pages are one block.
BLOCK = 2
#: After an alarm, so many pages add no evidence.
REST = 28
#: An alarm is over when so many pages in turn have had evidence under a tenth of the bound.
QUIET = 28
#: Columns named as having drifted: so many of those named may be named wrongly.
FALSE_DISCOVERIES = 0.1


@dataclass(frozen=True)
class Evidence:
    """What came together: `p`, `e`, `columns`, `waiting`, `weights` are `(n_columns, n_pages)`, `product` `(n_pages,)`.

    `columns` is M of each column, and `waiting` the e that waits for the second page of its block, NaN if none does.
    `product` is NaN where nothing bears evidence. `alarms` are the pages on which it reached the bound, with the
    columns that explain it and the page since which they have been different.
    """

    p: Floats
    e: Floats
    columns: Floats
    waiting: Floats
    weights: Floats
    product: Floats
    is_resting: Flags
    alarms: list[SlowAlarm]


@dataclass(frozen=True)
class SlowAlarm:
    """One alarm: its page, its evidence, the columns most telling first, and since when."""

    page: int
    evidence: float
    columns: list[int]
    since: int


@dataclass(frozen=True)
class Carried:
    """What the evidence has come to before the first page that is judged now.

    `m` and `waiting`, the e that waits for the second page of its block (NaN: none), are `(n_columns,)`.
    `rest_until` is the first page that does not rest.
    """

    m: Floats
    waiting: Floats
    rest_until: int = 0


def ranks(scores: Floats, n_rows: Integers, first: int = 0) -> Floats:
    """Give p of each page and column: which share of the pool has a score as large, the page itself among them.

    Those of the pages before `first` are not asked for.
    """
    import numpy as np

    of_pages = scores.T.copy()
    p, is_known, of_size = np.full(of_pages.shape, np.nan), ~np.isnan(of_pages), LikeSize(n_rows)
    for page in range(max(LEAST, first), len(of_pages)):
        start = max(0, page - POOL)
        counts = is_known[start:page] & of_size.before(page, start)
        size = n_true(counts)
        with np.errstate(invalid="ignore"):
            as_large = n_true(counts & (of_pages[start:page] >= of_pages[page]))
        p[page] = np.where((size >= LEAST) & is_known[page], (1 + as_large) / (1 + size), np.nan)
    return p.T.copy()


def evidence_of(p: Floats) -> Floats:
    """Turn p into e, whose mean is at most 1 where p is uniform."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(p)
        return np.where(p > 1 - 1e-6, 0.5, (1 - p + p * log) / (p * log * log))


def add_up(p: Floats, weights: Floats, bound: float, first: int = 0, carried: Carried | None = None) -> Evidence:
    """Add up evidence page by page, and give the alarms.

    Parameters
    ----------
    p
        `(n_columns, n_pages)`, NaN where there is none.
    weights
        Of the same shape, not negative; of each page those of columns with evidence are brought to a sum of 1.
    bound
        What the weighted mean of M has to reach.
    first, carried
        The first page, where what has come together before it is known.
    """
    import numpy as np

    n_columns, n_pages = p.shape
    e = evidence_of(p)
    columns, used, waiting = np.zeros(p.shape), np.zeros(p.shape), np.full(p.shape, np.nan)
    product, is_resting = np.full(n_pages, np.nan), np.zeros(n_pages, bool)
    m, half, n_half = np.zeros(n_columns), np.zeros(n_columns), np.zeros(n_columns, np.int64)
    alarms: list[SlowAlarm] = []
    rest_until, begun = 0, 0
    if carried is not None:
        m, half, rest_until = carried.m.copy(), np.nan_to_num(carried.waiting, nan=0.0), carried.rest_until
        n_half = (~np.isnan(carried.waiting)).astype(np.int64)
    for page in range(first, n_pages):
        there = ~np.isnan(e[:, page])
        weight = np.where(there, weights[:, page], 0.0)
        total = float(sum_in_order(weight[None])[0])
        used[:, page] = weight / total if total > 0 else 0.0
        if page < rest_until:
            is_resting[page], product[page] = True, 0.0
            continue
        half[there] += e[there, page]
        n_half[there] += 1
        full = n_half >= BLOCK
        m[full] = half[full] / BLOCK * (1 + m[full])
        half[full], n_half[full] = 0.0, 0
        columns[:, page], waiting[:, page] = m, np.where(n_half > 0, half, np.nan)
        if total > 0:
            product[page] = float(sum_in_order((used[:, page] * m)[None])[0])
        if product[page] >= bound:
            alarms.append(_alarm(page, float(product[page]), used[:, page] * m, m, e, begun))
            m[:], half[:], n_half[:] = 0.0, 0.0, 0
            rest_until = begun = page + 1 + REST
    return Evidence(p, e, columns, waiting, used, product, is_resting, alarms)


def _alarm(page: int, evidence: float, shares: Floats, m: Floats, e: Floats, begun: int) -> SlowAlarm:
    import numpy as np

    order = [int(column) for column in np.argsort(-shares, kind="stable") if shares[column] > 0]
    # The mean over starts of products of e is itself an e-value: M / number of blocks (e-BH, Wang and Ramdas 2022).
    values = m / max(1, (page + 1 - begun) // BLOCK)
    ranked = np.argsort(-values, kind="stable")
    there = [int(column) for column in ranked if not np.isnan(e[column, begun : page + 1]).all()]
    enough = [k for k, column in enumerate(there, 1) if values[column] >= len(there) / (k * FALSE_DISCOVERIES)]
    named = there[: max(enough)] if enough else []
    columns = [*order[:1], *(one for one in named if one not in order[:1])]
    logs = np.log(np.nan_to_num(e[columns[0], begun : page + 1], nan=1.0))
    since = begun + int(np.argmax(np.cumsum(logs[::-1])[::-1])) if len(logs) else page
    return SlowAlarm(page, evidence, columns, since)


def quiet_since(product: Floats, bound: float, page: int) -> int | None:
    """Give the page with which an alarm of `page` is over; None while it is not."""
    in_turn = 0
    for after in range(page + 1, len(product)):
        in_turn = in_turn + 1 if not product[after] >= bound / 10 else 0
        if in_turn >= QUIET:
            return after
    return None
