"""Skew between what requests gave and what was recorded: `request:` columns, one figure each.

The service logs what requests give (`--log-requests`), and a source takes the log in. Of each column that stands for
a source's, what a request gave is put beside what that source recorded of the entity; of others, beside what the
entity's page has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from jobs.suite import Suite
from warehouse.definitions import Product, Source
from warehouse.definitions.export import RequestColumn
from warehouse.errors import UsageError
from warehouse.lake.lake import table_columns
from warehouse.ledger.recorded_deliveries import facts_needed
from warehouse.system_sql import quote, quote_all, system_sql

#: Types whose values have a distance.
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")


@dataclass(frozen=True)
class ColumnSkew:
    """How far what requests gave of a column differs from what was recorded.

    Attributes
    ----------
    column, batch
        As `request:` names it, and what it is in batch.
    n_requests, n_compared
        Requests that gave any column of that source, and those of whose entity something was recorded.
    n_differ, n_lacking
        Of these, with another value (NULL is one), and with none where one was recorded.
    mean_difference, largest_difference
        Of numbers: given less recorded, and the largest distance; None of others.
    """

    column: str
    batch: str
    n_requests: int
    n_compared: int
    n_differ: int
    n_lacking: int
    mean_difference: float | None
    largest_difference: float | None

    @property
    def share(self) -> float:
        """The share of those compared that differ; 0 where nothing was."""
        return self.n_differ / self.n_compared if self.n_compared else 0.0


def skew_of(
    suite: Suite, product_name: str, requests: str, first: datetime | None = None, until: datetime | None = None
) -> list[ColumnSkew]:
    """Compare what requests gave with what was recorded, column by column.

    Parameters
    ----------
    suite, product_name
        Whose `request:`.
    requests
        The source that takes in the log, with the product's keys, `asked_at`, and the columns by their names.
    first, until
        Requests that were asked from one instant on, and before another; naive UTC.

    Raises
    ------
    UsageError
        If the product has no `request:`, or the source is not one that can be compared.
    """
    product = suite.definitions.product(product_name)
    log = suite.definitions.sources.get(requests)
    if log is None:
        raise UsageError(f"there is no source `{requests}`; one that takes in the log of requests is meant.")
    with suite.lake.reading() as connection:
        found = _Compared(connection, suite, product, log)
        span = {"first": first or datetime.min, "until": until or datetime.max}
        return [found.column(name, each, span) for name, each in found.asked.items()]


class _Compared:
    """The requests of a log, and what they are compared with."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, suite: Suite, product: Product, log: Source) -> None:
        self.connection, self.suite, self.product, self.log = connection, suite, product, log
        self.table = self._table_of(log)
        there = table_columns(connection, "sources", self.table)
        if lacking := [name for name in (*product.keys, "asked_at") if name not in there]:
            raise UsageError(f"the source {log.name} has no column `{lacking[0]}`, which the log of requests has.")
        #: The columns of `request:` that the log's source has.
        self.asked = {name: each for name, each in product.header.request.items() if name in there}
        if not self.asked:
            raise UsageError(f"{product.yaml_where}: the source {log.name} has none of the columns of `request`.")

    def _table_of(self, source: Source) -> str:
        facts = facts_needed(self.connection, [source])
        if source.name not in facts:
            raise UsageError(f"the source {source.name} has no facts yet; take them in: almanac ingest")
        return facts[source.name].table

    def column(self, name: str, each: RequestColumn, span: dict[str, datetime]) -> ColumnSkew:
        """Compare one column."""
        with_it = [other for other, one in self.asked.items() if one.source == each.source]
        keys = self.product.keys
        is_number = each.type in (*_NUMBERS, "DOUBLE")
        apart = "(given::DOUBLE - recorded::DOUBLE) FILTER (is_recorded)" if is_number else ""
        query = system_sql(
            "monitoring/skew",
            keys=quote_all(keys),
            given=quote(name),
            kind=each.type,
            requests=quote(self.table),
            is_given=" OR ".join(f"{quote(other)} IS NOT NULL" for other in with_it),
            same_as_earlier=_same(keys, "asked", "earlier"),
            same_as_later=_same(keys, "earlier", "later"),
            mean=f"avg{apart}" if is_number else "NULL::DOUBLE",
            largest="max(abs(given::DOUBLE - recorded::DOUBLE)) FILTER (is_recorded)" if is_number else "NULL::DOUBLE",
            **self._recorded(name, each),
        )
        figures = self.connection.execute(query, span).fetchone() or ()
        return ColumnSkew(name, each.batch or f"the page's {name}", *figures)

    def _recorded(self, name: str, each: RequestColumn) -> dict[str, str]:
        """Give what a column is compared with, as SQL: versions of a source's facts, or rows of feature pages."""
        if each.source is None:
            relation = f"features.{quote(self.product.name)}"
            if name not in table_columns(self.connection, "features", self.product.name):
                raise UsageError(f"no page of {self.product.name} has `{name}` yet; make one: almanac run")
            return {"known_at": "as_of", "column": quote(name), "relation": relation, "there": ""}
        source = self.suite.definitions.sources[each.source]
        if set(source.key) != set(self.product.keys):
            raise UsageError(
                f"{self.product.at('request', name)}: the source {source.name} is keyed by {', '.join(source.key)}, and"
                f" what requests give is compared by the keys of {self.product.name}: {', '.join(self.product.keys)}."
            )
        relation = f"sources.{quote(self._table_of(source))}"
        there = "WHERE NOT withdrawn"
        return {"known_at": "known_at", "column": quote(each.column), "relation": relation, "there": there}


def _same(keys: Sequence[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{quote(key)} = {other}.{quote(key)}" for key in keys)
