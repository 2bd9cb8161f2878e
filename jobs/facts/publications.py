"""A product's publications as what a source delivers: the pages that were published since it was last asked.

Each publication is delivered once, with the instant at which it was published; a page that replaces another restates
what that one said. Pages that were written with hindsight are never delivered. What upkeep has let go of since cannot
be, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from jobs.facts.files.delivered_files import DeliveredFile
from warehouse.definitions import Source
from warehouse.definitions.durations import duration_text
from warehouse.errors import NotFoundError
from warehouse.lake.lake import table_columns
from warehouse.lake.staged_files import sha256_of
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.pages.history import past_page
from warehouse.system_sql import literal, quote, system_sql

#: Up to which snapshot publications were delivered, as a delivery's path says it.
_UP_TO = re.compile(r"publications of (\w+) up to snapshot (\d+)")


def next_publications(
    connection: duckdb.DuckDBPyConnection, source: Source, derivation: int, directory: Path
) -> list[DeliveredFile]:
    """Write what a product has published since to a file; no file if nothing was.

    One delivery has a page once: where pages were published several times since, it ends before the second time, and
    what follows is the next delivery.

    Parameters
    ----------
    connection
        One that reads the lake, which it uses.
    derivation
        Of which facts of the source it is asked what they hold already.
    """
    product = source.header.product
    assert product is not None
    if not table_columns(connection, "predictions", product):
        return []
    taken = connection.execute(system_sql("ingest/known_files"), [source.name, derivation]).fetchall()
    found = (_UP_TO.fullmatch(file[1]) for file in taken)
    since = max((int(match[2]) for match in found if match and match[1] == product), default=0)
    records = list(_each_page_once(_published_since(connection, product, since)))
    if not records:
        return []
    file = directory / "publications.parquet"
    relation = _rows_of(connection, product, [record for record in records if not record.hindsight])
    late = source.header.arrives_within if source.header.as_if_on_time else None
    connection.execute(_statement(relation, late, file))
    shown = f"publications of {product} up to snapshot {records[-1].snapshot_id}"
    return [DeliveredFile(shown, sha256_of(file), file.stat().st_size, file)]


def _published_since(connection: duckdb.DuckDBPyConnection, product: str, snapshot_id: int) -> list[PageRecord]:
    query = "ledger/publications_since"
    return ledger.records_of(connection, PageRecord, query, [product, "predictions", snapshot_id])


def _each_page_once(records: Sequence[PageRecord]) -> Iterable[PageRecord]:
    """Give publications in their order, up to the commit that publishes a page for the second time."""
    first: dict[datetime, int] = {}
    end = None
    for record in records:
        if first.setdefault(record.as_of, record.snapshot_id) != record.snapshot_id:
            end = record.snapshot_id
            break
    return [record for record in records if end is None or record.snapshot_id < end]


def _rows_of(connection: duckdb.DuckDBPyConnection, product: str, records: Sequence[PageRecord]) -> str:
    """Give SQL of the rows of publications as each put them there, marked with when that was."""
    newest = ledger.published_pages(connection, product, "predictions", [record.as_of for record in records])
    # Of a page whose data file was lost none stands.
    standing = [one for one in records if one.as_of in newest and newest[one.as_of].snapshot_id == one.snapshot_id]
    table = quote(product)
    parts = [system_sql("publications/rows", relation=f"predictions.{table}", publications=_values(standing))]
    for record in records:
        if record in standing:
            continue
        try:
            past = past_page(connection, product, "predictions", record.as_of, record.snapshot_id)
        except NotFoundError:
            continue
        parts.append(system_sql("publications/rows", relation=past.relation, publications=_values([record])))
    return " UNION ALL BY NAME ".join(parts)


def _values(records: Sequence[PageRecord]) -> str:
    """Write publications as rows of a VALUES list: page, and when it was published. One row is never found."""
    rows = [(one.as_of.isoformat(sep=" "), one.recorded_at.isoformat(sep=" ")) for one in records]
    listed = [f"(TIMESTAMP {literal(as_of)}, TIMESTAMP {literal(at)})" for as_of, at in rows]
    return ", ".join([*listed, "(NULL::TIMESTAMP, NULL::TIMESTAMP)"])


def _statement(relation: str, late: timedelta | None, file: Path) -> str:
    marked = f"published_at > as_of + INTERVAL {literal(duration_text(late))}" if late is not None else "false"
    return system_sql("publications/stage", relation=relation, as_if_on_time=marked, file=literal(str(file)))
