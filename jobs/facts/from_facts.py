"""A derivation made of the facts of another one, where no file has to be opened for it.

That is so where only the SELECT's list of columns has changed, and reads what is held as it was delivered: see
`jobs.facts.select_lists`. Facts keep their `known_at` and `ingest_id`. Where columns are gone, versions of a fact that
differed in nothing else are one. What cannot be told for certain is left to reading the deliveries again.

A single delivery that is gone is delivered again from the facts that a derivation has of it. They are judged by the
definition that takes them in, and dated by its `known_at`; columns that they lack are NULL until a later delivery
tells. What the key or a fact's date depends on must be among what they have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from jobs.facts.csv_files.formats import Found
from jobs.facts.select_lists import KEPT, OverFacts, over_facts
from jobs.facts.staged_facts import StagedFacts, laid_out
from warehouse.definitions import Source, source_from_text
from warehouse.errors import IngestFailed
from warehouse.lake.lake import table_columns
from warehouse.lake.registry import FACT_COLUMNS, REJECT_COLUMNS
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import HeldFacts
from warehouse.ledger.recorded_deliveries import RecordedDelivery
from warehouse.ledger.records import Ingestion
from warehouse.system_sql import literal, quote, quote_all, system_sql


@dataclass(frozen=True)
class Made:
    """A derivation staged: a file for each table that has rows, its columns, and a row of the ledger a delivery.

    `formats` is how its CSV files were read, if they were.
    """

    way: str
    columns: dict[str, str]
    staged: StagedFacts
    ingestions: list[Ingestion]
    n_gone: int = 0
    formats: list[Found] = field(default_factory=list)


def made_of_facts(
    source: Source,
    deliveries: Sequence[RecordedDelivery],
    connection: duckdb.DuckDBPyConnection,
    held: HeldFacts,
    directory: Path,
) -> Made | None:
    """Make the derivation of a source from the facts of another one; None if they do not tell it."""
    if source.entries:
        return None  # what each file was read by is not told by the facts
    if any(one.definition == source.facts_fingerprint for one in held.derivations.values()):
        return None  # it was dropped, and its facts are to stand under the ingestions that they had
    for number in sorted(held.derivations, reverse=True):
        parent = held.derivations[number]
        has_all = all(number in delivery.held_by for delivery in deliveries)
        old = source_from_text(source.name, parent.text) if parent.state == "made" and parent.text else None
        if old is None or parent.n_gone or not has_all:
            continue
        attempt = _FromFacts(source, old, connection, held.table(number), number, directory)
        try:
            made = attempt.made()
        except duckdb.Error:  # some value does not fit: reading the deliveries again says which
            made = None
        if made is not None:
            return made
    return None


class _FromFacts:
    def __init__(
        self,
        source: Source,
        old: Source,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        number: int,
        directory: Path,
    ) -> None:
        self.source, self.old, self.connection = source, old, connection
        self.table, self.number, self.directory = table, number, directory

    def made(self) -> Made | None:
        """Stage the facts and rejects, if they can be told."""
        ingestions = self._ingestions()
        present = table_columns(self.connection, "sources", self.table)
        own = [name for name in present if name not in FACT_COLUMNS]
        if ingestions is None or not own:
            return None
        over = over_facts(self.old, self.source, own)
        if over is None:
            return None
        facts = self._over(over, "sources", tuple(FACT_COLUMNS))
        if facts is None:
            return None
        if over.drops:
            if not self._collapse(facts):
                return None
            ingestions = self._counted(ingestions)
        else:
            self.connection.execute(f"CREATE OR REPLACE TEMP VIEW derived AS {facts}")
        described = self.connection.execute("DESCRIBE temp.derived").fetchall()
        columns = {str(row[0]): str(row[1]) for row in described if row[0] not in FACT_COLUMNS}
        staged = stage_derived(self.connection, self.source, "sources", "temp.derived", self.directory)
        rejects = self._over(over, "rejects", tuple(REJECT_COLUMNS))
        if rejects is None:
            return None
        staged |= stage_derived(self.connection, self.source, "rejects", f"({rejects})", self.directory)
        self.connection.execute(f"DROP {'TABLE' if over.drops else 'VIEW'} temp.derived")
        given = [replace(one, columns=columns, definition=self.source.fingerprint) for one in ingestions]
        return Made("facts", columns, laid_out(self.connection, self.source, columns, staged), given)

    def _ingestions(self) -> list[Ingestion] | None:
        """Give the ledger's rows of the facts; None unless all of the deliveries had the same columns and types."""
        parameters = [self.source.name, self.number]
        found = ledger.records_of(self.connection, Ingestion, "ingest/ingestions_of", parameters)
        kinds = [one.columns for one in found if one.rows_read or one.columns]
        return found if kinds and kinds[0] and all(one == kinds[0] for one in kinds) else None

    def _over(self, over: OverFacts, schema: str, more: tuple[str, ...]) -> str | None:
        """Give the new SELECT over a table of the facts' derivation; their relation is made here."""
        if not table_columns(self.connection, schema, self.table):
            return None
        reads = {**over.reads, **{f"{KEPT}{name}": name for name in more}}
        fragments = {
            "reads": ", ".join(f"{quote(column)} AS {quote(name)}" for name, column in reads.items()),
            "table": f"lake.{schema}.{quote(self.table)}",
        }
        self.connection.execute(system_sql("ingest/facts_anew", **fragments))
        return over.text(self.connection, more)

    def _collapse(self, query: str) -> bool:
        """Leave out versions that say what the one before says; False if it cannot be told when others were known."""
        turned_away = self.connection.execute(f"SELECT count(*) FROM lake.rejects.{quote(self.table)}").fetchone()
        if self.source.header.restated_at is not None or turned_away != (0,):
            return False
        described = self.connection.execute(f"DESCRIBE {query}").fetchall()
        columns = quote_all(str(row[0]) for row in described if row[0] not in FACT_COLUMNS)
        fragments = {"key": quote_all(self.source.key), "columns": columns, "query": query}
        self.connection.execute(system_sql("ingest/collapse", **fragments), [self.source.name, self.number])
        clear = self.connection.execute("SELECT bool_and(is_clear) FROM temp.derived").fetchone()
        for column in ("is_clear", "its_ingest_id", "ingested_at"):
            self.connection.execute(f"ALTER TABLE temp.derived DROP COLUMN {column}")
        return clear != (False,)

    def _counted(self, ingestions: Sequence[Ingestion]) -> list[Ingestion]:
        """Count anew what each ingestion brought."""
        query = system_sql("ingest/brought", key=quote_all(self.source.key))
        brought = {row[0]: row[1:] for row in self.connection.execute(query).fetchall()}
        counted = []
        for one in ingestions:
            new, restated, withdrawn, first, last = brought.get(one.ingest_id, (0, 0, 0, None, None))
            unchanged = one.rows_read - new - restated - withdrawn - one.rows_rejected
            fates = {"rows_new": new, "rows_restated": restated, "rows_withdrawn": withdrawn}
            counted.append(replace(one, rows_unchanged=unchanged, min_known_at=first, max_known_at=last, **fates))
        return counted


def stage_derived(
    connection: duckdb.DuckDBPyConnection, source: Source, schema: str, relation: str, directory: Path
) -> dict[str, Path]:
    """Write a derivation's facts or rejects to a Parquet file; give it by the schema that it goes to, if any."""
    path = directory / f"{schema}-derived.parquet"
    order = f"{'known_at, ' if schema == 'sources' else ''}{quote_all(source.key)}"
    query = system_sql("ingest/stage_derived", table=relation, order=order, file=literal(str(path)))
    row = connection.execute(query).fetchone()
    return {schema: path} if row and row[0] else {}


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
