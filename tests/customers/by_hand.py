"""CDNOW's customers worked out in plain Python from the lines of the file, in loops over lists."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

DAY = timedelta(days=1)


def data_file() -> Path:
    spec = find_spec("lifetimes")  # located without importing it
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_master.txt"


@dataclass(frozen=True)
class Purchase:
    """One line of the file. It is known when its day is over."""

    customer: str
    day: date
    cds: int
    dollars: Decimal

    @property
    def known_at(self) -> datetime:
        return datetime.combine(self.day + DAY, datetime.min.time())


def read_purchases(path: Path) -> list[Purchase]:
    found = []
    for line in path.read_text().splitlines()[1:]:
        customer, day, cds, dollars = line.split()
        found.append(Purchase(customer, datetime.strptime(day, "%Y%m%d").date(), int(cds), Decimal(dollars)))
    return found


def by_customer(purchases: Iterable[Purchase], before: datetime) -> dict[str, list[Purchase]]:
    """Gather what was known before an instant, by customer, in the order of its days."""
    found: dict[str, list[Purchase]] = defaultdict(list)
    for purchase in sorted(purchases, key=lambda purchase: purchase.day):
        if purchase.known_at < before:
            found[purchase.customer].append(purchase)
    return found


def is_there(purchases: list[Purchase], as_of: datetime) -> bool:
    """Tell whether a customer bought in the 26 weeks before the page."""
    return as_of.date() - purchases[-1].day <= timedelta(weeks=26)


def features(purchases: list[Purchase], as_of: datetime) -> dict[str, float | None]:
    """Count one customer's features from what was known of them."""
    dollars = [purchase.dollars for purchase in purchases]
    days = sorted({purchase.day for purchase in purchases})
    first = [purchase for purchase in purchases if purchase.day == days[0]]
    row: dict[str, float | None] = {
        "purchases_ever": len(purchases),
        "cds_ever": sum(purchase.cds for purchase in purchases),
        "dollars_ever": float(sum(dollars)),
        "dollars_per_purchase": float(sum(dollars)) / len(dollars),
        "dollars_at_most": float(max(dollars)),
        "days_since_first": (as_of.date() - days[0]).days,
        "days_since_last": (as_of.date() - days[-1]).days,
        "at_first_cds": sum(purchase.cds for purchase in first),
        "at_first_dollars": float(sum(purchase.dollars for purchase in first)),
        "at_dollars_per_day": float(sum(dollars)) / ((as_of.date() - days[0]).days + 1),
    }
    for weeks in (4, 12, 26):
        late = [p.dollars for p in purchases if as_of.date() - p.day <= timedelta(weeks=weeks)]
        row[f"purchases_{weeks}w"] = len(late)
        row[f"dollars_{weeks}w"] = float(sum(late)) if late else None
    gaps = [(after - before).days for before, after in itertools.pairwise(days)]
    row["days_bought_on"] = len(days) if gaps else None
    row["gap_mean"] = statistics.fmean(gaps) if gaps else None
    row["gap_longest"] = max(gaps) if gaps else None
    row["gap_newest"] = gaps[-1] if gaps else None
    row["overdue"] = (as_of.date() - days[-1]).days / statistics.fmean(gaps) if gaps else None
    return row


def spent(purchases: Iterable[Purchase], as_of: datetime) -> dict[str, Decimal]:
    """Sum up what each customer spent in the 12 weeks from the page's day on; who did not come is not there."""
    found: dict[str, Decimal] = {}
    for purchase in purchases:
        if timedelta(0) <= purchase.day - as_of.date() < timedelta(weeks=12):
            found[purchase.customer] = found.get(purchase.customer, Decimal(0)) + purchase.dollars
    return found
