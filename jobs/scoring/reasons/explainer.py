"""Explains a compiled model's raw predictions: a base value, and what each player adds to it.

Trees are explained by exact path-dependent Shapley values, linear models by their formula against the mean of some
rows. A calibrated model is explained below its calibration, which changes no order: the mean of its classifiers' raw
predictions. What a row's contributions and the base come to is compared with the raw prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from jobs.scoring.compiled import CompiledScorer, in_pieces
from jobs.scoring.interface.arrow_input import Batch
from jobs.scoring.interface.scorer import Floats, NotUnderstood, Scorer
from jobs.scoring.kernels.ensemble import F64
from jobs.scoring.kernels.model_data import CalibratedModel, CompiledModel, LinearModel, TreeModel
from jobs.scoring.reasons.players import Players
from jobs.scoring.reasons.tree_contributions import TreeContributions
from jobs.scoring.steps.column_values import ColumnValues
from warehouse.errors import ScoringFailed, UsageError

TOLERANCE = 1e-9
"""By how much base and contributions may miss the raw prediction, as a share of the sum of their sizes."""


class Contributions(Protocol):
    """One output of a model, divided among players."""

    @property
    def base(self) -> float:
        """What the contributions add up from: the raw prediction of a row of which nothing is known."""

    def of(self, columns: Sequence[pa.Array], n_rows: int) -> F64:
        """Return (n_rows, n_players) the contributions of a batch's rows."""


class LinearContributions:
    """One output of a linear model: each feature's coefficient times how far it is from the mean of some rows."""

    def __init__(
        self,
        model: LinearModel,
        players: Players,
        output: int,
        names: Sequence[str],
        background: tuple[list[pa.Array], int],
    ) -> None:
        self._values = ColumnValues(model, names)
        self._coefficients = model.coefficients[output].astype(np.float64)
        self._owner = players.of_feature[[feature.column for feature in model.features]]
        self._n_players = len(players.names)
        columns, n_rows = background
        self._means = self._values.matrix(columns, n_rows).astype(np.float64).mean(axis=0)
        self.base = float(model.intercept[output]) + float(self._means @ self._coefficients)

    def of(self, columns: Sequence[pa.Array], n_rows: int) -> F64:
        """Return the contributions (n_rows, n_players)."""
        given = (self._values.matrix(columns, n_rows) - self._means) * self._coefficients
        out = np.zeros((n_rows, self._n_players))
        for feature, owner in enumerate(self._owner.tolist()):
            out[:, owner] += given[:, feature]
        return out


class MeanContributions:
    """The mean of several models' contributions."""

    def __init__(self, parts: Sequence[Contributions]) -> None:
        self._parts = parts
        self.base = float(np.mean([part.base for part in parts]))

    def of(self, columns: Sequence[pa.Array], n_rows: int) -> F64:
        """Return the contributions (n_rows, n_players)."""
        return np.asarray(sum(part.of(columns, n_rows) for part in self._parts) / len(self._parts))


class Explainer:
    """Explains the rows of batches whose columns have the types of the first one.

    Parameters
    ----------
    scorer
        A compiled one.
    players
        Who the contributions go to.
    background
        Rows whose mean a linear model's contributions are counted from, and whose types are those to come.

    Raises
    ------
    UsageError
        The model cannot be explained exactly, with the reason.
    """

    def __init__(self, scorer: Scorer, players: Players, background: pa.Table) -> None:
        if not isinstance(scorer, CompiledScorer):
            raise UsageError(f"the model's predictions cannot be explained exactly: it is not compiled. {scorer.why}")
        program, columns = scorer.program_for(background)
        if program is None:
            raise UsageError("the model's predictions cannot be explained exactly: the estimator scores these columns.")
        self.players = players
        self._scorer = scorer
        self._output = _explained_output(program.model)
        whole = pa.table(columns, names=list(scorer.feature_names)).combine_chunks()
        [(pieces, n_rows)] = in_pieces(whole.to_batches()[0].columns if whole.num_rows else [], whole.num_rows)
        try:
            self._contributions = _contributions(
                program.model, players, self._output, scorer.feature_names, (pieces, n_rows)
            )
        except NotUnderstood as reason:
            raise UsageError(f"the model's predictions cannot be explained exactly: {reason}.") from reason
        self.is_below_calibration = isinstance(program.model, CalibratedModel)
        self.method = _method(program.model)

    @property
    def base(self) -> float:
        """The raw prediction of a row of which nothing is known."""
        return self._contributions.base

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that the model reads, in its order."""
        return self._scorer.feature_names

    def scores_of(self, raw: F64) -> Floats | None:
        """Return what the model predicts of raw predictions (n,); None of a calibrated one, below which they are."""
        model = self._scorer.model
        if isinstance(model, CalibratedModel):
            return None
        if isinstance(model, TreeModel) and len(model.base) == 2:
            return raw
        kind = model.base.dtype if isinstance(model, TreeModel) else np.dtype(np.float64)
        found = model.link(raw.astype(kind)[:, np.newaxis])
        return found[:, 1] if found.ndim == 2 else found

    def explain(self, batch: Batch) -> F64:
        """Return the contributions (n_rows, n_players) of a batch's rows, in the unit of the raw prediction.

        Raises
        ------
        ScoringFailed
            They do not add up to the raw prediction.
        """
        program, columns = self._scorer.program_for(batch)
        if program is None:
            raise ScoringFailed("the columns are of other types than those that the model was explained for.")
        found = [self._contributions.of(part, n_rows) for part, n_rows in in_pieces(columns, batch.num_rows)]
        contributions = np.concatenate(found)
        if not self.is_below_calibration:
            raw = self._scorer.raw(batch)
            self._require_sum(contributions, raw if raw.ndim == 1 else raw[:, self._output])
        return contributions

    def _require_sum(self, contributions: F64, raw: Floats) -> None:
        sizes = abs(self.base) + np.abs(contributions).sum(axis=1)
        # A sum in float32 is that uncertain itself.
        share = TOLERANCE if raw.dtype == np.float64 else 1e-4
        off = np.abs(self.base + contributions.sum(axis=1) - raw)
        if (off > share * sizes).any():
            row = int(np.argmax(off - share * sizes))
            raise ScoringFailed(
                f"the contributions of row {row} of the batch miss its raw prediction by {off[row]:.3g}: this is a"
                " fault of the explanation, and none is given."
            )


def _explained_output(model: CompiledModel) -> int:
    """Return the output that is explained: the only one, or the second class's."""
    if isinstance(model, CalibratedModel):
        return _explained_output(model.parts[0].model)
    n_outputs = len(model.base) if isinstance(model, TreeModel) else len(model.intercept)
    if n_outputs > 2:
        raise UsageError("the model's predictions cannot be explained: it tells more than two classes apart.")
    return n_outputs - 1


def _contributions(
    model: CompiledModel,
    players: Players,
    output: int,
    names: Sequence[str],
    background: tuple[list[pa.Array], int],
) -> Contributions:
    if isinstance(model, CalibratedModel):
        return MeanContributions(
            [_contributions(part.model, players, output, names, background) for part in model.parts]
        )
    if isinstance(model, LinearModel):
        if not background[1]:
            raise NotUnderstood("there are no rows whose mean a linear model's contributions could be counted from")
        return LinearContributions(model, players, output, names, background)
    return TreeContributions(model, players, output)


def _method(model: CompiledModel) -> str:
    if isinstance(model, CalibratedModel):
        return f"{_method(model.parts[0].model)}; the mean of {len(model.parts)} classifiers, below their calibration"
    if isinstance(model, LinearModel):
        return "coefficients times the distance from the mean of the page's rows"
    return f"Shapley values, path-dependent, weighted by {model.cover_unit}"
