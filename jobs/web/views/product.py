"""A product: how it stands, the newest predictions and how they are spread, a look-up by key, its calendar of pages."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import duckdb

from jobs.monitoring.comparison import Comparison, compare
from jobs.monitoring.references import reference_pages
from jobs.pages.states import page_states
from jobs.web.parts import paths
from jobs.web.parts.cells import STATES, Cell, Link, cell, table
from jobs.web.parts.document import Document, Form, Section
from jobs.web.parts.drawn import beside
from jobs.web.parts.months import Month, months_of
from jobs.web.parts.seen import Seen, section
from jobs.web.views.home import alarms_section, standing
from warehouse.definitions import Product
from warehouse.definitions.durations import duration_text
from warehouse.ledger import records as ledger
from warehouse.pages.profiled_pages import profiles_of
from warehouse.system_sql import quote, quote_all

#: So many pages are in the calendar of a product's first view; each year has one of its own.
_IN_CALENDAR = 400
_AFTER = timedelta(days=14)
#: A calendar of a year shows at most so many: a page an hour, and more.
_OF_A_YEAR = 10_000
_VIEWS = (
    ("Overview", "index"),
    ("Versions", "versions"),
    ("Monitoring", "monitoring"),
    ("Rollouts", "rollouts"),
    ("Retraining", "retraining"),
)


def views_of(product: str) -> list[tuple[str, str]]:
    """List the views of a product with their paths."""
    return [(words, paths.of_product(product, what)) for words, what in _VIEWS]


def crumbs_of(product: str) -> list[tuple[str, str]]:
    """Give the way to a product's views."""
    return [("All products", paths.HOME), (product, paths.of_product(product))]


def product(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show a product."""
    one = seen.suite.definitions.product(names["product"])
    sections = [
        _facts(seen, one),
        alarms_section(seen, one.name),
        *_predictions(seen, one),
        calendar_section(seen, one),
    ]
    path, lead = paths.of_product(one.name), one.header.description
    return Document(path, one.name, sections, crumbs_of(one.name)[:1], views_of(one.name), lead)


def _facts(seen: Seen, one: Product) -> Section:
    asked = seen.ask("web/products", seen.now)
    known = next((row for row in asked.dicts() if row["product"] == one.name), {})
    zone, newest, due = seen.zone_of(one.name), known.get("newest_page"), one.page_at(seen.now)
    state, why = standing(one, newest, due, seen.now)
    grid, live = one.header.pages, known.get("live")
    facts = [
        ("State", Cell(state, why, look=f"state {STATES.get(state, 'info')}")),
        ("Newest page", cell(newest, zone, link=seen.page_link(one.name, newest) if newest else None)),
        ("Due", cell(due, zone)),
        ("Live version", Cell(live, link=paths.of_version(one.name, live)) if live else Cell("none")),
        ("Pages", Cell(f"{known.get('pages', 0):,}", f"{grid.cron} in {grid.zone}, since {grid.since:%Y-%m-%d}")),
        ("Key", Cell(", ".join(one.keys))),
        ("Label", Cell(one.header.label.kind, f"known within {duration_text(one.header.label.matures_within)}")),
        ("Owner", Cell(one.header.owner or "nobody is named", one.header.team or "")),
    ]
    return Section("How it stands", facts=facts, sql=asked.sql, commands=[f"almanac run {one.name}"])


def _predictions(seen: Seen, one: Product) -> list[Section]:
    """Show the newest page, its distribution, and what somebody looks up."""
    if not seen.has_table("predictions", f"{one.name}_page"):
        return [Section("Newest predictions", ["No page is published yet."], commands=[f"almanac run {one.name}"])]
    zone = seen.zone_of(one.name)
    columns = [*one.keys, *one.columns_of_kind, "valid_until", "model_version", "as_of"]
    asked = seen.ask(
        "web/newest_rows",
        columns=quote_all(dict.fromkeys(columns)),
        view=_view(one, "page"),
        order=f"{quote(one.score_column)} DESC NULLS LAST, {quote_all(one.keys)}",
    )
    newest = asked.dicts()[0]["as_of"] if asked.rows else None
    first = section("Newest predictions", asked, zone, links={one.keys[0]: _looked_up_link(seen, one)})
    return [look_up(seen, one), first, *_spread(seen, one, newest)]


def look_up(seen: Seen, one: Product) -> Section:
    """Look one entity up, as applications do, if its key was given."""
    form = None if seen.is_export else Form([(name, seen.query.get(name, "")) for name in one.keys], "Look up")
    condition = " AND ".join(f"{quote(name)}::VARCHAR = ${n}" for n, name in enumerate(one.keys, 1))
    given = [seen.query[name] for name in one.keys if name in seen.query]
    title, application = "Look up by key", _view(one, "current")
    if len(given) < len(one.keys):
        sample = " AND ".join(f"{quote(name)} = '...'" for name in one.keys)
        words = ["A form stands here where `almanac web` answers."] if form is None else []
        return Section(title, words, form=form, sql=f"FROM {application} WHERE {sample}")
    asked = seen.ask("web/looked_up", *given, view=application, condition=condition)
    links = {"as_of": lambda row: seen.page_link(one.name, row["as_of"])}
    shown = table(asked.names, asked.rows, seen.zone_of(one.name), links, leave_out=["reasons"])
    nothing = "Nothing is predicted of this key: it is not on the newest page, or what was said is valid no more."
    found = next(iter(asked.dicts()), None)
    if found is None:
        return Section(title, table=shown, nothing=nothing, form=form, sql=asked.sql)
    reasons = [f"{each['feature']}: {each['contribution']:+.4f}" for each in found.get("reasons") or []]
    keys = " ".join(f"--key {_argument(f'{name}={value}')}" for name, value in zip(one.keys, given, strict=True))
    command = f"almanac explain {one.name} --page {found['as_of']:%Y-%m-%dT%H:%M} {keys}"
    return Section(title, reasons, table=shown, form=form, sql=asked.sql, commands=[command])


def _argument(text: str) -> str:
    return shlex.quote(text)


def _looked_up_link(seen: Seen, one: Product) -> Link:
    """Lead from a row to its look-up, where a server answers it and a text names each part of the key."""

    def link(row: Mapping[str, Any]) -> str | None:
        values = [row[name] for name in one.keys]
        are_named = all(isinstance(value, (str, int, date)) and not isinstance(value, datetime) for value in values)
        if seen.is_export or not are_named:
            return None
        asked = urlencode(dict(zip(one.keys, map(str, values), strict=True)))
        return f"{paths.of_product(one.name)}?{asked}#look-up-by-key"

    return link


def _view(one: Product, what: str) -> str:
    return f"predictions.{quote(f'{one.name}_{what}')}"


def _spread(seen: Seen, one: Product, newest: datetime | None) -> list[Section]:
    if newest is None:
        return []
    drawn = [
        beside(each, "predictions", newest) for each in compared_columns(seen.connection, one, "predictions", newest)
    ]
    if not drawn:
        return []
    asked = seen.ask("web/profiles", one.name, "predictions", newest)
    words = ["The newest page beside the last pages of its season."]
    command = f"almanac profile {one.name} --page {newest:%Y-%m-%dT%H:%M}"
    return [Section("How predictions are spread", words, pictures=drawn, sql=asked.sql, commands=[command])]


def compared_columns(
    connection: duckdb.DuckDBPyConnection, one: Product, kind: str, page: datetime, column: str | None = None
) -> list[Comparison]:
    """Compare columns of a page with the pages of its season before it, the furthest first; none without profiles."""
    published = ledger.published_pages(connection, one.name, kind)
    if page not in published:
        return []
    pages = [*reference_pages(one, page, published), page]
    profiles = profiles_of(connection, one.name, [published[each] for each in pages], column)
    own = [each for each in profiles if each.as_of == page]
    earlier = [each for each in profiles if each.as_of < page]
    found = [compare(each, [other for other in earlier if other.column_name == each.column_name]) for each in own]
    return sorted(found, key=lambda each: (each.psi is None, -(each.psi or 0), each.column))


def calendar_section(seen: Seen, one: Product, year: int | None = None) -> Section:
    """Show the pages of a year, or the newest ones, with the state of each."""
    grid = pages_of_year(one, year, seen.now) if year else _newest_grid(seen, one)
    years = range(one.header.pages.since.year, seen.now.year + 1)
    links = [(str(each), paths.of_product(one.name, f"calendar-{each}")) for each in years]
    command = f"almanac pages {one.name}"
    asked = seen.ask("web/calendar", one.name, min(grid, default=seen.now), max(grid, default=seen.now))
    grid, n_pages = grid[-_OF_A_YEAR:], len(grid)
    months = _months(seen, one, grid) if grid else []
    words = ["Each day has the state of its most urgent page."] if months else ["No page is due yet."]
    if n_pages > len(grid):
        words.append(f"Of {n_pages:,} pages the newest {len(grid):,} are shown; the query and the command tell of all.")
    title = f"Pages of {year}" if year else "Calendar of pages"
    return Section(title, words, months=months, links=links, commands=[command], sql=asked.sql)


def _newest_grid(seen: Seen, one: Product) -> list[datetime]:
    """Give the newest pages of the grid; of a product that was left alone long ago those up to its newest page."""
    grid = newest_pages(one, seen.now)
    last = seen.ask("web/span", one.name).rows[0][1]
    is_old = last is not None and bool(grid) and last < grid[0]
    return newest_pages(one, min(last + _AFTER, seen.now)) if is_old else grid


def _months(seen: Seen, one: Product, grid: Sequence[datetime]) -> list[Month]:
    states = page_states(seen.suite, one, grid, connection=seen.connection)

    def link(day: date, pages: Sequence[datetime]) -> str | None:
        if len(pages) > 1:
            return paths.of_product(one.name, f"days/{day}")
        return seen.page_link(one.name, pages[0])

    return months_of([(state.as_of, state.shown) for state in states], seen.zone_of(one.name), link)


def newest_pages(one: Product, now: datetime) -> list[datetime]:
    """Give the newest pages of a product's grid that are due."""
    since, until = one.header.pages.since, now + timedelta(microseconds=1)
    span = timedelta(days=_IN_CALENDAR)
    # A grid may have a page a minute: begin with a short span, and take longer ones until there are enough.
    for days in (2, 20, 200):
        if len(found := one.pages_between(max(since, until - timedelta(days=days)), until)) >= _IN_CALENDAR:
            return found[-_IN_CALENDAR:]
    return one.pages_between(max(since, until - span), until)[-_IN_CALENDAR:] if since < until else []


def pages_of_year(one: Product, year: int, now: datetime) -> list[datetime]:
    """Give the pages of a year (of UTC) that are due."""
    since, until = max(one.header.pages.since, datetime(year, 1, 1)), min(datetime(year + 1, 1, 1), now)
    return one.pages_between(since, until) if since < until else []
