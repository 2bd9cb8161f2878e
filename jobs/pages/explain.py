"""Explain: what each column contributed to the predictions of a published page, for one row or over all of them.

The version that wrote the page is asked, about the features that it scored. Contributions are in the unit of its raw
prediction (log-odds, where probabilities are predicted); a row's begin at the base and end at the raw prediction.
Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb

from jobs.models.columns.requirements import classes_of
from jobs.models.kinds.class_metrics import predicted
from jobs.models.kinds.figures import Target
from jobs.models.versions import load_scorer, model_history
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import NotFoundError, UsageError
from warehouse.pages.history import PastPage, past_page
from warehouse.pages.kind_columns import probability_list
from warehouse.system_sql import literal, quote, quote_all, system_sql

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from jobs.scoring.reasons.explainer import Explainer

#: So many rows of a page are explained, unless told otherwise: some seconds for a model of 200 trees.
MAX_ROWS = 2_000
_SCORE = "almanac: score"


@dataclass(frozen=True)
class Explanation:
    """How one row's prediction came about.

    Attributes
    ----------
    base
        The raw prediction of a row of which nothing is known.
    raw, score
        The row's raw prediction, and what was published; of classes those of the class that was predicted.
    steps
        The columns (or groups), the largest contribution first: its name, value, contribution, and the raw prediction
        and score that base and contributions up to it come to; the score is left out where it is not the raw
        prediction's link (calibrated models).
    method
        In words.
    prediction
        The class that was predicted, of a label with classes.
    """

    product: str
    as_of: datetime
    version: str
    key: dict[str, Any]
    method: str
    base: float
    raw: float
    score: float
    steps: list[dict[str, Any]]
    prediction: str | None = None


@dataclass(frozen=True)
class PageExplanation:
    """What moved the predictions of a page.

    Attributes
    ----------
    n_rows, n_explained
        The page's rows, and how many of them were explained.
    base
        The raw prediction of a row of which nothing is known; None of classes, each of which has its own.
    columns
        Each column (or group), the largest mean size first: mean size and mean of its contributions; with another
        page, also what they were there; with `by`, one row for each of its values.
    """

    product: str
    as_of: datetime
    version: str
    method: str
    base: float | None
    n_rows: int
    n_explained: int
    columns: list[dict[str, Any]]
    since: datetime | None = None


@dataclass(frozen=True)
class Question:
    """What is to be explained: columns that count as one by the group's name, and at most so many rows."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    max_rows: int = MAX_ROWS


@dataclass(frozen=True)
class _Rows:
    """Rows of a page, and what explains them."""

    version: str
    n_rows: int
    table: pa.Table
    explainer: Explainer
    contributions: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any]
    #: Of a label with classes, the place of the one by which each row is explained, and their names.
    classes: np.ndarray[Any, Any] | None = None
    names: tuple[str, ...] = ()

    @property
    def first_base(self) -> float:
        """What the contributions of the first row add up from."""
        return self.explainer.base if self.classes is None else self.explainer.bases[int(self.classes[0])]


def explain_row(
    suite: Suite, product_name: str, as_of: datetime, key: Mapping[str, str], question: Question | None = None
) -> Explanation:
    """Explain one row of a published page.

    Parameters
    ----------
    suite, product_name, as_of
        Which page; naive UTC.
    key
        The row's keys, as text.
    question
        Which columns count as one.

    Raises
    ------
    NotFoundError
        If the page is not published, or has no such row.
    UsageError
        If the keys are not the product's, the row's features were made again since, or the model cannot be explained
        exactly.
    """
    product = suite.definitions.product(product_name)
    if set(key) != set(product.keys):
        raise UsageError(f"{product.name} is looked up by {', '.join(product.keys)}; give each with --key NAME=VALUE.")
    rows = _read(suite, product, as_of, question or Question(), key)
    raw = rows.first_base + float(rows.contributions[0].sum())
    return Explanation(
        product.name,
        as_of,
        rows.version,
        {name: rows.table.column(name)[0].as_py() for name in product.keys},
        rows.explainer.method,
        rows.first_base,
        raw,
        float(rows.scores[0]),
        _steps(rows),
        rows.names[int(rows.classes[0])] if rows.classes is not None else None,
    )


def explain_page(
    suite: Suite,
    product_name: str,
    as_of: datetime,
    *,
    by: str | None = None,
    since: datetime | None = None,
    question: Question | None = None,
) -> PageExplanation:
    """Explain a published page: the mean size and the mean of each column's contributions.

    Parameters
    ----------
    suite, product_name, as_of
        Which page; naive UTC.
    by
        A column of the page's features: means for each of its values.
    since
        Another page, whose means stand beside.
    question
        Which columns count as one, and how many rows are explained.

    Raises
    ------
    NotFoundError
        If a page is not published, or has no rows.
    UsageError
        If there is no such column, or the model cannot be explained exactly.
    """
    product = suite.definitions.product(product_name)
    question = question or Question()
    rows = _read(suite, product, as_of, question, {}, [by] if by else [])
    columns = _means(rows, by)
    if since is not None:
        columns = _beside(columns, _means(_read(suite, product, since, question, {}, [by] if by else []), by), by)
    return PageExplanation(
        product.name,
        as_of,
        rows.version,
        rows.explainer.method,
        rows.explainer.base if rows.classes is None else None,
        rows.n_rows,
        rows.table.num_rows,
        columns,
        since,
    )


def _read(
    suite: Suite,
    product: Product,
    as_of: datetime,
    question: Question,
    key: Mapping[str, str],
    more: Sequence[str] = (),
) -> _Rows:
    """Read rows of a page, and explain them."""
    if product.quantiles:
        raise UsageError(f"{product.name}: its predictions cannot be explained: they are several quantiles.")
    import numpy as np

    from jobs.scoring.reasons.explainer import Explainer
    from jobs.scoring.reasons.players import make_players

    with suite.lake.reading(all_cores=True) as connection:
        predictions = past_page(connection, product.name, "predictions", as_of)
        features = past_page(connection, product.name, "features", as_of)
        asked, version = _asked(connection, predictions, key)
        model = model_history(connection, product.name).version(version)
        wanted, of = list(dict.fromkeys([*product.keys, *model.features, *more])), "predictions."
        query = system_sql(
            "explain/rows",
            columns=quote_all(wanted),
            score=probability_list(product, of) if product.classes else f"{of}{quote(product.score_column)}",
            ordered=quote_all(product.keys),
            keys=quote_all([*product.keys, "as_of"]),
            predictions=predictions.relation,
            features=features.relation,
            # In a rollout other rows of the page may be another version's.
            condition=f"{asked} AND predictions.model_version = {literal(version)}",
        )
        try:
            table = connection.execute(query, [question.max_rows, *key.values()]).to_arrow_table()
        except duckdb.BinderException as error:
            raise UsageError(f"{product.name}, page {as_of}: {error}") from error
    if not table.num_rows:
        shown = ", ".join(f"{name}={value}" for name, value in key.items())
        raise NotFoundError(f"the page {as_of} of {product.name} has no row{f' with {shown}' if shown else 's'}.")
    scorer = load_scorer(suite.lake, model)
    names = classes_of(model)
    scores = Target(product.kind.name, product.classes, names).scores(scorer.predict(table))
    differing = _n_differing(scores, table.column(_SCORE))
    if differing:
        raise UsageError(
            f"the page {as_of} of {product.name}: {differing} of {table.num_rows} rows have other features now than"
            f" when {model.version} scored them. Make the page again (almanac run {product.name} --as-of T), then"
            " explain it."
        )
    n_rows, players = predictions.record.n_rows, make_players(model.features, question.groups)
    explainer = Explainer(scorer, players, table, by_class=bool(product.classes))
    if not product.classes:
        return _Rows(model.version, n_rows, table, explainer, explainer.explain(table), scores)
    said = predicted(scores)
    places = np.array([names.index(name) if name in names else 0 for name in product.classes])[said]
    of_said = scores[np.arange(len(said)), said]
    return _Rows(model.version, n_rows, table, explainer, explainer.explain(table, places), of_said, places, names)


def _asked(connection: duckdb.DuckDBPyConnection, page: PastPage, key: Mapping[str, str]) -> tuple[str, str]:
    """Give the condition of the rows asked for, and the version that scored them: of a whole page the live one."""
    condition = " AND ".join(f"CAST({quote(name)} AS VARCHAR) = ${place}" for place, name in enumerate(key, 2))
    if key:
        query = f"SELECT model_version, $1 FROM {page.relation} WHERE {condition}"
        row = connection.execute(query, [None, *key.values()]).fetchone()
        if row is not None:
            return condition, str(row[0])
    return condition or "true", str(page.record.model_version)


def _n_differing(scores: np.ndarray[Any, Any], published: pa.ChunkedArray) -> int:
    """Count the rows of which something else was published; what a page says nothing of has no probability."""
    import numpy as np

    if scores.ndim == 1:
        return int((scores != published.to_numpy()).sum())
    flat = published.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return int((scores != np.nan_to_num(flat, nan=0.0).reshape(scores.shape)).any(axis=1).sum())


def _steps(rows: _Rows) -> list[dict[str, Any]]:
    import numpy as np

    players, given = rows.explainer.players, rows.contributions[0]
    values = {name: rows.table.column(name)[0].as_py() for name in rows.table.column_names}
    owners = players.of_feature.tolist()
    names = rows.explainer.feature_names
    order = np.argsort(-np.abs(given), kind="stable").tolist()
    raw = rows.first_base + np.cumsum(given[order])
    scores = rows.explainer.scores_of(raw)
    steps = []
    for place, player in enumerate(order):
        own = [values[name] for name, owner in zip(names, owners, strict=True) if owner == player]
        step = {
            "column": players.names[player],
            "value": own[0] if len(own) == 1 else own,
            "contribution": float(given[player]),
            "raw": float(raw[place]),
        }
        steps.append(step if scores is None else step | {"score": float(scores[place])})
    return steps


def _means(rows: _Rows, by: str | None) -> list[dict[str, Any]]:
    import numpy as np

    values = rows.table.column(by).to_pylist() if by else [None] * rows.table.num_rows
    found = []
    for value in sorted(set(values), key=lambda one: (one is None, str(one))):
        part = rows.contributions[[one == value for one in values]]
        sizes, means = np.abs(part).mean(axis=0), part.mean(axis=0)
        for player in np.argsort(-sizes, kind="stable").tolist():
            row = {by: value, "rows": len(part)} if by else {}
            named = {"column": rows.explainer.players.names[player]}
            found.append({**row, **named, "mean_size": float(sizes[player]), "mean": float(means[player])})
    return found


def _beside(now: list[dict[str, Any]], then: list[dict[str, Any]], by: str | None) -> list[dict[str, Any]]:
    """Put the means of another page beside, and what has changed; the largest change of the mean first."""
    names = ("column", by) if by else ("column",)
    earlier = {tuple(row[name] for name in names): row for row in then}
    found = []
    for row in now:
        other = earlier.get(tuple(row[name] for name in names), {})
        before = other.get("mean")
        changed = row["mean"] - before if before is not None else None
        found.append({**row, "mean_size_then": other.get("mean_size"), "mean_then": before, "change": changed})
    return sorted(found, key=lambda row: -abs(row["change"] or 0.0))
