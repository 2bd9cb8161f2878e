"""Sources: how far they have delivered, how much, what was rejected and set aside, and gaps."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.web.parts import paths
from jobs.web.parts.cells import Cell, cell
from jobs.web.parts.document import Document, Section
from jobs.web.parts.drawn import over_pages
from jobs.web.parts.seen import UTC_ZONE, Seen, section
from warehouse.definitions import Source
from warehouse.definitions.durations import duration_text
from warehouse.facts.promises import broken_promises
from warehouse.facts.watermarks import Watermarks
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import derivation_column
from warehouse.system_sql import quote


def sources(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show all sources."""
    asked = seen.ask("web/sources", derivation=derivation_column(seen.connection))
    defined = seen.suite.definitions.sources
    links = {"source": lambda row: paths.of_source(row["source"]) if row["source"] in defined else None}
    never = sorted(defined.keys() - {row["source"] for row in asked.dicts()})
    words = [f"Nothing was delivered yet: {', '.join(never)}."] if never else []
    broken = [each.sentence for each in broken_promises(seen.connection, defined.values(), seen.now)]
    sections = [
        section("Sources", asked, UTC_ZONE, links=links, sentences=words, commands=["almanac ingest"]),
        Section(
            "Promises that are not kept", broken or ["Every source keeps what it promises."], commands=["almanac late"]
        ),
        _set_aside(seen, None),
    ]
    more = [(name, paths.of_source(name)) for name in never]
    if more:
        sections.append(Section("Sources without a delivery", links=more))
    return Document(paths.SOURCES, "Sources", sections)


def _set_aside(seen: Seen, source: str | None) -> Section:
    """List files that are set aside; a lake in which none ever was has no table of them."""
    title, nothing = "Files set aside", "No file is set aside."
    if not seen.has_table("rejects", "files"):
        return Section(title, [nothing])
    asked = seen.ask("web/files_aside", source)
    defined = seen.suite.definitions.sources
    links = {"source": lambda row: paths.of_source(row["source"]) if row["source"] in defined else None}
    commands = ["almanac ingest --forget FILE"] if asked.rows else []
    return section(title, asked, UTC_ZONE, links=links, nothing=nothing, commands=commands)


def source(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show one source."""
    defined = seen.suite.definitions.sources
    one = seen.suite.definitions.source(paths.named(names["source"], defined) or names["source"])
    deliveries = seen.ask("web/ingestions", one.name)
    sections = [_facts(seen, one), *_volumes(seen, one)]
    sections += [
        section("Deliveries", deliveries, UTC_ZONE, nothing="Nothing was delivered yet."),
        *_rejects(seen, one),
    ]
    sections.append(_set_aside(seen, one.name))
    traced = [("Where its columns go", paths.LINEAGE)]
    sections.append(Section("Lineage", links=traced, commands=[f"almanac impact {one.name}.COLUMN"]))
    crumbs = [("Sources", paths.SOURCES)]
    return Document(paths.of_source(one.name), one.name, sections, crumbs, lead=one.header.description)


def _facts(seen: Seen, one: Source) -> Section:
    watermarks = Watermarks(seen.connection, _newest_ingest_id(seen))
    known = watermarks.known_until([one], seen.now)
    facts = [
        ("Delivered up to", cell(known, UTC_ZONE)),
        ("Key", Cell(", ".join(one.header.key))),
        ("Known at", Cell(one.header.known_at)),
        ("Arrives within", Cell(duration_text(one.header.arrives_within) if one.header.arrives_within else "at once")),
        ("Owner", Cell(one.header.owner or "nobody is named")),
    ]
    return Section("What it is", facts=facts)


def _newest_ingest_id(seen: Seen) -> int:
    return ledger.newest_ingest_id(seen.connection)


def _volumes(seen: Seen, one: Source) -> list[Section]:
    if not seen.has_table("sources", one.name):
        return []
    asked = seen.ask("web/volumes", table=f"sources.{quote(one.name)}")
    rows = [{"as_of": row["day"], "facts": row["facts"]} for row in reversed(asked.dicts())]
    drawn = over_pages("Facts by the day on which they became known", rows, {"facts": "facts"})
    return [section("Volumes", asked, UTC_ZONE, pictures=drawn)]


def _rejects(seen: Seen, one: Source) -> list[Section]:
    if not seen.has_table("rejects", one.name):
        return [Section("Rejected rows", ["No row was rejected."])]
    name = f"rejects.{quote(one.name)}"
    why = seen.ask("web/rejects", table=name)
    rows = seen.ask("web/rejected_rows", table=name)
    found = [section("Why rows were rejected", why, UTC_ZONE, nothing="No row was rejected.")]
    return [*found, section("Rejected rows", rows, UTC_ZONE)] if rows.rows else found
