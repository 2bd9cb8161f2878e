"""Explains a compiled model's raw predictions: a base value, and what each player adds to it.

Of a model that tells classes apart each row is explained by one of them, which the caller names: by its raw prediction.
Trees are explained by exact Shapley values, path-dependent or against background rows, linear models by their formula
against the mean of some rows. A calibrated model is explained below its calibration, which changes no order: the mean
of its classifiers' raw predictions. What contributions and base come to is compared with the raw prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from jobs.scoring.compiled import CompiledScorer, in_pieces
from jobs.scoring.interface.arrow_input import Batch
from jobs.scoring.interface.scorer import Floats, NotUnderstood, Scorer
from jobs.scoring.kernels.codes import I64
from jobs.scoring.kernels.ensemble import F64
from jobs.scoring.kernels.model_data import CalibratedModel, CompiledModel, LinearModel, ShiftedModel, TreeModel
from jobs.scoring.reasons.largest import Largest
from jobs.scoring.reasons.players import Players
from jobs.scoring.reasons.table_contributions import BUDGET_BYTES, TableContributions
from jobs.scoring.reasons.tree_contributions import TreeContributions
from jobs.scoring.steps.calibrated import CalibratedProgram
from jobs.scoring.steps.column_values import ColumnValues
from warehouse.errors import ScoringFailed, UsageError

TOLERANCE = 1e-9
"""By how much base and contributions may miss the raw prediction, as a share of the sum of their sizes."""
FEW_ROWS = 50
"""So many rows are explained without any preparation, which takes as long as a few hundred of them."""
Rows = tuple[list[pa.Array], int]
"""Feature columns, each in one piece, and their length."""


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
        background: Rows,
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


class OppositeContributions:
    """What a model's contributions are for the first of two classes, where it gives one number for the second."""

    def __init__(self, second: Contributions) -> None:
        self._second = second
        self.base = -second.base

    def of(self, columns: Sequence[pa.Array], n_rows: int) -> F64:
        """Return the contributions (n_rows, n_players)."""
        return -self._second.of(columns, n_rows)


class Explainer:
    """Explains the rows of batches whose columns have the types of the first one.

    Parameters
    ----------
    scorer
        A compiled one.
    players
        Who the contributions go to.
    rows
        Rows whose types are those to come. A linear model's contributions are counted from their mean, unless there is
        a background.
    background
        Rows that unknown values are taken from. None: of trees, path-dependent.
    at_rate
        Whether many rows are to come, so that tables are worth their making.
    by_class
        Whether each row is explained by a class of its own, which is then named by its place among the model's.

    Raises
    ------
    UsageError
        The model cannot be explained exactly, with the reason.
    """

    def __init__(
        self,
        scorer: Scorer,
        players: Players,
        rows: pa.Table,
        background: pa.Table | None = None,
        at_rate: bool = False,
        by_class: bool = False,
    ) -> None:
        if not isinstance(scorer, CompiledScorer):
            raise UsageError(f"the model's predictions cannot be explained exactly: it is not compiled. {scorer.why}")
        program, _ = scorer.program_for(rows)
        if program is None:
            raise UsageError("the model's predictions cannot be explained exactly: the estimator scores these columns.")
        self.players = players
        self._scorer = scorer
        self.by_class = by_class
        n_outputs = _n_outputs(program.model, by_class)
        # Of one number for two classes the second has it, and the first its opposite.
        self._outputs = list(range(n_outputs)) if by_class else [n_outputs - 1]
        kind = _Kind(players, self._outputs, scorer.feature_names, rows.num_rows, at_rate)
        given = None if background is None else self._in_one_piece(background)
        if background is not None and scorer.program_for(background)[0] is not program:
            raise UsageError("the background has columns of other types than the rows that are explained.")
        try:
            self._contributions = kind.contributions(program.model, given, self._in_one_piece(rows))
            if by_class and n_outputs == 1:
                self._contributions.insert(0, OppositeContributions(self._contributions[0]))
        except NotUnderstood as reason:
            raise UsageError(f"the model's predictions cannot be explained exactly: {reason}.") from reason
        self.is_below_calibration = isinstance(program.model, CalibratedModel)
        self.method = _method(program.model, background)

    def _in_one_piece(self, rows: pa.Table) -> Rows:
        _, columns = self._scorer.program_for(rows)
        whole = pa.table(columns, names=list(self._scorer.feature_names)).combine_chunks()
        [(pieces, n_rows)] = in_pieces(whole.to_batches()[0].columns if whole.num_rows else [], whole.num_rows)
        return pieces, n_rows

    @property
    def base(self) -> float:
        """The raw prediction of a row of which nothing is known; of classes that of the last."""
        return self._contributions[-1].base

    @property
    def bases(self) -> list[float]:
        """Of each class the raw prediction of a row of which nothing is known; none without classes."""
        return [one.base for one in self._contributions] if self.by_class else []

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that the model reads, in its order."""
        return self._scorer.feature_names

    def scores_of(self, raw: F64) -> Floats | None:
        """Return what the model predicts of raw predictions (n,); None where it is not one of these alone.

        That is so below a calibration, and of classes, whose probabilities come of all their raw predictions.
        """
        model = self._scorer.model
        if self.by_class or isinstance(model, CalibratedModel | ShiftedModel):
            return None
        if isinstance(model, TreeModel) and len(model.base) == 2:
            return raw
        kind = model.base.dtype if isinstance(model, TreeModel) else np.dtype(np.float64)
        found = model.link(raw.astype(kind)[:, np.newaxis])
        return found[:, 1] if found.ndim == 2 else found

    def explain(self, batch: Batch, classes: I64 | None = None) -> F64:
        """Return the contributions (n_rows, n_players) of a batch's rows, in the unit of the raw prediction.

        `classes` are as in `by_player`.

        Raises
        ------
        ScoringFailed
            They do not add up to the raw prediction.
        """
        contributions = np.ascontiguousarray(self.by_player(batch, classes).T)
        self._largest_miss(batch, contributions, classes)
        return contributions

    def by_player(self, batch: Batch, classes: I64 | None = None) -> F64:
        """Return the contributions (n_players, n_rows) of a batch's rows, as they are: sums are not looked at.

        Parameters
        ----------
        batch
            The rows.
        classes
            (n_rows,) the place of the class by which each is explained, of a model that is explained by class.
        """
        if classes is None:
            return self._by_player(batch, self._contributions[-1])
        out = np.empty((len(self.players.names), batch.num_rows))
        for place in np.unique(classes).tolist():
            own = classes == place
            out[:, own] = self._by_player(batch.filter(pa.array(own)), self._contributions[place])
        return out

    def _by_player(self, batch: Batch, contributions: Contributions) -> F64:
        found = [contributions.of(part, n_rows).T for part, n_rows in self._pieces(batch)]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    def largest(self, batch: Batch, most: int, direction: int, classes: I64 | None = None) -> Largest:
        """Return the largest contributions of a batch's rows, as they are: sums are not looked at.

        Parameters
        ----------
        batch, classes
            As in `by_player`.
        most
            How many of each row, at most.
        direction
            1: the largest above zero; -1: the largest below zero; 0: the largest sizes.
        """
        found = Largest.room(batch.num_rows, most)
        if classes is None:
            self._pick(batch, self._contributions[-1], direction, found)
            return found
        for place in np.unique(classes).tolist():
            own = classes == place
            part = Largest.room(int(own.sum()), most)
            self._pick(batch.filter(pa.array(own)), self._contributions[place], direction, part)
            found.put(own, part)
        return found

    def _pick(self, batch: Batch, contributions: Contributions, direction: int, found: Largest) -> None:
        first = 0
        for part, n_rows in self._pieces(batch):
            own = found.of_rows(slice(first, first + n_rows))
            if isinstance(contributions, TableContributions):
                contributions.pick_largest(part, n_rows, direction, own)
            else:
                own.pick(np.ascontiguousarray(contributions.of(part, n_rows).T)[np.newaxis], direction)
            first += n_rows

    def _pieces(self, batch: Batch) -> Iterable[tuple[list[pa.Array], int]]:
        program, columns = self._scorer.program_for(batch)
        if program is None:
            raise ScoringFailed("the columns are of other types than those that the model was explained for.")
        return in_pieces(columns, batch.num_rows)

    def check(self, tables: Sequence[pa.Table]) -> tuple[int, float]:
        """Add up the contributions of some rows; return how many rows, and the largest miss as a share of the sizes.

        Raises
        ------
        ScoringFailed
            They do not add up to the raw prediction.
        """
        misses = []
        for rows in tables:
            # Of each class, since any may come to be predicted.
            for place in range(len(self._contributions)) if self.by_class else [None]:
                classes = None if place is None else np.full(rows.num_rows, place, np.int64)
                misses.append(self._largest_miss(rows, self.by_player(rows, classes).T, classes))
        return sum(rows.num_rows for rows in tables), max(misses, default=0.0)

    def _largest_miss(self, batch: Batch, contributions: F64, classes: I64 | None = None) -> float:
        if not len(contributions):
            return 0.0
        raw = self._raw_below_calibration(batch) if self.is_below_calibration else self._scorer.raw(batch)
        if classes is None:
            return self._require_sum(contributions, raw if raw.ndim == 1 else raw[:, self._outputs[-1]], self.base)
        wide = raw.reshape(len(raw), -1)
        if wide.shape[1] == 1:
            wide = np.hstack((-wide, wide))
        return self._require_sum(contributions, wide[np.arange(len(raw)), classes], np.array(self.bases)[classes])

    def raw_of(self, contributions: F64, classes: I64 | None = None) -> F64:
        """Return the raw predictions (n_rows,) that contributions (n_rows, n_players) come to."""
        base = self.base if classes is None else np.array(self.bases)[classes]
        return np.asarray(base + contributions.sum(axis=1))

    def _raw_below_calibration(self, batch: Batch) -> Floats:
        """Return (n_rows, n_outputs) the mean of the classifiers' raw predictions."""
        program, columns = self._scorer.program_for(batch)
        assert isinstance(program, CalibratedProgram)
        found = []
        for part, n_rows in in_pieces(columns, batch.num_rows):
            found.append(np.mean([one.raw(part, n_rows) for one in program.programs], axis=0))
        return np.concatenate(found)

    def _require_sum(self, contributions: F64, raw: Floats, base: float | F64) -> float:
        sizes = np.abs(base) + np.abs(contributions).sum(axis=1)
        # A sum in float32 is that uncertain itself.
        share = TOLERANCE if raw.dtype == np.float64 else 1e-4
        off = np.abs(base + contributions.sum(axis=1) - raw)
        if not (off <= share * sizes).all():
            row = int(np.argmax(np.where(np.isnan(off), np.inf, off - share * sizes)))
            raise ScoringFailed(
                f"the contributions of row {row} of the batch miss its raw prediction by {off[row]:.3g}: this is a"
                " fault of the explanation, and none is given."
            )
        return float(np.max(np.divide(off, sizes, out=np.zeros_like(off), where=sizes > 0)))


def _n_outputs(model: CompiledModel, by_class: bool) -> int:
    """Return how many raw predictions a model gives, of which one is explained: the only one, or the second class's."""
    if isinstance(model, CalibratedModel):
        return _n_outputs(model.parts[0].model, by_class)
    if isinstance(model, ShiftedModel):
        raise UsageError("the model's predictions cannot be explained: it gives several quantiles.")
    n_outputs = len(model.base) if isinstance(model, TreeModel) else len(model.intercept)
    if n_outputs > 2 and not by_class:
        raise UsageError("the model's predictions cannot be explained: it tells more than two classes apart.")
    return n_outputs


@dataclass(frozen=True)
class _Kind:
    """Whose contributions of which outputs are asked for, and for how many rows."""

    players: Players
    outputs: Sequence[int]
    names: Sequence[str]
    n_rows: int
    at_rate: bool

    def contributions(self, model: CompiledModel, background: Rows | None, rows: Rows) -> list[Contributions]:
        """Return what divides a model's predictions, output by output."""
        budget = BUDGET_BYTES // len(self.outputs)
        if not isinstance(model, CalibratedModel):
            return [self._plain(model, output, background, rows, budget) for output in self.outputs]
        own = budget // len(model.parts)
        return [
            MeanContributions([self._plain(part.model, output, background, rows, own) for part in model.parts])
            for output in self.outputs
        ]

    def _plain(
        self, model: CompiledModel, output: int, background: Rows | None, rows: Rows, budget: int
    ) -> Contributions:
        if isinstance(model, LinearModel):
            mean_of = background or rows
            if not mean_of[1]:
                raise NotUnderstood("there are no rows whose mean a linear model's contributions could be counted from")
            return LinearContributions(model, self.players, output, self.names, mean_of)
        assert isinstance(model, TreeModel)
        if self.at_rate or background is not None:
            return TableContributions(model, self.players, output, background, budget)
        if self.n_rows > FEW_ROWS:
            return TableContributions(model, self.players, output, budget_bytes=0)
        return TreeContributions(model, self.players, output)


def is_linear_scorer(scorer: Scorer) -> bool:
    """Tell whether a scorer's contributions are counted from the mean of some rows."""
    if not isinstance(scorer, CompiledScorer):
        return False
    model = scorer.model
    return isinstance(model.parts[0].model if isinstance(model, CalibratedModel) else model, LinearModel)


def _method(model: CompiledModel, background: pa.Table | None) -> str:
    if isinstance(model, CalibratedModel):
        below = _method(model.parts[0].model, background)
        return f"{below}; the mean of {len(model.parts)} classifiers, below their calibration"
    if isinstance(model, LinearModel):
        whose = "the page's rows" if background is None else f"{background.num_rows} background rows"
        return f"coefficients times the distance from the mean of {whose}"
    if background is not None:
        return f"Shapley values, against {background.num_rows} background rows"
    unit = model.cover_unit if isinstance(model, TreeModel) else "unknown"
    return f"Shapley values, path-dependent, weighted by {unit}"
