"""What is watched, as tables and lines: drift and performance page by page, and alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.cli.output import console
from jobs.cli.output.sparks import spark

if TYPE_CHECKING:
    from jobs.monitoring.judging.monitor import Monitored, MonitoredPage
    from jobs.monitoring.performance.fairness import Fairness
    from jobs.monitoring.performance.records import Performance
    from jobs.monitoring.performance.summary import Summary
    from warehouse.ledger.alarms import Alarm


def print_drift(found: Monitored, by: str | None) -> None:
    """Print what was found page by page, what the last year would have been, and the alarms that are open."""
    console.print_table([_page_row(one) for one in found.pages], f"Drift of {found.product}, page by page")
    console.print_table(
        [
            {"page": one.as_of, "state": one.state, "psi": one.psi, "score": one.score, "p": one.p}
            | {"evidence": one.evidence, "weight": one.weight, "missing_delta": one.missing_delta}
            for one in found.column
        ],
        found.column[0].column_name if found.column else None,
    )
    console.print_table(
        [
            {"page": one.as_of, "segment": one.segment, "rows": one.n_rows, "state": one.state, "ratio": one.score}
            | {"bound": one.score_bound, "evidence": one.evidence, "flagged": bool(one.flags), "alarm": one.alarm}
            for one in found.segments
        ],
        f"Drift by {by}: the largest distance over its bound, and the share of the evidence",
    )
    if line := spark([one.evidence for one in found.pages]):
        print(f"Evidence of slow drift: {line}")
    if line := spark([one.score for one in found.column]):
        print(f"Score of {found.column[0].column_name}: {line}")
    year = found.last_year
    if not year.pages:
        print(f"No page of {found.product} has been judged yet.")
        return
    print(
        f"The last year ({year.pages} pages) alarms {_times(year.slow_alarms)} for slow drift and"
        f" {_times(year.acute_alarms)} for acute findings, on {year.flagged_pages} pages; {year.expected_pages} more"
        " lie near days of the calendar."
    )
    if found.open_alarms:
        print_alarms(found.open_alarms, "Open alarms")
    else:
        print("No alarm is open.")


def _page_row(one: MonitoredPage) -> dict[str, Any]:
    said = "; ".join(f"{rule}: {', '.join(names[:3])}" if names else rule for rule, names in one.found.items())
    return {"page (UTC)": one.page, "rows": one.rows, "state": one.state} | {
        "found": said,
        "evidence": one.evidence,
        "alarm": one.alarm,
    }


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def print_alarms(found: Sequence[Alarm], title: str) -> None:
    """Print alarms as a table."""
    rows = []
    for one in found:
        state = one.state + (f" by {one.decided_by}: {one.reason}" if one.decided_by else "")
        state += f" ({one.expected})" if one.expected else ""
        rows.append(
            {"id": one.alarm_id, "product": one.product, "kind": one.kind, "state": state, "since": one.since}
            | {"page": one.first_page, "until": one.last_page, "evidence": one.evidence, "effect": one.effect}
            | {"what": one.message}
        )
    console.print_table(rows, title)


def print_performance(found: Summary, by: str | None) -> None:
    """Print the performance of pages, in all and by a column, and what is to be said of it."""
    console.print_table([_of_page(one) for one in found.pages], "Performance")
    console.print_table(found.segments, f"Performance by {by}")
    console.lines_of(found.notes)


def _of_page(one: Performance) -> dict[str, Any]:
    """Choose what of a judgement fits into a terminal; `ledger.performance` has all of it."""
    metric = next((name for name in ("roc_auc", "mae", "macro_f1") if name in one.metrics), None)
    return {
        "page": one.as_of,
        "version": one.model_version,
        "rows": one.n_rows,
        "labelled": one.n_labelled,
        "loss": one.loss,
        "expected": one.expected_loss,
        "excess": one.excess,
        "metric": f"{metric} {one.metrics[metric]:.4f}" if metric else None,
        "evidence": None if one.evidence is None else f"{one.evidence:.3g} of {one.bound:.0f}",
        "alarm": "begins" if one.alarm else "open" if one.alarm_open else None,
        "estimate": None if one.estimate is None else f"{one.estimate_low:.4f} to {one.estimate_high:.4f}",
    }


def print_fairness(figures: Sequence[Fairness]) -> None:
    """Show how far groups lie apart, of each metric, with the interval whose unit is the page."""
    apart = [
        {
            "version": one.model_version,
            "by": one.by_columns,
            "metric": one.metric,
            "statistic": one.statistic,
            "figure": one.figure,
            "low": one.low,
            "high": one.high,
            "rows": one.n_rows,
            "pages": one.n_pages,
        }
        for one in figures
        if one.group_values is None
    ]
    console.print_table(apart, "Fairness: how far groups lie apart (ledger.fairness has each group)")
