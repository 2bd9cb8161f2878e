"""Engines: what computes a batch's feature pages and stages them as one Parquet file.

The engine here is DuckDB, in the batch's own sandbox. Another one computes elsewhere (in tasks of a cluster, say) and
leaves the same file: the same columns with the same types, the rows of each page, and of those that fail on the data
the error. What comes after, scores, checks and the commit, does not know where the file was made. Nothing of an engine
elsewhere is believed: its file is looked at, and one page of each batch is computed here too and compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from warehouse.batching.batch import Batch, FeaturePages, Sieve
from warehouse.batching.comparison import differing_rows
from warehouse.errors import RunFailed
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import exact_path, literal, system_sql

_INEXACT = ("DOUBLE", "FLOAT")


@dataclass(frozen=True)
class Wanted:
    """Pages to compute.

    Attributes
    ----------
    pages
        Their `as_of`, naive UTC.
    file
        The Parquet file to write.
    workers
        How many pages may be computed at a time.
    done
        Told of every page that is done.
    needs_lake
        Whether the batch's sandbox has to read the lake afterwards.
    sieve
        What may take the candidates of lists while they are made, where they are made in this process.
    """

    pages: Sequence[datetime]
    file: Path
    workers: int
    done: Callable[[int], None]
    needs_lake: bool = True
    sieve: Sieve | None = None


@dataclass(frozen=True)
class Computed:
    """What an engine has staged; pages that failed, each with its error; and what people should be warned of."""

    pages: FeaturePages
    failed: Mapping[datetime, str]
    warnings: Sequence[str] = ()


class Engine(Protocol):
    """What computes batches."""

    #: As messages call it.
    name: str

    def compute(self, batch: Batch, wanted: Wanted) -> Computed:
        """Compute feature pages and stage them.

        Parameters
        ----------
        batch
            The product's queries, and a sandbox at the snapshot that the pages are to be made from.
        wanted
            Which pages, and where to.

        Raises
        ------
        DefinitionError
            If a query does not bind.
        RunFailed
            If it fails for all pages alike.
        """


class DuckDBHere:
    """DuckDB in this process. Its quicker ways are compared with single pages as they are taken."""

    name = "DuckDB"

    def compute(self, batch: Batch, wanted: Wanted) -> Computed:
        """Compute in the batch's sandbox, see `Batch.compute`."""
        how = (wanted.pages, wanted.file, wanted.workers, wanted.done)
        made = batch.compute(*how, needs_lake=wanted.needs_lake, sieve=wanted.sieve)
        return Computed(made, batch.failed, batch.differing)


def compute(engine: Engine, batch: Batch, wanted: Wanted) -> Computed:
    """Let an engine compute a batch; what one elsewhere has staged is looked at first.

    Raises
    ------
    RunFailed
        If the file is not what it is said to be, or differs from what DuckDB makes of a page here.
    """
    computed = engine.compute(batch, wanted)
    if not getattr(engine, "compares_itself", isinstance(engine, DuckDBHere)):
        _require_all_pages(engine, wanted, computed)
        _require_file(engine, batch, computed.pages)
        _require_same_page(engine, batch, wanted, computed)
    if isinstance(engine, DuckDBHere):
        return computed
    return replace(computed, pages=replace(computed.pages, held=None))


def _require_all_pages(engine: Engine, wanted: Wanted, computed: Computed) -> None:
    told = {*computed.pages.n_rows, *computed.failed}
    if told != set(wanted.pages) or computed.pages.n_rows.keys() & computed.failed.keys():
        odd = sorted(told ^ set(wanted.pages)) or sorted(computed.pages.n_rows.keys() & computed.failed.keys())
        raise RunFailed(
            f"{engine.name} was given {len(wanted.pages)} pages and told of {len(told)}; the first that is lacking, was"
            f" not asked for, or is both made and failed is {odd[0]}. Nothing was published."
        )


def _require_file(engine: Engine, batch: Batch, pages: FeaturePages) -> None:
    file = exact_path(pages.file)
    there = dict(batch.cursor.execute(system_sql("pages/staged"), [file]).fetchall())
    expected = {page: n_rows for page, n_rows in pages.n_rows.items() if n_rows}
    if there != expected:
        odd = min(page for page in {*there, *expected} if there.get(page) != expected.get(page))
        raise RunFailed(
            f"{engine.name} staged {there.get(odd, 0)} rows of the page {odd} and told of {expected.get(odd, 0)}."
            " Nothing was published."
        )


def _require_same_page(engine: Engine, batch: Batch, wanted: Wanted, computed: Computed) -> None:
    """Compute one page here too, chosen at random, and compare columns, types and rows."""
    page = random.Random(str(wanted.pages)).choice(list(wanted.pages))
    alone = wanted.file.with_name(f"{wanted.file.stem}-compared.parquet")
    here = DuckDBHere().compute(batch, Wanted([page], alone, 1, lambda n_pages: None))
    if (page in here.failed) != (page in computed.failed):
        raise RunFailed(
            f"{engine.name} and DuckDB do not agree on whether the page {page} can be made:"
            f" {({**here.failed, **computed.failed})[page]} Nothing was published."
        )
    if page in here.failed:
        return
    if here.pages.columns != computed.pages.columns:
        raise RunFailed(
            f"{engine.name} staged other columns than DuckDB makes of the page {page}: {computed.pages.columns} instead"
            f" of {here.pages.columns}. Nothing was published."
        )
    inexact = [name for name, kind in here.pages.columns.items() if kind in _INEXACT]
    key = [*batch.product.keys, "as_of"]
    wrong = differing_rows(
        batch.cursor,
        f"(FROM read_parquet({literal(exact_path(wanted.file))}) WHERE as_of = {timestamp_literal(page)})",
        f"read_parquet({literal(exact_path(alone))})",
        key=key,
        exact=[name for name in here.pages.columns if name not in inexact or name in key],
        close=[name for name in inexact if name not in key],
    )
    if wrong:
        raise RunFailed(
            f"{wrong} rows of the page {page} differ between {engine.name} and DuckDB. Nothing was published; take"
            f" DuckDB for {batch.product.name}, and tell who keeps {engine.name}."
        )
