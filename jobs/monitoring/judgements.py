"""Judgements: what was found of a product's pages, as rows of the ledger, with the alarms that come of it.

A judgement is made after the page's commit, reads profiles only, and changes nothing of what is published. Pages are
judged again whenever something bears on them: rows that come out as they stand in the ledger are not written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb

from jobs.metering import RunMeter
from jobs.monitoring.alarm_rules import alarms_found
from jobs.monitoring.references import seasons
from jobs.monitoring.scores import Scores
from jobs.monitoring.series import Series, read_series
from jobs.monitoring.training_reference import TRAINING, beside_training
from jobs.monitoring.watch import Watch, Watched, watch
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import ACUTE, DRIFT, Alarm, alarms_of, news_of, settle_alarms
from warehouse.ledger.drift import Drift
from warehouse.ledger.records import ModelRecord
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

SEASON = "season"


@dataclass(frozen=True)
class Judgement:
    """What was found of a product's pages, in the order of the grid.

    `expected` has the name of the calendar's day of each page that is near one, and `rows` what goes into ledger.drift.
    """

    product: Product
    pages: list[datetime]
    watch: Watch | None
    alarms: list[Alarm]
    expected: dict[datetime, str]
    rows: pa.Table | None


def judge(connection: duckdb.DuckDBPyConnection, product: Product, known_at: datetime | None = None) -> Judgement:
    """Judge all pages that are published, or were at an instant, by what was known then.

    Parameters
    ----------
    connection
        One that reads the lake.
    known_at
        Naive UTC; nothing that was written to the ledger later is read.
    """
    pages = _pages(connection, product, known_at)
    series = read_series(connection, product.name, pages, known_at)
    expected = {page: name for page in pages if (name := product.calendar.expects(_day(product, page))) is not None}
    if not series:
        return Judgement(product, pages, None, [], expected, None)
    versions = _versions(connection, product, pages, known_at)
    bound = _pages_a_false_alarm(product, pages) / 2
    classes = seasons(product, pages)
    found = watch(
        series,
        len(pages),
        classes,
        lambda one: _weights(one, versions),
        lambda one: _counted(one, versions),
        bound,
    )
    alarms = alarms_found(product, pages, found, expected)
    rows = _rows(product, pages, found, alarms, expected, _live_versions(connection, product, pages, known_at))
    return Judgement(product, pages, found, alarms, expected, rows)


def judge_and_write(suite: Suite, product: Product) -> Judgement:
    """Judge a product's pages, and write down what is new in one commit; none if nothing is."""
    with suite.lake.reading(all_cores=True) as connection:
        judgement = judge(connection, product)
        changed = None
        if judgement.rows is not None:
            connection.register("judged_now", judgement.rows)
            query = system_sql("monitoring/changed")
            changed = connection.execute(query, [product.name]).to_arrow_table()
            connection.unregister("judged_now")
        standing = [one for one in alarms_of(connection, product.name) if one.kind in (ACUTE, DRIFT)]
    if (changed is not None and changed.num_rows) or news_of(standing, judgement.alarms):
        _write(suite, judgement, changed)
    return judgement


def _write(suite: Suite, judgement: Judgement, changed: pa.Table | None) -> None:
    import pyarrow as pa

    product, now = judgement.product, suite.clock()
    meter = RunMeter(suite, "monitor", product.name)
    n_rows = changed.num_rows if changed is not None else 0
    with suite.lake.commit(f"judgements of {product.name}, run {meter.run_id}") as commit:
        if changed is not None and n_rows:
            dated = changed.append_column("known_by", pa.array([now] * n_rows, pa.timestamp("us")))
            dated = dated.append_column("snapshot_id", pa.array([commit.snapshot_id] * n_rows, pa.int64()))
            commit.connection.register("judged_now", dated)
            commit.execute("INSERT INTO ledger.drift BY NAME SELECT * FROM judged_now")
            commit.connection.unregister("judged_now")
        settle_alarms(commit, product.name, (ACUTE, DRIFT), judgement.alarms, meter.run_id, now)
        span = {"first_as_of": judgement.pages[0], "last_as_of": judgement.pages[-1]} if judgement.pages else {}
        figures = {"snapshot_id": commit.snapshot_id, "n_pages": len(judgement.pages), "n_rows": n_rows}
        ledger.append(commit, [meter.record("succeeded", **figures, **span)])


def _pages(connection: duckdb.DuckDBPyConnection, product: Product, known_at: datetime | None) -> list[datetime]:
    rows = connection.execute(system_sql("monitoring/pages"), [product.name, known_at]).fetchall()
    return [as_of for (as_of,) in rows]


def _day(product: Product, page: datetime) -> Any:
    return page.replace(tzinfo=UTC).astimezone(ZoneInfo(product.header.pages.zone)).date()


def _pages_a_false_alarm(product: Product, pages: Sequence[datetime]) -> float:
    """Give how many pages there are in the time in which one false alarm may be."""
    days = product.header.monitor.days_per_false_alarm
    span = (pages[-1] - pages[0]).total_seconds() / 86_400
    if len(pages) < 2 or span <= 0:
        return days
    # The grid's own rate, not that of pages: some may lack.
    return max(2.0, days * len(product.pages_between(pages[0], pages[-1])) / span)


def _versions(
    connection: duckdb.DuckDBPyConnection, product: Product, pages: Sequence[datetime], known_at: datetime | None
) -> list[ModelRecord | None]:
    """Give the version that each page is judged by: the live one, and before there was any, the first."""
    live = _live_versions(connection, product, pages, known_at)
    first = next((one for one in live if one is not None), None)
    return [one or first for one in live]


def _live_versions(
    connection: duckdb.DuckDBPyConnection, product: Product, pages: Sequence[datetime], known_at: datetime | None
) -> list[ModelRecord | None]:
    promotions = [
        one for one in ledger.promotions(connection, product.name) if known_at is None or one.promoted_at <= known_at
    ]
    models = {one.version: one for one in ledger.models(connection, product.name)}
    return [models.get(ledger.model_in_effect(promotions, page) or "") for page in pages]


def _weights(series: Series, versions: Sequence[ModelRecord | None]) -> Floats:
    """Give what a column's slow drift weighs on each page; without importances, each column as much as another."""
    import numpy as np

    weights = np.zeros(len(versions))
    if series.kind != "features":
        return weights
    by_version = {id(one): _weight(series.column, one) for one in versions}
    return np.array([by_version[id(one)] for one in versions])


def _weight(column: str, version: ModelRecord | None) -> float:
    if version is None or not any(value > 0 for value in version.importance.values()):
        return float(version is None or not version.features or column in version.features)
    return max(0.0, version.importance.get(column, 0.0))


def _counted(series: Series, versions: Sequence[ModelRecord | None]) -> Flags:
    """Tell on which pages acute findings in a column count: those of what the version reads, and of predictions."""
    import numpy as np

    if series.kind != "features":
        return np.ones(len(versions), bool)
    return np.array([one is None or not one.features or series.column in one.features for one in versions], bool)


def _rows(
    product: Product,
    pages: list[datetime],
    found: Watch,
    alarms: Sequence[Alarm],
    expected: dict[datetime, str],
    live: Sequence[ModelRecord | None],
) -> pa.Table:
    """Give the rows of ledger.drift, those of the pages as a whole first."""
    import pyarrow as pa

    parts = [_page_rows(product, pages, found, alarms, expected)]
    parts += [_column_rows(product, pages, found, place, alarms, expected) for place in range(len(found.columns))]
    parts += [
        _training_rows(product, pages, part, scores)
        for one in found.columns
        if one.series.kind == "features"
        for part, scores in beside_training(one.series, pages, live)
    ]
    return pa.concat_tables([part for part in parts if part.num_rows])


def _training_rows(product: Product, pages: list[datetime], part: Series, scores: Scores) -> pa.Table:
    import numpy as np

    n_pages = len(part.pages)
    return _table(
        product,
        kind=[part.kind] * n_pages,
        as_of=[pages[place] for place in part.pages],
        column_name=[part.column] * n_pages,
        reference=[TRAINING] * n_pages,
        run_id=list(part.run_ids),
        state=["no evidence" if is_unknown else "judged" for is_unknown in np.isnan(scores.score)],
        n_rows=part.n_rows,
        flags=[[] for _ in range(n_pages)],
        **_figures(scores),
    )


def _figures(scores: Scores) -> dict[str, Any]:
    """Give the distances as columns of ledger.drift."""
    names = ("n_reference", "psi", "js", "w1", "ks", "missing_delta", "new_share", "out_of_range_share", "score")
    return {name: getattr(scores, name) for name in names}


def _page_rows(
    product: Product, pages: list[datetime], found: Watch, alarms: Sequence[Alarm], expected: dict[datetime, str]
) -> pa.Table:
    runs: dict[int, tuple[int, str]] = {}
    for one in found.columns:
        if one.series.kind == "features" or not runs:
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
    return _table(
        product,
        kind=["features"] * len(there),
        as_of=[pages[place] for place in there],
        column_name=[None] * len(there),
        run_id=[runs[place][1] for place in there],
        state=states,
        n_rows=[runs[place][0] for place in there],
        evidence=found.evidence.product[there],
        flags=[["volume"] if found.volume[place] else [] for place in there],
        alarm=[of_page.get(pages[place]) for place in there],
    )


def _column_rows(
    product: Product,
    pages: list[datetime],
    found: Watch,
    row: int,
    alarms: Sequence[Alarm],
    expected: dict[datetime, str],
) -> pa.Table:
    import numpy as np

    one, evidence = found.columns[row], found.evidence
    series, scores, there = one.series, one.scores, one.series.pages
    n_pages = len(there)
    flags: list[list[str]] = [[] for _ in range(n_pages)]
    for rule, each in one.flags.items():
        for place in np.flatnonzero(each[there]):
            flags[int(place)].append(rule)
    return _table(
        product,
        kind=[series.kind] * n_pages,
        as_of=[pages[place] for place in there],
        column_name=[series.column] * n_pages,
        run_id=list(series.run_ids),
        state=_states(one, found, pages, expected),
        n_rows=series.n_rows,
        **(_figures(scores) | {"score": one.score[there]}),
        slow_score=one.slow_score[there],
        p=evidence.p[row, there],
        e=evidence.e[row, there],
        evidence=np.where(np.isnan(evidence.p[row, there]), np.nan, evidence.columns[row, there]),
        weight=evidence.weights[row, there],
        flags=flags,
        alarm=_alarms_of_column(one, pages, flags, alarms),
    )


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
    one: Watched, pages: list[datetime], flags: list[list[str]], alarms: Sequence[Alarm]
) -> list[str | None]:
    of_page: dict[int, str] = {}
    for alarm in alarms:
        if one.series.column not in alarm.columns:
            continue
        for place, page in enumerate(one.series.pages):
            in_it = alarm.first_page <= pages[page] <= alarm.last_page
            if in_it and (alarm.kind == DRIFT or flags[place]):
                of_page.setdefault(place, alarm.alarm_id)
    return [of_page.get(place) for place in range(len(flags))]


def _table(product: Product, **columns: Any) -> pa.Table:
    """Give an Arrow table in the columns of ledger.drift, but for those of the commit; NaN is NULL."""
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {
        "str": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "datetime": pa.timestamp("us"),
        "list[str]": pa.list_(pa.string()),
    }
    n_rows = len(columns["as_of"])
    columns = {"product": [product.name] * n_rows, "reference": [SEASON] * n_rows, **columns}
    arrays = {}
    for spec in fields(Drift):
        if spec.name in ("known_by", "snapshot_id"):
            continue
        kind = kinds[str(spec.type).removesuffix(" | None")]
        values = columns.get(spec.name, [None] * n_rows)
        arrays[spec.name] = pa.array(values, kind, from_pandas=True)
    return pa.table(arrays)
