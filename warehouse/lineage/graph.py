"""The graph of a suite's columns: who uses whom, in which role, and what follows from that in either direction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from warehouse.lineage.uses import ROWS, Role, seen_through

#: The kinds of things that have columns, in the order in which data passes through them.
KINDS = ("file", "source", "group", "entities", "label", "page", "check", "model", "predictions")
#: What a kind is called before people.
TITLES = {
    "file": "file",
    "source": "source",
    "group": "feature group",
    "entities": "entities of",
    "label": "label of",
    "page": "features of",
    "check": "check",
    "model": "model",
    "predictions": "predictions",
}


@dataclass(frozen=True, order=True)
class Node:
    """One column of one thing: `kind` is one of KINDS, `owner` its name; `(rows)` stands for which rows it has."""

    kind: str
    owner: str
    column: str

    @property
    def id(self) -> str:
        """A name for programs, such as `source:landings.arrival_delay`."""
        return f"{self.kind}:{self.owner}.{self.column}"

    @property
    def place(self) -> tuple[int, str, str]:
        """Where it stands in the order in which data passes, for sorting."""
        return KINDS.index(self.kind), self.owner, self.column


@dataclass(frozen=True, order=True)
class Edge:
    """`target` uses `source` in a role, as written in the file `where`; `doubt` says why that is only assumed."""

    source: Node
    target: Node
    role: Role
    where: str
    doubt: str = ""


@dataclass
class Graph:
    """All columns and uses, without circles: data passes one way.

    A column also depends on its table's rows. That is not drawn; whoever uses the column has a use of the rows, too.
    """

    _into: dict[Node, set[Edge]] = field(default_factory=lambda: defaultdict(set))
    _from: dict[Node, set[Edge]] = field(default_factory=lambda: defaultdict(set))
    nodes: set[Node] = field(default_factory=set)

    def add_node(self, node: Node) -> None:
        """Add a column, perhaps one that nothing uses."""
        self.nodes.add(node)

    def add(self, source: Node, target: Node, role: Role, where: str, doubt: str = "") -> None:
        """Add a use, and the columns that it connects."""
        if source != target:
            edge = Edge(source, target, role, where, doubt)
            self._into[target].add(edge)
            self._from[source].add(edge)
            self.nodes |= {source, target}

    def edges(self) -> list[Edge]:
        """Give all uses, sorted."""
        return sorted(edge for edges in self._into.values() for edge in edges)

    def into(self, node: Node) -> list[Edge]:
        """Give what a column uses directly."""
        return sorted(self._into.get(node, ()))

    def out_of(self, node: Node) -> list[Edge]:
        """Give what uses a column directly."""
        return sorted(self._from.get(node, ()))

    def columns(self, kind: str, owner: str) -> list[Node]:
        """Give the columns of a thing, its rows left out, sorted by name."""
        return sorted(n for n in self.nodes if (n.kind, n.owner) == (kind, owner) and n.column != ROWS)

    def upstream(self, node: Node, *, until: str | None = None, with_rows: bool = True) -> dict[Node, set[Role]]:
        """Give all that a column depends on, however far, each with the roles in which it does.

        Parameters
        ----------
        until
            Go no further than columns of this kind.
        with_rows
            Take what decides on the rows of the column's own table, too.
        """
        start: dict[Node, Role] = {node: "value"}
        if with_rows:
            start[Node(node.kind, node.owner, ROWS)] = "rows"
        return _reach(start, self._into, upward=True, until=until)

    def downstream(self, node: Node) -> dict[Node, set[Role]]:
        """Give all that depends on a column, however far, each with the roles in which it does."""
        found = _reach({node: "value"}, self._from, upward=False)
        for rows in [reached for reached in found if reached.column == ROWS]:
            for column in self.columns(rows.kind, rows.owner):
                found[column] = found.get(column, set()) | found[rows]
        return found

    def between(self, nodes: Iterable[Node]) -> Iterator[Edge]:
        """Give the uses among some columns."""
        kept = set(nodes)
        for edge in self.edges():
            if edge.source in kept and edge.target in kept:
                yield edge


def _reach(
    starts: Mapping[Node, Role], edges: Mapping[Node, set[Edge]], *, upward: bool, until: str | None = None
) -> dict[Node, set[Role]]:
    """Walk along uses. On the way from a column to what it ends up in, the last role that is no value counts."""
    found: dict[Node, set[Role]] = defaultdict(set)
    waiting = list(starts.items())
    while waiting:
        node, role = waiting.pop()
        for edge in edges.get(node, ()):
            other = edge.source if upward else edge.target
            seen = seen_through(role, edge.role) if upward else seen_through(edge.role, role)
            if seen not in found[other]:
                found[other].add(seen)
                if other.kind != until:
                    waiting.append((other, seen))
    return {node: roles for node, roles in found.items() if node not in starts}
