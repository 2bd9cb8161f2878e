"""What is known of a relation in one shard: which of its columns hold the columns that the shards are made by.

A relation is *whole* if every shard sees all of it. Otherwise its rows in the shards, put together, are all of its
rows, each once. A *place* is one of the columns that shards are made by, numbered; a column holds a place if it has
that column's value in each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

Places = frozenset[int]
NO_PLACES: Places = frozenset()


@dataclass(frozen=True)
class Column:
    """A column of a query's result: its name in lower case, and the places that it holds."""

    name: str
    places: Places = NO_PLACES


@dataclass(frozen=True)
class Relation:
    """A table, or the result of a query. `is_open` if it may have columns besides those listed."""

    columns: tuple[Column, ...]
    is_whole: bool
    is_open: bool = False

    def renamed(self, names: Sequence[str]) -> Relation:
        """Give it with other names for its first columns."""
        if not names:
            return self
        listed = [str(name).lower() for name in names]
        if self.is_open and not self.columns:
            return Relation(tuple(Column(name) for name in listed), self.is_whole)
        kept = [replace(column, name=name) for column, name in zip(self.columns, listed, strict=False)]
        return replace(self, columns=(*kept, *self.columns[len(kept) :]))


@dataclass(frozen=True)
class Item:
    """A column of FROM: of which table, and whether only its qualified name shows it, as USING makes it."""

    table: str
    name: str
    places: Places
    is_hidden: bool = False


@dataclass(frozen=True)
class From:
    """What FROM brings: its columns, whether all shards see all of it, and whether it may have other columns too."""

    items: tuple[Item, ...]
    is_whole: bool
    is_open: bool = False

    def find(self, names: Sequence[str]) -> list[Item]:
        """Give the columns that a name, in lower case and perhaps with its table, may mean."""
        if len(names) == 1:
            return [item for item in self.items if item.name == names[0] and not item.is_hidden]
        if len(names) == 2:
            return [item for item in self.items if (item.table, item.name) == (names[0], names[1])]
        return []

    def places(self, names: Sequence[str]) -> Places:
        """Give the places that a name is sure to hold."""
        found = [item.places for item in self.find(names)]
        return frozenset.intersection(*found) if found else NO_PLACES

    def without_places(self) -> From:
        """Give it with columns that may be NULL where they held something, as an outer join makes them."""
        return replace(self, items=tuple(replace(item, places=NO_PLACES) for item in self.items))


def of_relation(relation: Relation, alias: str) -> From:
    """Bring a relation into FROM."""
    items = tuple(Item(alias.lower(), column.name, column.places) for column in relation.columns)
    return From(items, relation.is_whole, relation.is_open)


def held(places: Iterable[Places]) -> Places:
    """Give all the places that some columns hold together."""
    return frozenset().union(*places)
