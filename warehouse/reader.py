"""The Python API of readers: a product's predictions as Arrow or Polars, now or as of a snapshot or a time.

from warehouse.reader import open_lake

lake = open_lake("lake")
lake.predictions("flight_delay").to_polars()                                  # what applications see now
lake.predictions("flight_delay", at_snapshot=41).to_arrow()                    # what they saw then
lake.predictions("flight_delay", page=datetime(2013, 10, 5, 22)).to_polars()   # one page, whole
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.lake import Lake, table_columns
from warehouse.system_sql import quote, system_sql

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class Predictions:
    """Predictions of one product, read when they are asked for."""

    lake: Lake
    product: str
    snapshot_id: int | None
    page: datetime | None

    def to_arrow(self) -> pa.Table:
        """Read them as an Arrow table: the keys, as_of, valid_until, the score and what it comes from.

        Raises
        ------
        NotFoundError
            If the product has no published predictions in that state of the lake.
        """
        with self.lake.reading(self.snapshot_id) as connection:
            name = self.product if self.page is not None else f"{self.product}_current"
            if not table_columns(connection, "predictions", name):
                raise NotFoundError(f"the lake {self.lake.root} has no predictions of `{self.product}` in that state.")
            if self.page is None:
                return connection.execute(f"FROM predictions.{quote(name)}").to_arrow_table()
            query = f"FROM predictions.{quote(name)} WHERE as_of = $1"
            return connection.execute(query, [self.page]).to_arrow_table()

    def to_polars(self) -> pl.DataFrame:
        """Read them as a Polars frame; see `to_arrow`."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame


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
    ) -> Predictions:
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
        if at_snapshot is not None and at_time is not None:
            raise UsageError("give at_snapshot or at_time, not both.")
        if at_time is not None:
            at_snapshot = self.snapshot_at(at_time)
        return Predictions(self.lake, product, at_snapshot, page)

    def snapshot_at(self, time: datetime) -> int:
        """Give the newest snapshot committed by a time (naive UTC)."""
        with self.lake.reading() as connection:
            row = connection.execute(system_sql("reading/snapshot_at"), [time]).fetchone()
        found, following = row if row else (None, None)
        # Upkeep lets go of old snapshots one by one: with one missing after it, this one need not be what held then.
        if found is None or (following is not None and following != found + 1):
            raise NotFoundError(
                f"the lake {self.lake.root} held nothing at {time} UTC, or what it held then is no longer kept; see"
                " `almanac upkeep --help`."
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
    lake = Lake(root if (root / "catalogue.sqlite").exists() else root / "lake")
    with lake.reading():
        return LakeReader(lake)
