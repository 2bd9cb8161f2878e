"""Would a suite's queries run? DuckDB's own binder is asked, over empty tables with the sources' columns.

Every query is bound as a page would run it: sources first, then feature groups in order, entities, label, the page
that they make up, and the checks over it. What fails is kept with DuckDB's reason, and what reads it fails too.
Asked again with a column left out or of another type, the answer is what that would break.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from warehouse.batching.page_columns import PageColumn, lay_out
from warehouse.definitions import Definitions, FeatureGroup, Product, Source
from warehouse.definitions.product import Check
from warehouse.errors import DefinitionError
from warehouse.lake.registry import columns_of_pages
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.error_lines import in_file
from warehouse.queries.inexact import inexact_sums
from warehouse.system_sql import quote, system_sql

#: A part of a suite: its kind (source, group, entities, label, page, rule, check) and its name.
Part = tuple[str, str]
#: Any instant will do: nothing is read.
_INSTANT = datetime(2000, 1, 1)


@dataclass
class Bound:
    """What binding found: the columns with their types of each part that binds, and why the others do not.

    `mistakes` are all that people have to mend, a sentence each with file and line: what fails only because of another
    one is not among them. `inexact` says what is added up as DOUBLE, a sentence for each file and column.
    """

    columns: dict[Part, dict[str, str]] = field(default_factory=dict)
    page_columns: dict[str, list[PageColumn]] = field(default_factory=dict)
    problems: dict[Part, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)


def bind_suite(definitions: Definitions, sources: Mapping[str, Mapping[str, str]]) -> Bound:
    """Bind every query of a suite over sources with these columns and DuckDB types (`known_at` is added)."""
    with _binder(definitions) as binder:
        for source in definitions.sources.values():
            binder.source(source, sources.get(source.name, {}))
        for group in _in_order(definitions.groups):
            binder.group(group)
        for product in definitions.products.values():
            binder.product(product)
    return binder.bound


def bind_product(
    definitions: Definitions,
    product: Product,
    sources: Mapping[str, Mapping[str, str]],
    *,
    notes_sums: bool = False,
) -> Bound:
    """Bind a product's queries over sources with these columns and types.

    `sources` has those that its pages are made from. Its label and checks are left out where they read another one.
    """
    with _binder(definitions, notes_sums=notes_sums) as binder:
        for name, columns in sources.items():
            binder.show(name, columns)
        for group in definitions.groups_of(product):
            binder.group(group)
        binder.page(product)
        if all(source.name in sources for source in definitions.sources_read([product.label])):
            binder.label(product)
        for check in product.checks:
            if all(source.name in sources for source in definitions.sources_read([check.query])):
                binder.check(product, check)
    return binder.bound


@contextmanager
def _binder(definitions: Definitions, *, notes_sums: bool = True) -> Iterator[_Binder]:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield _Binder(connection, definitions, Bound(), notes_sums)


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
    """Binds part after part on one connection. `notes_sums`: whether it looks for what is added up as DOUBLE."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, definitions: Definitions, bound: Bound, notes_sums: bool
    ) -> None:
        self.connection, self.definitions, self.bound = connection, definitions, bound
        self.notes_sums = notes_sums

    def source(self, source: Source, columns: Mapping[str, str]) -> None:
        """Bind the expressions of a source's header over its columns, and show the source to the queries."""
        self.show(source.name, columns)
        self._create("almanac: delivery", columns)
        problems = []
        missing = [name for name in source.key if name not in columns]
        if missing:
            problems.append(f"{source.file.at('key')}: the key column(s) {missing} are not in its SELECT.")
        for key, text in header_expressions(source).items():
            try:
                self.connection.execute(f'DESCRIBE SELECT {text} FROM "almanac: delivery"')
            except duckdb.Error as error:
                problems.append(f"{source.file.at(*key.split('.', 1))}: `{key}`: {str(error).splitlines()[0]}")
        with self._noting(("source", source.name)):
            if problems:
                raise DefinitionError(problems)
        self.connection.execute('DROP TABLE "almanac: delivery"')

    def show(self, source: str, columns: Mapping[str, str]) -> None:
        """Show a source to the queries."""
        shown = {**columns, "known_at": "TIMESTAMP"}
        self._create(source, shown)
        self.bound.columns["source", source] = shown

    def group(self, group: FeatureGroup) -> None:
        """Bind a feature group, and show it to the queries after it."""
        part = ("group", group.name)
        with self._noting(part):
            columns = self._bind(group.name, group.query)
            self._note_inexact(group.query)
            missing = [name for name in group.key if name not in columns]
            if missing:
                raise DefinitionError(f"{group.file.at('key')}: the key columns {missing} are not in its SELECT")
            self.bound.columns[part] = columns

    def page(self, product: Product) -> None:
        """Bind a product's entities, and put its page together."""
        with self._noting(("entities", product.name)):
            self.bound.columns["entities", product.name] = self._bind("almanac: entities", product.entities)
            self._note_inexact(product.entities)
        with self._noting(("page", product.name)):
            self._page(product)
        if product.rule is not None and ("page", product.name) not in self.bound.problems:
            with self._noting(("rule", product.name)):
                self._rule(product, product.rule)

    def product(self, product: Product) -> None:
        """Bind all of a product's queries, and put its page together."""
        self.page(product)
        self.label(product)
        for check in product.checks:
            self.check(product, check)
        for name in ("almanac: entities", "almanac: label", "page", "almanac: check"):
            self.connection.execute(f"DROP TABLE IF EXISTS {quote(name)}")

    def label(self, product: Product) -> None:
        """Bind a product's label.sql."""
        with self._noting(("label", product.name)):
            columns = self._bind("almanac: label", product.label, known_by=_INSTANT)
            self._note_inexact(product.label)
            missing = [name for name in (*product.keys, "label") if name not in columns]
            if missing:
                raise DefinitionError(f"{product.label.where}: it must select the keys and `label`; {missing} are gone")
            self.bound.columns["label", product.name] = columns

    def check(self, product: Product, check: Check) -> None:
        """Bind one of a product's own checks; its page comes before."""
        with self._noting(("check", f"{product.name}.{check.name}")):
            if "page" in check.query.tables and ("page", product.name) in self.bound.problems:
                raise _Follows(f"{check.query.where}: it reads the page, which is not made")
            self._bind("almanac: check", check.query)

    def _page(self, product: Product) -> None:
        parts: list[Part] = [("entities", product.name)]
        parts += [("group", use.group) for use in product.header.features]
        failing = [why for part in parts if (why := self.bound.problems.get(part))]
        entities = self.bound.columns.get(("entities", product.name))
        if entities is None:
            raise _Follows(failing[0])
        listed, problems = lay_out(
            self.definitions, product, entities, lambda group: self.bound.columns.get(("group", group))
        )
        if not failing:
            problems += _unknown_names(product, {*entities, *(column.name for column in listed)})
        if problems:
            raise DefinitionError(problems)
        if failing:
            raise _Follows(failing[0])
        self.bound.page_columns[product.name] = listed
        columns = {key: entities[key] for key in product.keys}
        columns |= {"as_of": "TIMESTAMP", "valid_until": "TIMESTAMP"}
        columns |= {column.name: column.stored_kind for column in listed}
        self.bound.columns["page", product.name] = columns
        self._create("page", {**columns, **product.columns_of_kind, "model_version": "VARCHAR"})

    def _rule(self, product: Product, rule: CheckedQuery) -> None:
        """Bind a product's rule over the keys and features of its page: it is what gives the page its score."""
        page = self.bound.columns["page", product.name]
        given = {name: kind for name, kind in page.items() if name not in ("as_of", "valid_until")}
        self.connection.execute('ALTER TABLE page RENAME TO "almanac: page"')
        try:
            self._create("page", given)
            found = self._bind("almanac: rule", rule)
        finally:
            self.connection.execute("DROP TABLE IF EXISTS page")
            self.connection.execute('ALTER TABLE "almanac: page" RENAME TO page')
            self.connection.execute('DROP TABLE IF EXISTS "almanac: rule"')
        # Ranks are made of scores, once the lists are whole.
        wanted = [*product.keys, *(name for name in product.columns_of_kind if name != "rank")]
        if set(found) != set(wanted):
            raise DefinitionError(
                f"{rule.where}: it must select the keys and what a page of a {product.kind.name} label has,"
                f" {', '.join(wanted)}; it selects {', '.join(found)}"
            )

    def _create(self, name: str, columns: Mapping[str, str]) -> None:
        listed = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
        self.connection.execute(f"CREATE TABLE {quote(name)} ({listed or 'none INTEGER'})")

    def _bind(self, name: str, query: CheckedQuery, **parameters: datetime) -> dict[str, str]:
        failing = sorted(table for table in query.tables if ("group", table) in self.bound.problems)
        if failing:
            raise _Follows(f"{query.where}: it reads the feature group `{failing[0]}`, which does not run")
        target = quote(name)
        self.connection.execute(f"DROP TABLE IF EXISTS {target}")
        text = system_sql("lineage/bind", target=target, query=query.text)
        try:
            self.connection.execute(text, query.bound(as_of=_INSTANT, **parameters) or None)
        except duckdb.Error as error:
            raise DefinitionError(in_file(query.where, error, query.text)) from error
        described = self.connection.execute(f"DESCRIBE {target}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    def _note_inexact(self, query: CheckedQuery) -> None:
        """Note what a query that binds adds up as DOUBLE."""
        if not self.notes_sums:
            return
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
            if not isinstance(error, _Follows):
                self.bound.mistakes += [f"{problem.rstrip('.')}." for problem in error.problems]


def header_expressions(source: Source) -> dict[str, str]:
    """Give the expressions of a source's header by their keys, each as ingestion uses it."""
    header = source.header
    found = {"known_at": f"({source.known_at}\n)::TIMESTAMP"}
    if source.restated_at:
        found["restated_at"] = f"({source.restated_at}\n)::TIMESTAMP"
    if header.withdrawn:
        found["withdrawn"] = f"({header.withdrawn}\n)::BOOLEAN"
    return found | {f"rules.{name}": f"NOT ({rule}\n)" for name, rule in header.rules.items()}


def _unknown_names(product: Product, columns: Collection[str]) -> list[str]:
    """Find names in product.yaml that are no columns of its pages."""
    known = {*columns, *columns_of_pages()}
    left_out = [(name, ("model", "leave_out", place)) for place, name in enumerate(product.header.model.leave_out)]
    gates = product.header.gates.segments if product.header.gates else []
    segments = [(segment.by, ("gates", "segments", place, "by")) for place, segment in enumerate(gates)]
    return [
        f"{product.at(*path)}: `{path[0]}.{path[1]}` names `{name}`, which is no column of its pages."
        for name, path in [*left_out, *segments]
        if name not in known
    ]


class _Follows(DefinitionError):
    """Something fails because something else does, which is told by itself."""
