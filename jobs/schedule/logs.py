"""The clock's log: a line of JSON for each thing that happens, on standard error, with job, page and run."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from jobs.schedule.files.redaction import redacted
from jobs.schedule.scheduler import Step

#: After an outage thousands of ticks may be coalesced; so many of them are told one by one.
_ONE_BY_ONE = 3


def open_log() -> Any:
    """Make the logger of a scheduler; secrets are blotted out of all that goes through it."""
    import structlog

    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _redact,
            structlog.processors.JSONRenderer(default=str),
        ],
    )


def _redact(_logger: Any, _method: str, event: Any) -> Any:
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    return [_clean(item) for item in value] if isinstance(value, (list, tuple)) else value


def log_step(log: Any, step: Step) -> None:
    """Say what a step of the scheduler did."""
    for run in step.started:
        ticks = [tick.at for tick in run.ticks]
        pages = [run.first_page, run.last_page] if len(ticks) > 1 else run.first_page
        log.info("run started", job=run.job.name, run=run.run, page=pages, ticks=len(ticks), work=str(run.job.work))
    for ending in step.ended:
        say = log.info if ending.finished.succeeded else log.warning
        how = {"succeeded": ending.finished.succeeded, "reason": ending.finished.reason or None}
        say("run ended", job=ending.job, run=ending.finished.run, page=ending.page, **how)
    for name, again in step.again:
        facts = {"attempts": again.attempts, "abandoned": again.abandoned, "not_before": again.not_before}
        log.warning("tick waits for another attempt", job=name, tick=again.tick.at, reason=again.reason, **facts)
    told: Counter[tuple[str, str]] = Counter()
    for name, end in step.settled:
        told[name, end.outcome] += 1
        if end.outcome in ("coalesced", "skipped") and told[name, end.outcome] > _ONE_BY_ONE:
            continue
        say = log.error if end.outcome == "failed" else log.info
        facts = {"page": end.tick.page, "outcome": end.outcome, "reason": end.reason or None, "run": end.tick.run}
        say("tick settled", job=name, tick=end.tick.at, **facts)
    for (name, outcome), count in told.items():
        if outcome in ("coalesced", "skipped") and count > _ONE_BY_ONE:
            log.info("more ticks settled", job=name, outcome=outcome, count=count - _ONE_BY_ONE)
