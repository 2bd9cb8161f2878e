"""One page made shard by shard: each query over the rows that hash to a shard, and then the page over its entities.

First every query of the product is asked, in shards of its own columns, or whole in one of them if it does not split;
its rows go into a file. Then each shard of the page takes its entities, looks their features up in those files, and is
staged as one Parquet file. Where shards run, and in which order, is left to engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from warehouse.batching.batch import Batch, FeaturePages
from warehouse.batching.comparison import differing_rows
from warehouse.batching.shared_rows import ENTITIES
from warehouse.batching.splitting.forms import Split, SplitSource, split
from warehouse.batching.syntax.shapes import Reason
from warehouse.definitions import Definitions, FeatureGroup, Product
from warehouse.lake.storage.key_buckets import key_buckets
from warehouse.ledger.records import SourceFacts
from warehouse.queries.checked_query import CheckedQuery
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import exact_path, literal, parquet, quote, quote_all, system_sql

Forms = Mapping[str, Split | Reason]


@dataclass(frozen=True)
class Shard:
    """One of the `n` parts of a page, counted from 0."""

    i: int
    n: int

    def holds(self, columns: Sequence[str]) -> str:
        """Give SQL of whether a row is of this shard, by the values of some of its columns."""
        return f"hash({quote_all(columns)}) % {self.n} = {self.i}"


@dataclass(frozen=True)
class Rows:
    """A file that was written: how many rows it has, its columns with their types, and a sum over its keys' hashes."""

    file: Path
    n_rows: int
    columns: Mapping[str, str]
    keys_hash: str


def forms_of(
    definitions: Definitions,
    product: Product,
    columns: Mapping[str, Mapping[str, str]],
    facts: Mapping[str, SourceFacts],
) -> dict[str, Split | Reason]:
    """Say of each query whose rows a product's pages are put together from how it splits.

    Parameters
    ----------
    columns, facts
        By source, its columns as queries see them, and what is known of its rows.
    """
    found: dict[str, Split | Reason] = {}
    for name, (query, key) in queries_of_page(definitions, product).items():
        read = definitions.sources_read([query])
        rows = {one.name: facts.get(one.name, SourceFacts()).n_rows for one in read}
        by = {one.name: tuple(one.header.buckets.by) for one in read if one.header.buckets is not None}
        sources = {name: SplitSource(columns[name], n_rows, by.get(name, ())) for name, n_rows in rows.items()}
        groups = {group.name: group.query.text for group in _read_by(definitions, query)}
        found[name] = split(query.text, key, sources, groups)
    return found


def queries_of_page(definitions: Definitions, product: Product) -> dict[str, tuple[CheckedQuery, Sequence[str]]]:
    """Give the queries that a page is joined from, each with the key of its rows; what they read is not among them."""
    groups = dict.fromkeys(use.group for use in product.header.features)
    found = {name: (definitions.groups[name].query, definitions.groups[name].key) for name in groups}
    return {**found, ENTITIES: (product.entities, product.keys)}


def _read_by(definitions: Definitions, query: CheckedQuery) -> list[FeatureGroup]:
    return definitions.ordered_groups(sorted(query.tables & definitions.groups.keys()))


class PageShards:
    """The work on one page, in a batch of its own."""

    def __init__(self, batch: Batch, forms: Forms, as_of: datetime) -> None:
        self.batch, self.forms, self.as_of = batch, forms, as_of
        self.queries = queries_of_page(batch.definitions, batch.product)
        batch.prepare(as_of)

    def ask(self, shard: Shard, directory: Path) -> dict[str, Rows]:
        """Ask what falls to a shard of every query, and write it: its part of those that split, some others whole."""
        whole = [name for name in self.queries if isinstance(self.forms[name], Reason)]
        mine = {name for place, name in enumerate(whole) if place % shard.n == shard.i}
        made: dict[str, Rows] = {}
        for place, name in enumerate(self.queries):
            form = self.forms[name]
            if isinstance(form, Split):
                shown = {source: shard.holds(columns) for source, columns in form.columns.items()}
                self._fill(name, self.batch.table(name), shown, self._own_files(form, shard))
            elif name in mine:
                self._fill(name, self.batch.table(name))
            else:
                continue
            made[name] = self._write(name, directory / f"query-{place}.parquet")
        return made

    def put_together(self, shard: Shard, files: Mapping[str, Sequence[Path]], file: Path) -> FeaturePages:
        """Stage one shard of the page, out of the files of all shards' rows.

        Raises
        ------
        RunFailed
            If the page fails on the data.
        """
        self._take(ENTITIES, files[ENTITIES], "", shard.holds(self.batch.product.keys))
        for name, (_, key) in self.queries.items():
            if name != ENTITIES:
                same_key = " AND ".join(f"made.{quote(column)} = wanted.{quote(column)}" for column in key)
                wanted = self.batch.wanted_keys(name)
                self._take(name, files[name], f"SEMI JOIN {wanted} AS wanted ON {same_key}", "TRUE")
        return self.batch.stage(file, [self.as_of])

    def differing(self, files: Mapping[str, Sequence[Path]], part: Mapping[str, Path]) -> dict[str, str]:
        """Ask every query that splits over all rows, and compare; say of each how it differs.

        Parameters
        ----------
        files, part
            By query, the files of all shards, and the one of the shard to be compared row by row.
        """
        found = {}
        for name, (query, key) in self.queries.items():
            if isinstance(self.forms[name], Split):
                table = self.batch.table(name)
                self._fill(name, table)
                if why := self._difference(table, key, self.batch.columns(name), files[name], part[name]):
                    found[query.where] = why
                self.batch.cursor.execute(f"DELETE FROM {table}")
        return found

    def _difference(
        self, table: str, key: Sequence[str], columns: Mapping[str, str], files: Sequence[Path], part: Path
    ) -> str | None:
        counted = [f"SELECT count(*) FROM {table}", f"SELECT count(*) FROM {parquet(files)}"]
        whole, shards = (self.batch.cursor.execute(query).fetchall()[0][0] for query in counted)
        if whole != shards:
            return f"its shards have {shards:,} rows, and asked whole it has {whole:,}"
        inexact = [name for name, kind in columns.items() if kind in ("DOUBLE", "FLOAT") and name not in key]
        same_key = " AND ".join(f"whole.{quote(name)} IS NOT DISTINCT FROM made.{quote(name)}" for name in key)
        shown = _columns_shown(columns)
        made = parquet([part])
        wrong = differing_rows(
            self.batch.cursor,
            f"(SELECT {quote_all(columns)} FROM {made})",
            f"(SELECT {shown} FROM {table} AS whole SEMI JOIN {made} AS made ON {same_key})",
            key=key,
            exact=[name for name in columns if name not in inexact],
            close=inexact,
        )
        return f"{wrong:,} rows of one of its shards differ from those that it has asked whole" if wrong else None

    def _own_files(self, form: Split, shard: Shard) -> dict[str, str]:
        """Give, by source, SQL of the files that a shard need read, of those whose files are laid out as it is made."""
        found: dict[str, str] = {}
        sandbox = self.batch.sandbox
        for name, columns in form.columns.items():
            source = self.batch.definitions.sources[name]
            layout, facts = source.header.buckets, sandbox.facts_of({name: source}).get(name, SourceFacts())
            # Versions of one fact may lie in several buckets, unless these follow from its key.
            is_apart = not facts.has_versions or set(columns) <= set(source.key)
            if layout is not None and tuple(layout.by) == columns and is_apart and not sandbox.holds(source):
                kinds = sandbox.source_columns(source)
                files = key_buckets(self.batch.cursor, columns, kinds, layout.n).own_files(shard.i, shard.n)
                found |= {name: files} if files is not None else {}
        return found

    def _fill(
        self,
        name: str,
        target: str,
        shown_rows: Mapping[str, str] | None = None,
        own_files: Mapping[str, str] | None = None,
    ) -> None:
        """Ask a query over the rows that are shown of its sources, as the page sees them."""
        query, batch = self.queries[name][0], self.batch
        read = batch.definitions.sources_read([query])
        with batch.sandbox.at(self.as_of, read, shown_rows=shown_rows, own_files=own_files) as page:
            for group in _read_by(batch.definitions, query):
                table = f"memory.{page.schema}.{quote(f'almanac: {group.name}')}"
                page.run_wrapped("pages/prepare", group.query, table, self.as_of)
                page.run_wrapped("pages/collect", group.query, table, self.as_of)
                page.show_rows_of(group.name, table)
            page.run_wrapped("pages/collect", query, target, self.as_of)

    def _write(self, name: str, file: Path) -> Rows:
        columns, table = self.batch.columns(name), self.batch.table(name)
        shown = {"columns": _columns_shown(columns), "table": table, "shown": "TRUE"}
        self.batch.cursor.execute(system_sql("shards/write", file=literal(str(file)), **shown))
        self.batch.cursor.execute(f"DELETE FROM {table}")
        return self.rows_of(file, self.queries[name][1])

    def rows_of(self, file: Path, key: Sequence[str]) -> Rows:
        """Look at a file that was written."""
        path, cursor = exact_path(file), self.batch.cursor
        described = cursor.execute("DESCRIBE SELECT * FROM read_parquet($1)", [path]).fetchall()
        n_rows, keys_hash = cursor.execute(system_sql("shards/staged", keys=quote_all(key)), [path]).fetchall()[0]
        return Rows(file, int(n_rows), {str(row[0]): str(row[1]) for row in described}, str(keys_hash))

    def _take(self, name: str, files: Sequence[Path], looked_up: str, shown: str) -> None:
        where = {"as_of": timestamp_literal(self.as_of), "looked_up": looked_up, "shown": shown}
        take = system_sql("shards/take", target=self.batch.table(name), rows=parquet(files), **where)
        self.batch.cursor.execute(take)


def _columns_shown(columns: Mapping[str, str]) -> str:
    """Give SQL of a query's columns as its files have them."""
    wide = ("HUGEINT", "UHUGEINT")
    return ", ".join(f"{quote(n)}::DECIMAL(38, 0) AS {quote(n)}" if k in wide else quote(n) for n, k in columns.items())
