"""The rows of ledger.drift: what was found of a product's pages, as it is written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.monitoring.judging.segment_rows import segment_rows
from jobs.monitoring.judging.training_reference import TRAINING
from jobs.monitoring.scores import Scores
from jobs.monitoring.series import Series
from jobs.monitoring.watched import Watch, Watched
from warehouse.definitions import Product
from warehouse.ledger.alarms import DRIFT, Alarm
from warehouse.ledger.drift import SEASON, Drift

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

#: So many columns, of whole pages or segments, are written down at a time: until then they take their memory twice.
_AT_ONCE = 64
#: Columns of ledger.drift by their names: lists or arrays of one length, or one value for all rows.
_Columns = dict[str, Any]


@dataclass(frozen=True)
class _Same:
    """One value in all of so many rows."""

    value: str | None
    n_rows: int


def rows_of(
    product: Product,
    pages: list[datetime],
    found: Watch,
    alarms: Sequence[Alarm],
    expected: dict[datetime, str],
    bases: Sequence[str],
) -> pa.Table:
    """Give the rows of the pages that were judged, those of the pages as a whole first.

    Parameters
    ----------
    pages, bases
        The pages that were watched, and what the judgement of each follows from.
    """
    import numpy as np
    import pyarrow as pa

    of_page = _page_rows(pages, found, alarms, expected, bases)
    instants = np.array(pages, "datetime64[us]")
    is_expected = np.array([page in expected for page in pages], bool)
    of_segments = segment_rows(of_page, found) if found.segments is not None else []
    tables = [_table(product, [of_page])]
    for start in range(0, len(found.columns), _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, len(found.columns)))
        tables.append(_table(product, [_column_rows(instants, found, row, alarms, is_expected) for row in some]))
    return pa.concat_tables([*tables, _table(product, of_segments)] if of_segments else tables)


def training_rows(product: Product, pages: list[datetime], compared: Iterable[tuple[Series, Scores]]) -> pa.Table:
    """Give the rows of pages beside the training pages of their version."""
    import numpy as np

    instants = np.array(pages, "datetime64[us]")
    return _table(product, [_training_rows(instants, part, scores) for part, scores in compared])


def _training_rows(instants: npt.NDArray[np.datetime64], part: Series, scores: Scores) -> _Columns:
    import numpy as np

    n_pages = len(part.pages)
    return {
        "kind": _Same(part.kind, n_pages),
        "as_of": instants[part.pages],
        "column_name": _Same(part.column, n_pages),
        "reference": _Same(TRAINING, n_pages),
        "run_id": list(part.run_ids),
        "state": np.where(np.isnan(scores.score), "no evidence", "judged"),
        "n_rows": part.n_rows,
        "flags": _lists_of_flags({}, n_pages),
        **_figures(scores),
    }


def _figures(scores: Scores) -> dict[str, Any]:
    """Give the distances as columns of ledger.drift."""
    names = ("n_reference", "psi", "js", "w1", "ks", "missing_delta", "new_share", "out_of_range_share", "score")
    return {name: getattr(scores, name) for name in names}


def _page_rows(
    pages: list[datetime],
    found: Watch,
    alarms: Sequence[Alarm],
    expected: dict[datetime, str],
    bases: Sequence[str],
) -> _Columns:
    runs: dict[int, tuple[int, str]] = {}
    for one in found.columns:  # those of feature pages come first
        if one.series.segment is not None:
            continue
        for place, n_rows, run_id in zip(one.series.pages, one.series.n_rows, one.series.run_ids, strict=True):
            runs.setdefault(int(place), (int(n_rows), run_id))
    there = sorted(runs)
    of_page: dict[datetime, str] = {}
    for alarm in alarms:
        for place in there:
            if alarm.first_page <= pages[place] <= alarm.last_page:
                of_page.setdefault(pages[place], alarm.alarm_id)
    states = [
        "expected" if pages[place] in expected else "resting" if found.evidence.is_resting[place] else "judged"
        for place in there
    ]
    return {
        "places": there,
        "kind": ["features"] * len(there),
        "as_of": [pages[place] for place in there],
        "column_name": [None] * len(there),
        "run_id": [runs[place][1] for place in there],
        "state": states,
        "n_rows": [runs[place][0] for place in there],
        "score": found.volume_change[there],
        "score_bound": found.volume_bound[there],
        "evidence": found.evidence.product[there],
        "flags": [["volume"] if found.volume[place] else [] for place in there],
        "alarm": [of_page.get(pages[place]) for place in there],
        "basis": [bases[place] for place in there],
    }


def _column_rows(
    instants: npt.NDArray[np.datetime64],
    found: Watch,
    row: int,
    alarms: Sequence[Alarm],
    is_expected: npt.NDArray[np.bool_],
) -> _Columns:
    import numpy as np

    one, evidence = found.columns[row], found.evidence
    series, scores, there = one.series, one.scores, one.series.pages
    if series.segment is not None:  # it has no rows where it has no profile
        kept = np.flatnonzero(series.n_rows > 0)
        series, scores, there = series.of(kept), scores.of(kept), there[kept]
        one = replace(one, series=series)
    n_pages = len(there)
    flags = {rule: each[there] for rule, each in one.flags.items()}
    return {
        "kind": _Same(series.kind, n_pages),
        "as_of": instants[there],
        "column_name": _Same(series.column, n_pages),
        "segment": _Same(series.segment, n_pages),
        "run_id": list(series.run_ids),
        "state": _states(one, found, is_expected),
        "n_rows": series.n_rows,
        **(_figures(scores) | {"score": one.score[there]}),
        "slow_score": one.slow_score[there],
        "is_level": one.is_level[there],
        "score_bound": one.bounds["score"][there],
        "missing_change": one.missing[there],
        "missing_bound": one.bounds["missing"][there],
        "spread_change": one.spread[there],
        "spread_bound": one.bounds["spread"][there],
        "carried": evidence.columns[row, there],
        "waiting": evidence.waiting[row, there],
        "p": evidence.p[row, there],
        "e": evidence.e[row, there],
        "evidence": np.where(np.isnan(evidence.p[row, there]), np.nan, evidence.columns[row, there]),
        "weight": evidence.weights[row, there],
        "flags": _lists_of_flags(flags, n_pages),
        "alarm": _alarms_of_column(one, found, instants, np.any(list(flags.values()), axis=0), alarms),
    }


def _lists_of_flags(flags: dict[str, npt.NDArray[np.bool_]], n_rows: int) -> pa.Array:
    """Give, of each row, the rules that flag it."""
    import numpy as np
    import pyarrow as pa

    every = np.array(list(flags.values()), bool).reshape(len(flags), n_rows)
    offsets = np.concatenate(([0], np.cumsum(every.sum(axis=0))))
    rules = [list(flags)[rule] for rule in np.nonzero(every.T)[1].tolist()]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(rules, pa.string()))


def _states(one: Watched, found: Watch, is_expected: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    import numpy as np

    there = one.series.pages
    is_resting = found.evidence.is_resting[there]
    states = np.where(one.is_learning[there], "learning", np.where(is_resting, "resting", "judged"))
    states = np.where(np.isnan(one.score[there]), "no evidence", states)
    return np.where(is_expected[there], "expected", states)


def _alarms_of_column(
    one: Watched,
    found: Watch,
    instants: npt.NDArray[np.datetime64],
    is_flagged: npt.NDArray[np.bool_],
    alarms: Sequence[Alarm],
) -> npt.NDArray[Any]:
    import numpy as np

    there = one.series.pages
    of_page, is_free = np.full(len(there), None, object), np.ones(len(there), bool)
    segment = one.series.segment
    told = found.segments.flags_of(segment)[there] if found.segments is not None and segment is not None else None
    for alarm in alarms:
        if one.series.column not in alarm.columns:
            continue
        in_it = (instants[there] >= np.datetime64(alarm.first_page)) & (
            instants[there] <= np.datetime64(alarm.last_page)
        )
        if told is not None:
            in_it &= told & (alarm.kind != DRIFT)
        if alarm.kind != DRIFT:
            in_it &= is_flagged
        of_page[in_it & is_free] = alarm.alarm_id
        is_free &= ~in_it
    return of_page


def _table(product: Product, parts: Sequence[_Columns]) -> pa.Table:
    """Give parts of equal columns as one Arrow table, in the columns of ledger.drift but for those of the commit.

    NaN is NULL.
    """
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {
        "str": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "datetime": pa.timestamp("us"),
        "list[str]": pa.list_(pa.string()),
    }
    lengths = [len(part["as_of"]) for part in parts]
    names = {spec.name for spec in fields(Drift)} & set(parts[0] if parts else ())
    columns = {name: [part[name] for part in parts] for name in names}
    same = {"product": product.name, "reference": SEASON}
    columns = {name: [_Same(value, n) for n in lengths] for name, value in same.items()} | columns
    arrays = {}
    for spec in fields(Drift):
        if spec.name in ("known_by", "snapshot_id"):
            continue
        kind = kinds[str(spec.type).removesuffix(" | None")]
        arrays[spec.name] = _joined(columns.get(spec.name, [_Same(None, n) for n in lengths]), kind)
    return pa.table(arrays)


def _joined(parts: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Give the values of parts one after the other; NaN is NULL."""
    import numpy as np
    import pyarrow as pa

    if not parts:
        return pa.array([], kind)
    if isinstance(parts[0], _Same):
        places = np.repeat(np.arange(len(parts)), [one.n_rows for one in parts])
        return pa.array([one.value for one in parts], kind).take(pa.array(places))
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    if isinstance(parts[0], np.ndarray):
        return pa.array(np.concatenate(parts), kind, from_pandas=True)
    return pa.array([value for part in parts for value in part], kind, from_pandas=True)
