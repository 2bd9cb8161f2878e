"""Costs: what runs took, by owner, team, product and month, and the runs that took most."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.web.parts import paths
from jobs.web.parts.document import Document
from jobs.web.parts.seen import UTC_ZONE, Seen, section
from jobs.web.parts.strips import bars_of
from warehouse.system_sql import quote

BY = ("product", "team", "owner", "job")


def costs(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show what runs of the ledger cost."""
    sections = []
    for by in BY:
        asked = seen.ask("web/costs", by=quote(by))
        sums: dict[str, float] = {}
        for row in asked.dicts():
            sums[row[by] or "(none)"] = sums.get(row[by] or "(none)", 0.0) + (row["cpu_s"] or 0.0)
        drawn = bars_of(f"CPU seconds by {by}", dict(sorted(sums.items(), key=lambda item: -item[1])[:12]))
        said = [f"almanac costs --by {by} --per month"]
        sections.append(
            section(
                f"By {by} and month", asked, UTC_ZONE, pictures=drawn, commands=said, nothing="Nothing has run yet."
            )
        )
    sections.append(section("The runs that took most", seen.ask("web/dearest_runs"), UTC_ZONE))
    lead = (
        "Runs of Almanac's own commands. Those of the clock's Python functions and shells are counted by the command."
    )
    return Document(paths.COSTS, "Costs", sections, lead=lead)
