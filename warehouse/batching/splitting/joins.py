"""Joins between relations of which shards see parts: which of them give the same rows shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from warehouse.batching.splitting.relations import From, Item, held
from warehouse.queries.syntax_tree import Node

#: Pairs of names that a row of both sides has equal.
Equal = Sequence[tuple[Sequence[str], Sequence[str]]]
_KEEPS_LEFT = ("INNER", "LEFT", "SEMI", "ANTI")
_WORDS = {"OUTER": "FULL"}


def equalities(condition: Node | None) -> list[tuple[list[str], list[str]]]:
    """Give the names of columns that a condition compares, each pair of which it needs to be equal."""
    if condition is None:
        return []
    if condition["type"] == "CONJUNCTION_AND":
        return [pair for child in condition["children"] for pair in equalities(child)]
    sides = [condition.get("left"), condition.get("right")]
    if condition["type"] != "COMPARE_EQUAL" or any(side is None or side["class"] != "COLUMN_REF" for side in sides):
        return []
    left, right = ([str(name).lower() for name in side["column_names"]] for side in sides if side is not None)
    return [(left, right)]


def join(
    node: Node, left: From, right: From, n_places: int, equal: Equal, complain: Callable[[str, Node], None]
) -> From:
    """Join what stands on both sides.

    Parameters
    ----------
    node
        The join.
    n_places
        How many columns the shards are made by.
    equal
        Names that its condition, or WHERE where that counts, needs to be equal.
    complain
        Told why its rows would differ.
    """
    kind, way = node["join_type"], node["ref_type"]
    named = f"{'ASOF ' if way == 'ASOF' else ''}{_WORDS.get(kind, kind)} JOIN"
    using = [str(name).lower() for name in node.get("using_columns") or ()]
    if way == "NATURAL":
        shown = {item.name for item in left.items if not item.is_hidden}
        using = [item.name for item in right.items if item.name in shown]
    if way not in ("REGULAR", "NATURAL", "CROSS", "ASOF") or kind not in (*_KEEPS_LEFT, "RIGHT", "OUTER"):
        complain(f"a {named} is not understood", node)
    elif left.is_whole != right.is_whole:
        _one_whole(kind, way, named, left, node, complain)
    elif not left.is_whole:
        compared = _compared(left, right, equal, using)
        if len(compared) < n_places:
            complain(f"its {named} does not compare the columns that shards are made by", node)
    return _result(kind, left, right, using)


def _one_whole(kind: str, way: str, named: str, left: From, node: Node, complain: Callable[[str, Node], None]) -> None:
    """See that rows of the whole side alone do not come out of it, which every shard would have."""
    if left.is_whole and (way == "ASOF" or kind not in ("INNER", "RIGHT")):
        complain(f"its {named} keeps rows of a left side that every shard reads whole", node)
    if not left.is_whole and kind not in _KEEPS_LEFT:
        complain(f"its {named} keeps rows of a right side that every shard reads whole", node)


def _compared(left: From, right: From, equal: Equal, using: Iterable[str]) -> frozenset[int]:
    """Give the places that both sides hold in columns that are compared."""
    pairs = [*equal, *(([name], [name]) for name in using)]
    found = [left.places(one) & right.places(other) for one, other in pairs]
    found += [left.places(other) & right.places(one) for one, other in equal]
    return held(found)


def _result(kind: str, left: From, right: From, using: Sequence[str]) -> From:
    is_whole = left.is_whole and right.is_whole
    if kind in ("SEMI", "ANTI"):
        return replace(left, is_whole=is_whole)
    merged = {name: left.places([name]) & right.places([name]) for name in using}
    kept = {"left": left, "right": right}
    if kind in ("RIGHT", "OUTER"):
        kept["left"] = left.without_places()
    if kind in ("LEFT", "OUTER"):
        kept["right"] = right.without_places()
    items = [_merged(item, kind, merged, right) for item in kept["left"].items]
    items += [replace(item, is_hidden=item.is_hidden or item.name in merged) for item in kept["right"].items]
    return From(tuple(items), is_whole, left.is_open or right.is_open)


def _merged(item: Item, kind: str, merged: dict[str, frozenset[int]], right: From) -> Item:
    """Give the column that USING makes of two; its bare name is the left one's, or the right one's, or whichever is."""
    if item.name not in merged or item.is_hidden or kind in ("INNER", "LEFT"):
        return item
    return replace(item, places=right.places([item.name]) if kind == "RIGHT" else merged[item.name])
