"""A slice of pages: where lifted queries run, as the sandbox is where those of one page do.

It offers a schema with the table of its pages, the sources with all that any of them sees, and relations that
carry their page already. How many pages a slice has follows from how many facts may have to be joined to them.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import duckdb

from warehouse.batching.lifting import PAGE, PAGES
from warehouse.definitions import Definitions, Source
from warehouse.ledger.records import SourceFacts
from warehouse.sandbox import Sandbox, earlier, timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql

#: How many pages one query answers for at most, and how many at least are worth it.
PAGES_AT_ONCE, WORTH_IT = 64, 4
#: So many rows may come of joining a source to the pages, at the very worst: each fact on each of them.
_JOINED_ROWS = 50_000_000
_numbers = itertools.count()


def pages_at_once(tables: Iterable[str], facts: Mapping[str, SourceFacts]) -> int:
    """Give how many pages may be joined to the sources among some tables in one query, so that memory is bounded."""
    rows = max((facts[table].n_rows for table in tables if table in facts), default=0)
    return min(PAGES_AT_ONCE, _JOINED_ROWS // max(1, rows))


def slices_of(
    pages: Sequence[datetime], tables: Iterable[str], facts: Mapping[str, SourceFacts]
) -> list[Sequence[datetime]]:
    """Cut pages into slices for queries that read some tables."""
    size = max(1, pages_at_once(tables, facts))
    return [pages[start : start + size] for start in range(0, len(pages), size)]


@contextlib.contextmanager
def slice_of_pages(
    sandbox: Sandbox,
    definitions: Definitions,
    pages: Sequence[datetime],
    tables: Iterable[str],
    relation: Callable[[str], str],
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a slice; give a cursor that finds `PAGES` and the tables by their bare names.

    Parameters
    ----------
    tables
        What its queries read.
    relation
        Gives SQL of what a table that is no source stands for: rows of many pages, marked by page.
    """
    schema = f"memory.lifted_{next(_numbers)}"
    cursor = sandbox.cursor()
    try:
        cursor.execute(f"CREATE SCHEMA {schema}")
        cursor.execute(f"USE {schema}")
        listed = ", ".join(f"({timestamp_literal(page)})" for page in pages)
        table = f"{schema}.{quote(PAGES)}"
        cursor.execute(f"CREATE TABLE {table} AS SELECT * FROM (VALUES {listed}) AS pages ({quote(PAGE)})")
        for name in sorted(tables):
            view = f"{schema}.{quote(name)}"
            if name in definitions.sources:
                cursor.execute(_source_view(sandbox, definitions.sources[name], view, max(pages)))
            else:
                cursor.execute(f"CREATE VIEW {view} AS FROM {relation(name)}")
        yield cursor
    finally:
        with contextlib.suppress(duckdb.Error):
            cursor.execute("USE memory.main")
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")
        cursor.close()


def _source_view(sandbox: Sandbox, source: Source, view: str, last: datetime) -> str:
    """Show a source under its name: all that the pages up to the last one see of it."""
    fragments = {
        "view": view,
        "columns": quote_all(sandbox.source_columns(source)),
        "source": sandbox.relation(source),
        "horizon": timestamp_literal(earlier(last, source.header.arrives_within)),
        "ingest_id": str(sandbox.ingest_id),
    }
    if sandbox.facts_of({source.name: source})[source.name].has_versions:
        return system_sql("lifting/versioned_source", key=quote_all(source.key), **fragments)
    return system_sql("lifting/source", **fragments)
