"""What of a source's new SELECT can be told from facts that are held, where only its list of columns has changed.

DuckDB's own syntax trees are compared. A column is held as it was delivered if the old SELECT read it bare; an
expression over such columns alone, or one that both SELECTs have, can be made of the facts. Everything else in the two
SELECTs and headers must be the same, and what is not understood is left to reading the deliveries again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from warehouse.definitions import Source

Tree = dict[str, Any]
#: How the facts' columns are named for what is made of them: as the file names them, and as the facts do.
KEPT = "almanac: kept "
#: Besides the source's own columns.
OF_THE_SUITE = ("known_at", "withdrawn")
FACTS = "almanac: facts"
#: Classes of expressions that say one thing for one row. Functions are looked up one by one.
_PLAIN = frozenset("COLUMN_REF CONSTANT CAST CASE COMPARISON CONJUNCTION OPERATOR BETWEEN FUNCTION COLLATE".split())
#: What a SELECT must not have.
_NOTHING_ELSE = ("modifiers", "group_expressions", "group_sets", "having", "sample", "qualify")


@dataclass(frozen=True)
class OverFacts:
    """The new SELECT over facts that are held.

    Attributes
    ----------
    reads
        The columns that its relation `FACTS` has to have: names, each with the facts' column.
    select_list
        The new columns, as DuckDB's trees.
    drops
        Whether it tells less than the facts: different facts may then become one.
    """

    reads: Mapping[str, str]
    select_list: list[Tree]
    drops: bool

    def text(self, connection: duckdb.DuckDBPyConnection, more: tuple[str, ...]) -> str | None:
        """Write it as SQL, with columns of the suite's own; None if DuckDB would not read that as it is meant.

        Parameters
        ----------
        more
            Columns of `FACTS` named `almanac: kept NAME`, to be given as NAME.
        """
        given = [_column(f"{KEPT}{name}", alias=name) for name in more]
        node = _tree_of(connection, f'SELECT 1 FROM "{FACTS}"')
        node["select_list"] = [*self.select_list, *given]
        whole = json.dumps({"error": False, "statements": [{"node": node, "named_param_map": []}]})
        row = connection.execute("SELECT json_deserialize_sql($1::JSON)", [whole]).fetchone()
        text = str(row[0]) if row else ""
        return text if _bare(_tree_of(connection, text)) == _bare(node) else None


def over_facts(old: Source, new: Source, held: list[str]) -> OverFacts | None:
    """Make the new SELECT one over facts under the old definition; None if it takes the deliveries.

    Parameters
    ----------
    held
        The facts' own columns.
    """
    before, after = json.loads(old.query.tree), json.loads(new.query.tree)
    if not _differ_in_columns_alone(before, after) or not _same_header(old, new):
        return None
    found = _Held(before["select_list"], held)
    made = [part for node in after["select_list"] for part in found.made(node)]
    if any(part is None for part in made):
        return None
    select_list = [part for part in made if part is not None and _name(part) not in OF_THE_SUITE]
    names = [_name(part) for part in select_list]
    told = {part["column_names"][0] for part in select_list if part["class"] == "COLUMN_REF"}
    told_of = {found.reads[name.lower()] for name in told}
    if len({str(name).lower() for name in names}) != len(names) or not found.is_sound:
        return None
    if not _dates_alike(old, new, before["select_list"], after["select_list"]):
        return None
    return OverFacts(found.reads, select_list, drops=not told_of.issuperset(held))


class _Held:
    """Which columns of the file, and which expressions, facts under the old SELECT hold."""

    def __init__(self, select_list: list[Tree], held: list[str]) -> None:
        self.select_list, self.held = select_list, held
        self.by_name = {name.lower(): name for name in held}
        named = [(node, _name(node)) for node in select_list if node["class"] != "STAR"]
        self.explicit = {name.lower() for _, name in named if name}
        self.stars = [node for node in select_list if node["class"] == "STAR"]
        self.is_sound = all(map(_is_plain_star, self.stars)) and len(self.stars) <= 1 and not self._are_renamed()
        #: By lower-cased name in the new SELECT's relation, the facts' column.
        self.reads: dict[str, str] = {f"{KEPT}{name}".lower(): name for name in held}
        for node, name in named:
            if _is_bare(node) and name and name.lower() in self.by_name:
                column = str(node["column_names"][0])
                # A name that another column of the SELECT bears may mean that one.
                if column.lower() == name.lower() or column.lower() not in self.explicit:
                    self.reads.setdefault(column.lower(), self.by_name[name.lower()])
        if self.stars:
            self.of_star = [name for name in held if name.lower() not in self.explicit]
            self.reads |= {name.lower(): name for name in self.of_star if name.lower() not in self.reads}
        else:
            self.of_star = []

    def _are_renamed(self) -> bool:
        """Tell whether DuckDB may have given a column another name, because two had the same."""
        return bool(self.stars) and any(re.search(r"_\d+$", name) for name in self.held)

    def made(self, node: Tree) -> Iterator[Tree | None]:
        """Give a column of the new SELECT over the facts; None if they do not tell it."""
        if node["class"] == "STAR":
            same = any(_bare(node) == _bare(star) for star in self.stars)
            yield from (_column(f"{KEPT}{name}", alias=name) for name in self.of_star) if same else [None]
            return
        name = _name(node)
        for old in self.select_list:
            kept = _name(old)
            if name and kept and _unnamed(old) == _unnamed(node) and kept.lower() in self.by_name:
                yield _column(f"{KEPT}{self.by_name[kept.lower()]}", alias=name)
                return
        if name and name.lower() in OF_THE_SUITE and any(_bare(old) == _bare(node) for old in self.select_list):
            yield {**node, "alias": name}
            return
        understood = all(_is_understood(part) for part in _expressions(node))
        columns = [part for part in _expressions(node) if part["class"] == "COLUMN_REF"]
        if not understood or not all(_is_bare(part) and self._reads(part) for part in columns):
            yield None
            return
        yield _column(f"{KEPT}{self.reads[node['column_names'][0].lower()]}", name) if _is_bare(node) else node

    def _reads(self, column: Tree) -> bool:
        return str(column["column_names"][0]).lower() in self.reads


def _differ_in_columns_alone(before: Tree, after: Tree) -> bool:
    rest = [{key: value for key, value in tree.items() if key != "select_list"} for tree in (before, after)]
    return (
        rest[0] == rest[1]
        and before.get("type") == "SELECT_NODE"
        and before["from_table"]["type"] == "TABLE_FUNCTION"
        and not before["cte_map"]["map"]
        and not any(before.get(key) for key in _NOTHING_ELSE)
    )


def _same_header(old: Source, new: Source) -> bool:
    keys = ("key", "delivery", "known_at", "restated_at", "withdrawn", "rules")
    return all(getattr(old.header, key) == getattr(new.header, key) for key in keys)


def _dates_alike(old: Source, new: Source, before: list[Tree], after: list[Tree]) -> bool:
    """See that the header's expressions read columns that both SELECTs have alike."""
    header = new.header
    texts = [header.known_at, header.restated_at, header.withdrawn, *header.rules.values()]
    listed = ", ".join([f"({text}\n)" for text in texts if text] + [f'"{key}"' for key in old.key])
    tree = _tree_of(_parser(), f"SELECT {listed}")
    has_star = any(node["class"] == "STAR" for node in before)
    for part in _expressions(tree["select_list"]):
        if part["class"] == "STAR" or (part["class"] == "COLUMN_REF" and not _is_bare(part)):
            return False
        if part["class"] != "COLUMN_REF":
            continue
        name = str(part["column_names"][0]).lower()
        then, now = (
            [_unnamed(node) for node in nodes if (_name(node) or "").lower() == name] for nodes in (before, after)
        )
        if then != now or (not then and not has_star):
            return False
    return True


def _name(node: Tree) -> str | None:
    """Give the name of a column of a SELECT; None where DuckDB makes one up."""
    return str(node["alias"] or node["column_names"][-1]) if _is_column(node) else str(node["alias"]) or None


def _is_column(node: Tree) -> bool:
    return bool(node["class"] == "COLUMN_REF")


def _is_bare(node: Tree) -> bool:
    return _is_column(node) and len(node["column_names"]) == 1


def _is_plain_star(node: Tree) -> bool:
    parts = (
        "relation_name",
        "exclude_list",
        "replace_list",
        "columns",
        "expr",
        "qualified_exclude_list",
        "rename_list",
    )
    return not any(node.get(part) for part in parts)


def _column(name: str, alias: str | None) -> Tree:
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": alias or "", "column_names": [name]}


def _unnamed(node: Tree) -> Any:
    return _bare({**node, "alias": ""})


def _bare(node: Any) -> Any:
    """Leave out where in the text a node stands."""
    if isinstance(node, dict):
        return {key: _bare(value) for key, value in node.items() if key != "query_location"}
    return [_bare(item) for item in node] if isinstance(node, list) else node


def _expressions(node: Any) -> Iterator[Tree]:
    """Yield every expression in a tree."""
    if isinstance(node, dict):
        if "class" in node:
            yield node
        for value in node.values():
            yield from _expressions(value)
    elif isinstance(node, list):
        for item in node:
            yield from _expressions(item)


def _is_understood(node: Tree) -> bool:
    if node["class"] not in _PLAIN:
        return False
    if node["class"] != "FUNCTION":
        return True
    return str(node["function_name"]).lower() in _scalar_functions() and not node.get("filter")


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


@cache
def _scalar_functions() -> frozenset[str]:
    """Name the functions that give one value for one row, and never anything else."""
    query = "SELECT function_name FROM duckdb_functions() GROUP BY ALL HAVING bool_and(function_type = 'scalar')"
    return frozenset(row[0] for row in _parser().cursor().execute(query).fetchall())


def _tree_of(connection: duckdb.DuckDBPyConnection, text: str) -> Tree:
    row = connection.cursor().execute("SELECT json_serialize_sql($1)", [text]).fetchone()
    parsed: Tree = json.loads(row[0]) if row else {"error": True}
    if parsed.get("error"):
        return {"select_list": [], "error": True}
    node: Tree = parsed["statements"][0]["node"]
    return node
