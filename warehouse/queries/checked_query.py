"""An author's query, checked before it may run: one SELECT, over known names, with functions known to be safe.

Two parsers look at it. DuckDB's own (`json_serialize_sql`) decides: every kind of node and every function must
be known to this module, and what is not understood is refused. sqlglot's reading must then agree on the names
of the tables. Nothing is rewritten: the author's text runs as it stands, against a sandbox.

Left to others: what the names resolve to (`warehouse.sandbox`), and which rows they show.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from warehouse.errors import QueryRefused
from warehouse.private_cache import Stamps
from warehouse.queries.allowed_functions import (
    ALLOWED,
    CLOCK_AND_SESSION_NAMES,
    FILE_READERS,
    ORDERED_AGGREGATES,
    TABLE_FUNCTIONS,
    WINDOW_FUNCTIONS,
)

#: What may stand in a query besides expressions: DuckDB's query nodes, table references and modifiers.
_NODES = frozenset(
    """
    SELECT_NODE SET_OPERATION_NODE BASE_TABLE JOIN SUBQUERY EMPTY TABLE_FUNCTION EXPRESSION_LIST
    COLUMN_DATA LIMIT_MODIFIER ORDER_MODIFIER DISTINCT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING
    """.split()
)
#: The classes of expressions.
_EXPRESSIONS = frozenset(
    """
    COLUMN_REF FUNCTION COMPARISON CONJUNCTION CONSTANT OPERATOR CASE CAST BETWEEN STAR PARAMETER LAMBDA
    LAMBDA_REF WINDOW SUBQUERY COLLATE POSITIONAL_REFERENCE
    """.split()
)
#: Parts of the tree that hold data types and constants, and no names or functions.
_LEAVES = frozenset({"cast_type", "value", "type_info"})
_JOIN_KINDS = frozenset({"REGULAR", "NATURAL", "CROSS", "ASOF"})
#: Ranking without an order numbers the rows as they happen to come.
_NEED_ORDER = frozenset(
    """
    WINDOW_ROW_NUMBER WINDOW_FIRST_VALUE WINDOW_LAST_VALUE WINDOW_NTH_VALUE WINDOW_LEAD WINDOW_LAG
    WINDOW_NTILE WINDOW_FILL
    """.split()
)


@dataclass(frozen=True)
class CheckedQuery:
    """A query that passed. `tables` are the names that it reads, lower-cased, its own CTEs left out."""

    where: str
    text: str
    tables: frozenset[str]
    parameters: frozenset[str]
    fingerprint: str
    tree: str

    def bound(self, **values: object) -> dict[str, object]:
        """Pick the parameters that this query uses out of those on offer."""
        return {name: value for name, value in values.items() if name in self.parameters}


def fingerprint_of(*parts: object) -> str:
    """Hash a definition's meaning: 16 hex digits of SHA-256 over its parts as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def check_query(
    text: str, where: str, *, tables: Collection[str], parameters: Collection[str], reads_files: bool = False
) -> CheckedQuery:
    """Check an author's query, and refuse what is not understood.

    Parameters
    ----------
    text
        The statement; lines are counted from its first, so hand in the file with its header blanked out.
    where
        The file as shown to people.
    tables
        The names that it may read. A source's file reads none, and `reads_files` allows the file readers.
    parameters
        The parameters that are bound when it runs.

    Raises
    ------
    QueryRefused
        With every reason that was found, each with the line where it can be had.
    """
    tree = _parse(text, where)
    inspection = _Inspection(text, where, {name.lower() for name in tables}, set(parameters), reads_files)
    inspection.walk(tree, frozenset())
    problems = inspection.problems or _disagreements(inspection)
    if problems:
        raise QueryRefused(problems)
    stripped = json.dumps(_without_positions(tree), sort_keys=True)
    return CheckedQuery(
        where=where,
        text=text,
        tables=frozenset(inspection.tables),
        parameters=frozenset(inspection.found_parameters),
        fingerprint=fingerprint_of(stripped),
        tree=stripped,
    )


def check_expression(text: str, where: str) -> None:
    """Check one scalar SQL expression of a header (`known_at`, a rule) by the same rules, over no table."""
    check_query(f"SELECT ({text}\n) FROM delivery", where, tables={"delivery"}, parameters=())


@cache
def _parser() -> Any:
    import duckdb

    return duckdb.connect(":memory:")


def _parse(text: str, where: str) -> dict[str, Any]:
    import duckdb

    connection = _parser().cursor()
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise QueryRefused(f"{where}: {_with_file_line(str(error), text)}") from error
    if len(statements) != 1:
        raise QueryRefused(f"{where}: expected one SELECT, found {len(statements)} statements; keep one.")
    row = connection.execute("SELECT json_serialize_sql($1)", [text]).fetchone()
    parsed = json.loads(row[0])
    if parsed.get("error"):
        raise QueryRefused(
            f"{where}: expected one plain SELECT: {parsed['error_message']} (found"
            f" {statements[0].type.name}, or a PIVOT). Write it as SELECT ... FROM ..., and a pivot with FILTER."
        )
    node: dict[str, Any] = parsed["statements"][0]["node"]
    return node


def _with_file_line(message: str, text: str) -> str:
    """Shorten DuckDB's parser error to its first sentence and the line that it points at."""
    first = message.split("\n")[0].removeprefix("Parser Error: ")
    for part in message.split("\n"):
        if part.startswith("LINE "):
            number, _, shown = part.removeprefix("LINE ").partition(":")
            return f"line {number}: {first} in `{shown.strip()}`"
    return f"line {text.count(chr(10)) + 1}: {first}"


def _without_positions(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_positions(value) for key, value in node.items() if key != "query_location"}
    if isinstance(node, list):
        return [_without_positions(item) for item in node]
    return node


def _disagreements(inspection: _Inspection) -> list[str]:
    """Read the query with sqlglot too: both parsers must see the same tables, all of them unqualified.

    Each query once: that sqlglot agreed is remembered from process to process. To import it takes as long as to check
    a dozen queries with it, and most commands read definitions in which nothing has changed.
    """
    parts = (_OWN_CODE, _sqlglot(), inspection.text, sorted(inspection.tables), sorted(inspection.cte_names))
    found = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    if found in _agreed:
        return []
    problems = _compare_with_sqlglot(inspection.text, inspection.where, inspection.tables, inspection.cte_names)
    if not problems:
        _agreed.add(found)
    return problems


@cache
def _sqlglot() -> str:
    return importlib.metadata.version("sqlglot")


#: The code that compares, as it was loaded.
_OWN_CODE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
#: Queries that both parsers read alike.
_agreed = Stamps("queries")


def _compare_with_sqlglot(text: str, where: str, tables: set[str], cte_names: set[str]) -> list[str]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(text, read="duckdb")
    except SqlglotError as error:
        return [f"{where}: sqlglot cannot read this query, so it cannot be vouched for: {str(error).splitlines()[0]}"]
    kept = [statement for statement in statements if statement is not None]
    if len(kept) != 1 or not isinstance(kept[0], exp.Query):
        return [f"{where}: expected one SELECT; sqlglot reads {[type(item).__name__ for item in kept]}."]
    seen = set()
    for table in kept[0].find_all(exp.Table):
        if isinstance(table.this, exp.Identifier):
            if table.db or table.catalog:
                return [f"{where}: the table {table.sql('duckdb')} is qualified; write the bare name."]
            seen.add(table.name.lower())
    if seen - cte_names != tables - cte_names:
        return [
            f"{where}: the two parsers disagree on the tables that are read ({sorted(tables)} and"
            f" {sorted(seen - cte_names)}); write the query more plainly."
        ]
    return []


class _Inspection:
    """One walk over DuckDB's syntax tree, collecting names and everything that is not allowed."""

    def __init__(self, text: str, where: str, known: set[str], parameters: set[str], reads_files: bool) -> None:
        self.text, self.where = text, where
        self.known, self.parameters, self.reads_files = known, parameters, reads_files
        self.tables: set[str] = set()
        self.cte_names: set[str] = set()
        self.found_parameters: set[str] = set()
        self.problems: list[str] = []

    def refuse(self, node: dict[str, Any], why: str) -> None:
        location = node.get("query_location")
        encoded = self.text.encode()
        has_line = isinstance(location, int) and 0 <= location < len(encoded)
        line = encoded[:location].count(b"\n") + 1 if has_line else None
        problem = f"{self.where}:{line}: {why}" if line else f"{self.where}: {why}"
        if problem not in self.problems:
            self.problems.append(problem)

    def walk(self, node: Any, ctes: frozenset[str]) -> None:
        """Visit a node and all below it; `ctes` are the names of the CTEs in scope."""
        if isinstance(node, list):
            for item in node:
                self.walk(item, ctes)
        if not isinstance(node, dict):
            return
        for entry in (node.get("cte_map") or {}).get("map", []):
            # In scope order: a CTE may read those declared before it, and a table of its own name.
            self.walk(entry["value"]["query"], ctes)
            ctes |= {str(entry["key"]).lower()}
        self.cte_names |= ctes
        if isinstance(node.get("type"), str):
            self._visit(node, ctes)
        if node.get("sample") is not None:
            self.refuse(node, "a sample differs from run to run; remove USING SAMPLE or TABLESAMPLE.")
        for key, value in node.items():
            if key != "cte_map" and not (key in _LEAVES and isinstance(value, dict)):
                self.walk(value, ctes)

    def _visit(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        kind, expression = node["type"], node.get("class")
        visitors = {
            "BASE_TABLE": self._table,
            "TABLE_FUNCTION": self._table_function,
            "FUNCTION": self._function,
            "COLUMN_REF": self._column,
            "PARAMETER": self._parameter,
            "JOIN": self._join,
            "WINDOW": self._window,
        }
        if visitor := visitors.get(expression or kind):
            visitor(node, scope)
        elif (expression not in _EXPRESSIONS) if expression else (kind not in _NODES):
            self.refuse(
                node,
                f"{_plain_name(kind)} is not something that the sandbox understands; write it otherwise.",
            )
        if "modifiers" in node:
            self._modifiers(node)

    def _table(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        name = str(node["table_name"])
        if node.get("schema_name") or node.get("catalog_name"):
            parts = (node.get("catalog_name"), node.get("schema_name"), name)
            shown = ".".join(part for part in parts if part)
            self.refuse(node, f"the table `{shown}` is qualified; the sandbox has bare names only: write `{name}`.")
        elif node.get("at_clause") is not None:
            self.refuse(node, f"`{name}` is read AT another version; a page sees what was known at $as_of.")
        elif name.lower() in scope:
            return
        elif name.lower() not in self.known:
            near = difflib.get_close_matches(name.lower(), sorted(self.known | scope), n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            allowed = ", ".join(sorted(self.known)) or "none"
            self.refuse(node, f"there is no table `{name}`.{hint} It may read: {allowed}.")
        else:
            self.tables.add(name.lower())

    def _table_function(self, node: dict[str, Any], _: frozenset[str]) -> None:
        name = str(node["function"].get("function_name", "")).lower()
        allowed = TABLE_FUNCTIONS | (FILE_READERS if self.reads_files else frozenset())
        if name not in allowed:
            self.refuse(node, f"the table function `{name}` is not allowed; allowed: {', '.join(sorted(allowed))}.")

    def _function(self, node: dict[str, Any], _: frozenset[str]) -> None:
        name = str(node["function_name"]).lower()
        allowed = ALLOWED | (FILE_READERS if self.reads_files else frozenset())
        if (node.get("schema") or "main") != "main" or (node.get("catalog") or "system") != "system":
            self.refuse(node, f"the function `{name}` is qualified; write the bare name.")
        elif name not in allowed:
            near = difflib.get_close_matches(name, sorted(allowed), n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            self.refuse(
                node,
                f"the function `{name}` is not on the list of those that depend on nothing but their arguments.{hint}",
            )
        elif name in ORDERED_AGGREGATES and not (node.get("order_bys") or {}).get("orders"):
            self.refuse(node, f"`{name}` takes rows as they happen to come; give it an order: {name}(x ORDER BY ...).")

    def _window(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        kind = node["type"]
        if kind not in WINDOW_FUNCTIONS:
            self.refuse(node, f"the window function {_plain_name(kind)} is not known to the sandbox.")
        elif kind == "WINDOW_AGGREGATE":
            name = str(node["function_name"]).lower()
            if name not in ALLOWED:
                self._function({**node, "type": "FUNCTION"}, scope)
            elif name in ORDERED_AGGREGATES and not node.get("orders"):
                self.refuse(node, f"`{name}` over a window needs an ORDER BY in it.")
        elif kind in _NEED_ORDER and not node.get("orders") and not node.get("arg_orders"):
            self.refuse(node, f"{_plain_name(kind)} over rows without an order; add ORDER BY to its window.")

    def _column(self, node: dict[str, Any], _: frozenset[str]) -> None:
        names = [str(part).lower() for part in node["column_names"]]
        if names[-1] in CLOCK_AND_SESSION_NAMES:
            self.refuse(
                node,
                f"`{names[-1]}` depends on the clock or the session; use $as_of, or another column name.",
            )

    def _parameter(self, node: dict[str, Any], _: frozenset[str]) -> None:
        name = str(node["identifier"])
        self.found_parameters.add(name)
        if name not in self.parameters:
            offered = ", ".join(f"${item}" for item in sorted(self.parameters)) or "none"
            self.refuse(node, f"the parameter ${name} is not bound here; there is: {offered}.")

    def _join(self, node: dict[str, Any], _: frozenset[str]) -> None:
        if node.get("ref_type") not in _JOIN_KINDS:
            self.refuse(node, f"a {node.get('ref_type')} join pairs rows as they happen to come; join on a condition.")

    def _modifiers(self, node: dict[str, Any]) -> None:
        kinds = {modifier.get("type") for modifier in node.get("modifiers", [])}
        if kinds & {"LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"} and "ORDER_MODIFIER" not in kinds:
            self.refuse(node, "LIMIT without ORDER BY takes rows as they happen to come; add an ORDER BY.")
        for modifier in node.get("modifiers", []):
            on = modifier.get("distinct_on_targets")
            if modifier.get("type") == "DISTINCT_MODIFIER" and on and "ORDER_MODIFIER" not in kinds:
                self.refuse(node, "DISTINCT ON without ORDER BY takes rows as they happen to come; add an ORDER BY.")


def _plain_name(kind: str) -> str:
    return kind.removeprefix("WINDOW_").removesuffix("_NODE").replace("_", " ").lower()
