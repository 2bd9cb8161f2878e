"""Derivations: the facts of a source under one definition of it, each a table of its own.

When the definition of a source changes, the next derivation is made from what was delivered before, so that a page
sees what it would have seen had the definition been so from the start. The newest derivation of a source is the table
`sources.NAME`; an older one is `sources."NAME@k"`. Which one a set of definitions reads follows from the source's
`facts_fingerprint`. Facts of a lake that was made before there were derivations are one: the first.

How a derivation is made is left to the jobs; this module says which there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.definitions import Definitions, Source, source_from_text
from warehouse.errors import UsageError
from warehouse.lake.connections import remembered
from warehouse.lake.lake import Lake
from warehouse.ledger import records as ledger
from warehouse.ledger.records import SourceFacts
from warehouse.system_sql import system_sql

#: The derivation of a row of ledger.ingestions.
_DERIVATION = "coalesce(derivation, 1)"


@dataclass(frozen=True)
class Derivation:
    """A derivation that was made, or dropped.

    Attributes
    ----------
    definition, text
        The source's `facts_fingerprint` and its file; both empty if an earlier version of Almanac made it.
    state
        `made` or `dropped`.
    way
        How it came about: `ingest` delivery by delivery, `facts` from those of its parent, `replay` of deliveries.
    n_deliveries, n_gone
        From how many recorded deliveries it was made, and how many of them could not be read again.
    """

    TABLE: ClassVar[str] = "derivations"
    source: str
    derivation: int
    definition: str
    text: str
    state: str
    way: str
    parent: int | None
    n_deliveries: int
    n_gone: int
    recorded_at: datetime
    run_id: str
    snapshot_id: int


@dataclass(frozen=True)
class HeldFacts:
    """The derivations of one source that the lake holds, by number, each with what the ledger knows of its facts.

    `landed` is the fingerprint under which an earlier version of Almanac took in the newest facts of the first one.
    """

    source: str
    derivations: dict[int, Derivation] = field(default_factory=dict)
    facts: dict[int, SourceFacts] = field(default_factory=dict)
    landed: str | None = None

    @property
    def newest(self) -> int:
        """The number of the newest derivation; 0 before the first."""
        return max((*self.facts, *self.derivations), default=0)

    def of(self, source: Source) -> SourceFacts | None:
        """Give the facts under the definition of a source, or None if there are none."""
        named = [
            number
            for number, derivation in self.derivations.items()
            if derivation.state == "made" and derivation.definition == source.facts_fingerprint
        ]
        if not named and 1 not in self.derivations and self.landed == source.fingerprint:
            named = [1]
        if not named:
            return None
        number = max(named)
        return self.facts.get(number, SourceFacts(table=self.table(number), derivation=number))

    def table(self, number: int) -> str:
        """Name the table of a derivation."""
        return self.source if number == self.newest else older_table(self.source, number)


def older_table(source: str, number: int) -> str:
    """Name the table of a derivation that is not the newest."""
    return f"{source}@{number}"


@remembered
def held_facts(connection: duckdb.DuckDBPyConnection) -> dict[str, HeldFacts]:
    """Read, for every source that was ever ingested, which derivations the lake holds, and what is known of each."""
    listed = ", ".join(spec.name for spec in fields(Derivation))
    try:
        rows = connection.execute(system_sql("ledger/source_facts", derivation=_DERIVATION)).fetchall()
        found = connection.execute(system_sql("ledger/derivations", columns=listed)).fetchall()
    except (duckdb.BinderException, duckdb.CatalogException):  # a lake of before there were derivations
        rows, found = connection.execute(system_sql("ledger/source_facts", derivation="1")).fetchall(), []
    held: dict[str, HeldFacts] = {}
    for record in (Derivation(*row) for row in found):
        one = held.setdefault(record.source, HeldFacts(record.source))
        one.derivations[record.derivation] = record
    for source, number, definition, ingest_id, versions, n_rows, each in rows:
        one = held.setdefault(str(source), HeldFacts(str(source)))
        brought = [(item["ingest_id"], item["min_known_at"]) for item in each]
        one.facts[number] = SourceFacts(ingest_id, bool(versions), n_rows, brought, derivation=number)
        if number == 1:
            held[str(source)] = replace(one, landed=definition)
    return {source: _named(one) for source, one in held.items()}


def derivation_column(connection: duckdb.DuckDBPyConnection) -> str:
    """Give SQL of the derivation of a row of ledger.ingestions, in a lake of before there were any too."""
    try:
        connection.execute("SELECT derivation FROM ledger.ingestions LIMIT 0")
    except duckdb.BinderException:
        return "1"
    return _DERIVATION


def _named(held: HeldFacts) -> HeldFacts:
    """Give each derivation's facts the name of their table, and since when pages could be made of them."""
    facts = {
        number: replace(found, table=held.table(number), since=_since(held, number))
        for number, found in held.facts.items()
    }
    return replace(held, facts=facts)


def _since(held: HeldFacts, number: int) -> int:
    """Give the snapshot at which a derivation was first made: one that was dropped and made again is the same."""
    if number not in held.derivations:
        return 0
    definition = held.derivations[number].definition
    same = [one for one in held.derivations.values() if one.definition == definition]
    return min(0 if one.way == "ingest" else one.snapshot_id for one in same)


def source_facts(connection: duckdb.DuckDBPyConnection, sources: Iterable[Source]) -> dict[str, SourceFacts]:
    """Read, by name, what the ledger knows of the facts under the definitions of some sources.

    A source that has none under its definition is left out.
    """
    return facts_among(held_facts(connection), sources)


def facts_among(held: Mapping[str, HeldFacts], sources: Iterable[Source]) -> dict[str, SourceFacts]:
    """Give the same from what `held_facts` has read."""
    found = {source.name: held[source.name].of(source) for source in sources if source.name in held}
    return {name: facts for name, facts in found.items() if facts is not None}


def why_no_facts(source: Source, held: HeldFacts | None) -> str:
    """Say why a source has no facts under its definition, and what to do."""
    if held is None:
        return f"the source `{source.name}` holds no facts yet; run `almanac ingest {source.name}` first."
    return (
        f"the definition of the source `{source.name}` has changed since its facts were taken in, and there are none"
        f" under the definition as it is; run `almanac ingest {source.name}` first (--dry-run says what that would do)."
    )


def facts_table(held: Mapping[str, HeldFacts], source: Source) -> str:
    """Name the table of the facts under a source's definition.

    Raises
    ------
    UsageError
        If there are none.
    """
    one = held.get(source.name)
    facts = one.of(source) if one is not None else None
    if facts is None:
        raise UsageError(why_no_facts(source, one))
    return facts.table


def adopt_landed_facts(lake: Lake, definitions: Definitions, now: datetime) -> None:
    """Write down the definition of facts that an earlier version of Almanac took in, where it is known.

    It is that of a source as it is, or one whose text the ledger has kept with pages or models. So the facts stay
    known by it when only `arrives_within` is changed.
    """
    with lake.reading() as connection:
        held = held_facts(connection)
    landed = {name: one.landed for name, one in held.items() if 1 in one.facts and 1 not in one.derivations}
    found = {
        name: source
        for name, fingerprint in landed.items()
        if (source := _source_of_then(lake, definitions, name, fingerprint)) is not None
    }
    if not found:
        return
    with lake.commit("write down which facts are under which definition") as commit:
        records = [first_derivation(source, now, "", commit.snapshot_id) for source in found.values()]
        ledger.append(commit, records)


def _source_of_then(lake: Lake, definitions: Definitions, name: str, fingerprint: str | None) -> Source | None:
    present = definitions.sources.get(name)
    if present is not None and present.fingerprint == fingerprint:
        return present
    with lake.reading() as connection:
        rows = connection.execute(system_sql("ledger/source_texts"), [f"sql/sources/{name}.sql"]).fetchall()
    texts = (source_from_text(name, text) for (text,) in rows)
    return next((source for source in texts if source is not None and source.fingerprint == fingerprint), None)


def first_derivation(source: Source, now: datetime, run_id: str, snapshot_id: int) -> Derivation:
    """Give the ledger's row of a source's first derivation, which is filled delivery by delivery."""
    return Derivation(
        source.name,
        1,
        source.facts_fingerprint,
        source.file.text,
        "made",
        "ingest",
        None,
        0,
        0,
        now,
        run_id,
        snapshot_id,
    )
