"""The ledger's row of a run that made pages."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.metering import RunMeter
from warehouse.ledger.records import ModelRecord, PageRecord, RunRecord


def run_row(
    meter: RunMeter,
    model: ModelRecord | None,
    published: Sequence[PageRecord],
    marked: Sequence[PageRecord],
    **facts: int | str,
) -> RunRecord:
    """Give the run's row: it succeeded if any page did; what it counts is what was published, if anything was.

    Parameters
    ----------
    published, marked
        The pages that were published, and those that were rejected or failed.
    facts
        What else stands in the row.
    """
    records = published or marked
    pages = sorted({record.as_of for record in records})
    final = "predictions" if model else "features"
    errors = [record.note or record.state for record in marked]
    more = f" (and {len(errors) - 1} more pages)" if len(errors) > 1 else ""
    return meter.record(
        "succeeded" if published or not marked else marked[-1].state,
        first_as_of=pages[0] if pages else None,
        last_as_of=pages[-1] if pages else None,
        n_pages=len(pages),
        n_rows=sum(record.n_rows for record in records if record.kind == final),
        model_version=model.version if model else None,
        error=f"{errors[0]}{more}" if errors else None,
        **facts,
    )
