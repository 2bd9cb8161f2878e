"""An author's query, checked before it may run: one SELECT, over known names, with functions known to be safe.

Two parsers look at it. DuckDB's own (`json_serialize_sql`) decides: every node of its tree is visited by the grammar
of `syntax_tree`, every function must be on the list, and what is not understood is refused. sqlglot's reading must then
agree on the tables and functions (`second_parser`). Nothing is rewritten: the author's text runs as it stands, against
a sandbox.

Left to others: what the names resolve to, and which rows they show (`warehouse.sandbox`), and whether the plan that
DuckDB makes of a query scans anything else (`bound_plans`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from warehouse.errors import QueryRefused
from warehouse.queries.allowed_functions import (
    ALLOWED,
    CLOCK_AND_SESSION_NAMES,
    FILE_READERS,
    FORMATTING,
    ORDERED_AGGREGATES,
    TABLE_FUNCTIONS,
    WINDOW_FUNCTIONS,
    is_short_format,
)
from warehouse.queries.orders import Scope, constant_columns, orders, orders_result, scope_of
from warehouse.queries.second_parser import Seen, disagreements
from warehouse.queries.syntax_tree import EXPRESSION, QUERY, RELATION, STATEMENT, Node, fault, names, parts, plain_name
from warehouse.queries.wrong_answers import refused_window

#: What names of the suite's own begin with, such as the columns that rewriting adds; authors cannot give them.
RESERVED = "almanac:"
#: What DuckDB's parser makes of list(x ORDER BY x), and others may write: the order in which the list came is gone.
_SORTING = frozenset({"list_sort", "list_reverse_sort", "array_sort"})
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
    """A query that passed.

    Attributes
    ----------
    tables
        The names that it reads, lower-cased, its own CTEs left out.
    n_reads
        How often each of them is named.
    functions
        The functions that it calls, lower-cased, those in FROM left out.
    """

    where: str
    text: str
    tables: frozenset[str]
    parameters: frozenset[str]
    fingerprint: str
    tree: str
    n_reads: Mapping[str, int] = field(default_factory=dict, compare=False)
    functions: frozenset[str] = frozenset()

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
    return _checked(text, where, frozenset(map(str.lower, tables)), frozenset(parameters), reads_files)


@lru_cache(maxsize=2048)  # a process reads the same definitions again and again
def _checked(text: str, where: str, *allowed: Any) -> CheckedQuery:
    tree = _parse(text, where)
    inspection = _Inspection(text, where, *allowed)
    inspection.find_faults(QUERY, tree)
    if not inspection.problems:
        inspection.walk(QUERY, tree, {}, Scope())
    problems = inspection.problems or disagreements(text, where, inspection.seen)
    if problems:
        raise QueryRefused(problems)
    stripped = json.dumps(_without_positions(tree), sort_keys=True)
    return CheckedQuery(
        where=where,
        text=text,
        tables=frozenset(inspection.seen.tables),
        parameters=frozenset(inspection.found_parameters),
        fingerprint=fingerprint_of(stripped),
        tree=stripped,
        n_reads=dict(inspection.n_reads),
        functions=frozenset(inspection.called),
    )


def check_expression(text: str, where: str) -> None:
    """Check one scalar SQL expression of a header (`known_at`, a rule) at a line that `where` names, over no table."""
    try:
        check_query(f"SELECT ({text}\n) FROM delivery", "", tables={"delivery"}, parameters=())
    except QueryRefused as error:
        raise QueryRefused([f"{where}: {re.sub(r'^:?[0-9]*: ', '', one)}" for one in error.problems]) from error


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
        raise QueryRefused(_with_file_line(where, str(error), text)) from error
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


def _with_file_line(where: str, message: str, text: str) -> str:
    """Shorten DuckDB's parser error to its first sentence, with the line that it points at."""
    first = message.split("\n")[0].removeprefix("Parser Error: ")
    for part in message.split("\n"):
        if part.startswith("LINE "):
            number, _, shown = part.removeprefix("LINE ").partition(":")
            return f"{where}:{number}: {first} in `{shown.strip()}`"
    return f"{where}:{text.count(chr(10)) + 1}: {first}"


def _without_positions(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_positions(value) for key, value in node.items() if key != "query_location"}
    if isinstance(node, list):
        return [_without_positions(item) for item in node]
    return node


#: The names of the CTEs in scope, each with those of its columns that are the same in each row.
_Ctes = Mapping[str, frozenset[str]]


class _Inspection:
    """One walk over DuckDB's syntax tree, collecting names and everything that is not allowed."""

    def __init__(
        self, text: str, where: str, known: frozenset[str], parameters: frozenset[str], reads_files: bool
    ) -> None:
        self.text, self.where, self.seen = text, where, Seen()
        self.known, self.parameters, self.reads_files = known, parameters, reads_files
        self.n_reads: Counter[str] = Counter()
        self.found_parameters: set[str] = set()
        self.problems: list[str] = []
        self._sorted: set[int] = set()
        self.called: set[str] = set()

    def refuse(self, node: Node, why: str) -> None:
        location = node.get("query_location")
        encoded = self.text.encode()
        has_line = isinstance(location, int) and 0 <= location < len(encoded)
        line = encoded[:location].count(b"\n") + 1 if has_line else None
        problem = f"{self.where}:{line}: {why}" if line else f"{self.where}: {why}"
        if problem not in self.problems:
            self.problems.append(problem)

    def find_faults(self, sort: str, node: Node) -> None:
        """Refuse whatever is not in the grammar, before anything is made of the tree."""
        if isinstance(node, dict) and node.get("sample") is not None:
            self.refuse(node, "a sample differs from run to run; remove USING SAMPLE or TABLESAMPLE.")
        elif isinstance(node, dict) and node.get("at_clause") is not None:
            name = node["table_name"]
            self.refuse(node, f"`{name}` is read AT another version; a page sees what was known at $as_of.")
        elif found := fault(sort, node):
            where = node if isinstance(node, dict) else {}
            self.refuse(where, f"{found} is not something that the sandbox understands; write it otherwise.")
        else:
            for name in names(sort, node):
                if name.lower().startswith(RESERVED):
                    self.refuse(node, f"names that begin with `{RESERVED}`, such as `{name}`, are the suite's own.")
            for _, inner, child in parts(sort, node):
                self.find_faults(inner, child)

    def walk(self, sort: str, node: Node, ctes: _Ctes, scope: Scope) -> None:
        """Visit a node without faults and all below it.

        Parameters
        ----------
        ctes
            Those in scope.
        scope
            What names mean in the SELECT that the node is in.
        """
        if sort == QUERY:
            ctes = self._ctes(node, ctes, scope)
            scope = scope_of(node, ctes) if node["type"] == "SELECT_NODE" else Scope()
            self._modifiers(node, scope)
        elif sort == RELATION:
            self.seen.note_columns_of(node.get("alias") or "", node.get("column_name_alias") or ())
            self._relation(node, ctes)
        elif sort == EXPRESSION:
            self._expression(node, scope)
        for key, inner, child in parts(sort, node):
            if key != "cte_map":
                self.walk(inner, child, ctes, scope)
            # In FROM they stream, and are ended like any other work.
            if inner == EXPRESSION and child["class"] == "FUNCTION" and node.get("type") != "TABLE_FUNCTION":
                self.called.add(str(child["function_name"]).lower())

    def _ctes(self, node: Node, ctes: _Ctes, scope: Scope) -> _Ctes:
        """Visit a query's CTEs; a CTE may read those declared before it, and a table of its own name."""
        found = dict(ctes)
        for entry in node["cte_map"]["map"]:
            value, name = entry["value"], str(entry["key"]).lower()
            self.walk(STATEMENT, value["query"], found, scope)
            for target in value["key_targets"]:
                self.walk(EXPRESSION, target, found, scope)
            self.seen.note_columns_of(name, value["aliases"])
            is_plain = not value["aliases"]
            found[name] = constant_columns(value["query"]["node"], found) if is_plain else frozenset()
        self.seen.ctes |= found.keys()
        return found

    def _relation(self, node: Node, ctes: _Ctes) -> None:
        if node["type"] == "BASE_TABLE":
            self._table(node, ctes)
        elif node["type"] == "TABLE_FUNCTION":
            self._table_function(node)
        elif node["type"] == "JOIN" and node["ref_type"] not in _JOIN_KINDS:
            self.refuse(node, f"a {node['ref_type']} join pairs rows as they happen to come; join on a condition.")

    def _expression(self, node: Node, scope: Scope) -> None:
        if node["class"] == "FUNCTION":
            self._function(node, scope)
        elif node["class"] == "WINDOW":
            self._window(node, scope)
        elif node["class"] == "COLUMN_REF":
            self._column(node)
        elif node["class"] == "PARAMETER":
            self._parameter(node)

    def _table(self, node: Node, ctes: _Ctes) -> None:
        name = str(node["table_name"])
        if node.get("schema_name") or node.get("catalog_name"):
            parts = (node.get("catalog_name"), node.get("schema_name"), name)
            shown = ".".join(part for part in parts if part)
            self.refuse(node, f"the table `{shown}` is qualified; the sandbox has bare names only: write `{name}`.")
        elif name.lower() in ctes:
            return
        elif name.lower() not in self.known:
            near = difflib.get_close_matches(name.lower(), sorted(self.known | ctes.keys()), n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            allowed = ", ".join(sorted(self.known)) or "none"
            self.refuse(node, f"there is no table `{name}`.{hint} It may read: {allowed}.")
        else:
            self.seen.tables.add(name.lower())
            self.n_reads[name.lower()] += 1

    def _table_function(self, node: Node) -> None:
        function = node["function"]
        name = str(function.get("function_name", "")).lower()
        allowed = TABLE_FUNCTIONS | (FILE_READERS if self.reads_files else frozenset())
        if function.get("class") != "FUNCTION" or name not in allowed:
            self.refuse(node, f"the table function `{name}` is not allowed; allowed: {', '.join(sorted(allowed))}.")

    def _function(self, node: Node, scope: Scope) -> None:
        name = str(node["function_name"]).lower()
        self.seen.functions.add(name)
        if name in _SORTING and node["children"]:
            self._sorted.add(id(node["children"][0]))
        ordered = [order["expression"] for order in (node.get("order_bys") or {}).get("orders", [])]
        is_listed = self._is_listed(node, name)
        if name in FORMATTING and is_listed and not is_short_format(node):
            self.refuse(
                node, f"`{name}` may make a text of any length; give it a constant format without large widths."
            )
        if id(node) in self._sorted or not is_listed or name not in ORDERED_AGGREGATES:
            return
        if not orders(ordered, scope, scope.groups):
            why = "the one that it has tells no rows of a group apart" if ordered else "give it an order"
            self.refuse(node, f"`{name}` takes rows as they happen to come; {why}: {name}(x ORDER BY ...).")

    def _is_listed(self, node: Node, name: str) -> bool:
        """Refuse a function that is not on the list."""
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
        elif node.get("export_state"):
            self.refuse(node, f"`{name}` gives its inner state; leave EXPORT_STATE out.")
        else:
            return True
        return False

    def _window(self, node: Node, scope: Scope) -> None:
        kind, name = node["type"], str(node["function_name"]).lower()
        self.seen.functions.add(name)
        if kind not in WINDOW_FUNCTIONS:
            self.refuse(node, f"the window function {plain_name(kind)} is not known to the sandbox.")
            return
        if kind == "WINDOW_AGGREGATE" and not self._is_listed(node, name):
            return
        if why := refused_window(node):
            self.refuse(node, why)
        shown = name if kind == "WINDOW_AGGREGATE" else plain_name(kind)
        is_ordered, has_arg_order = (
            orders([order["expression"] for order in node[key]], scope, node["partitions"])
            for key in ("orders", "arg_orders")
        )
        if "_ROWS" in node["start"] + node["end"] and not is_ordered:
            self.refuse(node, f"{shown} over a frame of ROWS without an order; add ORDER BY to its window.")
        elif (kind in _NEED_ORDER or name in ORDERED_AGGREGATES) and not is_ordered and not has_arg_order:
            written = "an order that tells no rows apart" if node["orders"] else "rows without an order"
            self.refuse(node, f"{shown} over {written}; add ORDER BY to its window.")

    def _column(self, node: Node) -> None:
        found = [str(part).lower() for part in node["column_names"]]
        if found[-1] in CLOCK_AND_SESSION_NAMES:
            self.refuse(
                node,
                f"`{found[-1]}` depends on the clock or the session; use $as_of, or another column name.",
            )

    def _parameter(self, node: Node) -> None:
        name = str(node["identifier"])
        self.found_parameters.add(name)
        if name not in self.parameters:
            offered = ", ".join(f"${item}" for item in sorted(self.parameters)) or "none"
            self.refuse(node, f"the parameter ${name} is not bound here; there is: {offered}.")

    def _modifiers(self, node: Node, scope: Scope) -> None:
        found = {str(modifier.get("type")): modifier for modifier in node["modifiers"]}
        order = found.get("ORDER_MODIFIER")
        if found.keys() & {"LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"}:
            if order is None:
                self.refuse(node, "LIMIT without ORDER BY takes rows as they happen to come; add an ORDER BY.")
            elif not orders_result(order, node, scope):
                self.refuse(node, "LIMIT after an ORDER BY that tells no rows apart; order by a column of theirs.")
        targets = found.get("DISTINCT_MODIFIER", {}).get("distinct_on_targets")
        if targets and order is None:
            self.refuse(node, "DISTINCT ON without ORDER BY takes rows as they happen to come; add an ORDER BY.")
        elif targets and order is not None and not orders_result(order, node, scope, targets):
            why = "DISTINCT ON with an ORDER BY of nothing else takes rows as they happen to come; add to it."
            self.refuse(node, why)
