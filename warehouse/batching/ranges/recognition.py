"""Recognise the queries whose pages can be made in one pass.

Understood is a SELECT from a single source, with a WHERE of conditions that are either free of `$as_of` or
bounds on `known_at`, grouped by expressions of the source's columns (or not at all), whose items are made of
group keys, aggregates and `$as_of`. What is not on a list is refused with a `Reason`.
At the end DuckDB binds the written query over empty tables: its columns must be those of the author's query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from warehouse.batching.ranges.aggregates import Call, Recipe, is_key_type, recipe
from warehouse.batching.ranges.averages import rounds_twice
from warehouse.batching.ranges.composition import compose
from warehouse.batching.ranges.expressions import (
    Scope,
    conjunction,
    conjuncts,
    function_names,
    mentions_as_of,
    mentions_column,
)
from warehouse.batching.ranges.plans import Plan
from warehouse.batching.ranges.windows import BoundBook, of_pages, split
from warehouse.batching.syntax.parsing import Node, Workbench, children, column, rebuilt, signature, walk
from warehouse.batching.syntax.shapes import AS_OF, KNOWN_AT, Column, NotUnderstood, Reason, SourceShape
from warehouse.system_sql import quote, system_sql

SOME_INSTANT = datetime(2001, 1, 1)


@dataclass(frozen=True)
class RangeForm:
    """A recognised query. `columns` are the author's; the range way's rows have `as_of` before them."""

    source: str
    columns: tuple[Column, ...]
    plan: Plan

    def sql(self, pages_relation: str, facts_relation: str, wanted: str | None = None) -> str:
        """Write the query that makes the rows of all pages at once.

        Parameters
        ----------
        pages_relation
            SQL of a relation with the column `as_of` (TIMESTAMP, UTC); repeated instants count once.
        facts_relation
            SQL of the source's relation, quoted as need be: its columns and `known_at`, unfiltered. Neither
            name may begin with `range_`. Both are read in a session with `TimeZone = 'UTC'`.
        wanted
            SQL of a relation of `as_of` and the columns that the query groups by, under the names that they have in
            its result: only these rows are made. Without it, or without group keys, all are.

        Returns
        -------
        str
            A SELECT of `as_of` and then the author's columns, in no particular order of rows.
        """
        for relation in (pages_relation, facts_relation):
            if relation.strip().strip('"').lower().startswith("range_"):
                raise ValueError(f"{relation}: names that begin with range_ are taken by the query itself")
        return compose(self.plan, pages_relation, facts_relation, wanted if self.keys else None)

    def look(self, pages_relation: str, facts_relation: str) -> str:
        """Write the query that counts what the pages read: (facts read by all pages, facts, keys); see `sql`."""
        listed = ", ".join(self.plan.keys)
        return system_sql(
            "ranges/look",
            pages=pages_relation,
            facts=facts_relation,
            bounds=", ".join(f"{expression} AS bound_{n}" for n, expression in enumerate(self.plan.bounds)),
            lower=self.plan.window.lower_sql,
            upper=self.plan.window.upper_sql,
            keys=f"approx_count_distinct(hash({listed}))" if listed else "1",
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that the query groups by, as its result names them; none if one of them is not in it."""
        names = dict(self.plan.items)
        numbered = [quote(f"key_{number}") for number in range(len(self.plan.keys))]
        return tuple(names[key] for key in numbered) if all(key in names for key in numbered) else ()

    def explain(self) -> list[tuple[str, str]]:
        """Return, for each aggregate as written, how it is put together: 'running' or 'spread'."""
        return [(call.written, chosen.way) for call, chosen in self.plan.calls]


def recognise(query: str, sources: Mapping[str, SourceShape]) -> RangeForm | Reason:
    """Say how the pages of a query can be made in one pass, or why not.

    Parameters
    ----------
    query
        One SELECT with the parameter `$as_of`, over the names of sources.
    sources
        The sources by name; whatever else the query reads is not understood.

    Returns
    -------
    RangeForm | Reason
        The form, whose SQL gives exactly the rows of the author's query, page by page; or one sentence.
    """
    with Workbench() as bench:
        try:
            return _Recognition(bench, query, sources).form()
        except NotUnderstood as reason:
            return Reason(str(reason))


@dataclass
class _Recognition:
    """One query on one bench; each step fills in what the next one needs."""

    bench: Workbench
    query: str
    sources: Mapping[str, SourceShape]
    calls: list[tuple[Call, Recipe]] = field(default_factory=list)

    def form(self) -> RangeForm:
        """Take the query apart and put it together again."""
        self.select = self.bench.parse(self.query)
        self.source, self.shape = self._source()
        self.scope = self._scope()
        described = self._described()
        self.book = BoundBook(type_of=self._type_of_bound, text=self.bench.text)
        outer, free = split([self.scope.resolve(part) for part in conjuncts(self.select["where_clause"])], self.book)
        self.divides_twice = rounds_twice(self.bench)
        self.outer = self.book.arrivals(self.shape.arrives_within).within(outer)
        for condition in free:
            if self.scope.has_aggregate(condition):
                raise NotUnderstood("WHERE holds an aggregate")
        items = self._items()
        keys = self._keys(items)
        self._check_keys(keys)
        texts = [self._over_values(item, keys) for item in items]
        having = self._having(keys)
        plan = Plan(
            bounds=tuple(self.book.expressions),
            window=self.outer,
            conditions=tuple(self.bench.text(condition) for condition in free),
            keys=tuple(self.bench.text(key) for key in keys),
            calls=tuple(self.calls),
            items=tuple((text, name) for (text, _), (name, _) in zip(texts, described, strict=True)),
            having=having,
        )
        columns = tuple(
            Column(name, kind, is_approximate)
            for (name, kind), (_, is_approximate) in zip(described, texts, strict=True)
        )
        return self._checked(RangeForm(self.source, columns, plan))

    def _source(self) -> tuple[str, SourceShape]:
        """Find the one source in FROM, and refuse what else a SELECT may carry."""
        select = self.select
        for key, what in (("sample", "a sample"), ("qualify", "QUALIFY")):
            if select[key]:
                raise NotUnderstood(f"it has {what}")
        if select["cte_map"]["map"]:
            raise NotUnderstood("it has CTEs")
        for modifier in select["modifiers"]:
            raise NotUnderstood(f"it has {modifier['type'].removesuffix('_MODIFIER').replace('_', ' ')}")
        table = select["from_table"]
        if table["type"] != "BASE_TABLE":
            raise NotUnderstood("it reads something else than a single source")
        if table["sample"] or table["column_name_alias"] or table["at_clause"]:
            raise NotUnderstood("it reads its source in a way that is not recognised")
        name = table["table_name"]
        known = {source.lower(): source for source in self.sources}
        if table["schema_name"] or table["catalog_name"] or name.lower() not in known:
            raise NotUnderstood(f"{name} is not a source")
        shape = self.sources[known[name.lower()]]
        if shape.has_versions:
            raise NotUnderstood(f"rows of {name} are replaced or withdrawn within these pages")
        return known[name.lower()], shape

    def _scope(self) -> Scope:
        columns = dict(self.shape.columns)
        if KNOWN_AT not in {name.lower() for name in columns}:
            columns[KNOWN_AT] = "TIMESTAMP"
        names = {name.lower(): name for name in columns}
        if len(names) < len(columns) or names[KNOWN_AT] != KNOWN_AT or columns[KNOWN_AT] != "TIMESTAMP":
            raise NotUnderstood(f"the columns of {self.source} are not what a sandbox shows")
        self.bench.create_table(self.source, columns)
        self.pages = quote(f"{self.source}_pages")
        self.bench.create_table(f"{self.source}_pages", {AS_OF: "TIMESTAMP"})
        table = (self.select["from_table"]["alias"] or self.source).lower()
        used = {name for expression in self._expressions() for name in function_names(expression)}
        return Scope(table, names, self.bench.kinds_of(used))

    def _expressions(self) -> list[Node]:
        return children({key: self.select[key] for key in self.select if key != "from_table"})

    def _described(self) -> list[tuple[str, str]]:
        is_dated = any(mentions_as_of(expression) for expression in self._expressions())
        described = self.bench.columns(self.query, SOME_INSTANT if is_dated else None)
        names = [name.lower() for name, _ in described]
        if len(set(names)) < len(names):
            raise NotUnderstood("two of its columns have the same name")
        if any(len(name.splitlines()) != 1 for name in names):
            raise NotUnderstood("the name of one of its columns holds a line break")
        if AS_OF in names:
            raise NotUnderstood("it has a column as_of of its own")
        return described

    def _type_of_bound(self, text: str) -> str:
        return self.bench.columns(f"SELECT {text} FROM {self.pages}")[0][1]

    def _type_over_facts(self, text: str) -> str:
        return self.bench.columns(f"SELECT {text} FROM {quote(self.source)}")[0][1]

    def _items(self) -> list[Node]:
        """Resolve the select list; an item may refer to earlier ones by their aliases."""
        items: list[Node] = []
        aliases: dict[str, Node] = {}
        for item in self.select["select_list"]:
            resolved = self.scope.resolve(item, aliases)
            items.append(resolved)
            if item["alias"]:
                aliases[item["alias"].lower()] = resolved
        return items

    def _keys(self, items: Sequence[Node]) -> list[Node]:
        """Resolve GROUP BY: columns, expressions, positions, aliases, or ALL."""
        select = self.select
        if select["aggregate_handling"] == "FORCE_AGGREGATES":
            keys = [item for item in items if not self.scope.has_aggregate(item)]
            # A constant beside columns adds nothing to a group; alone, it makes one that can be empty.
            return _distinct([key for key in keys if mentions_column(key)] or keys)
        written = select["group_expressions"]
        if select["group_sets"] not in ([], [list(range(len(written)))]):
            raise NotUnderstood("it has more than one grouping set")
        keys = [self._key(node, items) for node in written]
        if not keys and not any(self.scope.has_aggregate(item) for item in items) and not select["having"]:
            raise NotUnderstood("it neither groups nor aggregates")
        return _distinct(keys)

    def _key(self, node: Node, items: Sequence[Node]) -> Node:
        if node["class"] == "CONSTANT":
            position = node["value"]["value"]
            if node["value"]["type"]["id"] != "INTEGER" or not 1 <= position <= len(items):
                raise NotUnderstood("it groups by a constant")
            return {**items[position - 1], "alias": ""}
        aliases: dict[str, Node] = {}
        if node["class"] == "COLUMN_REF":
            aliases = {
                item["alias"].lower(): resolved
                for item, resolved in zip(self.select["select_list"], items, strict=True)
                if item["alias"]
            }
        return self.scope.resolve(node, aliases)

    def _check_keys(self, keys: Sequence[Node]) -> None:
        for key in keys:
            text = self.bench.text(key)
            if mentions_as_of(key) or not mentions_column(key):
                raise NotUnderstood(f"it groups by {text}, which is not of the source's columns alone")
            if self.scope.has_aggregate(key):
                raise NotUnderstood(f"it groups by the aggregate {text}")
            kind = self._type_over_facts(text)
            if not is_key_type(kind):
                raise NotUnderstood(f"it groups by {text} of type {kind}, whose equal values can differ")

    def _over_values(self, item: Node, keys: Sequence[Node]) -> tuple[str, bool]:
        """Print an item over key_n, value_n and as_of; say whether a deviation is in it."""
        known = {signature(key): number for number, key in enumerate(keys)}
        is_approximate = False

        def over(node: Node) -> Node:
            nonlocal is_approximate
            if self.scope.is_aggregate(node):
                number = self._call(node)
                is_approximate |= self.calls[number][1].is_approximate
                return column(f"value_{number}")
            if signature(node) in known:
                return column(f"key_{known[signature(node)]}")
            if node["class"] == "COLUMN_REF":
                raise NotUnderstood(f"{node['column_names'][0]} is neither grouped by nor aggregated")
            return rebuilt(node, over)

        text = self.bench.text(of_pages(over(item)))
        return text, is_approximate

    def _call(self, node: Node) -> int:
        """Take an aggregate apart, choose its recipe, and return its number."""
        written = self.bench.text(node)
        window, free = split(conjuncts(node["filter"]), self.book)
        arguments = node["children"]
        if any(map(mentions_as_of, arguments)):
            raise NotUnderstood(f"{written} uses $as_of inside")
        if any(map(mentions_column, arguments[1:])):
            raise NotUnderstood(f"{written} has a second argument that is not constant")
        condition = conjunction(free)
        argument = self.bench.text(arguments[0]) if arguments else None
        call = Call(
            function=node["function_name"],
            argument=argument,
            argument_type=self._type_over_facts(argument) if argument else "",
            options="".join(f", {self.bench.text(option)}" for option in arguments[1:]),
            condition=self.bench.text(condition) if condition else None,
            is_distinct=node["distinct"],
            window=self.outer.within(window),
            type=self._type_over_facts(self.bench.text({**node, "filter": None})),
            written=written,
        )
        entry = (call, recipe(call, self.divides_twice))
        if entry not in self.calls:
            self.calls.append(entry)
        return self.calls.index(entry)

    def _having(self, keys: Sequence[Node]) -> str | None:
        """Print HAVING over the values. There DuckDB prefers an alias to a column: no name may be both."""
        node = self.select["having"]
        if node is None:
            return None
        aliases = {item["alias"].lower() for item in self.select["select_list"] if item["alias"]}
        for inner in walk(node):
            if inner["class"] == "COLUMN_REF" and inner["column_names"][-1].lower() in aliases:
                raise NotUnderstood(f"HAVING refers to {inner['column_names'][-1]}, which is an alias")
        text, is_approximate = self._over_values(self.scope.resolve(node), keys)
        if is_approximate:
            raise NotUnderstood("HAVING depends on the last bits of a deviation")
        return text

    def _checked(self, form: RangeForm) -> RangeForm:
        """Bind the written query: its columns must be those of the author's query."""
        found = self.bench.columns(compose(form.plan, self.pages, quote(self.source)))
        wanted = [(AS_OF, "TIMESTAMP"), *((column.name, column.type) for column in form.columns)]
        if found != wanted:
            raise NotUnderstood("its columns would come out with other names or types")
        return form


def _distinct(keys: Sequence[Node]) -> list[Node]:
    return list({signature(key): key for key in keys}.values())
