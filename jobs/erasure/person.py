"""A person as the lake knows them: which facts are theirs, and by which values other tables name them.

A source says by `subject: {customer: customer_id}` which of its columns names a customer. Facts are the person's if it
bears their value; so are all versions of a fact whose key one of those had. A source without such a column says by
`subject: {customer: orders.order_id}` that its `order_id` names an order, and so a customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from jobs.erasure.marks import Marks
from warehouse.definitions import Definitions, Source
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.lake import table_columns
from warehouse.lake.registry import FACT_COLUMNS
from warehouse.system_sql import quote, system_sql

#: Between the parts of a key of several columns, as text.
_BETWEEN = "\x1f"
#: The schemas that hold what sources delivered.
FACT_SCHEMAS = ("sources", "rejects")


@dataclass(frozen=True)
class Rule:
    """Rows that are a person's: those in which some columns, as text, together have one of some values."""

    columns: tuple[str, ...]
    values: frozenset[str]

    def sql(self, parameter: int) -> str:
        """Give SQL that tells of a row whether it is; the values are one parameter, a list."""
        text = " || chr(31) || ".join(f"CAST({quote(column)} AS VARCHAR)" for column in self.columns)
        return f"{text} IN (SELECT unnest(${parameter}::VARCHAR[]))"


def any_of(rules: Sequence[Rule]) -> tuple[str, list[object]]:
    """Give SQL that tells whether one of several rules holds, and its parameters."""
    tests = [rule.sql(number) for number, rule in enumerate(rules, start=1)]
    return f"coalesce({' OR '.join(tests) or 'false'}, false)", [sorted(rule.values) for rule in rules]


@dataclass
class Person:
    """What names a person.

    Attributes
    ----------
    kind, value
        As they were asked for: `customer`, `17`.
    named
        By source and column, the values that name the person there.
    keys
        By source, the keys of their facts, the parts of each joined.
    texts
        What only their facts say.
    since
        By source, when the first of their facts was known.
    on_pages
        By column of products' pages, which need not be called as that of a source, the values that name them there.
    """

    kind: str
    value: str
    named: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    since: dict[str, datetime] = field(default_factory=dict)
    on_pages: dict[str, list[str]] = field(default_factory=dict)

    @property
    def marks(self) -> Marks:
        """What free text is searched for."""
        values: dict[str, set[str]] = {self.kind: {self.value}}
        for columns in (*self.named.values(), self.on_pages):
            for column, found in columns.items():
                values.setdefault(column, set()).update(found)
        return Marks.of(self.texts, values)

    @property
    def all_values(self) -> list[str]:
        """Every single value that names the person somewhere."""
        return sorted(
            {v for columns in self.named.values() for found in columns.values() for v in found} | {self.value}
        )

    def rules_of_source(self, source: Source, there: Mapping[str, str]) -> list[Rule]:
        """Give the rules of a table of facts or rejects of a source, which has some columns."""
        rules = [
            Rule((column,), frozenset(values))
            for column, values in self.named.get(source.name, {}).items()
            if column in there and values
        ]
        if self.keys.get(source.name) and all(column in there for column in source.key):
            rules.append(Rule(source.key, frozenset(self.keys[source.name])))
        return rules


def sources_with(definitions: Definitions, kind: str) -> dict[str, str]:
    """Give what sources say of a kind of person: first those that name them, then those that do by another source.

    Raises
    ------
    UsageError
        If no source says so, or one names a source that does not name the person itself.
    """
    found = {name: source.header.subject[kind] for name, source in definitions.sources.items()
             if kind in source.header.subject}  # fmt: skip
    direct = {name: column for name, column in found.items() if "." not in column}
    if not direct:
        kinds = sorted({each for source in definitions.sources.values() for each in source.header.subject})
        there = f"there is: {', '.join(kinds)}" if kinds else "no source says whom its facts are about"
        raise UsageError(
            f"no source has `subject: {{{kind}: COLUMN}}` in its header ({there}). Declare it in the source that names"
            " them, and in those that are about them."
        )
    for name, named_by in found.items():
        if "." in named_by and named_by.partition(".")[0] not in direct:
            raise UsageError(
                f"{definitions.sources[name].file.where}: `subject: {{{kind}: {named_by}}}` names no source that has"
                f" `subject: {{{kind}: COLUMN}}` itself; there is: {', '.join(direct)}."
            )
    return direct | {name: named_by for name, named_by in found.items() if name not in direct}


def find_person(connection: duckdb.DuckDBPyConnection, definitions: Definitions, kind: str, value: str) -> Person:
    """Find what names a person, in all tables of facts and rejects.

    Raises
    ------
    UsageError
        See `sources_with`.
    NotFoundError
        If nothing is held of them.
    """
    person = Person(kind, value)
    declared = sources_with(definitions, kind)
    by_others: dict[str, set[str]] = {}
    for name, named_by in declared.items():
        source = definitions.sources[name]
        column = named_by.rpartition(".")[2]
        named = sorted(by_others.get(named_by, set())) if "." in named_by else [value]
        person.named[name] = {column: named}
        asked = {
            text.rpartition(".")[2] for text in declared.values() if text.partition(".")[0] == name and "." in text
        }
        for schema, table, there in tables_of(connection, source):
            _look_into(connection, person, source, f"{schema}.{quote(table)}", there)
            for other in sorted(asked & there.keys()):
                values = _values(connection, person, source, f"{schema}.{quote(table)}", there, other)
                by_others.setdefault(f"{name}.{other}", set()).update(values)
    person.texts = _without_common(connection, definitions, person)
    if not any(person.keys.values()):
        raise NotFoundError(
            f"nothing is held of {kind}={value}: no fact and no reject of {', '.join(declared)} bears it. Nothing was"
            " changed."
        )
    return person


def complete(person: Person, definitions: Definitions) -> None:
    """Take up sources that have come to say whom their facts are about since the person was looked for."""
    for name, named_by in sources_with(definitions, person.kind).items():
        other, _, column = named_by.rpartition(".")
        if other:
            person.named.setdefault(name, {}).setdefault(column, person.named.get(other, {}).get(column, []))


def tables_of(connection: duckdb.DuckDBPyConnection, source: Source) -> list[tuple[str, str, dict[str, str]]]:
    """List the tables of a source's facts and rejects, those of older derivations too: schema, name, columns."""
    rows = connection.execute(system_sql("reading/tables")).fetchall()
    return [
        (schema, table, table_columns(connection, schema, table))
        for schema, table in rows
        if schema in FACT_SCHEMAS and table.partition("@")[0] == source.name
    ]


def _look_into(
    connection: duckdb.DuckDBPyConnection, person: Person, source: Source, table: str, there: Mapping[str, str]
) -> None:
    """Add what a table says of the person: keys, texts, and since when."""
    rules = person.rules_of_source(source, there)
    if not rules:
        return
    theirs, values = any_of(rules)
    if all(column in there for column in source.key):
        key = " || chr(31) || ".join(f"CAST({quote(column)} AS VARCHAR)" for column in source.key)
        found = connection.execute(f"SELECT DISTINCT {key} FROM {table} WHERE {theirs}", values).fetchall()
        keys = {row[0] for row in found if row[0] is not None}
        person.keys[source.name] = sorted({*person.keys.get(source.name, ()), *keys})
        if len(source.key) == 1:
            # A key names the person wherever it stands, in a source that does not say so, too.
            named = person.named.setdefault(source.name, {})
            named[source.key[0]] = sorted({*named.get(source.key[0], ()), *person.keys[source.name]})
    for column, kind in there.items():
        if kind == "VARCHAR" and column != "reason":
            query = f"SELECT DISTINCT {quote(column)} FROM {table} WHERE {theirs} AND {quote(column)} IS NOT NULL"
            person.texts += [row[0] for row in connection.execute(query, values).fetchall()]
    person.texts = sorted(set(person.texts))
    if FACT_COLUMNS.keys() <= there.keys():
        row = connection.execute(f"SELECT min(known_at) FROM {table} WHERE {theirs}", values).fetchone()
        if row is not None and row[0] is not None:
            person.since[source.name] = min(row[0], person.since.get(source.name, row[0]))


def _without_common(connection: duckdb.DuckDBPyConnection, definitions: Definitions, person: Person) -> list[str]:
    """Leave out the texts of the person's facts that any other fact or reject has, in any column."""
    texts = set(person.texts)
    for source in definitions.sources.values():
        for schema, table, there in tables_of(connection, source):
            theirs, values = any_of(person.rules_of_source(source, there))
            for column, kind in there.items():
                if kind == "VARCHAR" and column != "reason" and texts:
                    fragments = {"column": quote(column), "table": f"{schema}.{quote(table)}", "theirs": theirs}
                    query = system_sql("erasure/common_texts", **fragments, texts=f"${len(values) + 1}")
                    texts -= {row[0] for row in connection.execute(query, [*values, sorted(texts)]).fetchall()}
    return sorted(texts)


def _values(
    connection: duckdb.DuckDBPyConnection,
    person: Person,
    source: Source,
    table: str,
    there: Mapping[str, str],
    column: str,
) -> set[str]:
    rules = person.rules_of_source(source, there)
    if not rules:
        return set()
    theirs, values = any_of(rules)
    query = f"SELECT DISTINCT CAST({quote(column)} AS VARCHAR) FROM {table} WHERE {theirs}"
    return {row[0] for row in connection.execute(query, values).fetchall() if row[0] is not None}
