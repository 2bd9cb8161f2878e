"""Which columns a source's SELECT yields, found out without ingesting anything.

What its file readers declare is enough where they declare all that is read; otherwise the files themselves are
looked at, and where there are none, the lake's table. A loader is never called for this.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from jobs.facts.csv_files.calls import reader_calls
from jobs.facts.csv_files.formats import Found, kept_formats
from jobs.facts.csv_files.strict_reading import described
from jobs.facts.files.delivered_files import find_files
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import AlmanacError, DefinitionError
from warehouse.lake.extensions import load_excel
from warehouse.lake.lake import table_columns
from warehouse.lake.registry import FACT_COLUMNS
from warehouse.ledger.derivations import held_facts
from warehouse.lineage.sample_files import describe, describe_over_samples, readers_of
from warehouse.lineage.selects import trace_query
from warehouse.lineage.suite_graph import SourceColumns
from warehouse.queries.bounded_functions import bound_functions
from warehouse.system_sql import exact_path


@dataclass(frozen=True)
class FoundColumns:
    """The columns of a source, those of its files with types by the reader's first argument, and a word of doubt."""

    columns: SourceColumns
    files: Mapping[str, Mapping[str, str]]
    doubt: str = ""


def find_columns(suite: Suite, source: Source) -> FoundColumns:
    """Find out the columns of a source. Where nothing tells them, there are none, and `doubt` says why.

    Of a source of several formats, `files` and what was observed are by the path or glob of each.
    """
    kept = _kept(suite, source)
    if not source.entries:
        return _find_columns(suite, source, kept)
    found = {}
    for part in source.entries:
        found[str(part.header.files)] = _find_columns(suite, part, kept)
        # What was found of the readers of each SELECT stands one after the other.
        kept = kept[len(reader_calls(part, part.query.text)) :]
    told = [each for each in found.values() if each.columns.selected]
    if not told:
        return next(iter(found.values()))
    files = {files: next(iter(each.files.values()), {}) for files, each in found.items()}
    observed = {files: next(iter(each.columns.observed.values()), []) for files, each in found.items()}
    # All formats give the source's columns: one that lacks some has NULL there.
    selected = {name: kind for each in reversed(told) for name, kind in each.columns.selected.items()}
    columns = SourceColumns(selected, told[0].columns.kept, {name: seen for name, seen in observed.items() if seen})
    return FoundColumns(columns, files)


def _find_columns(suite: Suite, source: Source, kept: Sequence[Found]) -> FoundColumns:
    readers = readers_of(source)
    in_lake = _lake_columns(suite, source)
    declared = {reader.files: reader.declared for reader in readers}
    selected = _selected(source, declared)
    if selected is not None:
        return FoundColumns(_columns(selected, in_lake, {}), declared)
    why = "its loader is not called for this"
    if source.header.product is not None:
        why = "it takes in what a product publishes"
    elif source.header.database is not None:
        why = "its database is not asked for this"
    elif source.header.loader is None:
        try:
            looked, files = _look_at_files(suite, source, kept)
            observed = {name: list(columns) for name, columns in files.items()}
            return FoundColumns(_columns(looked, in_lake, observed), files)
        except AlmanacError as error:
            why = str(error).rstrip(".")
    if in_lake:
        doubt = f"{source.file.where}: the columns are those that the lake holds: {why}."
        return FoundColumns(SourceColumns(in_lake), declared, doubt)
    return FoundColumns(SourceColumns({}), declared, f"{source.file.where}: its columns cannot be told: {why}.")


def declared_columns(source: Source) -> dict[str, str] | None:
    """Give what a source's SELECT yields, by what its file readers declare alone; None where that does not tell."""
    found: dict[str, str] = {}
    for part in reversed(source.parts):
        selected = _selected(part, {reader.files: reader.declared for reader in readers_of(part)})
        if selected is None:
            return None
        found |= selected
    return {name: kind for name, kind in found.items() if name not in FACT_COLUMNS}


def _selected(source: Source, declared: Mapping[str, Mapping[str, str]]) -> dict[str, str] | None:
    with tempfile.TemporaryDirectory() as directory, contextlib.suppress(DefinitionError):
        if trace_query(source.query.text, {}).open_name is None:
            return describe_over_samples(source, declared, Path(directory))
    return None


def _columns(selected: Mapping[str, str], in_lake: Mapping[str, str], observed: dict[str, list[str]]) -> SourceColumns:
    content = {name: kind for name, kind in selected.items() if name not in FACT_COLUMNS}
    kept = {name: kind for name, kind in in_lake.items() if name not in content}
    return SourceColumns(content, kept, observed)


def _lake_columns(suite: Suite, source: Source) -> dict[str, str]:
    if not suite.lake.exists():
        return {}
    with suite.lake.reading() as connection:
        held = held_facts(connection).get(source.name)
        facts = held.of(source) if held is not None else None
        # What a loader brings is never looked at: facts under an earlier definition are better than nothing.
        table = facts.table if facts is not None else source.name if source.header.loader is not None else ""
        found = table_columns(connection, "sources", table) if table else {}
    return {name: kind for name, kind in found.items() if name not in FACT_COLUMNS}


def _kept(suite: Suite, source: Source) -> list[Found]:
    if not suite.lake.exists():
        return []
    with suite.lake.reading() as connection:
        return kept_formats(connection, source)


def _look_at_files(
    suite: Suite, source: Source, kept: Sequence[Found]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    with tempfile.TemporaryDirectory() as directory:
        found = find_files(source, suite.root, Path(directory))
        read = [path for file in found for path in file.readable(Path(directory))]
        paths = [exact_path(path) for path in read]
        where = source.file.where
        files = {reader.files: describe(f"SELECT * FROM {reader.call}", paths, where) for reader in readers_of(source)}
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            bound_functions(connection)
            if "read_xlsx" in source.query.text.lower():
                load_excel(connection)
            try:
                # What DuckDB finds in a file is not always what an ingestion takes its cells for.
                selected, of_texts = described(connection, source, read, kept)
            except duckdb.Error as error:
                raise DefinitionError(f"{where}: {str(error).splitlines()[0]}") from error
        return selected, files | of_texts
