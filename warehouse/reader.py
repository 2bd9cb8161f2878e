"""The Python API of readers: what a lake holds of a product, now or as of a snapshot or a time.

from warehouse.reader import open_lake

lake = open_lake("lake")
lake.predictions("flight_delay").to_polars()                                  # what applications see now
lake.predictions("flight_delay", at_snapshot=41).to_arrow()                    # what they saw then
lake.predictions("flight_delay", page=datetime(2013, 10, 5, 22)).to_polars()   # one page, whole
lake.features("flight_delay", since=datetime(2013, 10, 1)).to_pandas()         # what the model was given
lake.labels("flight_delay").to_polars()                                        # what came of it
lake.outcomes("flight_delay").to_polars()                                      # predictions beside what came of them
lake.training_frame(entities, product="flight_delay", label=True).to_polars()  # features at instants of your own
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from warehouse.definitions import load_definitions
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.lake import Lake, lake_of, table_columns
from warehouse.ledger import records as ledger
from warehouse.pages.training_frames import FrameOrder, TrainingFrame, training_frame
from warehouse.system_sql import quote, system_sql

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class ProductRows:
    """Rows of one product, read when they are asked for.

    Attributes
    ----------
    what
        What they are, for messages: predictions, features, labels or outcomes.
    relation
        The table or view that holds them, as schema and name.
    snapshot_id
        The state of the lake that is read; None: the newest at the time of asking.
    since, until
        Only pages from this `as_of` on, and before this one (naive UTC).
    page
        Only this page.
    """

    lake: Lake
    what: str
    product: str
    relation: tuple[str, str]
    snapshot_id: int | None = None
    page: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None

    def to_arrow(self) -> pa.Table:
        """Read them as an Arrow table, with the keys and `as_of` among its columns; in no particular order.

        Raises
        ------
        NotFoundError
            If the lake holds no such rows of the product in that state, or the page is not published.
        """
        # Whole tables are read on all cores; a look at one page is answered sooner by the instance that is open.
        with self.lake.reading(self.snapshot_id, all_cores=self._is_large) as connection:
            schema, name = self.relation
            if not table_columns(connection, schema, name):
                raise NotFoundError(
                    f"the lake {self.lake.root} has no {self.what} of `{self.product}` in that state;"
                    f" `almanac pages {self.product}` shows what is published."
                )
            self._require_page(connection)
            conditions = [
                (text, value)
                for text, value in (("as_of = ", self.page), ("as_of >= ", self.since), ("as_of < ", self.until))
                if value is not None
            ]
            where = " AND ".join(f"{text}${number}" for number, (text, _) in enumerate(conditions, start=1))
            values: list[Any] = [value for _, value in conditions]
            query = f"FROM {quote(schema)}.{quote(name)} WHERE {where or 'true'}"
            return connection.execute(query, values).to_arrow_table()

    def _require_page(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Refuse a page that is not published: no rows of one that nobody made would look like a page without rows."""
        kind = "predictions" if self.what == "outcomes" else self.what
        if self.page is not None and not ledger.published_pages(connection, self.product, kind, [self.page]):
            raise NotFoundError(
                f"the lake {self.lake.root} has no page {self.page} (UTC) of {self.what} of `{self.product}` in that"
                f" state; `almanac pages {self.product}` shows what is published."
            )

    @property
    def _is_large(self) -> bool:
        return self.page is None and not self.relation[1].endswith("_current")

    def to_polars(self) -> pl.DataFrame:
        """Read them as a Polars frame; see `to_arrow`."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Read them as a pandas frame; see `to_arrow`.

        Raises
        ------
        UsageError
            If pandas is not installed: Almanac does not need it itself.
        """
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise UsageError("to_pandas needs pandas: `pip install pandas`, or ask for to_polars.") from error
        return self.to_arrow().to_pandas()


@dataclass(frozen=True)
class LakeReader:
    """A lake opened for reading."""

    lake: Lake

    def predictions(
        self,
        product: str,
        *,
        page: datetime | None = None,
        at_snapshot: int | None = None,
        at_time: datetime | None = None,
    ) -> ProductRows:
        """Choose a product's predictions.

        Parameters
        ----------
        product
            Its name.
        page
            One page by its as_of (naive UTC). Without it: what `PRODUCT_current` shows.
        at_snapshot, at_time
            The state of the lake to read: a snapshot's id, or what was committed by a time (naive UTC).

        Raises
        ------
        UsageError
            If both a snapshot and a time are given.
        NotFoundError
            If nothing had been committed by that time, or what had been is no longer kept.
        """
        name = product if page is not None else f"{product}_current"
        snapshot_id = self._snapshot(at_snapshot, at_time)
        return ProductRows(self.lake, "predictions", product, ("predictions", name), snapshot_id, page)

    def features(
        self,
        product: str,
        *,
        page: datetime | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        at_snapshot: int | None = None,
        at_time: datetime | None = None,
    ) -> ProductRows:
        """Choose a product's feature pages: what its models are trained on, and score.

        Parameters
        ----------
        product
            Its name.
        page
            One page by its as_of (naive UTC).
        since, until
            Pages from one as_of on, and before another. Without any of the three: all pages, which may be many.
        at_snapshot, at_time
            As for `predictions`.

        Raises
        ------
        UsageError, NotFoundError
            As `predictions` does; and if `page` is given beside `since` or `until`.
        """
        return self._pages("features", product, ("features", product), page, since, until, at_snapshot, at_time)

    def labels(
        self,
        product: str,
        *,
        page: datetime | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        at_snapshot: int | None = None,
        at_time: datetime | None = None,
    ) -> ProductRows:
        """Choose a product's labels: what came of each entity, as far as it is known. See `features`."""
        return self._pages("labels", product, ("labels", product), page, since, until, at_snapshot, at_time)

    def outcomes(
        self,
        product: str,
        *,
        page: datetime | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        at_snapshot: int | None = None,
        at_time: datetime | None = None,
    ) -> ProductRows:
        """Choose a product's predictions beside what came of them, where that is known. See `features`.

        Pages that were written in hindsight are among them, and bear `hindsight`; leave them out of any measure.
        """
        named = ("predictions", f"{product}_outcomes")
        return self._pages("outcomes", product, named, page, since, until, at_snapshot, at_time)

    def _pages(
        self,
        what: str,
        product: str,
        relation: tuple[str, str],
        page: datetime | None,
        since: datetime | None,
        until: datetime | None,
        at_snapshot: int | None,
        at_time: datetime | None,
    ) -> ProductRows:
        if page is not None and (since is not None or until is not None):
            raise UsageError("give one page, or since and until, not both.")
        snapshot_id = self._snapshot(at_snapshot, at_time)
        return ProductRows(self.lake, what, product, relation, snapshot_id, page, since, until)

    def _snapshot(self, at_snapshot: int | None, at_time: datetime | None) -> int | None:
        if at_snapshot is not None and at_time is not None:
            raise UsageError("give at_snapshot or at_time, not both.")
        return self.snapshot_at(at_time) if at_time is not None else at_snapshot

    def training_frame(
        self,
        entities: pl.DataFrame | pa.Table,
        *,
        product: str | None = None,
        groups: Sequence[str] = (),
        label: bool = False,
        known_by: datetime | None = None,
        suite: str | Path | None = None,
    ) -> TrainingFrame:
        """Work out features of entities at instants of their own, as they were known then.

        Parameters
        ----------
        entities
            A row for each row wanted: the keys, and `as_of` (naive UTC). Other columns are kept.
        product
            Take its features; an entity that its entities.sql does not list at that instant has none.
        groups
            Or take those of these feature groups.
        label
            Join the product's label as `label`, NULL where there is none.
        known_by
            Labels known by then; by default all that the lake holds.
        suite
            Where the definitions are; by default the directory that holds the lake.

        Raises
        ------
        UsageError
            If neither a product nor groups are named, a column is missing, or one would come twice.
        """
        import polars as pl

        if (product is None) == (not groups):
            raise UsageError("give either product= or groups=.")
        if label and product is None:
            raise UsageError("label=True needs product=: a label is a product's.")
        definitions = load_definitions(Path(suite) if suite is not None else self.lake.root.absolute().parent)
        frame = entities if isinstance(entities, pl.DataFrame) else pl.from_arrow(entities)
        assert isinstance(frame, pl.DataFrame)
        chosen = definitions.product(product) if product is not None else None
        return training_frame(self.lake, definitions, frame, FrameOrder(chosen, list(groups), label, known_by))

    def snapshot_at(self, time: datetime) -> int:
        """Give the snapshot that was the newest at an instant (naive UTC).

        Raises
        ------
        NotFoundError
            If the lake is younger, or what it was then is no longer kept.
        """
        with self.lake.reading() as connection:
            row = connection.execute(system_sql("reading/snapshot_at"), [time]).fetchone()
        assert row is not None
        found, following, oldest = row
        if found is None:
            raise NotFoundError(
                f"the lake has no state of {time} (UTC); the oldest that it keeps is of {oldest:%Y-%m-%d %H:%M:%S}."
            )
        # Upkeep expires old snapshots one by one: with one missing after it, this one need not be what held then.
        if following != found + 1:
            raise NotFoundError(
                f"what the lake was at {time} (UTC) is no longer kept: of the snapshots {found} to {following} only"
                " these two are. See `almanac upkeep --help`."
            )
        return int(found)


def open_lake(path: str | Path) -> LakeReader:
    """Open a lake (a suite's `lake/` directory, or the suite) for reading.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    root = Path(path)
    lake = Lake(root) if Lake(root).exists() else lake_of(root)
    with lake.reading():
        return LakeReader(lake)
