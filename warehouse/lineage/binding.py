"""Would a suite's queries run? DuckDB's own binder is asked, over empty tables with the sources' columns.

Every query is bound as a page would run it: sources first, then feature groups in order, entities, label, the page
that they make up, and the checks over it. What fails is kept with DuckDB's reason, and what reads it fails too.
Asked again with a column left out or of another type, the answer is what that would break.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from warehouse.batching.page_columns import PageColumn, joined_on, page_columns
from warehouse.definitions import Definitions, FeatureGroup, Product, Source
from warehouse.errors import DefinitionError
from warehouse.pages.labels import LABEL_TYPES
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.inexact import inexact_sums
from warehouse.system_sql import quote, system_sql

#: A part of a suite: its kind (source, group, entities, label, page, check) and its name.
Part = tuple[str, str]
#: Any instant will do: nothing is read.
_INSTANT = datetime(2000, 1, 1)


@dataclass
class Bound:
    """What binding found: the columns with their types of each part that binds, and why the others do not.

    `inexact` says what is added up as DOUBLE, a sentence for each file and column.
    """

    columns: dict[Part, dict[str, str]] = field(default_factory=dict)
    page_columns: dict[str, list[PageColumn]] = field(default_factory=dict)
    problems: dict[Part, str] = field(default_factory=dict)
    inexact: list[str] = field(default_factory=list)


def bind_suite(definitions: Definitions, sources: Mapping[str, Mapping[str, str]]) -> Bound:
    """Bind every query of a suite over sources with these columns and DuckDB types (`known_at` is added)."""
    bound = Bound()
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        binder = _Binder(connection, definitions, bound)
        for source in definitions.sources.values():
            binder.source(source, sources.get(source.name, {}))
        for group in _in_order(definitions.groups):
            binder.group(group)
        for product in definitions.products.values():
            binder.product(product)
    return bound


def _in_order(groups: Mapping[str, FeatureGroup]) -> Iterator[FeatureGroup]:
    """Give feature groups, each after those that it reads."""
    done: set[str] = set()

    def visit(names: Iterable[str]) -> Iterator[FeatureGroup]:
        for name in names:
            if name in groups and name not in done:
                done.add(name)
                yield from visit(sorted(groups[name].query.tables))
                yield groups[name]

    yield from visit(groups)


class _Binder:
    def __init__(self, connection: duckdb.DuckDBPyConnection, definitions: Definitions, bound: Bound) -> None:
        self.connection, self.definitions, self.bound = connection, definitions, bound

    def source(self, source: Source, columns: Mapping[str, str]) -> None:
        """Bind the expressions of a source's header over its columns, and show the source to the queries."""
        part = ("source", source.name)
        self._create(source.name, {**columns, "known_at": "TIMESTAMP"})
        self.bound.columns[part] = {**columns, "known_at": "TIMESTAMP"}
        self._create("almanac: delivery", columns)
        with self._noting(part):
            missing = [name for name in source.key if name not in columns]
            if missing:
                raise DefinitionError(f"{source.file.where}: the key column(s) {missing} are not in its SELECT")
            for key, text in header_expressions(source).items():
                with _named(f"{source.file.where}: `{key}`"):
                    self.connection.execute(f'DESCRIBE SELECT {text} FROM "almanac: delivery"')
        self.connection.execute('DROP TABLE "almanac: delivery"')

    def group(self, group: FeatureGroup) -> None:
        """Bind a feature group, and show it to the queries after it."""
        part = ("group", group.name)
        with self._noting(part):
            columns = self._bind(group.name, group.query)
            self._note_inexact(group.query)
            missing = [name for name in group.key if name not in columns]
            if missing:
                raise DefinitionError(f"{group.file.where}: the key columns {missing} are not in its SELECT")
            self.bound.columns[part] = columns

    def product(self, product: Product) -> None:
        """Bind a product's queries, and put its page together."""
        with self._noting(("entities", product.name)):
            self.bound.columns["entities", product.name] = self._bind("almanac: entities", product.entities)
            self._note_inexact(product.entities)
        with self._noting(("label", product.name)):
            columns = self._bind("almanac: label", product.label, known_by=_INSTANT)
            self._note_inexact(product.label)
            missing = [name for name in (*product.keys, "label") if name not in columns]
            if missing:
                raise DefinitionError(f"{product.label.where}: it must select the keys and `label`; {missing} are gone")
            self.bound.columns["label", product.name] = columns
        with self._noting(("page", product.name)):
            self._page(product)
        for check in product.checks:
            with self._noting(("check", f"{product.name}.{check.name}")):
                if "page" in check.query.tables and ("page", product.name) in self.bound.problems:
                    raise DefinitionError(f"{check.query.where}: it reads the page, which is not made")
                self._bind("almanac: check", check.query)
        for name in ("almanac: entities", "almanac: label", "page", "almanac: check"):
            self.connection.execute(f"DROP TABLE IF EXISTS {quote(name)}")

    def _page(self, product: Product) -> None:
        failing = [
            why
            for part in [("entities", product.name), *(("group", use.group) for use in product.header.features)]
            if (why := self.bound.problems.get(part))
        ]
        if failing:
            raise DefinitionError(failing[0])
        entities = self.bound.columns["entities", product.name]
        listed = page_columns(self.definitions, product, entities, lambda group: self.bound.columns["group", group])
        for use in product.header.features:
            joined_on(self.definitions, product, use, entities)
        self.bound.page_columns[product.name] = listed
        columns = {key: entities[key] for key in product.keys}
        columns |= {"as_of": "TIMESTAMP", "valid_until": "TIMESTAMP"}
        columns |= {column.name: column.stored_kind for column in listed}
        self.bound.columns["page", product.name] = columns
        score = "DOUBLE" if product.header.label.kind == "binary" else LABEL_TYPES["regression"]
        self._create("page", {**columns, product.score_column: score, "model_version": "VARCHAR"})

    def _create(self, name: str, columns: Mapping[str, str]) -> None:
        listed = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
        self.connection.execute(f"CREATE TABLE {quote(name)} ({listed or 'none INTEGER'})")

    def _bind(self, name: str, query: CheckedQuery, **parameters: datetime) -> dict[str, str]:
        failing = sorted(table for table in query.tables if ("group", table) in self.bound.problems)
        if failing:
            raise DefinitionError(f"{query.where}: it reads the feature group `{failing[0]}`, which does not run")
        target = quote(name)
        self.connection.execute(f"DROP TABLE IF EXISTS {target}")
        with _named(query.where):
            text = system_sql("lineage/bind", target=target, query=query.text)
            self.connection.execute(text, query.bound(as_of=_INSTANT, **parameters) or None)
        described = self.connection.execute(f"DESCRIBE {target}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    def _note_inexact(self, query: CheckedQuery) -> None:
        """Note what a query that binds adds up as DOUBLE."""
        try:
            self.bound.inexact += [found.in_words(query.where) for found in inexact_sums(self.connection, query)]
        except DefinitionError as error:
            self.bound.inexact.append(str(error))

    @contextmanager
    def _noting(self, part: Part) -> Iterator[None]:
        try:
            yield
        except DefinitionError as error:
            self.bound.problems[part] = str(error).rstrip(".")


def header_expressions(source: Source) -> dict[str, str]:
    """Give the expressions of a source's header by their keys, each as ingestion uses it."""
    header = source.header
    found = {"known_at": f"({header.known_at}\n)::TIMESTAMP"}
    if header.restated_at:
        found["restated_at"] = f"({header.restated_at}\n)::TIMESTAMP"
    if header.withdrawn:
        found["withdrawn"] = f"({header.withdrawn}\n)::BOOLEAN"
    return found | {f"rules.{name}": f"NOT ({rule}\n)" for name, rule in header.rules.items()}


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Give DuckDB's reasons with the file that they concern, in one line."""
    try:
        yield
    except duckdb.Error as error:
        raise DefinitionError(f"{where}: {str(error).splitlines()[0]}") from error
