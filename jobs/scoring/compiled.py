"""Turns an estimator into the fastest scorer that is exact.

Readers say what a model's trees are, links how its raw prediction becomes what people read. Both are
registries in plain sight. What is not in them is scored by the estimator itself, with the reason in `why`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring.interface.arrow_input import Batch, column_named, feature_kind, plain_column
from jobs.scoring.interface.scorer import Floats, NotUnderstood, Scorer, estimator_scorer
from jobs.scoring.kernels.tree_scorer import TreeProgram
from jobs.scoring.readers.registry import reader_of
from jobs.scoring.steps.calibrated import CalibratedProgram
from jobs.scoring.steps.columns import Block, input_block
from jobs.scoring.steps.compiled_model import Program
from jobs.scoring.steps.linear import LinearProgram, is_linear
from jobs.scoring.steps.pipeline import split_pipeline


def build_program(estimator: Any, block: Block, kinds: Sequence[str], feature_names: Sequence[str]) -> Program:
    """Compile an estimator for input columns of certain types.

    Parameters
    ----------
    estimator
        A fitted estimator or pipeline.
    block
        What it is given.
    kinds, feature_names
        The types and names of the input columns that the block is made of.

    Raises
    ------
    NotUnderstood
        The model, or a step before it, cannot be compiled exactly.
    """
    model, block = split_pipeline(estimator, block)
    if is_linear(model):
        return LinearProgram(model, block, kinds, feature_names)
    if type(model).__name__ == "CalibratedClassifierCV" and type(model).__module__.startswith("sklearn."):
        parts = [part.estimator for part in model.calibrated_classifiers_]
        return CalibratedProgram(model, [build_program(part, block, kinds, feature_names) for part in parts])
    known = reader_of(model)
    if known is None:
        raise NotUnderstood(f"{type(model).__name__} is not among the models that are understood")
    read, make_link = known
    try:
        ensemble, link = read(model, block), make_link(model)
    except NotUnderstood:
        raise
    except Exception as error:
        # What is read is another library's own format: whatever there is new in it, the estimator knows.
        raise NotUnderstood(f"{type(model).__name__} could not be read ({type(error).__name__}: {error})") from error
    return TreeProgram(ensemble, kinds, feature_names, link)


class CompiledScorer:
    """A compiled model: one program for each set of column types that comes along."""

    def __init__(self, estimator: Any, feature_names: Sequence[str]) -> None:
        self.estimator = estimator
        self.feature_names = tuple(feature_names)
        self._lock = threading.Lock()
        likely = self._likely_kinds()
        self._first = self._build(likely)
        self._programs: dict[tuple[str, ...], Program | None] = {likely: self._first}
        self.kind = self._first.kind
        self.why = self._first.why
        self.tolerance_ulp = self._first.tolerance_ulp

    def _likely_kinds(self) -> tuple[str, ...]:
        """Return the types to try first: text where a step or the model itself knows categories of text."""
        text = set(_text_columns(self.estimator, self.feature_names))
        return tuple("text" if name in text else "float64" for name in self.feature_names)

    def _build(self, kinds: tuple[str, ...]) -> Program:
        block = input_block(self.feature_names, kinds)
        return build_program(self.estimator, block, kinds, self.feature_names)

    def _program(self, kinds: tuple[str, ...]) -> Program | None:
        """Return what scores columns of these types, made at their first sight; None if nothing compiled can."""
        with self._lock:
            if kinds not in self._programs:
                try:
                    self._programs[kinds] = self._build(kinds)
                except NotUnderstood:
                    self._programs[kinds] = None
            return self._programs[kinds]

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a feature at which the model's tests change their answer."""
        return self._first.probes(place)

    def magnitude(self, batch: Batch) -> Floats | None:
        """Return the sizes in whose last place raw predictions may differ, None where they agree to the bit."""
        program, columns = self._program_for(batch)
        if program is None or program.tolerance_ulp == 0:
            return None
        parts = [program.magnitude(part, n_rows) for part, n_rows in _in_pieces(columns, batch.num_rows)]
        sizes = np.concatenate(parts)
        return sizes[:, 0] if sizes.shape[1] == 1 else sizes

    def _program_for(self, batch: Batch) -> tuple[Program | None, list[pa.Array | pa.ChunkedArray]]:
        columns = [plain_column(name, column_named(batch, name)) for name in self.feature_names]
        kinds = [feature_kind(name, column.type) for name, column in zip(self.feature_names, columns, strict=True)]
        return self._program(tuple(kinds)), columns

    def _raw(self, batch: Batch) -> tuple[Program, Floats] | None:
        """Return (n_rows, n_outputs) and what made it, or None where the estimator has to score these types."""
        program, columns = self._program_for(batch)
        if program is None:
            return None
        parts = [program.raw(part, n_rows) for part, n_rows in _in_pieces(columns, batch.num_rows)]
        return program, parts[0] if len(parts) == 1 else np.concatenate(parts)

    def raw(self, batch: Batch) -> Floats:
        """Return the raw prediction, see `Scorer.raw`."""
        answer = self._raw(batch)
        if answer is None:
            return estimator_scorer(self.estimator, self.feature_names).raw(batch)
        _, raw = answer
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, batch: Batch) -> Floats:
        """Return probabilities or predicted values, see `Scorer.predict`."""
        answer = self._raw(batch)
        if answer is None:
            return estimator_scorer(self.estimator, self.feature_names).predict(batch)
        program, raw = answer
        return program.predict(raw)


def _in_pieces(columns: Sequence[pa.Array | pa.ChunkedArray], n_rows: int) -> list[tuple[list[pa.Array], int]]:
    """Cut chunked columns where any of them is cut; arrays stay whole, and nothing is copied."""
    if not any(isinstance(column, pa.ChunkedArray) for column in columns):
        return [(list(columns), n_rows)]
    table = pa.table(list(columns), names=[str(place) for place in range(len(columns))])
    batches = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    return [(batch.columns, batch.num_rows) for batch in batches]


def _text_columns(estimator: Any, feature_names: Sequence[str]) -> list[str]:
    """Return the features that some encoder or imputer in the estimator learned text of."""
    found: list[str] = []
    parts = [step for _, step in getattr(estimator, "steps", [])]
    parts += [part for _, part, _ in getattr(estimator, "transformers_", []) if not isinstance(part, str)]
    parts += [part.estimator for part in getattr(estimator, "calibrated_classifiers_", [])[:1]]
    inner = getattr(estimator, "_preprocessor", None)
    for part in [*parts, *([inner] if inner is not None else [])]:
        found += _text_columns(part, feature_names)
    names = getattr(estimator, "feature_names_in_", ())
    # An encoder has an array of categories for each column, an imputer one value.
    learned = getattr(estimator, "categories_", getattr(estimator, "statistics_", ()))
    for name, values in zip(names, learned, strict=False):
        if any(isinstance(value, str) for value in np.ravel(values).tolist()):
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
    try:
        return CompiledScorer(estimator, feature_names)
    except NotUnderstood as reason:
        return estimator_scorer(estimator, feature_names, f"The estimator scores itself, because {reason}.")
