"""The join that makes feature pages of a batch: its entities, and what the feature groups know of their keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.batching.page_columns import PageColumn, joined_on
from warehouse.batching.shared_rows import ENTITIES, PAGE_COLUMN
from warehouse.definitions import Definitions, FeatureUse, Product
from warehouse.definitions.durations import duration_text
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql

#: How feature pages are written that the lake takes as they are, and those that are cut before (`pages.lists.kept`).
_KEPT = "zstd, COMPRESSION_LEVEL 1"
_SOON_CUT = "lz4_raw, DICTIONARY_SIZE_LIMIT 1"


def text_of(column: PageColumn) -> str:
    """Write a column of feature pages as the join reads it."""
    table = "entities" if column.use is None else f"use_{column.use}"
    text = f"{table}.{quote(column.column)}"
    return text if column.stored_kind == column.kind else f"{text}::{column.stored_kind}"


class PageJoin:
    """Writes the join of a product's queries.

    Parameters
    ----------
    cursor
        Where their tables can be read.
    definitions, product
        Whose.
    table
        Gives the full name of the table of one query.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        definitions: Definitions,
        product: Product,
        table: Callable[[str], str],
    ) -> None:
        self._cursor, self._definitions, self._product, self._table = cursor, definitions, product, table

    def statement(
        self,
        columns: dict[str, str],
        file: Path,
        n_pages: int,
        *,
        only: datetime | None = None,
        entities: str | None = None,
    ) -> str:
        """Write the statement that stages feature pages, as `rows` gives them.

        Parameters
        ----------
        file
            The Parquet file to write.
        """
        return system_sql(
            "pages/join",
            rows=self.rows(columns, n_pages, only=only, entities=entities),
            compression=_SOON_CUT if self._product.keeps_part else _KEPT,
            file=literal(str(file)),
        )

    def rows(
        self,
        columns: dict[str, str],
        n_pages: int,
        *,
        only: datetime | None = None,
        entities: str | None = None,
        without: Collection[str] = (),
    ) -> str:
        """Write the query of the rows of feature pages.

        Parameters
        ----------
        columns
            By name, how each column is read.
        n_pages
            How many pages there are.
        only
            The only page that is wanted.
        entities
            SQL of the entities, where they are not read from their table.
        without
            Which times are left out; see `same_on_all`.
        """
        product, header = self._product, self._product.header
        listed = ", ".join(f"{text} AS {quote(name)}" for name, text in columns.items())
        page = f"entities.{quote(PAGE_COLUMN)}"
        valid_until = (
            self._valid_until(page) if header.valid_until is None else f"{columns[header.valid_until]}::TIMESTAMP"
        )
        times = {"as_of": page, "valid_until": valid_until}
        return system_sql(
            "pages/joined",
            keys=quote_all(product.keys, "entities."),
            times="".join(f"{text} AS {name}, " for name, text in times.items() if name not in without),
            columns=listed or "NULL AS no_features",
            entities=entities or self._table(ENTITIES),
            joins="\n    ".join(self._join_of(index, use) for index, use in enumerate(header.features)),
            where=f"WHERE entities.{quote(PAGE_COLUMN)} = {timestamp_literal(only)}" if only else "",
            # Sorted by page, so that reading one page of a batch skips the row groups of the others.
            order=f"ORDER BY entities.{quote(PAGE_COLUMN)}" if n_pages > 1 else "",
        )

    def _valid_until(self, page: str) -> str:
        assert self._product.header.valid_for is not None
        return f"{page} + INTERVAL {literal(duration_text(self._product.header.valid_for))}"

    def same_on_all(self, as_of: datetime) -> dict[str, datetime]:
        """Give the times of a page that are the same on all of its rows."""
        if self._product.header.valid_until is not None:
            return {"as_of": as_of}
        row = self._cursor.execute(f"SELECT {self._valid_until(timestamp_literal(as_of))}").fetchone()
        # Beyond the year 9999 DuckDB gives Python a text.
        return {"as_of": as_of, **({"valid_until": row[0]} if row and isinstance(row[0], datetime) else {})}

    def held(self, columns: dict[str, str], types: Mapping[str, str]) -> str | None:
        """Give SQL of rows that were staged, with some types, out of the table of the entities.

        None where they are joined of several tables, which takes longer than to read what was staged, and where they
        have other types there.
        """
        if self._product.header.features:
            return None
        rows = f"({self.rows(columns, 1)})"
        described = self._cursor.execute(f"DESCRIBE FROM {rows}").fetchall()
        return rows if {str(row[0]): str(row[1]) for row in described} == types else None

    def entities_of(self, as_of: datetime) -> str:
        """Write SQL of a page's entities as they are made, for a statement that runs within the page's sandbox."""
        query = self._product.entities.text
        return f"(SELECT {timestamp_literal(as_of)} AS {quote(PAGE_COLUMN)}, * FROM ({query}\n))"

    def _join_of(self, index: int, use: FeatureUse) -> str:
        on = joined_on(self._definitions, use)
        pairs = [(quote(key), quote(column)) for key, column in {PAGE_COLUMN: PAGE_COLUMN, **on}.items()]
        conditions = [f"use_{index}.{key} = entities.{column}" for key, column in pairs]
        return f"LEFT JOIN {self._table(use.group)} AS use_{index} ON {' AND '.join(conditions)}"

    def explain_repeated_keys(self, page: datetime) -> str:
        """Say which feature group has more than one row for a key, since the join has more rows than entities."""
        for use in self._product.header.features:
            if key := self.repeated_key(use, page):
                return (
                    f"{self._definitions.groups[use.group].file.where}: more than one row for the key {key};"
                    " a feature group has one row per key. Group by its key, or correct `key:`."
                )
        return f"{self._product.yaml_where}: the features' join changed the number of entities."

    def repeated_key(self, use: FeatureUse, page: datetime) -> dict[str, object]:
        """Give the first key of a feature group that has more than one row on a page; nothing if there is none."""
        keys = self._definitions.groups[use.group].key
        parts = {"keys": quote_all(keys), "group": self._table(use.group), "as_of": timestamp_literal(page)}
        row = self._cursor.execute(system_sql("pages/repeated_keys", **parts)).fetchone()
        return dict(zip(keys, row, strict=True)) if row else {}
