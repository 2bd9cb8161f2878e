"""Questions to the operational state, in SQLite: opened to look at it, and asked in SQL that somebody can ask again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from jobs.web.parts.asked import Asked, with_values
from jobs.web.parts.cells import Link, table
from jobs.web.parts.document import Section
from jobs.web.parts.times import as_instants
from warehouse.operations.state import looking
from warehouse.system_sql import system_sql


def ask_operations(lake: Path, name: str, *values: int) -> Asked | None:
    """Ask the operational state a question of `sql/system/NAME.sql`; None if there is no such state yet."""
    with looking(lake) as connection:
        if connection is None:
            return None
        text = with_values(system_sql(name), values)
        cursor = connection.execute(text)
        names = [column[0] for column in cursor.description]
        return Asked(names, [tuple(row) for row in cursor.fetchall()], text)


def operations_section(
    title: str,
    asked: Asked | None,
    zone: ZoneInfo,
    *,
    nothing: str,
    commands: Sequence[str] = (),
    links: Mapping[str, Link] | None = None,
) -> Section:
    """Make a section of an answer."""
    if asked is None:
        return Section(title, ["No clock has run yet."], commands=commands)
    shown = table(asked.names, as_instants(asked.names, asked.rows), zone, links)
    return Section(title, table=shown, nothing=nothing, operations=asked.sql, commands=commands)
