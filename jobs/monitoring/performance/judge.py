"""Judging published pages by the labels that have come: `ledger.performance`.

A judgement is a function of what was known at an instant: labels as known then, of pages whose `as_of` lies before it.
It is made for now, and written, or for an instant of the past, and shown. What was judged before on the same page and
the same labels is taken over; a row is written where anything of it is new. Only pages whose labels have all had the
time to come have metrics, excess and evidence: what comes early is not like what comes late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from jobs.metering import RunMeter
from jobs.models.columns.requirements import declared_classes_of
from jobs.models.kinds.figures import scores_of
from jobs.models.versions import load_held_out
from jobs.monitoring.performance import page_figures
from jobs.monitoring.performance.alarms import alarms_in
from jobs.monitoring.performance.calibration import PAGES, Calibration
from jobs.monitoring.performance.cold import COLD
from jobs.monitoring.performance.estimate import estimate
from jobs.monitoring.performance.evidence import MARGIN, R_OF_VARIANCE, says_too_little, steps, variance_to_r
from jobs.monitoring.performance.label_shares import labels_at, shares_of_labels
from jobs.monitoring.performance.losses import KINDS_JUDGED, Expectation, Floats, expectation, losses
from jobs.monitoring.performance.page_figures import Judged, Of, PageFigures
from jobs.monitoring.performance.records import Performance, newest_judgements
from jobs.monitoring.performance.unfinished import find_untold
from jobs.pages.outcomes import matured_pages, settle_labels
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import ScoringFailed, UsageError
from warehouse.lake.lake import table_columns
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import PERFORMANCE, alarms_of, news_of, settle_alarms
from warehouse.ledger.records import ModelRecord, PageRecord
from warehouse.pages.kind_columns import lacks_fields
from warehouse.system_sql import exact_path, literal, quote

_YEAR = timedelta(days=365)
_NO_ESTIMATE: dict[str, Any] = dict.fromkeys(("estimate", "estimate_low", "estimate_high", "withheld"))


@dataclass(frozen=True)
class Reference:
    """What a version's validation tells.

    Attributes
    ----------
    expectation
        What to expect of its predictions.
    excess
        The mean excess loss of each page held out.
    level
        The mean loss that held-out rows expect.
    """

    expectation: Expectation | None
    excess: Floats = field(default_factory=lambda: np.empty(0))
    level: float | None = None


@dataclass(frozen=True)
class Judgement:
    """The newest judgement of every page, version and segment, the oldest page first.

    `held_out` has by version the mean excess loss of each page that its validation held out; `note` says why there
    is no judgement, where the kind of label has none, and why the newest pages have none.
    """

    rows: list[Performance]
    held_out: Mapping[str, Floats] = field(default_factory=dict)
    note: str = ""


def judge_performance(suite: Suite, product_name: str, as_known_at: datetime | None = None) -> Judgement:
    """Judge the published pages of a product; the judgements of now are written, those of an instant only given."""
    product = suite.definitions.product(product_name)
    if product.kind.name not in KINDS_JUDGED:
        words = f"performance of a {product.kind.name} is not judged page by page; `almanac evaluate` measures it."
        return Judgement([], note=words)
    meter = RunMeter(suite, "monitor", product.name)
    if product.ranking is not None:
        # An entry's loss depends on the others of its list; lists are looked at by `evaluate`.
        return Judgement([])
    with suite.lake.reading() as connection:
        if lacks_fields(product, table_columns(connection, "predictions", product.name)):
            return Judgement([])
    if as_known_at is None:
        settle_labels(suite, product)
        found = _judge(suite, product, suite.clock(), meter.run_id, None)
        _write(suite, product, meter, found.rows)
        return found
    with suite.staging(meter.run_id) as directory:
        return _judge(suite, product, as_known_at, meter.run_id, directory)


def _judge(suite: Suite, product: Product, at: datetime, run_id: str, directory: Path | None) -> Judgement:
    with suite.lake.reading() as connection:
        pages = _pages(connection, product, at)
        models = {model.version: model for model in ledger.models(connection, product.name)}
        kept = newest_judgements(connection, product.name, at) if directory is None else []
        decided = {
            one.first_page
            for one in alarms_of(connection, product.name, at)
            if one.kind == PERFORMANCE and one.decided_by is not None
        }
        labels_of = ledger.published_pages(connection, product.name, "labels") if directory is None else {}
    if not pages:
        return Judgement([])
    matured = matured_pages(suite, product, [page.as_of for page in pages], at)
    untold = find_untold(suite, product, matured, at)
    mature = {page for page in matured if untold is None or page < untold.pages[0]}
    versions = {page.model_version or "" for page in pages}
    references = {name: _reference(suite, product, models.get(name)) for name in versions}
    labels = _labels(suite, product, pages, at, directory)
    judged = Judged(product, labels, segments_of(product), {name: one.expectation for name, one in references.items()})
    runs = {page.as_of: labels_of[page.as_of].run_id for page in pages if page.as_of in labels_of}
    taken_over = _taken_over(pages, kept, runs, mature, judged)
    anew = {page.as_of for page in pages} - taken_over.keys()
    # Where validation says too little of a version, its first page stands in for it, whenever that was judged.
    first_pages = {page.model_version or "": page.as_of for page in reversed(pages)}
    stand_in = {page for version, page in first_pages.items() if says_too_little(references[version].excess)}
    asked = [page for page in pages if page.as_of in anew | stand_in]
    with suite.lake.reading(all_cores=True) as connection:
        if not labels:
            judged = replace(judged, labels=f"(SELECT *, NULL AS label FROM predictions.{quote(product.name)} LIMIT 0)")
        figures = page_figures.figures_of(connection, judged, asked, mature)
        rows = [row for page in pages for row in _rows(page, figures, taken_over, mature, at, run_id, runs)]
        rows = _calibrated(connection, judged, rows, anew)
    # Of pages whose time is over, and whose labels a source does not tell, nobody knows how many are there.
    asked_of = [row for row in rows if row.as_of in mature or row.as_of not in matured]
    shares = shares_of_labels(suite, product, asked_of, at)
    rows = [replace(row, maturity=shares.get(row.as_of)) for row in rows]
    whole = [(of, one) for of, one in figures.items() if of[2] is None]
    first = {of[1]: one.row_variance for of, one in sorted(whole, key=_by_page, reverse=True)}
    judged_rows = _with_evidence(product, rows, references, first, at, decided)
    note = f"{untold.in_words(product)} They are not judged." if untold else ""
    return Judgement(judged_rows, {name: one.excess for name, one in references.items()}, note)


def _by_page(item: tuple[Of, PageFigures]) -> datetime:
    return item[0][0]


def segments_of(product: Product) -> tuple[str, ...]:
    """Give the columns by whose values a product's pages are judged besides, `cold` among them."""
    settings = product.header.monitor
    return (*settings.segments, *([COLD] if settings.cold is not None else []))


def _pages(connection: duckdb.DuckDBPyConnection, product: Product, at: datetime) -> list[PageRecord]:
    published = ledger.published_pages(connection, product.name, "predictions")
    return [page for as_of, page in sorted(published.items()) if as_of < at and not page.hindsight and page.n_rows]


def _reference(suite: Suite, product: Product, model: ModelRecord | None) -> Reference:
    """Read what validation held out, as far as it is there and of the classes that are declared now."""
    kind = product.kind.name
    nothing = Reference(expectation(kind, None, None))
    if model is None or (product.classes and declared_classes_of(model) != product.classes):
        return nothing
    try:
        held_out = load_held_out(suite.lake, model)
    except (ScoringFailed, UsageError):
        # What a version expects of itself is then known from its probabilities, and r from the first page.
        return nothing
    if held_out is None or held_out.num_rows == 0:
        return nothing
    labels, scores = np.asarray(held_out.column("label").to_numpy(), np.float64), scores_of(held_out)
    if (1 if scores.ndim == 1 else scores.shape[1]) != max(1, len(product.classes or product.quantiles)):
        return nothing
    expected = expectation(kind, labels, scores, product.quantiles)
    if expected is None:
        return nothing
    _, places = np.unique(held_out.column("as_of").to_numpy(), return_inverse=True)
    allowed = expected.loss(scores)
    beyond = losses(labels, scores, kind, product.quantiles) - allowed
    return Reference(expected, np.bincount(places, beyond) / np.bincount(places), float(allowed.mean()))


def page_excess_deviation(suite: Suite, product: Product, model: ModelRecord) -> float | None:
    """Give the page standard deviation of a version's excess loss, by its validation; None where that is not known."""
    excess = _reference(suite, product, model).excess
    return float(np.sqrt(variance_to_r(excess, 0.0) / R_OF_VARIANCE)) if len(excess) >= 5 else None


def _labels(suite: Suite, product: Product, pages: Sequence[PageRecord], at: datetime, directory: Path | None) -> str:
    """Give SQL of the labels as known at an instant; without a directory those that the lake has, if it has any."""
    if directory is None:
        with suite.lake.reading() as connection:
            there = table_columns(connection, "labels", product.name)
        return f"labels.{quote(product.name)}" if there else ""
    file = labels_at(suite, product, [page.as_of for page in pages], at, directory)
    return f"read_parquet({literal(exact_path(file))})"


def _taken_over(
    pages: Sequence[PageRecord],
    kept: Sequence[Performance],
    label_runs: Mapping[datetime, str],
    mature: set[datetime],
    judged: Judged,
) -> dict[datetime, list[Performance]]:
    """Choose the pages whose judgements are of the same predictions and labels, with the same segments."""
    by_page: dict[datetime, list[Performance]] = {}
    for row in kept:
        by_page.setdefault(row.as_of, []).append(row)
    found = {}
    for page in pages:
        rows = [row for row in by_page.get(page.as_of, []) if row.page_run_id == page.run_id]
        is_mature = page.as_of in mature
        same = all(row.is_mature == is_mature and row.labels_run_id == label_runs.get(page.as_of) for row in rows)
        segments = {row.segment for row in rows if row.segment}
        if rows and same and (is_mature or page.as_of in label_runs) and segments == set(judged.segments):
            found[page.as_of] = rows
    return found


def _rows(
    page: PageRecord,
    figures: Mapping[Of, PageFigures],
    taken_over: Mapping[datetime, list[Performance]],
    mature: set[datetime],
    at: datetime,
    run_id: str,
    label_runs: Mapping[datetime, str],
) -> list[Performance]:
    if page.as_of in taken_over:
        return taken_over[page.as_of]
    rows = []
    for (as_of, version, segment, value), one in figures.items():
        if as_of == page.as_of:
            rows.append(
                Performance(
                    product=page.product,
                    as_of=as_of,
                    model_version=version,
                    segment=segment,
                    segment_value=value,
                    known_by=at,
                    run_id=run_id,
                    page_run_id=page.run_id,
                    labels_run_id=label_runs.get(as_of),
                    n_rows=one.n_rows,
                    n_labelled=one.n_labelled,
                    is_mature=as_of in mature,
                    metrics=dict(one.metrics),
                    expected=dict(one.expected),
                    loss=one.loss,
                    expected_loss=one.expected_loss,
                    excess=one.excess,
                )
            )
    return rows


def _calibrated(
    connection: duckdb.DuckDBPyConnection, judged: Judged, rows: list[Performance], anew: set[datetime]
) -> list[Performance]:
    """Give the rows of whole pages their calibration, of the last 20 pages of their version."""
    found = list(rows)
    for version in {row.model_version for row in rows}:
        places = [n for n, row in enumerate(rows) if _is_whole(row, version)]
        stretches = [places[max(0, n - PAGES + 1) : n + 1] for n in range(len(places))]
        # The calibration of a page changes with any of the pages that it is over.
        asked = [stretch for stretch in stretches if any(rows[n].as_of in anew for n in stretch)]
        fitted = page_figures.calibrations(connection, judged, [[rows[n].as_of for n in one] for one in asked])
        for stretch, one in zip(asked, fitted, strict=True):
            found[stretch[-1]] = replace(found[stretch[-1]], **_of_calibration(one))
    return found


def _is_whole(row: Performance, version: str) -> bool:
    return row.segment is None and row.is_mature and row.model_version == version and row.n_labelled > 0


def _of_calibration(one: Calibration | None) -> dict[str, Any]:
    values = vars(one) if one else {}
    names = {"calibration_slope": "slope", "calibration_intercept": "intercept"}
    names |= {name: name for name in ("slope_low", "slope_high", "intercept_low", "intercept_high")}
    return {name: values.get(other) for name, other in names.items()}


def _with_evidence(
    product: Product,
    rows: list[Performance],
    references: Mapping[str, Reference],
    row_variance: Mapping[str, float],
    at: datetime,
    decided: set[datetime],
) -> list[Performance]:
    """Give the rows of whole pages their evidence, version by version, and those without labels their estimate."""
    pages_a_day = len(list(product.grid.between(at - _YEAR, at))) / _YEAR.days
    bound = max(pages_a_day * product.header.monitor.days_per_false_alarm, 2.0)
    found = list(rows)
    for version, reference in references.items():
        places = [n for n, row in enumerate(rows) if _is_whole(row, version) and row.excess is not None]
        excess = [rows[n].excess or 0.0 for n in places]
        level = reference.level or (rows[places[0]].expected_loss if places else None) or 0.0
        margin = margin_of(product, level)
        r = variance_to_r(reference.excess, row_variance.get(version, 0.0))
        going = steps(excess, r, margin, bound)
        for n, step in zip(places, going, strict=True):
            found[n] = replace(found[n], margin=margin, bound=bound, **_of_step(vars(step)))
        past = np.concatenate([reference.excess, np.array(excess)])
        since = list[datetime]()
        for n, step in zip(places, going, strict=True):
            since = (since or [rows[n].as_of]) if step.is_open else []
        # An alarm that a person has accepted or closed holds nothing back.
        since = [] if decided.intersection(since) else since
        for n, row in enumerate(rows):
            if row.model_version == version and not row.is_mature and row.expected_loss is not None and not row.segment:
                found[n] = replace(row, **(_NO_ESTIMATE | _estimated(row, past, since)))
    return found


def _of_step(step: dict[str, Any]) -> dict[str, Any]:
    return {"alarm_open" if name == "is_open" else name: value for name, value in step.items()}


def _estimated(row: Performance, past: Floats, alarm_since: Sequence[datetime]) -> dict[str, Any]:
    if alarm_since:
        why = f"an alarm is open since the page {alarm_since[0]}: the predictions do not keep what they expect"
        return {"withheld": why}
    one = estimate(np.array([row.expected_loss]), np.array([float(row.n_rows)]), past)
    if one is None:
        return {"withheld": "fewer than 5 pages, validation's among them, have shown how far off expectations are"}
    return {"estimate": one.value, "estimate_low": one.low, "estimate_high": one.high}


def margin_of(product: Product, level: float) -> float:
    """Give the excess that is no worry: what gates allow a new version, if it is of the loss itself.

    Otherwise it is a share of the expected loss, `level`.
    """
    gates, kind = product.header.gates, product.kind
    # The RMSE that gates know is no mean of losses.
    if gates and gates.not_worse and gates.not_worse.metric == kind.loss and kind.loss != "rmse":
        return gates.not_worse.margin
    return MARGIN * level


def _write(suite: Suite, product: Product, meter: RunMeter, rows: Sequence[Performance]) -> None:
    """Append the judgements that say anything new."""
    at = suite.clock()
    with suite.lake.reading() as connection:
        known = {row.judged: row for row in newest_judgements(connection, product.name, at)}
        standing = [one for one in alarms_of(connection, product.name) if one.kind == PERFORMANCE]
    found = alarms_in(rows)
    new = [_as_of_now(row, at, meter.run_id) for row in rows if not _says_the_same(row, known.get(row.judged))]
    if not new and not news_of(standing, found):
        return
    with suite.lake.commit(f"performance of {len(new)} pages of {product.name}, run {meter.run_id}") as commit:
        ledger.append(commit, [replace(row, snapshot_id=commit.snapshot_id) for row in new])
        settle_alarms(commit, product.name, (PERFORMANCE,), found, meter.run_id, at)
        span: dict[str, Any] = {"first_as_of": rows[0].as_of, "last_as_of": rows[-1].as_of} if rows else {}
        span["n_pages"] = len({row.as_of for row in new})
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id, **span)])


def _as_of_now(row: Performance, at: datetime, run_id: str) -> Performance:
    return replace(row, known_by=at, run_id=run_id)


def _says_the_same(row: Performance, known: Performance | None) -> bool:
    if known is None:
        return False
    return replace(known, known_by=row.known_by, run_id=row.run_id, snapshot_id=row.snapshot_id) == row
