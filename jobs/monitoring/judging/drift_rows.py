"""The rows of ledger.drift: what was found of a product's pages, as it is written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
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
    import pyarrow as pa

#: Columns of ledger.drift by their names: lists or arrays of one length.
_Columns = dict[str, Any]


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
    import pyarrow as pa

    of_page = _page_rows(pages, found, alarms, expected, bases)
    of_columns = [_column_rows(pages, found, row, alarms, expected) for row in range(len(found.columns))]
    of_segments = segment_rows(of_page, found) if found.segments is not None else []
    tables = [_table(product, [of_page]), _table(product, of_columns)]
    return pa.concat_tables([*tables, _table(product, of_segments)] if of_segments else tables)


def training_rows(product: Product, pages: list[datetime], compared: Iterable[tuple[Series, Scores]]) -> pa.Table:
    """Give the rows of pages beside the training pages of their version."""
    return _table(product, [_training_rows(pages, part, scores) for part, scores in compared])


def _training_rows(pages: list[datetime], part: Series, scores: Scores) -> _Columns:
    import numpy as np

    n_pages = len(part.pages)
    return {
        "kind": [part.kind] * n_pages,
        "as_of": [pages[place] for place in part.pages],
        "column_name": [part.column] * n_pages,
        "reference": [TRAINING] * n_pages,
        "run_id": list(part.run_ids),
        "state": ["no evidence" if is_unknown else "judged" for is_unknown in np.isnan(scores.score)],
        "n_rows": part.n_rows,
        "flags": [[] for _ in range(n_pages)],
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
    pages: list[datetime],
    found: Watch,
    row: int,
    alarms: Sequence[Alarm],
    expected: dict[datetime, str],
) -> _Columns:
    import numpy as np

    one, evidence = found.columns[row], found.evidence
    series, scores, there = one.series, one.scores, one.series.pages
    if series.segment is not None:  # it has no rows where it has no profile
        kept = np.flatnonzero(series.n_rows > 0)
        series, scores, there = series.of(kept), scores.of(kept), there[kept]
        one = replace(one, series=series)
    n_pages = len(there)
    flags: list[list[str]] = [[] for _ in range(n_pages)]
    for rule, each in one.flags.items():
        for place in np.flatnonzero(each[there]):
            flags[int(place)].append(rule)
    return {
        "kind": [series.kind] * n_pages,
        "as_of": [pages[place] for place in there],
        "column_name": [series.column] * n_pages,
        "segment": [series.segment] * n_pages,
        "run_id": list(series.run_ids),
        "state": _states(one, found, pages, expected),
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
        "flags": flags,
        "alarm": _alarms_of_column(one, found, pages, flags, alarms),
    }


def _states(one: Watched, found: Watch, pages: list[datetime], expected: dict[datetime, str]) -> list[str]:
    import numpy as np

    states = []
    for place in one.series.pages:
        if np.isnan(one.score[place]):
            state = "no evidence"
        elif one.is_learning[place]:
            state = "learning"
        elif found.evidence.is_resting[place]:
            state = "resting"
        else:
            state = "judged"
        states.append("expected" if pages[place] in expected else state)
    return states


def _alarms_of_column(
    one: Watched, found: Watch, pages: list[datetime], flags: list[list[str]], alarms: Sequence[Alarm]
) -> list[str | None]:
    of_page: dict[int, str] = {}
    segment = one.series.segment
    told = found.segments.flags_of(segment) if found.segments is not None and segment is not None else None
    for alarm in alarms:
        if one.series.column not in alarm.columns:
            continue
        for place, page in enumerate(one.series.pages):
            in_it = alarm.first_page <= pages[page] <= alarm.last_page
            if told is not None:
                in_it = in_it and alarm.kind != DRIFT and bool(told[page])
            if in_it and (alarm.kind == DRIFT or flags[place]):
                of_page.setdefault(place, alarm.alarm_id)
    return [of_page.get(place) for place in range(len(flags))]


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
    n_rows = sum(len(part["as_of"]) for part in parts)
    names = {spec.name for spec in fields(Drift)} & set(parts[0] if parts else ())
    columns = {name: _joined([part[name] for part in parts]) for name in names}
    columns = {"product": [product.name] * n_rows, "reference": [SEASON] * n_rows, **columns}
    arrays = {}
    for spec in fields(Drift):
        if spec.name in ("known_by", "snapshot_id"):
            continue
        kind = kinds[str(spec.type).removesuffix(" | None")]
        values = columns.get(spec.name, [None] * n_rows)
        arrays[spec.name] = pa.array(values, kind, from_pandas=True)
    return pa.table(arrays)


def _joined(parts: Sequence[Any]) -> Any:
    import numpy as np

    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [value for part in parts for value in part]
