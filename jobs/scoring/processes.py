"""Scores a model that no kernel understands: the estimator itself, alone or in several processes, whichever is faster.

Rows go to the estimator in pieces of a fixed number, so that what it answers does not depend on how many processes
there are. A scoring that is over in seconds stays in this process. One that goes on gets others, each of which loads
the model for itself; once they are ready both ways take turns, and the faster one does the rest.
"""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jobs.scoring.interface.arrow_input import Batch
from jobs.scoring.interface.scorer import EstimatorScorer, Floats, take_one_thread
from jobs.scoring.kernels.tree_scorer import available_cpus
from jobs.scoring.worker_pool import Crew
from warehouse.errors import ScoringFailed

PIECE_ROWS = 4096
"""Rows that the estimator is given at a time: many enough for its own overhead, few enough to be stopped between."""
WORTH_STARTING_S = 3.0
"""So long the estimator scores alone before other processes are started: about what it takes to start them."""
TRIALS = 2
"""Batches that each way scores before one of them is chosen."""

Load = Callable[[], Any]
Way = Callable[[Sequence[Batch], Callable[[], bool]], list[Floats]]


def _never() -> bool:
    return False


class ProcessScorer:
    """The estimator itself, in as many processes as pay.

    Parameters
    ----------
    estimator
        A fitted estimator or pipeline. Its parts work in one thread each from now on: sums then have one order, and
        processes take the place of threads.
    feature_names
        Its features in the order that it was trained with.
    why
        One sentence: why no kernel scores it.
    load
        Loads the same estimator in another process, which is sent this by pickle.
    n_processes
        How many to try; default: one for each CPU.
    worth_starting_s
        After how many seconds of scoring alone they are started.
    """

    kind = "estimator"

    def __init__(
        self,
        estimator: Any,
        feature_names: Sequence[str],
        why: str,
        load: Load,
        *,
        n_processes: int | None = None,
        worth_starting_s: float = WORTH_STARTING_S,
    ) -> None:
        take_one_thread(estimator)
        self._alone = EstimatorScorer(estimator, feature_names, why)
        self.feature_names = self._alone.feature_names
        self.why = why
        self._load = load
        self._n_processes = available_cpus() if n_processes is None else n_processes
        self._worth_starting_s = worth_starting_s
        self._lock = threading.Lock()
        self._crew: Crew | None = None
        self._seconds: dict[str, list[tuple[int, float]]] = {"alone": [], "together": []}
        self.chosen: str | None = None if self._n_processes > 1 else "alone"

    def raw(self, batch: Batch) -> Floats:
        """Return the raw prediction, see `Scorer.raw`."""
        return self._alone.raw(batch)

    def predict(self, batch: Batch) -> Floats:
        """Return probabilities or predicted values, see `Scorer.predict`."""
        return self.predict_until(batch, _never)

    def predict_until(self, batch: Batch, stop: Callable[[], bool]) -> Floats:
        """Return what `predict` does, unless `stop()` becomes true between two pieces.

        Raises
        ------
        ScoringFailed
            The estimator refuses a row, a process ended, or it was stopped.
        """
        pieces = [batch.slice(first, PIECE_ROWS) for first in range(0, batch.num_rows, PIECE_ROWS)]
        if not pieces:
            return self._alone.predict(batch)
        name, way = self._next_way()
        began = time.perf_counter()
        parts = way(pieces, stop)
        self._note(name, batch.num_rows, time.perf_counter() - began)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _score_alone(self, pieces: Sequence[Batch], stop: Callable[[], bool]) -> list[Floats]:
        parts = []
        for piece in pieces:
            if stop():
                raise ScoringFailed("Scoring was stopped.")
            parts.append(self._alone.predict(piece))
        return parts

    def _next_way(self) -> tuple[str, Way]:
        with self._lock:
            crew = self._crew
            if crew is None or not crew.is_ready():
                return "alone", self._score_alone
            is_its_turn = len(self._seconds["together"]) <= len(self._seconds["alone"])
            if self.chosen == "together" or is_its_turn:
                return "together", crew.score
            return "alone", self._score_alone

    def _note(self, name: str, n_rows: int, seconds: float) -> None:
        """Take a batch into account: start other processes, or choose, if it is time to."""
        with self._lock:
            if self._crew is not None and self._crew.has_failed():
                warnings.warn("The processes that were to score beside this one ended; it goes on alone.", stacklevel=3)
                self._choose("alone")
            if self.chosen is not None:
                return
            self._seconds[name].append((n_rows, seconds))
            if self._crew is None:
                if sum(spent for _, spent in self._seconds["alone"]) >= self._worth_starting_s:
                    self._start()
            elif not self._seconds["together"]:
                # While they start, they take the CPUs from the one that is scoring.
                self._seconds["alone"].clear()
            elif min(len(taken) for taken in self._seconds.values()) >= TRIALS:
                best = {name: min(spent / rows for rows, spent in taken) for name, taken in self._seconds.items()}
                self._choose(min(best, key=lambda name: best[name]))

    def _start(self) -> None:
        self._crew = Crew(self._load, self.feature_names, self._n_processes)
        # They end with this scorer, whoever has used it last.
        weakref.finalize(self, self._crew.close)

    def _choose(self, name: str) -> None:
        self.chosen = name
        if name == "alone" and self._crew is not None:
            self._crew.close()
            self._crew = None
