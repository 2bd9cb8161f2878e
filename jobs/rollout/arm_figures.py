"""What the arms of a page came to, once its labels have: mean losses on the same rows, or on what each arm served.

Arms score all rows. Where predictions do not influence outcomes all of them are compared, row by row; where they do,
only what an arm has served says what it brings about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt

from jobs.models.arms.assignment import Assignment, unit_sql
from jobs.monitoring.performance.losses import Floats, losses
from jobs.monitoring.performance.page_figures import score_and_label, score_matrix
from jobs.rollout.inference.covariate import ArmSums, adjusted_difference
from jobs.rollout.inference.sample_ratio import SampleRatio, sample_ratio
from warehouse.definitions import Product
from warehouse.definitions.product import Ranking
from warehouse.lake.lake import table_columns
from warehouse.lake.registry import arms_table
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ArmOfPage:
    """One arm on one page: labelled rows that count, their mean loss, and the guardrails that are of rows, by name.

    `difference` is by how much it did worse than the live version; None of that one itself, and where nothing tells it.
    `narrowed` is the share of the variance that the covariate took away, where arms are compared by split.
    """

    n_rows: int
    loss: float | None
    guardrails: Mapping[str, float] = field(default_factory=dict)
    difference: float | None = None
    narrowed: float | None = None


def figures_of_page(
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    page: datetime,
    live: str,
    guardrails: Sequence[str],
    by_split: bool,
) -> dict[str, ArmOfPage]:
    """Give what each arm of a page came to.

    Parameters
    ----------
    live
        The version that the others are compared with.
    guardrails
        Those that are worked out of labelled rows are given.
    by_split
        Whether only rows that an arm has served count for it. What the live version predicts of the same rows, served
        or not, is then the covariate: it was there before the outcome.
    """
    if not table_columns(connection, "labels", product.name):
        return {}
    if product.ranking is not None:
        return _of_lists(connection, product, product.ranking, page, live, by_split)
    table = _labelled(connection, product, page)
    arms = table.column("arm").to_numpy(zero_copy_only=False).astype(str)
    served = table.column("is_served").to_numpy(zero_copy_only=False).astype(bool)
    labels = np.asarray(table.column("label").to_numpy(), np.float64)
    scores = score_matrix(table, product)
    by_arm = {str(arm): arms == arm for arm in np.unique(arms)}
    if live not in by_arm:
        return {}
    rows = {arm: _Rows(labels[own], scores[own], served[own]) for arm, own in by_arm.items()}
    found = {}
    for arm, own in rows.items():
        counted = own.where(own.served) if by_split else own
        figures = _of_rows(product, counted, guardrails)
        if arm != live and figures.loss is not None:
            figures = _compared(product, figures, own, rows[live], by_split)
        found[arm] = figures
    return found


def _of_lists(
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    ranking: Ranking,
    page: datetime,
    live: str,
    by_split: bool,
) -> dict[str, ArmOfPage]:
    """Compare ranked lists, whose rows have no loss of their own: the loss of an arm is 1 less its mean NDCG."""
    query = system_sql(
        "rollouts/lists",
        table=quote(product.name),
        beside=quote(arms_table(product.name)),
        keys=quote_all(product.keys),
        list=quote_all(ranking.keys),
        top=str(ranking.top),
        page=timestamp_literal(page),
        by_split=str(by_split).lower(),
    )
    found = {arm: ArmOfPage(n_rows, 1 - ndcg) for arm, n_rows, ndcg in connection.execute(query).fetchall()}
    if live not in found:
        return {}
    theirs = found[live].loss or 0.0
    return {
        arm: own if arm == live else replace(own, difference=(own.loss or 0.0) - theirs) for arm, own in found.items()
    }


@dataclass(frozen=True)
class _Rows:
    """The labelled rows of one arm, in the order of keys."""

    labels: Floats
    scores: Floats
    served: npt.NDArray[np.bool_]

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Rows:
        return _Rows(self.labels[chosen], self.scores[chosen], self.served[chosen])


def _compared(product: Product, figures: ArmOfPage, own: _Rows, live: _Rows, by_split: bool) -> ArmOfPage:
    loss = [losses(one.labels, one.scores, product.kind.name, product.quantiles) for one in (own, live)]
    if not by_split:
        return replace(figures, difference=float(loss[0].mean() - loss[1].mean()))
    # Both arms have scored the same rows. Of several scores a row none is the covariate.
    is_paired = live.scores.ndim == 1 and len(own.labels) == len(live.labels)
    sums = [
        ArmSums.of(y[rows.served], live.scores[rows.served] if is_paired else np.zeros(int(rows.served.sum())))
        for y, rows in zip(loss, (own, live), strict=True)
    ]
    return compared_by_split(figures, sums[0], sums[1])


def compared_by_split(figures: ArmOfPage, own: ArmSums, live: ArmSums) -> ArmOfPage:
    """Give an arm's figures with its difference from the live version, adjusted by the covariate, where it is told."""
    adjusted = adjusted_difference(own, live)
    if adjusted is None:
        return figures
    return replace(figures, difference=adjusted.difference, narrowed=adjusted.narrowed)


def _labelled(connection: duckdb.DuckDBPyConnection, product: Product, page: datetime) -> pa.Table:
    score, label = score_and_label(product)
    query = system_sql(
        "rollouts/labelled",
        table=quote(product.name),
        beside=quote(arms_table(product.name)),
        keys=quote_all(product.keys),
        score=score,
        label=label,
        page=timestamp_literal(page),
    )
    return connection.execute(query).to_arrow_table()


def _of_rows(product: Product, rows: _Rows, guardrails: Sequence[str]) -> ArmOfPage:
    if len(rows.labels) == 0:
        return ArmOfPage(0, None)
    loss = float(losses(rows.labels, rows.scores, product.kind.name, product.quantiles).mean())
    own = {name: _guardrail(name, rows.labels, rows.scores) for name in guardrails if name in _ROWS}
    return ArmOfPage(len(rows.labels), loss, own)


#: Guardrails that are means over labelled rows.
_ROWS = ("brier", "log_loss", "mae", "mse")


def _guardrail(name: str, labels: Floats, scores: Floats) -> float:
    if name == "log_loss":
        return float(losses(labels, scores, "binary").mean())
    off = scores - labels
    return float(np.abs(off).mean() if name == "mae" else (off**2).mean())


def ratios_of(
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    pages: Sequence[datetime],
    assignment: Assignment,
    segments: Sequence[str],
) -> SampleRatio | None:
    """Give the sample ratio that fits least of a stage's labelled pages, over all and by segment; None of no share.

    Parameters
    ----------
    assignment
        Of a canary by share; others have no shares to compare with.
    segments
        Columns of predictions or feature pages.
    """
    if assignment.by_region or assignment.listed is not None or not any(a.high > a.low for a in assignment.arms):
        return None
    if not pages or not table_columns(connection, "labels", product.name):
        return None
    own = table_columns(connection, "predictions", product.name)
    features = table_columns(connection, "features", product.name)
    table, keys = quote(product.name), quote_all(product.keys)
    pages_listed = ", ".join(timestamp_literal(page) for page in pages)
    parts = {"table": table, "keys": keys, "unit": unit_sql(assignment.unit), "pages": pages_listed}
    joined = f"JOIN features.{table} AS features USING (as_of, {keys})"
    homes = {name: "predictions" if name in own else "features" for name in segments if name in own or name in features}
    asked: list[tuple[str | None, str, str]] = [(None, "NULL", "")]
    asked += [
        (name, f"{home}.{quote(name)}::VARCHAR", joined if home == "features" else "") for name, home in homes.items()
    ]
    counts: dict[str | None, dict[str, int]] = {}
    for name, value, join in asked:
        query = system_sql("rollouts/units", segment=value, join=join, **parts)
        for arm, of, n_units in connection.execute(query).fetchall():
            counts.setdefault(None if name is None else f"{name} = {of}", {})[arm] = n_units
    shares = assignment.shares()
    found = [sample_ratio(one, shares, segment, len(counts)) for segment, one in counts.items()]
    return max(found, key=lambda one: one.e / one.bound, default=None)
