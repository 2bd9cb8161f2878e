"""What one page is made from: the suite's definitions, and the lake in one transaction, so that it is one state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import duckdb

from jobs.suite import Suite
from jobs.web.parts import paths
from jobs.web.parts.asked import Asked, ask
from jobs.web.parts.cells import Link, Table, table
from jobs.web.parts.document import Section
from warehouse.definitions import Product
from warehouse.lake.lake import table_columns

Made = TypeVar("Made")
UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True)
class Seen:
    """What a request sees.

    Attributes
    ----------
    connection
        Reads the lake; in one transaction.
    snapshot_id
        The state that it reads.
    now
        The time, naive UTC.
    query
        What the request asks beside its path; empty of an export.
    with_pages
        The pages that have a document of their own, by product; None: all.
    memory
        What requests of the same state share.
    """

    suite: Suite
    connection: duckdb.DuckDBPyConnection
    snapshot_id: int
    now: datetime
    query: Mapping[str, str] = field(default_factory=dict)
    with_pages: Mapping[str, frozenset[datetime]] | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    def remembered(self, what: str, make: Callable[[], Made]) -> Made:
        """Give what is the same for all requests of this state of the suite and the lake, made by the first."""
        if what not in self.memory:
            self.memory[what] = make()
        made: Made = self.memory[what]
        return made

    @property
    def is_export(self) -> bool:
        """Whether files are written, which answer no look-up."""
        return self.with_pages is not None

    def ask(self, name: str, *values: str | int | datetime | None, **parts: str) -> Asked:
        """Ask the lake a question of `sql/system/`."""
        return ask(self.connection, name, values, **parts)

    def zone_of(self, product: str) -> ZoneInfo:
        """Give the zone of a product's pages; UTC of one that no definition names any more."""
        known = self.suite.definitions.products.get(product)
        return ZoneInfo(known.header.pages.zone) if known else UTC_ZONE

    def page_link(self, product: str, as_of: datetime) -> str | None:
        """Give the path of a page of predictions, if it has a document."""
        if product not in self.suite.definitions.products:
            return None
        if self.with_pages is not None and as_of not in self.with_pages.get(product, frozenset()):
            return None
        return paths.of_page(product, as_of)

    def has_table(self, schema: str, name: str) -> bool:
        """Tell whether the lake has a table or view."""
        return bool(table_columns(self.connection, schema, name))


def pages_linked(seen: Seen, product: Product) -> Link:
    """Give how `as_of` of a row leads to its page."""

    def link(row: Mapping[str, Any]) -> str | None:
        return seen.page_link(product.name, row["as_of"])

    return link


def section(
    title: str,
    asked: Asked,
    zone: ZoneInfo,
    *,
    links: Mapping[str, Link] | None = None,
    nothing: str = "There is none.",
    sentences: Sequence[str] = (),
    commands: Sequence[str] = (),
    pictures: Sequence[str] = (),
) -> Section:
    """Make a section of an answer: its rows as a table, and its SQL."""
    return Section(
        title,
        sentences,
        table=_table(asked, zone, links),
        nothing=nothing,
        pictures=pictures,
        sql=asked.sql,
        commands=commands,
    )


def _table(asked: Asked, zone: ZoneInfo, links: Mapping[str, Link] | None) -> Table:
    return table(asked.names, asked.rows, zone, links)
