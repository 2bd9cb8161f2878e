"""Doctor: is everything here that Almanac needs, and is the suite in order? Looks, and changes nothing."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import duckdb

from jobs.export.listing import targets_in_trouble
from jobs.facts.replayable import what_is_gone
from jobs.facts.source_columns import find_columns
from jobs.models.columns.findings import findings_of
from jobs.models.columns.requirements import versions_unfit, with_advice
from jobs.models.libraries import LIBRARIES
from jobs.models.versions import model_history
from jobs.products.leave import products_gone
from jobs.suite import Clock, Suite, almanac_version
from jobs.suites.deep import look_deep
from jobs.suites.lost_files import lost_files
from warehouse.batching.shared_rows import ENTITIES
from warehouse.definitions import Definitions, load_definitions
from warehouse.errors import AlmanacError, DefinitionError
from warehouse.facts.files_aside import files_aside
from warehouse.facts.promises import broken_promises
from warehouse.lake.extensions import REQUIRED, extension_file
from warehouse.lake.lake import lake_of
from warehouse.lake.mending import find_wrong_statistics, mended_statistics
from warehouse.lake.places import ERASING
from warehouse.ledger.derivations import derivation_column, held_facts
from warehouse.ledger.recorded_deliveries import why_unfit
from warehouse.lineage.binding import Bound, bind_product, bind_suite
from warehouse.sandbox import Sandbox
from warehouse.system_sql import literal, system_sql
from warehouse.wording import counted, to_the_second

_PACKAGES = ("duckdb", "polars", "pyarrow", "numba", "sqlglot", "skops")
#: What may be lacking: libraries of models that come with an extra each.
_OPTIONAL = {library.distributions[0] for library in LIBRARIES if library.is_optional}
_LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state` is ok, warning or error."""

    subject: str
    state: str
    detail: str


def doctor(root: Path, clock: Clock, *, deep: bool = False) -> list[Finding]:
    """Look at versions, extensions, definitions and the lake of the suite in `root`; `deep` reads all its files."""
    findings = [Finding("almanac", "ok", f"{almanac_version()} on Python {platform.python_version()}")]
    findings += [_package(name) for name in (*_PACKAGES, *(library.distributions[0] for library in LIBRARIES))]
    findings += [_extension(name) for name in REQUIRED]
    # The lake may lie on another disk than the suite.
    try:
        place = lake_of(root.resolve()).root
    except AlmanacError as error:
        return [*findings, Finding("lake", "error", str(error))]
    free = shutil.disk_usage(next(path for path in (place, root, Path.cwd()) if path.exists())).free
    state = "warning" if free < _LOW_DISK_BYTES else "ok"
    findings.append(Finding("disk", state, f"{free / 1e9:.1f} GB free"))
    try:
        definitions = load_definitions(root)
    except DefinitionError as error:
        return findings + [Finding("definitions", "error", problem) for problem in error.problems]
    except AlmanacError as error:
        return [*findings, Finding("definitions", "error", str(error))]
    counts = f"{counted(len(definitions.sources), 'source')}, {counted(len(definitions.groups), 'feature group')}"
    findings.append(Finding("definitions", "ok", f"{counts}, {counted(len(definitions.products), 'product')}"))
    suite = Suite(root.resolve(), definitions, lake_of(root.resolve()), clock)
    queries = _queries(suite)
    return findings + _not_told_already(_lake(suite), queries) + queries + (_deep(suite) if deep else [])


def _deep(suite: Suite) -> list[Finding]:
    """Read everything that the lake holds."""
    if not suite.lake.exists():
        return []
    try:
        found = look_deep(suite)
    except AlmanacError as error:
        return [Finding("lake, read whole", "error", str(error))]
    wrong = [Finding("lake, read whole", "error", sentence) for sentence in found.wrong]
    return wrong or [Finding("lake, read whole", "ok", found.shown)]


def _not_told_already(findings: list[Finding], queries: list[Finding]) -> list[Finding]:
    """Leave out what only repeats that a query does not bind: of a product, and of each live version."""
    told = [query.detail.rstrip(".") for query in queries if query.state == "error"]
    return [one for one in findings if one.state != "error" or not any(words in one.detail for words in told)]


def _queries(suite: Suite) -> list[Finding]:
    """Tell what does not bind, and what is added up as DOUBLE; needs no lake, but the sources' columns."""
    sources = suite.definitions.sources
    try:
        columns = {name: find_columns(suite, source).columns.shown for name, source in sources.items()}
    except AlmanacError as error:
        return [Finding("sums", "warning", f"whether they are exact cannot be told: {error}")]
    bound = bind_suite(suite.definitions, columns)
    mistakes = [Finding("definitions", "error", mistake) for mistake in _mistakes(suite.definitions, columns, bound)]
    sums = [Finding("sums", "warning", words) for words in bound.inexact] or [Finding("sums", "ok", "none over DOUBLE")]
    return mistakes + sums


def _mistakes(definitions: Definitions, columns: Mapping[str, Mapping[str, str]], bound: Bound) -> list[str]:
    """Give what does not bind; where a source's columns cannot be told, only of products that do not read it."""
    known = {name: found for name, found in columns.items() if found}
    if len(known) == len(columns):
        return bound.mistakes
    products = [
        product
        for product in definitions.products.values()
        if all(source.name in known for source in definitions.sources_of(product))
    ]
    found = [mistake for product in products for mistake in bind_product(definitions, product, known).mistakes]
    return list(dict.fromkeys(found))


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        optional = name in _OPTIONAL
        return Finding(name, "ok" if optional else "error", "not installed" + (" (optional)" if optional else ""))


def _extension(name: str) -> Finding:
    try:
        duckdb.connect().execute(f"LOAD {literal(str(extension_file(name)))}")
    except (AlmanacError, duckdb.Error) as error:
        return Finding(f"extension {name}", "error", str(error))
    return Finding(f"extension {name}", "ok", "loads")


def _derivations(suite: Suite, connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Say which sources have no facts under their definition, and of which not all could be made anew."""
    held, findings = held_facts(connection), []
    for name, source in suite.definitions.sources.items():
        if name in held:
            said = why_unfit(connection, source, held[name]), what_is_gone(suite, source, connection)
            findings += [Finding(f"source {name}", "warning", why) for why in said if why is not None]
    return findings


def _lake(suite: Suite) -> list[Finding]:
    lake, definitions = suite.lake, suite.definitions
    if not lake.exists():
        return [Finding("lake", "warning", "there is none yet; run `almanac ingest`")]
    try:
        with lake.reading() as connection:
            lost = lost_files(connection, lake.storage, _data_files(connection))
            late = connection.execute(
                system_sql("doctor/arrivals", derivation=derivation_column(connection))
            ).fetchall()
            again = _derivations(suite, connection)
            models = _models(connection, definitions, suite.clock)
            deliveries = _deliveries(connection, definitions, suite.clock)
            statistics = _statistics(connection)
        if (doubt := lake.catalogue.doubt()) is not None:
            statistics.append(Finding("lake's role", "warning", doubt))
        with Sandbox(lake) as sandbox:
            findings = [
                Finding(
                    "lake", "ok", f"snapshot {sandbox.snapshot_id}, {counted(len(sandbox.held), 'source')} ingested"
                )
            ]
            findings += _bindings(sandbox, definitions, suite.clock) + again + models
    except AlmanacError as error:
        return [Finding("lake", "error", str(error))]
    findings += deliveries
    findings += [_left_behind(name) for name in products_gone(suite)]
    if lake.storage.note(ERASING) is not None:
        text = (
            "the erasure of a person has begun and not ended; run the same `almanac erase` again, which goes on with it"
        )
        findings.append(Finding("erasure", "error", text))
    findings += [Finding("lake files", "error", sentence) for sentence in lost]
    findings += statistics
    troubles = targets_in_trouble(suite).items()
    findings += [Finding(f"target {product} {name}", "warning", f"waits: {why}") for (product, name), why in troubles]
    for name, observed_s in late:
        source = definitions.sources.get(name)
        if source is not None and timedelta(seconds=observed_s) > source.header.arrives_within:
            text = f"its facts usually take {timedelta(seconds=round(observed_s))} to reach us; arrives_within says"
            findings.append(Finding(f"source {name}", "warning", f"{text} {source.header.arrives_within}"))
    return findings


def _left_behind(name: str) -> Finding:
    advice = f"if it was renamed, `almanac rename {name} NEW`; if it was removed, `almanac remove {name} [--tables]`"
    return Finding(f"product {name}", "warning", f"the suite has it no more, and the lake has pages of it: {advice}")


def _deliveries(connection: duckdb.DuckDBPyConnection, definitions: Definitions, clock: Clock) -> list[Finding]:
    """Warn of what sources promised and did not keep, and of files that could not be read."""
    broken = broken_promises(connection, definitions.sources.values(), clock())
    return [Finding(f"source {each.source}", "warning", each.sentence) for each in broken] + [
        Finding(
            f"source {file.source}",
            "warning",
            f"{file.path} is set aside since {to_the_second(file.since)}: {file.reason}",
        )
        for file in files_aside(connection)
    ]


def _statistics(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Tell of what an earlier version had DuckLake record wrongly, put right or not."""
    found = find_wrong_statistics(connection)
    wrong, mended = (
        (found, "were not put right yet, since the lake cannot be written to")
        if found
        else (
            mended_statistics(connection),
            "were put right; pages and models made before may be wrong where they count or filter by these",
        )
    )
    told = [
        f"NULLs of {', '.join(wrong.nulls)} counted as values" if wrong.nulls else "",
        f"filters passed by rows of {', '.join(wrong.bounds)}" if wrong.bounds else "",
    ]
    words = "; ".join(filter(None, told))
    return [Finding("lake statistics", "warning", f"those of an earlier version {mended}: {words}")] if words else []


def _models(connection: duckdb.DuckDBPyConnection, definitions: Definitions, clock: Clock) -> list[Finding]:
    """See of each product's live version whether it can write pages as the product is defined now."""
    findings = []
    for product in definitions.products.values():
        live = model_history(connection, product.name).live(clock())
        if live is None:
            continue
        unfit = versions_unfit(connection, definitions, product, [live])
        detail = with_advice(product, unfit[live.version]) if unfit else "reads what its definitions give"
        subject, kind = f"model {product.name} {live.version}", product.kind.name
        findings.append(Finding(subject, "error" if unfit else "ok", detail))
        findings += [Finding(subject, "warning", words) for words in findings_of(live).in_words(kind)]
    return findings


def _data_files(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """List the Parquet files that the lake's tables refer to."""
    query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => $2)"
    tables = connection.execute(system_sql("reading/tables")).fetchall()
    return [row[0] for schema, name in tables for row in connection.execute(query, [name, schema]).fetchall()]


def _bindings(sandbox: Sandbox, definitions: Definitions, clock: Clock) -> list[Finding]:
    """Bind every feature group against the sources as they are now: misspelt columns show here."""
    findings = []
    for product in definitions.products.values():
        sources = definitions.sources_of(product)
        if not all(source.name in sandbox.held for source in sources):
            findings.append(Finding(f"product {product.name}", "warning", "some of its sources were never ingested"))
            continue
        try:
            with sandbox.at(clock(), sources) as page:
                for group in definitions.groups_of(product):
                    page.bind(group.name, group.query)
                page.bind(ENTITIES, product.entities)
        except AlmanacError as error:
            findings.append(Finding(f"product {product.name}", "error", str(error)))
        else:
            findings.append(Finding(f"product {product.name}", "ok", "its queries bind"))
    return findings
