"""Who did what: one list of what people decided on a suite, from the ledger and the operational state.

What jobs do by themselves stands in `ledger.runs`. Pauses are kept as long as ticks are, all else for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.suite import Suite
from warehouse.operations.state import looking
from warehouse.system_sql import system_sql


@dataclass(frozen=True)
class Deed:
    """One thing that somebody did.

    Attributes
    ----------
    at
        When (naive UTC).
    who, host
        The user, and the host where the command ran; no host of what an earlier version of Almanac recorded, or of
        what was done in another's name.
    what
        Such as promote, retire, rollback, roll back a page, accepted an alarm, pause.
    product
        Of which product; None of a job.
    concerns
        The version, page, alarm or job.
    why
        The reason that was given.
    outcome
        done, forced (a gate had not passed), or refused.
    """

    at: datetime
    who: str
    host: str | None
    what: str
    product: str | None
    concerns: str
    why: str | None
    outcome: str


def audit(
    suite: Suite, product_name: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> list[Deed]:
    """List who did what, when and why, the oldest first: of one product, or of all products and jobs.

    Parameters
    ----------
    since, until
        From when (inclusive) to when (exclusive), naive UTC; without them from the beginning, and to now.

    Raises
    ------
    NotFoundError
        If there is no such product.
    """
    product = suite.definitions.product(product_name).name if product_name else None
    with suite.lake.reading() as connection:
        rows = connection.execute(system_sql("ledger/who_did_what")).fetchall()
    deeds = [Deed(at, *_user_and_host(who), *rest) for at, who, *rest, _ in rows]
    deeds += _pauses(suite)
    deeds.sort(key=lambda deed: deed.at)
    return [
        deed
        for deed in deeds
        if product in (None, deed.product)
        and (since is None or deed.at >= since)
        and (until is None or deed.at < until)
    ]


def _pauses(suite: Suite) -> list[Deed]:
    with looking(suite.lake.root) as state:
        rows = state.execute(system_sql("operations/who_paused")).fetchall() if state is not None else []
    return [
        Deed(
            datetime.fromisoformat(row["at"]),
            *_user_and_host(row["who"]),
            row["what"],
            None,
            row["job"],
            row["why"] or None,
            "done",
        )
        for row in rows
    ]


def _user_and_host(recorded: str) -> tuple[str, str | None]:
    """Take apart what `jobs.metering.who` puts together; a host's name has no @, and a user's may."""
    user, at, host = recorded.rpartition("@")
    return (user, host) if at else (recorded, None)
