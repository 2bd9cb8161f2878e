"""Turns an estimator, or the file that was written of one, into the fastest scorer that is exact.

Readers say what a model's trees are and how its raw prediction becomes what people read; they are a registry in plain
sight. What is not in it is scored by the estimator itself, with the reason in `why`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring.files.model_file import ModelFile, read_model_file, write_model_file
from jobs.scoring.interface.arrow_input import Batch, column_named, feature_kind, plain_column
from jobs.scoring.interface.scorer import EstimatorScorer, Floats, NotUnderstood, Scorer, estimator_scorer
from jobs.scoring.kernels.ensemble import Ensemble
from jobs.scoring.kernels.model_data import CalibratedModel, CompiledModel, LinearModel, ShiftedModel
from jobs.scoring.kernels.tree_scorer import TreeProgram
from jobs.scoring.readers.bin_trees import bin_trees
from jobs.scoring.steps.calibrated import CalibratedProgram, is_calibrated, read_calibrated
from jobs.scoring.steps.columns import Block, input_block
from jobs.scoring.steps.compiled_model import Program
from jobs.scoring.steps.linear import LinearProgram, is_linear, read_linear
from jobs.scoring.steps.pipeline import split_pipeline
from jobs.scoring.steps.quantiles import (
    TOGETHER,
    ShiftedProgram,
    is_conformal,
    is_quantile_models,
    joined_ensembles,
    joined_linear,
    read_conformal,
)

Kinds = tuple[str, ...]


def read_model(estimator: Any, block: Block, kinds: Sequence[str], feature_names: Sequence[str]) -> CompiledModel:
    """Read an estimator, as data, for input columns of certain types.

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
        return read_linear(model, block, kinds, feature_names)
    if is_calibrated(model):
        return read_calibrated(model, lambda part: read_model(part, block, kinds, feature_names))
    if is_conformal(model):
        return read_conformal(model, lambda part: read_model(part, block, kinds, feature_names))
    if is_quantile_models(model):
        if is_linear(model.estimators_[0]):
            return joined_linear([read_linear(part, block, kinds, feature_names) for part in model.estimators_])
        read = [_read_trees(part, block) for part in model.estimators_]
        return bin_trees(joined_ensembles(*zip(*read, strict=True)), kinds, TOGETHER)
    ensemble, link = _read_trees(model, block)
    return bin_trees(ensemble, kinds, link)


def _read_trees(model: Any, block: Block) -> tuple[Ensemble, Any]:
    """Read the trees of a model, and how its raw prediction becomes what people read."""
    # A model that a file holds is read by none of them.
    from jobs.scoring.readers.registry import reader_of

    known = reader_of(model)
    if known is None:
        raise NotUnderstood(f"{type(model).__name__} is not among the models that are understood")
    read, read_link = known
    try:
        return read(model, block), read_link(model)
    except NotUnderstood:
        raise
    except Exception as error:
        # What is read is another library's own format: whatever there is new in it, the estimator knows.
        raise NotUnderstood(f"{type(model).__name__} could not be read ({type(error).__name__}: {error})") from error


def make_program(model: CompiledModel, feature_names: Sequence[str]) -> Program:
    """Make a model ready for batches.

    Raises
    ------
    NotUnderstood
        Its trees are too large for the kernels.
    """
    if isinstance(model, LinearModel):
        return LinearProgram(model, feature_names)
    if isinstance(model, CalibratedModel):
        return CalibratedProgram(model, [make_program(part.model, feature_names) for part in model.parts])
    if isinstance(model, ShiftedModel):
        return ShiftedProgram(model, make_program(model.part, feature_names))
    return TreeProgram(model, feature_names)


class CompiledScorer:
    """A compiled model: one program for each set of column types that comes along.

    Parameters
    ----------
    feature_names
        The columns that are read, in the order that the model knows them by.
    kinds, model
        The types of columns that the model was read for first, and the model.
    load
        Gives the estimator: it is read again where columns of other types come along, and scores these itself where
        it is not understood for them.
    filed
        The bytes of the file that the model was read from, None if it was not.
    """

    def __init__(
        self,
        feature_names: Sequence[str],
        kinds: Kinds,
        model: CompiledModel,
        load: Callable[[], Any],
        filed: bytes | None = None,
    ) -> None:
        self.feature_names = tuple(feature_names)
        self.kinds = kinds
        self.filed = filed
        self._load = load
        self._lock = threading.Lock()
        self._first = make_program(model, self.feature_names)
        self._programs: dict[Kinds, Program | None] = {kinds: self._first}
        self.kind = self._first.kind
        self.why = self._first.why
        self.tolerance_ulp = self._first.tolerance_ulp

    def _program(self, kinds: Kinds) -> Program | None:
        """Return what scores columns of these types, made at their first sight; None if nothing compiled can."""
        with self._lock:
            if kinds not in self._programs:
                self._programs[kinds] = self._build(kinds)
            return self._programs[kinds]

    def _build(self, kinds: Kinds) -> Program | None:
        block = input_block(self.feature_names, kinds)
        try:
            return make_program(read_model(self._load(), block, kinds, self.feature_names), self.feature_names)
        except NotUnderstood:
            return None

    @property
    def model(self) -> CompiledModel:
        """The model, as it is for columns of the types `kinds`."""
        return self._first.model

    def through_file(self) -> CompiledScorer:
        """Return the scorer that its file makes, or itself where no file can hold the model."""
        try:
            data = write_model_file(ModelFile(self.feature_names, self.kinds, self.model))
        except NotUnderstood:
            return self
        return scorer_of_file(data, self._load)

    def _estimator(self) -> EstimatorScorer:
        return estimator_scorer(self._load(), self.feature_names)

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a feature at which the model's tests change their answer."""
        return self._first.probes(place)

    def magnitude(self, batch: Batch) -> Floats | None:
        """Return the sizes in whose last place raw predictions may differ, None where they agree to the bit."""
        program, columns = self.program_for(batch)
        if program is None or program.tolerance_ulp == 0:
            return None
        parts = [program.magnitude(part, n_rows) for part, n_rows in in_pieces(columns, batch.num_rows)]
        sizes = np.concatenate(parts)
        return sizes[:, 0] if sizes.shape[1] == 1 else sizes

    def program_for(self, batch: Batch) -> tuple[Program | None, list[pa.Array | pa.ChunkedArray]]:
        """Return what scores a batch, None where the estimator has to, and the batch's feature columns."""
        columns = [plain_column(name, column_named(batch, name)) for name in self.feature_names]
        kinds = [feature_kind(name, column.type) for name, column in zip(self.feature_names, columns, strict=True)]
        return self._program(tuple(kinds)), columns

    def _raw(self, batch: Batch) -> tuple[Program, Floats] | None:
        """Return (n_rows, n_outputs) and what made it, or None where the estimator has to score these types."""
        program, columns = self.program_for(batch)
        if program is None:
            return None
        parts = [program.raw(part, n_rows) for part, n_rows in in_pieces(columns, batch.num_rows)]
        return program, parts[0] if len(parts) == 1 else np.concatenate(parts)

    def raw(self, batch: Batch) -> Floats:
        """Return the raw prediction, see `Scorer.raw`."""
        answer = self._raw(batch)
        if answer is None:
            return self._estimator().raw(batch)
        _, raw = answer
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, batch: Batch) -> Floats:
        """Return probabilities or predicted values, see `Scorer.predict`."""
        answer = self._raw(batch)
        if answer is None:
            return self._estimator().predict(batch)
        program, raw = answer
        return program.predict(raw)


def in_pieces(columns: Sequence[pa.Array | pa.ChunkedArray], n_rows: int) -> list[tuple[list[pa.Array], int]]:
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
    # What encodes for itself, and a model inside of one that adds intervals.
    inner = [getattr(estimator, name, None) for name in ("_preprocessor", "estimator_")]
    for part in [*parts, *(one for one in inner if one is not None)]:
        found += _text_columns(part, feature_names)
    names = getattr(estimator, "feature_names_in_", ())
    # An encoder has an array of categories for each column, an imputer one value.
    learned = getattr(estimator, "categories_", getattr(estimator, "statistics_", ()))
    for name, values in zip(names, learned, strict=False):
        if any(isinstance(value, str) for value in np.ravel(values).tolist()):
            found.append(str(name))
    return found


def compile_model(estimator: Any, feature_names: Sequence[str], kinds: Kinds | None = None) -> Scorer:
    """Return the fastest scorer for a fitted estimator that gives exactly its answers.

    Parameters
    ----------
    estimator
        A fitted estimator or pipeline, trained on what `estimator_input` makes.
    feature_names
        Its features in the order that it was trained with.
    kinds
        The types of columns to read it for first, see `feature_kind`. By default text where a step or the model itself
        knows categories of text, and float64.

    Returns
    -------
    Scorer
        A compiled one where the model is understood, otherwise `estimator_scorer` with the reason in `why`.
    """
    if kinds is None:
        text = set(_text_columns(estimator, feature_names))
        kinds = tuple("text" if name in text else "float64" for name in feature_names)
    try:
        model = read_model(estimator, input_block(feature_names, kinds), kinds, feature_names)
        return CompiledScorer(feature_names, kinds, model, lambda: estimator)
    except NotUnderstood as reason:
        return estimator_scorer(estimator, feature_names, f"The estimator scores itself, because {reason}.")


def scorer_of_file(data: bytes, load: Callable[[], Any]) -> CompiledScorer:
    """Return the scorer of a compiled model's file.

    Parameters
    ----------
    data
        The file.
    load
        Gives the estimator, see `CompiledScorer`.

    Raises
    ------
    DamagedModel
        The file is not as the format says.
    """
    file = read_model_file(data)
    return CompiledScorer(file.feature_names, file.kinds, file.model, load, data)
