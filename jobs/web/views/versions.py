"""Versions of a product: metrics, decisions, who was live when; and one version with its gates, folds and weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobs.models.model_table import held_out_metrics
from jobs.models.versions import model_history
from jobs.web.parts import paths
from jobs.web.parts.cells import Link, cell, label, table
from jobs.web.parts.document import Document, Section
from jobs.web.parts.drawn import over_pages
from jobs.web.parts.seen import Seen, section
from jobs.web.parts.strips import Stretch, bars_of, strip_of
from jobs.web.views.product import crumbs_of, views_of
from warehouse.definitions import Product


def versions(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show all versions of a product."""
    one = seen.suite.definitions.product(names["product"])
    zone = seen.zone_of(one.name)
    known = seen.ask("web/versions", one.name, seen.now)
    there = frozenset(row["version"] for row in known.dicts())
    links = {"version": _version_link(one, there)}
    served = seen.ask("web/served", one.name)
    drawn = strip_of("Which version wrote the published pages", _stretches(served.dicts()))
    promote = f"almanac promote {one.name} VERSION --effective-from T --reason '...'"
    listed = section("Versions", known, zone, links=links, nothing="No version is registered.", commands=[promote])
    decided = seen.ask("web/decisions", one.name, None)
    live = seen.ask("web/promotions", one.name)
    back = [f"almanac live {one.name} --at T", f"almanac models rollback {one.name}"]
    sections = [
        listed,
        section("Who wrote when", served, zone, links=links, pictures=drawn, nothing="No page is published."),
        section("Made live", live, zone, links=links, commands=back, nothing="No version was made live."),
        section("Decisions", decided, zone, links=links, nothing="Nothing was decided yet."),
    ]
    path = paths.of_product(one.name, "versions")
    return Document(path, f"{one.name}, versions", sections, crumbs_of(one.name), views_of(one.name))


def _version_link(one: Product, there: frozenset[str]) -> Link:
    return lambda row: paths.of_version(one.name, row["version"]) if row["version"] in there else None


def _stretches(rows: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    return [Stretch(row["version"] or "?", row["first_page"], row["last_page"]) for row in reversed(rows)]


def version(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show one version."""
    one = seen.suite.definitions.product(names["product"])
    history = model_history(seen.connection, one.name)
    name = paths.named(names["version"], [model.version for model in history.models]) or names["version"]
    model = history.version(name)
    zone = seen.zone_of(one.name)
    asked = seen.ask("web/version", one.name, name)
    facts = [(label(what), cell(value, zone, what)) for what, value in asked.dicts()[0].items() if value is not None]
    card = [f"almanac models show {one.name} {name}", f"almanac models card {one.name} {name}"]
    sections = [
        Section("What it is", facts=facts, sql=asked.sql, commands=card),
        _held_out(seen, one, name, held_out_metrics(model)),
        *_learnt(seen, json.loads(model.validation or "{}"), one),
        _importance(seen, one, name),
        section("Gates", seen.ask("web/gates", one.name, name), zone, nothing="No gate was asked."),
        *_of_pages(seen, one, name),
        section("Decisions", seen.ask("web/decisions", one.name, name), zone, nothing="Nothing was decided on it."),
    ]
    crumbs = [*crumbs_of(one.name), ("Versions", paths.of_product(one.name, "versions"))]
    return Document(paths.of_version(one.name, name), f"{one.name} {name}", sections, crumbs, views_of(one.name))


def _held_out(seen: Seen, one: Product, name: str, found: Sequence[Mapping[str, Any]]) -> Section:
    rows = [tuple(row.values()) for row in found]
    shown = table(["metric", "held out", "newest pages"], rows, seen.zone_of(one.name))
    asked = seen.ask("web/version_metrics", one.name, name)
    words = ["By models that had not seen these pages."] if rows else []
    return Section("Held out", words, table=shown, nothing="Nothing was held out.", sql=asked.sql)


def _learnt(seen: Seen, learnt: Mapping[str, Any], one: Product) -> list[Section]:
    found = []
    zone = seen.zone_of(one.name)
    for title, key in (("Calibration, held out", "calibration"), ("Folds", "folds"), ("By class", "by_class")):
        rows = learnt.get(key) or []
        if rows:
            names = list(rows[0])
            found.append(Section(title, table=table(names, [[row.get(n) for n in names] for row in rows], zone)))
    return found


def _importance(seen: Seen, one: Product, name: str) -> Section:
    asked = seen.ask("web/importance", one.name, name)
    values = {str(row["column"]): float(row["loss_grows_by"]) for row in asked.dicts()}
    drawn = bars_of("By how much the loss grew when a column was shuffled", values)
    nothing = "It was not measured which columns weigh how much."
    return section("What it goes by", asked, seen.zone_of(one.name), pictures=drawn, nothing=nothing)


def _of_pages(seen: Seen, one: Product, name: str) -> list[Section]:
    asked = seen.ask("report/version", one.name, name)
    nothing = "No page of this version has been judged by its labels."
    return [section("Published predictions", asked, seen.zone_of(one.name), nothing=nothing)]


def performance_pictures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Draw loss, excess, evidence and calibration of pages."""
    bound = next((row["bound"] for row in reversed(rows) if row["bound"] is not None), None)
    estimate = ("estimate", "estimate_low", "estimate_high")
    slope = ("calibration_slope", "slope_low", "slope_high")
    lines: dict[str, str | tuple[str, str, str]] = {"loss": "loss", "expected": "expected_loss", "estimate": estimate}
    return [
        *over_pages("Loss of each page, and what its predictions expected", rows, lines),
        *over_pages("Excess loss", rows, {"excess": "excess"}, level=("0", 0.0)),
        *over_pages(
            "Evidence of more loss than predictions allow (logarithmic)",
            rows,
            {"evidence": "evidence"},
            level=("bound", bound) if bound else None,
            logarithmic=True,
        ),
        *over_pages("Calibration slope of the last 20 pages", rows, {"slope": slope}, level=("calibrated", 1.0)),
    ]


def span_of(seen: Seen, one: Product) -> tuple[datetime, datetime]:
    """Give the first and last of the newest pages that are drawn."""
    first, last = seen.ask("web/span", one.name).rows[0]
    return first or seen.now, last or seen.now
