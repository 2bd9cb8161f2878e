"""Whether a source's facts could be made again: which deliveries are gone, and which derivations can be let go of.

A derivation is dropped only when nobody has used it for long, and every delivery that it was made of is still to be
had, so that the last holder of a fact never goes.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

import duckdb

from jobs.facts.recorded import find_deliveries, has_copy
from jobs.suite import Suite
from warehouse.definitions import Source, source_from_text
from warehouse.lake.lake import Commit, Lake
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import HeldFacts, held_facts, older_table
from warehouse.ledger.recorded_deliveries import recorded_deliveries
from warehouse.ledger.records import SourceFile
from warehouse.system_sql import quote, system_sql


def what_is_gone(suite: Suite, source: Source, connection: duckdb.DuckDBPyConnection) -> str | None:
    """Say which recorded deliveries of a source cannot be read again, or None if all can.

    Files that are where they were, with the size that they had, are not opened.
    """
    deliveries = recorded_deliveries(connection, source)
    newest_at = {file["path"]: file["sha256"] for delivery in deliveries for file in delivery.files}
    looked_for = [
        delivery
        for delivery in deliveries
        if not all(
            newest_at[file["path"]] == file["sha256"] and _seems_there(suite.lake, file) for file in delivery.files
        )
    ]
    if not looked_for:
        return None
    with tempfile.TemporaryDirectory() as directory:
        gone = find_deliveries(suite, source, looked_for, Path(directory)).gone
    if not gone:
        return None
    first = next(iter(gone.values()))
    return (
        f"{len(gone)} of its {len(deliveries)} deliveries cannot be read again"
        f" ({first}): a definition that is changed may be refused."
        f" {'' if source.header.keep else '`keep: true` in its header keeps copies from now on.'}"
    ).strip()


def _seems_there(lake: Lake, file: SourceFile) -> bool:
    if file["path"].startswith("package:") or has_copy(lake, file["sha256"]):
        return True
    path = Path(file["path"])
    return path.is_file() and path.stat().st_size == file["bytes"]


def drop_unused_derivations(suite: Suite, unused_since: datetime) -> list[str]:
    """Drop the derivations that nothing has used since an instant and that can be made again; give their tables.

    Kept are the newest of each source, and that of the definitions as they are.
    """
    dropped = []
    with suite.lake.reading() as connection:
        for name, held in held_facts(connection).items():
            if not held.derivations:
                continue
            used = last_uses(connection, held)
            for number in sorted(held.derivations):
                if used.get(number, unused_since) < unused_since and _can_go(suite, name, held, number, connection):
                    dropped.append((name, number))
    for name, number in dropped:
        with suite.lake.commit(f"drop derivation {number} of {name}") as commit:
            _drop(commit, name, number, suite.clock())
    return [older_table(*one) for one in dropped]


def last_uses(connection: duckdb.DuckDBPyConnection, held: HeldFacts) -> dict[int, datetime]:
    """Say when each derivation of a source was last used: made, ingested into, or read by a page or a training.

    Derivations of one definition are one: one that was dropped may have been made again.
    """
    rows = connection.execute(system_sql("ledger/uses_of_derivations"), [held.source]).fetchall()
    by_meaning: dict[str, datetime] = {}
    for number, used_at in rows:
        if number in held.derivations and used_at is not None:
            meaning = held.derivations[number].definition
            by_meaning[meaning] = max(by_meaning.get(meaning, used_at), used_at)
    return {
        number: by_meaning[one.definition] for number, one in held.derivations.items() if one.definition in by_meaning
    }


def _can_go(suite: Suite, name: str, held: HeldFacts, number: int, connection: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether a derivation can be dropped, and made again whenever it is wanted."""
    derivation = held.derivations[number]
    present = suite.definitions.sources.get(name)
    facts = held.of(present) if present is not None else None
    is_needed = number == held.newest or (facts is not None and facts.derivation == number)
    if is_needed or derivation.state != "made" or derivation.n_gone:
        return False
    source = source_from_text(name, derivation.text)
    ingestions = ledger.records_of(connection, ledger.Ingestion, "ingest/ingestions_of", [name, number])
    # Facts of an earlier version of Almanac may be of several definitions.
    if source is None or not all(one.columns or not one.rows_read for one in ingestions):
        return False
    deliveries = recorded_deliveries(connection, source)
    with tempfile.TemporaryDirectory() as directory:
        return not find_deliveries(suite, source, deliveries, Path(directory)).gone


def _drop(commit: Commit, name: str, number: int, now: datetime) -> None:
    table = quote(older_table(name, number))
    commit.execute(f"DROP TABLE IF EXISTS sources.{table}")
    commit.execute(f"DROP TABLE IF EXISTS rejects.{table}")
    commit.execute(system_sql("ledger/drop_derivation"), [name, number, now])
