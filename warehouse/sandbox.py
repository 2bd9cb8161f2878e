"""The sandbox: where authors' queries run, and where nothing from the future exists.

A sandbox is a database instance of its own. The lake is attached to it read-only at one snapshot, under a name drawn at
random, and external access is then switched off for good. For one instant it offers a schema of views that bear the
sources' names and show each source as it was known then; a query sees those and nothing else, because
`warehouse.queries.checked_query` has let through none but unqualified names, and `warehouse.queries.bound_plans` no
plan that scans more. DuckDB resolves them; the author's text runs unchanged.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from warehouse.definitions import Product, Source
from warehouse.errors import UsageError
from warehouse.lake.lake import Lake, check_format, newest_snapshot, one_transaction, table_columns, use_all_cores
from warehouse.lake.warm_up import connect
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import HeldFacts, facts_table, held_facts, why_no_facts
from warehouse.ledger.records import SourceFacts
from warehouse.queries.bound_plans import Scan, check_plan
from warehouse.queries.bounded_functions import bound_functions
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.error_lines import explained
from warehouse.queries.memory import limit_memory
from warehouse.queries.running import QUERY_TIMEOUT, running
from warehouse.system_sql import exact_path, literal, quote, quote_all, system_sql

#: What a view of a source leaves out of the lake's table: the suite's own bookkeeping.
_HIDDEN = ("ingest_id", "withdrawn")
#: Sources of up to this many rows are held in memory where many pages are made from them.
HELD_ROWS = 5_000_000
#: From how many pages on that is worth it.
HOLD_FROM_PAGES = 4
_HELD_AT_ONCE = 2
#: What a sandbox that may spill to disk keeps in memory, unless the variable says otherwise. A page of ten million
#: entities was made as fast with half of it as with no limit at all.
MEMORY_LIMIT = "2GiB"
#: What it keeps where many pages are joined, if that is a quarter of what DuckDB may have on the machine or in the
#: container. With 2 GiB a year of pages, 13 feature groups joined to 330,000 entities, took a fifth more CPU, though
#: the process never held as much: each join reckons with what it may come to need.
MANY_PAGES_MEMORY_LIMIT = "4GiB"
#: What it keeps where lists are made: of their candidates there are many, and only the first of each list stay.
LISTS_MEMORY_LIMIT = "256MiB"


def memory_limit_of(product: Product, n_pages: int = 1) -> str:
    """Give what a sandbox in which so many pages of a product are made keeps in memory, if the machine has it."""
    if product.ranking is not None:
        return LISTS_MEMORY_LIMIT
    return MANY_PAGES_MEMORY_LIMIT if n_pages >= HOLD_FROM_PAGES else MEMORY_LIMIT


def source_columns(
    connection: duckdb.DuckDBPyConnection, held: Mapping[str, HeldFacts], source: Source, lake: str = "lake"
) -> dict[str, str]:
    """Give the columns and types that a query sees of a source of the lake attached as `lake`, `known_at` among them.

    Raises
    ------
    UsageError
        If the source has no facts under its definition.
    """
    found = table_columns(connection, "sources", facts_table(held, source), lake)
    if not found:  # all that came was of no bytes
        raise UsageError(why_no_facts(source, None))
    return {name: kind for name, kind in found.items() if name not in _HIDDEN}


class Sandbox:
    """One sandbox on one snapshot. Safe to share between threads: each page has a cursor and schema of its own."""

    def __init__(
        self, lake: Lake, *, snapshot_id: int | None = None, spill: Path | None = None, memory_limit: str = MEMORY_LIMIT
    ) -> None:
        """Open the sandbox at a snapshot (default: the newest).

        Parameters
        ----------
        lake
            The lake whose sources are shown.
        snapshot_id
            The state of the lake to show.
        spill
            Where DuckDB puts what does not fit into its memory. Without it, memory is not limited.
        memory_limit
            How much it then keeps in memory, if the machine has it, unless `ALMANAC_MEMORY_LIMIT` says otherwise.
        """
        self.lake = lake
        with lake.reading() as connection:
            newest = newest_snapshot(connection)
            self.snapshot_id = newest if snapshot_id is None else snapshot_id
            # This instance has read the catalogue as far as the ledger needs it; a new one would first have to.
            seen = self._look(connection) if self.snapshot_id == newest else None
        #: The name under which the lake is attached, and that quoted.
        self._instance, self.lake_name = connect(lake, self.snapshot_id)
        self.catalogue = quote(self.lake_name)
        #: The suite; what the ledger knows of the facts of each source; the newest ingestion.
        self.suite_id, self.held, self.ingest_id = seen or self._look(self._instance)
        self._columns: dict[str, dict[str, str]] = {}
        self._held: set[str] = set()
        self._schema_of_held = f"memory.held_{secrets.token_hex(16)}"
        self._schema_of_bounded = f"memory.bounded_{secrets.token_hex(16)}"
        # Each transaction of its own would ask the lake for its state.
        with one_transaction(self._instance):
            self._instance.execute(f"CREATE SCHEMA {self._schema_of_held}")
            self._instance.execute(f"CREATE SCHEMA {self._schema_of_bounded}")
            bound_functions(self._instance, self._schema_of_bounded)
        #: How long an author's query may take.
        self.query_timeout = QUERY_TIMEOUT
        self._vouched_for: set[str] = set()
        self._is_detached = False
        self._numbers = itertools.count()
        self._lock, self._holding = threading.Lock(), threading.Lock()
        self._close_the_doors(spill, memory_limit)

    def _look(self, connection: duckdb.DuckDBPyConnection) -> tuple[str, dict[str, HeldFacts], int]:
        suite_id = check_format(connection, self.lake.root)
        return suite_id, held_facts(connection), ledger.newest_ingest_id(connection)

    def _close_the_doors(self, spill: Path | None, memory_limit: str) -> None:
        # DuckDB follows links before it looks whether a file may be read.
        linked = self.lake.linked.storage.data if self.lake.linked is not None else None
        known = (self.lake.storage.data, self.lake.staging, linked)
        folders = [str(folder if isinstance(folder, str) else folder.resolve()) for folder in known if folder]
        if spill is not None:
            self._instance.execute(f"SET temp_directory = {literal(str(spill))}")
            limit_memory(self._instance, memory_limit, at_least=MEMORY_LIMIT)
        # Of a path that DuckDB would take for a pattern, the pattern that matches it is looked up here first.
        paths = {path.rstrip("/") for folder in folders for path in (folder, exact_path(folder))}
        listed = ", ".join(literal(f"{path}/") for path in sorted(paths))
        self._instance.execute(f"SET allowed_directories = [{listed}]")
        # Many pages are joined to facts by two inequalities; DuckDB 1.5 would join a table of under a thousand rows
        # by one of them, and filter by the other: ten times slower.
        self._instance.execute("SET GLOBAL merge_join_threshold = 0")
        use_all_cores(self._instance)
        # For `warehouse.queries.bound_plans`.
        self._instance.execute("SET GLOBAL explain_output = 'all'")
        self._instance.execute("SET enable_external_access = false")
        self._instance.execute("SET lock_configuration = true")

    def close(self) -> None:
        """Let go of the lake."""
        self._instance.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Give a cursor for statements of the suite's own; the caller closes it."""
        self.lake.storage.make_ready(self._instance)  # keys may have been renewed since
        return self._instance.cursor()

    @contextlib.contextmanager
    def ledger_reading(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        """Give a connection that uses the lake as the sandbox sees it, and the name under which it is attached there.

        It is of the process's own instance where the snapshot is still the newest, since that has read the catalogue as
        far as the ledger needs it, which takes as long as several questions; otherwise of the sandbox's.
        """
        with self.lake.reading() as connection:
            if newest_snapshot(connection) == self.snapshot_id:
                yield connection, "lake"
                return
        with contextlib.closing(self.cursor()) as connection:
            connection.execute(f"USE {self.catalogue}")
            yield connection, self.lake_name

    def source_columns(self, source: Source) -> dict[str, str]:
        """Give the columns and types that a query sees of a source, `known_at` among them.

        Raises
        ------
        UsageError
            If the source has no facts under its definition.
        """
        table = facts_table(self.held, source)
        with self._lock:
            if table not in self._columns:
                self._columns[table] = source_columns(self._instance, self.held, source, self.lake_name)
            return self._columns[table]

    def facts_of(self, sources: Mapping[str, Source]) -> dict[str, SourceFacts]:
        """Give, by name, what the ledger knows of the facts under the definitions of some sources, where there are."""
        found = {name: self.held[name].of(source) for name, source in sources.items() if name in self.held}
        return {name: facts for name, facts in found.items() if facts is not None}

    def hold(self, sources: Iterable[Source]) -> None:
        """Keep copies of sources in this instance's memory, for work that reads them many times over.

        A query over such a copy takes a third of the time that it takes over the lake's files. A source of more
        than `HELD_ROWS` rows is left where it is, so that memory does not grow with the lake.
        """
        # Not the lock of the columns: pages may be made meanwhile, from the lake's files.
        with self._holding:
            facts = self.facts_of({source.name: source for source in sources}).values()
            small = [one.table for one in facts if one.n_rows <= HELD_ROWS and one.table not in self._held]
            # Before it reads the first row DuckLake looks for files and statistics, on one core.
            with ThreadPoolExecutor(max_workers=_HELD_AT_ONCE) as pool:
                list(pool.map(self._copy, small))

    def _copy(self, table: str) -> None:
        with contextlib.closing(self.cursor()) as cursor:
            source = quote(table)
            cursor.execute(system_sql("sandbox/hold", held=self._schema_of_held, lake=self.catalogue, source=source))
            self._held.add(table)

    def holds(self, source: Source) -> bool:
        """Tell whether a source is held in memory."""
        return facts_table(self.held, source) in self._held

    def relation(self, source: Source) -> str:
        """Give the relation that holds every version of a source's facts."""
        table = facts_table(self.held, source)
        schema = self._schema_of_held if table in self._held else f"{self.catalogue}.sources"
        return f"{schema}.{quote(table)}"

    def detach_lake(self, sources: Iterable[Source]) -> None:
        """Detach the lake, if the sources that will be read are all held; nothing else can be read from then on."""
        sources = list(sources)
        if all(facts_table(self.held, source) in self._held for source in sources) and not self._is_detached:
            # Whoever asks for columns later cannot be told by the lake.
            for source in sources:
                self.source_columns(source)
            with contextlib.closing(self.cursor()) as cursor:
                cursor.execute(f"DETACH {self.catalogue}")
            self._is_detached = True

    def vouch_for(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: CheckedQuery,
        parameters: Mapping[str, object],
        of_views: dict[str, Counter[Scan]],
    ) -> None:
        """See once that a query scans nothing but what it names, where `connection` finds that; see `check_plan`."""
        if query.fingerprint not in self._vouched_for:
            check_plan(connection, query, parameters, of_views)
            self._vouched_for.add(query.fingerprint)

    @contextlib.contextmanager
    def at(
        self,
        instant: datetime,
        sources: Iterable[Source],
        *,
        ingest_id: int | None = None,
        shown_rows: Mapping[str, str] | None = None,
        own_files: Mapping[str, str] | None = None,
    ) -> Iterator[SandboxPage]:
        """Open the sandbox at one instant: only facts with `known_at + arrives_within < instant` exist.

        Parameters
        ----------
        instant
            Naive UTC; a page's `as_of`, or `known_by` for labels.
        sources
            The sources to show.
        ingest_id
            Leave out what later ingestions brought, to make an old page again.
        shown_rows, own_files
            By source, SQL of which of its rows are shown, where that is a part of them, and of files that have these.
        """
        schema = f"page_{next(self._numbers)}"
        cursor = self.cursor()
        try:
            views = []
            # Held facts are put into their tables by who first asks for a view of them, in another transaction:
            # one that had begun before would not see them.
            for source in sources:
                shown, view = (shown_rows or {}).get(source.name), f"memory.{schema}.{quote(source.name)}"
                whole = view if shown is None else f"memory.{schema}.{quote(f'almanac: all of {source.name}')}"
                files = (own_files or {}).get(source.name)
                views.append(self._view(source, whole, instant, ingest_id, files))
                if shown is not None:
                    views.append(system_sql("sandbox/part", view=view, whole=whole, shown=shown))
            with one_transaction(cursor):
                cursor.execute(f"CREATE SCHEMA memory.{schema}")
                # Before DuckDB's own functions come those of bounded arguments.
                cursor.execute(f"SET search_path = 'memory.{schema},{self._schema_of_bounded}'")
                for statement in views:
                    cursor.execute(statement)
            yield SandboxPage(self, cursor, schema, instant)
        finally:
            with contextlib.suppress(duckdb.Error):
                cursor.execute("USE memory.main")
                cursor.execute(f"DROP SCHEMA memory.{schema} CASCADE")
            cursor.close()

    def _view(self, source: Source, view: str, instant: datetime, ingest_id: int | None, files: str | None) -> str:
        facts = self.facts_of({source.name: source}).get(source.name, SourceFacts())
        fragments = {
            "view": view,
            "columns": quote_all(self.source_columns(source)),
            "source": self.relation(source) if files is None else f"(FROM {self.relation(source)} WHERE {files})",
            "horizon": timestamp_literal(earlier(instant, source.header.arrives_within)),
            "ingest_id": str(self.ingest_id if ingest_id is None else ingest_id),
        }
        if facts.has_versions:
            return system_sql("sandbox/versioned_source", key=quote_all(source.key), **fragments)
        return system_sql("sandbox/source", **fragments)


class SandboxPage:
    """The sandbox at one instant. Queries run on its own cursor; tables made here go when it closes."""

    def __init__(self, sandbox: Sandbox, cursor: duckdb.DuckDBPyConnection, schema: str, instant: datetime) -> None:
        self._sandbox = sandbox
        self.cursor, self.schema, self.instant = cursor, schema, instant
        self._scans: dict[str, Counter[Scan]] = {}

    def run_wrapped(self, statement: str, query: CheckedQuery, target: str, as_of: datetime, **more: object) -> None:
        """Put a checked query's rows, marked with the page, into a table; `as_of` and `more` parameters are bound."""
        text = system_sql(statement, target=target, as_of=timestamp_literal(as_of), query=query.text)
        self.run_within(text, query, as_of, **more)

    def run_within(self, text: str, query: CheckedQuery, as_of: datetime, **parameters: object) -> int:
        """Run a statement of the suite's own that has a checked query's text in it; give what it counts."""
        with self.reading_within(text, query, as_of, **parameters) as result:
            row = result.fetchone()
        return int(row[0]) if row else 0

    @contextlib.contextmanager
    def reading_within(
        self, text: str, query: CheckedQuery, as_of: datetime, **parameters: object
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run such a statement, and give its rows to read; what fails, or takes too long, as they are made is told."""
        bound = query.bound(as_of=as_of, **parameters)
        with self._running(query):
            self._sandbox.vouch_for(self.cursor, query, bound, self._scans)
            yield self.cursor.execute(text, bound or None)

    @contextlib.contextmanager
    def _running(self, query: CheckedQuery) -> Iterator[None]:
        with explained(query.where, query.text), running(self.cursor, query.where, self._sandbox.query_timeout):
            yield

    def answer(self, query: CheckedQuery, most: int) -> list[tuple[Any, ...]]:
        """Run a checked query, and give its first `most` rows."""
        bound = query.bound(as_of=self.instant)
        with self._running(query):
            self._sandbox.vouch_for(self.cursor, query, bound, self._scans)
            return self.cursor.execute(query.text, bound or None).fetchmany(most)

    def show_rows_of(self, name: str, table: str) -> None:
        """Let later queries of this page read, by the name `name`, this page's rows of a table of many pages."""
        view, at = f"memory.{self.schema}.{quote(name)}", timestamp_literal(self.instant)
        self._scans.pop(name, None)
        self.cursor.execute(system_sql("sandbox/rows_of_page", view=view, table=table, as_of=at))

    def bind(self, name: str, query: CheckedQuery) -> None:
        """Bind a query and run it for no row; later queries can read its columns by the name `name`."""
        table = f"memory.{self.schema}.{quote(f'almanac: {name}')}"
        self.run_wrapped("pages/prepare", query, table, self.instant)
        self.show_rows_of(name, table)

    def show_page(self, rows: str) -> None:
        """Let a check read, by the name `page`, this page's rows of the staged relation `rows`."""
        view = f"memory.{self.schema}.page"
        self._scans.pop("page", None)
        self.cursor.execute(system_sql("sandbox/page", view=view, rows=rows, as_of=timestamp_literal(self.instant)))

    def wrong_rows(self, check: CheckedQuery, limit: int) -> tuple[int, list[str]]:
        """Run a check: how many rows it found wrong, and the first `limit` of them as JSON."""
        at = timestamp_literal(self.instant)
        text = system_sql("audit/wrong_rows_of_page", as_of=at, query=check.text, limit=str(limit))
        bound = check.bound(as_of=self.instant)
        with self._running(check):
            self._sandbox.vouch_for(self.cursor, check, bound, self._scans)
            row = self.cursor.execute(text, bound or None).fetchone()
        return (int(row[1]), list(row[2] or [])) if row else (0, [])


def timestamp_literal(instant: datetime) -> str:
    """Write an instant as a DuckDB literal of naive UTC."""
    return f"TIMESTAMP '{instant.isoformat(sep=' ')}'"


def earlier(instant: datetime, by: timedelta) -> datetime:
    """Subtract a duration, down to the earliest instant that there is."""
    return instant - by if instant - datetime.min > by else datetime.min
