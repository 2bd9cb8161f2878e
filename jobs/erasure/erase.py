"""Erase a person: the steps, in the order in which they leave nothing, and what ends by them, said before.

Runs and ingestions that are under way read the lake as it was, and could bring the person back: while one is, nothing
is erased. The same command continues an erasure that was killed; each step can be done again.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb
import filelock

from jobs.erasure.commit import counted_since, erase_rows, rows_by_page, set_tombstones
from jobs.erasure.files import blot_logs, clear_leftovers, clear_models, copies_that_hold, delete_copies, files_outside
from jobs.erasure.journal import Journal, begin, end, read
from jobs.erasure.models import files_that_name, rewrite_held_out, versions_trained_on
from jobs.erasure.on_server import at_work_elsewhere
from jobs.erasure.person import Person, any_of, complete, find_person, sources_with, tables_of
from jobs.erasure.product_rows import PAGE_SCHEMAS, ProductRows, rows_of_products
from jobs.erasure.search import traces
from jobs.erasure.storage import blot_operations, check_statistics, clean_up, expire_all, rewrite_files
from jobs.erasure.storage import vacuum as vacuum_files
from jobs.erasure.sums import has_sums
from jobs.metering import RunMeter
from jobs.suite import Suite
from warehouse.errors import RunFailed, UsageError
from warehouse.facts.tombstones import erase_key, require_same_key
from warehouse.lake.catalogues import CATALOGUE, OPERATIONS
from warehouse.lake.compaction import flush_inlined
from warehouse.lake.lake import table_columns
from warehouse.lake.places import ERASING
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.vacuum import require_may_vacuum
from warehouse.lake.registry import arms_table
from warehouse.ledger import records as ledger
from warehouse.ledger.erasures import erasures
from warehouse.operations.leases import pages_held
from warehouse.system_sql import quote


@dataclass
class Erasure:
    """What is held of a person, what ends with it, and what was done.

    Attributes
    ----------
    erasure_id
        As the ledger has it; None while nothing was changed.
    facts, rows
        How many facts and rejects, and rows of pages, are the person's, by table.
    pages
        By product, how many published pages had counted them.
    versions
        Versions that were trained on rows of theirs: product, version, how many rows.
    artifacts
        Files of models in which they stand as a value that the model tells apart. They stay.
    copies
        Copies of deliveries that hold them, and go.
    outside
        What would bring them back, were it not for the tombstone.
    ends, beyond
        What ends with the erasure, and what holds them outside of the lake.
    counted
        What counts them among others, and stays what it is.
    left
        Where they are still named after it.
    """

    erasure_id: str | None = None
    facts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)
    versions: list[tuple[str, str, int]] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """What the steps work with."""

    suite: Suite
    journal: Journal
    products: dict[str, ProductRows]
    meter: RunMeter

    @property
    def person(self) -> Person:
        """Who is erased."""
        return self.journal.person


def _delete(context: Context) -> None:
    suite, journal = context.suite, context.journal
    with suite.lake.reading() as connection:
        held_out = rewrite_held_out(suite, connection, context.products, journal.erasure_id)
    with suite.lake.commit(f"erase, run {context.meter.run_id}", kept=held_out.kept(suite)) as commit:
        require_nobody_at_work(suite)
        if commit.snapshot_id != held_out.snapshot_id + 1 or not held_out.is_there(suite):
            # A version, or a file beside one, came meanwhile, or upkeep: under another name, since the first were sent.
            suffix = f"{journal.erasure_id}-{uuid.uuid4().hex[:4]}"
            held_out = rewrite_held_out(suite, commit.connection, context.products, suffix)
        held_out.commit(commit)
        done = erase_rows(suite, commit, context.person, context.products, context.meter)
        set_tombstones(suite, commit, context.person, journal.erasure_id, journal.reason, done, context.meter)
    require_nobody_at_work(suite)


#: In this order: a file of which rows were deleted still holds them, and so does one that only an older snapshot
#: shows; what is deleted in SQLite stays until VACUUM. Rows that the catalogue holds itself stay there when they are
#: deleted; flushed, they go. DuckLake 1.0 also fails to rewrite a table of which it holds rows with a DOUBLE.
STEPS: tuple[tuple[str, Callable[[Context], None]], ...] = (
    ("delete", _delete),
    ("flush", lambda context: flush_inlined(context.suite.lake)),
    ("rewrite", lambda context: rewrite_files(context.suite)),
    ("expire", lambda context: expire_all(context.suite)),
    ("clean up", lambda context: clean_up(context.suite)),
    ("statistics", lambda context: check_statistics(context.suite, context.person)),
    ("models", lambda context: clear_models(context.suite)),
    ("copies", lambda context: delete_copies(context.suite, context.person.marks)),
    ("leftovers", lambda context: clear_leftovers(context.suite)),
    ("logs", lambda context: blot_logs(context.suite, context.person.marks)),
    ("operations", lambda context: blot_operations(context.suite, context.person.marks)),
    ("vacuum", lambda context: vacuum_files(context.suite)),
)

#: What is done about each place of `warehouse.lake.places` that may hold a person's data: the steps that take them out
#: of it, or "told" where it lies outside of the lake, and is named.
AT_PLACES: dict[str, tuple[str, ...]] = {
    CATALOGUE: ("delete", "flush", "statistics", "vacuum"),
    OPERATIONS: ("operations", "vacuum"),
    "data/": ("delete", "rewrite", "expire", "clean up"),
    "artifacts/": ("delete", "models"),
    "deliveries/": ("copies",),
    "damaged/": ("leftovers",),
    "staging/": ("leftovers",),
    "scratch lakes": ("leftovers",),
    "rehearsals/": ("leftovers",),
    "logs/": ("logs",),
    ERASING: ("its own end",),
    "the targets of `export:`": ("told",),
    "the bundles of `export:`": ("told",),
    "logs of requests": ("told",),
    "the PostgreSQL database of the catalogue": ("delete", "flush", "statistics", "operations", "vacuum"),
    "the lake's prefix of a bucket": ("delete", "rewrite", "expire", "clean up", "models", "copies", "vacuum"),
    "lakes of before": ("told",),
    "backups": ("told",),
}


def what_ends(suite: Suite, kind: str, value: str) -> Erasure:
    """Say what is held of a person, what would end with it, and what would be left. Changes nothing.

    Raises
    ------
    UsageError
        If no source says which column names such persons, or the key of tombstones is not to be had.
    NotFoundError
        If nothing is held of them.
    """
    suite.lake.storage.require_can_forget()
    with suite.lake.reading() as connection:
        require_same_key(erase_key(), erasures(connection))
        person = find_person(connection, suite.definitions, kind, value)
    return _told(suite, person, rows_of_products(suite, person))


def erase(suite: Suite, kind: str, value: str, reason: str | None = None) -> Erasure:
    """Erase a person, or go on with an erasure that was killed.

    Raises
    ------
    UsageError, NotFoundError
        As `what_ends`; or if the erasure of somebody else was killed, which has to end first.
    RunFailed
        If a run is under way, or a step fails: the same command goes on.
    """
    suite.lake.storage.require_can_forget()
    catalogue = suite.lake.catalogue
    if isinstance(catalogue, PostgresCatalogue):
        require_may_vacuum(catalogue.server)
    with catalogue.ingest_lock():
        journal = read(suite.lake.storage)
        if journal is None:
            told = what_ends(suite, kind, value)
            require_nobody_at_work(suite)
            with suite.lake.reading() as connection:
                person = find_person(connection, suite.definitions, kind, value)
            if reason and person.marks.are_in(reason):
                raise UsageError("--reason names the person, and is kept: say it without. Nothing was changed.")
            journal = begin(suite.lake.storage, person, reason, asdict(told))
        elif (journal.person.kind, journal.person.value) != (kind, value):
            raise UsageError(
                f"the erasure of another {journal.person.kind} has not ended: run the same `almanac erase` as then,"
                " which goes on with it, before this one."
            )
        erase_key()
        complete(journal.person, suite.definitions)
        meter = RunMeter(suite, "erase")
        context = Context(suite, journal, rows_of_products(suite, journal.person), meter)
        result = Erasure(**{**journal.told, "erasure_id": journal.erasure_id})
        with _telling_how_to_go_on():
            for _, step in STEPS:
                step(context)
                suite.lake.close()
            result.left = traces(suite, journal.person.marks)
            if not result.left:
                end(suite.lake.storage)
    return result


@contextlib.contextmanager
def _telling_how_to_go_on() -> Iterator[None]:
    """Say of whatever fails in an erasure that has begun what goes on with it."""
    try:
        yield
    except (RunFailed, duckdb.Error, OSError) as error:
        if "almanac erase" in str(error):
            raise
        raise RunFailed(
            f"{str(error).rstrip('.')}. The erasure has begun, and has not ended: run the same `almanac erase` again,"
            " which goes on with it."
        ) from error


def require_nobody_at_work(suite: Suite) -> None:
    """See that no run is under way: it has read the person, and would publish them.

    Raises
    ------
    RunFailed
        If one is.
    """
    alive = [path.name for path in suite.lake.staging.glob("[!.]*") if _is_locked(path)]
    catalogue = suite.lake.catalogue
    if isinstance(catalogue, PostgresCatalogue):
        alive += at_work_elsewhere(suite, catalogue.server)
    at_work = alive or [name for name in suite.definitions.products if pages_held(suite.lake, name)]
    if at_work:
        raise RunFailed(
            f"a run is under way ({at_work[0]}), and may hold the person's rows: wait for it, or stop it, and pause the"
            " schedule's jobs; then run the same `almanac erase` again."
        )


def _is_locked(directory: Path) -> bool:
    if not (directory / "run.lock").exists():  # each run has one from its beginning; a look leaves none
        return False
    try:
        with filelock.FileLock(directory / "run.lock", timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False


def _told(suite: Suite, person: Person, products: dict[str, ProductRows]) -> Erasure:
    """Say all of it before anything is done: by doing the commit's counting, and looking into files."""
    declared = sources_with(suite.definitions, person.kind)
    sources = {name: suite.definitions.sources[name] for name in declared}
    told = Erasure()
    with suite.lake.reading() as connection:
        for source in sources.values():
            for schema, table, there in tables_of(connection, source):
                rules = person.rules_of_source(source, there)
                if rules:
                    theirs, values = any_of(rules)
                    query = f"SELECT count(*) FROM {schema}.{quote(table)} WHERE {theirs}"
                    told.facts[f"{schema}.{table}"] = (connection.execute(query, values).fetchone() or (0,))[0]
        for name, rows in products.items():
            told.rows |= _rows_of(connection, name, rows)
            told.pages[name] = _pages_that_counted(connection, suite, person, name, rows)
            if told.pages[name] and has_sums(connection, name):
                told.counted.append(
                    f"predictions.{name}_fallback, in sums of labels over many, until the next page of {name} is made;"
                    " sums over their rows alone go"
                )
        told.versions = versions_trained_on(connection, products)
    told.artifacts = files_that_name(suite, person.marks)
    told.copies = [suite.lake.storage.place_of(path) for path in copies_that_hold(suite, person.marks)]
    told.outside = files_outside(suite, sources, person.marks)
    told.ends = _ends()
    told.beyond = _beyond(suite)
    return told


def _rows_of(connection: duckdb.DuckDBPyConnection, product: str, rows: ProductRows) -> dict[str, int]:
    found = {}
    for schema, table in [*((schema, product) for schema in PAGE_SCHEMAS), ("predictions", arms_table(product))]:
        rules = rows.rules_for(table_columns(connection, schema, table))
        if rules:
            theirs, values = any_of(rules)
            query = f"SELECT count(*) FROM {schema}.{quote(table)} WHERE {theirs}"
            found[f"{schema}.{table}"] = int((connection.execute(query, values).fetchone() or (0,))[0])
    return {name: n_rows for name, n_rows in found.items() if n_rows}


def _pages_that_counted(
    connection: duckdb.DuckDBPyConnection, suite: Suite, person: Person, product: str, rows: ProductRows
) -> int:
    with_rows = rows_by_page(connection, "predictions", product, rows)
    since = counted_since(suite, person, product)
    published = ledger.published_pages(connection, product, "predictions")
    return sum(page in with_rows or (since is not None and page > since) for page in published)


def _ends() -> list[str]:
    return [
        "pages as they were before: `almanac rollback`, `diff` and `query --as-of` see nothing from before the erasure",
        "`almanac reproduce` of versions trained before it: the snapshots of their trainings go",
        "profiles of pages that lose rows: `almanac monitor` makes them again of the rest",
        "whoever reads an older snapshot at the moment gets an error, and has to ask again",
    ]


def _beyond(suite: Suite) -> list[str]:
    said = []
    for product in suite.definitions.products.values():
        for name, target in sorted(product.header.export.items()):
            told = f"the target {product.name}: {name} follows with the next `almanac export`"
            if target.to.endswith("/") or target.to.isupper():  # a variable's name may stand for a directory
                told += (
                    "; a directory keeps the files of before for its readers until the publication after that, unless"
                    " you delete what manifest.json has under `left`"
                )
            said.append(told)
    if suite.lake.catalogue.is_shared:
        said.append("the server's log of changes (WAL), its replicas, logs and backups, until they are gone")
    if not suite.lake.storage.is_directory:
        said.append("other hosts have copies of models and deliveries in their `lake/`: delete it there")
        said.append("where the bucket is copied to (replication, backups of its own)")
    return [
        *said,
        "bundles keep the publication before the newest beside it, and so do copies of them elsewhere",
        "what `almanac serve --log-requests` wrote down is where it was told to write it",
        "backups made before hold the person: make a new one, and delete those",
        "a lake that `almanac move-lake` left (`lake.moved`, or in PostgreSQL) is as it was then: delete it",
        "files that `report`, `models card` or `query` wrote, and lakes of `--scratch`, wherever they were put",
    ]
