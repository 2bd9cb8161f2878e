"""Turns an estimator into the fastest scorer that is exact.

Readers say what a model's trees are, links how its raw prediction becomes what people read. Both are
registries in plain sight. What is not in them is scored by the estimator itself, with the reason in `why`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring.arrow_input import Batch, column_named, feature_kind, plain_column
from jobs.scoring.block import Block, input_block
from jobs.scoring.ensemble import Ensemble
from jobs.scoring.pipeline import split_pipeline
from jobs.scoring.read_hist_gradient import read_hist_gradient_boosting
from jobs.scoring.read_trees import read_decision_tree, read_forest, read_gradient_boosting
from jobs.scoring.scorer import (
    EstimatorScorer,
    Floats,
    NotUnderstood,
    Scorer,
    estimator_scorer,
    final_step,
)
from jobs.scoring.tree_scorer import TreeProgram, kernel_kind

Reader = Callable[[Any, Block], Ensemble]
Link = Callable[[Any, Floats], Floats]


def _hist_probabilities(model: Any, raw: Floats) -> Floats:
    return np.asarray(model._loss.predict_proba(raw))


def _hist_prediction(model: Any, raw: Floats) -> Floats:
    return np.asarray(model._loss.link.inverse(raw.ravel()))


def _as_it_is(model: Any, raw: Floats) -> Floats:
    return raw if hasattr(model, "classes_") else raw.ravel()


def _loss_probabilities(model: Any, raw: Floats) -> Floats:
    return np.asarray(model._loss.predict_proba(raw.ravel() if raw.shape[1] == 1 else raw))


READERS: dict[str, tuple[Reader, Link]] = {
    "HistGradientBoostingClassifier": (read_hist_gradient_boosting, _hist_probabilities),
    "HistGradientBoostingRegressor": (read_hist_gradient_boosting, _hist_prediction),
    "RandomForestClassifier": (read_forest, _as_it_is),
    "RandomForestRegressor": (read_forest, _as_it_is),
    "ExtraTreesClassifier": (read_forest, _as_it_is),
    "ExtraTreesRegressor": (read_forest, _as_it_is),
    "DecisionTreeClassifier": (read_decision_tree, _as_it_is),
    "DecisionTreeRegressor": (read_decision_tree, _as_it_is),
    "ExtraTreeClassifier": (read_decision_tree, _as_it_is),
    "ExtraTreeRegressor": (read_decision_tree, _as_it_is),
    "GradientBoostingClassifier": (read_gradient_boosting, _loss_probabilities),
    "GradientBoostingRegressor": (read_gradient_boosting, _as_it_is),
}
"""By class name: what reads the model's trees, and how its raw prediction (n, n_outputs) becomes `predict`'s.
"""


class CompiledTrees:
    """A tree ensemble, with the steps before it, scored by the bitvector kernel."""

    def __init__(self, estimator: Any, feature_names: Sequence[str]) -> None:
        self.estimator = estimator
        self.feature_names = tuple(feature_names)
        self._lock = threading.Lock()
        self._programs: dict[tuple[str, ...], TreeProgram | EstimatorScorer] = {}
        self.model = final_step(estimator)
        self._read, self._link = READERS[type(self.model).__name__]
        ensemble = self._understand(self._likely_kinds())
        self.kind = kernel_kind(ensemble)
        kernel = "traversal" if self.kind == "traversal" else "bitvector"
        self.why = (
            f"{len(ensemble.trees)} trees of at most {ensemble.max_leaves} leaves go through the {kernel}"
            " kernel with all the steps before them."
        )

    def _likely_kinds(self) -> tuple[str, ...]:
        """Return the types to try first: text where a step or the model itself knows categories of text."""
        text = set(_text_columns(self.estimator, self.feature_names))
        return tuple("text" if name in text else "float64" for name in self.feature_names)

    def _understand(self, kinds: tuple[str, ...]) -> Ensemble:
        model, block = split_pipeline(self.estimator, input_block(self.feature_names, kinds))
        return self._read(model, block)

    def program(self, kinds: tuple[str, ...]) -> TreeProgram | EstimatorScorer:
        """Return what scores columns of these types, made at their first sight."""
        with self._lock:
            if kinds not in self._programs:
                try:
                    self._programs[kinds] = TreeProgram(self._understand(kinds), kinds, self.feature_names)
                except NotUnderstood as reason:
                    self._programs[kinds] = estimator_scorer(self.estimator, self.feature_names, str(reason))
            return self._programs[kinds]

    def probes(self, place: int) -> list[float | str]:
        """Return the values at which the model's tests on a feature change their answer."""
        program = self.program(self._likely_kinds())
        if isinstance(program, EstimatorScorer):
            return []
        found: list[float | str] = []
        for bins in program.bins:
            if bins.column == place:
                found += [*bins.domain, *bins.breakpoints.astype(np.float64).tolist()]
        return found

    def _columns(self, batch: Batch) -> tuple[tuple[str, ...], list[pa.Array | pa.ChunkedArray]]:
        columns = [plain_column(name, column_named(batch, name)) for name in self.feature_names]
        kinds = [feature_kind(name, column.type) for name, column in zip(self.feature_names, columns, strict=True)]
        return tuple(kinds), columns

    def _raw(self, batch: Batch) -> Floats | None:
        """Return (n_rows, n_outputs), or None where the estimator itself has to score these types."""
        kinds, columns = self._columns(batch)
        program = self.program(kinds)
        if isinstance(program, EstimatorScorer):
            return None
        parts = [program.raw(part, n_rows) for part, n_rows in _in_pieces(columns, batch.num_rows)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def raw(self, batch: Batch) -> Floats:
        """Return the raw prediction, see `Scorer.raw`."""
        raw = self._raw(batch)
        if raw is None:
            return estimator_scorer(self.estimator, self.feature_names).raw(batch)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, batch: Batch) -> Floats:
        """Return probabilities or predicted values, see `Scorer.predict`."""
        raw = self._raw(batch)
        if raw is None:
            return estimator_scorer(self.estimator, self.feature_names).predict(batch)
        return self._link(self.model, raw)


def _in_pieces(columns: Sequence[pa.Array | pa.ChunkedArray], n_rows: int) -> list[tuple[list[pa.Array], int]]:
    """Cut chunked columns where any of them is cut; arrays stay whole, and nothing is copied."""
    if not any(isinstance(column, pa.ChunkedArray) for column in columns):
        return [(list(columns), n_rows)]
    table = pa.table(list(columns), names=[str(place) for place in range(len(columns))])
    batches = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    return [(batch.columns, batch.num_rows) for batch in batches]


def _text_columns(estimator: Any, feature_names: Sequence[str]) -> list[str]:
    """Return the features that some encoder in the estimator knows text categories of."""
    found: list[str] = []
    parts = [step for _, step in getattr(estimator, "steps", [])]
    parts += [part for _, part, _ in getattr(estimator, "transformers_", []) if not isinstance(part, str)]
    inner = getattr(estimator, "_preprocessor", None)
    for part in [*parts, *([inner] if inner is not None else [])]:
        found += _text_columns(part, feature_names)
    for name, categories in zip(
        getattr(estimator, "feature_names_in_", ()), getattr(estimator, "categories_", ()), strict=False
    ):
        if any(isinstance(value, str) for value in categories.tolist()):
            found.append(str(name))
    return found


def compile_model(estimator: Any, feature_names: Sequence[str]) -> Scorer:
    """Return the fastest scorer for a fitted estimator that gives exactly its answers.

    Parameters
    ----------
    estimator
        A fitted estimator or pipeline, trained on what `estimator_input` makes.
    feature_names
        Its features in the order that it was trained with.

    Returns
    -------
    Scorer
        A compiled one where the model is understood, otherwise `estimator_scorer` with the reason in `why`.
    """
    model = final_step(estimator)
    library = type(model).__module__.partition(".")[0]
    if type(model).__name__ not in READERS or library not in ("sklearn", "lightgbm", "xgboost"):
        why = f"{type(model).__name__} is not among the models that are understood, so it scores itself."
        return estimator_scorer(estimator, feature_names, why)
    try:
        return CompiledTrees(estimator, feature_names)
    except NotUnderstood as reason:
        return estimator_scorer(estimator, feature_names, f"The estimator scores itself, because {reason}.")
