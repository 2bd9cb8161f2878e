"""DuckDB's own parser and binder, put to use on an author's query without running it.

Recognition works on the tree that DuckDB itself parses (`json_serialize_sql`) and prints expressions with
DuckDB's own printer (`json_deserialize_sql`), because other generators change the meaning of some DuckDB
SQL. A printed expression is parsed again and must give the same tree. Types and names come from DESCRIBE
over empty tables. Nothing here reads the author's data.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

import duckdb

from warehouse.batching.syntax.shapes import AS_OF, NotUnderstood
from warehouse.system_sql import quote

Node = dict[str, Any]

# Stands in for a column's name while an expression is printed.
MASK = "range_masked_"

# Pure to DuckDB's catalogue, yet they look at the session or at the clock (`age` when given one argument).
IMPURE = frozenset({"age", "current_localtime", "current_localtimestamp", "current_setting", "getenv", "getvariable"})
# Macros are expanded by the binder; of DuckDB's own, this one is understood.
MACROS = frozenset({"nullif"})


class Workbench:
    """A DuckDB in memory in which a query is parsed, printed and bound. Use as a context manager.

    The instance is the process's own; a bench is a connection to it, and its tables are its own and go with it.
    """

    def __enter__(self) -> Workbench:
        self._connection = _instance().cursor()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._template = self._parsed("SELECT 1")
        self._tables: tuple[str, ...] = ()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def parse(self, query: str) -> Node:
        """Parse one SELECT and return its node; anything else is not understood."""
        node = self.statement(query)
        if node["type"] != "SELECT_NODE":
            raise NotUnderstood("it is not one plain SELECT")
        return node

    def statement(self, query: str) -> Node:
        """Parse one query, of several SELECTs put together or of one, and return its node."""
        tree = self._parsed(query)
        if tree["error"]:
            raise NotUnderstood(f"DuckDB cannot parse it as a SELECT ({tree['error_message']})")
        if len(tree["statements"]) != 1:
            raise NotUnderstood("it is more than one statement")
        node: Node = tree["statements"][0]["node"]
        return node

    def expression(self, text: str) -> Node:
        """Parse one expression of our own."""
        expression: Node = self.parse(f"SELECT {text}")["select_list"][0]
        return expression

    def relation(self, query: str) -> Node:
        """Parse the FROM clause of a query of our own."""
        relation: Node = self.parse(query)["from_table"]
        return relation

    def printed(self, node: Node) -> str:
        """Print a whole query as SQL that DuckDB parses to the same tree."""
        tree = copy.deepcopy(self._template)
        tree["statements"][0]["node"] = node
        try:
            text = str(self.value("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]))
        except duckdb.Error as error:
            raise NotUnderstood("it holds something that DuckDB cannot print") from error
        if signature(_flat(self.statement(text))) != signature(_flat(node)):
            raise NotUnderstood("DuckDB prints it differently from how it was written")
        return text

    def is_aggregate(self, name: str) -> bool:
        """Tell whether a function aggregates, in any of its forms."""
        return any(kind == "aggregate" for kind, _ in _overloads().get(name.lower(), ()))

    def text(self, expression: Node) -> str:
        """Print an expression as SQL that DuckDB parses to the same tree.

        Columns are printed in quotes: DuckDB 1.5 leaves some keywords bare (`at`) and cannot read them back.
        """
        written = signature(expression)
        if written not in _texts:
            _texts[written] = self._printed_and_read_back(expression, written)
        return _texts[written]

    def _printed_and_read_back(self, expression: Node, written: str) -> str:
        names: list[str] = []

        def masked(node: Node) -> Node:
            if node["class"] != "COLUMN_REF":
                return rebuilt(node, masked)
            names.append(".".join(map(quote, node["column_names"])))
            return column(f"{MASK}{len(names) - 1}_")

        tree = copy.deepcopy(self._template)
        tree["statements"][0]["node"]["select_list"] = [{**masked(expression), "alias": ""}]
        try:
            printed = str(self.value("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]))
        except duckdb.Error as error:
            raise NotUnderstood("it holds a literal that DuckDB cannot print") from error
        text = re.sub(rf"{MASK}(\d+)_", lambda found: names[int(found[1])], printed.removeprefix("SELECT "))
        if len(text.splitlines()) != 1:
            raise NotUnderstood("it holds a line break within a literal or a name")
        if signature(self.parse(f"SELECT {text}")["select_list"][0]) != written:
            raise NotUnderstood(f"DuckDB prints {text} differently from how it was written")
        return text

    def create_table(self, name: str, columns: Mapping[str, str]) -> None:
        """Make an empty table with these columns, to bind against."""
        inside = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
        self._tables += (name, inside)
        self._connection.execute(f"CREATE TEMP TABLE {quote(name)} ({inside})")

    def columns(self, query: str, as_of: datetime | None = None) -> list[tuple[str, str]]:
        """Bind a query and return the names and types of its result."""
        asked = (self._tables, query, as_of)
        if asked not in _bound:
            try:
                found = self._connection.execute(f"DESCRIBE {query}", {AS_OF: as_of} if as_of else None).fetchall()
            except duckdb.Error as error:
                raise NotUnderstood(f"DuckDB cannot bind it ({str(error).splitlines()[0]})") from error
            _bound[asked] = [(str(row[0]), str(row[1])) for row in found]
        return _bound[asked]

    def kinds_of(self, names: Iterable[str]) -> dict[str, str]:
        """Say for each function name what it is: 'aggregate', 'scalar' (pure), or 'other'."""
        return {name: _kind(name, _overloads().get(name, frozenset())) for name in names}

    def value(self, query: str, values: list[str] | None = None) -> Any:
        """Run a query over nothing but constants and return its only value."""
        row = self._connection.execute(query, values).fetchone()
        return row[0] if row else None

    def _parsed(self, query: str) -> Node:
        tree: Node = json.loads(self.value("SELECT json_serialize_sql(?::VARCHAR)", [query]))
        return tree


#: What expressions were printed as, by their signatures, and the columns of queries, by the tables that they were bound
#: against: the feature groups of a product ask for the same ones over and over, at half a millisecond each.
_texts: dict[str, str] = {}
_bound: dict[tuple[tuple[str, ...], str, datetime | None], list[tuple[str, str]]] = {}


@functools.cache
def _instance() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


@functools.cache
def _overloads() -> dict[str, frozenset[tuple[str, str]]]:
    """Give the type and the stability of each form of each of DuckDB's functions."""
    found: dict[str, set[tuple[str, str]]] = {}
    query = "SELECT function_name, function_type, coalesce(stability, '') FROM duckdb_functions()"
    for name, kind, stability in _instance().cursor().execute(query).fetchall():
        found.setdefault(str(name), set()).add((str(kind), str(stability)))
    return {name: frozenset(forms) for name, forms in found.items()}


def _flat(value: Any) -> Any:
    """Undo what DuckDB's printer does to a list of VALUES: it puts a SELECT * around it."""
    if isinstance(value, list):
        return [_flat(item) for item in value]
    if not isinstance(value, dict):
        return value
    flat = {key: _flat(inner) for key, inner in value.items()}
    if flat.get("type") == "SUBQUERY" and not flat.get("column_name_alias") and isinstance(flat.get("subquery"), dict):
        inner = flat["subquery"]["node"].get("from_table") or {}
        if inner.get("type") == "EXPRESSION_LIST" and inner["alias"] == flat["alias"]:
            return inner
    return flat


def _kind(name: str, overloads: frozenset[tuple[str, str]]) -> str:
    kinds = {kind for kind, _ in overloads}
    if kinds == {"aggregate"}:
        return "aggregate"
    if name in MACROS and kinds == {"macro"}:
        return "scalar"
    is_pure = {stability for _, stability in overloads} == {"CONSISTENT"} and name not in IMPURE
    return "scalar" if kinds == {"scalar"} and is_pure else "other"


def children(node: Node) -> list[Node]:
    """Return the expressions directly inside an expression (or inside a part of one), in order."""
    found: list[Node] = []
    pending: list[Any] = list(node.values())[::-1]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "class" in value:
                found.append(value)
            else:
                pending.extend(list(value.values())[::-1])
        elif isinstance(value, list):
            pending.extend(value[::-1])
    return found


def walk(node: Node) -> Iterable[Node]:
    """Yield an expression and all that it is made of."""
    yield node
    for child in children(node):
        yield from walk(child)


def signature(node: Node) -> str:
    """Give a text that two expressions share exactly when DuckDB parses them alike, wherever they stand."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(inner) for key, inner in value.items() if key != "query_location"}
        return [bare(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(bare({**node, "alias": ""}), sort_keys=True)


def column(name: str) -> Node:
    """Make a reference to a column."""
    return {
        "class": "COLUMN_REF",
        "type": "COLUMN_REF",
        "alias": "",
        "query_location": 0,
        "column_names": [name],
    }


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """Copy an expression with each expression directly inside it replaced by what `change` makes of it."""

    def part(value: Any) -> Any:
        if isinstance(value, dict):
            return change(value) if "class" in value else {key: part(inner) for key, inner in value.items()}
        return [part(inner) for inner in value] if isinstance(value, list) else value

    return {key: part(value) for key, value in node.items()}
