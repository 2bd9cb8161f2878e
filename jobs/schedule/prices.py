"""What runs and kept data cost in money: CPU hours, and GiB kept for months, at the prices of suite.yaml.

What the lake keeps is counted by the files that its catalogue still names, so that what upkeep has deleted since costs
nothing in hindsight. Tables of facts and the ledger's serve all products, and are nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from warehouse.definitions import Definitions
from warehouse.definitions.yaml.suite_file import Prices
from warehouse.lake.lake import Lake
from warehouse.system_sql import system_sql

#: The schemas whose tables are products'.
_OF_PRODUCTS = ("features", "labels", "predictions")
_ARMS = "_arms"


def priced(
    rows: Sequence[dict[str, Any]],
    kept: Sequence[tuple[str, str | None, float]],
    prices: Prices,
    by: str,
    *,
    per_month: bool,
) -> list[dict[str, Any]]:
    """Add to what runs cost what is kept, and the money: `gib_months`, `cpu_money`, `kept_money` and `money`.

    Parameters
    ----------
    rows
        As `jobs.schedule.costs.costs` gives them.
    kept
        What `kept_by` gives.
    """
    keyed: dict[tuple[str | None, str | None], dict[str, Any]] = {}
    for row in rows:
        keyed[row.get("month"), row[by]] = {**row, "gib_months": 0.0}
    for month, name, gib_months in kept:
        key = (month if per_month else None, name)
        if key not in keyed:
            own = {"month": month} if per_month else {}
            nothing = {"runs": 0, "cpu_s": 0.0, "wall_s": 0.0, "peak_memory_bytes": None, "rows": 0, "bytes_written": 0}
            keyed[key] = {**own, by: name, **nothing, "gib_months": 0.0}
        keyed[key]["gib_months"] += gib_months
    found = []
    for row in keyed.values():
        of_cpu, of_kept = (row["cpu_s"] or 0.0) / 3600 * prices.cpu_hour, row["gib_months"] * prices.gib_month
        money = {"cpu_money": of_cpu, "kept_money": of_kept, "money": of_cpu + of_kept, "currency": prices.currency}
        found.append({**row, **money})
    return sorted(found, key=lambda row: (row.get("month") or "", -row["money"], row[by] or ""))


def kept_by(
    lake: Lake, definitions: Definitions, by: str, start: datetime | None, end: datetime
) -> list[tuple[str, str | None, float]]:
    """Give what the lake has kept from `start` to `end`, in GiB-months: by month, and by owner, team or product.

    By job nothing is kept by anybody.
    """
    if not lake.exists():
        return []
    with lake.reading() as connection:
        rows = connection.execute(system_sql("costs/kept_bytes"), [start, end]).fetchall()
    named = _names(definitions, by)
    found: dict[tuple[str, str | None], float] = {}
    for month, schema, table, gib_months in rows:
        product = table.removesuffix(_ARMS) if table not in definitions.products else table
        name = named.get(product) if schema in _OF_PRODUCTS else None
        found[month, name] = found.get((month, name), 0.0) + gib_months
    return [(month, name, gib_months) for (month, name), gib_months in found.items()]


def _names(definitions: Definitions, by: str) -> Mapping[str, str | None]:
    products = definitions.products.values()
    if by == "product":
        return {one.name: one.name for one in products}
    if by in ("owner", "team"):
        return {one.name: getattr(one.header, by) for one in products}
    return {}
