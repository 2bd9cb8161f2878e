"""Evidence: predictions of model versions that were made without hindsight, beside what came.

A version is honest about a page if it had seen no label of it: it predicts pages from its label cut-off on itself,
and for the pages that its validation held out there are the predictions of a model that could have existed before
them. Versions are compared on rows about which both are honest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.models.columns.requirements import classes_of, declared_classes_of, quantiles_of
from jobs.models.importance import score_of
from jobs.models.kinds.figures import Target, scores_of
from jobs.models.kinds.page_metrics import Floats, Scored
from jobs.models.kinds.ranking_metrics import Lists
from jobs.models.versions import load_held_out, load_scorer
from jobs.pages.labelled import LabelledPages
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.product import Ranking
from warehouse.errors import UsageError
from warehouse.ledger.records import ModelRecord

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.scoring import Scorer


@dataclass(frozen=True)
class Contender:
    """A version that can predict. `held_out` has keys, as_of and score of the pages that validation held out.

    Of a label with classes `learnt` are those of the scorer's predictions, `declared` those of the scores held out.
    `quantiles` are those of both.
    """

    version: str
    label_cutoff: datetime
    features: Sequence[str]
    scorer: Scorer
    held_out: pa.Table | None
    learnt: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()

    def target(self, product: Product) -> Target:
        """Say what its predictions are of."""
        return Target(product.kind.name, product.classes, self.learnt, product.quantiles, self.quantiles)

    def is_honest(self, page: datetime) -> bool:
        """Tell whether there is a prediction of this page that was made without hindsight."""
        return page >= self.label_cutoff or page in self.held_out_pages

    @property
    def held_out_pages(self) -> set[datetime]:
        """The pages that validation held out."""
        return set(self.held_out.column("as_of").unique().to_pylist()) if self.held_out is not None else set()


def contender(suite: Suite, model: ModelRecord) -> Contender:
    """Load a registered version as a contender."""
    held_out = load_held_out(suite.lake, model)
    classes = classes_of(model), declared_classes_of(model), quantiles_of(model)
    return Contender(
        model.version, model.writes_from, model.features, load_scorer(suite.lake, model), held_out, *classes
    )


@dataclass(frozen=True)
class Evidence:
    """Labelled rows in the order of pages and keys.

    Attributes
    ----------
    features
        The columns that any contender reads, the keys, and those asked for besides.
    labels
        (n_rows,).
    pages
        (n_rows,), datetime64 in microseconds.
    scores
        By version, (n_rows,) or (n_rows, n_classes): NaN where there is no honest prediction.
    quantiles
        Those that the scores are, (n_rows, n_quantiles), where they are such.
    lists
        Which row is of which list, of a ranking.
    """

    features: pa.Table
    labels: Floats
    pages: npt.NDArray[np.datetime64]
    scores: Mapping[str, Floats]
    quantiles: tuple[float, ...] = ()
    lists: Lists | None = None

    def scored(self, *versions: str) -> tuple[list[Scored], npt.NDArray[np.bool_]]:
        """Give the predictions of some versions on the rows about which all are honest, and which rows those are."""
        honest = np.ones(len(self.labels), np.bool_)
        for version in versions:
            unknown = np.isnan(self.scores[version])
            honest &= ~(unknown if unknown.ndim == 1 else unknown.any(axis=1))
        names, numbers = np.unique(self.pages[honest], return_inverse=True)
        labels, n_pages = self.labels[honest], max(1, len(names))
        lists = self.lists.where(honest) if self.lists else None
        more = (numbers, n_pages, self.quantiles, lists)
        return [Scored(labels, self.scores[v][honest], *more) for v in versions], honest

    def column(self, name: str) -> npt.NDArray[np.object_]:
        """Give a column's values as Python objects."""
        values = np.empty(self.features.num_rows, object)
        values[:] = self.features.column(name).to_pylist()
        return values


def gather(
    labelled: LabelledPages,
    contenders: Sequence[Contender],
    pages: Sequence[datetime],
    known_by: datetime,
    columns: Sequence[str] = (),
) -> Evidence:
    """Read the labelled rows of some pages, and what each contender says of them without hindsight.

    Parameters
    ----------
    labelled
        Feature pages, `pages` among them.
    contenders
        The versions.
    pages
        Which pages; ascending.
    known_by
        Labels known by then are taken.
    columns
        Columns of the feature pages that are wanted besides, for segments.
    """
    product = labelled.product
    features = [name for one in contenders for name in one.features]
    wanted = list(dict.fromkeys([*features, *product.keys, *columns]))
    if not pages:
        none = {one.version: one.target(product).unknown(0) for one in contenders}
        nothing = Lists(np.zeros(0, np.int64), product.ranking.top) if product.ranking else None
        return Evidence(_nothing(wanted), np.zeros(0), np.zeros(0, "M8[us]"), none, product.quantiles, nothing)
    rows = labelled.rows(wanted, known_by, pages[0], _after(pages[-1]))
    rows = rows.where(np.isin(rows.pages, np.array(pages, "M8[us]")))
    table, labels, at = rows.features, rows.labels, rows.pages
    scores = {one.version: _honest_scores(one, table, at, product) for one in contenders}
    lists = lists_of(product.ranking, table, at) if product.ranking else None
    return Evidence(table, labels, at, scores, product.quantiles, lists)


def lists_of(ranking: Ranking, table: pa.Table, pages: npt.NDArray[np.datetime64]) -> Lists:
    """Number the lists of a table's rows: those of one page that are equal in the keys of lists are one."""
    import polars as pl
    import pyarrow as pa

    by = [*ranking.keys, "as_of"]
    rows = pl.from_arrow(table.select(list(ranking.keys)).append_column("as_of", pa.array(pages)))
    assert isinstance(rows, pl.DataFrame)
    numbers = rows.unique(by, maintain_order=True).with_row_index("almanac: list")
    found = rows.join(numbers, on=by, how="left", maintain_order="left", nulls_equal=True)
    return Lists(found.get_column("almanac: list").cast(pl.Int64).to_numpy(), ranking.top)


def require_columns(suite: Suite, product: Product, columns: Sequence[str], asked_by: str) -> None:
    """See that the feature pages have some columns.

    Raises
    ------
    UsageError
        Naming those that there are.
    """
    from warehouse.lake.lake import table_columns

    with suite.lake.reading() as connection:
        present = table_columns(connection, "features", product.name)
    unknown = [name for name in columns if name not in present]
    if unknown:
        raise UsageError(f"{asked_by} names {unknown}, which are no columns of {product.name}: {', '.join(present)}.")


def _after(page: datetime) -> datetime:
    from datetime import timedelta

    return page + timedelta(microseconds=1)


def _nothing(names: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pa.nulls(0) for name in names})


def _filtered(table: pa.Table, chosen: npt.NDArray[np.bool_]) -> pa.Table:
    import pyarrow as pa

    return table if chosen.all() else table.filter(pa.array(chosen))


def _honest_scores(one: Contender, table: pa.Table, pages: npt.NDArray[np.datetime64], product: Product) -> Floats:
    target = one.target(product)
    scores = target.unknown(table.num_rows)
    own = pages >= np.datetime64(one.label_cutoff, "us")
    if own.any():
        scores[own] = score_of(one.scorer, _filtered(table, own), target)
    if one.held_out is not None and not own.all():
        places = _looked_up(one.held_out, table, pages, product.keys)
        found = ~own & (places >= 0)
        scores[found] = _held_out_scores(one, product)[places[found]]
    return scores


def _held_out_scores(one: Contender, product: Product) -> Floats:
    """Give the scores held out, by the classes as they are declared now."""
    assert one.held_out is not None
    found = scores_of(one.held_out)
    if product.quantiles:
        return one.target(product).scores(found)
    if not product.classes:
        return found
    known = [name for name in one.declared if name in product.classes]
    target = Target(product.kind.name, product.classes, tuple(known))
    return target.scores(found[:, [one.declared.index(name) for name in known]])


def _looked_up(held_out: pa.Table, table: pa.Table, pages: npt.NDArray[np.datetime64], keys: Sequence[str]) -> Any:
    """Find the place of each row's held-out prediction by keys and page; -1 where there is none."""
    import polars as pl
    import pyarrow as pa

    by = [*keys, "as_of"]
    rows = pl.from_arrow(table.select(list(keys)).append_column("as_of", pa.array(pages)))
    known = pl.from_arrow(held_out.select(by))
    assert isinstance(rows, pl.DataFrame)
    assert isinstance(known, pl.DataFrame)
    joined = rows.join(known.with_row_index("almanac: place"), on=by, how="left", maintain_order="left")
    return joined.get_column("almanac: place").cast(pl.Int64).fill_null(-1).to_numpy()
