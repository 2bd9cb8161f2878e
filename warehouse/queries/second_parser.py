"""The second reading of an author's query: sqlglot must find the tables and functions that the first one found.

One parser may have a blind spot, and so may the walk over its tree. Tables are compared in sqlglot's syntax tree.
Functions are compared in its tokens, where they have the names that the author wrote: whatever is followed by a
parenthesis has to be a word of the grammar, a type, a relation with a list of columns, or a function that the first
reading has found and allowed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warehouse.private_cache import Stamps
from warehouse.queries.allowed_functions import ALLOWED, CLOCK_AND_SESSION_NAMES

if TYPE_CHECKING:
    from sqlglot import exp

#: Words that may stand before a parenthesis and call nothing, and the functions that are part of the grammar.
_GRAMMAR = frozenset(
    """
    all and any array as asof between by case cast coalesce collate columns cross cube distinct else end escape
    except exclude exists extract filter from full group grouping grouping_id having if ifnull ilike in inner intersect
    interval is join lambda lateral left like limit materialized natural not nullif offset on or order outer over
    partition position qualify rename replace right rollup select semi anti sets similar some struct then to try
    try_cast unpack union using values when where with within
    """.split()
)
#: Types that take arguments.
_TYPES = frozenset(
    """
    bit bpchar char dec decimal enum map numeric row string struct text time timestamp timestamptz union varchar
    """.split()
)
#: What DuckDB's parser makes of names that the author may write.
_READ_AS = {
    "count": {"count_star"},
    "date_part": {"date_part"},
    "glob": {"~~~"},
    "overlay": {"overlay"},
    "percentile_cont": {"quantile_cont"},
    "percentile_disc": {"quantile_disc"},
}


@dataclass
class Seen:
    """What the first reading found in a query: names in lower case.

    Attributes
    ----------
    with_columns
        Relations that are followed by a list of their columns' names.
    """

    tables: set[str] = field(default_factory=set)
    ctes: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    with_columns: set[str] = field(default_factory=set)

    def note_columns_of(self, relation: str, columns: Collection[str]) -> None:
        """Note a relation whose columns the query names anew."""
        if columns:
            self.with_columns.add(relation.lower())


def disagreements(text: str, where: str, seen: Seen) -> list[str]:
    """Read a query with sqlglot too, and say where that differs from what was seen.

    Each query once: that sqlglot agreed is remembered from process to process. To import it takes as long as to check
    a dozen queries with it, and most commands read definitions in which nothing has changed.
    """
    found = (seen.tables, seen.ctes, seen.functions, seen.with_columns)
    parts = (_OWN_CODE, _sqlglot(), text, *map(sorted, found))
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    if digest in _agreed:
        return []
    problems = _compare(text, where, seen)
    if not problems:
        _agreed.add(digest)
    return problems


@cache
def _sqlglot() -> str:
    return importlib.metadata.version("sqlglot")


#: The code that compares, as it was loaded.
_OWN_CODE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
#: Queries that both parsers read alike.
_agreed = Stamps("queries")


def _compare(text: str, where: str, seen: Seen) -> list[str]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.dialects.duckdb import DuckDB
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(text, read="duckdb")
        tokens = DuckDB().tokenize(text)
    except SqlglotError as error:
        return [f"{where}: sqlglot cannot read this query, so it cannot be vouched for: {str(error).splitlines()[0]}"]
    kept = [statement for statement in statements if statement is not None]
    if len(kept) != 1 or not isinstance(kept[0], exp.Query):
        return [f"{where}: expected one SELECT; sqlglot reads {[type(item).__name__ for item in kept]}."]
    return _differing_tables(kept[0], where, seen) or _differing_functions(kept[0], tokens, where, seen)


def _differing_tables(query: exp.Query, where: str, seen: Seen) -> list[str]:
    from sqlglot import exp

    found = set()
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier):
            if table.db or table.catalog:
                return [f"{where}: the table {table.sql('duckdb')} is qualified; write the bare name."]
            found.add(table.name.lower())
    if found - seen.ctes != seen.tables - seen.ctes:
        return [
            f"{where}: the two parsers disagree on the tables that are read ({sorted(seen.tables)} and"
            f" {sorted(found - seen.ctes)}); write the query more plainly."
        ]
    return []


def _differing_functions(query: exp.Query, tokens: list[Any], where: str, seen: Seen) -> list[str]:
    called = _called(tokens)
    relations = {name for name in seen.with_columns if name in ALLOWED or not _is_function(name)}
    unseen = {
        name
        for name in called - _GRAMMAR - _TYPES - relations - seen.functions
        if not (_READ_AS.get(name, set()) & seen.functions)
    }
    unseen |= _without_parentheses(query)
    if unseen:
        return [
            f"{where}: the two parsers disagree on the functions that are called: {', '.join(sorted(unseen))}; write"
            " the query more plainly."
        ]
    return []


def _called(tokens: Iterable[Any]) -> set[str]:
    """Give every name or word that is followed by a parenthesis; of `GROUP BY`, which is one token, the last word."""
    return {
        str(name.text).lower().split()[-1]
        for name, following in itertools.pairwise(tokens)
        if following.token_type.name == "L_PAREN" and _is_name(name)
    }


def _is_name(token: Any) -> bool:
    text = str(token.text)
    return token.token_type.name != "STRING" and (text[:1].isalpha() or text[:1] == "_")


def _without_parentheses(query: exp.Query) -> set[str]:
    """Give the clock's and the session's names that are called without parentheses."""
    from sqlglot import exp

    functions = {name.lower() for node in query.find_all(exp.Func) for name in node.sql_names() or ()}
    columns = {column.name.lower() for column in query.find_all(exp.Column)}
    return (functions | columns) & CLOCK_AND_SESSION_NAMES


def _is_function(name: str) -> bool:
    """Tell whether DuckDB has a function of a name."""
    return name in _functions()


@cache
def _functions() -> frozenset[str]:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        return frozenset(
            row[0] for row in connection.execute("SELECT lower(function_name) FROM duckdb_functions()").fetchall()
        )
