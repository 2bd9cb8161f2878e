"""What went where, what waits and why: the outbox of each product beside what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.suite import Suite
from warehouse.ledger import exports as outbox
from warehouse.ledger.exports import FAILED, WAITING, ExportRecord, OutboxRecord

#: Why a publication waits where nothing is wrong.
_NEXT = "for the next `almanac export`"


@dataclass(frozen=True)
class ExportState:
    """One publication of one target: where it stands, since when, and why it waits."""

    product: str
    target: str
    page: datetime
    snapshot_id: int
    state: str
    n_rows: int | None
    since: datetime
    place: str | None
    why: str | None


def export_states(suite: Suite, limit: int) -> list[ExportState]:
    """List all that waits, and of each target the newest others, the newest first.

    Parameters
    ----------
    suite
        Whose ledger.
    limit
        How many of each target that do not wait any more.
    """
    found = []
    with suite.lake.reading() as connection:
        for product in suite.definitions.products.values():
            done = outbox.exports(connection, product.name)
            failures = {row.target: row for row in done if row.state == FAILED}
            gone = [row for row in done if row.state != FAILED]
            waits = outbox.waiting(connection, product.name)
            found += [_waits(row, failures, gone, product.header.export) for row in waits]
            others = [_is_over(row) for row in gone]
            others += [_is_over(row) for row in outbox.not_due(connection, product.name)]
            for target in dict.fromkeys(row.target for row in others):
                found += _newest([row for row in others if row.target == target], limit)
    return sorted(found, key=lambda row: (row.since, row.snapshot_id), reverse=True)


def targets_in_trouble(suite: Suite) -> dict[tuple[str, str], str]:
    """Say why publications wait for a target, by product and target, where they will not go out by themselves."""
    waits = [state for state in export_states(suite, 0) if state.state == WAITING and state.why != _NEXT]
    return {(state.product, state.target): f"{state.why}" for state in waits}


def _newest(rows: Sequence[ExportState], limit: int) -> list[ExportState]:
    ordered = sorted(rows, key=lambda row: (row.since, row.snapshot_id))
    return ordered[-limit:] if limit else []


def _waits(
    row: OutboxRecord, failures: dict[str, ExportRecord], gone: Sequence[ExportRecord], targets: object
) -> ExportState:
    """Say why a publication waits: the newest failure of its target, unless an export succeeded since."""
    failed = failures.get(row.target)
    newest = max((one.recorded_at for one in gone if one.target == row.target), default=datetime.min)
    why = _NEXT
    if isinstance(targets, dict) and row.target not in targets:
        why = "product.yaml has no target of this name any more"
    elif failed is not None and failed.recorded_at > newest:
        why = f"since {failed.recorded_at:%Y-%m-%d %H:%M} (UTC) the target fails: {failed.note}"
    place = failed.place if failed else None
    return ExportState(row.product, row.target, row.as_of, row.snapshot_id, WAITING, None, row.recorded_at, place, why)


def _is_over(row: ExportRecord | OutboxRecord) -> ExportState:
    n_rows, place = (row.n_rows, row.place) if isinstance(row, ExportRecord) else (None, None)
    return ExportState(
        row.product, row.target, row.as_of, row.snapshot_id, row.state, n_rows, row.recorded_at, place, None
    )
