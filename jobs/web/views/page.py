"""A page of predictions: its rows, checks, drift, outcomes, the facts behind it, what it cost and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from jobs.pages.states import page_states
from jobs.web.parts import paths
from jobs.web.parts.cells import STATES, Cell, cell, label, table
from jobs.web.parts.document import Document, Section
from jobs.web.parts.drawn import beside
from jobs.web.parts.seen import Seen, section
from jobs.web.views.product import calendar_section, compared_columns, crumbs_of, views_of
from warehouse.definitions import Product
from warehouse.errors import NotFoundError
from warehouse.system_sql import literal, quote, quote_all

#: So many columns of a page are drawn beside their reference.
_DRAWN = 6
_MOMENT = "%Y-%m-%dT%H:%M"


def page(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show a page."""
    one = seen.suite.definitions.product(names["product"])
    as_of = paths.instant_of(names["page"])
    if as_of is None:
        raise NotFoundError(f"{names['page']} is no page: a page is named such as 2026-03-10T180000Z.")
    state = page_states(seen.suite, one, [as_of], connection=seen.connection)[0]
    if state.record is None and one.page_at(as_of) != as_of:
        raise NotFoundError(f"{one.name} has no page {as_of} (UTC).")
    zone = seen.zone_of(one.name)
    asked = seen.ask("web/page_facts", one.name, as_of)
    facts = [
        ("State", Cell(state.shown, state.why or "", look=f"state {STATES.get(state.shown, 'info')}")),
        ("As of", cell(as_of, zone)),
    ]
    facts += _facts_of(one, next(iter(asked.dicts()), {}), zone)
    again = f"almanac run {one.name} --as-of {as_of:{_MOMENT}}"
    sections = [Section("What it is", facts=facts, sql=asked.sql, commands=[again])]
    sections += [*_contents(seen, one, as_of), *_findings(seen, one, as_of), *_origins(seen, one, as_of, asked.dicts())]
    title = f"{one.name}, page {cell(as_of, zone).text}"
    return Document(paths.of_page(one.name, as_of), title, sections, crumbs_of(one.name), views_of(one.name))


def _facts_of(one: Product, row: Mapping[str, Any], zone: Any) -> list[tuple[str, Cell]]:
    version = row.get("model_version")
    shown = []
    for name, value in row.items():
        if value is None or name in ("as_of", "state"):
            continue
        link = paths.of_version(one.name, version) if name == "model_version" and version else None
        shown.append((label(name), cell(value, zone, name, link)))
    return shown


def _contents(seen: Seen, one: Product, as_of: datetime) -> list[Section]:
    if not seen.has_table("predictions", one.name):
        return []
    zone = seen.zone_of(one.name)
    columns = dict.fromkeys([*one.keys, *one.columns_of_kind, "valid_until", "model_version"])
    order = f"{quote(one.score_column)} DESC NULLS LAST, {quote_all(one.keys)}"
    table_name = f"predictions.{quote(one.name)}"
    rows = seen.ask("web/page_rows", as_of, columns=quote_all(columns), table=table_name, order=order)
    found = [
        section("Rows", rows, zone, nothing="It has no row.", sentences=["The first twenty, by what is predicted."])
    ]
    drawn = [
        beside(each, kind, as_of)
        for kind in ("predictions", "features")
        for each in compared_columns(seen.connection, one, kind, as_of)[:_DRAWN]
    ]
    if drawn:
        words = ["The columns that lie furthest from the last pages of the season."]
        command = f"almanac profile {one.name} --page {as_of:{_MOMENT}}"
        asked = seen.ask("web/profiles", one.name, "features", as_of)
        found.append(Section("How values are spread", words, pictures=drawn, sql=asked.sql, commands=[command]))
    return found


def _findings(seen: Seen, one: Product, as_of: datetime) -> list[Section]:
    zone = seen.zone_of(one.name)
    checks = seen.ask("web/page_checks", one.name, as_of)
    wrong = seen.ask("web/page_wrong_rows", one.name, as_of)
    drift = seen.ask("web/page_drift", one.name, as_of)
    came = seen.ask("web/page_performance", one.name, as_of)
    monitored = [f"almanac monitor {one.name}"]
    column = {"column_name": lambda row: paths.of_column(one.name, row["kind"], row["column_name"])}
    found = [section("Checks", checks, zone, nothing="No check has looked at it.")]
    if wrong.rows:
        found.append(section("Rows that checks found wrong", wrong, zone))
    found.append(section("Drift", drift, zone, links=column, nothing="It was not judged.", commands=monitored))
    found.append(section("What came of it", came, zone, nothing="No label was looked at yet.", commands=monitored))
    return found


def _origins(seen: Seen, one: Product, as_of: datetime, facts: list[dict[str, Any]]) -> list[Section]:
    zone = seen.zone_of(one.name)
    history = seen.ask("web/page_history", one.name, as_of)
    found = []
    if facts and facts[0]["ingest_id"] is not None:
        sources = sorted(source.name for source in seen.suite.definitions.sources_behind(one))
        asked = seen.ask("web/page_ingestions", facts[0]["ingest_id"], sources=", ".join(map(literal, sources)))
        links = {"source": lambda row: paths.of_source(row["source"])}
        command = f"almanac lineage {one.name}"
        found.append(section("Facts behind it", asked, zone, links=links, commands=[command]))
    against = f"almanac diff {one.name} --page {as_of:{_MOMENT}} --against SNAPSHOT"
    found.append(section("What became of it", history, zone, commands=[against]))
    return found


def day(seen: Seen, names: Mapping[str, str]) -> Document:
    """List the pages of one day of the product's zone, of a grid that has several."""
    one = seen.suite.definitions.product(names["product"])
    zone = seen.zone_of(one.name)
    try:
        wanted = date.fromisoformat(names["day"])
    except ValueError as error:
        raise NotFoundError(f"{names['day']} is no day: write it such as 2026-03-10.") from error
    pages = [at for at in _around(one, wanted, seen.now) if _local_day(at, zone) == wanted]
    if not pages:
        raise NotFoundError(f"{one.name} has no page on {wanted}.")
    states = page_states(seen.suite, one, pages, connection=seen.connection)
    rows = [
        (state.as_of, state.shown, state.record.n_rows if state.record else None, state.model, state.why)
        for state in states
    ]
    links = {"as_of": lambda row: seen.page_link(one.name, row["as_of"])}
    shown = table(["as_of", "state", "rows", "version in effect", "why"], rows, zone, links)
    asked = seen.ask("web/calendar", one.name, min(pages), max(pages))
    listed = Section("Pages", table=shown, sql=asked.sql, commands=[f"almanac pages {one.name}"])
    path, title = paths.of_product(one.name, f"days/{wanted}"), f"{one.name}, {wanted}"
    return Document(path, title, [listed], crumbs_of(one.name), views_of(one.name))


def _around(one: Product, wanted: date, now: datetime) -> list[datetime]:
    noon = datetime(wanted.year, wanted.month, wanted.day, 12)
    first = max(noon - timedelta(days=2), one.header.pages.since)
    until = min(noon + timedelta(days=2), now + timedelta(microseconds=1))
    return one.pages_between(first, until) if first < until else []


def _local_day(at: datetime, zone: Any) -> date:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


def year(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show the calendar of a year."""
    one = seen.suite.definitions.product(names["product"])
    if not names["year"].isdigit() or not one.header.pages.since.year <= int(names["year"]) <= seen.now.year:
        raise NotFoundError(f"{one.name} has no pages of {names['year']}.")
    number = int(names["year"])
    path = paths.of_product(one.name, f"calendar-{number}")
    calendar = calendar_section(seen, one, number)
    return Document(path, f"{one.name}, {number}", [calendar], crumbs_of(one.name), views_of(one.name))
