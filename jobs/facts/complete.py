"""Deliveries that are complete: what the newest one lacks is withdrawn as of its ingestion (`delivery: complete`).

Withdrawing is done only where nothing speaks against it. A delivery without rows, with a file that could not be read
or a row whose key cannot be told, or that would withdraw more than the header allows, is refused whole, until
somebody names the number of facts that go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from jobs.facts.files.delivered_files import DeliveredFile
from jobs.facts.reading import Reading
from warehouse.definitions import Source
from warehouse.system_sql import quote, quote_all, system_sql
from warehouse.wording import counted

#: What the path of a delivery says that has all rows of a table, to find what was deleted (`compare`).
ALL_COMPARED = ", all compared"


def as_delivered(source: Source, files: Iterable[DeliveredFile]) -> Source:
    """Give a source as it is for one delivery: complete where all rows of a table were read to be compared."""
    return source.as_complete() if any(ALL_COMPARED in file.path for file in files) else source


@dataclass(frozen=True)
class Lacking:
    """How many facts are held, how many of them the delivery lacks, its rows, and those whose key cannot be told."""

    held: int = 0
    lacking: int = 0
    rows: int = 0
    without_key: int = 0


def of_newest_delivery(
    source: Source, files: Sequence[DeliveredFile], ingestions: Sequence[Sequence[Mapping[str, str]]]
) -> list[DeliveredFile]:
    """Leave out the files that are as they were taken in last.

    A complete delivery may bring back what an earlier one said, byte for byte: only the newest state counts.

    Parameters
    ----------
    ingestions
        The files of each ingestion of the source, oldest first.
    """
    if not isinstance(source.header.files, str):
        newest = {file["sha256"] for file in ingestions[-1]} if ingestions else set()
        return [] if {file.sha256 for file in files} == newest else list(files)
    at_path = {file["path"]: file["sha256"] for ingestion in ingestions for file in ingestion}
    return [file for file in files if at_path.get(file.path) != file.sha256]


def show_nothing_delivered(connection: duckdb.DuckDBPyConnection, facts: str, columns: Iterable[str]) -> None:
    """Make the relation `delivery` for files of no bytes: no rows, in the columns of the facts that are held."""
    listed = quote_all(name for name in columns if name not in ("known_at", "ingest_id", "withdrawn"))
    connection.execute(system_sql("ingest/nothing_delivered", columns=listed, facts=facts))
    connection.execute(system_sql("ingest/nothing_refused"))


def withdraw_lacking(
    connection: duckdb.DuckDBPyConnection, source: Source, columns: Iterable[str], ingested_at: datetime
) -> Lacking:
    """Add to `judged` what the delivery lacks, as facts that are withdrawn; tell how much that is."""
    key = quote_all(source.key)
    key_is_null = " OR ".join(f"{quote(name)} IS NULL" for name in source.key)
    row = connection.execute(system_sql("ingest/lacking", key=key, key_is_null=key_is_null)).fetchone()
    statement = system_sql("ingest/withdraw_lacking", columns=quote_all(columns), key=key)
    connection.execute(statement, {"ingested_at": ingested_at})
    return Lacking(*(row or ()))


def why_refused(source: Source, reading: Reading, found: Lacking, allowed: int | None) -> str:
    """Say why a complete delivery may lack facts for another reason than that they are gone; nothing if it does not.

    Parameters
    ----------
    allowed
        The number of facts that somebody has said may go.
    """
    settings = source.header.delivery
    if settings is None or allowed == found.lacking:
        return ""
    share = found.lacking / found.held if found.held else 0.0
    why = ""
    if reading.aside:
        why = f"{reading.aside[0].file.path} could not be read"
    elif not found.rows and found.held:
        why = "it has no rows"
    elif found.without_key and found.lacking:
        why = f"the key of {counted(found.without_key, 'row')} is NULL, so that nobody can tell which facts they are"
    elif share > settings.at_most:
        why = f"that is more than `at_most` allows, {settings.at_most:.0%} of them"
    if not why:
        return ""
    return (
        f"{source.name}: the delivery of {', '.join(file.path for file in reading.taken) or 'no file'} would withdraw"
        f" {found.lacking:,} of {counted(found.held, 'fact')}, and {why}. Nothing of it was taken in. If it is right:"
        f" almanac ingest {source.name} --withdraw {found.lacking}"
    )
