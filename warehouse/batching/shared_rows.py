"""Shared rows: what a query gave for one product of a run, for the run's other products that ask the same.

Products that use the same feature groups, or have the same entities, differ in nothing that bears on those rows: they
follow from the query, the facts of its sources under their definitions, and the page. So the first product of a run
that works them out leaves them in a file of the run's, and the others read them there. The rows of a group that were
made for the keys of one product's entities alone are kept with these keys; another product has only its other keys
worked out. Nothing of it outlives the run: what is published is each product's own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.definitions import Definitions, Product
from warehouse.queries.checked_query import CheckedQuery, fingerprint_of
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import exact_path, literal, quote, quote_all, system_sql

#: How the entities' table is called beside those of the feature groups; no group can bear this name.
ENTITIES = "almanac: entities"
#: The page of a row of a batch's tables.
PAGE_COLUMN = "almanac: as_of"
#: Types whose values come out of a Parquet file as they went in. Rows with a column of another are not shared.
_EXACT = re.compile(
    r"BOOLEAN|U?(TINYINT|SMALLINT|INTEGER|BIGINT)|FLOAT|DOUBLE|VARCHAR|DATE|TIMESTAMP|DECIMAL\(\d+,\d+\)"
)
#: HUGEINT would become DOUBLE in the file. A value that is too large for this is not kept, and worked out again.
_HELD_AS = {"HUGEINT": "DECIMAL(38,0)"}


@dataclass(frozen=True)
class KeptRows:
    """Rows in a file: of which pages, and the file of the keys that they were made for; None: of all keys."""

    file: Path
    pages: frozenset[datetime]
    wanted: Path | None = None


class SharedRows:
    """The rows that the products of one run share, in a directory of the run's, which every sandbox may read."""

    def __init__(self, directory: Path, definitions: Definitions, products: Sequence[Product]) -> None:
        self._directory, self._definitions = directory, definitions
        self._kept: dict[str, list[KeptRows]] = {}
        self._numbers = itertools.count()
        self._place_of = {product.name: place for place, product in enumerate(products)}
        #: Of each query the last product of the run that asks it.
        self._asked_last = {
            meaning_of(definitions, query, key): place
            for place, product in enumerate(products)
            for query, key in queries_of(definitions, product)
        }
        #: How many times rows were read here instead of being worked out.
        self.n_taken = 0

    def is_asked_after(self, product: Product, query: CheckedQuery, key: Sequence[str]) -> bool:
        """Tell whether a product that comes after this one in the run asks a query too."""
        last = self._asked_last.get(meaning_of(self._definitions, query, key), -1)
        return last > self._place_of[product.name]

    def find(
        self, sandbox: Sandbox, query: CheckedQuery, key: Sequence[str], pages: Iterable[datetime]
    ) -> KeptRows | None:
        """Give the rows of a query for all of some pages, from the facts that a sandbox shows, if they are there."""
        wanted = set(pages)
        kept = self._kept.get(self._place(sandbox, query, key), [])
        return next((one for one in reversed(kept) if wanted <= one.pages), None)

    def keep(
        self,
        sandbox: Sandbox,
        query: CheckedQuery,
        key: Sequence[str],
        rows: str,
        pages: Sequence[datetime],
        wanted: str | None = None,
    ) -> None:
        """Keep the rows of a query for some pages, if a file can hold them as they are.

        Parameters
        ----------
        rows
            The full name of the table that holds them, marked by page.
        pages
            The pages that are whole in it.
        wanted
            SQL of a relation of pages and keys, if rows were made for these alone.
        """
        cursor = sandbox.cursor()
        try:
            described = cursor.execute(f"DESCRIBE {rows}").fetchall()
            kinds = {str(name): _HELD_AS.get(str(kind), str(kind)) for name, kind, *_ in described}
            if not all(_EXACT.fullmatch(kind) for kind in kinds.values()):
                return
            columns = ", ".join(f"{quote(name)}::{kind} AS {quote(name)}" for name, kind in kinds.items())
            file = self._directory / f"rows-{next(self._numbers)}.parquet"
            listed = ", ".join(map(timestamp_literal, pages))
            parts = {"columns": columns, "rows": rows, "pages": listed, "file": literal(str(file))}
            cursor.execute(system_sql("shared/keep", **parts))
            keys = None
            if wanted is not None:
                keys = file.with_name(f"{file.stem}-keys.parquet")
                cursor.execute(f"COPY (FROM {wanted} AS wanted) TO {literal(str(keys))} (FORMAT parquet)")
        except duckdb.Error:  # nothing is lost: whoever asks next works them out
            return
        finally:
            cursor.close()
        self._kept.setdefault(self._place(sandbox, query, key), []).append(KeptRows(file, frozenset(pages), keys))

    def take(
        self,
        cursor: duckdb.DuckDBPyConnection,
        kept: KeptRows,
        target: str,
        pages: Iterable[datetime],
        wanted: tuple[str, Sequence[str]] | None = None,
    ) -> None:
        """Put kept rows into a table: those of some pages, and of the keys in `wanted` (a relation, and its keys)."""
        looked_up = ""
        if wanted is not None:
            relation, keys = wanted
            pairs = {PAGE_COLUMN: "as_of", **{key: key for key in keys}}
            same = " AND ".join(f"kept.{quote(one)} = wanted.{quote(other)}" for one, other in pairs.items())
            looked_up = f"SEMI JOIN {relation} AS wanted ON {same}"
        listed = ", ".join(map(timestamp_literal, pages))
        file = literal(exact_path(kept.file))
        cursor.execute(system_sql("shared/take", target=target, file=file, looked_up=looked_up, pages=listed))
        self.n_taken += 1

    def _place(self, sandbox: Sandbox, query: CheckedQuery, key: Sequence[str]) -> str:
        """Name the rows of a query by all that they follow from, but for the page."""
        sources = {source.name: source for source in self._definitions.sources_read([query])}
        facts = {name: found.derivation for name, found in sandbox.facts_of(sources).items()}
        return fingerprint_of(meaning_of(self._definitions, query, key), facts, sandbox.ingest_id)


def missing_keys(kept: KeptRows, wanted: str, keys: Sequence[str]) -> str:
    """Give SQL of a relation of the pages and keys in `wanted` that kept rows were not made for."""
    assert kept.wanted is not None
    return system_sql("shared/missing", keys=quote_all(keys), wanted=wanted, file=literal(exact_path(kept.wanted)))


def queries_of(definitions: Definitions, product: Product) -> list[tuple[CheckedQuery, Sequence[str]]]:
    """Give a product's queries, each with the key of its rows."""
    groups = definitions.groups_of(product)
    return [*((group.query, group.key) for group in groups), (product.entities, product.keys)]


def meaning_of(definitions: Definitions, query: CheckedQuery, key: Sequence[str]) -> str:
    """Hash what a query's rows mean: as parsed, with all that it reads."""
    upstream = definitions.ordered_groups(sorted(query.tables & definitions.groups.keys()))
    groups: Mapping[str, object] = {group.name: [group.query.fingerprint, group.key] for group in upstream}
    sources = {source.name: source.fingerprint for source in definitions.sources_read([query])}
    return fingerprint_of(query.fingerprint, list(key), groups, sources)
