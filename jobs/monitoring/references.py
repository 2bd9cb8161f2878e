"""References: the pages that a page is compared with, the last ones of its season class.

Where pages come more often than once a week, a page is compared with those of the same hour of the same weekday, by
the clock of the product's zone; where they come once a week or more seldom, with all. The reference moves with the
season: it is the last few such pages before the page, whatever order they were made in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from warehouse.definitions import Product
from warehouse.definitions.monitor import season_values

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: So many pages are a reference, where there are as many.
REFERENCE_PAGES = 8


def season_class(product: Product, page: datetime, weekly: bool) -> tuple[int, int, int] | None:
    """Give the class of a page: weekday, hour and minute by the zone's clock, or None where there is but one class."""
    if not weekly:
        return None
    local = page.replace(tzinfo=UTC).astimezone(ZoneInfo(product.header.pages.zone))
    return local.isoweekday(), local.hour, local.minute


def has_weekly_season(product: Product, page: datetime) -> bool:
    """Tell whether the grid has pages within the week before a page, so that weekdays may differ."""
    return bool(product.pages_between(page - timedelta(days=6), page))


def reference_pages(product: Product, page: datetime, published: Iterable[datetime]) -> list[datetime]:
    """Choose, of the published pages, those that a page is compared with, the oldest first."""
    until = [*sorted(other for other in published if other < page), page]
    of_season = seasons(product, until)
    return [other for other, one in zip(until[:-1], of_season, strict=False) if one == of_season[-1]][-REFERENCE_PAGES:]


def seasons(product: Product, pages: Sequence[datetime]) -> npt.NDArray[np.int64]:
    """Number the seasons of pages, by what product.yaml says (`monitor.season`): equal numbers, equal seasons."""
    import numpy as np

    return np.unique(np.array(season_names(product, pages), object).astype(str), return_inverse=True)[1]


def season_names(product: Product, pages: Sequence[datetime]) -> list[str]:
    """Name the season of each page: equal names, equal seasons."""
    season = product.header.monitor.season
    if season in ("week", "hour of week"):
        weekly = season != "week" or (bool(pages) and has_weekly_season(product, pages[-1]))
        return [str(season_class(product, page, weekly)) for page in pages]
    if season == "none":
        return [""] * len(pages)
    return [str(value) for value in season_values(season, pages)]
