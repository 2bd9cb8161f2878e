"""A feature group: one SELECT at one instant, one row per key (`sql/features/NAME.sql`)."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from warehouse.definitions.sql_file import SqlFile, Strict
from warehouse.queries.checked_query import CheckedQuery


class FeatureHeader(Strict):
    """The header of `sql/features/NAME.sql`."""

    description: str
    key: list[str] = Field(min_length=1)
    owner: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class FeatureGroup:
    """One feature group. `query` reads sources, other feature groups and its own CTEs, at `$as_of`."""

    name: str
    file: SqlFile
    header: FeatureHeader
    query: CheckedQuery

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that its rows are unique by."""
        return tuple(self.header.key)
