"""The rows of ledger.drift that tell of segments as wholes, and what is read back of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb

from jobs.monitoring import acute
from jobs.monitoring.judging.circumstances import Circumstances
from jobs.monitoring.segments import SEGMENT
from jobs.monitoring.watched import Watch
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def segment_rows(of_page: Mapping[str, Any], found: Watch) -> list[dict[str, Any]]:
    """Give the rows of each segment, on the pages on which it has a profile.

    Parameters
    ----------
    of_page
        The rows of the pages as wholes, by column; `places` are theirs among the watched pages.
    """
    import numpy as np

    segments = found.segments
    assert segments is not None
    rows = [row for row, one in enumerate(found.columns) if one.series.segment is not None]
    weights = found.evidence.weights[rows]
    shares = np.where(weights > 0, weights * found.evidence.columns[rows], 0.0)
    own = np.array([segments.names.index(str(found.columns[row].series.segment)) for row in rows])
    return [
        _rows(of_page, found, number, weights[own == number].sum(axis=0), shares[own == number].sum(axis=0))
        for number in range(len(segments.names))
    ]


def _rows(
    of_page: Mapping[str, Any],
    found: Watch,
    number: int,
    weights: npt.NDArray[np.float64],
    shares: npt.NDArray[np.float64],
) -> dict[str, Any]:
    import numpy as np

    segments = found.segments
    assert segments is not None
    places = of_page["places"]
    there = [row for row, place in enumerate(places) if segments.n_rows[number, place] > 0]
    own = [places[row] for row in there]
    flags = segments.flags[number, own].tolist()
    states = []
    for row, place in zip(there, own, strict=True):
        state = of_page["state"][row]
        if state == "judged" and np.isnan(segments.ratio[number, place]):
            state = "no evidence"
        elif state == "judged" and np.isnan(segments.bound[place]):
            state = "learning"
        states.append(state)
    return {
        "kind": ["features"] * len(there),
        "as_of": [of_page["as_of"][row] for row in there],
        "column_name": [None] * len(there),
        "segment": [segments.names[number]] * len(there),
        "run_id": [of_page["run_id"][row] for row in there],
        "state": states,
        "n_rows": segments.n_rows[number, own],
        "score": segments.ratio[number, own],
        "score_bound": segments.bound[own],
        "evidence": shares[own],
        "weight": weights[own],
        "flags": [[SEGMENT.name] if flag else [] for flag in flags],
        "alarm": [of_page["alarm"][row] if flag else None for row, flag in zip(there, flags, strict=True)],
    }


def judged_before(
    connection: duckdb.DuckDBPyConnection, known: Circumstances, pages: Sequence[datetime]
) -> acute.Before | None:
    """Read what was judged of the segments of pages; None if no segment is watched."""
    import numpy as np

    if known.parts is None:
        return None
    query = system_sql("monitoring/judged_segments", is_of_columns=known.parts)
    rows = connection.execute(query, [known.product.name, pages[0], pages[-1]]).fetchall()
    by_page = {as_of: (ratio, bound, is_flagged) for as_of, ratio, bound, is_flagged in rows}
    found = [by_page.get(page, (None, None, False)) for page in pages]
    pooled = [bound if is_flagged else ratio for ratio, bound, is_flagged in found]
    values = np.array([np.nan if one is None else one for one in pooled], np.float64)
    return acute.Before(values[None], np.array([[bool(one[2]) for one in found]]))
