"""A delivery that is gone, delivered again from the facts that a derivation has of it.

They are judged by the definition that takes them in, and dated by its `known_at`; columns that they lack are NULL until
a later delivery tells. What the key or a fact's date depends on must be among what they have.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from jobs.facts.recorded import RecordedDelivery
from warehouse.definitions import Source
from warehouse.errors import IngestFailed
from warehouse.lake.lake import table_columns
from warehouse.ledger.derivations import HeldFacts
from warehouse.system_sql import quote, system_sql


def holder_of(held: HeldFacts, delivery: RecordedDelivery) -> tuple[int, int]:
    """Give the newest derivation that has a delivery's facts, and the ingestion under which it has them."""
    there = [
        (number, ingest_id)
        for number, ingest_id in delivery.held_by.items()
        if number not in held.derivations or held.derivations[number].state == "made"
    ]
    return max(there)


def deliver_again(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    held: HeldFacts,
    delivery: RecordedDelivery,
    columns: Mapping[str, str],
) -> None:
    """Make the relation `delivery` of the facts and rejects that a derivation has of a delivery.

    Parameters
    ----------
    columns
        Those that it is to have, with their types.

    Raises
    ------
    IngestFailed
        If they lack what dates or names a fact, or a value does not fit its type.
    """
    number, ingest_id = holder_of(held, delivery)
    table = held.table(number)
    present = table_columns(connection, "sources", table)
    kept = {name: kind for name, kind in columns.items() if name in present}
    fragments = {
        "columns": ", ".join(f"{quote(name)}::{kind} AS {quote(name)}" for name, kind in kept.items()),
        "table": quote(table),
        "ingest_id": str(ingest_id),
    }
    try:
        connection.execute(system_sql("ingest/deliver_again", **fragments))
        _see_that_header_binds(connection, source)
    except duckdb.Error as error:
        raise IngestFailed(
            f"{source.file.where}: the facts of a delivery that is gone cannot be kept under this definition:"
            f" {str(error).splitlines()[0]} Put its files back, or take the definition back. Nothing was changed."
        ) from error
    for name in [name for name in columns if name not in kept]:
        connection.execute(f"ALTER TABLE temp.delivered_again ADD COLUMN {quote(name)} {columns[name]}")
    connection.execute("CREATE OR REPLACE TEMP VIEW delivery AS FROM temp.delivered_again")
    connection.execute(system_sql("ingest/nothing_refused"))


def _see_that_header_binds(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """What dates a fact must not read a column that these facts lack: it would be NULL."""
    header = source.header
    dating = [header.known_at, header.restated_at or "NULL", header.withdrawn or "NULL"]
    listed = ", ".join([*(f"({text}\n)" for text in dating), *map(quote, source.key)])
    connection.execute(f"SELECT {listed} FROM temp.delivered_again LIMIT 0")
