"""The deliveries of a source that the ledger has recorded, each once, whichever derivations have taken it in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.definitions import Source
from warehouse.errors import UsageError
from warehouse.ledger.derivations import HeldFacts, facts_among, held_facts, why_no_facts
from warehouse.ledger.records import SourceFacts, SourceFile
from warehouse.system_sql import system_sql
from warehouse.wording import counted


@dataclass(frozen=True)
class RecordedDelivery:
    """One delivery, as it was first taken in.

    Attributes
    ----------
    ingest_id, derivation
        The ingestion that took it in first, and the derivation that this belongs to.
    ingested_at
        When it reached us, naive UTC.
    held_by
        By derivation, the ingestion that took it in there.
    """

    ingest_id: int
    derivation: int
    ingested_at: datetime
    run_id: str
    files: list[SourceFile]
    held_by: Mapping[int, int]


def recorded_deliveries(connection: duckdb.DuckDBPyConnection, source: Source) -> list[RecordedDelivery]:
    """Read the deliveries of a source, the oldest first."""
    rows = connection.execute(system_sql("ingest/deliveries"), [source.name]).fetchall()
    is_whole = isinstance(source.header.files, list) or source.withdraws_what_lacks
    found: list[RecordedDelivery] = []
    holders: dict[str, dict[int, int]] = {}
    readings: Counter[tuple[int, str]] = Counter()
    for ingest_id, derivation, ingested_at, run_id, files, is_landed in rows:
        plain = [_as_one(files)] if is_whole else [_named(file) for file in files]
        units = plain * len(files) if is_whole else plain
        # The same bytes again are another delivery: where rows were turned away until their time had come, and where a
        # delivery is complete, which tells that all is as it was then. An earlier version also read files again when
        # the definition had changed, which is none.
        units = [unit if is_landed else f"{unit} {readings[derivation, unit] or ''}".strip() for unit in units]
        readings.update((derivation, unit) for unit in plain)
        known = set(holders)
        for unit in units:
            holders.setdefault(unit, {}).setdefault(derivation, ingest_id)
        fresh = [n for n, unit in enumerate(units) if unit not in known]
        if fresh:
            held_by = holders[units[fresh[0]]]
            taken = [files[n] for n in fresh]
            found.append(RecordedDelivery(ingest_id, derivation, ingested_at, run_id, taken, held_by))
    return found


def _named(file: SourceFile) -> str:
    """Name a file by what is in it; files of no bytes hash alike, and each is a delivery."""
    return file["sha256"] if file["bytes"] else file["path"]


def _as_one(files: Sequence[SourceFile]) -> str:
    return " ".join(file["sha256"] for file in files)


def facts_needed(connection: duckdb.DuckDBPyConnection, sources: Iterable[Source]) -> dict[str, SourceFacts]:
    """Read, by name, what the ledger knows of the facts of sources from which something is about to be made.

    Those never ingested are left out.

    Raises
    ------
    UsageError
        If the facts of one of them are all under other definitions, or those under its definition lack a delivery
        that was taken in under another one: what is made would lack it too, and nobody would be told.
    """
    held = held_facts(connection)
    needed = [source for source in sources if source.name in held]
    found = facts_among(held, needed)
    problems = [why for source in needed if (why := why_unfit(connection, source, held[source.name])) is not None]
    if problems:
        raise UsageError("\n".join(problems))
    return found


def why_unfit(connection: duckdb.DuckDBPyConnection, source: Source, held: HeldFacts) -> str | None:
    """Say why nothing is made of a source's facts before they are ingested again; None if they are as they are to be.

    There are none under its definition, or they lack deliveries that were taken in under another one.
    """
    facts = held.of(source)
    if facts is None:
        return why_no_facts(source, held)
    if held.newest == 1:  # there is no other derivation that could have taken in more
        return None
    lacking = [one for one in recorded_deliveries(connection, source) if facts.derivation not in one.held_by]
    if not lacking:
        return None
    were = counted(len(lacking), "delivery was", "deliveries were")
    return (
        f"{were} taken in under another definition of the source `{source.name}` only, and what is made of the facts"
        f" under the definition as it is would lack that; run `almanac ingest {source.name}` first."
    )
