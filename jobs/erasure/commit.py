"""The one commit of an erasure: a person's rows go from every table of the lake, and a tombstone is set.

Each table is looked at by what the registry of tables says of its schema. Rows of facts, rejects and pages that are the
person's are deleted; of rows that are not, cells that name the person become NULL. Texts of the ledger in which they
are named are kept without the name. A published page that had counted them is marked, and stays what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from jobs.erasure.named_values import OF_PAGES, behind_names
from jobs.erasure.person import FACT_SCHEMAS, Person, Rule, any_of
from jobs.erasure.product_rows import PAGE_SCHEMAS, ProductRows
from jobs.erasure.sums import forget_lone_groups
from jobs.metering import RunMeter, who
from jobs.suite import Suite
from warehouse.facts.tombstones import erase_key, key_check, scope_of, tombstone
from warehouse.lake.lake import Commit, table_columns
from warehouse.lake.registry import AUTHORS, table
from warehouse.ledger import records as ledger
from warehouse.ledger.erasures import COUNTED, ErasureRecord, erasures
from warehouse.ledger.exports import announce
from warehouse.pages.profiled_pages import tables_of_profiles
from warehouse.pages.views import ensure_views
from warehouse.system_sql import quote, system_sql

#: Texts of the ledger that are an example of somebody's row go whole.
_EXAMPLES = ("wrong_rows",)


@dataclass
class Deleted:
    """What the commit did: facts, rejects and rows of pages by table, and published pages by product."""

    facts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)


def erase_rows(
    suite: Suite, commit: Commit, person: Person, products: Mapping[str, ProductRows], meter: RunMeter
) -> Deleted:
    """Delete a person's rows from all tables of the lake, inside a commit, and mark pages that had counted them."""
    erasing = _Erasing(suite, commit, person, products, meter.started_at)
    erasing.mark_pages()
    for product, rows in products.items():
        if n_groups := forget_lone_groups(commit, product, rows):
            erasing.done.texts[f"ledger.label_sums of {product}"] = n_groups
    for schema, name in commit.execute(system_sql("reading/tables")).fetchall():
        erasing.table(schema, name)
    erasing.forget_profiles()
    erasing.announce(meter.run_id)
    return erasing.done


def rows_by_page(
    connection: duckdb.DuckDBPyConnection, kind: str, product: str, rows: ProductRows
) -> dict[datetime, int]:
    """Count a person's rows on each page of a kind."""
    rules = rows.rules_for(table_columns(connection, kind, product))
    if not rules:
        return {}
    theirs, values = any_of(rules)
    query = f"SELECT as_of, count(*) FROM {kind}.{quote(product)} WHERE {theirs} GROUP BY as_of"
    return dict(connection.execute(query, values).fetchall())


def counted_since(suite: Suite, person: Person, product: str) -> datetime | None:
    """Tell from when on a product's pages can have counted a person; None: none can."""
    read = {source.name for source in suite.definitions.sources_of(suite.definitions.product(product))}
    return min((known for name, known in person.since.items() if name in read), default=None)


@dataclass
class _Erasing:
    suite: Suite
    commit: Commit
    person: Person
    products: Mapping[str, ProductRows]
    now: datetime
    done: Deleted = field(default_factory=Deleted)
    #: Of each product, the pages of predictions that lost rows.
    lost: dict[str, list[datetime]] = field(default_factory=dict)
    #: Pages, by product and kind, whose profiles count what named the person; and columns that did.
    profiled: dict[tuple[str, str], set[datetime]] = field(default_factory=dict)
    named: set[tuple[str, str]] = field(default_factory=set)

    def table(self, schema: str, name: str) -> None:
        """Take the person out of one table."""
        registered = table(schema, name)
        if registered is None or not registered.person:
            return
        columns = table_columns(self.commit.connection, schema, name)
        place = f"{quote(schema)}.{quote(name)}"
        if schema in FACT_SCHEMAS and registered.is_of_a_source:
            self._delete(place, self._rules_of_facts(name, columns), self.done.facts)
        elif schema in PAGE_SCHEMAS:
            rows = self.products.get(self._product_of(name))
            self._delete(place, rows.rules_for(columns) if rows else self._rules_by_name(columns), self.done.rows)
            self._blank(schema, name, columns, rows.naming if rows else {})
        else:
            if schema == "ledger" and (behind := behind_names(name)) is not None:
                self._forget_named(name, behind)
            texts = [column for column in registered.person if column != AUTHORS and column in columns]
            self._blot(place, {column: columns[column] for column in texts}, whole=name in _EXAMPLES)

    def mark_pages(self) -> None:
        """Mark the published pages that had counted the person, and say how many rows are left on them."""
        products = self.suite.definitions.products
        for product in products.values():
            since = counted_since(self.suite, self.person, product.name)
            for kind in PAGE_SCHEMAS:
                gone = rows_by_page(self.commit.connection, kind, product.name, self.products[product.name])
                if kind == "predictions":
                    self.lost[product.name] = sorted(gone)
                n_pages = self._mark(product.name, kind, gone, since)
                if kind == "predictions":
                    self.done.pages[product.name] = n_pages

    def announce(self, run_id: str) -> None:
        """Have targets follow: a page that lost rows is a publication of its own."""
        for name, pages in self.lost.items():
            product = self.suite.definitions.products[name]
            if pages:
                there = ledger.published_pages(self.commit.connection, name, "predictions", [pages[0], pages[-1]])
                announce(self.commit, product, [there[page] for page in pages if page in there])
                ensure_views(self.commit, product)

    def _mark(self, product: str, kind: str, gone: Mapping[datetime, int], since: datetime | None) -> int:
        published = ledger.published_pages(self.commit.connection, product, kind)
        counted = [page for page in published if page in gone or (since is not None and page > since)]
        if not counted:
            return 0
        note = f"{COUNTED} {self.now:%Y-%m-%d}"
        for pages, moves in (
            (sorted(gone.keys() & published.keys()), True),
            (sorted(set(counted) - gone.keys()), False),
        ):
            if pages:
                left = [published[page].n_rows - gone.get(page, 0) for page in pages]
                snapshots = [self.commit.snapshot_id if moves else published[page].snapshot_id for page in pages]
                before = [published[page].snapshot_id for page in pages]
                values = [product, kind, pages, left, snapshots, note, before]
                self.commit.execute(system_sql("erasure/mark_pages"), values)
                if kind == "predictions" and moves:
                    self.commit.execute(
                        system_sql("erasure/move_rollbacks"), [product, pages, before, self.commit.snapshot_id]
                    )
        self.profiled.setdefault((product, kind), set()).update(gone)
        return len(counted)

    def forget_profiles(self) -> None:
        """Forget profiles that count the person's rows or name: `almanac monitor` makes them again of the rest."""
        for (product, kind), pages in self.profiled.items():
            for name in tables_of_profiles(self.commit.connection, product) if pages else ():
                forget = system_sql("erasure/forget_profiles", table=name)
                self.commit.execute(forget, [product, kind, sorted(pages)])
        there = "ledger.training_profiles WHERE product = $1 AND column_name = $2"
        for product, column in sorted(self.named):
            if self.commit.execute(f"SELECT 1 FROM {there} LIMIT 1", [product, column]).fetchone() is not None:
                self.commit.execute(f"DELETE FROM {there}", [product, column])

    def _forget_named(self, name: str, behind: str) -> None:
        """Forget the rows of the ledger in which a value names the person, and another column says of what."""
        marks, place = self.person.marks, f"ledger.{quote(name)}"
        found, values = marks.sql_finds(behind), list[object](marks.patterns)
        if not self._has(place, found, values):
            return
        if name in OF_PAGES:
            query = f"SELECT DISTINCT product, kind, as_of FROM {place} WHERE {found}"
            for product, kind, page in self.commit.execute(query, values).fetchall():
                self.profiled.setdefault((product, kind), set()).add(page)
            return
        self._count(place, self.commit.execute(f"DELETE FROM {place} WHERE {found}", values).fetchone())

    def _delete(self, place: str, rules: list[Rule], counts: dict[str, int]) -> None:
        if not rules:
            return
        theirs, values = any_of(rules)
        row = self.commit.execute(f"DELETE FROM {place} WHERE {theirs}", values).fetchone()
        if row is not None and row[0]:
            counts[place.replace('"', "")] = row[0]

    def _blank(self, schema: str, name: str, columns: Mapping[str, str], naming: Mapping[str, frozenset[str]]) -> None:
        """Make NULL what names the person in rows that are not theirs."""
        place = f"{quote(schema)}.{quote(name)}"
        for column, kind in columns.items():
            text = f"CAST({quote(column)} AS VARCHAR)"
            if column in naming:
                found, values = any_of([Rule((column,), naming[column])])
            elif kind == "VARCHAR" or kind.endswith(("]", ")")):
                if kind.startswith("DECIMAL"):
                    continue
                found, values = self.person.marks.sql_finds(text), list(self.person.marks.patterns)
            else:
                continue
            if self._has(place, found, values):
                pages = self.commit.execute(f"SELECT DISTINCT as_of FROM {place} WHERE {found}", values).fetchall()
                self.profiled.setdefault((self._product_of(name), schema), set()).update(page for (page,) in pages)
                self.named.add((self._product_of(name), column))
                row = self.commit.execute(f"UPDATE {place} SET {quote(column)} = NULL WHERE {found}", values).fetchone()
                self._count(f"{place}.{column}", row)

    def _blot(self, place: str, texts: Mapping[str, str], *, whole: bool) -> None:
        """Take the person's marks out of texts; where the text is a row of somebody, the row goes."""
        marks = self.person.marks
        values: list[object] = list(marks.patterns)
        for column, kind in texts.items():
            found = marks.sql_finds(f"CAST({quote(column)} AS VARCHAR)")
            if not (kind == "VARCHAR" or kind.endswith("]")) or not self._has(place, found, values):
                continue
            if whole:
                row = self.commit.execute(f"DELETE FROM {place} WHERE {found}", values).fetchone()
            else:
                said = marks.sql_blots(quote(column) if kind == "VARCHAR" else f"CAST({quote(column)} AS VARCHAR)")
                text = said if kind == "VARCHAR" else f"list_transform({quote(column)}, x -> {marks.sql_blots('x')})"
                if kind.startswith("STRUCT"):
                    text = (
                        f"list_transform({quote(column)}, x -> struct_update(x, path := {marks.sql_blots('x.path')}))"
                    )
                query = f"UPDATE {place} SET {quote(column)} = {text} WHERE {found}"
                row = self.commit.execute(query, values).fetchone()
            self._count(f"{place}.{column}", row)

    def _has(self, place: str, found: str, values: list[object]) -> bool:
        return self.commit.execute(f"SELECT 1 FROM {place} WHERE {found} LIMIT 1", values).fetchone() is not None

    def _count(self, what: str, row: tuple[int, ...] | None) -> None:
        if row is not None and row[0]:
            self.done.texts[what.replace('"', "")] = row[0]

    def _rules_of_facts(self, name: str, columns: Mapping[str, str]) -> list[Rule]:
        source = self.suite.definitions.sources.get(name.partition("@")[0])
        return self.person.rules_of_source(source, columns) if source is not None else self._rules_by_name(columns)

    def _rules_by_name(self, columns: Mapping[str, str]) -> list[Rule]:
        """Give the rules of a table whose definition is gone: its columns are known by their names alone."""
        found: dict[str, set[str]] = {}
        for source, named in self.person.named.items():
            for column, values in named.items():
                found.setdefault(column, set()).update(values)
            key = self.suite.definitions.sources[source].key
            if len(key) == 1:
                found.setdefault(key[0], set()).update(self.person.keys.get(source, ()))
        return [Rule((column,), frozenset(values)) for column, values in found.items() if column in columns and values]

    def _product_of(self, name: str) -> str:
        return name if name in self.products else name.removesuffix("_arms")


def set_tombstones(suite: Suite, commit: Commit, person: Person, erasure_id: str, reason: str | None, done: Deleted,
                   meter: RunMeter) -> None:  # fmt: skip
    """Write into the ledger that a person was erased, by hashes only; once, however often the erasure goes on."""
    key = erase_key()
    hashes = [tombstone(key, person.kind, person.value)]
    for name, columns in person.named.items():
        scope = scope_of(suite.definitions.sources[name], person.kind)
        if scope != person.kind:
            hashes += [tombstone(key, scope, value) for value in columns[scope.rpartition(".")[2]]]
    there = {hashed for one in erasures(commit.connection) if one.erasure_id == erasure_id for hashed in one.tombstones}
    if there.issuperset(hashes):
        return
    record = ErasureRecord(
        erasure_id=erasure_id,
        subject=person.kind,
        tombstones=list(dict.fromkeys(hashes)),
        key_check=key_check(key),
        erased_at=meter.started_at,
        erased_by=who(),
        reason=reason,
        n_facts=sum(done.facts.values()),
        n_rows=sum(done.rows.values()),
        n_pages=sum(done.pages.values()),
        run_id=meter.run_id,
        snapshot_id=commit.snapshot_id,
    )
    ledger.append(commit, [record])
    ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
