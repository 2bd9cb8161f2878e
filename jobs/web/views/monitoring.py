"""Monitoring of a product: alarms, performance as labels come, drift by column and time, and fairness by group."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime

from jobs.web.parts import paths
from jobs.web.parts.cells import Link
from jobs.web.parts.document import Document, Section
from jobs.web.parts.drawn import beside, over_pages
from jobs.web.parts.seen import Seen, pages_linked, section
from jobs.web.views.product import compared_columns, crumbs_of, views_of
from jobs.web.views.versions import performance_pictures, span_of
from warehouse.definitions import Product
from warehouse.errors import NotFoundError
from warehouse.pages.profiled_pages import centres_of

KINDS = ("features", "predictions", "labels")


def monitoring(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show what is watched of a product."""
    one = seen.suite.definitions.product(names["product"])
    first, last = span_of(seen, one)
    sections = [_alarms(seen, one), _performance(seen, one, first, last), *_segments(seen, one, first, last)]
    sections += [_drift(seen, one, first, last), _columns(seen, one, first, last)]
    sections += [*_drift_of_segments(seen, one, first, last), _fairness(seen, one)]
    path = paths.of_product(one.name, "monitoring")
    return Document(path, f"{one.name}, monitoring", sections, crumbs_of(one.name), views_of(one.name))


def _alarms(seen: Seen, one: Product) -> Section:
    asked = seen.ask("web/alarms", one.name)
    is_open = [row["alarm"] for row in asked.dicts() if row["state"] == "open"]
    decide = [f"almanac alarms {what} {is_open[0]} --why '...'" for what in ("accept", "close")] if is_open else []
    links: dict[str, Link] = {
        "first_page": lambda row: seen.page_link(one.name, row["first_page"]),
        "last_page": lambda row: seen.page_link(one.name, row["last_page"]),
    }
    nothing = "There was no alarm."
    return section("Alarms", asked, seen.zone_of(one.name), links=links, nothing=nothing, commands=decide)


def _performance(seen: Seen, one: Product, first: datetime, last: datetime) -> Section:
    asked = seen.ask("web/performance", one.name, first, last)
    words = [
        "Loss of the pages whose labels have come, beside what the predictions themselves expected. Pages that wait for"
        " labels have an estimate with its interval. Pages on which an alarm begins are marked."
    ]
    return section(
        "Performance",
        asked,
        seen.zone_of(one.name),
        links={"as_of": pages_linked(seen, one)},
        nothing="No page was judged by its labels.",
        sentences=words if asked.rows else (),
        commands=[f"almanac monitor {one.name}", f"almanac report {one.name} --output report.html"],
        pictures=performance_pictures(asked.dicts()),
    )


def _segments(seen: Seen, one: Product, first: datetime, last: datetime) -> list[Section]:
    asked = seen.ask("report/segments", one.name, first, last)
    return [section("Segments", asked, seen.zone_of(one.name))] if asked.rows else []


def _drift(seen: Seen, one: Product, first: datetime, last: datetime) -> Section:
    asked = [seen.ask("web/drift", one.name, kind, first, last) for kind in KINDS]
    drawn = [
        picture
        for kind, each in zip(KINDS, asked, strict=True)
        for picture in over_pages(f"Evidence of slow drift, {kind}", each.dicts(), {"evidence": "evidence"})
    ]
    words = [] if drawn else ["There is no evidence yet: it begins after 28 pages of a season, of 100 rows at least."]
    return Section("Drift", words, pictures=drawn, sql=asked[0].sql, commands=[f"almanac monitor {one.name}"])


def _columns(seen: Seen, one: Product, first: datetime, last: datetime) -> Section:
    asked = seen.ask("web/drift_columns", one.name, first, last)
    links: dict[str, Link] = {
        "column_name": lambda row: paths.of_column(one.name, row["kind"], row["column_name"]),
        "on_page": lambda row: seen.page_link(one.name, row["on_page"]) if row["on_page"] else None,
    }
    zone = seen.zone_of(one.name)
    return section("Columns beside their references", asked, zone, links=links, nothing="No column was judged.")


def _drift_of_segments(seen: Seen, one: Product, first: datetime, last: datetime) -> list[Section]:
    asked = seen.ask("web/drift_segments", one.name, first, last)
    links: dict[str, Link] = {
        "on_page": lambda row: seen.page_link(one.name, row["on_page"]) if row["on_page"] else None,
    }
    words = [
        "Of each segment the largest distance of a column over its own bound, and the most evidence of slow drift."
    ]
    found = section(
        "Segments beside their references", asked, seen.zone_of(one.name), links=links, sentences=words, nothing=""
    )
    return [found] if asked.rows else []


def _fairness(seen: Seen, one: Product) -> Section:
    asked = seen.ask("report/fairness", one.name, None)
    nothing = "No groups are compared (`monitor.fairness` of product.yaml)."
    return section("Fairness by group", asked, seen.zone_of(one.name), nothing=nothing)


def column(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show one column of a product's pages over time."""
    one = seen.suite.definitions.product(names["product"])
    watched = {(kind, name) for kind, name in centres_of(seen.connection, one.name)}
    first, last = span_of(seen, one)
    watched |= {
        (row["kind"], row["column_name"]) for row in seen.ask("web/drift_columns", one.name, first, last).dicts()
    }
    found = next(
        (w for w in sorted(watched) if paths.slug(w[0]) == names["kind"] and paths.slug(w[1]) == names["column"]), None
    )
    if found is None:
        raise NotFoundError(f"nothing of {one.name} is watched that is called {names['kind']} {names['column']}.")
    kind, name = found
    asked = seen.ask("web/drift_of_column", one.name, kind, name, first, last)
    rows = asked.dicts()
    drawn = [
        *over_pages("Population stability index (PSI)", rows, {"psi": "psi"}),
        *over_pages("Change of the share that is missing", rows, {"missing": "missing_delta"}, level=("0", 0.0)),
        *over_pages("Evidence of slow drift", rows, {"evidence": "evidence"}),
        *[beside(each, kind, last) for each in compared_columns(seen.connection, one, kind, last, name)],
    ]
    links = {"as_of": pages_linked(seen, one)}
    command = f"almanac monitor {one.name} --column {shlex.quote(name)}"
    over_time = section("Over time", asked, seen.zone_of(one.name), links=links, pictures=drawn, commands=[command])
    crumbs = [*crumbs_of(one.name), ("Monitoring", paths.of_product(one.name, "monitoring"))]
    path, title = paths.of_column(one.name, kind, name), f"{one.name}, {name} ({kind})"
    return Document(path, title, [over_time], crumbs, views_of(one.name))
