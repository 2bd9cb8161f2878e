"""How lineage is shown: trees for people, Mermaid for documents, and plain data for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from warehouse.lineage.graph import KINDS, TITLES, Edge, Graph, Node
from warehouse.lineage.uses import ROLES, ROWS, Role

if TYPE_CHECKING:
    from rich.tree import Tree

    from jobs.suites.lineage import SuiteLineage
    from warehouse.lineage.impact import Impact

Thing = tuple[str, str]


def thing_title(thing: Thing) -> str:
    """Name a thing as people do, such as `source landings`."""
    return f"{TITLES[thing[0]]} {thing[1]}"


def column_title(node: Node) -> str:
    """Name a column as people do, such as `landings.arrival_delay`."""
    if node.column == ROWS:
        return f"check {node.owner}" if node.kind == "check" else f"rows of {thing_title((node.kind, node.owner))}"
    if node.kind == "model":
        return f"model {node.owner} {node.column}"
    if node.kind == "file":
        return f"{node.owner}: {node.column}"
    return f"{node.owner}.{node.column}" + ("" if node.kind in ("source", "group") else f" ({node.kind})")


def column_tree(graph: Graph, root: Node) -> Tree:
    """Draw what a column is made of, down to the files. What was shown before is not opened again."""
    from rich.tree import Tree

    tree = Tree(column_title(root))
    shown = {root}

    def grow(branch: Tree, node: Node) -> None:
        for source, label in _parts(graph, node):
            if source in shown and source == Node(node.kind, node.owner, ROWS):
                continue
            again = source in shown and bool(_parts(graph, source))
            child = branch.add(f"{label} {column_title(source)}" + (" (above)" if again else ""))
            if source not in shown:
                shown.add(source)
                grow(child, source)

    grow(tree, root)
    return tree


def _parts(graph: Graph, node: Node) -> list[tuple[Node, str]]:
    """List what a column uses with its roles, values first, and last its table's own rows."""
    roles: dict[Node, set[Role]] = {}
    doubtful: set[Node] = set()
    for edge in graph.into(node):
        roles.setdefault(edge.source, set()).add(edge.role)
        if edge.doubt:
            doubtful.add(edge.source)
    own_rows = Node(node.kind, node.owner, ROWS)
    if node != own_rows and graph.into(own_rows):
        roles.setdefault(own_rows, {"rows"})
    listed = sorted(roles, key=lambda source: (min(ROLES.index(role) for role in roles[source]), source.place))
    return [
        (source, ", ".join(sorted(roles[source], key=ROLES.index)) + ("?:" if source in doubtful else ":"))
        for source in listed
    ]


def things_tree(graph: Graph, root: Thing) -> Tree:
    """Draw what a thing is made from, thing by thing, down to the files."""
    from rich.tree import Tree

    made_from = _things(graph.edges())
    counts = {thing: len(graph.columns(*thing)) for thing in {(node.kind, node.owner) for node in graph.nodes}}
    shown: set[Thing] = set()

    def grow(branch: Tree, thing: Thing) -> None:
        for source in sorted(made_from.get(thing, ()), key=_place, reverse=True):
            again = source in shown and source in made_from
            columns = f", {counts[source]} columns" if counts.get(source) and source[0] != "model" else ""
            child = branch.add(thing_title(source) + columns + (" (above)" if again else ""))
            if source not in shown:
                shown.add(source)
                grow(child, source)

    tree = Tree(thing_title(root))
    grow(tree, root)
    return tree


def _place(thing: Thing) -> tuple[int, str]:
    return KINDS.index(thing[0]), thing[1]


def _things(edges: Iterable[Edge]) -> dict[Thing, set[Thing]]:
    found: dict[Thing, set[Thing]] = {}
    for edge in edges:
        source, target = (edge.source.kind, edge.source.owner), (edge.target.kind, edge.target.owner)
        if source != target:
            found.setdefault(target, set()).add(source)
    return found


def nearest_sources(graph: Graph, node: Node) -> dict[str, str]:
    """Sum up a column: the sources' columns that it is made of, by role; what makes up the sources is left out."""
    listed: dict[str, set[str]] = {role: set() for role in ROLES}
    for source, roles in graph.upstream(node, until="source", with_rows=False).items():
        if source.kind == "source":
            for role in roles:
                listed[role].add(f"{source.owner}.{source.column}" if source.column != ROWS else source.owner)
    return {role: ", ".join(sorted(names)) for role, names in listed.items()}


def as_data(lineage: SuiteLineage, nodes: Iterable[Node]) -> dict[str, Any]:
    """Give a part of the graph as plain data: its columns, the uses among them, and what is doubtful."""
    kept = sorted(nodes, key=lambda node: node.place)
    return {
        "nodes": [{"id": n.id, "kind": n.kind, "owner": n.owner, "column": n.column} for n in kept],
        "edges": [
            {"from": e.source.id, "to": e.target.id, "role": e.role, "where": e.where, "doubt": e.doubt}
            for e in lineage.graph.between(kept)
        ],
        "doubts": list(lineage.doubts),
    }


def impact_data(answer: Impact) -> dict[str, Any]:
    """Give an answer as plain data."""
    return {
        "column": answer.column.id,
        "event": answer.event,
        "breaks": [vars(broken) for broken in answer.breaks],
        "changes": [{"id": item.node.id, "roles": list(item.roles)} for item in answer.changes],
        "retyped": [{"id": item.node.id, "before": item.before, "after": item.after} for item in answer.retyped],
        "notes": answer.notes,
    }


def changes_by_thing(answer: Impact) -> list[dict[str, str]]:
    """Sum up what depends on a column, by thing and roles. Where rows do, every column does; that is said once."""
    of_rows = {(item.node.kind, item.node.owner): item.roles for item in answer.changes if item.node.column == ROWS}
    found: dict[tuple[Thing, tuple[str, ...]], list[str]] = {}
    for item in answer.changes:
        thing = (item.node.kind, item.node.owner)
        if item.node.column == ROWS or item.roles != of_rows.get(thing):
            roles = tuple(sorted(item.roles, key=ROLES.index))
            shown = {ROWS: "which rows there are"}.get(item.node.column, item.node.column)
            found.setdefault((thing, roles), []).append("what it finds" if thing[0] == "check" else shown)
    return [
        {"what": thing_title(thing), "as": ", ".join(roles), "columns": ", ".join(columns)}
        for (thing, roles), columns in found.items()
    ]


def impact_mermaid(graph: Graph, answer: Impact) -> str:
    """Draw what depends on a column, thing by thing; what breaks is marked."""
    broken = {(item.kind, item.name) for item in answer.breaks}
    edges = graph.between([answer.column, *(item.node for item in answer.changes)])
    drawn = things_mermaid(edges, lambda thing: "breaks" if thing in broken else None)
    return f"{drawn}\n    classDef breaks stroke:#c00,stroke-width:3px"


def columns_mermaid(graph: Graph, nodes: Iterable[Node]) -> str:
    """Draw columns and their uses as a Mermaid flowchart, the columns of a thing in one box."""
    kept = sorted(nodes, key=lambda node: node.place)
    number = {node: f"c{place}" for place, node in enumerate(kept)}
    lines = ["flowchart LR"]
    things = sorted({(node.kind, node.owner) for node in kept}, key=_place)
    for place, thing in enumerate(things):
        lines.append(f"    subgraph t{place} [{_quoted(thing_title(thing))}]")
        inside = [node for node in kept if (node.kind, node.owner) == thing]
        lines += [f"        {number[node]}[{_quoted(node.column)}]" for node in inside]
        lines.append("    end")
    roles: dict[tuple[Node, Node], set[str]] = {}
    for edge in graph.between(kept):
        roles.setdefault((edge.source, edge.target), set()).add(edge.role + ("?" if edge.doubt else ""))
    for (source, target), found in roles.items():
        label = "" if found == {"value"} else f"|{_quoted(', '.join(sorted(found)))}|"
        lines.append(f"    {number[source]} -->{label} {number[target]}")
    return "\n".join(lines)


def things_mermaid(edges: Iterable[Edge], marked: Callable[[Thing], str | None] = lambda _: None) -> str:
    """Draw things and what they are made from as a Mermaid flowchart; `marked` gives a thing's class, if any."""
    made_from = _things(edges)
    things = sorted({*made_from, *(source for found in made_from.values() for source in found)}, key=_place)
    number = {thing: f"t{place}" for place, thing in enumerate(things)}
    lines = ["flowchart LR"]
    for thing in things:
        mark = marked(thing)
        lines.append(f"    {number[thing]}[{_quoted(thing_title(thing))}]" + (f":::{mark}" if mark else ""))
    lines += [
        f"    {number[source]} --> {number[target]}"
        for target in things
        for source in sorted(made_from.get(target, ()), key=_place)
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'
