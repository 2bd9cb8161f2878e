"""Many lakes at a glance: of each product its owner, versions, state, freshness and alarms, whatever suite it is of.

A lake's definitions are found as those of production are (`jobs.check.production`), so that a lake alone is enough.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from jobs.check.production import find_lake, production_of
from jobs.suite import Clock, Suite
from jobs.suites.status import status
from warehouse.definitions import Product
from warehouse.errors import AlmanacError, RunFailed
from warehouse.ledger.alarms import OPEN, Alarm, alarms_of


@dataclass(frozen=True)
class ProductOfLake:
    """One product of one lake; times are naive UTC.

    Attributes
    ----------
    state
        fresh; due (its newest page is not there, and need not be yet); late; never published; no version; cannot write.
    failed
        What became of the newest page that was tried without success since, if there is one.
    alarms
        How many are open, and of which kinds.
    """

    lake: str
    product: str
    owner: str | None
    team: str | None
    live: str | None
    versions: int
    state: str
    newest_page: datetime | None
    due: datetime | None
    failed: str | None
    n_alarms: int
    alarms: str


@dataclass(frozen=True)
class Lakes:
    """The products of all lakes that could be read; of the others, by name, why not."""

    products: list[ProductOfLake]
    unread: dict[str, str]


def look_at_lakes(places: Sequence[Path], clock: Clock) -> Lakes:
    """Look at some lakes, each named by its suite's directory or its own; one that cannot be read hides no other."""
    products: list[ProductOfLake] = []
    unread: dict[str, str] = {}
    for place in places:
        try:
            products += _of_lake(place, clock)
        except (AlmanacError, duckdb.Error, OSError) as error:
            unread[str(place)] = str(error)
    return Lakes(products, unread)


def _of_lake(place: Path, clock: Clock) -> list[ProductOfLake]:
    lake = find_lake(place, place)
    home = lake.root.parent
    with tempfile.TemporaryDirectory() as directory:
        # What is named here is no working copy: the files beside the lake are its own.
        production = production_of(lake, home, Path(directory), Path(directory))
        if production.definitions is None:
            raise RunFailed(f"its definitions ({production.origin}) cannot be read: {production.why_not}")
        suite = Suite(home, production.definitions, lake, clock)
        found = status(suite)
        with lake.reading() as connection:
            alarms = [alarm for alarm in alarms_of(connection) if alarm.state == OPEN]
    troubles = {row["product"]: f"{row['as_of']} {row['state']}" for row in reversed(found.troubles)}
    return [
        _row(str(place), production.definitions.product(row["product"]), row, troubles, alarms, clock())
        for row in found.products
    ]


def _row(
    place: str,
    product: Product,
    row: dict[str, Any],
    troubles: dict[str, str],
    alarms: Sequence[Alarm],
    now: datetime,
) -> ProductOfLake:
    own = [alarm for alarm in alarms if alarm.product == product.name]
    return ProductOfLake(
        lake=place,
        product=product.name,
        owner=product.header.owner,
        team=product.header.team,
        live=row["live"],
        versions=row["versions"],
        state=_state(product, row, now),
        newest_page=row["newest_page"],
        due=row["due"],
        failed=troubles.get(product.name),
        n_alarms=len(own),
        alarms=", ".join(sorted({alarm.kind for alarm in own})),
    )


def _state(product: Product, row: dict[str, Any], now: datetime) -> str:
    if row["live"] is None:
        return "no version"
    if row["cannot_write"] is not None:
        return "cannot write"
    if row["newest_page"] is None:
        return "never published"
    if row["due"] is None or row["newest_page"] >= row["due"]:
        return "fresh"
    promised = product.header.fresh_within
    return "due" if promised is not None and now <= row["due"] + promised else "late"
