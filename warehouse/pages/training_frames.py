"""Training frames: the features of given entities at given instants, as they were known then, for a notebook.

They come from the very queries that pages come from, run in the same sandbox: where an instant is that of a page, the
rows are the page's. Nothing is published.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from warehouse.batching.batch import Batch
from warehouse.batching.page_columns import PageColumn
from warehouse.batching.shared_rows import PAGE_COLUMN
from warehouse.definitions import Definitions, FeatureGroup, Product
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.lake import Lake
from warehouse.pages.labels import compute_labels
from warehouse.sandbox import Sandbox
from warehouse.system_sql import quote, system_sql

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

#: So many instants are worked out at a time.
_INSTANTS_AT_ONCE = 64
_numbers = itertools.count()


@dataclass(frozen=True)
class TrainingFrame:
    """The rows asked for, in the order of the entities given."""

    rows: pl.DataFrame

    def to_polars(self) -> pl.DataFrame:
        """Give them as a Polars frame."""
        return self.rows

    def to_arrow(self) -> pa.Table:
        """Give them as an Arrow table."""
        return self.rows.to_arrow()


@dataclass(frozen=True)
class FrameOrder:
    """What is asked for: a product's features, or those of feature groups; `label` joins the product's label too.

    `known_by` is the instant (naive UTC) by which labels are known.
    """

    product: Product | None
    groups: Sequence[str]
    label: bool
    known_by: datetime | None


def training_frame(lake: Lake, definitions: Definitions, entities: pl.DataFrame, order: FrameOrder) -> TrainingFrame:
    """Work out the features of entities.

    Parameters
    ----------
    entities
        The keys, and `as_of` (naive UTC): one row for each row wanted. Other columns are kept.

    Raises
    ------
    UsageError
        If a column is missing, or one would come twice.
    RunFailed
        If a query fails on the facts of an instant.
    """
    groups = definitions.ordered_groups(order.groups)
    wanted = [group for group in groups if group.name in order.groups]
    keys = list(dict.fromkeys([*(order.product.keys if order.product else ()), *(k for g in wanted for k in g.key)]))
    entities = _checked(entities, keys)
    instants = sorted(set(entities.get_column("as_of").to_list()))
    with _staging(lake) as directory, Sandbox(lake, spill=directory / "spill") as sandbox:
        parts = []
        if order.product is not None:
            by = [*order.product.keys, "as_of"]
            parts.append((by, _features_of_product(sandbox, definitions, order.product, instants, directory)))
            if order.label:
                known_by = order.known_by or _newest_ingestion(sandbox)
                parts.append((by, _labels(sandbox, definitions, order.product, instants, known_by, directory)))
        if wanted:
            tables = _tables_of_groups(sandbox, definitions, groups, instants)
            parts += [([*group.key, "as_of"], tables[group.name]) for group in wanted]
        frame = entities
        for by, part in parts:
            frame = _joined(frame, part, by)
    return TrainingFrame(frame)


def _checked(entities: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    missing = [name for name in [*keys, "as_of"] if name not in entities.columns]
    if missing:
        raise UsageError(f"the entities lack {missing}; they have: {', '.join(entities.columns)}.")
    kind = entities.schema["as_of"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is not None:
        raise UsageError(f"`as_of` of the entities is {kind}; give it as a timestamp in UTC, without a zone.")
    return entities.with_columns(pl.col("as_of").cast(pl.Datetime("us")))


@contextlib.contextmanager
def _staging(lake: Lake) -> Iterator[Path]:
    """Give a directory in the lake's staging, where a sandbox may write; its lock tells upkeep that it is in use."""
    import shutil

    directory = lake.staging / f"frame-{uuid.uuid4().hex[:12]}"
    directory.mkdir(parents=True)
    with filelock.FileLock(directory / "run.lock"):
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _newest_ingestion(sandbox: Sandbox) -> datetime:
    """Give when facts were last taken in: by then everything was known that the lake holds."""
    with contextlib.closing(sandbox.cursor()) as cursor:
        query = f"SELECT max(ingested_at) FROM {sandbox.catalogue}.ledger.ingestions"
        row = cursor.execute(query).fetchone()
    if row is None or row[0] is None:
        raise UsageError("the lake holds no facts yet; run `almanac ingest` first.")
    known_by: datetime = row[0]
    return known_by


def _features_of_product(
    sandbox: Sandbox, definitions: Definitions, product: Product, instants: Sequence[datetime], directory: Path
) -> pl.DataFrame:
    import polars as pl

    frames = []
    for number, start in enumerate(range(0, len(instants), _INSTANTS_AT_ONCE)):
        file = directory / f"features-{number:05}.parquet"
        with Batch(sandbox, definitions, product) as batch:
            part = instants[start : start + _INSTANTS_AT_ONCE]
            batch.compute(part, file, os.cpu_count() or 1, lambda _: None)
            if batch.failed:
                instant, why = min(batch.failed.items())
                raise RunFailed(f"{product.name} at {instant}: {why}")
        frames.append(pl.read_parquet(file, glob=False))
    return pl.concat(frames)


def _labels(
    sandbox: Sandbox,
    definitions: Definitions,
    product: Product,
    instants: Sequence[datetime],
    known_by: datetime,
    directory: Path,
) -> pl.DataFrame:
    import polars as pl

    file = directory / "labels.parquet"
    compute_labels(sandbox, definitions, product, instants, known_by, file)
    return pl.read_parquet(file, glob=False)


def _tables_of_groups(
    sandbox: Sandbox, definitions: Definitions, groups: Sequence[FeatureGroup], instants: Sequence[datetime]
) -> dict[str, pl.DataFrame]:
    """Run feature groups at each instant; give the rows of each, marked by `as_of`, as pages would hold them."""
    import polars as pl

    number = next(_numbers)
    tables = {group.name: f"memory.main.{quote(f'frame_{number}: {group.name}')}" for group in groups}
    sources = definitions.sources_read([group.query for group in groups])
    for place, instant in enumerate(instants):
        with sandbox.at(instant, sources) as page:
            for group in groups:
                if place == 0:
                    page.run_wrapped("pages/prepare", group.query, tables[group.name], instant)
                page.run_wrapped("pages/collect", group.query, tables[group.name], instant)
                page.show_rows_of(group.name, tables[group.name])
    found = {}
    with contextlib.closing(sandbox.cursor()) as cursor:
        for group in groups:
            described = cursor.execute(f"DESCRIBE {tables[group.name]}").fetchall()
            columns = [PageColumn(str(name), None, str(name), str(kind)) for name, kind, *_ in described]
            listed = ", ".join(
                f"{quote(one.column)}::{one.stored_kind} AS {quote(_shown(one.name))}" for one in columns
            )
            query = system_sql("pages/scored", columns=listed, features=tables[group.name])
            frame = pl.from_arrow(cursor.execute(query).to_arrow_table())
            assert isinstance(frame, pl.DataFrame)
            found[group.name] = frame
            cursor.execute(f"DROP TABLE {tables[group.name]}")
    return found


def _shown(name: str) -> str:
    return "as_of" if name == PAGE_COLUMN else name


def _joined(frame: pl.DataFrame, part: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Put columns beside the rows that have the same keys and instant; NULL where there is none."""
    import polars as pl

    twice = [name for name in part.columns if name in frame.columns and name not in by]
    if twice:
        raise UsageError(f"the columns {twice} come twice; leave them out of the entities, or ask for other groups.")
    kinds = [pl.col(name).cast(part.schema[name], strict=False).alias(name) for name in by]
    asked = frame.select(by).with_columns(kinds)
    found = asked.join(part, on=list(by), how="left", maintain_order="left")
    if found.height != frame.height:
        raise RunFailed(f"more than one row for one key of {list(by)}; a feature group has one row per key.")
    return frame.hstack(found.drop(by).get_columns())
