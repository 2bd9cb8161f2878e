"""Scores an entity that no page has, by what a bundle holds of its newest page: model, feature groups, validity.

A request gives the columns that entities.sql would have given. The feature groups' rows are those of the newest page,
so that the answer is what that page would have held for the entity, bit for bit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.bundles.compiled_trees import CompiledTrees, Value
from jobs.bundles.key_columns import NOWHERE, KeyColumn, KeyRefused
from jobs.bundles.row_expressions import Expression, value_of

ON_DEMAND = "on demand"


@dataclass(frozen=True)
class Worked:
    """How a group that is keyed by the entity itself is worked out from a request, which then stands for the source.

    Attributes
    ----------
    given, types
        What of a request stands for which column of the source, and the columns' types.
    where, values
        Expressions over these columns: whether the group has a row of the entity, and its values.
    """

    given: Mapping[str, str]
    types: Mapping[str, str]
    where: Expression | None
    values: tuple[Expression, ...]

    @classmethod
    def told(cls, found: Mapping[str, Any]) -> Worked:
        """Read it from a manifest."""
        return cls(dict(found["given"]), dict(found["types"]), found["where"], tuple(found["values"]))

    def row(self, columns: Mapping[str, Any]) -> list[Value] | None:
        """Work the group's values out of the source's columns, as the model is given them; None if there is no row.

        Raises
        ------
        KeyRefused
            If they cannot be worked out of these values.
        """
        plain = {name: _plain(value, self.types[name]) for name, value in columns.items()}
        if self.where is not None and value_of(self.where, plain) is not True:
            return None
        found = [value_of(each, plain) for each in self.values]
        return [each if each is None or isinstance(each, str) else float(each) for each in found]


def _plain(value: Any, kind: str) -> Any:
    """Turn what is kept into what expressions are over."""
    if value is None:
        return None
    return bool(value) if kind == "BOOLEAN" else float(value) if kind == "DOUBLE" else value


@dataclass(frozen=True)
class GroupRows:
    """One use of a feature group: the table of its rows, its keys in order, and what of a request stands for each."""

    table: str
    keys: tuple[str, ...]
    given: tuple[str, ...]
    values: tuple[str, ...]
    worked: Worked | None = None


@dataclass(frozen=True)
class OnDemand:
    """What a manifest says of scoring on demand.

    Attributes
    ----------
    columns
        What a request gives besides the keys; `needed` are those without which nothing can be scored.
    groups
        The feature groups that are joined.
    features
        The model's columns in its order: a column of the request, by name, or the group's number and the value's.
    score
        What the prediction is called.
    facts
        What rows of the page have in common, as the inside of a JSON object.
    valid_until_us, valid_until_column
        Until when a row is valid, in microseconds since 1970; or the column of the request that says so.
    request
        Those of the columns that product.yaml lists under `request`.
    """

    columns: tuple[KeyColumn, ...]
    needed: tuple[str, ...]
    groups: tuple[GroupRows, ...]
    features: tuple[str | tuple[int, int], ...]
    score: str
    facts: str
    valid_until_us: int | None
    valid_until_column: str | None
    request: frozenset[str] = frozenset()

    @classmethod
    def told(cls, found: Mapping[str, Any]) -> OnDemand:
        """Read it from a manifest."""
        return cls(
            columns=tuple(KeyColumn(each["name"], each["type"]) for each in found["columns"]),
            needed=tuple(found["needed"]),
            groups=tuple(
                GroupRows(
                    each["table"],
                    tuple(each["keys"]),
                    tuple(each["given"]),
                    tuple(each["values"]),
                    Worked.told(each["worked"]) if each.get("worked") else None,
                )
                for each in found["groups"]
            ),
            features=tuple(each if isinstance(each, str) else (each[0], each[1]) for each in found["features"]),
            score=found["score"],
            facts=found["facts"],
            valid_until_us=found["valid_until_us"],
            valid_until_column=found["valid_until_column"],
            request=frozenset(found.get("request", ())),
        )


@dataclass(frozen=True)
class Scored:
    """What was scored: until when it is valid (microseconds since 1970), and the prediction."""

    valid_until_us: int
    prediction: float


class Scoring:
    """Scores from an open bundle. The model is read at the first row."""

    def __init__(self, database: sqlite3.Connection, told: OnDemand, keys: Sequence[KeyColumn]) -> None:
        self.told = told
        self._database = database
        self._readings: dict[str, Callable[[Any], Any]] = {
            column.name: column.reading() for column in (*keys, *told.columns)
        }
        self._keys = [key.name for key in keys]
        self.types = {column.name: column.type for column in (*keys, *told.columns)}
        self._rows = [_select(group) for group in told.groups]
        #: What of a request stands for a source's columns, for each group, but for what is needed anyhow.
        self._asked = [
            [name for name in group.worked.given.values() if name not in told.needed] if group.worked else []
            for group in told.groups
        ]
        self._model: CompiledTrees | None = None

    def lacking(self, given: Mapping[str, Any]) -> list[str]:
        """Give the columns that a request would have to give besides; a key that is NULL is none, as on pages.

        What stands for a source's columns is given whole, or not at all.
        """
        unkeyed = [name for name in self._keys if given.get(name) is None]
        lacking = [name for name in self.told.needed if name in unkeyed or name not in given]
        for asked in self._asked:
            if any(name in given for name in asked):
                lacking += [name for name in asked if name not in given and name not in lacking]
        return lacking

    def score(self, given: Mapping[str, Any]) -> Scored | None:
        """Score an entity; None where it says of no instant that it would be valid until then.

        Raises
        ------
        KeyRefused
            A value is not of its column's type, a key is one that no page could have, or the model refuses it.
        """
        for name in self._keys:
            self._read(name, given[name])
        asked = [name for names in self._asked for name in names if name in given]
        row = {name: self._read(name, given[name]) for name in (*self.told.needed, *asked)}
        until = self.told.valid_until_us
        if self.told.valid_until_column is not None:
            until = row[self.told.valid_until_column]
        if until is None:
            return None
        found = [
            self._group_row(select, group, row) for select, group in zip(self._rows, self.told.groups, strict=True)
        ]
        values: list[Value] = []
        for place in self.told.features:
            if isinstance(place, str):
                values.append(self._as_feature(place, row[place]))
            else:
                values.append(found[place[0]][place[1]])
        if self._model is None:
            (data,) = self._database.execute("SELECT compiled FROM almanac_model").fetchone()
            self._model = CompiledTrees(data)
        return Scored(until, self._model.predict(values))

    def _read(self, name: str, value: Any) -> Any:
        """Read a value of a request as its column keeps it; None is NULL."""
        if value is None:
            return None
        kept = self._readings[name](value)
        if kept is NOWHERE:
            raise KeyRefused(f"`{name}` is {self.types[name]}, which cannot hold that value")
        return kept

    def _as_feature(self, name: str, kept: Any) -> Value:
        return kept if kept is None or self.types[name] == "VARCHAR" else float(kept)

    def _group_row(self, select: str, group: GroupRows, row: Mapping[str, Any]) -> Sequence[Value]:
        """Give a group's values for the entity; NULLs where the page has no row of its key, as the join does."""
        if group.worked is not None and all(name in row for name in group.worked.given.values()):
            columns = {column: row[name] for column, name in group.worked.given.items()}
            return group.worked.row(columns) or (None,) * len(group.values)
        values = [row[name] for name in group.given]
        found = None if None in values else self._database.execute(select, values).fetchone()
        return found or (None,) * len(group.values)


def _select(group: GroupRows) -> str:
    listed = ", ".join(_quoted_name(name) for name in group.values) or "NULL"
    where = " AND ".join(f"{_quoted_name(name)} = ?" for name in group.keys) or "true"
    return f"SELECT {listed} FROM {_quoted_name(group.table)} WHERE {where}"


def _quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
