"""Labels: what came of each entity of a page, as far as it was known by some instant.

`label.sql` runs in a sandbox at `$known_by`, once for each page. A model trained as of T takes the labels known
by T; what readers see as outcomes are the labels known by now.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.definitions import Definitions, Product
from warehouse.errors import DefinitionError, RunFailed
from warehouse.facts.watermarks import Watermarks
from warehouse.lake.lake import one_transaction
from warehouse.ledger.records import PageRecord, SourceFacts
from warehouse.sandbox import HOLD_FROM_PAGES, Sandbox
from warehouse.system_sql import exact_path, literal, quote_all, system_sql

_numbers = itertools.count()


@dataclass(frozen=True)
class LabelPages:
    """Staged labels: one file with keys, as_of and label, and how many labels each page has.

    They are what was known by `known_by`, up to which their sources had delivered.
    """

    file: Path
    n_rows: dict[datetime, int]
    columns: dict[str, str]
    known_by: datetime


def compute_labels(
    sandbox: Sandbox,
    definitions: Definitions,
    product: Product,
    pages: Sequence[datetime],
    known_by: datetime,
    file: Path,
    workers: int = 2,
    *,
    needs_lake: bool = True,
    shown_rows: Mapping[str, str] | None = None,
) -> LabelPages:
    """Compute the labels of some pages as known by an instant, or up to when all sources had delivered; stage them.

    Parameters
    ----------
    needs_lake
        Whether the sandbox has to read the lake afterwards. If not, and the sources are held, it is detached.
    shown_rows
        By source, SQL of which of its rows are shown, as if the others had not come.

    Raises
    ------
    DefinitionError
        If label.sql does not bind, or does not yield the keys and `label`.
    RunFailed
        If it gives an entity two labels, or a binary label that is neither 0 nor 1.
    """
    table = f"memory.main.labels_{next(_numbers)}"
    cursor = sandbox.cursor()
    sandbox.query_timeout = product.header.query_timeout
    try:
        known_by = settled_by(sandbox, definitions, product, known_by)
        if len(pages) >= HOLD_FROM_PAGES:
            sources = definitions.sources_read([product.label])
            sandbox.hold(sources)
            if not needs_lake:
                sandbox.detach_lake(sources)
        _collect(sandbox, definitions, product, pages, (known_by, shown_rows), table, workers)
        found = {str(row[0]): str(row[1]) for row in cursor.execute(f"DESCRIBE {table}").fetchall()}
        missing = [name for name in (*product.keys, "label") if name not in found]
        if missing:
            raise DefinitionError(f"{product.label.where}: it must select the keys and `label`; {missing} are missing.")
        kind = product.kind.label_type
        statement = system_sql(
            "labels/stage", keys=quote_all(product.keys), kind=kind, labels=table, file=literal(str(file))
        )
        try:
            cursor.execute(statement)
        except duckdb.DataError as error:
            raise RunFailed(f"{product.label.where}: a label does not fit {kind}: {error}") from error
        _check(cursor, product, file)
        counts = dict(cursor.execute(system_sql("pages/staged"), [exact_path(file)]).fetchall())
        columns = {key: found[key] for key in product.keys} | {"as_of": "TIMESTAMP", "label": kind}
        return LabelPages(file, {page: counts.get(page, 0) for page in pages}, columns, known_by)
    finally:
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.close()


def settled_by(sandbox: Sandbox, definitions: Definitions, product: Product, known_by: datetime) -> datetime:
    """Give the instant as of which labels can be made: `known_by`, or up to when their sources have delivered."""
    sources = definitions.sources_read([product.label])
    if not any(source.promises_watermark for source in sources):
        return known_by
    with sandbox.lake.reading(sandbox.snapshot_id) as connection:
        return Watermarks(connection, sandbox.ingest_id).known_until(sources, known_by)


def _collect(
    sandbox: Sandbox,
    definitions: Definitions,
    product: Product,
    pages: Sequence[datetime],
    known: tuple[datetime, Mapping[str, str] | None],
    table: str,
    workers: int,
) -> None:
    sources, (known_by, shown_rows) = definitions.sources_read([product.label]), known

    def fill(part: Sequence[datetime]) -> None:
        with sandbox.at(known_by, sources, shown_rows=shown_rows) as view:
            for as_of in part:
                view.run_wrapped("pages/collect", product.label, table, as_of, known_by=known_by)

    with sandbox.at(known_by, sources, shown_rows=shown_rows) as view, one_transaction(view.cursor):
        view.run_wrapped("pages/prepare", product.label, table, pages[0], known_by=known_by)
    count = max(1, min(workers, len(pages)))
    with ThreadPoolExecutor(max_workers=count) as pool:
        list(pool.map(fill, [pages[index::count] for index in range(count)]))


def _check(cursor: duckdb.DuckDBPyConnection, product: Product, file: Path) -> None:
    staged = exact_path(file)
    repeated = cursor.execute(system_sql("labels/repeated", keys=quote_all(product.keys)), [staged]).fetchone()
    if repeated:
        raise RunFailed(
            f"{product.label.where}: more than one label for one entity of the page {repeated[0]}: {repeated[1:]}."
        )
    wrong = product.kind.wrong_label_of(product.classes)
    if wrong is not None:
        odd = f"SELECT DISTINCT label FROM read_parquet($1) WHERE {wrong} ORDER BY label LIMIT 3"
        values = [row[0] for row in cursor.execute(odd, [staged]).fetchall()]
        if values:
            if product.finds_classes:
                raise RunFailed(
                    f"{product.label.where}: {values} is no class that a training has found so far, which are"
                    f" {', '.join(product.classes)}. Train a version, which finds it: almanac train {product.name}"
                )
            raise RunFailed(f"{product.label.where}: {product.kind.label_rule}; found {values}.")


#: Gives the instant as of which all facts that a label reads had been delivered, as known at an instant and with the
#: ingestions up to one.
KnownUntil = Callable[[datetime, int | None], datetime]


def labels_are_settled(
    record: PageRecord | None,
    product: Product,
    fingerprint: str,
    facts: Sequence[SourceFacts],
    now: datetime,
    known_until: KnownUntil,
) -> bool:
    """Tell whether a page's stored labels still hold everything that is known by now.

    They do if they were made from the definitions as they are, and either after the labels had matured or of all that
    has been delivered by now, and no later ingestion brought facts that could bear on them. Labels have matured once
    every source that they read has delivered what was known by then. What was made later than now, by a clock that was
    set back since, is not made anew as known earlier: an outcome would be taken back that is known.
    """
    if record is None or record.definitions != fingerprint:
        return False
    if record.recorded_at > now:
        return True
    mature_at = record.as_of + product.maturity
    made_as_of = known_until(record.recorded_at, record.ingest_id)
    if made_as_of < mature_at and known_until(now, None) > made_as_of:
        return False
    return all(fact.newer_than(record.ingest_id, mature_at) is None for fact in facts)
