"""Learning: the two ways in which a version comes from labelled pages.

Stateless: a new estimator is fitted to every page before the cut-off. Stateful: an earlier version's estimator goes
on learning from what has become known since its own cut-off, where that is sound (`jobs.models.warm_start`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from jobs.models.columns.findings import empty_columns, findings_of
from jobs.models.columns.requirements import classes_of
from jobs.models.estimators import is_ranker, make_estimator
from jobs.models.kinds.figures import Target
from jobs.models.versions import load_estimator
from jobs.models.warm_start import continued
from jobs.pages.labelled import LabelledPages, TrainingRows
from jobs.rollout.evidence import lists_of
from jobs.scoring import estimator_input
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.pipeline import ModelSettings, PipelineSettings
from warehouse.definitions.product import Ranking
from warehouse.errors import RunFailed, UsageError
from warehouse.ledger.records import ModelRecord
from warehouse.queries.checked_query import fingerprint_of

Floats = npt.NDArray[np.float64]


class Way(Protocol):
    """How a version learns: which rows it takes as of an instant, and what it makes of them."""

    @property
    def parent(self) -> ModelRecord | None:
        """The version that it continues, if any."""

    def rows(self, known_by: datetime) -> TrainingRows:
        """Give the rows that a model as of `known_by` learns from: pages before it, labels known by it."""

    def fit(self, rows: TrainingRows) -> Learnt:
        """Give an estimator that has learnt from them."""


@dataclass(frozen=True)
class Learnt:
    """A fitted estimator, and the features that it reads, in order, with their DuckDB types.

    `classes` are those that it has seen, in the order of its predictions; none of a label that has no classes.
    """

    estimator: Any
    features: dict[str, str]
    classes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Name the features."""
        return list(self.features)

    def target(self, product: Product) -> Target:
        """Give what its predictions are held against."""
        return Target(product.kind.name, product.classes, self.classes, product.quantiles, product.quantiles)


class Stateless:
    """A new estimator, fitted to all rows. `features` are those to choose from, with their DuckDB types."""

    parent: ModelRecord | None = None

    def __init__(self, suite: Suite, labelled: LabelledPages, features: Mapping[str, str]) -> None:
        self.suite, self.labelled, self.features = suite, labelled, dict(features)
        self.product = labelled.product

    def rows(self, known_by: datetime) -> TrainingRows:
        """Give every row whose label was known; the product's keys are among the columns."""
        wanted = [*self.features, *self.product.keys]
        return self.labelled.rows(wanted, known_by, self.labelled.pages[0], known_by)

    def fit(self, rows: TrainingRows) -> Learnt:
        """Fit a new estimator on the features that have a value in some row.

        Raises
        ------
        UsageError
            If no feature has.
        RunFailed
            If it refuses the rows.
        """
        empty = set(empty_columns(rows.features, list(self.features)))
        features = {name: kind for name, kind in self.features.items() if name not in empty}
        if not features:
            raise UsageError(
                f"{self.product.name}: none of its features has a value in any of the {rows.n_rows} training rows:"
                f" {', '.join(self.features)}. Look at its feature groups, and at what was ingested."
            )
        labels, classes = _consecutive(rows.labels, self.product.classes)
        estimator, sizes = make_estimator(self.product, features, self.suite.root, classes), None
        if self.product.ranking is not None and is_ranker(estimator):
            rows, sizes = list_by_list(self.product.ranking, rows)
            labels = rows.labels
        frame = estimator_input(rows.features, list(features))
        try:
            return Learnt(_fitted(estimator, frame, labels, rows, sizes), features, classes)
        except (ValueError, TypeError) as error:
            raise RunFailed(f"{self.product.name}: the estimator refused the training rows: {error}") from error


def _fitted(estimator: Any, frame: Any, labels: Floats, rows: TrainingRows, sizes: Any = None) -> Any:
    """Fit an estimator; one whose intervals come from pages that it does not learn from is told them.

    `sizes` are how many rows in turn are of one list, which a ranker is told.
    """
    if sizes is not None:
        step = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
        return estimator.fit(frame, labels, **{f"{step}group": sizes})
    if type(estimator).__name__ == "ConformalQuantiles":
        return estimator.fit(frame, labels, rows.pages)
    return estimator.fit(frame, labels)


def list_by_list(ranking: Ranking, rows: TrainingRows) -> tuple[TrainingRows, npt.NDArray[np.int64]]:
    """Put rows in the order of their lists, as rankers take them, and give how many each list has."""
    numbers = lists_of(ranking, rows.features, rows.pages).of_row
    return rows.in_order(np.argsort(numbers, kind="stable")), np.bincount(numbers)


def _consecutive(labels: Floats, classes: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Number the classes that occur from 0 on, in the order that they are declared; name them."""
    if not classes:
        return labels, ()
    seen, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.float64), tuple(classes[int(code)] for code in seen)


def _among(labels: Floats, classes: Sequence[str], learnt: Sequence[str]) -> Floats:
    """Number labels as a version does that has learnt some of the classes.

    Raises
    ------
    UsageError
        If it has never seen one of them.
    """
    if not classes:
        return labels
    names = [classes[int(code)] for code in np.unique(labels)]
    if unseen := [name for name in names if name not in learnt]:
        raise UsageError(
            f"the version to continue has never seen a label of {', '.join(f'`{name}`' for name in unseen)}, and cannot"
            " learn another class. Train a stateless version."
        )
    places = np.array([learnt.index(name) if name in learnt else -1 for name in classes], np.float64)
    return np.asarray(places[labels.astype(np.int64)], np.float64)


class Stateful:
    """An earlier version's estimator, which goes on with what has become known since its label cut-off."""

    def __init__(self, suite: Suite, labelled: LabelledPages, features: Mapping[str, str], parent: ModelRecord) -> None:
        self.suite, self.labelled, self.features, self.parent = suite, labelled, dict(features), parent
        self.product = labelled.product

    def rows(self, known_by: datetime) -> TrainingRows:
        """Give the rows of later pages, and those of earlier pages whose label was not known to the parent."""
        keys, cutoff = list(self.product.keys), self.parent.writes_from
        first = self.labelled.pages[0]
        rows = self.labelled.rows([*self.features, *keys], known_by, first, known_by)
        seen = self.labelled.rows(keys, cutoff, first, min(cutoff, known_by))
        return rows.where(_not_among(rows, seen, keys))

    def fit(self, rows: TrainingRows) -> Learnt:
        """Let the parent's estimator, loaded anew each time, learn the rows.

        Raises
        ------
        UsageError
            If it is of a kind that cannot go on with new rows; the message says why.
        """
        estimator = load_estimator(self.suite.lake, self.parent)
        frame = estimator_input(rows.features, list(self.features))
        share = rows.n_rows / max(1, self.parent.n_rows)
        classes = classes_of(self.parent)
        labels = _among(rows.labels, self.product.classes, classes)
        return Learnt(continued(estimator, frame, labels, share), self.features, classes)


def _not_among(rows: TrainingRows, seen: TrainingRows, keys: list[str]) -> npt.NDArray[np.bool_]:
    """Tell of each row whether the other rows lack it."""
    import polars as pl

    def frame(of: TrainingRows) -> pl.DataFrame:
        found = pl.from_arrow(of.features.select(keys))
        assert isinstance(found, pl.DataFrame)
        return found.with_columns(pl.Series("as_of", of.pages))

    left, right = frame(rows).with_row_index("almanac: place"), frame(seen)
    places = left.join(right, on=[*keys, "as_of"], how="anti").get_column("almanac: place").to_numpy()
    chosen = np.zeros(rows.n_rows, np.bool_)
    chosen[places] = True
    return chosen


def require_continuable(suite: Suite, product: Product, features: Mapping[str, str], parent: ModelRecord) -> None:
    """See that what a version was made from is what its product declares now.

    Raises
    ------
    UsageError
        If features, encodings, the estimator or definitions have changed: that needs a stateless training.
    """
    settings = product.header.model
    changed = []
    # What had no value in the parent's rows it does not read, and goes on without.
    empty = set(findings_of(parent).empty)
    features = {name: kind for name, kind in features.items() if name not in empty}
    if parent.features != list(features):
        gone, new = set(parent.features) - set(features), set(features) - set(parent.features)
        changed.append(f"its features ({_listed('gone', gone)}{_listed('new', new)}or their order)")
    if parent.pipeline != pipeline_text(settings.pipeline):
        changed.append("its pipeline")
    if (parent.estimator, parent.parameters) != (settings.estimator, json.dumps(settings.parameters, sort_keys=True)):
        changed.append("its estimator or parameters")
    if not changed and parent.definitions != model_definitions(suite, product):
        changed.append("the definitions of its pages, its labels or its model")
    if changed:
        raise UsageError(
            f"{product.name} {parent.version} cannot be continued: {' and '.join(changed)} changed since. Train a"
            f" stateless version: almanac train {product.name}"
        )


def _listed(word: str, names: set[str]) -> str:
    return f"{word}: {', '.join(sorted(names))}; " if names else ""


def pages_to_train_on(
    product: Product, cutoff: datetime, window: timedelta | None, leave_out: Collection[datetime] = ()
) -> list[datetime]:
    """Give the pages before a cut-off, of the newest `window` if there is one, without those to be left out.

    Raises
    ------
    UsageError
        If there are fewer than two.
    """
    since = product.header.pages.since
    pages = product.pages_between(max(since, cutoff - window) if window else since, cutoff)
    pages = [page for page in pages if page not in leave_out]
    if len(pages) < 2:
        within = f" within {window} of it" if window else ""
        raise UsageError(
            f"{product.name} has {len(pages)} pages before {cutoff}{within}: its grid begins at {since}. Train with a"
            " later --as-of or a longer --window, or set `pages.since` earlier."
        )
    return pages


def with_model(product: Product, model: ModelSettings) -> Product:
    """Give a product with other settings of its model."""
    return replace(product, header=product.header.model_copy(update={"model": model}))


def pipeline_text(settings: PipelineSettings | str | None) -> str | None:
    """Write the declared steps as the record keeps them: JSON, or None where there are none."""
    if settings is None:
        return None
    return json.dumps(settings if isinstance(settings, str) else settings.model_dump(mode="json"), sort_keys=True)


def model_definitions(suite: Suite, product: Product) -> str:
    """Hash what a version of this product is made from: its pages, its labels and its model's settings."""
    if product.rule is not None:
        return fingerprint_of(suite.definitions.page_fingerprint(product), product.rule.fingerprint)
    return fingerprint_of(
        suite.definitions.page_fingerprint(product),
        suite.definitions.label_fingerprint(product),
        product.header.model.model_dump(mode="json", exclude={"sql"}),
        *([list(product.quantiles)] if product.quantiles else []),
    )
