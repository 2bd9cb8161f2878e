"""Staged facts and rejects on their way into the lake: laid out as their source says, and put into its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.definitions import Source
from warehouse.errors import DefinitionError
from warehouse.lake.lake import Commit
from warehouse.lake.registry import FACT_COLUMNS, REJECT_COLUMNS
from warehouse.lake.storage.key_buckets import DIVIDE, divided, key_buckets
from warehouse.lake.tables import ensure_table


@dataclass(frozen=True)
class StagedFacts:
    """The staged files by schema of the lake, `sources` and `rejects`, and the columns of a source with their types."""

    columns: Mapping[str, str]
    files: Mapping[str, Sequence[Path]]

    @property
    def bytes(self) -> int:
        """How many bytes they have."""
        return sum(file.stat().st_size for files in self.files.values() for file in files)

    def ahead(self, table: str) -> list[tuple[str, str, Path]]:
        """Name them for `Lake.commit`, which sends them ahead."""
        return [(schema, table, file) for schema, files in self.files.items() for file in files]

    def put(self, commit: Commit, table: str) -> None:
        """Add them to the tables of a source, which are made or grown; without columns there is nothing to do."""
        for schema, more in (("sources", FACT_COLUMNS), ("rejects", REJECT_COLUMNS)) if self.columns else ():
            as_it_is = ensure_table(commit, schema, table, {**self.columns, **more})
            for file in self.files.get(schema, ()):
                commit.add_rows(schema, table, file, as_it_is=as_it_is)


def laid_out(
    connection: duckdb.DuckDBPyConnection, source: Source, columns: Mapping[str, str], staged: Mapping[str, Path]
) -> StagedFacts:
    """Divide staged facts into the buckets of the source's header, if they are many.

    Raises
    ------
    DefinitionError
        If the source has no such column, or one whose equal values may be written differently.
    """
    files, layout = {schema: [file] for schema, file in staged.items()}, source.header.buckets
    if layout is not None and columns:
        for name in layout.by:
            if columns.get(name) not in DIVIDE:
                what = f"is {columns[name]}" if name in columns else "is no column of it"
                raise DefinitionError(
                    f"{source.file.where}: `buckets`: {name} {what}; rows are shared out by columns of the types"
                    f" {', '.join(sorted(DIVIDE))}. Nothing was taken in."
                )
        if "sources" in staged:
            buckets = key_buckets(connection, layout.by, columns, layout.n)
            files["sources"] = divided(connection, staged["sources"], buckets)
    return StagedFacts(columns, files)
