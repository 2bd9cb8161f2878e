"""Rollouts of a product, each with its stages, arms and looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobs.web.parts import paths
from jobs.web.parts.asked import Asked
from jobs.web.parts.cells import Cell, cell, label
from jobs.web.parts.document import Document, Section
from jobs.web.parts.drawn import over_pages
from jobs.web.parts.seen import Seen, pages_linked, section
from jobs.web.parts.strips import Stretch, strip_of
from jobs.web.views.product import crumbs_of, views_of
from warehouse.definitions import Product
from warehouse.errors import NotFoundError
from warehouse.ledger.rollouts import ENDS

_DECISIONS = ("hold", "advance", "abort")


def rollouts(seen: Seen, names: Mapping[str, str]) -> Document:
    """List the rollouts of a product."""
    one = seen.suite.definitions.product(names["product"])
    asked = seen.ask("web/rollouts", one.name)
    links = {"rollout_id": lambda row: paths.of_product(one.name, f"rollouts/{paths.slug(row['rollout_id'])}")}
    started = [f"almanac rollout start {one.name} VERSION", f"almanac rollout power {one.name}"]
    zone = seen.zone_of(one.name)
    listed = section("Rollouts", asked, zone, links=links, nothing="There was no rollout.", commands=started)
    path = paths.of_product(one.name, "rollouts")
    return Document(path, f"{one.name}, rollouts", [listed], crumbs_of(one.name), views_of(one.name))


def rollout(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show one rollout."""
    one = seen.suite.definitions.product(names["product"])
    known = seen.ask("web/rollouts", one.name)
    row = next((each for each in known.dicts() if paths.slug(each["rollout_id"]) == names["rollout"]), None)
    if row is None:
        raise NotFoundError(f"{one.name} has no rollout {names['rollout']}.")
    name, zone = row["rollout_id"], seen.zone_of(one.name)
    steps, looks = seen.ask("web/rollout_steps", name), seen.ask("web/rollout_looks", name)
    arms = seen.ask("web/rollout_arms", name)
    facts = [(label(what), cell(value, zone, what)) for what, value in row.items() if value is not None]
    is_over = bool(steps.rows) and steps.dicts()[-1]["action"] in ENDS
    decide = [] if is_over else [f"almanac rollout {what} {one.name} --why '...'" for what in _DECISIONS]
    newest = steps.dicts()[-1] if steps.rows else {}
    state = ("State", Cell(str(newest.get("action", "started")), str(newest.get("reason") or ""), look="state info"))
    sections = [
        Section("What it is", facts=[state, *facts], sql=known.sql, commands=[f"almanac rollout {one.name}", *decide]),
        section("Stages", steps, zone, pictures=_stages(steps.dicts(), seen.now)),
        _looks(seen, one, looks),
        section("Who served how much", arms, zone, nothing="No page was made in it yet."),
    ]
    crumbs = [*crumbs_of(one.name), ("Rollouts", paths.of_product(one.name, "rollouts"))]
    path = paths.of_product(one.name, f"rollouts/{paths.slug(name)}")
    return Document(path, f"{one.name}, rollout {name}", sections, crumbs, views_of(one.name))


def _looks(seen: Seen, one: Product, looks: Asked) -> Section:
    drawn = []
    for arm in sorted({row["arm"] for row in looks.dicts()}):
        own = [row for row in looks.dicts() if row["arm"] == arm]
        drawn += over_pages(
            f"{arm}: loss less that of the live version, mean with its confidence sequence",
            own,
            {"mean": ("mean", "low", "high"), "page": "difference"},
            level=("equal", 0.0),
        )
        evidence: dict[str, str | tuple[str, str, str]] = {"worse": "e_worse", "good": "e_good"}
        drawn += over_pages(
            f"{arm}: evidence (logarithmic)", own, evidence, level=("1 / alpha", 20.0), logarithmic=True
        )
    words = ["What stands at a page was valid then, and is valid now: looks may be made after each page."]
    links = {"as_of": pages_linked(seen, one)}
    zone = seen.zone_of(one.name)
    return section("Looks", looks, zone, links=links, pictures=drawn, sentences=words, nothing="No look was made yet.")


def _stages(steps: Sequence[Mapping[str, Any]], now: datetime) -> list[str]:
    """Draw the stages in a strip; the last goes on until now, unless a step ended it."""
    found = []
    for place, step in enumerate(steps):
        begin = step["effective_from"] or step["decided_at"]
        following = steps[place + 1] if place + 1 < len(steps) else None
        end = (following["effective_from"] or following["decided_at"]) if following else begin
        if begin is not None and end is not None and end >= begin:
            found.append(Stretch(f"{step['number']}. {step['action']}", begin, end))
    return strip_of("Steps, by the pages that they are for", found)
