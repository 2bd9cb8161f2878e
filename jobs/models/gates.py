"""Judges a version by the gates of its product: each figure against its bound, with words for people.

Nothing here reads the lake; `jobs.rollout.evidence` brings the predictions, `jobs.models.bench` the times. A gate
that cannot be judged does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.fairness import DIFFERENCE, RATIO, Tally, named
from jobs.models.kinds.figures import FIGURES
from jobs.models.kinds.page_metrics import Scored, figure, paired_difference
from warehouse.definitions.gates import Bound, FairnessBound, GateSettings, NotWorse, SegmentBound
from warehouse.label_kinds import KINDS


@dataclass(frozen=True)
class GateResult:
    """What one gate found. `low` and `high` bound a difference; `n_rows` and `n_pages` say on how much it stands."""

    gate: str
    passed: bool
    figure: float | None
    bound: str
    message: str
    low: float | None = None
    high: float | None = None
    n_rows: int = 0
    n_pages: int = 0


@dataclass(frozen=True)
class Times:
    """What a version takes: rows of its features scored in a second, and seconds for one whole page of `page_rows`."""

    rows_per_second: float
    page_seconds: float
    page_rows: int


@dataclass(frozen=True)
class Judged:
    """What there is to judge by.

    Attributes
    ----------
    rows
        The version's own predictions, made without hindsight.
    paired
        Its predictions and the live version's of the same rows, where neither had hindsight; None without a
        live version.
    live
        That version.
    apart
        Why the live version cannot be compared with this one, where it cannot.
    segments
        Columns of `rows`: name to values (n_rows,), of any type.
    times
        Measured where a gate asks for it.
    parity
        None, or what differs between the compiled scorer and the estimator.
    """

    rows: Scored
    paired: tuple[Scored, Scored] | None
    live: str | None
    segments: Mapping[str, npt.NDArray[np.object_]]
    times: Times | None
    parity: str | None
    apart: str | None = None


def other_label(where: str) -> GateResult:
    """Give the gate that a version does not pass which learnt another label than the one declared now."""
    words = f"it learnt another label than {where} gives now, so no figure measures what it was trained for"
    return GateResult("label", False, None, "the label as it is", words)


def judge(gates: GateSettings, kind: str, judged: Judged, seed: int = 0) -> list[GateResult]:
    """Judge by every gate that is declared, in the order of product.yaml's keys."""
    results = [_metric(name, bound, judged.rows, gates.min_pages) for name, bound in gates.metrics.items()]
    if gates.not_worse and judged.live is not None:
        results.append(_not_worse(gates.not_worse, kind, judged, gates.min_pages, seed))
    if gates.calibration_error:
        found = _calibration_error(judged.rows, kind) if len(judged.rows.labels) else float("nan")
        results.append(_bounded("calibration_error", found, gates.calibration_error, judged.rows, gates.min_pages))
    for segment in gates.segments:
        results += _segments(segment, judged, gates.min_pages)
    for fair in gates.fairness:
        results += _fairness(fair, kind, judged, gates.min_pages, seed)
    results += _times(gates, judged.times)
    if gates.parity:
        words = judged.parity or "the compiled scorer gives the estimator's answers, or the estimator scores itself"
        results.append(GateResult("parity", judged.parity is None, None, "no difference", words))
    return results


def _calibration_error(rows: Scored, kind: str) -> float:
    of = FIGURES[kind].calibration_error
    assert of is not None, "gates.problems lets no other kind ask"
    return of(rows.labels, rows.scores, rows.quantiles)


def _pages_of(rows: Scored) -> int:
    return len(np.unique(rows.pages))


def _bounded(gate: str, found: float, bound: Bound, rows: Scored, min_pages: int) -> GateResult:
    n_pages, n_rows = _pages_of(rows), len(rows.labels)
    known = None if np.isnan(found) else found
    if n_pages < min_pages:
        words = f"{n_pages} labelled pages made without hindsight; {min_pages} are needed (gates.min_pages)"
        return GateResult(gate, False, known, str(bound), words, n_rows=n_rows, n_pages=n_pages)
    words = f"{found:.6g}, wanted {bound}" if known is not None else "not defined on these rows (one class only?)"
    return GateResult(gate, bound.holds(found), known, str(bound), words, n_rows=n_rows, n_pages=n_pages)


def _metric(name: str, bound: Bound, rows: Scored, min_pages: int) -> GateResult:
    return _bounded(name, figure(name, rows), bound, rows, min_pages)


def _not_worse(settings: NotWorse, kind: str, judged: Judged, min_pages: int, seed: int) -> GateResult:
    gate, bound = f"not_worse.{settings.metric}", f"margin {settings.margin:g} at {settings.confidence:g}"
    ours, theirs = judged.paired or (judged.rows.where(np.zeros(len(judged.rows.labels), bool)),) * 2
    n_pages, n_rows = _pages_of(ours), len(ours.labels)
    if judged.apart is not None:
        words = f"not compared: {judged.apart}"
        return GateResult(gate, False, None, bound, words)
    if n_pages < min_pages:
        words = (
            f"{n_pages} labelled pages on which neither this version nor the live {judged.live} had hindsight;"
            f" {min_pages} are needed (gates.min_pages)"
        )
        return GateResult(gate, False, None, bound, words, n_rows=n_rows, n_pages=n_pages)
    found = paired_difference(settings.metric, ours, theirs, settings.confidence, seed)
    worst = found.low if KINDS[kind].metrics[settings.metric] else -found.high
    words = f"{found.value:+.6g} against {judged.live}, between {found.low:+.6g} and {found.high:+.6g}"
    passed = bool(worst >= -settings.margin)
    return GateResult(gate, passed, found.value, bound, words, found.low, found.high, n_rows, n_pages)


def _segments(settings: SegmentBound, judged: Judged, min_pages: int) -> list[GateResult]:
    """Judge each value of a column that has enough rows; the worst comes to stand in the ledger like the others."""
    values = judged.segments[settings.by]
    results = []
    for value in sorted(set(values.tolist()), key=str):
        rows = judged.rows.where(values == value)
        if len(rows.labels) >= settings.min_rows:
            gate = f"segment.{settings.by}={value}.{settings.metric}"
            results.append(_bounded(gate, figure(settings.metric, rows), settings, rows, min_pages))
    if results:
        return results
    words = f"no value of {settings.by} has {settings.min_rows} labelled rows (min_rows)"
    return [GateResult(f"segment.{settings.by}.{settings.metric}", False, None, str(settings), words)]


def _fairness(settings: FairnessBound, kind: str, judged: Judged, min_pages: int, seed: int) -> list[GateResult]:
    """Judge how far the groups of some columns lie apart."""
    tally = Tally(kind, settings.threshold)
    groups = named([judged.segments[name] for name in settings.by])
    tally.add(judged.rows.pages, groups, judged.rows.labels, judged.rows.scores)
    figures = tally.figures(settings.min_rows, seed)
    found = {one.statistic: one for one in figures if one.metric == settings.metric and one.group is None}
    results = []
    for statistic, bound in (
        (DIFFERENCE, None if settings.difference is None else Bound(at_most=settings.difference)),
        (RATIO, None if settings.ratio is None else Bound(at_least=settings.ratio)),
    ):
        gate, one = f"fairness.{'+'.join(settings.by)}.{settings.metric}.{statistic}", found.get(statistic)
        if bound is None:
            continue
        if one is None:
            words = f"fewer than two groups with {settings.min_rows} labelled rows (min_rows), or not defined of them"
            results.append(GateResult(gate, False, None, str(bound), words))
            continue
        result = _bounded(gate, one.figure, bound, judged.rows, min_pages)
        words = f"{result.message}, between {one.low:.6g} and {one.high:.6g}"
        results.append(replace(result, message=words, low=one.low, high=one.high))
    return results


def _times(gates: GateSettings, times: Times | None) -> list[GateResult]:
    results = []
    if times and gates.rows_per_second is not None:
        bound, found = Bound(at_least=gates.rows_per_second), times.rows_per_second
        results.append(GateResult("rows_per_second", bound.holds(found), found, str(bound), f"{found:,.0f} a second"))
    if times and gates.page_seconds is not None:
        bound, found = Bound(at_most=gates.page_seconds), times.page_seconds
        words = f"{found:.3f} s for a page of {times.page_rows:,} rows"
        results.append(
            GateResult("page_seconds", bound.holds(found), found, str(bound), words, n_rows=times.page_rows, n_pages=1)
        )
    return results
