"""Whether a product is trained again: answers of triggers, searches, what fresh data is worth, and rehearsals."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.training.freshness_record import Age
from jobs.training.freshness_report import curve_of
from jobs.web.parts import paths
from jobs.web.parts.cells import cell, label
from jobs.web.parts.document import Document, Section
from jobs.web.parts.seen import Seen, section
from jobs.web.parts.strips import Interval, intervals_of
from jobs.web.views.product import crumbs_of, views_of
from warehouse.definitions import Product
from warehouse.errors import NotFoundError
from warehouse.ledger.measurements import AGE, ALL, CHOSEN_ON, HELD_OUT, INSTEAD, POLICY, VERSION

#: What a measurement has figures of: its kind, the title, the columns that such figures have, and what is said if none.
_FIGURES = (
    (
        AGE,
        "Extra {loss} a row by the model's age",
        "days AS age_in_days, figure AS extra, low, high, n_pages AS judged_on",
        "",
    ),
    (
        POLICY,
        "What training more often saves, in {loss} a row against once a year",
        "name AS policy, figure AS saved, low, high, trainings_a_year, cpu_s AS cpu_s_a_year",
        "",
    ),
    (VERSION, "Versions that were judged", "cutoff, n_rows, n_pages, figure AS loss, cpu_s", ""),
    (INSTEAD, "What something else saves", "name AS what, figure AS saved, low, high, cpu_s", "`--also` asks for it."),
)
_PARTS = {ALL: "Policies", HELD_OUT: "Policies, on the pages that were held out", CHOSEN_ON: "Where they were chosen"}


def retraining(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show whether a product was to be trained again, searches, what fresh data is worth, and rehearsals."""
    one = seen.suite.definitions.product(names["product"])
    zone = seen.zone_of(one.name)
    answers, trials = seen.ask("web/triggers", one.name), seen.ask("web/trials", one.name)
    sections = [
        section(
            "Answers of triggers",
            answers,
            zone,
            nothing="No job with `when` has asked yet.",
            commands=[f"almanac triggers {one.name}", f"almanac retrain {one.name}"],
        ),
        _listed(
            seen,
            one,
            ("What fresh data is worth", "freshness", "freshness_id"),
            "Versions of several ages, judged on the same pages: what age costs, and what training more often saves.",
            f"almanac freshness {one.name} --from A --to B",
        ),
        _listed(
            seen,
            one,
            ("Rehearsals", "rehearsals", "rehearsal_id"),
            "History lived through again under policies, beside what is published, and what they came to.",
            f"almanac rehearse {one.name} --from A --to B --policies FILE --keep",
        ),
        section(
            "Searches",
            trials,
            zone,
            nothing="There was no search.",
            commands=[f"almanac train {one.name} --as-of T --search"],
        ),
    ]
    path = paths.of_product(one.name, "retraining")
    return Document(path, f"{one.name}, retraining", sections, crumbs_of(one.name), views_of(one.name))


def _listed(seen: Seen, one: Product, of: tuple[str, str, str], words: str, command: str) -> Section:
    """List measurements of a kind (title, path, column that names one), each with a page of its own."""
    title, what, key = of
    asked = seen.ask(f"web/{what}", one.name)
    links = {key: lambda row: paths.of_measurement(one.name, what, row[key])}
    zone = seen.zone_of(one.name)
    nothing = "None was made yet."
    return section(title, asked, zone, links=links, sentences=[words], nothing=nothing, commands=[command])


def _found(seen: Seen, one: Product, of: tuple[str, str], slug: str) -> tuple[dict[str, Any], str]:
    """Give the row of a measurement by its path, and the SQL that gives it."""
    what, key = of
    asked = seen.ask(f"web/{what}", one.name)
    row = next((each for each in asked.dicts() if paths.slug(each[key]) == slug), None)
    if row is None:
        raise NotFoundError(f"{one.name} has no such page under {what}: {slug}.")
    return row, asked.sql


def _way(one: Product) -> list[tuple[str, str]]:
    return [*crumbs_of(one.name), ("Retraining", paths.of_product(one.name, "retraining"))]


def freshness(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show one measurement of what fresh data is worth: the curve by age, and the tables."""
    one = seen.suite.definitions.product(names["product"])
    zone = seen.zone_of(one.name)
    row, sql = _found(seen, one, ("freshness", "freshness_id"), names["measured"])
    notes, loss, measured = row.pop("notes") or [], row["loss"], row["freshness_id"]
    facts = [(label(what), cell(value, zone, what)) for what, value in row.items()]
    sections = [Section("What it is of", notes, facts=facts, sql=sql)]
    for kind, title, columns, nothing in _FIGURES:
        asked = seen.ask("web/freshness_figures", measured, kind, columns=columns)
        rows = asked.dicts()
        drawn = []
        if kind == AGE and rows:
            ages = [Age(r["age_in_days"], r["extra"], r["low"], r["high"], r["judged_on"]) for r in rows]
            drawn = [curve_of(loss, ages)]
        elif kind == POLICY:
            drawn = intervals_of(title.format(loss=loss), _intervals(rows, "policy", "saved"), ("nothing saved", 0.0))
        sections.append(section(title.format(loss=loss), asked, zone, pictures=drawn, nothing=nothing))
    path = paths.of_measurement(one.name, "freshness", measured)
    title = f"{one.name}, what fresh data is worth"
    return Document(path, title, sections, _way(one), views_of(one.name))


def rehearsal(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show one rehearsal: its table of policies, what they were, and how to look at the suites that were kept."""
    one = seen.suite.definitions.product(names["product"])
    zone = seen.zone_of(one.name)
    row, _ = _found(seen, one, ("rehearsals", "rehearsal_id"), names["measured"])
    asked = seen.ask("web/rehearsal", row["rehearsal_id"])
    known = asked.dicts()[0]
    metric = known["metric"]
    facts = [
        (label(what), cell(value, zone, what))
        for what, value in known.items()
        if value is not None and what not in ("policies", "notes")
    ]
    sections = [Section("What it is of", known["notes"] or [], facts=facts, sql=asked.sql)]
    for part, title in _PARTS.items():
        policies = seen.ask("web/rehearsed_policies", row["rehearsal_id"], part)
        rows = policies.dicts()
        if rows:
            first = f"how much better than {rows[0]['policy']}"
            drawn = [
                *intervals_of(f"{metric} of each policy", _intervals(rows, "policy", "figure")),
                *intervals_of(first, _intervals(rows, "policy", "better", "better_"), ("the same", 0.0)),
            ]
            sections.append(section(title, policies, zone, pictures=drawn))
    written = json.dumps(json.loads(known["policies"]), indent=2, ensure_ascii=False)
    sections.append(Section("The policies as they were written", text=written))
    sections.append(_kept(seen, known["kept_in"]))
    path = paths.of_measurement(one.name, "rehearsals", row["rehearsal_id"])
    return Document(path, f"{one.name}, rehearsal", sections, _way(one), views_of(one.name))


def _kept(seen: Seen, kept_in: str | None) -> Section:
    """Say how to look at the suites of the policies, where they were kept and are still there."""
    there = sorted((seen.suite.root / kept_in).glob("*/lake")) if kept_in else []
    words = ["Each policy was a suite of its own, with pages like these."] if there else []
    commands = [f"almanac web --suite {shlex.quote(str(path.parent.relative_to(seen.suite.root)))}" for path in there]
    return Section("The suites of the policies", words or ["They were not kept, or are deleted."], commands=commands)


def _intervals(rows: Sequence[Mapping[str, Any]], name: str, figure: str, prefix: str = "") -> list[Interval]:
    return [
        Interval(row[name], row[figure], row[f"{prefix}low"], row[f"{prefix}high"], bool(row.get("is_best")))
        for row in rows
        if row[figure] is not None and row[f"{prefix}low"] is not None
    ]
