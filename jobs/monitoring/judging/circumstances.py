"""Circumstances: what the judgement of a page follows from, beside the profiles themselves.

Each page has a `basis`: a digest of what its judgement, and those of all pages before it, follow from. It stands in
the ledger with the judgement. Where it is still the same, the judgement stands; the first page where it is not, and
all behind it, are judged anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import duckdb

from jobs.monitoring.references import season_names
from jobs.monitoring.segments import is_of_columns, watched_by
from warehouse.definitions import Product
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jobs.monitoring.series import Series

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: The rules by which pages are judged. Whoever changes a rule, so that a page that stands would be judged otherwise,
#: gives them another number: all pages are then judged anew.
RULES = 2
_MONTH, _YEAR = timedelta(days=28), timedelta(days=364)


@dataclass(frozen=True)
class Circumstances:
    """All but the profiles that pages are judged by; lists are of all published pages, in the order of the grid.

    Attributes
    ----------
    profiled
        By kind of page, place by place, what tells its profiles from others; pages without any are left out.
    live
        The version in effect on each page; None before there was any.
    expected
        The name of the calendar's day of each page that is near one.
    bound
        What the evidence of slow drift has to reach.
    """

    product: Product
    pages: list[datetime]
    seasons: list[str]
    profiled: Mapping[str, Mapping[int, str]]
    live: list[ModelRecord | None]
    expected: dict[datetime, str]
    bound: float

    @property
    def parts(self) -> str | None:
        """SQL of which segments are watched; None if none are."""
        named = watched_by(self.product)
        return is_of_columns(named) if named else None

    @cached_property
    def classes(self) -> npt.NDArray[np.int64]:
        """The season of each page, by number."""
        import numpy as np

        return np.unique(np.array(self.seasons, object).astype(str), return_inverse=True)[1]

    @cached_property
    def versions(self) -> list[ModelRecord | None]:
        """The version that each page is judged by: the live one, and before there was any, the first."""
        first = next((one for one in self.live if one is not None), None)
        return [one or first for one in self.live]

    @cached_property
    def bases(self) -> list[str]:
        """What the judgement of each page follows from, and those before it."""
        has_season = len(set(self.seasons)) > 1
        parts = [self.parts] if self.parts is not None else []
        basis = json.dumps([RULES, self.product.score_column, has_season, self.bound, *parts])
        found = []
        for place, page in enumerate(self.pages):
            live, version = self.live[place], self.versions[place]
            own = [
                [[kind, runs[place]] for kind, runs in sorted(self.profiled.items()) if place in runs],
                page.isoformat(),
                self.seasons[place],
                live and live.version,
                version and version.version,
                self.expected.get(page),
            ]
            text = f"{basis} {json.dumps(own)}"
            basis = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
            found.append(basis)
        return found


def circumstances_of(
    connection: duckdb.DuckDBPyConnection, product: Product, known_at: datetime | None = None
) -> Circumstances:
    """Read what the pages of a product are judged by, as it is known or was at an instant."""
    query = system_sql("monitoring/pages")
    pages = [as_of for (as_of,) in connection.execute(query, [product.name, known_at]).fetchall()]
    places = {page: place for place, page in enumerate(pages)}
    profiled: dict[str, dict[int, str]] = {}
    query = system_sql("monitoring/profiled")
    for kind, as_of, profiles in connection.execute(query, [product.name, known_at]).fetchall():
        if as_of in places:
            profiled.setdefault(kind, {})[places[as_of]] = profiles
    if named := watched_by(product):
        query = system_sql("monitoring/profiled_segments", is_of_columns=is_of_columns(named))
        for kind, as_of, profiles in connection.execute(query, [product.name, known_at]).fetchall():
            if places.get(as_of) in profiled.get(kind, {}):
                profiled[kind][places[as_of]] += f" {profiles}"
    return Circumstances(
        product,
        pages,
        season_names(product, pages),
        profiled,
        _live_versions(connection, product, pages, known_at),
        {page: name for page in pages if (name := product.calendar.expects(_day(product, page))) is not None},
        _pages_a_false_alarm(product, pages) / 2,
    )


def _day(product: Product, page: datetime) -> date:
    return page.replace(tzinfo=UTC).astimezone(ZoneInfo(product.header.pages.zone)).date()


def _pages_a_false_alarm(product: Product, pages: Sequence[datetime]) -> float:
    """Give how many pages the grid has in the time in which one false alarm may be: as many as after the first page.

    It is the grid's own rate, not that of pages, since some may lack; and it does not change with each new page.
    """
    days = product.header.monitor.days_per_false_alarm
    if not pages:
        return days
    start = max(pages[0], product.header.pages.since)
    span, n_pages = _MONTH, len(product.pages_between(start, start + _MONTH))
    if n_pages < _MONTH.days:  # too few to tell the rate of a grid that is not daily
        span, n_pages = _YEAR, len(product.pages_between(start, start + _YEAR))
    return max(2.0, days * n_pages / span.days)


def _live_versions(
    connection: duckdb.DuckDBPyConnection, product: Product, pages: Sequence[datetime], known_at: datetime | None
) -> list[ModelRecord | None]:
    promotions = [
        one for one in ledger.promotions(connection, product.name) if known_at is None or one.promoted_at <= known_at
    ]
    models = {one.version: one for one in ledger.models(connection, product.name)}
    return [models.get(ledger.model_in_effect(promotions, page) or "") for page in pages]


@dataclass(frozen=True)
class Versions:
    """The versions that pages are judged by, in stretches of pages with the same one."""

    n_pages: int
    stretches: list[tuple[slice, ModelRecord | None]]

    @classmethod
    def of(cls, versions: Sequence[ModelRecord | None]) -> Versions:
        """Find the stretches."""
        starts = [place for place in range(len(versions)) if not place or versions[place] is not versions[place - 1]]
        ends = [*starts[1:], len(versions)]
        found = [(slice(start, end), versions[start]) for start, end in zip(starts, ends, strict=True)]
        return cls(len(versions), found)


def weights_of(series: Series, versions: Versions) -> Floats:
    """Give what a column's slow drift weighs on each page; without importances, each column as much as another."""
    import numpy as np

    weights = np.zeros(versions.n_pages)
    if series.kind == "features":
        for pages, version in versions.stretches:
            weights[pages] = _weight(series.column, version)
    return weights


def _weight(column: str, version: ModelRecord | None) -> float:
    if version is None or not any(value > 0 for value in version.importance.values()):
        return float(version is None or not version.features or column in version.features)
    return max(0.0, version.importance.get(column, 0.0))


def counted_on(series: Series, versions: Versions) -> Flags:
    """Tell on which pages acute findings in a column count: those of what the version reads, and of predictions."""
    import numpy as np

    counts = np.zeros(versions.n_pages, bool)
    for pages, version in versions.stretches:
        counts[pages] = is_read(series.kind, series.column, version)
    return counts


def is_read(kind: str, column: str, version: ModelRecord | None) -> bool:
    """Tell whether a version reads a column; of predictions and labels, always."""
    return kind != "features" or version is None or not version.features or column in version.features
