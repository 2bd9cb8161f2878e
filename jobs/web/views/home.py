"""Home: each product with what is due and late, open alarms, what failed last, and the next ticks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs.web.parts import paths
from jobs.web.parts.cells import STATES, Cell, Table, cell
from jobs.web.parts.document import Document, Section
from jobs.web.parts.operations import ask_operations
from jobs.web.parts.seen import UTC_ZONE, Seen, section
from jobs.web.views.clock import agenda_section
from warehouse.definitions import Product
from warehouse.definitions.durations import duration_text

#: As many ticks as are to come next.
_TICKS = 5
HEADS = ["product", "state", "newest page", "due", "published at", "live", "open alarms", "pages", "owner"]


def home(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show all products at once."""
    asked = seen.ask("web/products", seen.now)
    known = {row["product"]: row for row in asked.dicts()}
    products = seen.suite.definitions.products
    rows = [_row(seen, product, known.get(name, {})) for name, product in sorted(products.items())]
    gone = sorted(known.keys() - products.keys())
    sentences = [f"In the lake, and in no definition any more: {', '.join(gone)}."] if gone else []
    listed = Section(
        "Products",
        sentences,
        table=Table(HEADS, rows, frozenset({6, 7})),
        nothing="The suite has no product yet; docs/definitions.md says how to write one.",
        sql=asked.sql,
        commands=["almanac status"],
    )
    paused = ask_operations(seen.suite.lake.root, "web/pauses")
    sections = [listed, alarms_section(seen, None), _failed(seen), agenda_section(seen, paused, _TICKS)]
    return Document(paths.HOME, "All products", sections)


def alarms_section(seen: Seen, product: str | None) -> Section:
    """List open alarms, of one product or of all, with what decides on them."""
    asked = seen.ask("web/open_alarms", product)
    links = {
        "product": lambda row: paths.of_product(row["product"], "monitoring"),
        "first_page": lambda row: seen.page_link(row["product"], row["first_page"]),
        "last_page": lambda row: seen.page_link(row["product"], row["last_page"]),
    }
    known = seen.suite.definitions.products
    linked = links if all(row["product"] in known for row in asked.dicts()) else {}
    decided = [f"almanac alarms accept {row['alarm']} --why '...'" for row in asked.dicts()[:3]]
    zone = seen.zone_of(product) if product else UTC_ZONE
    return section("Open alarms", asked, zone, links=linked, nothing="No alarm is open.", commands=decided)


def _failed(seen: Seen) -> Section:
    asked = seen.ask("web/failed_runs")
    return section("Runs that failed last", asked, UTC_ZONE, nothing="No run has failed.")


def _row(seen: Seen, product: Product, known: Mapping[str, Any]) -> list[Cell]:
    zone = seen.zone_of(product.name)
    due, newest = product.page_at(seen.now), known.get("newest_page")
    state, why = standing(product, newest, due, seen.now)
    alarms, live = int(known.get("open_alarms", 0)), known.get("live")
    return [
        Cell(product.name, product.header.description, paths.of_product(product.name)),
        Cell(state, why, look=f"state {STATES.get(state, 'info')}"),
        cell(newest, zone, link=seen.page_link(product.name, newest) if newest else None),
        cell(due, zone),
        cell(known.get("published_at"), zone),
        Cell(live, link=paths.of_version(product.name, live)) if live else cell(None, zone),
        Cell(str(alarms), look="state bad" if alarms else "", link=paths.of_product(product.name, "monitoring")),
        cell(int(known.get("pages", 0)), zone),
        Cell(product.header.owner or "", product.header.team or ""),
    ]


def standing(product: Product, newest: datetime | None, due: datetime | None, now: datetime) -> tuple[str, str]:
    """Tell whether a product's newest page is there (ok), is to be made (due), or is older than promised (late)."""
    within = product.header.fresh_within
    if within is not None and now - (newest or product.header.pages.since) > within:
        return "late", f"to be fresh within {duration_text(within)}"
    if due is None:
        return "ok", "its first page is not due yet"
    if newest is None or newest < due:
        return "due", f"almanac run {product.name}"
    return "ok", ""
