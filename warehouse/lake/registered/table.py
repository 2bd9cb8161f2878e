"""What the registry says of one table: where it is, what it holds, its columns, and how long rows are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kept(Enum):
    """How long rows are kept."""

    FOR_GOOD = "for good"
    ARMS = "as long as the rollout goes on, then as long as `almanac upkeep --keep` says, 90 days by default"
    AS_PAGES = "the newest for good; what it replaced as long as `almanac upkeep --keep` says, 90 days by default"
    WHILE_TRUE = "as long as it is the case"
    TICKS = "400 days after it was over"
    DERIVED = "as the tables that it shows"


#: Stands for all columns that a suite's authors name.
AUTHORS = "*"
#: The schema under which tables of lake/operations.sqlite are listed; the others are schemas of the lake.
OPERATIONS = "operations"


@dataclass(frozen=True)
class Table:
    """One table or view, or one for each product or source.

    Attributes
    ----------
    schema, name
        Where it is. For one of many, `name` is PRODUCT or SOURCE, with an ending where it is a view.
    holds
        What a row is.
    commit
        In which commit rows come and go.
    kept
        For how long.
    columns
        The columns that are ours, in order, with their types. Those that authors name stand before or among them.
    product
        The column that names the product; None where the table's own name does, or none is concerned.
    person
        Columns that may hold data of a person: a customer's key, or the name of whoever did something. AUTHORS: any
        column that the suite's authors name.
    is_view
        Whether it only shows what other tables hold.
    optional
        Columns that are there only where a definition has asked for them.
    """

    schema: str
    name: str
    holds: str
    commit: str
    kept: Kept
    columns: Mapping[str, str] = field(default_factory=dict)
    product: str | None = None
    person: tuple[str, ...] = ()
    is_view: bool = False
    optional: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_of_a_product(self) -> bool:
        """Whether there is one for each product, which its name begins with."""
        return self.name.startswith("PRODUCT")

    @property
    def is_of_a_source(self) -> bool:
        """Whether there is one for each source, which it is named after."""
        return self.name.startswith("SOURCE")


def columns_of(text: str) -> dict[str, str]:
    """Read columns as DuckDB's declarations have them, one a line or with semicolons between."""
    parts = [part.strip() for part in text.replace("\n", ";").split(";")]
    return {name: kind.strip() for name, _, kind in (part.partition(" ") for part in parts if part)}
