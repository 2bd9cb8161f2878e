"""Scorers: models made ready for throughput, with the estimator's own answers. See `compile_model`."""

from jobs.scoring.compiled import compile_model
from jobs.scoring.interface.arrow_input import estimator_input
from jobs.scoring.interface.scorer import Scorer, estimator_scorer
from jobs.scoring.parity import ParityReport, check_parity, ready_scorer
from jobs.scoring.processes import ProcessScorer
from jobs.scoring.stream import score_stream, scored_reader

__all__ = [
    "ParityReport",
    "ProcessScorer",
    "Scorer",
    "check_parity",
    "compile_model",
    "estimator_input",
    "estimator_scorer",
    "ready_scorer",
    "score_stream",
    "scored_reader",
]
