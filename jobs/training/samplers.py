"""Which model a search tries next: drawn by chance, or where Optuna expects the least loss after the tries so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jobs.training.candidates import Trial, drawn, trial_with
from warehouse.definitions.pipeline import ModelSettings, Range, SearchSettings
from warehouse.errors import UsageError


class Sampler(Protocol):
    """Gives one trial after another. The same losses give the same trials."""

    def trial(self, number: int) -> Trial:
        """Give the trial of a number from 1 on; they are asked for in order."""

    def learn(self, trial: Trial, loss: float | None) -> None:
        """Take in what became of a trial on the first rung: its loss, None where it has none."""


def sampler_of(
    search: SearchSettings, model: ModelSettings, columns: Mapping[str, Sequence[str]], where: str
) -> Sampler:
    """Give the sampler that product.yaml names.

    Parameters
    ----------
    search, model
        What product.yaml says.
    columns
        By feature group its columns on the pages.
    where
        The file, for the message.

    Raises
    ------
    UsageError
        If it is Optuna's, and Optuna is not installed.
    """
    if search.sampler == "random":
        return _Random(search, model, columns)
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            f"{where}: `sampler: tpe` is Optuna's: install almanac[search] ({error.name} is not installed), or take"
            " `sampler: random`."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=model.seed))
    return _Tpe(search, model, columns, study)


class _Random:
    """Draws each trial by the seed and its number; candidates take turns."""

    def __init__(self, search: SearchSettings, model: ModelSettings, columns: Mapping[str, Sequence[str]]) -> None:
        self._search, self._model, self._columns = search, model, columns

    def trial(self, number: int) -> Trial:
        """Draw one."""
        return drawn(self._search, self._model, self._columns, number)

    def learn(self, trial: Trial, loss: float | None) -> None:
        """Do nothing: draws do not depend on earlier losses."""


class _Tpe:
    """Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), over candidates and their parameters.

    Optuna takes lists by the places of their values, so that these can be anything.
    """

    def __init__(
        self, search: SearchSettings, model: ModelSettings, columns: Mapping[str, Sequence[str]], study: Any
    ) -> None:
        self._search, self._model, self._columns, self._study = search, model, columns, study
        self._asked: dict[int, Any] = {}

    def trial(self, number: int) -> Trial:
        """Ask for the most promising one; the first ten are drawn by chance."""
        asked = self._asked[number] = self._study.ask()
        place = asked.suggest_categorical("candidate", range(len(self._search.candidates)))
        candidate = self._search.candidates[place]
        parameters = {name: _suggested(asked, f"{place}.{name}", value) for name, value in candidate.parameters.items()}
        choices = [None, *self._search.without]
        without = choices[asked.suggest_categorical("without", range(len(choices)))] if len(choices) > 1 else None
        return trial_with(self._model, self._columns, number, candidate, parameters, without)

    def learn(self, trial: Trial, loss: float | None) -> None:
        """Tell Optuna; a trial without a loss failed."""
        from optuna.trial import TrialState

        asked = self._asked.pop(trial.number)
        if loss is None:
            self._study.tell(asked, state=TrialState.FAIL)
        else:
            self._study.tell(asked, loss)


def _suggested(asked: Any, name: str, value: Any) -> Any:
    """Choose a parameter: from a range, from a list, or itself."""
    if isinstance(value, list):
        return value[asked.suggest_categorical(name, range(len(value)))]
    if not isinstance(value, Range):
        return value
    if isinstance(value.low, int) and isinstance(value.high, int):
        return asked.suggest_int(name, value.low, value.high, log=value.log)
    return asked.suggest_float(name, value.low, value.high, log=value.log)
